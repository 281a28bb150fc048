"""Planted heads in random attention are found, ranked, grouped and told to be sure. No model."""

from itertools import pairwise

import numpy as np
import pytest

from alignheads.discovery import groups
from alignheads.discovery.groups import ClipFrames, FrameSample, forward_selection, score_group
from alignheads.discovery.mapping import TokenTargets
from alignheads.discovery.ranking import RANKINGS, rank_heads
from alignheads.discovery.statistics import FrameTimes, border_counts, layer_statistics
from alignheads.discovery.totals import HeadTotals
from alignheads.errors import InputError
from alignheads.runtime.models.qwen3.clock import Qwen3Clock

LAYERS, HEADS, FRAMES = 3, 4, 80
PLANTED = {(1, 2): 0.5, (2, 0): 2.0, (0, 3): 4.0}
"""(layer, head): how far its attention strays, in frames."""
ORDER = [layer * HEADS + head for layer, head in PLANTED]


def clip(rng, sink=None):
    """Weights [layers, heads, tokens, frames] that are noise but for the planted heads."""
    count = 12
    start = np.sort(rng.uniform(0.8, 5.5, count))
    goal = TokenTargets(np.arange(count), start, start + 0.25, start + 0.125)
    weights = rng.dirichlet(np.full(FRAMES, 0.3), (LAYERS, HEADS, count)).astype(np.float32)
    for (layer, head), spread in PLANTED.items():
        at = goal.centre_s * 13 + rng.normal(0, spread, count)
        peaks = np.clip(at, 0, FRAMES - 1).astype(int)
        weights[layer, head] *= 0.3
        weights[layer, head, np.arange(count), peaks] += 0.7
    if sink:
        weights[sink] *= 0.1
        weights[(*sink, slice(None), 0)] += 0.9
    return goal, weights


def counted(weights, goal):
    return layer_statistics(weights, goal, FrameTimes.of(Qwen3Clock(), FRAMES))


def planted(seed=0, clips=24, sink=None):
    """Totals and sample of a corpus with planted heads; borders from the planted heads too."""
    rng = np.random.default_rng(seed)
    totals, sample = HeadTotals(LAYERS, HEADS, 13), FrameSample()
    for index in range(clips):
        clip_id = f"clip {index}"
        goal, weights = clip(rng, sink)
        layers = [counted(w, goal) for w in weights]
        totals.add(clip_id, goal, layers)
        centres_s = FrameTimes.of(Qwen3Clock(), FRAMES).centres_s
        attended_s = centres_s[np.concatenate([s.frames for s in layers])]
        sample.add(clip_id, attended_s, goal.centre_s)
        heard = np.arange(8) < 5
        frames = rng.integers(0, 40, (LAYERS, HEADS, 8))
        for (layer, head), spread in PLANTED.items():
            true = np.where(heard, 40 - 6 * (5 - np.arange(8)), 39)
            frames[layer, head] = np.clip(true + rng.normal(0, spread, 8), 0, 39)
        for layer in range(LAYERS):
            totals.add_border(clip_id, layer, border_counts(40 - frames[layer], heard, 40))
        sample.add_cut(clip_id, frames.reshape(-1, 8), 40, heard)
    return totals, sample


def rank(found, method="hit_rate", top=3):
    totals, sample = found
    return rank_heads(totals, totals.scores(), sample, method, top)


@pytest.fixture(scope="module")
def found():
    return planted()


@pytest.mark.parametrize("method", [m for m in RANKINGS if m != "set"])
def test_every_score_finds_the_planted_heads_best_first(found, method):
    totals, _ = found
    ranking = rank(found, method)
    assert set(ranking.order[:3]) == set(ORDER)
    if method in ("hit_rate", "time_error"):
        assert ranking.order[:3] == ORDER
    assert sorted(ranking.order) == list(range(LAYERS * HEADS))
    values = totals.scores()[ranking.metric][0].ravel()[ranking.order]
    assert (np.diff(values) >= 0).all() if method == "time_error" else (np.diff(values) <= 0).all()


def test_the_planted_heads_are_surely_in_the_top_and_the_rest_is_not(found):
    ranking = rank(found)
    assert ranking.top_probability.ravel()[ORDER].min() > 0.95
    assert ranking.top_probability.sum() == pytest.approx(3)
    assert ranking.top_stability > 0.95
    assert ranking.clips_needed is None


