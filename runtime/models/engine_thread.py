"""One thread for each loaded model, on which all its streams decode.

An MLX array belongs to the thread that built it: evaluated on another it raises, and a thread
that ends with streams of its own open aborts the process at exit (MLX 0.32, Linux). So a
model's streams, whatever threads they are fed from, decode on one, one step at a time. A
Ctrl-C in the caller does not tear a step in two either.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from .backend import check_not_forked, mx

_Result = TypeVar("_Result")
_Task = tuple[Future, Callable[[], Any]]

_threads: weakref.WeakKeyDictionary[object, _EngineThread] = weakref.WeakKeyDictionary()
_threads_lock = threading.Lock()


def on_engine_thread(model: object, task: Callable[[], _Result]) -> _Result:
    """What `task()` returns or raises, called on the thread of `model`, after those before it.

    Raises:
        InputError: in a child of a fork, see `check_not_forked`.
    """
    check_not_forked()
    with _threads_lock:
        thread = _threads.get(model)
        if thread is None:
            thread = _threads[model] = _EngineThread()
            weakref.finalize(model, thread.stop)  # when the model goes, or at exit
    return thread.call(task)


class _EngineThread:
    def __init__(self) -> None:
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="alignheads", daemon=True)
        self._thread.start()

    def call(self, task: Callable[[], _Result]) -> _Result:
        if threading.current_thread() is self._thread:
            return task()
        future: Future[_Result] = Future()
        self._tasks.put((future, task))
        return future.result()

    def stop(self) -> None:
        self._tasks.put(None)
        # A model may be collected on its own thread.
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _work(self) -> None:
        while True:
            item = self._tasks.get()
            if item is None:
                break
            _run(*item)
            del item  # no model is kept alive by a thread that waits
        mx.clear_streams()


def _run(future: Future, task: Callable[[], Any]) -> None:
    try:
        future.set_result(task())
    except BaseException as error:  # whatever it is, it is the caller's
        future.set_exception(error)
