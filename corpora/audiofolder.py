"""Reads folders in the layout `audiofolder` of Hugging Face's `datasets`.

A `metadata.csv` or `metadata.jsonl`, in the folder or in folders of splits below it, has a row for
each utterance: `file_name` (relative to the metadata file) and `transcription`, `text`,
`transcript` or `sentence`; `speaker` (or `speaker_id`), `language`, `id` and `words` are optional.
Other columns are ignored.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import InputError
from .corpus import Corpus
from .gather import Gathering, files_with, numbered_lines
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
    root = path if path.is_dir() else path.parent
    entries = []
    for table in metadata_files(path) if path.is_dir() else [path]:
        below = table.parent.relative_to(root)
        for number, cells in _rows(table):
            place = f"{table}:{number}"
            file_name = next((cells[one] for one in _FILE_NAMES if cells.get(one)), None)
            if not isinstance(file_name, str):
                raise InputError(f"{place}: no file_name; expected {LOOKED_FOR}")
            entries.append(Entry(cells, place, root, (below / file_name).as_posix()))
    gather_entries(entries, gathering, language, LOOKED_FOR)
    return gathering.corpus(path, LOOKED_FOR)


def _rows(table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if table.suffix.lower() == ".csv":
        yield from _csv_rows(table)
        return
    for number, line in numbered_lines(table):
        try:
            cells = json.loads(line)
        except ValueError as error:
            raise InputError(f"{table}:{number}: not JSON: {error}") from error
        if not isinstance(cells, dict):
            raise InputError(f"{table}:{number}: not a JSON object; expected {LOOKED_FOR}")
        yield number, cells


def _csv_rows(table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        text = table.read_text(encoding="utf-8-sig")
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
