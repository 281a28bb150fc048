"""Reads the cut manifests of Lhotse (`cuts.jsonl` or `cuts.jsonl.gz`): one cut in each line.

A cut is an utterance: its supervisions in order give the text, and their alignments of `word`, if
all have one, the word times. As Lhotse has it, supervisions start from the start of the cut, and
alignments from the start of the recording. Audio is read by this package, so only cuts of files are
used as they lie there: mixed cuts, cuts of pipes and addresses, one channel of several, and audio
that Lhotse would change (speed, volume, …) are skipped. A relative path starts where the manifest
is or, as in Lhotse, in the current folder. The package `lhotse` is not needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from ..errors import InputError
from .audio import SAMPLE_RATE
from .corpus import Corpus
from .gather import Gathering, numbered_objects
from .manifest import fault
from .storage import beside, is_stored
from .utterance import Utterance, WordTime
from .words import is_silence

LOOKED_FOR = "a Lhotse cut with id, start, duration, supervisions and recording"
KINDS = ("MonoCut", "MultiCut", "MixedCut", "PaddingCut")
_Seconds = Annotated[FiniteFloat, Field(ge=0)]


class _Source(BaseModel):
    type: str
    source: Any = None


class _Recording(BaseModel):
    id: str
    sources: list[_Source]
    channel_ids: list[int] | None = None
    transforms: list[dict[str, Any]] | None = None


class _Supervision(BaseModel):
    start: FiniteFloat = 0.0
    text: str | None = None
    language: str | None = None
    speaker: str | None = None
    alignment: dict[str, list[tuple[str, FiniteFloat, _Seconds, Any]]] | None = None


class _Cut(BaseModel):
    id: Annotated[str, Field(min_length=1)]
    start: _Seconds
    duration: Annotated[FiniteFloat, Field(gt=0)]
    supervisions: list[_Supervision] = Field(default_factory=list)
    recording: _Recording | None = None


def is_cut(line: dict[str, Any]) -> bool:
    """Whether a line of a manifest is a cut of Lhotse."""
    return line.get("type") in KINDS or "supervisions" in line


def load_lhotse(
    path: Path, name: str, *, language: str | None = None, strict: bool = False
) -> Corpus:
    """The utterances of a cut manifest.

    Raises:
        InputError: a line is malformed (file and line number are named), an id comes twice,
            nothing is found, or (`strict`) something would be skipped.
    """
    gathering = Gathering(name, strict)
    seen: dict[str, int] = {}
    for number, line in numbered_objects(path, LOOKED_FOR):
        place = f"{path}:{number}"
        id = str(line.get("id"))
        if id in seen:
            raise InputError(f"{place}: the id {id!r} was already used on line {seen[id]}")
        seen[id] = number
        if line.get("type", "MonoCut") not in KINDS[:2]:
            gathering.skip(id, f"a {line['type']}, which only Lhotse can put together")
            continue
        try:
            cut = _Cut.model_validate(line)
        except ValidationError as error:
            raise InputError(f"{place}: {fault(error)}; expected {LOOKED_FOR}") from error
        reason = _unusable(cut)
        if reason:
            gathering.skip(id, reason)
        else:
            gathering.add(_utterance(cut, path.parent, language), partial=True)
    return gathering.corpus(path, LOOKED_FOR)


def _unusable(cut: _Cut) -> str | None:
    """Why the audio is not a part of a file as it lies there; None if it is."""
    recording = cut.recording
    if recording is None:
        return "it has no recording, features alone"
    if len(recording.sources) != 1 or recording.sources[0].type != "file":
        kinds = ", ".join(source.type for source in recording.sources)
        return f"its recording is no single file but: {kinds or 'nothing'}"
    if recording.channel_ids is not None and len(recording.channel_ids) > 1:
        return "one channel of several; split the channels into files"
    for one in recording.transforms or ():
        rate = (one.get("kwargs") or {}).get("target_sampling_rate")
        if one.get("name") != "Resample" or rate != SAMPLE_RATE:
            return f"its audio is changed by {one.get('name')}; save the changed audio first"
    return None


def _utterance(cut: _Cut, folder: Path, language: str | None) -> Utterance:
    assert cut.recording is not None
    said = sorted(cut.supervisions, key=lambda one: one.start)
    source = str(cut.recording.sources[0].source)
    audio = beside(folder, source)
    if not is_stored(audio) and not audio.is_file() and Path(source).is_file():
        audio = Path(source)
    timed = [(one.alignment or {}).get("word") for one in said]
    words = None
    if said and all(one is not None for one in timed):
        words = tuple(
            WordTime(
                symbol, round(start_s - cut.start, 6), round(start_s + length_s - cut.start, 6)
            )
            for one in timed
            for symbol, start_s, length_s, _ in one or ()
            if not is_silence(symbol)
        )
    return Utterance(
        id=cut.id,
        audio_path=audio,
        text=" ".join(one.text.strip() for one in said if one.text),
        language=next((one.language for one in said if one.language), language),
        words=words,
        speaker=next((one.speaker for one in said if one.speaker), None),
        offset_s=cut.start,
        duration_s=cut.duration,
    )