def test_heads_of_pure_noise_are_not_sure_and_more_clips_are_asked_for():
    rng = np.random.default_rng(0)
    totals = HeadTotals(4, 8, 13)
    for index in range(6):
        goal, _ = clip(rng)
        weights = rng.dirichlet(np.ones(FRAMES), (4, 8, 12))
        totals.add(f"clip {index}", goal, [counted(w, goal) for w in weights])
    ranking = rank_heads(totals, totals.scores(), FrameSample(), "hit_rate", 8)
    assert ranking.top_stability < 0.8
    assert ranking.clips_needed > 6
    assert ranking.groups == []


def test_a_sink_head_is_ranked_low_by_all_but_monotonicity():
    found = planted(sink=(2, 3))
    sink = 2 * HEADS + 3
    for method in ("hit_rate", "time_error", "mass", "commit_accuracy", "border_auc"):
        assert sink not in rank(found, method).order[:3]
    assert found[0].scores()["sink_share"][0, 2, 3] == 1
    assert sink in rank(found, "monotonicity").order[:3]


def test_a_top_beyond_all_heads_is_all_heads(found):
    ranking = rank(found, top=999)
    assert ranking.top == LAYERS * HEADS
    assert ranking.top_stability == 1
    assert (ranking.top_probability == 1).all()


def test_a_replicate_without_any_clip_has_no_say():
    totals, sample = planted(clips=1)
    assert np.isnan(totals.scores()["hit_rate"]).any()
    ranking = rank((totals, sample))
    assert ranking.top_probability.ravel()[ORDER].tolist() == [1, 1, 1]
    assert ranking.top_stability == 1


def test_unknown_and_unmeasured_and_undefined_rankings_are_refused(found):
    with pytest.raises(InputError, match=r"nonsense.*hit_rate, monotonicity"):
        rank(found, "nonsense")
    totals, sample = HeadTotals(LAYERS, HEADS, 13), FrameSample()
    goal, weights = clip(np.random.default_rng(0))
    one = TokenTargets(*(getattr(goal, f)[:1] for f in ("token", "start_s", "end_s", "centre_s")))
    totals.add("a", one, [counted(w, one) for w in weights])
    with pytest.raises(InputError, match="border_auc was not measured"):
        rank((totals, sample), "border_auc")
    with pytest.raises(InputError, match="monotonicity is undefined for every head"):
        rank((totals, sample), "monotonicity")
    with pytest.raises(InputError, match="two clips or more"):
        rank((totals, sample), "set")
    for layer in range(LAYERS):
        guessed = border_counts(np.ones((HEADS, 2), int), np.zeros(2, bool), 40)
        totals.add_border("a", layer, guessed)
    # Guessed tokens alone separate nothing from nothing.
    with pytest.raises(InputError, match="border_auc was not measured"):
        rank((totals, sample), "border_auc")


def test_a_head_that_looks_ahead_of_time_fools_the_border_auc_and_no_score_for_streams():
    """It looks half a second before each word, with less noise than the head that follows."""
    rng = np.random.default_rng(0)
    totals, sample = HeadTotals(1, 2, 13), FrameSample()
    for index in range(24):
        start = np.sort(rng.uniform(1, 5.5, 12))
        goal = TokenTargets(np.arange(12), start, start + 0.25, start + 0.125)
        looks = goal.centre_s * 13 + np.stack([rng.normal(0, 2, 12), np.full(12, -6.5)])
        weights = np.eye(FRAMES, dtype=np.float32)[np.clip(looks, 0, FRAMES - 1).astype(int)]
        totals.add(f"clip {index}", goal, [counted(weights, goal)])
        heard = np.arange(8) < 5
        true = np.where(heard, 40 - 5 * (5 - np.arange(8)), 39)
        frames = np.stack([np.clip(true + rng.normal(0, 2, 8), 0, 39).astype(int), true - 6])
        totals.add_border(f"clip {index}", 0, border_counts(40 - frames, heard, 40))
    follows, ahead = 0, 1
    assert rank((totals, sample), "border_auc", 1).order == [ahead, follows]
    for method in ("hit_rate", "time_error", "mass", "commit_accuracy"):
        assert rank((totals, sample), method, 1).order == [follows, ahead]
    bias_ms = totals.scores()["time_bias_ms"][0, 0]
    assert abs(bias_ms[follows]) < 60
    assert bias_ms[ahead] == pytest.approx(-500, abs=40)


# Groups


def clips_of(*offsets, clips=4, tokens=10):
    """Clips in which head h attends `offsets[h]` frames off the gold frame, as a number or [n]."""
    made = []
    for _ in range(clips):
        frames = np.arange(20, 20 + 4 * tokens, 4)
        attended = np.stack([frames + np.broadcast_to(o, tokens) for o in offsets])
        nothing = np.zeros((len(offsets), 0), np.int16)
        centre = (frames + 0.5) / 13
        empty = np.zeros(0, int)
        attended_s = ((attended + 0.5) / 13).astype(np.float32)
        made.append(ClipFrames(attended_s, centre, nothing, empty, empty > 0))
    return made


