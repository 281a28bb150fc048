"""What every command shares: exit codes, one-line errors, messages and progress.

Exit codes: 0 done, 1 failed (output that cannot be written, a cluster that went away), 2 wrong
usage or bad input, 130 interrupted, 143 told to end (SIGTERM), 129 its terminal has gone (SIGHUP).
stdout carries data, stderr everything else. Heavy modules are imported by commands after parsing,
so that `--help` is instant.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import os
import re
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import typer

from .errors import ClusterError, InputError, OutputError
from .streams import OutputLost, finish_stdout, forget_stdout, prepare_streams
from .wording import wrapped

# typer has no public name for the base of its usage errors, nor one module for all versions.
_USAGE_ERRORS: tuple[type[Exception], ...] = (typer.BadParameter.__mro__[1],)


def run(
    command: Callable[..., None],
    *,
    options: Mapping[str, str] | None = None,
    context_settings: Mapping[str, object] | None = None,
) -> None:
    """Parse the command line for `command`, call it, and exit with the right code.

    Args:
        command: takes the parsed options.
        options: what the command calls the arguments of the functions that it calls, where the
            option is not spelled as the argument is; see `with_options`.
        context_settings: of typer, such as `allow_extra_args`.
    """
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(context_settings=dict(context_settings or {}))(_interruptible(command))
    name = program_name()
    with in_a_line(name, options or {}):
        show_log()
        code: object = app(prog_name=name, standalone_mode=False)
    sys.exit(code if isinstance(code, int) else 0)


@contextlib.contextmanager
def in_a_line(name: str, options: Mapping[str, str] | None = None) -> Iterator[None]:
    """Whatever ends the command `name` early is told on one line, with the right exit code.

    All of stdout is written when the block ends. A signal that asks the program to end comes as
    an exception, as a Ctrl-C does, so that what there is can be kept.

    Args:
        name: of the command.
        options: see `with_options`.
    """
    prepare_streams()
    try:
        with _raised_when_told_to_end():
            try:
                yield
            finally:
                finish_stdout()
    except _USAGE_ERRORS as error:
        given = f"given: {shlex.join(sys.argv[1:])}; see {name} --help"
        fail(name, f"{error.format_message()} ({given})", 2)  # type: ignore[attr-defined]
    except InputError as error:
        code = 1 if isinstance(error, OutputError | ClusterError) else 2
        fail(name, with_options(error, options or {}), code)
    except ToldToEnd as error:
        fail(name, str(error), error.code)
    except (_Interrupted, KeyboardInterrupt, typer.Abort) as error:
        told = error.__cause__ if isinstance(error.__cause__, ToldToEnd) else None
        fail(name, str(told or "interrupted"), told.code if told else 130)
    except OutputLost as error:
        forget_stdout()
        fail(name, f"cannot write to stdout: {error}", 1)
    except BrokenPipeError:
        # The reader of stdout has gone, as `| head` does: nothing is wrong and nothing is left.
        forget_stdout()
        sys.exit(1)
    except UnicodeEncodeError as error:
        if error.encoding != "ascii":
            raise
        letter = ascii(error.object[error.start])
        fail(name, f"this locale has no {letter}, but ASCII only; set LC_ALL=C.UTF-8", 2)


class _Interrupted(Exception):
    """A KeyboardInterrupt, which typer would end the program for, without a word."""


def _interruptible(command: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(command)
    def call(*args: object, **kwargs: object) -> None:
        _check_not_empty(command, kwargs)
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt as error:
            raise _Interrupted from error

    return call


def _check_not_empty(command: Callable[..., None], given: Mapping[str, object]) -> None:
    """Refuse empty strings, which a variable of a shell that is not set gives."""
    typed = sys.argv[1:]
    has_empty = any(one == "" or (one.startswith("--") and one.endswith("=")) for one in typed)
    # As a path it is the folder where we are, which may be meant.
    is_no_path = has_empty and "." not in typed
    for name, one in inspect.signature(command).parameters.items():
        value = given.get(name)
        values = value if isinstance(value, list | tuple) else [value]
        is_empty = "" in values or (is_no_path and Path() in values)
        if is_empty and one.default != "" and name != "context":  # which says it itself
            is_option = "Argument" not in str(one.annotation)
            raise InputError(
                f"{name} is empty; leave it out, or give a value",
                arguments=(name,) if is_option else (),
            )


class ToldToEnd(KeyboardInterrupt):
    """SIGTERM or SIGHUP: to be taken as a Ctrl-C is. `code` is the exit code."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"ended by {signal.Signals(signum).name}")
        self.code = 128 + signum


@contextlib.contextmanager
def _raised_when_told_to_end() -> Iterator[None]:
    def handle(signum: int, frame: object) -> None:
        raise ToldToEnd(signum)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for one in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(one) == signal.SIG_DFL:  # not where nohup has it ignored
                before[one] = signal.signal(one, handle)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def program_name() -> str:
    """The name that the command was called by, such as `calibrate` or `alignheads calibrate`."""
    return Path(sys.argv[0]).stem


def with_options(error: InputError, options: Mapping[str, str]) -> str:
    """The message of `error`, with its arguments written as options of a command.

    `max_heads is 0` becomes `--max-heads is 0`, and `force=True` becomes `--force`. Words in
    quotation marks and parts of paths stay as they are: these are values of the user's.

    Args:
        error: `error.arguments` names the words to replace.
        options: the option of an argument, where it is not `--` and the argument's name.
    """
    if not error.arguments:
        return str(error)
    names = "|".join(map(re.escape, error.arguments))
    word = re.compile(rf"""(?<![\w'"/.-])({names})(=True)?(?![\w'"/-]|\.\w)""")

    def option(found: re.Match[str]) -> str:
        return options.get(found[1], "--" + found[1].replace("_", "-"))

    return word.sub(option, str(error))


def fail(name: str, message: str, code: int) -> NoReturn:
    """Print `name: message` as one line on stderr and exit with `code`."""
    print(f"{name}: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


def show_log() -> None:
    """Print what the library logs, a line each, on stderr.

    Commands call it; importing the library installs no handler. A second call changes nothing.
    """
    log = logging.getLogger("alignheads")
    log.setLevel(logging.INFO)
    if not any(isinstance(handler, _StderrHandler) for handler in log.handlers):
        log.addHandler(_StderrHandler())
    # Or the handlers of the root logger, which a library may install, would print it again.
    log.propagate = False


class _StderrHandler(logging.Handler):
    """Writes to whatever stderr is at the moment, as `say` does."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


def say(message: str) -> None:
    """Print a line for the person at the terminal, on stderr.

    A terminal that is narrower would break words: there it is broken between them.
    """
    print(_fitting(message), file=sys.stderr)


def _fitting(message: str) -> str:
    if not sys.stderr.isatty():
        return message
    width = shutil.get_terminal_size().columns
    with contextlib.suppress(OSError):
        width = int(os.environ.get("COLUMNS") or os.get_terminal_size(sys.stderr.fileno()).columns)
    return wrapped(message, width, "  ") if len(message) > width else message


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Callable[[float, int], None]]:
    """A progress bar on stderr, moved by calling what this yields with (done, total).

    `done` may be between two whole numbers, so that a long first one moves it.

    It disappears when it is done. Where stderr is no terminal it is not drawn, so that the error
    of a command stays one line there.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total: None
        return
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
