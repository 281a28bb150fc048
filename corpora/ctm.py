"""Reads CTM files, which hold word times, together with their audio files.

A line of a CTM file is `FILE CHANNEL START DURATION WORD [CONFIDENCE]`, with times in seconds. FILE
is the name of an audio file, without the suffix, anywhere below the folder of the .ctm file. A .lab
or .txt file beside the audio gives the transcript; without one, the words of the CTM file are
joined.
"""

from __future__ import annotations

import math
from pathlib import Path

from ..errors import InputError
from .corpus import Corpus
from .gather import Gathering, audio_files, files_with, numbered_lines, transcript_beside
from .utterance import Utterance, WordTime
from .words import is_silence

LOOKED_FOR = "a .ctm file with `FILE CHANNEL START DURATION WORD` lines, and the audio files"


def load_ctm(path: Path, name: str, *, language: str | None = None, strict: bool = False) -> Corpus:
    """The utterances of a .ctm file, or of all .ctm files below a folder.

    Names without audio, audio without words, and files with several channels are skipped.

    Raises:
        InputError: a line is malformed, nothing is found, or (`strict`) something would be skipped.
    """
    gathering = Gathering(name, strict)
    folder = path if path.is_dir() else path.parent
    audio: dict[str, list[Path]] = {}
    for file in audio_files(folder):
        audio.setdefault(file.stem, []).append(file)
    timed: dict[str, list[tuple[str, WordTime]]] = {}
    for ctm in files_with(folder, ".ctm") if path.is_dir() else [path]:
        for number, line in numbered_lines(ctm):
            if not line.startswith(";;"):
                id, channel, word = _parse(line, f"{ctm}:{number}")
                timed.setdefault(id, []).append((channel, word))
    for id, entries in timed.items():
        _add(gathering, id, entries, audio.pop(id, []), language)
    if timed:
        for id in audio:
            gathering.skip(id, f"no word times in {path}")
    return gathering.corpus(path, LOOKED_FOR)


def _add(
    gathering: Gathering,
    id: str,
    entries: list[tuple[str, WordTime]],
    files: list[Path],
    language: str | None,
) -> None:
    if len(files) != 1:
        found = "several audio files" if files else "no audio file"
        gathering.skip(id, f"{found} of that name beside the CTM")
    elif len({channel for channel, _ in entries}) > 1:
        gathering.skip(id, "words on several channels; split the channels into files")
    else:
        words = tuple(word for _, word in entries if not is_silence(word.text))
        text = transcript_beside(files[0])
        if text is None:
            text = " ".join(word.text for word in words)
        gathering.add(Utterance(id, files[0], text, language, words))


def _parse(line: str, place: str) -> tuple[str, str, WordTime]:
    cells = line.split()
    if len(cells) not in (5, 6):
        raise InputError(f"{place}: expected `FILE CHANNEL START DURATION WORD`, found {line!r}")
    id, channel, start, length, text = cells[:5]
    try:
        start_s, length_s = float(start), float(length)
    except ValueError:
        start_s = length_s = math.nan
    if not (math.isfinite(start_s + length_s) and start_s >= 0 and length_s >= 0):
        raise InputError(
            f"{place}: start {start!r} and duration {length!r} are not times in seconds"
        )
    return id, channel, WordTime(text, start_s, start_s + length_s)