def test_a_group_scores_the_median_of_its_heads():
    clips = clips_of(0, 13, 26)
    assert score_group(clips, [0], 13).time_error_ms == pytest.approx(0, abs=1e-3)
    assert score_group(clips, [0, 1], 13).time_error_ms == pytest.approx(500, abs=1e-3)
    assert score_group(clips, [0, 0, 1], 13).time_error_ms == pytest.approx(0, abs=1e-3)
    assert score_group(clips, [2], 13).time_error_ms == pytest.approx(1000)
    assert np.isnan(score_group(clips, [0], 13).border_auc)


def test_an_error_counts_one_second_at_most():
    assert score_group(clips_of(400), [0], 13).time_error_ms == pytest.approx(1000)


def test_selection_finds_a_complementary_pair():
    # Two good heads err alike; a worse one errs the other way, and the pair is nearly exact.
    chosen, curve = forward_selection(clips_of(4, 4, 9, -5), [0, 1, 2, 3], 2)
    assert chosen == [0, 3]
    assert curve == pytest.approx([4000 / 13, 500 / 13], rel=1e-4)


def test_selection_goes_on_to_its_size_and_never_takes_a_head_twice():
    chosen, curve = forward_selection(clips_of(1, 2, 3), [2, 1, 0])
    assert chosen == [2, 0, 1]  # the first candidate comes first, though others err less
    assert len(curve) == 3


def test_the_set_ranking_puts_the_chosen_first_and_validates_on_the_other_half(found):
    ranking = rank(found, "set")
    assert sorted(ranking.order) == list(range(LAYERS * HEADS))
    assert ranking.order[0] == ORDER[0]
    hit_rate = found[0].scores()["hit_rate"][0].ravel()
    chosen = [head for head in range(LAYERS * HEADS) if hit_rate[head] >= 0.9 * hit_rate.max()]
    assert sorted(ranking.order[: ranking.chosen]) == chosen
    assert len(ranking.set_error_curve) == ranking.chosen == len(chosen)
    rest = hit_rate[ranking.order[ranking.chosen :]]
    assert (np.diff(rest) <= 0).all()
    groups = {group.name: group for group in ranking.groups}
    best, everything = groups["this ranking, best 1"], groups["all heads"]
    assert (best.is_own, best.num_heads) == (True, 1)
    assert best.scores == vars(score_group(found[1].halves()[1], ORDER[:1], 13))
    assert (everything.is_own, everything.num_heads) == (False, LAYERS * HEADS)
    assert best.scores["time_error_ms"] < everything.scores["time_error_ms"]
    for score in ("commit_accuracy", "border_auc"):
        assert best.scores[score] > everything.scores[score]
    own = [group for group in ranking.groups if group.name.startswith("this set")]
    assert [group.num_heads for group in own] == [np.argmin(ranking.set_error_curve) + 1]


def test_the_two_halves_share_no_clip(found):
    choosing, validating = found[1].halves()
    assert len(choosing) == len(validating) == 12
    assert not {id(clip) for clip in choosing} & {id(clip) for clip in validating}


def sampled(names):
    sample = FrameSample()
    for name in names:
        sample.add(name, np.zeros((2, 3), int), np.zeros(3))
        sample.add_cut(name, np.ones((2, 4), int), 9, np.ones(4, bool))
    return sample


def test_the_sample_is_bounded_and_shards_keep_what_one_run_keeps(monkeypatch):
    monkeypatch.setattr(groups, "MAX_CLIPS", 5)
    names = [f"clip {i}" for i in range(30)]
    whole = sampled(names)
    assert len(whole.clips) == 5
    assert set(sampled(names[::-1]).clips) == set(whole.clips)
    pooled, second = sampled(names[::2]), sampled(names[1::2])
    for name, kept in second.clips.items():
        pooled.keep(name, kept)
    assert set(pooled.clips) == set(whole.clips)
    assert all(kept.cut_frames.shape == (2, 4) for kept in pooled.clips.values())


def test_cuts_of_a_clip_that_was_not_kept_are_forgotten():
    sample = FrameSample()
    sample.add_cut("gone", np.zeros((2, 1), int), 9, np.ones(1, bool))
    assert sample.clips == {}


def test_selection_never_gets_worse_at_its_first_step(found):
    _, curve = forward_selection(found[1].halves()[0], range(LAYERS * HEADS), 3)
    assert min(curve) <= curve[0]
    assert all(a > 0 and b > 0 for a, b in pairwise(curve))
