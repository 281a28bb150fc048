"""Rows of tables as people publish speech: which column is what, and an id for each row.

Knows rows as {column: value}; how a table is stored is for `audiofolder.py` and `parquet.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from ..errors import InputError
from .gather import Gathering
from .manifest import Row, fault

TEXTS = ("text", "transcription", "transcript", "sentence")
"""Columns that hold the transcript, the first that is there."""
_SPEAKERS = ("speaker", "speaker_id", "client_id")
_LANGUAGES = ("language", "lang", "locale")
_KEPT = ("id", "duration", "offset", "words")


@dataclass(frozen=True)
class Entry:
    """A row, where it stands, and the audio file that it is about.

    Attributes:
        cells: by column.
        place: for messages: file and line or row.
        folder: where the path in `audio` starts.
        audio: the path of the audio file.
        name: what an id is made of, where the row has none; by default the path without its suffix.
    """

    cells: Mapping[str, Any]
    place: str
    folder: Path
    audio: str
    name: str | None = None

    @property
    def stem(self) -> str:
        """The id that the row would like to have."""
        return PurePosixPath(self._whole_name).name

    @property
    def long_name(self) -> str:
        """An id where several rows have the same `stem`."""
        return self._whole_name

    @property
    def _whole_name(self) -> str:
        return self.name or PurePosixPath(self.audio).with_suffix("").as_posix()


def gather_entries(
    entries: Sequence[Entry], gathering: Gathering, language: str | None, looked_for: str
) -> None:
    """Add the utterances of rows to `gathering`.

    The id is that of the row, else the name of the audio file, with its folder where that is not
    enough.

    Raises:
        InputError: a row has no text or is malformed, or an id comes twice.
    """
    stems = Counter(entry.stem for entry in entries)
    seen: dict[str, str] = {}
    for entry in entries:
        row = _row(entry, looked_for)
        id = row.id or (entry.stem if stems[entry.stem] == 1 else entry.long_name)
        if id in seen:
            raise InputError(f"{entry.place}: the id {id!r} was already used at {seen[id]}")
        seen[id] = entry.place
        gathering.add(row.utterance(id, entry.folder, language), partial=True)


def _row(entry: Entry, looked_for: str) -> Row:
    cells = entry.cells
    found = {"audio_filepath": entry.audio}
    for name, columns in (("text", TEXTS), ("speaker", _SPEAKERS), ("language", _LANGUAGES)):
        column = next((one for one in columns if cells.get(one) is not None), None)
        if column is not None:
            found[name] = cells[column]
    if "text" not in found:
        raise InputError(
            f"{entry.place}: no transcript: none of the columns {', '.join(TEXTS)} has one; "
            f"expected {looked_for}"
        )
    found |= {key: cells[key] for key in _KEPT if cells.get(key) not in (None, "")}
    try:
        return Row.model_validate(found)
    except ValidationError as error:
        raise InputError(f"{entry.place}: {fault(error)}; expected {looked_for}") from error
