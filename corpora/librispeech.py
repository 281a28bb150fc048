"""Reads the LibriSpeech layout: SPEAKER/CHAPTER/ID.flac and SPEAKER-CHAPTER.trans.txt.

The folders may lie at any depth. Each line of a transcript file is `ID TEXT`. A TextGrid with the
same name beside the audio gives gold word times.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from .corpus import Corpus
from .gather import Gathering, audio_files, files_with, numbered_lines
from .textgrids import read_words, textgrid_beside
from .utterance import Utterance

LOOKED_FOR = "*.trans.txt with `ID TEXT` lines and ID.flac (or .wav) beside it"


def load_librispeech(
    folder: Path, name: str, *, language: str = "English", strict: bool = False
) -> Corpus:
    """The utterances of every transcript file below `folder`.

    Utterances without audio or transcript, or with an unusable TextGrid, are skipped.

    Raises:
        InputError: a transcript line is malformed, an id comes twice, nothing is found, or
            (`strict`) something would be skipped.
    """
    gathering = Gathering(name, strict)
    seen: dict[str, str] = {}
    for transcripts in files_with(folder, ".trans.txt"):
        listed = set()
        for number, line in numbered_lines(transcripts):
            place = f"{transcripts}:{number}"
            id, _, text = line.partition(" ")
            if "/" in id or "\\" in id:
                raise InputError(f"{place}: {id!r} is not an id; expected `ID TEXT`")
            if id in seen:
                raise InputError(f"{place}: the id {id!r} was already used at {seen[id]}")
            seen[id] = place
            listed.add(id)
            _add(gathering, transcripts, id, text.strip(), language)
        for audio in audio_files(transcripts.parent):
            if audio.parent == transcripts.parent and audio.stem not in listed:
                gathering.skip(audio.stem, f"{transcripts} has no line for {audio.name}")
    return gathering.corpus(folder, LOOKED_FOR)


def _add(gathering: Gathering, transcripts: Path, id: str, text: str, language: str) -> None:
    audio = transcripts.parent / f"{id}.flac"
    if not audio.exists() and audio.with_suffix(".wav").exists():
        audio = audio.with_suffix(".wav")
    speaker = id.rsplit("-", 2)[0]
    words = None
    textgrid = textgrid_beside(audio)
    if textgrid:
        try:
            words = read_words(textgrid)
        except InputError as error:
            gathering.skip(id, str(error))
            return
    gathering.add(Utterance(id, audio, text, language, words, speaker))
