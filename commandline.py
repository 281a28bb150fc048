"""What every command shares: exit codes, one-line errors, messages and progress.

Exit codes: 0 done, 1 failed, 2 wrong usage or bad input, 130 interrupted. stdout carries
data, stderr everything else. Heavy modules are imported by commands after parsing, so that
`--help` is instant.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import typer

from .errors import InputError

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
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(context_settings=dict(context_settings or {}))(command)
    name = program_name()
    show_log()
    code: object = 0
    try:
        code = app(prog_name=name, standalone_mode=False)
    except _USAGE_ERRORS as error:
        given = f"given: {shlex.join(sys.argv[1:])}; see {name} --help"
        fail(name, f"{error.format_message()} ({given})", 2)  # type: ignore[attr-defined]
    except InputError as error:
        fail(name, with_options(error, options or {}), 2)
    except (KeyboardInterrupt, typer.Abort):
        fail(name, "interrupted", 130)
    except BrokenPipeError:
        # The reader of stdout has gone, as `| head` does: nothing is wrong and nothing is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code if isinstance(code, int) else 0)


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
    """Print a line for the person at the terminal, on stderr."""
    print(message, file=sys.stderr)


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, moved by calling what this yields with (done, total).

    It disappears when it is done. Where stderr is no terminal it is not drawn, so that the error
    of a command stays one line there.
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
