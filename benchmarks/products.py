"""What a few rows times large matrices of weights cost on this CPU: by MLX, and by the package.

    python benchmarks/products.py [--megabytes 600]

The matrices are those of the 0.6B model's text decoder, more of them than a cache holds.
"""

from __future__ import annotations

import alignheads.runtime.models  # isort: skip  # noqa: F401  OpenBLAS must come before MLX

import time
from collections.abc import Callable
from typing import Annotated

import mlx.nn as nn
import numpy as np
import typer

from alignheads.commandline import run
from alignheads.errors import InputError
from alignheads.runtime.models.backend import mx
from alignheads.runtime.models.cpu.openblas import times_vector
from alignheads.runtime.models.cpu.products import MOST_ROWS, linear

SHAPES = (
    (2048, 1024), (1024, 1024), (1024, 1024), (1024, 2048), (3072, 1024), (3072, 1024),
    (1024, 3072),
)  # fmt: skip
"""[out, in] of a layer's matrices."""
REPEATS = 9


def milliseconds(work: Callable[[], list[mx.array]]) -> np.ndarray:
    """Of each of `REPEATS` runs."""
    spent = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        mx.eval(work())
        spent.append(1000 * (time.perf_counter() - begin))
    return np.array(spent)


def measure(megabytes: int = 600) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Milliseconds of MLX and of the package, by rows."""
    in_layer = sum(height * width for height, width in SHAPES) * 4 / 1e6
    layers = [
        nn.Linear(width, height, bias=False)
        for _ in range(max(1, round(megabytes / in_layer)))
        for height, width in SHAPES
    ]
    mx.eval([layer.parameters() for layer in layers])
    found = {}
    for rows in (1, 2, 4, MOST_ROWS):
        given = {width: mx.random.normal((rows, width)) for _, width in SHAPES}
        mx.eval(given)

        def through(product: Callable, given: dict[int, mx.array] = given) -> list[mx.array]:
            return [product(layer, given[layer.weight.shape[1]]) for layer in layers]

        found[rows] = (
            milliseconds(lambda through=through: through(lambda layer, x: layer(x))),
            milliseconds(lambda through=through: through(linear)),
        )
    return found


def products(
    megabytes: Annotated[
        int, typer.Option(min=64, help="of weights that are multiplied with, some 63 a layer")
    ] = 600,
) -> None:
    """Print a table, a line for each number of rows."""
    if times_vector() is None:
        raise InputError("OpenBLAS is not in use here, so both are MLX's own product")
    print(f"{megabytes} MB of weights; median (slowest) of {REPEATS} runs\n")
    print("| rows | MLX, ms | the package, ms | |\n| --- | --- | --- | --- |")
    for rows, (theirs, ours) in measure(megabytes).items():
        print(
            f"| {rows} | {np.median(theirs):.0f} ({theirs.max():.0f}) | {np.median(ours):.0f} "
            f"({ours.max():.0f}) | {np.median(theirs) / np.median(ours):.1f}x |"
        )


if __name__ == "__main__":
    run(products)
