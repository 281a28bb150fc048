"""The trade of word error rate against delay, and compute: the front, its hypervolume, a choice.

A point is (word error rate, delay in seconds), or has a third number, the GFLOP of a second of
audio; all are to be low. Plain arithmetic on a few dozen points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import InputError

Point = tuple[float, ...]

DEFAULT_RULE = "within=1"
MIN_COST = "min-cost"
_LIMITED = ("within", "max-wer-increase", "max-delay", MIN_COST)
_RULES = (
    "within=PERCENTAGE_POINTS, max-wer-increase=PERCENTAGE_POINTS, max-delay=SECONDS, "
    "min-cost=PERCENTAGE_POINTS or knee"
)


def front(points: Sequence[Point]) -> list[int]:
    """Indices of the points that no other one dominates, by rising delay.

    A point dominates another if it is nowhere worse and somewhere better; equal points stay
    together.
    """

    def dominated(point: Point) -> bool:
        return any(
            other != point and all(one <= its for one, its in zip(other, point, strict=True))
            for other in points
        )

    kept = [index for index, point in enumerate(points) if not dominated(point)]
    return sorted(kept, key=lambda index: (points[index][1], points[index][0], index))


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """What `points` dominate of what `reference` bounds; points beyond it add nothing."""
    most_wer, most_delay_s, *more = reference
    if more:
        return _volume(points, reference)
    inside = [point for point in points if point[0] < most_wer and point[1] < most_delay_s]
    area, before = 0.0, most_wer
    for index in front(inside):
        wer, delay_s = inside[index]
        area += (before - wer) * (most_delay_s - delay_s)
        before = wer
    return area


def _volume(points: Sequence[Point], reference: Point) -> float:
    """In slices between one value of the last axis and the next, each of an area."""
    levels = sorted({point[-1] for point in points if point[-1] < reference[-1]})
    total = 0.0
    for level, above in zip(levels, [*levels[1:], reference[-1]], strict=True):
        below = [point[:-1] for point in points if point[-1] <= level]
        total += (above - level) * hypervolume(below, reference[:-1])
    return total


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
            at most `limit` seconds of delay; "min-cost": the least compute with at most `limit`
            more errors than the fewest; "knee": see `select`.
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


def select(points: Sequence[Point], rule: Rule, ceiling: Point = ()) -> int:
    """The index of the point of the front of `points` that a `rule` of points chooses.

    The knee is the point furthest below the straight line between the two ends of the front, with
    compute the plane through its three, each axis from 0 to 1 over the front (after Das 1999, "On
    characterizing the knee of the Pareto curve based on normal-boundary intersection"); of equals,
    the one with fewest errors. Only points under the `ceiling` count, if there are any: whoever
    used a baseline should not lose. The ceiling may be of fewer axes.

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
            if all(one <= its for one, its in zip(points[index], ceiling, strict=False))
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
    if rule.name == MIN_COST:
        return min(within, key=lambda index: (points[index][2], points[index][1]))
    return min(within, key=lambda index: (points[index][1], points[index][0]))


def _knee(points: Sequence[Point], candidates: Sequence[int]) -> int:
    axes = list(zip(*(points[index] for index in candidates), strict=True))
    spans = [(min(axis), max(axis) - min(axis)) for axis in axes]

    def below_the_line(index: int) -> float:
        # An axis on which nothing differs tells nothing.
        parts = [
            (value - least) / span
            for value, (least, span) in zip(points[index], spans, strict=True)
            if span
        ]
        return 1 - sum(parts) if len(parts) > 1 else 0.0

    return max(candidates, key=lambda index: (round(below_the_line(index), 9), -points[index][0]))
