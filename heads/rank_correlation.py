"""Ranks and Spearman's rank correlation along the last axis. numpy only."""

from __future__ import annotations

import numpy as np


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0 along the last axis, equal values sharing the mean of theirs.

    [..., n] without NaN -> [..., n] float64.
    """
    values = np.asarray(values)
    count = values.shape[-1]
    order = np.argsort(values, axis=-1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=-1)
    place = np.arange(count)
    is_first = np.ones(values.shape, bool)
    is_first[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    is_last = np.ones(values.shape, bool)
    is_last[..., :-1] = is_first[..., 1:]
    first = np.maximum.accumulate(np.where(is_first, place, 0), axis=-1)
    last = np.where(is_last, place, count)[..., ::-1]
    last = np.minimum.accumulate(last, axis=-1)[..., ::-1]
    found = np.empty(values.shape)
    np.put_along_axis(found, order, (first + last) / 2, axis=-1)
    return found


def spearman(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's rho along the last axis: Pearson's correlation of the ranks, ties averaged.

    The axes before the last are broadcast: [heads, n] with [n] -> [heads]. NaN where rho is
    undefined, because all values on one side are equal; this includes n below 2. The input must
    have no NaN.
    """
    x, y = ranks(first), ranks(second)
    if not x.shape[-1]:
        return np.full(np.broadcast_shapes(x.shape[:-1], y.shape[:-1]), np.nan)
    x, y = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)
    scale = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    # No scale is between 0 and 1e-12: ranks are multiples of a half.
    return np.where(scale > 0, (x * y).sum(-1) / np.maximum(scale, 1e-12), np.nan)
