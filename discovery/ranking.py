"""Which heads come first, and how sure that is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from ..errors import InputError
from ..heads import HeadGroup
from .groups import MAX_GROUP, ClipFrames, FrameSample, forward_selection, score_group
from .totals import LOWER_IS_BETTER, HeadTotals

RankBy = Literal[
    "hit_rate", "monotonicity", "time_error", "mass", "commit_accuracy", "border_auc", "set"
]

RANKINGS: dict[str, str] = {
    "hit_rate": "hit_rate",
    "monotonicity": "monotonicity",
    "time_error": "time_error_p50_ms",
    "mass": "mass",
    "commit_accuracy": "commit_accuracy",
    "border_auc": "border_auc",
    "set": "hit_rate",
}
"""The metric behind each `RankBy` (for `set`: the one that ranks the heads not chosen)."""

SET_HIT_RATE = 0.9
"""A set takes only heads with this share of the best hit rate. Heads with less may lower the error
on the speech at hand, and raise it on speech of another kind: see docs/discovery.md."""

STABLE = 0.9
"""Share of the top heads that another sample of clips should name again."""


@dataclass(frozen=True)
class HeadRanking:
    """Heads best first, with the evidence.

    Attributes:
        method: a key of `RANKINGS`; `metric`: its metric.
        order: indices layer x heads + head, best first.
        top: the k of the two figures that follow.
        top_probability: [layers, heads], share of bootstrap replicates with the head in the
            top k.
        top_stability: mean share of the top k that a replicate has too.
        clips_needed: clips at which the stability should reach `STABLE`; None: it has.
        set_error_curve: for `set`, error in ms after each head chosen (choosing half).
        chosen: for `set`, how many of `order` were chosen as a group; else 0.
        groups: this ranking's first heads and others to compare them with, scored on the
            validation half.
    """

    method: str
    metric: str
    order: list[int]
    top: int
    top_probability: np.ndarray
    top_stability: float
    clips_needed: int | None
    set_error_curve: list[float] | None
    chosen: int
    groups: list[HeadGroup]


def rank_heads(
    totals: HeadTotals, scores: dict[str, np.ndarray], sample: FrameSample, method: str, top: int
) -> HeadRanking:
    """Rank all heads by `method`.

    Raises:
        InputError: an unknown method, or one whose metric was not measured.
    """
    if method not in RANKINGS:
        raise InputError(f"cannot rank by {method!r}; known: {', '.join(RANKINGS)}")
    metric = RANKINGS[method]
    if metric not in scores:
        raise InputError(
            f"cannot rank by {method}: {metric} was not measured, as no token was guessed beyond a "
            "cut; give cuts of 1 or more, or more clips",
            arguments=("cuts",),
        )
    goodness = _goodness(scores[metric], metric)
    if not np.isfinite(goodness[0]).any():
        raise InputError(
            f"cannot rank by {method}: {metric} is undefined for every head over these "
            f"{totals.clips} clips; score more of them"
        )
    order = list(np.argsort(-goodness[0], kind="stable"))
    top = min(top, len(order))
    probability, stability = top_stability(goodness, top)
    curve = None
    by_hits = _goodness(scores["hit_rate"], "hit_rate")[0]
    choosing, validating = sample.halves()
    if method == "set":
        if not validating:
            raise InputError("cannot rank by set: it needs two clips or more, to validate on")
        chosen, curve = forward_selection(choosing, _nearly_best(order, by_hits))
        order = [*chosen, *(head for head in order if head not in chosen)]
    return HeadRanking(
        method, metric, [int(head) for head in order], top,
        probability.reshape(totals.shape), stability, _clips_needed(stability, totals.clips),
        curve, len(curve or ()),
        _groups(validating, order, by_hits, curve, totals.frames_per_s),
    )  # fmt: skip


def _goodness(scores: np.ndarray, metric: str) -> np.ndarray:
    """[runs, layers, heads] -> [runs, heads], higher is better, undefined last."""
    flat = scores.reshape(len(scores), -1)
    return np.nan_to_num(-flat if metric in LOWER_IS_BETTER else flat, nan=-np.inf)


def _nearly_best(order: list[int], hit_rate: np.ndarray) -> list[int]:
    """The first heads of `order` (by hit rate) that a set may take."""
    least = SET_HIT_RATE * hit_rate[order[0]]
    return [head for head in order if hit_rate[head] >= least]


def top_stability(goodness: np.ndarray, top: int) -> tuple[np.ndarray, float]:
    """[runs, heads] -> P(head in the top k) over the replicates, and the share they keep."""
    # A replicate that has drawn no clip at all ranks nothing.
    goodness = goodness[np.isfinite(goodness).any(1)]
    best = np.argsort(-goodness, axis=1, kind="stable")[:, :top]
    inside = np.zeros(goodness.shape, bool)
    np.put_along_axis(inside, best, True, axis=1)
    shared = (inside[1:] & inside[0]).sum(1) / top
    return inside[1:].mean(0), float(shared.mean())


def stability_by(scores: dict[str, np.ndarray], metric: str, top: int) -> float | None:
    """The share of the `top` heads by `metric` that the replicates keep; None: no head has one."""
    goodness = _goodness(scores[metric], metric)
    if not np.isfinite(goodness[0]).any():
        return None
    return top_stability(goodness, min(top, goodness.shape[1]))[1]


def _clips_needed(stability: float, clips: int) -> int | None:
    """Clips for a stability of `STABLE`: the unstable share falls as 1 / sqrt(clips)."""
    if stability >= STABLE:
        return None
    return int(np.ceil(clips * ((1 - stability) / (1 - STABLE)) ** 2))


def _groups(
    clips: list[ClipFrames],
    order: list[int],
    hit_rate: np.ndarray,
    curve: list[float] | None,
    frames_per_s: float,
) -> list[HeadGroup]:
    """This ranking's first heads beside all heads, the published way, and the single best head."""
    if not clips:
        return []
    by_hits = [int(head) for head in np.argsort(-hit_rate, kind="stable")]
    groups = [
        ("this ranking, best 1", True, order[:1]),
        ("this ranking, best 4", True, order[:4]),
        ("this ranking, best 8", True, order[:8]),
        ("all heads", False, by_hits),
        ("hit rate, best 20", False, by_hits[:MAX_GROUP]),
        ("hit rate, best 8", False, by_hits[:8]),
        ("hit rate, best 1", False, by_hits[:1]),
    ]
    if curve:
        size = int(np.argmin(curve)) + 1
        groups.append((f"this set, best size ({size})", True, order[:size]))
    return [_scored(clips, frames_per_s, *group) for group in groups]


def _scored(
    clips: list[ClipFrames], frames_per_s: float, name: str, is_own: bool, heads: list[int]
) -> HeadGroup:
    scores = asdict(score_group(clips, heads, frames_per_s))
    known = {metric: value for metric, value in scores.items() if np.isfinite(value)}
    return HeadGroup(name=name, is_own=is_own, num_heads=len(heads), scores=known)
