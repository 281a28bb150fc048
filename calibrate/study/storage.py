"""Where a study is kept: a journal file, or whatever an Optuna URL names, opened with care.

Every way in which that can fail is one line, without the password.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import importlib.util
import json
import logging
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ...errors import InputError, OutputError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

_log = logging.getLogger(__name__)

_CONNECT_S = 15
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_ATTEMPTS = 5  # processes that make the tables of one new database at once get in each other's way
_PASSWORD = re.compile(r"(?<=://)([^/@\s]*?):[^@\s]*(?=@)")
_SECRET_KEY = re.compile(r"(?i)\b(password|sslpassword)=[^&\s]+")
_RECORD = b'{"op_code":'  # how a line of a journal begins
_DRIVERS = {
    "postgresql": ("psycopg", "postgresql+psycopg", ".[postgres]"),
    "postgres": ("psycopg", "postgresql+psycopg", ".[postgres]"),
    "grpc": ("grpc", "grpc", ".[grpc]"),
}


def redacted(text: str) -> str:
    """`text` with *** for the passwords of the URLs in it."""
    return _SECRET_KEY.sub(r"\1=***", _PASSWORD.sub(r"\1:***", text))


def open_storage(storage: str | None, journal: Path | None) -> BaseStorage:
    """The storage that `storage` names: an Optuna URL, `grpc://host:port`, or a journal file.

    None: the file `journal`, or memory.

    Raises:
        InputError: it cannot be reached or read, or needs what is not installed.
    """
    from optuna.storages import InMemoryStorage

    if storage is not None and "://" in storage:
        return _open_url(storage)
    path = Path(storage) if storage is not None else journal
    return _open_journal(path) if path is not None else InMemoryStorage()


@contextlib.contextmanager
def failing_as_input(name: str) -> Iterator[None]:
    """What a storage raises in the block, as an InputError that calls it `name`."""
    import sqlalchemy.exc
    from optuna.exceptions import StorageInternalError

    kinds = [OSError, StorageInternalError, sqlalchemy.exc.SQLAlchemyError]
    if "grpc" in sys.modules:
        kinds.append(sys.modules["grpc"].RpcError)
    try:
        yield
    except tuple(kinds) as error:
        is_full = isinstance(error, OSError) and error.errno in _FULL
        raise (OutputError if is_full else InputError)(_unusable(name, error)) from error


def _open_url(url: str) -> BaseStorage:
    from optuna.storages import get_storage

    scheme, _, rest = url.partition("://")
    if scheme in _DRIVERS:
        module, scheme, extra = _DRIVERS[scheme]
        if importlib.util.find_spec(module) is None:
            raise InputError(
                f"the storage {redacted(url)} needs the package {module}; "
                f"install it with: pip install '{extra}', in the checkout of alignheads"
            )
    if scheme == "grpc":
        return _open_proxy(url)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return get_storage(_relational(f"{scheme}://{rest}"))
        except InputError:
            raise
        except Exception as error:  # every driver has its own
            is_race = "already exists" in str(error) or "duplicate key" in str(error)
            if is_race and attempt < _ATTEMPTS:
                continue
            raise InputError(_unusable(url, error)) from None
    raise AssertionError


def _relational(url: str):
    """An Optuna storage for a database URL, which waits only so long for it."""
    from optuna.storages import RDBStorage

    options = {"connect_args": {"connect_timeout": _CONNECT_S}} if "postgresql" in url else {}
    options = {**options, "pool_pre_ping": True} if options else {}
    return RDBStorage(url, engine_kwargs=options)


def _open_proxy(url: str) -> BaseStorage:
    import warnings

    from optuna.exceptions import ExperimentalWarning
    from optuna.storages import GrpcStorageProxy

    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port:
        raise InputError(f"the storage is {redacted(url)!r}, expected grpc://HOST:PORT")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        proxy = GrpcStorageProxy(host=host, port=port)
    try:
        proxy.wait_server_ready(timeout=_CONNECT_S)
    except Exception as error:
        raise InputError(_unusable(url, error)) from None
    return proxy


def _unusable(url: str, error: Exception) -> str:
    # Of SQLAlchemy's several lines the first says what is wrong.
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    parts = urlsplit(url)
    if parts.password:
        reason = reason.replace(parts.password, "***")
    return f"cannot use the storage {redacted(url)}: {redacted(reason)}"


class _KernelLock:
    """A lock that the kernel lifts when its process dies, be it killed: nobody waits for it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mutex = threading.Lock()
        self._file = None

    def acquire(self) -> bool:
        """Wait until it is ours."""
        self._mutex.acquire()
        self._file = self._path.open("ab")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Let others go on."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._mutex.release()


def _open_journal(path: Path) -> BaseStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    if path.is_dir():
        raise InputError(f"the study's journal {path} is a folder; give the name of a file")
    if not path.resolve().parent.is_dir():
        raise InputError(f"cannot keep the study in {path}: there is no folder {path.parent}")
    beside = path.with_name(f"{path.name}.lock")
    lock, is_new = _KernelLock(beside), not beside.exists()
    try:
        lock.acquire()
        try:
            mend_journal(path)
        finally:
            lock.release()
        return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))  # type: ignore[arg-type]
    except InputError:
        if is_new:  # this is no journal, so that nobody else can be at it
            beside.unlink(missing_ok=True)
        raise
    except OSError as error:
        raise InputError(
            f"cannot keep the study in {path}: {error.strerror or error}; "
            "give another file as storage",
            arguments=("storage",),
        ) from error
    except (KeyError, ValueError, TypeError, AssertionError) as error:
        raise InputError(
            f"{path} is no journal of a study ({type(error).__name__}: {error}); "
            "give another file as storage",
            arguments=("storage",),
        ) from error


def mend_journal(path: Path) -> None:
    """Cut off what a killed process left half-written at the end of a journal.

    Nobody else may be writing.

    Raises:
        InputError: a line before the end is no record: the file was damaged or is something else.
        OSError: the file cannot be read or written.
    """
    if not path.exists():
        return
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    good = 0
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n") or not _is_record(line):
            is_cut = good or line.startswith(_RECORD[: len(line)])
            if number < len(lines) or not is_cut:
                raise InputError(
                    f"{path} is damaged: line {number} of {len(lines)} is no record of a study; "
                    "restore the file, or give another one as storage to start anew",
                    arguments=("storage",),
                )
            _log.warning(
                f"{path}: the last line was half-written, by a run that was killed; cut off"
            )
            break
        good += len(line)
    if good < len(content):
        with path.open("r+b") as file:
            file.truncate(good)


def _is_record(line: bytes) -> bool:
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return isinstance(record, dict) and isinstance(record.get("op_code"), int)
