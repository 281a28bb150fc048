"""The trade of word error rate against delay: the front, its hypervolume, and a choice from it.

A point is (word error rate, delay in seconds); both are to be low. Plain arithmetic on a
few dozen points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import InputError

Point = tuple[float, float]

DEFAULT_RULE = "within=1"
_LIMITED = ("within", "max-wer-increase", "max-delay")
_RULES = "within=PERCENTAGE_POINTS, max-wer-increase=PERCENTAGE_POINTS, max-delay=SECONDS or knee"


def front(points: Sequence[Point]) -> list[int]:
    """Indices of the points that no other one dominates, by rising delay.

    A point dominates another if it is no worse in either and better in one; equal points stay
    together.
    """

    def dominated(point: Point) -> bool:
        return any(
            other[0] <= point[0] and other[1] <= point[1] and other != point for other in points
        )

    kept = [index for index, point in enumerate(points) if not dominated(point)]
    return sorted(kept, key=lambda index: (points[index][1], points[index][0], index))


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """The area dominated by `points` and bounded by `reference`; points beyond it add nothing."""
    inside = [point for point in points if point[0] < reference[0] and point[1] < reference[1]]
    area, before = 0.0, reference[0]
    for index in front(inside):
        wer, delay_s = inside[index]
        area += (before - wer) * (reference[1] - delay_s)
        before = wer
    return area


def hypervolumes(points: Sequence[Point], reference: Point) -> list[float]:
    """After each of `points`, that of all so far."""
    return [hypervolume(points[: count + 1], reference) for count in range(len(points))]


@dataclass(frozen=True)
class Rule:
    """How a point of the front is chosen.

    Attributes:
        name: "within": the least delay that is known to have at most `limit` more errors, see
            `choice.choose`; the others go by points alone. "max-wer-increase": the least delay
            with at most `limit` more errors than the fewest; "max-delay": the fewest errors with
            at most `limit` seconds of delay; "knee": see `select`.
        limit: percentage points of word error rate, or seconds.
    """

    name: str
    limit: float | None = None

    def __str__(self) -> str:
        return self.name if self.limit is None else f"{self.name}={self.limit:g}"


def parse_rule(text: str) -> Rule:
    """The rule that `text` writes: within=1, max-wer-increase=0.3, max-delay=0.8, knee.

    Raises:
        InputError: it is none.
    """
    name, equals, value = text.strip().partition("=")
    if name == "knee" and not equals:
        return Rule(name)
    if name not in _LIMITED or not equals:
        raise InputError(f"select is {text!r}, expected {_RULES}", arguments=("select",))
    try:
        limit = float(value)
    except ValueError:
        limit = math.nan
    if not (math.isfinite(limit) and limit >= 0):
        raise InputError(
            f"select is {text!r}, but {value!r} is no number of 0 or more; expected {_RULES}",
            arguments=("select",),
        )
    return Rule(name, limit)


def select(points: Sequence[Point], rule: Rule, ceiling: Point = (math.inf, math.inf)) -> int:
    """The index of the point of the front of `points` that a `rule` of points chooses.

    The knee is the point furthest below the straight line between the two ends of the front, each
    axis from 0 to 1 over the front (after Das 1999, "On characterizing the knee of the Pareto
    curve based on normal-boundary intersection"); of equals, the one with fewest errors. Only
    points under the `ceiling` count, if there are any: whoever used a baseline should not lose.

    Raises:
        InputError: no point meets the rule, or there is none at all.
    """
    if not points:
        raise InputError("no trial is complete, so there is nothing to select from")
    candidates = front(points)
    if rule.name == "knee":
        under = [
            index
            for index in candidates
            if points[index][0] <= ceiling[0] and points[index][1] <= ceiling[1]
        ]
        return _knee(points, under or candidates)
    assert rule.limit is not None
    if rule.name == "max-delay":
        within = [index for index in candidates if points[index][1] <= rule.limit]
        if not within:
            least = min(points[index][1] for index in candidates)
            raise InputError(
                f"select is {str(rule)!r}, but no trial has less delay than {least:.3f} s",
                arguments=("select",),
            )
        return min(within, key=lambda index: points[index])
    fewest = min(points[index][0] for index in candidates)
    # In percentage points, and forgiving the last bit of a float.
    most = fewest + rule.limit / 100 + 1e-12
    within = [index for index in candidates if points[index][0] <= most]
    return min(within, key=lambda index: (points[index][1], points[index][0]))


def _knee(points: Sequence[Point], candidates: Sequence[int]) -> int:
    wers, delays_s = zip(*(points[index] for index in candidates), strict=True)
    wer_span, delay_span = max(wers) - min(wers), max(delays_s) - min(delays_s)

    def below_the_line(index: int) -> float:
        if not wer_span or not delay_span:
            return 0.0
        wer, delay_s = points[index]
        return 1 - (wer - min(wers)) / wer_span - (delay_s - min(delays_s)) / delay_span

    return max(candidates, key=lambda index: (round(below_the_line(index), 9), -points[index][0]))
