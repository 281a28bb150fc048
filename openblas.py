"""OpenBLAS under MLX on Linux. Must be loaded before the first import of MLX in the process.

The Linux wheel of MLX ships the reference BLAS, 5 GFLOP/s in float32. OpenBLAS, loaded
with its symbols global, takes its place and gives 140 to 300. Whatever imports MLX, also
through `mlx_qwen3_asr`, calls `prefer_openblas` first.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache

_NAMES = ("libopenblas.so.0", "libopenblas.so")
ADVICE = (
    "OpenBLAS is not installed: large models run some 30 times slower than they could "
    "(Debian and Ubuntu: apt-get install libopenblas0-pthread)"
)


@cache
def prefer_openblas() -> bool:
    """Load OpenBLAS, on Linux and if MLX is not there yet. False: it is missing or came too late.

    Loading takes some 2 ms; later calls return what the first one did.
    """
    if not sys.platform.startswith("linux"):
        return True
    if "mlx.core" in sys.modules:
        return False
    for name in _NAMES:
        try:
            ctypes.CDLL(name, ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return True
    return False
