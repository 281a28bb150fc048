"""The bootstrap on numbers whose answer is known."""

import numpy as np
import pytest

from alignheads.evaluate.intervals import (
    Sums,
    increases,
    paired_difference,
    rate_interval,
    rate_intervals,
)


def sums(errors, words=None):
    return Sums.of(errors, [10] * len(errors) if words is None else words)


def test_a_rate_is_sum_over_sum_and_inside_its_interval():
    found = rate_interval(Sums.of([1, 0, 9], [10, 20, 10]))
    assert found.value == pytest.approx(10 / 40)
    assert found.low < found.value < found.high


def test_the_interval_is_as_wide_as_theory_says():
    dice = np.random.default_rng(1)
    found = rate_interval(sums(dice.binomial(10, 0.2, 400)), seed=3)
    theory = 1.96 * np.sqrt(0.2 * 0.8 / 4000)
    assert (found.high - found.low) / 2 == pytest.approx(theory, rel=0.15)


def test_equal_systems_differ_by_nothing():
    one = sums([1, 2, 0, 3])
    found = paired_difference(one, one)
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert not found.is_significant


def test_pairing_finds_what_two_intervals_alone_would_not():
    dice = np.random.default_rng(2)
    hard = dice.integers(0, 40, 200)
    first, second = sums(hard + 1), sums(hard)
    found = paired_difference(first, second)
    assert found.is_significant
    assert found.low == pytest.approx(0.1)
    assert rate_interval(first).low < rate_interval(second).high


def test_the_same_seed_gives_the_same_interval():
    one, other = sums([1, 5, 2, 0, 3]), sums([2, 2, 2, 2, 2])
    assert paired_difference(one, other, seed=7) == paired_difference(one, other, seed=7)
    assert paired_difference(one, other, seed=7) != paired_difference(one, other, seed=8)


def test_a_single_utterance_has_an_interval_of_no_width():
    found = rate_interval(sums([3]))
    assert (found.low, found.high) == (found.value, found.value)


def test_what_is_not_defined_is_none():
    assert rate_interval(Sums.of([0, 0], [0, 0])) is None
    assert paired_difference(Sums.of([0], [0]), Sums.of([1], [2])) is None


def test_draws_without_any_word_do_not_spoil_the_interval():
    found = rate_interval(Sums.of([1, 0], [2, 0]))
    assert (found.low, found.high) == (0.5, 0.5)


def test_blocks_of_draws_give_what_one_draw_gives(monkeypatch):
    whole = rate_interval(sums([1, 5, 2, 0]), seed=1, resamples=999)
    monkeypatch.setattr("alignheads.evaluate.intervals._AT_ONCE", 40)
    assert rate_interval(sums([1, 5, 2, 0]), seed=1, resamples=999) == whole


@pytest.mark.parametrize(
    ("errors", "words"), [([1], [1, 2]), ([], []), ([np.nan], [1]), ([1], [np.inf])]
)
def test_bad_sums_are_refused(errors, words):
    with pytest.raises(ValueError, match=r"sums? "):
        Sums.of(errors, words)


def test_different_utterances_cannot_be_paired():
    with pytest.raises(ValueError, match="2 utterances against 1"):
        paired_difference(sums([1, 2]), sums([1]))


def test_several_rates_at_once_are_those_of_each_alone():
    dice = np.random.default_rng(3)
    several = [Sums.of(dice.integers(0, 4, 30), dice.integers(1, 9, 30)) for _ in range(3)]
    several.insert(1, Sums.of([0] * 30, [0] * 30))
    together = rate_intervals(several, seed=5)
    assert together == [rate_interval(sums, seed=5) for sums in several]
    assert together[1] is None
    with pytest.raises(ValueError, match="different numbers of utterances"):
        rate_intervals([several[0], Sums.of([1], [2])])


# One of many


def test_upper_ends_hold_for_all_systems_at_once():
    """Forty systems no different from the base: in one of twenty runs some upper end is below 0."""
    too_low = 0
    for seed in range(100):
        dice = np.random.default_rng(seed)
        base = dice.poisson(2, 60)
        systems = [
            Sums.of(base + dice.poisson(1, 60) - dice.poisson(1, 60), [20] * 60) for _ in range(40)
        ]
        found = increases(systems, Sums.of(base, [20] * 60), seed=seed)
        too_low += min(one.high for one in found) < 0
    assert too_low <= 15


def test_upper_ends_are_above_values_and_narrower_with_more_speech():
    dice = np.random.default_rng(1)
    base, other = dice.poisson(2, 400), dice.poisson(2, 400)
    widths = []
    for count in (25, 100, 400):
        (one,) = increases([sums(other[:count])], sums(base[:count]))
        assert one.value == pytest.approx(other[:count].mean() / 10 - base[:count].mean() / 10)
        widths.append(one.high - one.value)
    assert widths[0] / widths[2] == pytest.approx(4, rel=0.5)


def test_the_same_errors_are_not_known_to_be_the_same_everywhere():
    same, longer = (increases([sums([0] * n)], sums([0] * n))[0] for n in (10, 1000))
    assert same.value == longer.value == 0
    assert 0 <= longer.high < same.high
    assert increases([], sums([1, 2])) == []


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="different numbers of utterances"):
        increases([sums([1, 2])], sums([1, 2, 3]))
    with pytest.raises(ValueError, match="over nothing"):
        increases([sums([1, 2])], Sums.of([0, 0], [0, 0]))
