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
ADVICE = {
    "missing": "OpenBLAS is not installed: large models run some 30 times slower than they could "
    "(Debian and Ubuntu: apt-get install libopenblas0-pthread)",
    "late": "MLX was imported before alignheads and runs on its own slow BLAS: import "
    "alignheads.runtime first",
}


@cache
def prefer_openblas() -> str:
    """Load OpenBLAS where it is of use; say `used`, `missing`, `late` (MLX is in) or `not needed`.

    Loading takes some 2 ms; later calls return what the first one did.
    """
    if not sys.platform.startswith("linux"):
        return "not needed"
    if "mlx.core" in sys.modules:
        return "late"
    for name in _NAMES:
        try:
            ctypes.CDLL(name, ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return "used"
    return "missing"
