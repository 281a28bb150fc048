"""The C heap under MLX on Linux: memory freed by one operation is kept for the next.

MLX allocates each array anew. glibc gives large blocks, and the end of a heap, back to the system
as soon as they are free, and the next operation then waits for the same pages to be zeroed again:
at a buffer of 30 s that was more than half of a step of the tiny model.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_KEPT_BYTES = 256 << 20
_LARGEST_BLOCK_BYTES = 32 << 20  # the most that glibc takes


@cache
def keep_freed_memory() -> bool:
    """Have up to 256 MB of freed memory stay with this process; say whether glibc does.

    Where `MALLOC_TRIM_THRESHOLD_` or `MALLOC_MMAP_THRESHOLD_` is in the environment, that is left
    as it is.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    settings = {
        "MALLOC_TRIM_THRESHOLD_": (_TRIM_THRESHOLD, _KEPT_BYTES),
        "MALLOC_MMAP_THRESHOLD_": (_MMAP_THRESHOLD, _LARGEST_BLOCK_BYTES),
    }
    return all([mallopt(*pair) == 1 for name, pair in settings.items() if name not in os.environ])
