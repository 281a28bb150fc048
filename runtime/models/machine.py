"""The machine that MLX computes on, in words and in bytes: what a measurement must name."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import sys

from .backend import mx, on_gpu
from .cpu.openblas import prefer_openblas

_PACKAGES = ("alignheads", "mlx", "mlx-qwen3-asr", "numpy", "jiwer")


def backend_name() -> str:
    """`Metal`, `CUDA`, or `CPU` with the BLAS it uses."""
    if on_gpu():
        return "Metal" if mx.metal.is_available() else "CUDA"
    blas = {"used": "OpenBLAS", "not needed": "Accelerate"}.get(prefer_openblas(), "built-in BLAS")
    return f"CPU, {blas}"


def device_name() -> str:
    """The chip, as MLX calls it."""
    return str(mx.device_info().get("device_name", "")) or platform.processor() or "unknown"


def platform_name() -> str:
    """Operating system and architecture, with the cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    macos = f" (macOS {version})" if (version := platform.mac_ver()[0]) else ""
    return f"{platform.system()} {platform.release()} {platform.machine()}{macos}, {cores} cores"


def memory_bytes() -> int:
    """Of the machine, which a GPU shares on a Mac."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def versions() -> dict[str, str]:
    """Of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # run from a source tree
            found[name] = "unknown"
    return found


def peak_process_bytes() -> int:
    """The most memory this process has had resident since it started."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # bytes there, KiB elsewhere


def peak_array_bytes() -> int:
    """The most memory of MLX's arrays since the start or since `reset_peak_array_bytes`."""
    return int(mx.get_peak_memory())


def reset_peak_array_bytes() -> None:
    """Count the peak of MLX's arrays from here on."""
    mx.reset_peak_memory()
