"""What a long command has done so far, on disk: JSON lines, so that it can go on.

The first line, the head, says what is being done; a command that goes on must be doing the same.
A process that is killed loses what it was at, and at most a torn last line. While one is open,
nobody else can open it, so that two processes cannot write one result.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from .errors import InputError, OutputError
from .files import shown

JOURNAL_VERSION = 1

_OF_RUN = "run "


def journal_path(out: Path) -> Path:
    """Where the journal of the result `out` lies while it is not finished."""
    return out.with_name(f"{out.name}.partial.jsonl")


class Journal:
    """An open journal; each line is handed to the system as it comes.

    A context: one without a line but its head is removed at the end, so that a command that was
    refused leaves nothing in the way of the next one.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the file `path`, and keep others out.

        Raises:
            InputError: another process has it open, or it cannot be written.
        """
        self.path = path
        self._is_removed = False
        self._file = _locked(path)
        whole = self._file.read()
        self._lines = whole[: whole.rfind(b"\n") + 1].split(b"\n")[:-1]
        self.count = max(0, len(self._lines) - 1)

    @property
    def is_begun(self) -> bool:
        """Whether there is a head."""
        return bool(self._lines)

    def start(self, subject: dict[str, Any]) -> None:
        """Begin anew. `subject`: see `check_subject`.

        Raises:
            OutputError: it cannot be written.
        """
        self._file.truncate(0)
        self._file.seek(0)
        self.count = -1
        self.add({"journal_version": JOURNAL_VERSION, "subject": subject})

    def go_on(self, subject: dict[str, Any]) -> Iterator[tuple[int, Any]]:
        """The lines below the head, with their numbers in the file. A torn last line is cut off.

        Raises:
            InputError: it is of something else than `subject`, or a line is damaged.
        """
        head = self._parsed(1)
        if not isinstance(head, dict) or head.get("journal_version") != JOURNAL_VERSION:
            raise InputError(
                f"{self.path} is no journal that this version can go on with; delete it, or give "
                "force=True to start anew",
                arguments=("force",),
            )
        check_subject(head.get("subject"), subject, self.path)
        self._file.truncate(sum(len(line) + 1 for line in self._lines))
        self._file.seek(0, os.SEEK_END)
        return ((number, self._parsed(number)) for number in range(2, len(self._lines) + 1))

    def _parsed(self, number: int) -> Any:
        try:
            return json.loads(self._lines[number - 1])
        except ValueError as error:
            raise InputError(
                f"{self.path}:{number} is damaged ({error}); give force=True to start anew",
                arguments=("force",),
            ) from error

    def add(self, line: dict[str, Any]) -> None:
        """Write one line down.

        Raises:
            OutputError: the disk is full, or the like.
        """
        try:
            text = json.dumps(line, ensure_ascii=False) + "\n"
            left = memoryview(text.encode("utf-8", "backslashreplace"))
            while left:  # a disk that is nearly full takes a part
                left = left[self._file.write(left) :]
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}") from error
        self.count += 1

    def remove(self) -> None:
        """Its result is written: it is not needed any more."""
        if not self._is_removed:
            self.path.unlink(missing_ok=True)
        self._is_removed = True

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.count <= 0:
            self.remove()
        self._file.close()


def _locked(path: Path) -> BinaryIO:
    while True:
        try:
            number = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}") from error
        file = os.fdopen(number, "r+b", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise InputError(
                f"another process is writing what {path} is the journal of; wait for it, or give "
                "another name"
            ) from error
        # It may have been removed, by one that is done, before the lock was ours.
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file  # type: ignore[return-value]
        file.close()


def is_in_use(path: Path) -> bool:
    """Whether another process has this journal open.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def has_lines(path: Path) -> bool:
    """Whether there is a journal at `path`, with more than its head."""
    return path.exists() and path.read_bytes().count(b"\n") > 1


def check_subject(found: Any, wanted: dict[str, Any], path: Path) -> None:
    """Make sure that what was done before is what is done now.

    Both are {what: value}, such as {"corpus": fingerprint}; under "runs" {name: {what: value}}.
    Runs may be added, all else must be the same.

    Raises:
        InputError: something differs; it is named.
    """
    found = found if isinstance(found, dict) else {}
    before, now = _flat(found), _flat(wanted)
    for key in (*now, *(key for key in before if key not in now)):
        is_new_run = key.startswith(_OF_RUN) and key not in before
        if before.get(key) != now.get(key) and not is_new_run:
            raise InputError(
                f"cannot resume {path}: {key} was {shown(before.get(key))}, now it is "
                f"{shown(now.get(key))}; resume with the same, or give force=True to start anew",
                arguments=("force",),
            )


def _flat(subject: dict[str, Any]) -> dict[str, Any]:
    runs = subject.get("runs")
    named = {key: value for key, value in subject.items() if key != "runs"}
    for name, values in (runs if isinstance(runs, dict) else {}).items():
        for key, value in (values if isinstance(values, dict) else {}).items():
            named[f"{_OF_RUN}{name!r}, {key}"] = value
    return named
