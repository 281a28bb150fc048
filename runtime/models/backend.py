"""MLX, made ready for this machine. Every other module takes `mx` from here."""

from __future__ import annotations

import logging

import mlx.core as mx

from .cpu.openblas import ADVICE, prefer_openblas

_log = logging.getLogger(__name__)

_has_been_advised = False


def on_gpu() -> bool:
    """Whether MLX computes on Metal or CUDA."""
    return mx.default_device() == mx.Device(mx.gpu, 0)


def default_dtype() -> mx.Dtype:
    """float16 on Metal and CUDA; float32 on the CPU, where float16 is some 60 times slower."""
    return mx.float16 if on_gpu() else mx.float32


def advise_openblas() -> None:
    """Say, once in a process, how to make a Linux CPU fast, where OpenBLAS is not in use."""
    global _has_been_advised
    advice = ADVICE.get(prefer_openblas())
    if advice and not _has_been_advised and not on_gpu():
        _log.warning(advice)
    _has_been_advised = True


__all__ = ["advise_openblas", "default_dtype", "mx", "on_gpu"]
