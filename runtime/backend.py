"""MLX, made ready for this machine. Every other module takes `mx` from here.

The Linux wheel of MLX ships the reference BLAS, 5 GFLOP/s in float32. OpenBLAS, loaded
into the process *before* MLX with its symbols global, takes its place and gives 140 to 300.
"""

from __future__ import annotations

import ctypes
import sys

from ..commandline import say

_OPENBLAS_NAMES = ("libopenblas.so.0", "libopenblas.so")


def _load_openblas() -> bool:
    for name in _OPENBLAS_NAMES:
        try:
            ctypes.CDLL(name, ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return True
    return False


_wants_openblas = sys.platform.startswith("linux") and "mlx.core" not in sys.modules
_has_openblas = _load_openblas() if _wants_openblas else False

import mlx.core as mx  # noqa: E402  (must follow OpenBLAS)

_advice_is_due = _wants_openblas and not _has_openblas


def on_gpu() -> bool:
    """Whether MLX computes on Metal or CUDA."""
    return mx.default_device() == mx.Device(mx.gpu, 0)


def default_dtype() -> mx.Dtype:
    """float16 on Metal and CUDA; float32 on the CPU, where float16 is some 60 times slower."""
    return mx.float16 if on_gpu() else mx.float32


def advise_openblas() -> None:
    """Say, once in a process, how to make a Linux CPU fast, where OpenBLAS is missing."""
    global _advice_is_due
    if _advice_is_due and not on_gpu():
        say(
            "OpenBLAS is not installed: large models run some 30 times slower than they could "
            "(Debian and Ubuntu: apt-get install libopenblas0-pthread)"
        )
    _advice_is_due = False


__all__ = ["advise_openblas", "default_dtype", "mx", "on_gpu"]
