"""Reads folders in the layout `audiofolder` of Hugging Face's `datasets`.

A `metadata.csv` or `metadata.jsonl`, in the folder or in folders of splits below it, has a row for
each utterance: `file_name` (relative to the metadata file, or an address) and `transcription`,
`text`, `transcript` or `sentence`; `speaker` (or `speaker_id`), `language`, `id` and `words` are
optional. Other columns are ignored.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import InputError
from .corpus import Corpus
from .gather import Gathering, files_with, numbered_objects
from .storage import is_address, is_local_folder, local_copy
from .tables import Entry, gather_entries

LOOKED_FOR = "metadata.csv or metadata.jsonl with the columns file_name and transcription"
NAMES = ("metadata.csv", "metadata.jsonl")
_FILE_NAMES = ("file_name", "audio_file_name")


def metadata_files(folder: Path) -> list[Path]:
    """The metadata files in `folder` and below it."""
    return [path for path in files_with(folder, *NAMES) if path.name.lower() in NAMES]


def load_audiofolder(
    path: Path, name: str, *, language: str | None = None, strict: bool = False
) -> Corpus:
    """The utterances of a metadata file, or of all of them in and below a folder.

    Rows without usable audio are skipped.

    Raises:
        InputError: a row is malformed, an id comes twice, nothing is found, or (`strict`) something
            would be skipped.
    """
    gathering = Gathering(name, strict)
    is_folder = is_local_folder(path)
    root = path if is_folder else path.parent
    entries = []
    for table in metadata_files(path) if is_folder else [path]:
        below = PurePosixPath(table.parent.relative_to(root).as_posix())
        for number, cells in _rows(table):
            place = f"{table}:{number}"
            file_name = next((cells[one] for one in _FILE_NAMES if cells.get(one)), None)
            if not isinstance(file_name, str):
                raise InputError(f"{place}: no file_name; expected {LOOKED_FOR}")
            audio = file_name if is_address(file_name) else (below / file_name).as_posix()
            entries.append(Entry(cells, place, root, audio))
    gather_entries(entries, gathering, language, LOOKED_FOR)
    return gathering.corpus(path, LOOKED_FOR)


def _rows(table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if table.suffix.lower() == ".csv":
        yield from _csv_rows(table)
        return
    yield from numbered_objects(table, LOOKED_FOR)


def _csv_rows(table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        text = local_copy(table).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {table}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{table}: not UTF-8 text; save the file as UTF-8") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if None in cells:
                raise InputError(
                    f"{table}:{reader.line_num}: more cells than columns; quote texts with commas"
                )
            yield reader.line_num, cells
    except csv.Error as error:
        raise InputError(f"{table}:{reader.line_num}: not CSV: {error}") from error
