"""Products of a few rows with a large matrix of weights, which is read where it lies.

What a token costs on a CPU is the reading of the weights. OpenBLAS's product of two matrices, which
MLX calls for one row as well, copies them into panels first, which takes three times as long
(`benchmarks/products.py`). Two of its products do not:

- that of a matrix and a vector. Rows go through it one after the other, by blocks of the matrix
  that a cache holds.
- that of two *small* matrices, where the library has kernels for these. They take several rows at
  once, in the thread that calls; so the matrix is taken by small blocks, by a thread for each core.
  This is for work that is numpy's from end to end (`linear_of_rows`): for some milliseconds after a
  product by OpenBLAS's own threads, as MLX's are, these keep others from the cores.

numpy's product is as fast for one row, but its OpenBLAS is another one, and the idle threads of
each keep those of the other from the cores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.nn as nn
import numpy as np

from ..backend import mx, on_gpu
from .cores import on_all_cores
from .openblas import MOST_SMALL, MOST_SMALL_RESULTS, times_small_matrix, times_vector

MOST_ROWS = 8
"""Of more, a product is the layer's own."""
MOST_AT_ONCE = 16
"""Likewise, where they are taken at once: of twice as many, a call is too short for its cost."""
LARGE = 1 << 18  # numbers, 1 MB: of less, most of the time is that of the call
_BLOCK = 1 << 20  # numbers, 4 MB
_SMALL_BLOCK = 1 << 17  # numbers, 0.5 MB
_ROW_MAJOR, _AS_IT_IS, _TURNED = 101, 111, 112  # of CBLAS

_Way = Callable[[Sequence[np.ndarray], np.ndarray], list[np.ndarray]]


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


def linear_of_rows(layers: Sequence[nn.Module], rows: np.ndarray) -> list[np.ndarray]:
    """`layer(rows)` of each of some linear layers, of any size.

    Args:
        layers: all of one width; embeddings among them, as `as_linear` has them.
        rows: [rows, in] float32.

    Returns:
        [rows, out] float32 of each.
    """
    product = _way_of_rows(len(rows))
    matrices = [_matrix_of(layer) for layer in layers]
    if product is None or any(m is None or m.shape[-1] != rows.shape[-1] for m in matrices):
        return [np.array(_own(layer)(mx.array(rows)).astype(mx.float32)) for layer in layers]
    found = product([m for m in matrices if m is not None], np.ascontiguousarray(rows))
    for layer, one in zip(layers, found, strict=True):
        if "bias" in layer:
            one += np.array(layer.bias, copy=False)
    return found


def _own(layer: nn.Module) -> Callable[[mx.array], mx.array]:
    return layer.as_linear if isinstance(layer, (nn.Embedding, nn.QuantizedEmbedding)) else layer


def _matrix_of(layer: nn.Module) -> np.ndarray | None:
    """A plain layer's weights in float32, where they lie row by row."""
    if type(layer) not in (nn.Linear, Linear, nn.Embedding):
        return None
    weight: mx.array = layer["weight"]
    if not _is_known(weight):
        return None
    matrix = np.array(weight, copy=False)
    return matrix if matrix.flags.c_contiguous else None


def _way_of_rows(count: int) -> _Way | None:
    if 1 < count <= MOST_AT_ONCE and times_small_matrix() is not None:
        return _by_small_blocks
    return _by_vectors if count <= MOST_ROWS else None


def is_large(weight: mx.array) -> bool:
    """Whether products of a few rows with `weight` are computed here, at once."""
    return weight.size >= LARGE and _is_known(weight)


def _is_known(weight: mx.array) -> bool:
    return weight.dtype == mx.float32 and not on_gpu() and times_vector() is not None


def _is_ours(weight: mx.array, x: mx.array) -> bool:
    is_few = 0 < x.size <= MOST_ROWS * x.shape[-1] and x.dtype == mx.float32
    return is_few and is_large(weight) and x.shape[-1] == weight.shape[-1]  # else it raises


def _product(weight: mx.array, x: mx.array, bias: mx.array | None = None) -> mx.array:
    matrix = np.array(weight, copy=False)
    if not matrix.flags.c_contiguous:
        return x @ weight.T if bias is None else mx.addmm(bias, x, weight.T)
    mx.eval(x)
    rows = np.ascontiguousarray(np.array(x, copy=False).reshape(-1, x.shape[-1]))
    product = mx.array(_by_vectors([matrix], rows)[0]).reshape(*x.shape[:-1], len(matrix))
    return product if bias is None else product + bias


def _by_vectors(matrices: Sequence[np.ndarray], rows: np.ndarray) -> list[np.ndarray]:
    """`rows @ matrix.T` of each, a row at a time."""
    return [_by_one_vector(matrix, rows) for matrix in matrices]


def _by_one_vector(matrix: np.ndarray, rows: np.ndarray) -> np.ndarray:
    multiply = times_vector()
    assert multiply is not None
    height, width = matrix.shape
    found = np.zeros((len(rows), height), np.float32)
    at, given, out = matrix.ctypes.data, rows.ctypes.data, found.ctypes.data  # it adds to these
    most = max(1, _BLOCK // width) if len(rows) > 1 else height
    for start in range(0, height, most):
        count = min(most, height - start)
        for row in range(len(rows)):
            multiply(
                _ROW_MAJOR, _AS_IT_IS, count, width, 1.0, at + 4 * start * width, width,
                given + 4 * row * width, 1, 1.0, out + 4 * (row * height + start), 1,
            )  # fmt: skip
    return found


def _by_small_blocks(matrices: Sequence[np.ndarray], rows: np.ndarray) -> list[np.ndarray]:
    """`rows @ matrix.T` of each, a few rows of a matrix at a time."""
    multiply = times_small_matrix()
    assert multiply is not None
    count, width = rows.shape
    found = [np.empty((count, len(matrix)), np.float32) for matrix in matrices]
    given = rows.ctypes.data
    places = [(m.ctypes.data, f.ctypes.data) for m, f in zip(matrices, found, strict=True)]
    most = min(MOST_SMALL // rows.size, MOST_SMALL_RESULTS // count, _SMALL_BLOCK // width) or 1

    def block(place: tuple[int, int]) -> None:
        which, start = place
        height, (at, out) = len(matrices[which]), places[which]
        multiply(
            _ROW_MAJOR, _AS_IT_IS, _TURNED, count, min(most, height - start), width,
            1.0, given, width, at + 4 * start * width, width, 0.0, out + 4 * start, height,
        )  # fmt: skip

    blocks = [
        (which, start)
        for which, matrix in enumerate(matrices)
        for start in range(0, len(matrix), most)
    ]
    on_all_cores(block, blocks, is_much=sum(matrix.size for matrix in matrices) >= LARGE)
    return found
