"""All cores of a CPU at once, for work that lets go of Python's lock: numpy's, and OpenBLAS's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import TypeVar

from .openblas import thread_count

Item = TypeVar("Item")


def on_all_cores(work: Callable[[Item], object], items: Sequence[Item]) -> None:
    """Do `work` on each item, on as many cores as a product of OpenBLAS takes.

    Whichever thread is free takes the next item: one that slept wakes up late.

    Raises:
        Exception: of `work`, once no thread is at it any more.
    """
    waiting = iter(items)

    def take() -> None:
        for item in waiting:
            work(item)

    count = min(thread_count(), len(items))
    others = [_helpers().submit(take) for _ in range(1, count)]
    try:
        take()
    finally:
        wait(others)
    for other in others:
        other.result()


@cache
def _helpers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="cores")
