"""Scores of heads, by hand and with planted signals. numpy only: no model is loaded."""

import subprocess
import sys

import numpy as np
import pytest
from numpy_model import EvenClock

from alignheads.discovery import totals as totals_module
from alignheads.discovery.mapping import TokenTargets
from alignheads.discovery.statistics import (
    ERROR_EDGES_S,
    REPLICATES,
    FrameTimes,
    LayerStatistics,
    border_counts,
    distance_bins,
    gold_frames,
    layer_statistics,
    replicate_weights,
)
from alignheads.discovery.totals import HeadTotals, commit_accuracy, roc_auc
from alignheads.errors import InputError
from alignheads.runtime.models.qwen3.clock import Qwen3Clock

RATE = 13
BINS = 40


def targets(*spans, token=None):
    """Targets of words with one token each, at (start_s, end_s)."""
    start, end = np.array(spans, float).reshape(-1, 2).T
    token = np.arange(len(start)) if token is None else np.array(token)
    return TokenTargets(token, start, end, (start + end) / 2)


def one_hot(frames, count):
    """[heads, tokens, frames]: all attention on the frames given, [heads, tokens]."""
    return np.eye(count, dtype=np.float32)[np.asarray(frames)]


def counted(weights, goal, clock=None):
    """The statistics of one layer, by the clock of Qwen3-ASR."""
    return layer_statistics(
        weights, goal, FrameTimes.of(clock or Qwen3Clock(), np.shape(weights)[-1])
    )


def hits_of_every_frame(start_s, end_s, count=40):
    """The frames that count as a hit for a word: head h attends frame h."""
    weights = one_hot(np.arange(count)[:, None], count)
    return np.flatnonzero(counted(weights, targets((start_s, end_s))).hits).tolist()


def scores_of(weights, goal):
    """Scores of one clip and one layer, {metric: [heads]}."""
    totals = HeadTotals(1, len(weights), RATE)
    totals.add("clip", goal, [counted(weights, goal)])
    return {name: values[0, 0] for name, values in totals.scores().items()}


def statistics_of(heads, **sums):
    """Statistics that are zero but for what is given."""
    fields = {
        name: np.zeros(heads)
        for name in ("hits", "forward", "rho", "mass", "entropy", "sinks", "bias_s")
    }
    fields["error_counts"] = np.zeros((heads, len(ERROR_EDGES_S)))
    fields["frames"] = np.zeros((heads, 1), int)
    return LayerStatistics(**{**fields, **sums})


