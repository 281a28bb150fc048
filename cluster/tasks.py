"""What is sent to a worker, and what it does with it there."""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
import queue
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..errors import InputError

_PACKAGE = Path(__file__).parent.parent
_DECIDING = ("calibrate", "cluster", "corpora", "discovery", "evaluate", "heads", "runtime")
"""Rooms whose code decides results."""


class WorkerRefused(Exception):
    """Work that this process cannot do, though another one may: what it lacks, in words."""


@dataclass(frozen=True)
class Work:
    """What all tasks of a run have in common. Functions are found in a worker by their names.

    Attributes:
        name: of the command, for the dashboard.
        prepare: called once in each worker; what it returns is kept there.
        given: its arguments.
        do: called with what was prepared and the arguments of each task.
    """

    name: str
    prepare: Callable[..., Any]
    given: tuple[Any, ...]
    do: Callable[..., Any]

    @cached_property
    def key(self) -> str:
        """Tells what is prepared from all else."""
        return digest_of(_name(self.prepare), self.given)


@dataclass(frozen=True)
class Task:
    """A batch of clips.

    Attributes:
        label: for people, such as the id of the first clip.
        clips: how many there are.
        audio_s: their length.
        arguments: gives those of `Work.do` when the task is sent: they may be large.
    """

    label: str
    clips: int
    audio_s: float
    arguments: Callable[[], tuple[Any, ...]]


@dataclass(frozen=True)
class Reply:
    """What a worker answers.

    Attributes:
        value: of `Work.do`.
        seconds: that it took.
        told: what the library logged meanwhile.
        refused: why the worker cannot do it; None: it can.
        error: of the input, which is the same wherever it is met.
    """

    value: Any = None
    seconds: float = 0.0
    told: tuple[str, ...] = ()
    refused: str | None = None
    error: InputError | None = None


def digest_of(*content: object) -> str:
    """16 hexadecimal digits of what can be pickled."""
    found = io.BytesIO()
    pickler = pickle.Pickler(found, protocol=5)
    pickler.fast = True  # by value: whether two parts are one object makes no difference
    pickler.dump(content)
    return hashlib.sha256(found.getbuffer()).hexdigest()[:16]


def _name(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def key_of(work: Work, label: str, content: object) -> str:
    """A task's name in Dask: the same work has the same name, and a person can read it."""
    readable = re.sub(r"[^\w.+]+", "-", label)[:60]
    return f"{work.name}-{readable}-{digest_of(work.key, _name(work.do), content)}"


@cache
def code_version(package: Path = _PACKAGE) -> str:
    """The version of this package, with a hash of the code that decides results."""
    found = hashlib.sha256()
    paths = [
        *package.glob("*.py"),
        *(p for one in _DECIDING for p in (package / one).rglob("*.py")),
    ]
    for path in sorted(paths):
        found.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return f"{version('alignheads')} (code {found.hexdigest()[:8]})"


# In a worker


def answer(code: str, work: Work, arguments: tuple[Any, ...] | None) -> Reply:
    """Prepare if need be, and do a task; with `arguments` of None there is none.

    Args:
        code: `code_version` of the process that asks.
        work: see there.
        arguments: of `Work.do`.
    """
    if code != code_version():
        return Reply(refused=f"alignheads there is {code_version()}, here it is {code}")
    return _thread().call(lambda: _answer(work, arguments))


_kept: dict[str, Any] = {}
"""What was prepared, for the newest work only: two models may be more than the memory holds."""


def _answer(work: Work, arguments: tuple[Any, ...] | None) -> Reply:
    log = _Listening()
    logger = logging.getLogger("alignheads")
    logger.addHandler(log)
    # What is said here is said by the process that asked.
    logger.setLevel(logging.INFO)
    logger.propagate = False
    begin = time.perf_counter()
    try:
        if work.key not in _kept:
            _kept.clear()
            try:
                _kept[work.key] = work.prepare(*work.given)
            except InputError as error:
                return Reply(refused=str(error))
        value = None if arguments is None else work.do(_kept[work.key], *arguments)
        return Reply(value, time.perf_counter() - begin, tuple(log.told))
    except WorkerRefused as error:
        return Reply(refused=str(error))
    except InputError as error:
        return Reply(error=error)
    finally:
        logger.removeHandler(log)


class _Listening(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(record.getMessage())


class _Thread:
    """Does everything in one thread: an engine's arrays belong to the thread that made them."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[Future, Callable[[], Any]]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="alignheads-worker", daemon=True).start()

    def call(self, task: Callable[[], Any]) -> Any:
        future: Future[Any] = Future()
        self._waiting.put((future, task))
        return future.result()

    def _work(self) -> None:
        while True:
            future, task = self._waiting.get()
            try:
                future.set_result(task())
            except BaseException as error:  # whatever it is, it is the caller's
                future.set_exception(error)
            del future, task


@cache
def _made_thread() -> _Thread:
    return _Thread()


_making = threading.Lock()


def _thread() -> _Thread:
    with _making:  # a worker may have several threads of its own
        return _made_thread()
