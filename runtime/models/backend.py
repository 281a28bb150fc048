"""MLX, made ready for this machine. Every other module takes `mx` from here."""

from __future__ import annotations

import logging
import os
from importlib.metadata import version

import mlx.core as mx

from ...errors import InputError
from .cpu.kernels import place_kernels
from .cpu.openblas import ADVICE, prefer_openblas

_log = logging.getLogger(__name__)

_has_been_advised = False
_is_forked = False


def _note_fork() -> None:
    global _is_forked
    _is_forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def check_not_forked() -> None:
    """Refuse to compute in a child of a fork: MLX's threads are not in it, and it would hang.

    MLX starts them when it is imported, so that a model loaded in the child would hang, too.

    Raises:
        InputError: this process was forked after MLX was imported.
    """
    if _is_forked:
        raise InputError(
            "this process was forked after MLX was loaded, whose threads a fork does not copy: "
            'start it by spawn (multiprocessing.get_context("spawn")), or load models in the '
            "child alone"
        )


def on_gpu() -> bool:
    """Whether MLX computes on Metal or CUDA."""
    return mx.default_device() == mx.Device(mx.gpu, 0)


if not on_gpu() and not place_kernels(version("mlx")):
    mx.disable_compile()  # one operation after another, as it was before there were kernels


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


__all__ = ["advise_openblas", "check_not_forked", "default_dtype", "mx", "on_gpu"]
