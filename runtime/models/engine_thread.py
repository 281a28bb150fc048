"""One thread for each loaded model, on which all its streams decode.

An MLX array belongs to the thread that built it: evaluated on another it raises, and a thread
that ends with streams of its own open aborts the process at exit (MLX 0.32, Linux). So a
model's streams, whatever threads they are fed from, decode on one. Steps that
are due at the same moment are taken together (`shared_steps.py`), in rounds: a round takes all that
wait when it begins, so that none waits for more than one step of each of the others. A Ctrl-C in
the caller does not tear a step in two either.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from .backend import check_not_forked, mx
from .shared_steps import Limit, Waiting, take_steps

_Result = TypeVar("_Result")
_Task = tuple[Future, Callable[[], Any]]

_WAIT_FRACTION = 0.1
"""Where streams keep each other waiting, a round waits for those of the last ones, a tenth of the
time that the longest of these took, and no longer than"""
_LONGEST_WAIT_S = 1.0
_LAST_ROUNDS = 4
"""A step of one stream in between, as in a pause, makes it forget none of the others."""

_threads: weakref.WeakKeyDictionary[object, _EngineThread] = weakref.WeakKeyDictionary()
_threads_lock = threading.Lock()


def on_engine_thread(model: object, task: Callable[[], _Result]) -> _Result:
    """What `task()` returns or raises, called on the thread of `model`, after those before it.

    Raises:
        InputError: in a child of a fork, see `check_not_forked`.
    """
    return _thread_of(model).call(task)


def step_on_engine_thread(model: object, begin: Callable[[], Any], asker: int) -> Any:
    """The answer of a stream's step, taken on the thread of `model` with those of other streams
    that wait there.

    Args:
        model: whose thread it is.
        begin: see `shared_steps.Waiting`.
        asker: a number of the stream's own.

    Raises:
        InputError: as `on_engine_thread`.
        Exception: whatever the step raises.
    """
    return _thread_of(model).step(begin, asker)


def _thread_of(model: object) -> _EngineThread:
    check_not_forked()
    with _threads_lock:
        thread = _threads.get(model)
        if thread is None:
            thread = _threads[model] = _EngineThread()
            weakref.finalize(model, thread.stop)  # when the model goes, or at exit
        return thread


class _EngineThread:
    def __init__(self) -> None:
        self._tasks: SimpleQueue[_Task | Waiting | None] = SimpleQueue()
        self._limit = Limit()
        # Who was in the last ones, and how long each took where streams kept each other waiting.
        self._rounds: deque[tuple[set[int], float]] = deque(maxlen=_LAST_ROUNDS)
        self._is_over = False
        self._thread = threading.Thread(target=self._work, name="alignheads", daemon=True)
        self._thread.start()

    def call(self, task: Callable[[], _Result]) -> _Result:
        if threading.current_thread() is self._thread:
            return task()
        future: Future[_Result] = Future()
        self._tasks.put((future, task))
        return future.result()

    def step(self, begin: Callable[[], Any], asker: int) -> Any:
        asked = Waiting(Future(), begin, asker)
        if threading.current_thread() is self._thread:
            take_steps([asked], self._limit)
        else:
            self._tasks.put(asked)
        return asked.future.result()

    def stop(self) -> None:
        self._tasks.put(None)
        # A model may be collected on its own thread.
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _work(self) -> None:
        while not self._is_over:
            item = self._tasks.get()
            if isinstance(item, Waiting):
                self._take_round(item)
            else:
                self._do(item)
            del item  # no model is kept alive by a thread that waits
        mx.clear_streams()

    def _do(self, task: _Task | None) -> None:
        if task is None:
            self._is_over = True
        else:
            _run(*task)

    def _take_round(self, first: Waiting) -> None:
        asked = self._waiting(first)
        begin = time.monotonic()
        try:
            take_steps(asked, self._limit)
        except BaseException as error:  # nobody waits for ever
            for one in asked:
                if not one.future.done():
                    one.future.set_exception(error)
        # A stream that was alone, and kept nobody waiting, is not kept waiting itself.
        is_shared = len(asked) > 1 or not self._tasks.empty()
        spent_s = time.monotonic() - begin if is_shared else 0.0
        self._rounds.append(({one.asker for one in asked}, spent_s))

    @property
    def _wait_s(self) -> float:
        """So long the next round may wait for those of the last ones."""
        longest_s = max((spent_s for _, spent_s in self._rounds), default=0.0)
        return min(_WAIT_FRACTION * longest_s, _LONGEST_WAIT_S)

    def _waiting(self, first: Waiting) -> list[Waiting]:
        """Who waits for a step: the first, the others that are there, and those about to come."""
        asked, until = [first], time.monotonic() + self._wait_s
        expected = len(set().union(*(askers for askers, _ in self._rounds)))
        while not self._is_over:
            left_s = until - time.monotonic() if len(asked) < expected else 0.0
            try:
                item = self._tasks.get(left_s > 0, max(0.0, left_s))
            except Empty:
                break
            if isinstance(item, Waiting):
                asked.append(item)
            else:
                self._do(item)
        return asked


def _run(future: Future, task: Callable[[], Any]) -> None:
    try:
        future.set_result(task())
    except BaseException as error:  # whatever it is, it is the caller's
        future.set_exception(error)
