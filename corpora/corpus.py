"""A corpus: its utterances, those that were skipped with the reasons, and its fingerprint."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from ..errors import InputError
from .utterance import Utterance

_AnyCorpus = TypeVar("_AnyCorpus", bound="Corpus")


@dataclass(frozen=True)
class Skipped:
    """An utterance that was left out, and the reason, in words for the user."""

    id: str
    reason: str


@dataclass(frozen=True)
class Corpus:
    """A named set of utterances with unique ids, and those that were skipped.

    Raises:
        InputError: there is no utterance, or two have the same id.
    """

    name: str
    utterances: tuple[Utterance, ...]
    skipped: tuple[Skipped, ...] = ()

    def __post_init__(self) -> None:
        if not self.utterances:
            message = f"the corpus {self.name} has no utterance"
            for first in self.skipped[:1]:
                message += f": all {len(self.skipped)} were skipped, the first one ({first.id}): "
                message += first.reason
            raise InputError(message)
        seen: set[str] = set()
        for utterance in self.utterances:
            if utterance.id in seen:
                raise InputError(
                    f"the corpus {self.name} has two utterances with the id {utterance.id!r}; "
                    "give each its own"
                )
            seen.add(utterance.id)

    def __len__(self) -> int:
        return len(self.utterances)

    @property
    def has_word_times(self) -> bool:
        """Whether every utterance has gold word times."""
        return all(utterance.words is not None for utterance in self.utterances)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that identify the content: they change with anything that changes results.

        It is the SHA-256 of each utterance's id, text, language, word times (to the millisecond),
        used part of the audio file, and SHA-256 of the audio file's bytes, sorted by id. Name,
        folder, order and speakers have no effect. Each file is read once and not decoded (about a
        second for the 337 MB of LibriSpeech dev-clean).

        Raises:
            InputError: an audio file cannot be read.
        """
        hashes = {path: file_hash(path) for path in {u.audio_path for u in self.utterances}}
        digest = hashlib.sha256()
        for utterance in sorted(self.utterances, key=lambda u: u.id):
            line = _identity(utterance, hashes[utterance.audio_path])
            digest.update(json.dumps(line, ensure_ascii=True).encode() + b"\n")
        return digest.hexdigest()[:16]

    def sample(self: _AnyCorpus, clips: int, seed: int) -> _AnyCorpus:
        """A random sample of `clips` utterances, spread evenly over the speakers.

        A corpus with no more than `clips` utterances is returned as it is. Otherwise the speakers,
        and the utterances of each speaker, are shuffled; then one utterance of each speaker is
        taken in turn. The same seed and utterances give the same sample in the same order, and a
        smaller sample is the beginning of a larger one.

        Raises:
            InputError: `clips` is less than 1.
        """
        if clips < 1:
            raise InputError(f"{clips} clips of {self.name} were asked for; expected 1 or more")
        if clips >= len(self.utterances):
            return self
        by_speaker: dict[str, list[Utterance]] = {}
        for utterance in sorted(self.utterances, key=lambda u: u.id):
            by_speaker.setdefault(utterance.speaker or "", []).append(utterance)
        dice = random.Random(seed)
        queues = [by_speaker[speaker] for speaker in sorted(by_speaker)]
        dice.shuffle(queues)
        for queue in queues:
            dice.shuffle(queue)
        turns = range(max(len(queue) for queue in queues))
        drawn = [queue[turn] for turn in turns for queue in queues if turn < len(queue)]
        return replace(self, utterances=tuple(drawn[:clips]))

    def without(self: _AnyCorpus, skipped: Iterable[Skipped]) -> _AnyCorpus:
        """The corpus without the utterances in `skipped`, which are added to its own `skipped`.

        Raises:
            InputError: no utterance is left.
        """
        skipped = tuple(skipped)
        ids = {one.id for one in skipped}
        kept = tuple(utterance for utterance in self.utterances if utterance.id not in ids)
        return replace(self, utterances=kept, skipped=self.skipped + skipped)


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def _identity(utterance: Utterance, audio_hash: str) -> list[object]:
    words = utterance.words
    times = words and [[w.text, round(w.start_s * 1000), round(w.end_s * 1000)] for w in words]
    part_s = [utterance.offset_s, utterance.duration_s]
    return [utterance.id, utterance.text, utterance.language, times, part_s, audio_hash]
