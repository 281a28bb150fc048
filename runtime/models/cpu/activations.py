"""GELU, SiLU and attention for the CPU, where MLX computes exp and erf number by number.

On x86 its exp takes 10 ns a number and its erf 25 ns, while a sum takes 0.3 ns. NumPy's exp
and tanh take 0.4 and 0.6 ns, in place, so arrays of many numbers are evaluated, and changed where
they lie; erf is made of the latter (`benchmarks/activations.py`). On Metal and CUDA, in half
precision, and for a few numbers, where an operation costs more than its numbers, these are MLX's
own.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TypeGuard

import mlx.nn as nn
import numpy as np

from ..backend import mx, on_gpu

_FEW_TO_WAIT_FOR = 8192  # numbers that are computed in the time it takes to evaluate an array
_BLOCK = 65536  # numbers that stay in a CPU's cache while they go through several operations
_MANY_SCORES = 4_000_000  # more than a CPU's cache holds: a head at a time is faster
_SAFE_SCORE = 64.0  # e^64 and e^-64, 10^28, are far from where a float32 ends, with values, too
_MANY_PAIRS = 1 << 16  # of a query and a key: their norms are sooner told than the largest score
_LEAST_EXPONENT = -80.0  # what is less gives numbers so small (denormal) that products crawl
# erf(x / sqrt 2) = tanh(x Q(x^2)): the coefficients of Q, from the lowest, fitted for the least
# greatest error of GELU (7e-8; 6e-7 in float32). The last is positive, so that what lies beyond
# goes to 1 and -1 as it should.
_ERF_IN_TANH = (
    0.7978842161161638, 0.036334283513973255, -3.3129993806826296e-05, -5.524015842681393e-05,
    3.969109448477934e-06, -1.3344640847680825e-07, 1.805616399099862e-09,
)  # fmt: skip


def gelu(x: mx.array) -> mx.array:
    """x/2 (1 + erf(x / sqrt 2)), within 1e-6 of exact for finite x; any shape."""
    if not _is_ours(x):
        return nn.gelu(x)
    mx.eval(x)
    return mx.array(gelu_of(np.array(x, copy=False)))


def gelu_of(x: np.ndarray) -> np.ndarray:
    """Likewise, of float32 numbers."""
    numbers = x.reshape(-1)
    out = np.empty_like(numbers)
    work = np.empty((2, min(len(numbers), _BLOCK)), np.float32)
    with np.errstate(over="ignore"):  # tanh of infinity is the 1 that it should be
        for start in range(0, len(numbers), _BLOCK):
            block = slice(start, start + _BLOCK)
            _gelu(numbers[block], out[block], work[:, : len(numbers[block])])
    return out.reshape(x.shape)


def _gelu(x: np.ndarray, out: np.ndarray, work: np.ndarray) -> None:
    """x/2 (1 + tanh(x Q(x^2))) into `out`; `work`: two more of its shape."""
    square, erf = work
    lowest, *inner, highest = map(np.float32, _ERF_IN_TANH)
    np.multiply(x, x, out=square)
    np.multiply(square, highest, out=erf)
    for coefficient in reversed(inner):
        erf += coefficient
        erf *= square
    erf += lowest
    erf *= x
    np.tanh(erf, out=erf)
    erf += np.float32(1)
    np.multiply(x, np.float32(0.5), out=out)
    out *= erf


def silu(x: mx.array) -> mx.array:
    """x / (1 + exp(-x)), any shape."""
    if not _is_ours(x):
        return nn.silu(x)
    mx.eval(x)
    return mx.array(silu_of(np.array(x, copy=False)))


def silu_of(numbers: np.ndarray) -> np.ndarray:
    """Likewise, of float32 numbers."""
    below = np.negative(numbers)
    with np.errstate(over="ignore"):  # x / inf is the 0 that it should be
        np.exp(below, out=below)
    below += 1.0
    return np.divide(numbers, below, out=below)


def attention(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    mask: mx.array | str | None = None,
    largest_score: float = math.inf,
) -> mx.array:
    """Scaled dot-product attention.

    Args:
        queries: [batch, heads, new, dim].
        keys, values: [batch, kv heads, all, dim]; heads in groups share one.
        mask: "causal": the queries are the last positions, and see themselves and what is
            before; an array from `mask_of`; None: all is seen.
        largest_score: no scaled product of a query and a key is further from 0, if that is
            known. An array as mask may leave a query nothing to see only if it is infinite.

    Returns:
        [batch, heads, new, dim].
    """
    heads, new, dim = queries.shape[1:]
    kv_heads, length = keys.shape[1:3]
    few = heads * new * length < _FEW_TO_WAIT_FOR
    if on_gpu() or queries.dtype != mx.float32 or (few and mask is not None):
        scale = dim**-0.5
        return mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale, mask=mask)
    if kv_heads > 1 and heads * new * length > _MANY_SCORES:
        group = heads // kv_heads
        parts = [
            attention(
                queries[:, head * group : (head + 1) * group],
                keys[:, head : head + 1], values[:, head : head + 1], mask, largest_score,
            )
            for head in range(kv_heads)
        ]  # fmt: skip
        return mx.concatenate(parts, axis=1)
    in_groups = (queries.shape[0], kv_heads, heads // kv_heads * new)
    scores = (queries * dim**-0.5).reshape(*in_groups, dim) @ keys.swapaxes(-1, -2)
    if few:
        return (mx.softmax(scores, axis=-1) @ values).reshape(queries.shape)
    scores = scores.reshape(-1, heads, new, length)
    if _is_array(mask):
        scores = scores + mask
    mx.eval(scores)
    weights = np.array(scores, copy=False)
    if isinstance(mask, str):
        weights[..., -new:] += _ahead(new)
    rows = weights.reshape(-1, length)
    count = max(1, _BLOCK // length)
    largest = np.full(queries.shape[0] * heads, largest_score)
    if largest_score > _SAFE_SCORE and new * length >= _MANY_PAIRS and not _is_array(mask):
        largest = _largest_scores(queries, keys)
    for start in range(0, len(rows), count):
        block = rows[start : start + count]
        of_heads = largest[start // new : (start + len(block) - 1) // new + 1]
        if of_heads.max() > _SAFE_SCORE:
            block -= block.max(axis=-1, keepdims=True)
            np.maximum(block, np.float32(_LEAST_EXPONENT), out=block)
        np.exp(block, out=block)
    if in_groups[2] < dim:  # few queries: their weights are fewer than the values
        out = scores.reshape(*in_groups, length) @ values
        sums = mx.array(weights.sum(axis=-1)).reshape(*in_groups, 1)
        return (out / sums).reshape(queries.shape)
    # A column of ones gives the sum of the weights with the product; it divides what comes out,
    # where there are fewer numbers. More of them make up a width that BLAS is quicker with.
    ones = mx.ones((*values.shape[:3], 8 - dim % 8), values.dtype)
    out = scores.reshape(*in_groups, length) @ mx.concatenate([values, ones], axis=-1)
    return (out[..., :dim] / out[..., dim : dim + 1]).reshape(queries.shape)


def _is_array(mask: mx.array | str | None) -> TypeGuard[mx.array]:
    return isinstance(mask, mx.array)


def _largest_scores(queries: mx.array, keys: mx.array) -> np.ndarray:
    """[batch x heads]: what no score of each head is further from 0 than, by the norms."""
    longest = []
    for array in (queries, keys):
        mx.eval(array)
        numbers = np.array(array, copy=False)
        squares = np.einsum("...i,...i->...", numbers, numbers)
        longest.append(np.sqrt(squares.max(axis=-1)))
    query, key = longest  # batch, heads
    key = np.repeat(key, query.shape[1] // key.shape[1], axis=1)
    return (query * key * queries.shape[-1] ** -0.5).reshape(-1)


def softmax_in_place(numbers: np.ndarray, largest_score: float = math.inf) -> None:
    """Softmax over the last axis of float32 scores; `largest_score` as in `attention`."""
    if largest_score > _SAFE_SCORE:
        numbers -= numbers.max(axis=-1, keepdims=True)
        np.maximum(numbers, np.float32(_LEAST_EXPONENT), out=numbers)
    np.exp(numbers, out=numbers)
    numbers /= numbers.sum(axis=-1, keepdims=True)


def largest_probability(logits: mx.array) -> np.ndarray:
    """[rows] float32: the greatest of the softmax of each row of `logits` [rows, n]."""
    if on_gpu() or logits.dtype != mx.float32:
        logits = logits.astype(mx.float32)
        return np.array(1 / mx.exp(logits - logits.max(axis=-1, keepdims=True)).sum(axis=-1))
    return largest_probability_of(np.array(logits, copy=False))


def largest_probability_of(numbers: np.ndarray) -> np.ndarray:
    """Likewise, of float32 logits."""
    shifted = numbers - numbers.max(axis=-1, keepdims=True)
    np.exp(shifted, out=shifted)
    return 1 / shifted.sum(axis=-1)


@lru_cache(8)
def _ahead(new: int) -> np.ndarray:
    """[new, new], to be added to the scores of positions that do not see those after them."""
    return np.triu(np.full((new, new), -np.inf, np.float32), 1)


def mask_of(seen: mx.array, dtype: mx.Dtype) -> mx.array:
    """For `attention`: `seen` [batch, 1, new, all] bool, as what is added to the scores."""
    return mx.where(seen, 0.0, -1e9 if dtype == mx.float32 else -3e4).astype(dtype)


def is_waited_for(heads: int, keys: int, dtype: mx.Dtype) -> bool:
    """Whether `attention` of one query is computed while its graph is built, wanted or not."""
    return not on_gpu() and dtype == mx.float32 and heads * keys >= _FEW_TO_WAIT_FOR


def _is_ours(x: mx.array) -> bool:
    return x.size >= _FEW_TO_WAIT_FOR and x.dtype == mx.float32 and not on_gpu()
