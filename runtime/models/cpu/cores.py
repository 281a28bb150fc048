"""All cores of a CPU at once, for work that lets go of Python's lock: numpy's, and OpenBLAS's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from typing import TypeVar

from .openblas import thread_count

Item = TypeVar("Item")

_MOST = 32


def on_all_cores(
    work: Callable[[Item], object], items: Sequence[Item], *, is_much: bool = True
) -> None:
    """Do `work` on each item, on as many cores as a product of OpenBLAS takes.

    Whichever thread is free takes the next item: one that slept wakes up late. What is not
    much is done in this thread, before another one would be awake.

    Raises:
        BaseException: the first one of `work`, once no thread is at it any more. Other items may
            not have been begun.
    """
    waiting, failed = iter(items), list[BaseException]()

    def take() -> None:
        try:
            for item in waiting:
                work(item)
        except BaseException as error:
            failed.append(error)
            for _ in waiting:  # nobody begins another one
                pass

    count = min(thread_count(), len(items), _MOST) if is_much else 1
    others = _sent(take, count - 1)
    take()
    wait([one for one in others if not one.cancel()])  # whoever has not begun is not needed
    if failed:
        del failed[1:]
        raise failed.pop()  # held by nothing here, or what it holds would outlive it


def _sent(take: Callable[[], None], count: int) -> list[Future]:
    """`take` in so many threads; in fewer where there are no more, or at the end of the process."""
    sent = []
    for _ in range(count):
        try:
            sent.append(_helpers().submit(take))
        except RuntimeError:
            break
    return sent


@cache
def _helpers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_MOST, thread_name_prefix="cores")
