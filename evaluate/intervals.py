"""Bootstrap confidence intervals of rates over utterances, and of the difference of two rates.

Word error rate and mean delay are both ratios of sums over utterances (errors over words of
reference; seconds of delay over words matched), so one function serves both. Utterances are
drawn with replacement (Bisani & Ney 2004, "Bootstrap estimates for confidence intervals in ASR
performance evaluation"); two systems are compared on the same utterances with the same draws.
Where one of many is to be chosen by its interval, `increases` gives intervals that hold together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .record import Fraction, Record

RESAMPLES = 10_000
CHOICE_RESAMPLES = 2_000
"""Where a choice is made after every trial."""
LEVEL = 0.95
_AT_ONCE = 4_000_000  # utterances drawn at a time: bounds the memory


class Interval(Record):
    """A value and its two-sided bootstrap interval over utterances, at 95 % unless asked else."""

    value: float
    low: float
    high: float


class Difference(Record):
    """First rate minus second, with the interval of a paired bootstrap over utterances.

    `p` is the two-sided bootstrap probability of a difference this far from 0 if there were
    none; `is_significant`: 0 lies outside of the interval.
    """

    value: float
    low: float
    high: float
    p: Fraction
    is_significant: bool


class Increase(Record):
    """A rate minus another, and how high it may be: the upper end of its one-sided interval."""

    value: float
    high: float


@dataclass(frozen=True)
class Sums:
    """One system's numerator and denominator for each utterance, both float [utterances]."""

    numerator: np.ndarray
    denominator: np.ndarray

    @classmethod
    def of(cls, numerator: Sequence[float], denominator: Sequence[float]) -> Sums:
        """From any two sequences of the same length.

        Raises:
            ValueError: different lengths, nothing at all, or a value that is no finite number.
        """
        one, other = np.asarray(numerator, float), np.asarray(denominator, float)
        if one.shape != other.shape or one.ndim != 1 or not one.size:
            raise ValueError(f"sums of shapes {one.shape} and {other.shape}; expected [utterances]")
        if not (np.isfinite(one).all() and np.isfinite(other).all()):
            raise ValueError("a sum over an utterance is no finite number")
        return cls(one, other)

    @property
    def rate(self) -> float | None:
        """Sum over sum; None over nothing."""
        total = self.denominator.sum()
        return float(self.numerator.sum() / total) if total else None

    def over(self, times: int) -> Sums:
        """The same rate of speech that was heard so many times: once, for what counts events."""
        return Sums(self.numerator / times, self.denominator / times)


def rate_interval(
    sums: Sums, *, seed: int = 0, resamples: int = RESAMPLES, level: float = LEVEL
) -> Interval | None:
    """The rate with its bootstrap interval; None where the rate is not defined."""
    return rate_intervals([sums], seed=seed, resamples=resamples, level=level)[0]


def rate_intervals(
    several: Sequence[Sums], *, seed: int = 0, resamples: int = RESAMPLES, level: float = LEVEL
) -> list[Interval | None]:
    """Several rates over the same utterances, each as `rate_interval` gives it, at the cost of one.

    Raises:
        ValueError: their numbers of utterances differ.
    """
    if len({len(sums.numerator) for sums in several}) > 1:
        raise ValueError("rates over different numbers of utterances")
    defined = [sums for sums in several if sums.rate is not None]
    drawn = iter(_drawn_rates(defined, seed, resamples) if defined else ())
    return [
        None if sums.rate is None else _interval(sums.rate, next(drawn), level) for sums in several
    ]


