"""The C heap keeps what is freed, unless the environment says otherwise."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")

SCRIPT = """
import ctypes
import numpy as np
from alignheads.runtime.models.cpu.heap import keep_freed_memory

class Mallinfo2(ctypes.Structure):  # of malloc.h
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
        "fordblks", "keepcost",
    )]

kept = keep_freed_memory()
before = np.ones(2_000_000)  # 16 MB
del before
mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Mallinfo2
print(kept, mallinfo2().fordblks)
"""


def free_bytes(**environment):
    """What is freed and still the process's, by the heap's own count.

    How many page faults that saves is the kernel's matter: huge pages, memory that is reclaimed.
    """
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")
    } | environment
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True
    )
    if "mallinfo2" in done.stderr:
        pytest.skip("a C library without mallinfo2")
    kept, count = done.stdout.split()
    return kept == "True", int(count)


def test_the_memory_of_an_array_stays_with_the_process():
    kept, count = free_bytes()
    assert kept
    assert count >= 16_000_000


def test_the_environment_goes_first():
    kept, count = free_bytes(MALLOC_MMAP_THRESHOLD_="65536", MALLOC_TRIM_THRESHOLD_="65536")
    assert kept
    assert count < 16_000_000
