"""What GELU, SiLU and attention cost on this machine: MLX's own and the package's.

python benchmarks/activations.py
"""

from __future__ import annotations

import alignheads.runtime.models  # isort: skip  # noqa: F401  OpenBLAS must come before MLX

import time
from collections.abc import Callable

import mlx.nn as nn

from alignheads.runtime.models.backend import mx
from alignheads.runtime.models.cpu import activations

REPEATS = 50
SHAPE = (8, 150, 500)  # heads, new positions, all: a step of the tiny model late in its buffer
ENCODER = (1, 8, 750, 64)  # a layer of Whisper base's encoder, over 15 s


def milliseconds(work: Callable[[], mx.array]) -> float:
    """The fastest of `REPEATS` runs."""
    spent = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        mx.eval(work())
        spent.append(time.perf_counter() - begin)
    return 1000 * min(spent)


def main() -> None:
    """Print one line each."""
    heads, new, length = SHAPE
    x = mx.random.normal(SHAPE)
    queries = mx.random.normal((1, heads, new, 24))
    keys = mx.random.normal((1, heads // 2, length, 24))
    heard, large = mx.random.normal(ENCODER), 100 * mx.random.normal(ENCODER)
    mx.eval(x, queries, keys, heard, large)

    def encoder(queries: mx.array, attention: Callable[..., mx.array]) -> Callable[[], mx.array]:
        return lambda: attention(queries, heard, heard)

    def theirs_in_encoder(*qkv: mx.array) -> mx.array:
        return mx.fast.scaled_dot_product_attention(*qkv, scale=ENCODER[-1] ** -0.5)

    pairs: dict[str, tuple[Callable[[], mx.array], Callable[[], mx.array]]] = {
        "gelu": (lambda: nn.gelu(x), lambda: activations.gelu(x)),
        "silu": (lambda: nn.silu(x), lambda: activations.silu(x)),
        "attention": (
            lambda: mx.fast.scaled_dot_product_attention(
                queries, keys, keys, scale=24**-0.5, mask="causal"
            ),
            lambda: activations.attention(queries, keys, keys, "causal"),
        ),
        "attention of an encoder": (
            encoder(heard, theirs_in_encoder), encoder(heard, activations.attention)
        ),
        "the same, scores over 64": (
            encoder(large, theirs_in_encoder), encoder(large, activations.attention)
        ),
    }  # fmt: skip
    for name, (theirs, ours) in pairs.items():
        one, other = milliseconds(theirs), milliseconds(ours)
        print(f"{name:24} MLX {one:6.2f} ms, ours {other:6.2f} ms: {one / other:.1f}x")


if __name__ == "__main__":
    main()
