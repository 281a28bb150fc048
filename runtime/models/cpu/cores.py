"""All cores of a CPU at once, for work that lets go of Python's lock: of numpy, OpenBLAS or MLX."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from functools import cache
from queue import SimpleQueue
from typing import TypeVar

from ..backend import mx
from .openblas import one_thread, thread_count

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST = 32
_SERIAL = 0.2  # of the time of an encoder with one core: what no product is, and stays with one


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
    _work_off(work, items, min(thread_count(), _MOST) if is_much else 1)


def each_on_a_core(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """What `work` makes of each item, in their order: as many at once as there are cores.

    A product then takes one core. So all cores are busy with what no product is, too, which one
    item after the other would leave to one of them. Where too few items are left for that, they
    are worked on one after the other, each by all cores.

    Args:
        work: computes with MLX; what it returns must be evaluated.
        items: what they hold must be, too: an array that is not belongs to its thread.

    Raises:
        BaseException: the first one of `work`, once no thread is at it any more.
    """
    cores = min(thread_count(), _MOST)
    count = _count_at_once(len(items), cores)
    found: dict[int, Result] = {}

    def one(place: int) -> None:
        found[place] = work(items[place])

    try:
        if count:
            with one_thread():
                _work_off(one, range(count), cores)
        for place in range(count, len(items)):
            one(place)
        return [found[place] for place in range(len(items))]
    finally:
        found.clear()  # or an error would hold on to it


def _count_at_once(items: int, cores: int) -> int:
    """Of so many items, those that are worked on with a core each: rounds of as many as there are
    cores, and the rest, if it is sooner done so than one after the other."""
    if cores == 1:
        return 0
    rest = items % cores
    by_all_cores = _SERIAL + (1 - _SERIAL) / cores  # of the time with one
    return items if rest * by_all_cores > 1 else items - rest


def _work_off(work: Callable[[Item], object], items: Sequence[Item], most: int) -> None:
    """Do `work` on each item, by this thread and others, `most` in all."""
    waiting, failed = iter(items), list[BaseException]()

    def take() -> None:
        try:
            for item in waiting:
                work(item)
        except BaseException as error:
            failed.append(error)
            for _ in waiting:  # nobody begins another one
                pass

    others = _helpers().send(take, min(most, len(items)) - 1)
    take()
    wait([one for one in others if not one.cancel()])  # whoever has not begun is not needed
    if failed:
        del failed[1:]
        raise failed.pop()  # held by nothing here, or what it holds would outlive it


class _Helpers:
    """Threads that wait for work, until the process ends.

    Each keeps MLX's stream: one that is made anew for each piece of work leaves a thread of MLX
    behind, and one that ends with its stream ends the process.
    """

    def __init__(self) -> None:
        self._tasks: SimpleQueue[tuple[Future, Callable[[], None]] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._is_over = False

    def send(self, work: Callable[[], None], count: int) -> list[Future]:
        """Have `work`, which raises nothing, done by so many threads; by fewer where there are no
        more, or at the end of the process."""
        with self._lock:
            while len(self._threads) < count and not self._is_over:
                thread = threading.Thread(target=self._work, name="cores", daemon=True)
                try:
                    thread.start()
                except (RuntimeError, MemoryError):
                    break
                self._threads.append(thread)
            sent = [Future() for _ in range(0 if self._is_over else min(count, len(self._threads)))]
            for future in sent:
                self._tasks.put((future, work))
        return sent

    def stop(self) -> None:
        """End the threads, when what they are at is done."""
        with self._lock:
            self._is_over = True
            for _ in self._threads:
                self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            future, work = task
            if future.set_running_or_notify_cancel():
                work()
                future.set_result(None)
            del task, future, work  # nothing of it is kept by a thread that waits
        mx.clear_streams()


@cache
def _helpers() -> _Helpers:
    helpers = _Helpers()
    atexit.register(helpers.stop)
    return helpers
