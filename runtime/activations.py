"""exp, GELU, SiLU and attention for the CPU, where MLX computes exp and erf number by number.

On x86 its exp takes 10 ns a number and its erf 25 ns, while a sum takes 0.3 ns; a polynomial
of sums and products is 5 to 7 times faster than either (`benchmarks/activations.py`). On Metal
and CUDA, in half precision, and for a few numbers, where an operation costs more than its
numbers, these are MLX's own.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from functools import cache

import mlx.nn as nn

from .backend import mx, on_gpu

_FEW = 4096
_MANY = 200_000  # numbers of which a second core is worth waking up for one half
_SAFE_SCORE = 40.0  # e^40 and e^-40 are far from where a float32 ends
_LOG2_E = 1.4426950408889634
# 2^f on [-1/2, 1/2], to 1e-7: the least squares fit at Chebyshev's nodes.
_EXP2 = (
    0.001340043216526414, 0.009676037097868129, 0.05550327214209712, 0.24022107355830502,
    0.6931472067106198, 1.0000000754953489,
)  # fmt: skip
_ROUNDER = 1.5 * 2**23  # added to a float32, leaves the nearest whole number in its low bits
# erf(x) = x P(x^2) / Q(x^2) on [-4, 4], to 4e-7: Eigen's generic_fast_erf, also in TensorFlow.
_ERF_P = (
    -2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05,
    -7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02,
)  # fmt: skip
_ERF_Q = (
    -1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03,
    -1.42647390514189e-02,
)  # fmt: skip


_local = threading.local()


def gelu(x: mx.array) -> mx.array:
    """x/2 (1 + erf(x / sqrt 2)), within 1e-6 of exact for |x| < 10; any shape."""
    if not _is_for_polynomials(x.dtype, x.size):
        return nn.gelu(x)
    z = mx.clip(x * 0.7071067811865476, -4.0, 4.0)
    square = z * z
    half = 0.5 * x
    return half + half * (z * _polynomial(square, _ERF_P) / _polynomial(square, _ERF_Q))


def silu(x: mx.array) -> mx.array:
    """x / (1 + exp(-x)), any shape."""
    if not _is_for_polynomials(x.dtype, x.size):
        return nn.silu(x)
    return x / (1.0 + exp(-x))


def exp(x: mx.array) -> mx.array:
    """e^x for x within -87 to 87, relative error below 3e-7 + 1e-7 |x|."""
    if not _is_for_polynomials(x.dtype, x.size):
        return mx.exp(x)
    return _exp2(mx.minimum(x * _LOG2_E, 126.0))


def _exp2(y: mx.array) -> mx.array:
    """2^y for y up to 126; 0, nearly, below -126."""
    y = mx.maximum(y, -126.0)
    rounded = y + _ROUNDER
    power = _polynomial(y - (rounded - _ROUNDER), _EXP2)
    # A whole number added to the exponent's bits multiplies by that power of two.
    return mx.view(mx.view(power, mx.int32) + (mx.view(rounded, mx.int32) << 23), mx.float32)


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
        mask: from `causal_mask` or `mask_of`; None: all is seen.
        largest_score: no scaled product of a query and a key is further from 0, if that is known.

    Returns:
        [batch, heads, new, dim].
    """
    heads, new, dim = queries.shape[1:]
    kv_heads, length = keys.shape[1:3]
    if isinstance(mask, str) or not _is_for_polynomials(queries.dtype, heads * new * length):
        scale = dim**-0.5
        return mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale, mask=mask)
    if kv_heads % 2 or heads * new * length < _MANY or _cores() < 2:
        return _attended(queries, keys, values, mask, largest_score)
    groups, pairs = heads // 2, kv_heads // 2
    parts = []
    for side, stream in enumerate((mx.default_stream(mx.default_device()), _side_stream())):
        with mx.stream(stream):
            one = slice(side * groups, (side + 1) * groups)
            kv = slice(side * pairs, (side + 1) * pairs)
            parts.append(
                _attended(queries[:, one], keys[:, kv], values[:, kv], mask, largest_score)
            )
    return mx.concatenate(parts, axis=1)


def _attended(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    mask: mx.array | str | None,
    largest_score: float,
) -> mx.array:
    batch, heads, new, dim = queries.shape
    kv_heads, length = keys.shape[1:3]
    grouped = (queries * (_LOG2_E * dim**-0.5)).reshape(batch, kv_heads, -1, dim)
    scores = (grouped @ keys.swapaxes(-1, -2)).reshape(batch, heads, new, length)
    if mask is not None:
        scores = scores + mask
    if largest_score > _SAFE_SCORE:
        scores = scores - mx.max(scores, axis=-1, keepdims=True)
    weights = _exp2(scores).reshape(batch, kv_heads, -1, length)
    # A column of ones gives the sum of the weights with the product. It divides what comes out,
    # where there are fewer numbers.
    ones = mx.ones((batch, kv_heads, length, 1), dtype=values.dtype)
    out = weights @ mx.concatenate([values, ones], axis=-1)
    return (out[..., :dim] / out[..., dim:]).reshape(queries.shape)


def _side_stream() -> mx.Stream:
    """A second stream of this thread's, which computes on a core of its own."""
    if not hasattr(_local, "side"):
        _local.side = mx.new_stream(mx.default_device())
    return _local.side


@cache
def _cores() -> int:
    """That this process may use."""
    if sys.platform.startswith("linux"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def causal_mask(new: int, past: int, dtype: mx.Dtype) -> mx.array | str | None:
    """For `attention`: the last `new` of `past + new` positions see themselves and what is before.

    One for all layers.
    """
    if new == 1:
        return None
    if on_gpu():
        return "causal"
    seen = mx.arange(past + new)[None, :] <= mx.arange(past, past + new)[:, None]
    return mask_of(seen[None, None], dtype)


def mask_of(seen: mx.array, dtype: mx.Dtype) -> mx.array:
    """For `attention`: `seen` [batch, 1, new, all] bool, as what is added to the scores."""
    return mx.where(seen, 0.0, -1e9 if dtype == mx.float32 else -3e4).astype(dtype)


def _polynomial(x: mx.array, coefficients: tuple[float, ...]) -> mx.array:
    """Horner's rule, highest power first."""
    value = coefficients[0] * x + coefficients[1]
    for coefficient in coefficients[2:]:
        value = value * x + coefficient
    return value


def _is_for_polynomials(dtype: mx.Dtype, numbers: int) -> bool:
    return numbers >= _FEW and dtype == mx.float32 and not on_gpu()
