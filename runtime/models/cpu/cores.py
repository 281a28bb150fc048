"""All cores of a CPU at once, for work that lets go of Python's lock: of numpy, OpenBLAS or MLX."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from typing import TypeVar

from ..backend import mx
from .openblas import one_thread, thread_count

Item = TypeVar("Item")
Result = TypeVar("Result")

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


def each_on_a_core(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """What `work` makes of each item, in their order: as many at once as there are cores.

    A product then takes one core. So all cores are busy with what no product is, too, which one
    item after the other would leave to one of them. What is left when the cores have had as many
    items each is worked on as usual, by all cores one after the other.

    Args:
        work: computes with MLX; what it returns must be evaluated.
        items: what they hold must be, too: an array that is not belongs to its thread.

    Raises:
        BaseException: the first one of `work`, once no thread is at it any more.
    """
    cores = min(thread_count(), _MOST)
    count = len(items) // cores * cores if cores > 1 else 0
    found: dict[int, Result] = {}
    waiting, failed = iter(range(count)), list[BaseException]()

    def take() -> None:
        try:
            for place in waiting:
                found[place] = work(items[place])
        except BaseException as error:
            failed.append(error)
            for _ in waiting:  # nobody begins another one
                pass

    def help_out() -> None:
        take()
        mx.clear_streams()  # a thread that ended with its streams would end the process

    if count:
        with one_thread():
            others = _started(help_out, cores - 1)
            take()
            for other in others:
                other.join()
    if failed:
        del failed[1:]
        raise failed.pop()
    return [
        found.pop(place) if place < count else work(items[place]) for place in range(len(items))
    ]


def _started(work: Callable[[], None], count: int) -> list[threading.Thread]:
    """Threads that do `work`, each for the first and the last time: once its streams are cleared,
    MLX has none for it any more. Fewer where there are no more threads to be had."""
    started = []
    for _ in range(count):
        thread = threading.Thread(target=work, name="core", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            break
        started.append(thread)
    return started


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
