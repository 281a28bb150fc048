"""Files of results: reading and writing JSON, safe replacement, and paths that can be written."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from .errors import InputError, OutputError

if TYPE_CHECKING:
    from pydantic import ValidationError

# The largest of our files, the heads of the largest model with every score, is under 1 MB.
_LARGEST_BYTES = 64_000_000


def read_text(path: Path, kind: str, hint: str) -> str:
    """The text of a small UTF-8 file.

    Args:
        path: the file.
        kind: what it should be ("heads file"), for messages.
        hint: what to do if there is none, for the message.

    Raises:
        InputError: it is missing, a folder, unreadable, far too large or not text.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder, expected a {kind}")
        if path.stat().st_size > _LARGEST_BYTES:
            raise InputError(f"{path} is larger than {_LARGEST_BYTES // 10**6} MB: no {kind}")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"there is no {kind} {path}; {hint}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text, expected JSON") from error
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read {str(path)!r}: {reason}") from error


def parse_json(text: str, path: Path, kind: str) -> Any:
    """The JSON value in `text`, read from `path`, which should be a `kind`.

    Raises:
        InputError: it is empty, cut off, no JSON, nested without end, or has a key twice.
    """
    if not text.strip():
        raise InputError(f"{path} is empty, expected JSON")
    try:
        return json.loads(text, object_pairs_hook=_each_key_once)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        cut = "; the file seems cut off" if error.pos >= len(text.rstrip()) else ""
        raise InputError(f"{path} is not JSON: {error.msg} at {where}{cut}") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON that can be used: {error}") from error
    except RecursionError as error:
        raise InputError(f"{path} is nested too deeply: no {kind}") from error


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {shown(twice)} stands twice in one object")
    return content


def check_version(content: dict[str, Any], newest: int, path: Path) -> None:
    """Make sure that `content` of `path` is not of a schema that this version cannot know.

    Raises:
        InputError: its schema_version is above `newest`.
    """
    version = content.get("schema_version")
    if isinstance(version, int) and version > newest:
        raise InputError(
            f"{path} has schema_version {shown(version)}, this one reads {newest}: it was "
            "written by a newer alignheads; upgrade"
        )


def first_fault(error: ValidationError, known_keys: Iterable[str]) -> str:
    """The first fault of a file, on one line: `key is value, expected what`.

    `known_keys` are those of the file's top level, for a guess at what a wrong one meant.
    """
    text = printable(_fault_text(error, list(known_keys)))
    return text if len(text) <= 300 else text[:299] + "…"


def _fault_text(error: ValidationError, known_keys: list[str]) -> str:
    faults = error.errors()
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    fault = faults[0]
    place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in fault["loc"]).lstrip(".")
    if fault["type"] == "value_error":
        return f"{fault.get('ctx', {}).get('error', fault['msg'])}{more}"
    if fault["type"] == "missing":
        return f"the key {place} is missing{more}"
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(fault["loc"][-1]), known_keys, n=1)
        hint = f"did you mean {near[0]}?" if near else "remove it"
        return f"unknown key {shown(place)}; {hint}{more}"
    expected = fault["msg"].removeprefix("Input should be ")
    if not place:
        return f"{expected}{more}"
    return f"{place} is {shown(fault['input'])}, expected {expected}{more}"


def shown(value: Any) -> str:
    """`value` short enough for one line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def json_text(value: Any, indent: int = 0) -> str:
    """`value` as JSON that a person can read: a key, matrix row or flat object a line.

    Numbers keep every digit.

    Raises:
        ValueError: NaN or infinity in `value`.
    """
    inner = "\n" + "  " * (indent + 1)
    end = "\n" + "  " * indent
    if isinstance(value, dict) and any(isinstance(item, dict | list) for item in value.values()):
        items = (f"{_scalar(key)}: {json_text(item, indent + 1)}" for key, item in value.items())
        return "{" + inner + f",{inner}".join(items) + end + "}"
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return "[" + inner + f",{inner}".join(json_text(i, indent + 1) for i in value) + end + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    # Of a file's name that is not UTF-8: no JSON reader but Python's takes half a character.
    return _HALF.sub(lambda found: rf"\\x{ord(found[0]) & 0xFF:02x}", text)


_HALF = re.compile("[\udc80-\udcff]")


def printable(text: str) -> str:
    """`text` without the characters that would break a line or drive a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def output_path(path: Path, force: bool, reads: Iterable[str | Path | None] = ()) -> Path:
    """`path`, if a file can be written there. A device or a pipe is written to as it is.

    Args:
        path: the file.
        force: one that is there may be overwritten, unless it keeps what was computed: a journal,
            a database, word times.
        reads: the files and folders that the same command reads, which are not written. What is
            no path here, such as the name of a model, is nothing to look after.

    Raises:
        InputError: why not.
    """
    try:
        return _output_path(path, force, reads)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def _output_path(path: Path, force: bool, reads: Iterable[str | Path | None]) -> Path:
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the name of a file to write")
    there = path.exists()
    for one in reads:
        if one and _is_part_of(path, Path(one)):
            raise InputError(
                f"{path} is read by this command, so that it is not written; give another name"
            )
    if there and not path.is_file():
        if not os.access(path, os.W_OK):
            raise InputError(f"cannot write {path}: no permission")
        return path
    if there and not force:
        raise InputError(
            f"{path} exists; give force=True to overwrite it, or another name",
            arguments=("force",),
        )
    if there and (kept := _kept_in(path)):
        raise InputError(
            f"{path} is {kept}: it is not overwritten; delete it, or give another name"
        )
    folder = path.resolve().parent
    if not folder.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK) or (there and not os.access(path, os.W_OK)):
        raise InputError(f"cannot write {path}: no permission")
    return path


