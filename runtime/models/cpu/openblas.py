"""OpenBLAS under MLX on Linux. Must be loaded before the first import of MLX in the process.

The Linux wheel of MLX ships the reference BLAS, 5 GFLOP/s in float32. OpenBLAS, loaded
with its symbols global, takes its place and gives 140 to 300. The package `runtime.models`, which
alone imports MLX, calls `prefer_openblas` before any of its modules is loaded.
"""

from __future__ import annotations

import _ctypes
import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

_NAMES = ("libopenblas.so.0", "libopenblas.so")
_SMALL_WIDTH = 384  # Whisper tiny has so many, and is not small
_CORE_TYPE = "OPENBLAS_CORETYPE"
_OLDEST = "Prescott"  # what a library made for all CPUs takes for one that it does not know
_KERNELS = (  # of the best first, and what a CPU needs for them
    ("SkylakeX", {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
    ("Haswell", {"avx2", "fma"}),
)
MOST_SMALL, MOST_SMALL_RESULTS = 10**6, 1200
ADVICE = {
    "missing": "OpenBLAS is not installed: large models run some 30 times slower than they could "
    "(Debian and Ubuntu: apt-get install libopenblas0-pthread)",
    "late": "MLX was imported before alignheads and runs on its own slow BLAS: import "
    "alignheads.runtime.models first",
}


def prefer_openblas() -> str:
    """Load OpenBLAS where it is of use; say `used`, `missing`, `late` (MLX is in) or `not needed`.

    Loading takes some 2 ms, 7 where it is done anew; later calls return what the first one did.
    """
    return _loaded()[0]


def suit_threads(width: int) -> None:
    """Give OpenBLAS threads for a model of this width: one for a small one, else all cores.

    The products of a small model are over before a second thread wakes up, and threads that
    wait for the next one spin: the tiny model is a fifth slower with two, Whisper tiny, whose
    audio takes larger products, a third faster. The newest call holds for the process.
    `OPENBLAS_NUM_THREADS` in the environment is left as it is.
    """
    library = _loaded()[1]
    if library is not None and "OPENBLAS_NUM_THREADS" not in os.environ:
        few = width < _SMALL_WIDTH
        _threads.set(library, 1 if few else library.openblas_get_num_procs())


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """In the block a product takes one thread, whoever asks for it in the process."""
    library = _loaded()[1]
    if library is None:
        yield
        return
    _threads.begin(library)
    try:
        yield
    finally:
        _threads.end(library)


class _Threads:
    """How many a product takes, while nobody asked for one alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._usual, self._blocks = 1, 0

    def set(self, library: ctypes.CDLL, count: int) -> None:
        with self._lock:
            self._usual = count
            if not self._blocks:
                library.openblas_set_num_threads(count)

    def begin(self, library: ctypes.CDLL) -> None:
        with self._lock:
            if not self._blocks:
                self._usual = library.openblas_get_num_threads()
                library.openblas_set_num_threads(1)
            self._blocks += 1

    def end(self, library: ctypes.CDLL) -> None:
        with self._lock:
            self._blocks -= 1
            if not self._blocks:
                library.openblas_set_num_threads(self._usual)


_threads = _Threads()


@cache
def times_vector() -> Callable[..., None] | None:
    """`cblas_sgemv` of the library that MLX uses; None: it uses another one."""
    function = getattr(_loaded()[1], "cblas_sgemv", None)  # some are built without CBLAS
    if function is None:
        return None
    number, integer, array = ctypes.c_float, ctypes.c_int, ctypes.c_void_p
    function.argtypes = [
        integer, integer, integer, integer, number, array, integer, array, integer, number, array,
        integer,
    ]  # fmt: skip
    function.restype = None
    return function


@cache
def times_small_matrix() -> Callable[..., None] | None:
    """`cblas_sgemm` of the library that MLX uses; None: it has no kernels for small matrices.

    With them (OpenBLAS has some for CPUs with AVX-512) a product of up to `MOST_SMALL`
    multiplications and `MOST_SMALL_RESULTS` numbers is computed where the matrices lie, in the
    thread that calls.
    """
    library = _loaded()[1]
    function = getattr(library, "cblas_sgemm", None)
    if library is None or function is None or not _has_small_kernels(library):
        return None
    number, integer, array = ctypes.c_float, ctypes.c_int, ctypes.c_void_p
    function.argtypes = [
        integer, integer, integer, integer, integer, integer, number, array, integer, array,
        integer, number, array, integer,
    ]  # fmt: skip
    function.restype = None
    return function


def _has_small_kernels(library: ctypes.CDLL) -> bool:
    """Whether the library would take one for 8 rows, as it says itself."""
    for end in ("_" + core_of(library).upper(), ""):  # of a library for many CPUs, and for one
        permit = getattr(library, "sgemm_small_matrix_permit" + end, None)
        if permit is not None:
            size, number = ctypes.c_long, ctypes.c_float
            permit.argtypes = [ctypes.c_int, ctypes.c_int, size, size, size, number, number]
            return bool(permit(1, 0, MOST_SMALL // (8 * 1024), 8, 1024, 1.0, 0.0))
    return False


def thread_count() -> int:
    """How many threads a product takes: see `suit_threads`."""
    library = _loaded()[1]
    return 1 if library is None else library.openblas_get_num_threads()


@cache
def _loaded() -> tuple[str, ctypes.CDLL | None]:
    if not sys.platform.startswith("linux"):
        return "not needed", None
    if "mlx.core" in sys.modules:
        return "late", None
    for name in _NAMES:
        try:
            return "used", _suiting_cpu(name)
        except OSError:
            continue
    return "missing", None


def _suiting_cpu(name: str) -> ctypes.CDLL:
    """OpenBLAS, loaded anew where it does not know the CPU.

    A library older than its CPU takes the kernels of 2004, at a tenth of the speed (0.3.21 of
    Debian 12 on an Emerald Rapids: 36 GFLOP/s, and 220 with the right ones). Where something else
    in the process has it open, it stays as it is.
    """
    library = ctypes.CDLL(name, ctypes.RTLD_GLOBAL)
    core = kernels_for(cpu_flags()) if core_of(library) == _OLDEST else None
    if core is None or _CORE_TYPE in os.environ:
        return library
    _ctypes.dlclose(library._handle)
    os.environ[_CORE_TYPE] = core
    try:
        return ctypes.CDLL(name, ctypes.RTLD_GLOBAL)
    finally:
        del os.environ[_CORE_TYPE]  # numpy's own, newer one may know better


def core_of(library: ctypes.CDLL) -> str:
    """The CPU whose kernels an OpenBLAS takes; empty if it does not say."""
    try:
        name = library.openblas_get_corename
    except AttributeError:
        return ""
    name.restype = ctypes.c_char_p
    return name().decode()


def kernels_for(flags: set[str]) -> str | None:
    """The best kernels of OpenBLAS for an x86 CPU with these flags; None: none newer than 2004."""
    return next((core for core, needed in _KERNELS if needed <= flags), None)


def cpu_flags() -> set[str]:
    """What Linux says an x86 CPU can do; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split()[2:]) for line in lines if line.startswith("flags")), set())
