"""What every command shares: exit codes, one-line errors, safe output paths.

Exit codes: 0 done, 1 failed, 2 wrong usage or bad input, 130 interrupted. stdout carries
data, stderr everything else. Heavy modules are imported by commands after parsing, so that
`--help` is instant.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
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


def say(message: str) -> None:
    """A line for the person at the terminal, on stderr."""
    print(message, file=sys.stderr)


def output_path(path: Path, force: bool) -> Path:
    """`path`, if a file can be written there.

    Raises:
        InputError: a file is in the way and `force` is off, or the folder cannot be written.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the name of a file to write")
    if path.exists() and not force:
        raise InputError(f"{path} exists; give --force to overwrite it, or another name")
    folder = path.resolve().parent
    if not folder.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise InputError(f"cannot write {path}: no permission")
    return path


def output_folder(folder: Path, names: Iterable[str], force: bool) -> None:
    """Make `folder`, if files of these names can be written there.

    Raises:
        InputError: it cannot be a folder, or see `output_path`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be a folder for figures: {error.strerror}") from error
    for name in names:
        output_path(folder / name, force)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block ends without an error.

    A reader never sees half a file, and a failure leaves the old one.

    Raises:
        InputError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


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