_KEPT = {
    b'{"op_code":': "the journal of a study",
    b'{"journal_version":': "the journal of a run that was stopped",
    b'{"key":': "a file of word times",
    b"SQLite format 3\0": "a database",
}
"""How files begin that keep what was computed."""
_DRAWN = (".png", ".svg", ".pdf", ".html")


def _kept_in(path: Path) -> str | None:
    with path.open("rb") as file:
        start = file.read(max(map(len, _KEPT)))
    return next((what for head, what in _KEPT.items() if start.startswith(head)), None)


def _is_part_of(path: Path, read: Path) -> bool:
    """Whether writing `path` would change `read`: a file, or a folder of files that are read."""
    ours, theirs = path.resolve(), read.resolve()
    if not read.is_dir():
        return ours == theirs or (path.exists() and read.exists() and path.samefile(read))
    # What was drawn, or written by this package, may well lie in the folder of a corpus or model.
    if not (path.is_file() and ours.is_relative_to(theirs)) or path.suffix.lower() in _DRAWN:
        return False
    with path.open("rb") as file:
        return b'"schema_version"' not in file.read(_SCHEMA_WITHIN_BYTES)


_SCHEMA_WITHIN_BYTES = 4096


def output_folder(
    folder: Path, names: Iterable[str], force: bool, reads: Iterable[str | Path | None] = ()
) -> None:
    """Make `folder`, if files of these names can be written there.

    Raises:
        InputError: it cannot be a folder, or see `output_path`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be a folder for figures: {error.strerror}") from error
    reads = list(reads)
    for name in names:
        output_path(folder / name, force, reads)


@contextlib.contextmanager
def replacing(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block ends without an error.

    A reader never sees half a file, and a failure leaves the old one. A device or a pipe is
    yielded itself.

    Args:
        path: the file; of a link, what it leads to is replaced.
        overwrite: False: a file that has come in the way is left, and this one gets a name
            beside it.

    Raises:
        InputError: a file has come in the way.
        OutputError: the file cannot be written.
    """
    target = Path(os.path.realpath(path))
    is_file = not target.exists() or target.is_file()
    name = f".{target.name[:_LONGEST_NAME]}.{os.getpid()}.tmp{target.suffix}"
    temporary = target.with_name(name) if is_file else target
    try:
        yield temporary
        if is_file and overwrite:
            temporary.replace(target)
        elif is_file:
            _put_where_none_is(temporary, target)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if is_file:
            temporary.unlink(missing_ok=True)


_LONGEST_NAME = 50


def _put_where_none_is(temporary: Path, target: Path) -> None:
    if _is_put(temporary, target):
        return
    number = 2
    while not _is_put(temporary, beside := target.with_stem(f"{target.stem}-{number}")):
        number += 1
    raise InputError(
        f"{target} was written by another process in the meantime; this result is in {beside}"
    )


def _is_put(temporary: Path, target: Path) -> bool:
    """Give a finished file the name `target`, unless there is one already."""
    try:
        os.link(temporary, target)
        return True
    except FileExistsError:
        return False
    except OSError:  # no hard links on this disk
        try:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        temporary.replace(target)
        return True


def write_text(path: str | Path, text: str, *, overwrite: bool = True) -> None:
    """Write a whole UTF-8 file; see `replacing`.

    A file's name that is not UTF-8 may be part of the text: JSON's escape for it is written.
    """
    with replacing(Path(path), overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def open_growing(path: Path, *, overwrite: bool) -> TextIO:
    """`path`, to be written line by line, from its start.

    Where two processes write one file, each has its own, and the later one gets the name.

    Raises:
        InputError: it is there and `overwrite` is off, or it cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            return path.open("w", encoding="utf-8", errors="backslashreplace")
        target = Path(os.path.realpath(path))
        if overwrite:
            target.unlink(missing_ok=True)
        return target.open("x", encoding="utf-8", errors="backslashreplace")
    except FileExistsError as error:
        raise InputError(
            f"{path} exists; give force=True to overwrite it, or another name",
            arguments=("force",),
        ) from error
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
