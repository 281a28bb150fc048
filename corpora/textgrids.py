"""Reads and writes the words tier of TextGrids, and loads folders of audio with TextGrids.

A folder may have one folder for each speaker, the layout of the Montreal Forced Aligner (MFA). A
.lab or .txt file beside the audio gives the transcript; without one, the words of the TextGrid are
joined.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import replacing
from .corpus import Corpus
from .gather import Gathering, audio_files, files_with, transcript_beside
from .utterance import Utterance, WordTime
from .words import is_silence

LOOKED_FOR = "audio files with a .TextGrid of the same name beside them"


def load_textgrids(
    folder: Path, name: str, *, language: str | None = None, strict: bool = False
) -> Corpus:
    """The utterances of a folder of audio and TextGrids. Ids are relative paths without the suffix.

    Skipped are: audio without a TextGrid, a TextGrid without audio or without a words tier, and a
    TextGrid that does not fit the transcript or the length of the audio.

    Raises:
        InputError: nothing is found, two audio files differ in the suffix only, or (`strict`)
            something would be skipped.
    """
    gathering = Gathering(name, strict)
    used = set()
    for audio in audio_files(folder):
        relative = audio.relative_to(folder)
        id = relative.with_suffix("").as_posix()
        textgrid = textgrid_beside(audio)
        if textgrid is None:
            gathering.skip(id, f"no TextGrid beside {audio}")
            continue
        used.add(textgrid)
        try:
            words = read_words(textgrid)
            text = transcript_beside(audio)
        except InputError as error:
            gathering.skip(id, str(error))
            continue
        if text is None:
            text = " ".join(word.text for word in words)
        speaker = relative.parent.name or None
        gathering.add(Utterance(id, audio, text, language, words, speaker))
    for textgrid in files_with(folder, ".textgrid"):
        if textgrid not in used:
            id = textgrid.relative_to(folder).with_suffix("").as_posix()
            gathering.skip(id, f"no audio file beside {textgrid}")
    return gathering.corpus(folder, LOOKED_FOR)


def textgrid_beside(audio: Path) -> Path | None:
    """The TextGrid beside `audio` with the same name, or None."""
    for suffix in (".TextGrid", ".textgrid"):
        path = audio.with_suffix(suffix)
        if path.is_file():
            return path
    return None


def read_words(path: Path) -> tuple[WordTime, ...]:
    """The words of a TextGrid's words tier, without silences. `<unk>` is kept unchanged.

    The tier is called `words` or `word`, in upper or lower case, or `SPEAKER - words` (MFA).

    Raises:
        InputError: the file is not a TextGrid, or has no such tier or more than one.
    """
    from praatio import textgrid

    try:
        content = textgrid.openTextgrid(
            str(path), includeEmptyIntervals=True, reportingMode="silence"
        )
    except Exception as error:
        # praatio raises exceptions of many types for a malformed file.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} cannot be read as a TextGrid: {reason}") from error
    names = [name for name in content.tierNames if _is_words_tier(name)]
    found = ", ".join(content.tierNames) or "none"
    tier = content.getTier(names[0]) if len(names) == 1 else None
    if not isinstance(tier, textgrid.IntervalTier):
        raise InputError(f"{path}: expected one interval tier `words`, found the tiers: {found}")
    entries: Any = tier.entries  # praatio types them as points or intervals
    declared = _declared_size(path, tier.name)
    if declared != len(entries):
        raise InputError(
            f"{path} is cut off: tier {tier.name!r} has {len(entries)} of {declared} intervals"
        )
    return tuple(
        WordTime(entry.label.strip(), float(entry.start), float(entry.end))
        for entry in entries
        if not is_silence(entry.label)
    )


def write_words(path: Path, words: Sequence[WordTime], duration_s: float) -> None:
    """Write a TextGrid with one tier, `words`.

    Raises:
        InputError: the file cannot be written.
    """
    from praatio import textgrid
    from praatio.utilities.constants import Interval

    content = textgrid.Textgrid(0, duration_s)
    entries = [Interval(word.start_s, word.end_s, word.text) for word in words]
    content.addTier(textgrid.IntervalTier("words", entries, 0, duration_s))
    with replacing(path) as temporary:
        content.save(str(temporary), "long_textgrid", includeBlankSpaces=True)


def _declared_size(path: Path, tier: str) -> int | str:
    """The number of intervals that a tier declares. praatio does not notice a truncated file."""
    content = path.read_bytes()
    text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8")
    number = r"\s+(?:xm(?:in|ax)\s*=\s*)?[-+.\deE]+"
    size = r"\s+(?:intervals:\s*size\s*=\s*)?(\d+)\s"
    found = re.search(f'"{re.escape(tier.replace(chr(34), chr(34) * 2))}"{number * 2}{size}', text)
    return int(found[1]) if found else "an unknown number of"


def _is_words_tier(name: str) -> bool:
    name = name.strip().lower()
    return name in ("words", "word") or name.endswith(" - words")
