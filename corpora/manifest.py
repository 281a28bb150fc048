"""Reads JSONL manifests, a format of NeMo and similar tools: one utterance in each line.

    {"audio_filepath": "a.wav", "text": "two words", "duration": 1.9, "words": [["two", 0.2, 0.5]]}

`audio_filepath` (absolute, relative to the folder of the manifest, or an address in object storage)
and `text` are required.
`duration` and `offset`, in seconds, select a part of the file. `language`, `speaker`, `id` and
`words` are optional. A word is `[text, start, end]` or `{"word": text, "start": s, "end": s}`, in
seconds from the start of the utterance; words of the text may lack a time. Other keys are ignored.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    model_validator,
)

from ..errors import InputError
from .corpus import Corpus
from .gather import Gathering, numbered_lines
from .storage import beside
from .utterance import Utterance, WordTime

LOOKED_FOR = "JSON lines with audio_filepath, text and duration"


class TimedWord(BaseModel):
    """A word and its times, in seconds from the start of the utterance."""

    text: str = Field(validation_alias=AliasChoices("text", "word"))
    start: Annotated[FiniteFloat, Field(ge=0)]
    end: FiniteFloat

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        if isinstance(value, list):
            if len(value) != 3:
                raise ValueError(f"a word is [text, start, end], not {value}")
            return dict(zip(("text", "start", "end"), value, strict=True))
        return value

    @model_validator(mode="after")
    def _in_order(self) -> TimedWord:
        if self.end < self.start:
            raise ValueError(f"the word {self.text!r} ends before it starts")
        return self


class Row(BaseModel):
    """An utterance of a manifest, as other kinds of tables have it as well."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    audio_filepath: str = Field(min_length=1, strict=True)
    text: str
    duration: Annotated[FiniteFloat, Field(gt=0)] | None = None
    offset: Annotated[FiniteFloat, Field(ge=0)] = 0.0
    language: str | None = None
    speaker: str | None = None
    id: Annotated[str, Field(min_length=1)] | None = None
    words: list[TimedWord] | None = None

    def utterance(self, id: str, folder: Path, language: str | None) -> Utterance:
        """It as an utterance.

        Args:
            id: of the utterance.
            folder: where the path of its audio starts.
            language: where the row has none.
        """
        words = None
        if self.words is not None:
            words = tuple(WordTime(word.text, word.start, word.end) for word in self.words)
        return Utterance(
            id=id,
            audio_path=beside(folder, self.audio_filepath),
            text=self.text,
            language=self.language or language,
            words=words,
            speaker=self.speaker,
            offset_s=self.offset,
            duration_s=self.duration,
        )


def load_manifest(
    path: Path, name: str, *, language: str | None = None, strict: bool = False
) -> Corpus:
    """The utterances of a JSONL manifest.

    Without an `id`, the name of the audio file is the id, followed by the line number if several
    lines have the same name. Utterances without usable audio are skipped.

    Raises:
        InputError: a line is malformed (file and line number are named), an id comes twice,
            nothing is found, or (`strict`) something would be skipped.
    """
    lines = [(number, _parse(text, f"{path}:{number}")) for number, text in numbered_lines(path)]
    stems = Counter(_stem(line.audio_filepath) for _, line in lines if line.id is None)
    gathering = Gathering(name, strict)
    seen: dict[str, int] = {}
    for number, line in lines:
        stem = _stem(line.audio_filepath)
        id = line.id or (stem if stems[stem] == 1 else f"{stem}-{number}")
        if id in seen:
            raise InputError(f"{path}:{number}: the id {id!r} was already used on line {seen[id]}")
        seen[id] = number
        gathering.add(line.utterance(id, path.parent, language), partial=True)
    return gathering.corpus(path, LOOKED_FOR)


def _stem(audio: str) -> str:
    # Of a web address, what follows the path is not the name, and may be a signature.
    return Path(urlsplit(audio).path if audio.startswith(("http://", "https://")) else audio).stem


def _parse(text: str, place: str) -> Row:
    try:
        return Row.model_validate_json(text)
    except ValidationError as error:
        raise InputError(f"{place}: {fault(error)}; expected {LOOKED_FOR}") from error


def fault(error: ValidationError) -> str:
    """The first fault of a row, with the key."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message