@pytest.mark.parametrize(
    "module", ["statistics", "totals", "groups", "ranking", "mapping", "borders"]
)
def test_scoring_loads_no_engine(module):
    code = (
        f"import sys, alignheads.discovery.{module}; "
        "bad = {'mlx', 'mlx.core', 'mlx_qwen3_asr', 'matplotlib'} & set(sys.modules); "
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# Hit rate: |centre of the frame - middle of the word| <= max(3 frames, half the word)


def test_a_short_word_has_three_frames_on_either_side_of_its_middle():
    # 1.0 to 1.3 s is frames 13 to 16.9, its middle 14.95: centres from 11.95 to 17.95.
    assert hits_of_every_frame(1.0, 1.3) == [12, 13, 14, 15, 16, 17]


def test_a_long_word_has_its_own_frames():
    # 1 to 2 s is frames 13 to 26, exactly.
    assert hits_of_every_frame(1.0, 2.0) == list(range(13, 26))


def test_the_window_includes_its_edge():
    # 0.5 s is 6.5 frames, the centre of frame 6; 3 frames reach the centres of 3 and 9.
    assert hits_of_every_frame(0.5, 0.5) == [3, 4, 5, 6, 7, 8, 9]


def test_a_word_at_the_very_start_is_not_hit_from_outside():
    assert hits_of_every_frame(0.0, 0.1) == [0, 1, 2, 3]


# Other scores by hand


def test_monotonicity_counts_standing_still_as_forward():
    goal = targets((0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8))
    scores = scores_of(one_hot([[0, 3, 3, 9], [9, 3, 2, 0], [5, 2, 8, 1]], 12), goal)
    assert scores["monotonicity"].tolist() == [1, 0, pytest.approx(1 / 3)]


def test_rho_is_spearmans_with_ties_and_zero_where_a_head_never_moves():
    goal = targets((0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8))
    scores = scores_of(one_hot([[1, 4, 6, 9], [9, 6, 4, 1], [5, 5, 5, 5], [1, 1, 2, 2]], 12), goal)
    tied = np.corrcoef([0.5, 0.5, 2.5, 2.5], [0, 1, 2, 3])[0, 1]
    assert scores["rho"] == pytest.approx([1, -1, 0, tied])


def test_mass_is_of_all_attention_and_entropy_of_the_audio_alone():
    # Half of the attention goes to the text; of the rest half lies inside the word.
    goal = targets((0.0, 2 / 13))
    weights = np.zeros((2, 1, 4), np.float32)
    weights[0, 0] = [0.125, 0.125, 0.125, 0.125]
    weights[1, 0] = [0, 0.5, 0, 0]
    scores = scores_of(weights, goal)
    assert scores["mass"] == pytest.approx([0.25, 0.5])
    assert scores["entropy_nats"] == pytest.approx([np.log(4), 0], abs=1e-6)


def test_a_head_that_pays_no_attention_to_the_audio_scores_nothing_and_breaks_nothing():
    scores = scores_of(np.zeros((1, 2, 20), np.float32), targets((0.8, 1.0), (1.0, 1.2)))
    assert scores["mass"] == 0
    assert scores["entropy_nats"] == 0
    assert scores["hit_rate"] == 0


def test_a_head_on_the_first_frames_is_a_sink_whatever_its_monotonicity():
    goal = targets(*((1 + 0.3 * i, 1.3 + 0.3 * i) for i in range(10)))
    follows = np.floor((goal.start_s + goal.end_s) / 2 * 13).astype(int)
    scores = scores_of(one_hot([np.zeros(10, int), np.full(10, 7), follows], 60), goal)
    assert scores["sink_share"].tolist() == [1, 1, 0]
    assert scores["hit_rate"].tolist() == [0, 0, 1]
    assert scores["monotonicity"].tolist() == [1, 1, 1]
    assert scores["rho"] == pytest.approx([0, 0, 1])


def test_frame_eight_is_no_sink():
    goal = targets((0.0, 0.1))
    assert counted(one_hot([[7], [8]], 12), goal).sinks.tolist() == [1, 0]


def test_time_errors_are_from_the_tokens_own_share_of_the_word():
    goal = TokenTargets(np.array([0, 1]), np.zeros(2), np.full(2, 1.0), np.array([0.25, 0.75]))
    frames = [[2, 9]]  # centres at 0.20 and 0.76 s: 50 and 10 ms off
    counts = counted(one_hot(frames, 13), goal).error_counts[0]
    assert np.flatnonzero(counts).tolist() == [0, 2]
    assert ERROR_EDGES_S[[0, 1, 2, 3]] == pytest.approx([0, 0.02, 0.04, 0.06])


def test_the_bias_is_the_mean_signed_error_of_one_second_at_most():
    goal = targets((1.0, 1.2), (2.0, 2.2))  # frames 14.3 and 27.3
    found = scores_of(one_hot([[14, 27], [9, 22], [14, 79], [14, 0]], 80), goal)["time_bias_ms"]
    assert found[0] == pytest.approx(0, abs=40)
    assert found[1] == pytest.approx(found[0] - 1000 * 5 / 13, abs=45)  # a frame may last 40 ms
    assert found[2:] - found[0] == pytest.approx([500, -500], abs=40)


def test_only_the_alignable_tokens_are_looked_at():
    goal = targets((0.0, 0.2), (0.9, 1.0), token=[1, 3])
    frames = one_hot([[11, 0, 11, 12, 11]], 13)
    assert counted(frames, goal).hits.tolist() == [2]
    assert counted(frames, goal).frames.tolist() == [[0, 12]]


def test_gold_frames_stay_inside_the_audio():
    first, last = gold_frames(
        targets((0, 0.05), (0.5, 0.5), (1.4, 1.9), (5, 6)), FrameTimes.of(Qwen3Clock(), 20)
    )
    assert first.tolist() == [0, 6, 18, 19]
    assert last.tolist() == [0, 6, 19, 19]


def test_time_errors_follow_the_exact_clock():
    """Frame 12 is the middle of 0.96 to 1 s, frame 13 of 1 to 1.08 s: evenly it would be 0.9615."""
    for frame, centre_s in ((12, 0.98), (13, 1.04), (25, 1.98)):
        goal = TokenTargets(np.array([0]), np.zeros(1), np.full(1, 3.0), np.array([centre_s]))
        counts = counted(one_hot([[frame]], 39), goal).error_counts[0]
        assert np.flatnonzero(counts).tolist() == [0]


def test_windows_are_as_many_seconds_by_any_clock():
    goal = targets((2.0, 2.11))
    found = counted(one_hot(np.arange(200)[:, None], 200), goal, EvenClock())
    # 0.23 s is 12 frames of 20 ms: centres from 1.815 to 2.295 s. The sink is 0.6 s.
    assert np.flatnonzero(found.hits).tolist() == list(range(91, 115))
    assert found.sinks.sum() == 30
    assert distance_bins(50.0) == 155
    assert distance_bins(13.0) == 40
    assert HeadTotals(1, 2, 50).arrays["border"].shape[-1] == 155


def test_time_errors_and_gold_frames_follow_another_clock():
    goal = targets((0.5, 0.7))  # frames 25 to 34
    first, last = gold_frames(goal, FrameTimes.of(EvenClock(), 100))
    assert (first.tolist(), last.tolist()) == ([25], [34])
    # Frame 24 has its centre at 0.49 s, 0.11 s from the middle of the word.
    counts = counted(one_hot([[24]], 100), goal, EvenClock()).error_counts[0]
    assert np.flatnonzero(counts).tolist() == [5]


# Quantiles from histograms


@pytest.mark.parametrize("spread_s", [0.03, 0.3, 3.0])
def test_quantiles_of_errors_are_right_to_a_bin(spread_s):
    rng = np.random.default_rng(1)
    errors = rng.exponential(spread_s, 4000)
    counts = np.histogram(errors, [*ERROR_EDGES_S, np.inf])[0]
    for share in (0.5, 0.9):
        found = totals_module.histogram_quantile(counts[None], share)[0]
        true = np.quantile(errors, share)
        width = np.diff(ERROR_EDGES_S)[np.searchsorted(ERROR_EDGES_S, true) - 1]
        assert abs(found - true) <= width


def test_the_quantile_of_nothing_is_undefined():
    assert np.isnan(totals_module.histogram_quantile(np.zeros((1, len(ERROR_EDGES_S))), 0.5)).all()


def test_an_error_beyond_the_last_bin_is_counted_in_it():
    weights = one_hot([[0]], 1400)
    found = scores_of(weights, targets((100, 101)))
    assert 50_000 <= found["time_error_p50_ms"][0] <= 60_000


# Border AUC


@pytest.mark.parametrize("seed", range(5))
def test_roc_auc_equals_counting_all_pairs(seed):
    rng = np.random.default_rng(seed)
    distances = rng.integers(0, 12, 60)
    heard = rng.random(60) < 0.5
    counts = border_counts(distances[None], heard, BINS)[0]
    pairs = distances[heard][:, None] - distances[~heard][None]
    brute = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    assert roc_auc(counts[0], counts[1]) == pytest.approx(brute)


def test_roc_auc_of_perfect_reversed_and_blind_heads():
    heard = np.array([False, False, True, True])
    distances = np.array([[1, 2, 8, 9], [9, 8, 2, 1], [3, 3, 3, 3]])
    counts = border_counts(distances, heard, BINS)
    assert roc_auc(counts[:, 0], counts[:, 1]).tolist() == [1, 0, 0.5]


def test_far_and_negative_distances_fall_into_the_outer_bins():
    counts = border_counts(np.array([[-3, 0, 39, 40, 500]]), np.ones(5, bool), BINS)
    assert counts.shape == (1, 2, BINS)
    assert counts[0, 1, 0] == 2
    assert counts[0, 1, -1] == 3
    assert not counts[0, 0].any()


def test_no_cuts_no_border_score():
    goal = targets((0, 0.2))
    assert not {"border_auc", "commit_accuracy"} & set(scores_of(one_hot([[0]], 4), goal))


def test_commits_are_right_beyond_the_border_for_what_was_heard_and_within_for_what_was_not():
    heard = np.array([False, False, True, True])
    # 0.3 s are 3.9 frames: a token 3 frames from the end waits, one 4 frames from it does not.
    distances = np.array([[1, 3, 4, 9], [4, 9, 3, 1], [1, 1, 1, 1], [1, 9, 4, 9]])
    counts = border_counts(distances, heard, BINS)
    found = commit_accuracy(counts[:, 0], counts[:, 1], 3.9)
    assert found.tolist() == [1, 0, 0.5, 0.75]


def test_each_kind_of_token_counts_half_however_many_there_are():
    counts = border_counts(np.array([[1, 9, 9, 9, 1]]), np.arange(5) > 0, BINS)[0]
    assert commit_accuracy(counts[0], counts[1], 3.9) == pytest.approx((1 + 3 / 4) / 2)


# Totals


def random_clips(seed, clips, layers=2, heads=3, frames=60):
    rng = np.random.default_rng(seed)
    for index in range(clips):
        count = int(rng.integers(1, 9))
        start = np.sort(rng.uniform(0, 4, count))
        goal = targets(*zip(start, start + 0.3, strict=True))
        weights = rng.dirichlet(np.ones(frames), (layers, heads, count)).astype(np.float32)
        counts = border_counts(rng.integers(0, 50, (heads, 6)), rng.random(6) < 0.5, BINS)
        yield f"clip-{seed}-{index}", goal, weights, counts


def measured(clips, layers=2, heads=3):
    totals = HeadTotals(layers, heads, RATE)
    for clip_id, goal, weights, counts in clips:
        totals.add(clip_id, goal, [counted(w, goal) for w in weights])
        for layer in range(layers):
            totals.add_border(clip_id, layer, counts)
    return totals


def test_shards_add_up_to_one_run_over_all():
    clips = list(random_clips(3, 12))
    whole = measured(clips)
    parts = measured(clips[::3]) + measured(clips[1::3]) + measured(clips[2::3])
    for name, array in whole.arrays.items():
        if name in ("rho", "mass", "entropy", "bias_s"):
            assert parts.arrays[name] == pytest.approx(array, rel=1e-9), name
        else:
            assert (parts.arrays[name] == array).all(), name
    assert (parts.clips, parts.tokens) == (whole.clips, whole.tokens) == (12, whole.tokens)
    for name, values in whole.scores().items():
        assert np.allclose(parts.scores()[name], values, rtol=1e-9, equal_nan=True), name


def test_the_order_of_clips_does_not_matter():
    clips = list(random_clips(4, 6))
    forward, backward = measured(clips), measured(clips[::-1])
    assert (forward.arrays["hits"] == backward.arrays["hits"]).all()
    assert (forward.arrays["border"] == backward.arrays["border"]).all()


def test_adding_leaves_both_parts_as_they_were():
    a, b = measured(random_clips(5, 2)), measured(random_clips(6, 2))
    before = a.arrays["hits"].copy(), b.arrays["hits"].copy()
    _ = a + b
    assert (a.arrays["hits"] == before[0]).all()
    assert (b.arrays["hits"] == before[1]).all()


def test_totals_of_other_shapes_do_not_add():
    with pytest.raises(InputError, match="different models"):
        HeadTotals(2, 3, RATE) + HeadTotals(2, 4, RATE)
    with pytest.raises(InputError, match="13 and 50 frames a second"):
        HeadTotals(2, 3, 13) + HeadTotals(2, 3, 50)


def test_scores_of_nothing_are_undefined_and_not_zero():
    for values in HeadTotals(1, 2, RATE).scores().values():
        assert np.isnan(values).all()


def test_a_clip_of_one_token_has_no_pairs():
    scores = scores_of(one_hot([[3]], 20), targets((0.2, 0.4)))
    assert np.isnan(scores["monotonicity"][0])
    assert scores["hit_rate"][0] == 1


# Bootstrap


def test_the_first_replicate_is_the_plain_sum_and_weights_depend_on_the_id_alone():
    weights = replicate_weights("84-121123-0000")
    assert weights.shape == (1 + REPLICATES,)
    assert weights[0] == 1
    assert (weights == replicate_weights("84-121123-0000")).all()
    assert (weights != replicate_weights("84-121123-0001")).any()


def test_weights_are_poisson_of_mean_one():
    drawn = np.concatenate([replicate_weights(f"id {i}")[1:] for i in range(100)])
    assert drawn.mean() == pytest.approx(1, abs=0.03)
    assert drawn.var() == pytest.approx(1, abs=0.05)


def test_intervals_cover_the_truth_also_where_tokens_of_a_clip_go_together():
    """Each clip is hit wholly or not at all: an interval over tokens would be far too narrow."""
    rng = np.random.default_rng(0)
    rate, heads, tokens = 0.6, 400, 10
    totals = HeadTotals(1, heads, RATE)
    for index in range(80):
        goal = targets(*[(0, 0.1)] * tokens)
        hits = tokens * (rng.random(heads) < rate)
        totals.add(f"clip {index}", goal, [statistics_of(heads, hits=hits)])
    low, high = np.quantile(totals.scores()["hit_rate"][1:, 0], [0.025, 0.975], axis=0)
    covered = ((low <= rate) & (rate <= high)).mean()
    assert 0.90 <= covered <= 0.98
    # The width is that of 80 coin flips, not of 800.
    assert (high - low).mean() == pytest.approx(2 * 1.96 * np.sqrt(rate * 0.4 / 80), rel=0.15)
