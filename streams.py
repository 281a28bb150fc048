"""stdin, stdout and stderr as every command needs them, whatever it was started with.

Where one is closed, something else takes its number: else the next file that is opened would get
it, and what is printed would be written there. stdout says that it cannot be written in an
exception of its own; stderr, which is for people, stops no work. What their encoding has no place
for is written as an escape, and where the locale gives none (ASCII), they are UTF-8.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from typing import Any, TextIO


class OutputLost(Exception):
    """stdout cannot be written; the message says why. A reader that left is a BrokenPipeError."""


def prepare_streams() -> None:
    """Put streams as this module has them in place of those that the program was started with.

    Streams that someone else has put there, such as a test, stay. A second call changes nothing.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which takes the lowest number that is free
    if sys.stdin is None:
        sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(sys.stdout, _Closed() if sys.stdout is None else _Data(1, "w", False))
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(sys.stderr, _Notes(2, "w", closefd=False), at_once=True)


def finish_stdout() -> None:
    """Write what is still in the buffer of stdout.

    Raises:
        OutputLost: it cannot be written.
        BrokenPipeError: the reader has gone.
    """
    sys.stdout.flush()


def forget_stdout() -> None:
    """Drop what could not be written, which would be tried again at the end of the process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123


def _text(before: TextIO | None, raw: io.RawIOBase, *, at_once: bool = False) -> TextIO:
    if before is not None:
        before.flush()
    given = "utf-8" if before is None or not before.encoding else before.encoding
    is_ascii = codecs.lookup(given).name == "ascii" and "PYTHONIOENCODING" not in os.environ
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding="utf-8" if is_ascii else given,
        errors="backslashreplace",
        line_buffering=at_once or (before is not None and before.isatty()),
    )


class _Data(io.FileIO):
    """stdout."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputLost(error.strerror or str(error)) from error


class _Closed(io.RawIOBase):
    """stdout that was closed."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1

    def write(self, data: Any, /) -> int:
        raise OutputLost(os.strerror(errno.EBADF))


class _Notes(io.FileIO):
    """stderr."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(memoryview(data))
