"""OpenBLAS under MLX on Linux. Must be loaded before the first import of MLX in the process.

The Linux wheel of MLX ships the reference BLAS, 5 GFLOP/s in float32. OpenBLAS, loaded
with its symbols global, takes its place and gives 140 to 300. Whatever imports MLX, also
through `mlx_qwen3_asr`, calls `prefer_openblas` first.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

_NAMES = ("libopenblas.so.0", "libopenblas.so")
_SMALL_WIDTH = 512
ADVICE = {
    "missing": "OpenBLAS is not installed: large models run some 30 times slower than they could "
    "(Debian and Ubuntu: apt-get install libopenblas0-pthread)",
    "late": "MLX was imported before alignheads and runs on its own slow BLAS: import "
    "alignheads.runtime first",
}


def prefer_openblas() -> str:
    """Load OpenBLAS where it is of use; say `used`, `missing`, `late` (MLX is in) or `not needed`.

    Loading takes some 2 ms; later calls return what the first one did.
    """
    return _loaded()[0]


def suit_threads(width: int) -> None:
    """Give OpenBLAS threads for a model of this width: one for a small one, else all cores.

    The products of a small model are over before a second thread wakes up, and threads that
    wait for the next one spin: the tiny model is a fifth slower with two. The newest call holds
    for the process. `OPENBLAS_NUM_THREADS` in the environment is left as it is.
    """
    library = _loaded()[1]
    if library is not None and "OPENBLAS_NUM_THREADS" not in os.environ:
        few = width < _SMALL_WIDTH
        library.openblas_set_num_threads(1 if few else library.openblas_get_num_procs())


@cache
def _loaded() -> tuple[str, ctypes.CDLL | None]:
    if not sys.platform.startswith("linux"):
        return "not needed", None
    if "mlx.core" in sys.modules:
        return "late", None
    for name in _NAMES:
        try:
            return "used", ctypes.CDLL(name, ctypes.RTLD_GLOBAL)
        except OSError:
            continue
    return "missing", None
