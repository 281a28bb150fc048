"""The default choice: simulated speech says what it chooses, and that nobody regrets it."""

from __future__ import annotations

import math

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from alignheads.calibrate.report import RESULT, reasons, standing
from alignheads.calibrate.study.choice import Candidate, choose
from alignheads.calibrate.study.pareto import Rule, parse_rule, select
from alignheads.calibrate.study.space import BASELINE, SEARCHED
from alignheads.errors import InputError
from alignheads.evaluate.intervals import Sums

WORDS = 20.0


def candidate(errors, delay_s, is_baseline=False, words=WORDS):
    """A trial that makes `errors` in each utterance, always at the same delay."""
    said = np.full(len(errors), words)
    return Candidate(Sums.of(errors, said), Sums.of(delay_s * said, said), is_baseline)


def alike(count, errors=2):
    return np.full(count, errors)


# Planted


def test_a_trial_that_is_as_good_and_faster_is_chosen():
    published = candidate(alike(60), 1.5, True)
    found = choose([published, candidate(alike(60), 0.8), candidate(alike(60, 5), 0.4)], 0.01)
    assert (found.index, found.reference) == (1, 0)
    assert found.increase.value == 0
    assert 0 < found.increase.high < 0.01
    assert found.missed is None


def test_the_published_setting_is_chosen_over_a_trial_that_is_worse_beyond_the_limit():
    published = candidate(alike(60), 1.5, True)
    found = choose([published, candidate(alike(60, 3), 1.49), candidate(alike(60), 1.6)], 0.01)
    assert (found.index, found.reference) == (0, 0)
    assert (found.increase.value, found.increase.high) == (0, 0)


def test_a_trial_whose_interval_reaches_over_the_limit_is_not_chosen_and_more_speech_is_asked_for():
    usual, changed = alike(30), alike(30)
    changed[:10] += 2
    changed[10:19] -= 2  # two errors more in all, but anyone's guess where
    trials = [candidate(usual, 1.5, True), candidate(changed, 0.8)]
    found = choose(trials, 0.01)
    assert found.index == 0
    assert found.missed is not None
    assert found.missed.index == 1
    assert 30 < found.missed.utterances < 300
    # So much more of the same speech does tell, and half of it does not.
    for share, chosen in ((1.2, 1), (0.5, 0)):
        times = math.ceil(share * found.missed.utterances / 30)
        more = [
            candidate(np.tile(one, times), delay_s, delay_s > 1)
            for one, delay_s in ((usual, 1.5), (changed, 0.8))
        ]
        assert choose(more, 0.01).index == chosen


def test_more_delay_is_worth_it_for_fewer_errors_beyond_chance_and_the_limit_only():
    dice = np.random.default_rng(0)
    usual = dice.poisson(4, 60)
    clearly = candidate(np.maximum(usual - 2, 0), 1.2)
    slightly = candidate(usual - (np.arange(60) % 8 == 0), 1.2)
    assert choose([candidate(usual, 0.9, True), clearly], 0.01).index == 1
    assert choose([candidate(usual, 0.9, True), clearly], 0.01).reference == 1
    assert choose([candidate(usual, 0.9, True), slightly], 0.01).index == 0


def test_of_two_published_settings_the_one_with_fewer_errors_is_compared_with():
    trials = [
        candidate(alike(60, 4), 0.5, True),
        candidate(alike(60), 1.5, True),
        candidate(alike(60, 3), 0.4),
        candidate(alike(60), 0.9),
    ]
    assert (choose(trials, 0.01).index, choose(trials, 0.01).reference) == (3, 1)


def test_of_published_settings_as_good_as_each_other_the_faster_is_compared_with():
    best = alike(60)
    best[0] -= 1
    trials = [candidate(alike(60), 0.9, True), candidate(best, 1.5, True)]
    assert (choose(trials, 0.01).index, choose(trials, 0.01).reference) == (0, 0)
    worse = candidate(alike(60, 3), 0.5, True)
    assert choose([worse, *trials], 0.01).reference == 1


# Hostile


@pytest.mark.parametrize("limit", [0, 0.01, 5])
def test_one_trial_is_the_choice(limit):
    for is_baseline in (False, True):
        found = choose([candidate([1, 0], 0.5, is_baseline)], limit)
        assert (found.index, found.reference, found.missed) == (0, 0, None)
    with pytest.raises(InputError, match="nothing to select from"):
        choose([], limit)


def test_without_a_published_setting_the_fewest_errors_are_compared_with():
    found = choose([candidate(alike(60, 3), 0.5), candidate(alike(60), 0.9)], 0.01)
    assert (found.index, found.reference) == (1, 1)


def test_no_error_at_all_in_two_words_is_no_certainty():
    trials = [candidate([0, 0], 1.5, True, words=1), candidate([0, 0], 0.5, words=1)]
    found = choose(trials, 0.01)
    assert found.index == 0
    assert found.missed is not None
    assert found.missed.utterances > 100
    enough = [candidate(alike(40, 0), 1.5, True), candidate(alike(40, 0), 0.5)]
    assert choose(enough, 0.01).index == 1


