"""What every command shares: exit codes, one-line errors, messages and progress.

Exit codes: 0 done, 1 failed, 2 wrong usage or bad input, 130 interrupted. stdout carries
data, stderr everything else. Heavy modules are imported by commands after parsing, so that
`--help` is instant.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import typer

from .errors import InputError

# typer has no public name for the base of its usage errors, nor one module for all versions.
_USAGE_ERRORS: tuple[type[Exception], ...] = (typer.BadParameter.__mro__[1],)


def run(command: Callable[..., None], **context_settings: object) -> None:
    """Parse the command line for `command`, call it, and exit with the right code.

    `context_settings` are click's, such as `allow_extra_args`.
    """
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(context_settings=context_settings)(command)
    name = Path(sys.argv[0]).stem
    show_log()
    code: object = 0
    try:
        code = app(prog_name=name, standalone_mode=False)
    except _USAGE_ERRORS as error:
        given = f"given: {shlex.join(sys.argv[1:])}; see {name} --help"
        fail(name, f"{error.format_message()} ({given})", 2)  # type: ignore[attr-defined]
    except InputError as error:
        fail(name, str(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        fail(name, "interrupted", 130)
    except BrokenPipeError:
        # The reader of stdout has gone, as `| head` does: nothing is wrong and nothing is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code if isinstance(code, int) else 0)


def fail(name: str, message: str, code: int) -> NoReturn:
    """Print `name: message` as one line on stderr and exit with `code`."""
    print(f"{name}: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


def show_log() -> None:
    """Print what the library logs, a line each, on stderr: a command speaks for it."""
    handler = _StderrHandler()
    log = logging.getLogger("alignheads")
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False


class _StderrHandler(logging.Handler):
    """Writes to whatever stderr is at the moment, as `say` does."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


def say(message: str) -> None:
    """A line for the person at the terminal, on stderr."""
    print(message, file=sys.stderr)


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, moved by calling what this yields with (done, total).

    It goes when it is done, and is not drawn where stderr is no terminal: an error stays one line.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
