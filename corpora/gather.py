"""Shared by all loaders: finding files, and checking, keeping or skipping utterances."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from . import words
from .audio import AUDIO_SUFFIXES, ROUNDING_S, audio_duration_s
from .corpus import Corpus, Skipped
from .storage import ObjectMissing, local_copies, local_copy
from .utterance import Utterance


class Gathering:
    """Collects the utterances of a corpus, and those that are skipped.

    Only the headers of audio files are read here. Samples that cannot be decoded raise an error
    later, in `Utterance.read`.
    """

    def __init__(self, name: str, strict: bool = False) -> None:
        self.name = name
        self._strict = strict
        self._found: list[tuple[Utterance, bool] | Skipped] = []

    def skip(self, id: str, reason: str) -> None:
        """Leave an utterance out of the corpus and record the reason.

        Raises:
            InputError: the loader is strict.
        """
        self._found.append(self._skipped(id, reason))

    def _skipped(self, id: str, reason: str) -> Skipped:
        if self._strict:
            raise InputError(
                f"{self.name}: {id}: {reason}; mend it, or load without strict",
                arguments=("strict",),
            )
        return Skipped(id, reason)

    def add(self, utterance: Utterance, partial: bool = False) -> None:
        """An utterance for the corpus, if it can be used. Its audio may be an address.

        It is skipped in the end if its audio is missing or unreadable, if it is a part beyond the
        end of the file, if word times lie beyond the end of the audio, or if the timed words are
        not those of the transcript. With `partial`, words of the transcript may lack a time.
        """
        self._found.append((utterance, partial))

    def corpus(self, where: Path, looked_for: str) -> Corpus:
        """The corpus of the utterances that can be used, all audio of which is on this disk.

        Args:
            where: the file or folder that was searched, for the error message.
            looked_for: a description of the expected files, for the error message.

        Raises:
            InputError: nothing was found in `where`, all utterances were skipped, ids repeat, the
                loader is strict and an utterance would be skipped, or object storage cannot be
                read.
        """
        if not self._found:
            raise InputError(f"no utterance in {where}: looked for {looked_for}")
        copies = local_copies(one[0].audio_path for one in self._found if isinstance(one, tuple))
        utterances: list[Utterance] = []
        skipped: list[Skipped] = []
        for one in self._found:
            checked = one if isinstance(one, Skipped) else self._checked(*one, copies)
            if isinstance(checked, Skipped):
                skipped.append(checked)
            else:
                utterances.append(checked)
        return Corpus(self.name, tuple(utterances), tuple(skipped))

    def _checked(
        self, utterance: Utterance, partial: bool, copies: Mapping[Path, Path | ObjectMissing]
    ) -> Utterance | Skipped:
        copy = copies.get(utterance.audio_path)
        if isinstance(copy, ObjectMissing):
            return self._skipped(utterance.id, str(copy))
        if copy is not None:
            url = str(utterance.audio_path)
            utterance = replace(utterance, audio_path=copy, audio_url=url)
        reason = _fault(utterance, partial)
        return self._skipped(utterance.id, utterance.told(reason)) if reason else utterance


def _fault(utterance: Utterance, partial: bool) -> str | None:
    try:
        total_s = audio_duration_s(utterance.audio_path)
    except InputError as error:
        return str(error)
    end_s = utterance.offset_s + (utterance.duration_s or 0.0)
    if utterance.offset_s >= total_s or end_s > total_s + ROUNDING_S:
        return (
            f"{end_s:g} s of {utterance.audio_path} are asked for, which is {total_s:.2f} s long: "
            "cut off, or another file"
        )
    if utterance.words is None:
        return None
    if not words.agree(utterance.text, utterance.words, partial):
        timed = " ".join(word.text for word in utterance.words)
        return f"transcript and word times disagree: {_short(utterance.text)} / {_short(timed)}"
    left_s = total_s - utterance.offset_s
    return words.fault(utterance.words, min(left_s, utterance.duration_s or left_s))


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def files_with(folder: Path, *suffixes: str) -> Iterator[Path]:
    """The files below `folder` whose lower-case names end in a suffix, sorted; no hidden files."""
    for path in sorted(folder.rglob("*")):
        if (
            path.name.lower().endswith(suffixes)
            and not path.name.startswith(".")
            and path.is_file()
        ):
            yield path


def audio_files(folder: Path) -> Iterator[Path]:
    """Audio files below `folder`, sorted."""
    return files_with(folder, *AUDIO_SUFFIXES)


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 text file that are not blank, with line numbers from 1.

    A file whose name ends in `.gz` is unpacked.

    Raises:
        InputError: the file cannot be read, or a line is not UTF-8.
    """
    try:
        content = local_copy(path).read_bytes()
        if path.suffix.lower() == ".gz":
            content = gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path} is cut off or no gzip file ({error}); fetch it again") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            text = line.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise InputError(f"{path}:{number}: not UTF-8 text; save the file as UTF-8") from error
        if text:
            yield number, text


def numbered_objects(path: Path, looked_for: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON objects of a file that has one in each line, with line numbers from 1.

    Args:
        path: see `numbered_lines`.
        looked_for: a description of the expected lines, for the error message.

    Raises:
        InputError: as `numbered_lines`, or a line is no JSON object.
    """
    for number, line in numbered_lines(path):
        try:
            found = json.loads(line)
        except ValueError as error:
            raise InputError(
                f"{path}:{number}: not JSON: {error}; expected {looked_for}"
            ) from error
        if not isinstance(found, dict):
            raise InputError(f"{path}:{number}: not a JSON object; expected {looked_for}")
        yield number, found


def transcript_beside(audio: Path) -> str | None:
    """The transcript in the .lab or .txt file beside `audio` with the same name, or None.

    Raises:
        InputError: the file is not UTF-8 text.
    """
    for suffix in (".lab", ".txt"):
        path = audio.with_suffix(suffix)
        if path.is_file():
            return " ".join(line for _, line in numbered_lines(path))
    return None