def test_one_utterance_or_utterances_without_words_can_be_chosen_by():
    assert choose([candidate([1], 1.5, True), candidate([0], 0.5)], 0.01).index in (0, 1)
    said, errors = np.tile([0.0, 20.0], 30), np.tile([0.0, 1.0], 30)
    quiet = [
        Candidate(Sums.of(errors, said), Sums.of(delay_s * said, said), delay_s > 1)
        for delay_s in (1.5, 0.5)
    ]
    assert choose(quiet, 0.01).index == 1


def test_a_limit_of_nothing_leaves_the_published_setting():
    trials = [candidate(alike(60), 1.5, True), candidate(alike(60), 0.5)]
    found = choose(trials, 0)
    assert (found.index, found.missed) == (0, None)


def test_equal_delays_are_decided_by_errors():
    trials = [candidate(alike(60), 1.5, True)]
    trials += [candidate(alike(60) + (np.arange(60) < few), 0.5) for few in (1, 0, 2)]
    assert choose(trials, 0.01).index == 2


def test_the_luckiest_of_fifty_trials_is_not_taken_for_a_good_one():
    """All fifty are worse by 1.5 points; their noise is their own, so the luckiest looks good."""
    wrong = 0
    for seed in range(60):
        dice = np.random.default_rng(seed)
        usual = dice.poisson(2, 30)
        trials = [candidate(usual, 1.5, True)]
        for k in range(50):
            changed = usual + dice.poisson(0.7, 30) - dice.poisson(0.4, 30)
            trials.append(candidate(np.maximum(changed, 0), 0.5 + k / 100))
        wrong += choose(trials, 0.01).index != 0
    assert wrong <= 0.1 * 60


# Simulated: what the choice is worth on speech that it was not made on


BORDERS_S = (0.55, 1.15)  # published: somewhat too narrow, and safe
SETTINGS = 40


def error_rate(border_s, quality):
    """Of streams, over that of the model: words lost at narrow borders, as on real speech."""
    return (0.5 * np.exp(-border_s / 0.17) + 0.012 * np.exp(-border_s / 0.5)) * (1 + 2 * quality)


def simulated(seed, utterances):
    """Candidates over `utterances`, and the true error rate that each adds to the model's.

    All lose words of the same utterances, more of them the narrower the border; each has errors
    of its own, too. `quality` is that of a trial's heads, 0 is best.
    """
    dice = np.random.default_rng(seed)
    borders_s = np.concatenate([BORDERS_S, dice.uniform(0.1, 1.8, SETTINGS)])
    quality = np.concatenate([[0.25, 0.25], dice.exponential(0.25, SETTINGS)])
    rates = error_rate(borders_s, quality)
    words = dice.integers(6, 32, utterances)
    errors = np.tile(dice.poisson(0.1 * words), (len(rates), 1))
    hard = dice.gamma(1, 1, utterances) * words
    for index, lost in enumerate(dice.poisson(rates.max() * hard)):
        errors[:, index] += (dice.random(lost) * rates.max() < rates[:, None]).sum(1)
    own = dice.poisson(0.003 * words, errors.shape) - dice.poisson(0.003 * words, errors.shape)
    errors = np.maximum(errors + own, 0)
    candidates = [
        Candidate(Sums.of(one, words), Sums.of((0.3 + 0.85 * border_s) * words, words), index < 2)
        for index, (one, border_s) in enumerate(zip(errors, borders_s, strict=True))
    ]
    return candidates, rates


def knee(candidates):
    """What was chosen before: the bend of the front, of points."""
    points = [one.point for one in candidates]
    wer, delay_s = min(points[:2])
    words = candidates[0].errors.denominator.sum()
    return select(points, Rule("knee"), (wer + 2 * math.sqrt(max(wer * words, 1)) / words, delay_s))


def test_the_knee_is_regretted_and_the_default_is_not():
    regrets = dict.fromkeys(("knee", "within"), 0)  # true errors over a point more than published
    faster_s = []
    for seed in range(50):
        candidates, rates = simulated(seed, 40)
        for name, index in (("knee", knee(candidates)), ("within", choose(candidates, 0.01).index)):
            regrets[name] += rates[index] - rates[1] > 0.01
        found = choose(candidates, 0.01)
        faster_s.append(candidates[1].point[1] - candidates[found.index].point[1])
    assert regrets["knee"] >= 5
    assert regrets["within"] <= 2
    assert np.mean(faster_s) > 0.03
    assert np.mean(np.array(faster_s) < 0) <= 0.05


# From a study


