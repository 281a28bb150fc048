"""How alike two heads files are: shared heads among the best, and rank correlation of scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .schema import HeadsFile


@dataclass(frozen=True)
class Comparison:
    """`overlaps` {k: heads that both have among their best k}; `correlations` {metric: rho}.

    rho is Spearman's rank correlation over the heads with a score in both files, None where it is
    undefined: fewer than two such heads, or all of them equal.
    """

    overlaps: dict[int, int]
    correlations: dict[str, float | None]


def compare_heads(first: HeadsFile, second: HeadsFile, counts: list[int]) -> Comparison:
    """Compare the best k heads for each k of `counts`, and every score that both files have.

    A k beyond the shorter list is lowered to its length.

    Raises:
        InputError: the files are for models of different shapes, or a k is below 1.
    """
    second.check_model(first.model, first.num_layers, first.num_heads)
    listed = min(len(first.compact), len(second.compact))
    if min(counts, default=1) < 1:
        raise InputError(f"cannot compare the best {min(counts)} heads; ask for 1 or more")
    overlaps = {
        k: len(set(first.compact[:k]) & set(second.compact[:k]))
        for k in sorted({min(count, listed) for count in counts})
    }
    shared = [metric for metric in first.metrics if metric in second.metrics]
    correlations = {
        metric: spearman(first.matrix(metric), second.matrix(metric)) for metric in shared
    }
    return Comparison(overlaps, correlations)


def spearman(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's rho of two arrays of one shape: Pearson's r of their ranks, ties averaged.

    Pairs with NaN on either side are left out. None where undefined.
    """
    known = ~(np.isnan(first) | np.isnan(second))
    ranks = np.stack([_ranks(first[known]), _ranks(second[known])])
    if ranks.shape[1] < 2 or (ranks.std(axis=1) == 0).any():
        return None
    return float(np.corrcoef(ranks)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, equal values sharing the mean of theirs."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[group.ravel()]