def paired_difference(
    first: Sums,
    second: Sums,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Difference | None:
    """First rate minus second, over the same utterances in the same order.

    None where a rate is not defined.

    Raises:
        ValueError: their numbers of utterances differ.
    """
    if len(first.numerator) != len(second.numerator):
        raise ValueError(
            f"{len(first.numerator)} utterances against {len(second.numerator)}: "
            "a paired comparison is over the same ones"
        )
    if first.rate is None or second.rate is None:
        return None
    one, other = _drawn_rates([first, second], seed, resamples)
    differences = one - other
    low, high = _quantiles(differences, level)
    known = differences[np.isfinite(differences)]
    below, above = (known <= 0).mean(), (known >= 0).mean()
    p = min(1.0, 2 * float(min(below, above)))
    return Difference(
        value=first.rate - second.rate, low=low, high=high, p=p, is_significant=low > 0 or high < 0
    )


def increases(
    several: Sequence[Sums],
    base: Sums,
    *,
    seed: int = 0,
    resamples: int = CHOICE_RESAMPLES,
    level: float = LEVEL,
) -> list[Increase]:
    """Each rate minus that of `base`, with upper ends that hold for all of them at once.

    With an interval of its own for each, the lowest of fifty upper ends is often too low: it is
    that of the luckiest. Here the largest deviation of all, in standard errors, is bootstrapped
    (Romano & Wolf 2005, "Stepwise multiple testing as formalized data snooping"). An upper end is
    -ln(1 - level) events or more above its value, three at 0.95, so that no difference in little
    speech is not taken for the certainty of none (the rule of three, Hanley & Lippman-Hand 1983).

    Args:
        several: over the utterances of `base`, in the same order; no rate may be undefined.
        base: what they are compared with.
        seed: of the draws.
        resamples: how many.
        level: of confidence that no upper end is too low.

    Raises:
        ValueError: their numbers of utterances differ, or a rate is not defined.
    """
    if len({len(sums.numerator) for sums in (base, *several)}) > 1:
        raise ValueError("rates over different numbers of utterances")
    if not several:
        return []
    rates = [sums.rate for sums in (base, *several)]
    if None in rates:
        raise ValueError("a rate over nothing cannot be compared")
    found, *others = np.array(rates, float)
    values = np.array(others) - found
    count = len(base.numerator)
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples)
    numerators, denominators = (
        weights @ np.stack([getattr(sums, name) for sums in (base, *several)]).T
        for name in ("numerator", "denominator")
    )  # draws * systems
    known = (denominators > 0).all(1)
    drawn = numerators[known] / denominators[known]
    deviations = drawn[:, 1:] - drawn[:, :1] - values
    one_event = np.array([1 / sums.denominator.sum() for sums in several])
    errors = np.maximum(deviations.std(0), one_event)
    width = np.quantile((deviations / errors).max(1), level)
    highs = values + np.maximum(width * errors, -np.log(1 - level) * one_event)
    return [Increase(value=v, high=h) for v, h in zip(values.tolist(), highs.tolist(), strict=True)]


def _drawn_rates(systems: Sequence[Sums], seed: int, resamples: int) -> list[np.ndarray]:
    """[resamples] rates of each system under the same draws; NaN where one is not defined."""
    count = len(systems[0].numerator)
    dice = np.random.default_rng(seed)
    rates = [np.empty(resamples) for _ in systems]
    block = max(1, _AT_ONCE // count)
    for start in range(0, resamples, block):
        stop = min(resamples, start + block)
        drawn = dice.integers(0, count, (stop - start, count))
        for system, out in zip(systems, rates, strict=True):
            below = system.denominator[drawn].sum(1)
            with np.errstate(invalid="ignore", divide="ignore"):
                out[start:stop] = system.numerator[drawn].sum(1) / below
            out[start:stop][below == 0] = np.nan
    return rates


def _interval(value: float, drawn: np.ndarray, level: float) -> Interval:
    low, high = _quantiles(drawn, level)
    return Interval(value=value, low=low, high=high)


def _quantiles(values: np.ndarray, level: float) -> tuple[float, float]:
    tail = (1 - level) / 2
    low, high = np.nanquantile(values, (tail, 1 - tail)).tolist()
    return low, high
