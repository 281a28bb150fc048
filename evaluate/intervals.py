"""How sure a rate over utterances is, and a difference of two: the bootstrap. numpy only.

Word error rate and mean delay are both ratios of sums over utterances (errors over words of
reference; seconds of delay over words matched), so one function serves both. Utterances are
drawn with replacement (Bisani & Ney 2004, "Bootstrap estimates for confidence intervals in ASR
performance evaluation"); two systems on the same utterances with the same draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
_AT_ONCE = 4_000_000  # numbers drawn at a time: bounds the memory


@dataclass(frozen=True)
class Interval:
    """A value and its two-sided interval, at the level asked for."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """First minus second, with its interval.

    `p` is the two-sided bootstrap probability of a difference this far from 0 if there were
    none; `is_significant`: the interval does not hold 0.
    """

    value: float
    low: float
    high: float
    p: float

    @property
    def is_significant(self) -> bool:
        """Whether 0 is outside of the interval."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Sums:
    """Of one system: the numerator and the denominator of each utterance, [utterances]."""

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
        ValueError: they are not of as many utterances.
    """
    if len({len(sums.numerator) for sums in several}) > 1:
        raise ValueError("rates over different numbers of utterances")
    defined = [sums for sums in several if sums.rate is not None]
    drawn = iter(_drawn_rates(defined, seed, resamples) if defined else ())
    return [
        None if sums.rate is None else Interval(sums.rate, *_quantiles(next(drawn), level))
        for sums in several
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
        ValueError: they are not of as many utterances.
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
    return Difference(first.rate - second.rate, low, high, p)


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


def _quantiles(values: np.ndarray, level: float) -> tuple[float, float]:
    tail = (1 - level) / 2
    low, high = np.nanquantile(values, (tail, 1 - tail)).tolist()
    return low, high