def trial(border_s, errors, delay_s, baseline=None, **more):
    """A complete trial, as the sweep tells it."""
    words = [20] * len(errors)
    sums = {
        "errors": errors, "reference_words": words, "matched_words": words,
        "delay_s": [20 * delay_s] * len(errors),
    }  # fmt: skip
    measures = dict.fromkeys(
        ("reference_words", "matched_words", "substitutions", "deletions", "insertions",
         "final_deletions"), sum(words),
    ) | dict.fromkeys(
        ("delay_p50_s", "delay_p90_s", "delay_p95_s", "delay_aware_s", "first_word_s",
         "finalisation_s", "laal_s", "start_error_p50_ms", "rtf"),
    )  # fmt: skip
    attributes = {RESULT: {"measures": measures, "sums": sums, "seconds": 0.1}}
    if baseline is not None:
        attributes |= {BASELINE: baseline, SEARCHED: "fraction"}
    return optuna.trial.create_trial(
        state=TrialState.COMPLETE,
        params={"border_s": border_s},
        distributions={"border_s": optuna.distributions.FloatDistribution(0, 2)},
        values=[sum(errors) / sum(words), delay_s],
        user_attrs={**attributes, **more},
    )


def study_of(*trials):
    study = optuna.create_study(directions=["minimize", "minimize"])
    study.add_trials(trials)
    return study


WITHIN = parse_rule("within=1")


def test_a_study_says_what_was_chosen_and_why():
    changed = [6] * 15 + [0] * 30 + [2] * 15
    study = study_of(
        trial(0.2, [2] * 60, 1.5, "published, border .25"),
        trial(0.8, [2] * 60, 0.9),
        trial(0.4, changed, 0.6),
    )
    found = standing(study, "seconds", WITHIN, strict=True)
    assert found.selected is not None
    assert (found.selected.number, found.selected.how) == (1, "within=1")
    assert (found.selected.reference, found.chosen.number) == (0, 1)
    assert found.selected.missed is not None
    assert found.selected.missed.number == 2
    first, second = reasons(found, 60)
    assert first.startswith("chosen: trial 1 (10.00 % at 0.90 s), +0.00 points of WER (at most +0.")
    assert first.endswith(" over published, border .25 (10.00 % at 1.50 s)")
    assert second.startswith("too little speech: trial 2 (10.00 % at 0.60 s) may be as good")
    assert second.endswith(f"about {found.selected.missed.utterances} utterances like these 60 "
                           "are needed")  # fmt: skip


@pytest.mark.parametrize("rule", ["within=1", "max-wer-increase=0", "max-delay=2", "knee"])
def test_a_published_setting_may_be_chosen_whatever_its_border_and_is_not_on_the_front(rule):
    study = study_of(
        trial(0.2, [2] * 60, 0.5, "published, border .25"),
        trial(0.8, [4] * 60, 0.9),
        trial(0.4, [6] * 60, 0.8),
    )
    found = standing(study, "seconds", parse_rule(rule), strict=True)
    assert found.chosen.baseline == "published, border .25"
    assert found.front == [2, 1]


@pytest.mark.parametrize(("phases", "chosen"), [(1, 1), (4, 2)])
def test_the_ceiling_of_the_knee_counts_a_word_once_not_in_every_phase(phases, chosen):
    # 10 % of 1200 words: chance adds 1.8 points; of 300 words in four phases, 3.7.
    study = study_of(
        trial(0.2, [2] * 60, 1.5, "published, border .25"),
        trial(0.8, [2] * 60, 1.4),
        trial(0.5, [2] * 54 + [3] * 6, 0.6),
        trial(0.4, [2] * 24 + [3] * 36, 0.5),  # 13 %: without it there is no knee
    )
    found = standing(study, "seconds", parse_rule("knee"), phases=phases, strict=True)
    assert found.chosen.number == chosen


def test_no_error_in_several_phases_is_as_much_evidence_as_in_one():
    study = study_of(
        trial(0.2, [0] * 12, 1.5, "published, border .25"),
        trial(0.4, [0] * 12, 0.6),
    )
    once, often = (
        standing(study, "seconds", WITHIN, phases=phases).chosen.number for phases in (1, 4)
    )
    assert (once, often) == (1, 0)  # 1.6 events of 240 words are less than a point, of 60 more


def test_trials_without_sums_can_be_chosen_by_points_only():
    old = trial(0.8, [2] * 60, 0.9)
    del old.user_attrs[RESULT]["sums"]
    study = study_of(old)
    assert standing(study, "seconds", parse_rule("knee"), strict=True).chosen.number == 0
    with pytest.raises(InputError, match=r"of a version that did not keep it.*max-wer-increase"):
        standing(study, "seconds", WITHIN, strict=True)
    assert standing(study, "seconds", WITHIN).selected is None


def test_a_study_without_a_complete_trial_chooses_nothing():
    assert standing(study_of(), "seconds", WITHIN).selected is None
    assert reasons(standing(study_of(), "seconds", WITHIN), 9) == []
    with pytest.raises(InputError, match="nothing to select from"):
        standing(study_of(), "seconds", WITHIN, strict=True)
