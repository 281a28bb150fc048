"""Reads Parquet files with a column of audio, as Hugging Face's hub keeps speech.

The column is a struct of `bytes` (a whole audio file) and `path`, as `datasets.Audio` stores it.
The other columns are those of `audiofolder.py`. Arrow files of `Dataset.save_to_disk` are read,
too. The audio is unpacked into the user's cache folder, once, under names made of its content.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..files import replacing
from .corpus import Corpus
from .gather import Gathering, files_with
from .storage import beside, is_local_folder, is_stored, local_copy
from .tables import Entry, gather_entries

if TYPE_CHECKING:
    import pyarrow

LOOKED_FOR = "Parquet with a column of audio (bytes and path) and one of transcripts"
SUFFIXES = (".parquet", ".arrow")
_ROWS = 64  # unpacked at a time: the audio of this many is in memory


def load_parquet(
    path: Path,
    name: str,
    *,
    language: str | None = None,
    strict: bool = False,
    cache_dir: Path | None = None,
) -> Corpus:
    """The utterances of a Parquet file, or of all of them below a folder.

    Rows without usable audio are skipped.

    Args:
        path: the file or the folder.
        name: of the corpus.
        language: of rows that name none.
        strict: raise an error where a row would be skipped.
        cache_dir: where the audio is unpacked (None: the user's cache folder for alignheads).

    Raises:
        InputError: pyarrow is not installed, a file is no Parquet or has no column of audio, a row
            is malformed, an id comes twice, nothing is found, or (`strict`) something would be
            skipped.
    """
    import pooch

    unpacked = (cache_dir or Path(pooch.os_cache("alignheads"))) / "parquet"
    gathering = Gathering(name, strict)
    entries = []
    for table in files_with(path, *SUFFIXES) if is_local_folder(path) else [path]:
        for number, column, cells in _rows(table):
            place = f"{table}, row {number}"
            cell = cells.pop(column) or {}
            content, stated = cell.get("bytes"), cell.get("path")
            if content:
                file = _unpacked(content, stated, unpacked)
            elif stated:
                file = beside(table.parent, stated)
            else:
                gathering.skip(f"{table.stem}-{number}", f"{place} has no audio")
                continue
            given = Path(stated).with_suffix("").as_posix() if stated else None
            name_of_row = given or f"{table.stem}-{number}"
            audio = str(file if is_stored(file) else file.resolve())
            entries.append(Entry(cells, place, table.parent, audio, name_of_row))
    gather_entries(_told_apart(entries), gathering, language, LOOKED_FOR)
    return gathering.corpus(path, LOOKED_FOR)


def _told_apart(entries: list[Entry]) -> list[Entry]:
    """Entries with a number in their names, where audio of several has the same path."""
    names = Counter(entry.name for entry in entries)
    return [
        entry if names[entry.name] == 1 else replace(entry, name=f"{entry.name}-{number}")
        for number, entry in enumerate(entries)
    ]


def _rows(table: Path) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Number, the name of the audio's column, and the cells of each row."""
    try:
        import pyarrow
    except ImportError as error:
        raise InputError(
            f"{table}: reading Parquet needs the package pyarrow; install it with: "
            "pip install '.[parquet]', in the checkout of alignheads"
        ) from error
    number = 0
    try:
        for batch in _batches(table):
            column = _audio_column(batch.schema, table)
            for cells in batch.to_pylist():
                yield number, column, cells
                number += 1
    except (OSError, pyarrow.ArrowException) as error:
        reason = str(error).split("\n")[0]
        raise InputError(f"{table} cannot be read: {reason}; expected {LOOKED_FOR}") from error


def _batches(table: Path) -> Iterator[pyarrow.RecordBatch]:
    copy = local_copy(table)
    if table.suffix.lower() == ".arrow":
        import pyarrow

        with pyarrow.memory_map(str(copy)) as file:
            for batch in pyarrow.ipc.open_stream(file):
                for start in range(0, len(batch), _ROWS):
                    yield batch.slice(start, _ROWS)
        return
    from pyarrow.parquet import ParquetFile

    with ParquetFile(copy) as file:
        yield from file.iter_batches(batch_size=_ROWS)


def _audio_column(schema: pyarrow.Schema, table: Path) -> str:
    from pyarrow import types

    found = [
        column.name
        for column in schema
        if types.is_struct(column.type)
        and {"bytes", "path"} & {column.type.field(i).name for i in range(column.type.num_fields)}
    ]
    if not found:
        raise InputError(
            f"{table} has no column of audio among {', '.join(schema.names)}; expected {LOOKED_FOR}"
        )
    return "audio" if "audio" in found else found[0]


def _unpacked(content: bytes, stated: str | None, folder: Path) -> Path:
    """The file with this content in `folder`, written if it is not there."""
    suffix = Path(stated).suffix.lower() if stated else ""
    path = folder / (hashlib.sha256(content).hexdigest()[:32] + (suffix or ".audio"))
    if not (path.is_file() and path.stat().st_size == len(content)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write to {folder}: {error.strerror or error}") from error
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    return path
