"""How alike two heads files are: shared heads among the best, and rank correlation of scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .rank_correlation import spearman
from .schema import HeadsFile


@dataclass(frozen=True)
class Comparison:
    """What two files have in common.

    `overlaps` {k: heads that both have among their best k}; `correlations` {metric: rho};
    `apart` {metric: (heads whose 95 % intervals do not meet, heads looked at)}, of all that are
    among the best of either file, where both files have intervals of the metric.

    rho is Spearman's rank correlation over the heads with a score in both files, None where it is
    undefined: fewer than two such heads, or all of them equal.
    """

    overlaps: dict[int, int]
    correlations: dict[str, float | None]
    apart: dict[str, tuple[int, int]]


def compare_heads(first: HeadsFile, second: HeadsFile, counts: list[int]) -> Comparison:
    """Compare the best k heads for each k of `counts`, and every score that both files have.

    A k beyond the shorter list is lowered to its length. Heads that were never measured may be
    in no order, so their whole list is compared, too.

    Raises:
        InputError: the files are for models of different shapes or kinds of attention, or a k is
            below 1.
    """
    second.check_model(first.model, first.num_layers, first.num_heads, first.attention)
    listed = min(len(first.compact), len(second.compact))
    if min(counts, default=1) < 1:
        raise InputError(f"cannot compare the best {min(counts)} heads; ask for 1 or more")
    whole = [len(heads.compact) for heads in (first, second) if not heads.is_measured]
    overlaps = {
        k: len(set(first.compact[:k]) & set(second.compact[:k]))
        for k in sorted({min(count, listed) for count in (*counts, *whole)})
    }
    shared = [metric for metric in first.metrics if metric in second.metrics]
    correlations = {
        metric: score_correlation(first.matrix(metric), second.matrix(metric)) for metric in shared
    }
    best = max(overlaps, default=0)
    pairs = sorted({*first.compact[:best], *second.compact[:best]})
    intervals = [m for m in shared if m in first.intervals and m in second.intervals]
    apart = {metric: _apart(first, second, metric, pairs) for metric in intervals}
    return Comparison(overlaps, correlations, apart)


def _apart(
    first: HeadsFile, second: HeadsFile, metric: str, pairs: list[tuple[int, int]]
) -> tuple[int, int]:
    """How many of the heads `pairs` have intervals in both files that do not meet; of how many."""
    ours, theirs = first.intervals[metric], second.intervals[metric]
    found = [
        (ours.low[i][j], ours.high[i][j], theirs.low[i][j], theirs.high[i][j]) for i, j in pairs
    ]
    known = [bounds for bounds in found if None not in bounds]
    return sum(b[0] > b[3] or b[2] > b[1] for b in known), len(known)  # type: ignore[operator]


def score_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's rho of two scores of the same heads, arrays of one shape.

    Heads with NaN on either side are left out. None where rho is undefined: fewer than two heads
    are left, or all of them are equal.
    """
    known = ~(np.isnan(first) | np.isnan(second))
    rho = float(spearman(first[known], second[known]))
    return None if np.isnan(rho) else rho
