"""The default choice of a trial: as fast as may be without errors that speech can tell.

Intervals decide, not points. Of fifty trials on half an hour of speech or less, the one that looks
best is lucky, and a point of the front is often worse elsewhere than the setting that everyone
has. So a baseline, a published setting or the bundled one, is chosen until a trial is known to be
better. Knows sums over utterances; nothing of what was tried, and no model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import InputError
from ...evaluate.intervals import Increase, Sums, increases

SURE = 0.95
"""Confidence that a difference is more than chance."""
SURE_ENOUGH = 0.8
"""Confidence that the upper ends of all trials hold; among fifty, each holds with some 0.95."""


@dataclass(frozen=True)
class Candidate:
    """A trial that can be chosen: word errors and seconds of delay of each utterance.

    `is_baseline`: its setting is a published one, or that of the bundled configuration.
    """

    errors: Sums
    delays: Sums
    is_baseline: bool = False

    @property
    def point(self) -> tuple[float, float]:
        """Word error rate, and mean delay in seconds.

        Raises:
            ValueError: one is not defined.
        """
        wer, delay_s = self.errors.rate, self.delays.rate
        if wer is None or delay_s is None:
            raise ValueError("a trial without words or without delays cannot be chosen")
        return wer, delay_s


@dataclass(frozen=True)
class TooLittleSpeech:
    """A faster trial that seems as good, and is not known to be.

    Attributes:
        index: of the trial.
        increase: of its word error rate over that of the reference.
        utterances: like the ones there were, about so many would tell.
    """

    index: int
    increase: Increase
    utterances: int


@dataclass(frozen=True)
class Choice:
    """A trial, and why.

    Attributes:
        index: of the trial chosen.
        reference: of the one whose errors it may not exceed by more than the limit.
        increase: of its word error rate over that of the reference.
        missed: what more speech might have chosen; None: nothing.
    """

    index: int
    reference: int
    increase: Increase
    missed: TooLittleSpeech | None


def choose(candidates: Sequence[Candidate], limit: float) -> Choice:
    """The least delay with a word error rate that is at most `limit` above that of the reference.

    At most is: by the upper end of its interval, see `increases`. The reference is the better
    baseline: the fastest of those that do not make more errors than the best one beyond
    chance. Only a trial that makes fewer than it beyond chance, and by `limit` or more, takes its
    place and may have more delay. Without a baseline it is the trial with the fewest
    errors.

    Args:
        candidates: over the same utterances.
        limit: an absolute difference of word error rates; 0.01 is one percentage point.

    Raises:
        InputError: there are none.
    """
    if not candidates:
        raise InputError("no trial is complete, so there is nothing to select from")
    points = [one.point for one in candidates]
    usual = _usual(candidates)
    over_usual = _increases(candidates, usual, SURE)
    better = {
        index for index, found in enumerate(over_usual) if found.value <= -limit and found.high < 0
    }
    reference = min(better, key=lambda index: over_usual[index].high, default=usual)
    over = _increases(candidates, reference, SURE_ENOUGH)
    chosen = min(
        (
            index
            for index, found in enumerate(over)
            if found.high <= limit and (points[index][1] <= points[usual][1] or index in better)
        ),
        key=lambda index: (points[index][1], points[index][0], index),
    )
    missed = _missed(points, over, chosen, limit, len(candidates[0].errors.numerator))
    return Choice(chosen, reference, over[chosen], missed)


def _usual(candidates: Sequence[Candidate]) -> int:
    """The better baseline, or the trial with the fewest errors where there is none."""
    baselines = [index for index, one in enumerate(candidates) if one.is_baseline]
    best = min(
        baselines or range(len(candidates)), key=lambda index: (candidates[index].point, index)
    )

    def is_as_good(index: int) -> bool:
        (found,) = increases([candidates[best].errors], candidates[index].errors, level=SURE)
        return found.high >= 0

    as_good = [index for index in baselines if index != best and is_as_good(index)]
    return min([best, *as_good], key=lambda index: candidates[index].point[1])


def _increases(candidates: Sequence[Candidate], base: int, level: float) -> list[Increase]:
    """Over the candidate `base`; its own is 0 for certain."""
    others = [one.errors for index, one in enumerate(candidates) if index != base]
    found = increases(others, candidates[base].errors, level=level) if others else []
    found.insert(base, Increase(value=0.0, high=0.0))
    return found


def _missed(
    points: Sequence[tuple[float, float]],
    over: Sequence[Increase],
    chosen: int,
    limit: float,
    utterances: int,
) -> TooLittleSpeech | None:
    """The fastest trial that only the width of its interval rules out, if there is one.

    That is, it has at most half of the increase allowed: intervals shrink with the root of the
    number of utterances, so this many are needed for one that ends at the limit.
    """
    close = [
        index
        for index, found in enumerate(over)
        if points[index][1] < points[chosen][1] and found.value <= limit / 2 and found.high > limit
    ]
    if not close or not limit:
        return None
    index = min(close, key=lambda index: points[index][1])
    found = over[index]
    ratio = (found.high - found.value) / (limit - found.value)
    return TooLittleSpeech(index, found, math.ceil(utterances * ratio**2))
