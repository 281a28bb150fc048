"""What a few rows times large matrices of weights cost on this CPU: by MLX, and by the package.

    python benchmarks/products.py [--megabytes 600]

The matrices are those of the 0.6B model's text decoder, more of them than a cache holds.
"""

from __future__ import annotations

import alignheads.runtime.models  # isort: skip  # noqa: F401  OpenBLAS must come before MLX

import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import mlx.nn as nn
import numpy as np
import typer

from alignheads.commandline import run
from alignheads.errors import InputError
from alignheads.runtime.models.backend import mx
from alignheads.runtime.models.cpu.openblas import times_vector
from alignheads.runtime.models.cpu.products import MOST_AT_ONCE, linear, linear_of_rows

SHAPES = (
    (2048, 1024), (1024, 1024), (1024, 1024), (1024, 2048), (3072, 1024), (3072, 1024),
    (1024, 3072),
)  # fmt: skip
"""[out, in] of a layer's matrices."""
REPEATS = 9


def milliseconds(work: Callable[[], list]) -> np.ndarray:
    """Of each of `REPEATS` runs."""
    spent = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        mx.eval(work())
        spent.append(1000 * (time.perf_counter() - begin))
    return np.array(spent)


def measure(megabytes: int = 600) -> dict[int, list[np.ndarray]]:
    """Milliseconds of MLX, of `linear` and of `linear_of_rows`, by rows."""
    in_layer = sum(height * width for height, width in SHAPES) * 4 / 1e6
    layers = [
        nn.Linear(width, height, bias=False)
        for _ in range(max(1, round(megabytes / in_layer)))
        for height, width in SHAPES
    ]
    mx.eval([layer.parameters() for layer in layers])

    def through(product: Callable, given: dict[int, Any]) -> list:
        return [product(layer, given[layer.weight.shape[1]]) for layer in layers]

    def of_rows(layer: nn.Module, rows: np.ndarray) -> np.ndarray:
        return linear_of_rows((layer,), rows)[0]

    found = {}
    for rows in (1, 2, 4, 8, MOST_AT_ONCE):
        given = {width: mx.random.normal((rows, width)) for _, width in SHAPES}
        mx.eval(given)
        as_numpy = {width: np.array(x) for width, x in given.items()}
        ways = ((lambda layer, x: layer(x), given), (linear, given), (of_rows, as_numpy))
        found[rows] = [milliseconds(partial(through, *way)) for way in ways]
    return found


def products(
    megabytes: Annotated[
        int, typer.Option(min=64, help="of weights that are multiplied with, some 63 a layer")
    ] = 600,
) -> None:
    """Print a table, a line for each number of rows."""
    if times_vector() is None:
        raise InputError("OpenBLAS is not in use here, so all are MLX's own product")
    print(f"{megabytes} MB of weights; median (slowest) of {REPEATS} runs, ms\n")
    print("| rows | MLX | `linear` | | `linear_of_rows` | |\n| --- | --- | --- | --- | --- | --- |")
    for rows, ways in measure(megabytes).items():
        theirs, *ours = [float(np.median(way)) for way in ways]
        cells = [f"{np.median(way):.0f} ({way.max():.0f})" for way in ways]
        for place, one in enumerate(ours):
            cells.insert(2 * place + 2, f"{theirs / one:.1f}x")
        print("| " + " | ".join([str(rows), *cells]) + " |")


if __name__ == "__main__":
    run(products)
