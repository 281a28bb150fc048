"""Products with a large matrix of weights, for a few rows at once.

OpenBLAS copies one of the two factors into panels before it multiplies. Where it is the second one,
as in a layer's own `x @ weight.T`, the panels of a large matrix are larger than a core's cache and
go through memory; those of the first factor are not. For a single row nothing is copied, and for
many the product takes longer than the copy.
"""

from __future__ import annotations

import mlx.nn as nn

from ..backend import mx, on_gpu

_FEW_ROWS = range(2, 33)
_LARGE = 1 << 18  # numbers, 1 MB: about what a core's own cache holds


def linear(layer: nn.Module, x: mx.array) -> mx.array:
    """`layer(x)` of a linear layer; `x` [..., in], of any type."""
    rows = x.size // x.shape[-1]
    is_ours = rows in _FEW_ROWS and type(layer) is nn.Linear and "bias" not in layer
    if not is_ours or x.dtype != mx.float32 or on_gpu() or layer["weight"].size < _LARGE:
        return layer(x)
    product = layer["weight"] @ x.reshape(rows, -1).T
    return product.T.reshape(*x.shape[:-1], -1)
