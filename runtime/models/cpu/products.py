"""Products of a few rows with a large matrix of weights: a vector at a time.

What a token costs on a CPU is the reading of the weights. OpenBLAS's product of a matrix and a
vector reads them where they lie, at the speed of memory. Its product of two matrices, which MLX
calls for one row as well, copies them into panels first, which takes three times as long
(`benchmarks/products.py`). The other order, `weight @ x.T`, copies less, but its threads share the
panels, and wait long for each other where cores have no cache in common. So a few rows go through
one after the other, by blocks of the matrix that a cache holds. numpy's product is as fast, but its
OpenBLAS is another one, and the idle threads of each keep those of the other from the cores.
"""

from __future__ import annotations

import mlx.nn as nn
import numpy as np

from ..backend import mx, on_gpu
from .openblas import times_vector

MOST_ROWS = 8
LARGE = 1 << 18  # numbers, 1 MB: of less, most of the time is that of the call
_BLOCK = 1 << 20  # numbers, 4 MB
_ROW_MAJOR, _AS_IT_IS = 101, 111  # of CBLAS


class Linear(nn.Linear):
    """A layer that computes as `linear` does."""

    def __call__(self, x: mx.array) -> mx.array:
        """[..., in] -> [..., out]."""
        if not _is_ours(self.weight, x):
            return super().__call__(x)
        return _product(self.weight, x, self.get("bias"))


def linear(layer: nn.Module, x: mx.array) -> mx.array:
    """`layer(x)` of a linear layer; `x` [..., in], of any type."""
    if type(layer) is not nn.Linear or not _is_ours(layer.weight, x):
        return layer(x)
    return _product(layer.weight, x, layer.get("bias"))


def as_linear(embedding: nn.Embedding, x: mx.array) -> mx.array:
    """`embedding.as_linear(x)`; `x` [..., width] -> [..., vocabulary]."""
    if type(embedding) is not nn.Embedding or not _is_ours(embedding.weight, x):
        return embedding.as_linear(x)
    return _product(embedding.weight, x)


def is_large(weight: mx.array) -> bool:
    """Whether products of a few rows with `weight` are computed here, at once."""
    is_float = weight.size >= LARGE and weight.dtype == mx.float32
    return is_float and not on_gpu() and times_vector() is not None


def _is_ours(weight: mx.array, x: mx.array) -> bool:
    is_few = 0 < x.size <= MOST_ROWS * x.shape[-1] and x.dtype == mx.float32
    return is_few and is_large(weight) and x.shape[-1] == weight.shape[-1]  # else it raises


def _product(weight: mx.array, x: mx.array, bias: mx.array | None = None) -> mx.array:
    multiply, matrix = times_vector(), np.array(weight, copy=False)
    assert multiply is not None
    if not matrix.flags.c_contiguous:
        return x @ weight.T if bias is None else mx.addmm(bias, x, weight.T)
    mx.eval(x)
    rows = np.ascontiguousarray(np.array(x, copy=False).reshape(-1, x.shape[-1]))
    height, width = matrix.shape
    out = np.zeros((len(rows), height), np.float32)
    at, given, found = matrix.ctypes.data, rows.ctypes.data, out.ctypes.data  # it adds to these
    most = max(1, _BLOCK // width) if len(rows) > 1 else height
    for start in range(0, height, most):
        count = min(most, height - start)
        for row in range(len(rows)):
            multiply(
                _ROW_MAJOR, _AS_IT_IS, count, width, 1.0, at + 4 * start * width, width,
                given + 4 * row * width, 1, 1.0, found + 4 * (row * height + start), 1,
            )  # fmt: skip
    product = mx.array(out).reshape(*x.shape[:-1], height)
    return product if bias is None else product + bias
