"""What is decoded in one piece: an utterance, or a speaker's chapter put together again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..corpora import Corpus, Utterance, WordTime
from ..corpora.audio import SAMPLE_RATE, part_duration_s
from ..errors import InputError
from .normalise import basic
from .result import Group

GAP_S = 0.5
"""Silence between the utterances of a chapter."""

_CHAPTERED = re.compile(r"(.+)-([^-]+)-(\d+)")


@dataclass(frozen=True)
class Item:
    """Utterances that are decoded as one, in order, with `GAP_S` of silence between."""

    id: str
    utterances: tuple[Utterance, ...]

    @property
    def reference(self) -> str:
        """The transcripts, one after another."""
        return " ".join(filter(None, (one.text.strip() for one in self.utterances)))

    @property
    def language(self) -> str | None:
        """The language of the first utterance."""
        return self.utterances[0].language

    def duration_s(self) -> float:
        """Length in seconds, from the headers of the audio files."""
        start_s, length_s, _ = self.parts()[-1]
        return start_s + length_s

    def parts(self) -> list[tuple[float, float, Utterance]]:
        """Each utterance with its start in what `read` gives and its length, in seconds."""
        found: list[tuple[float, float, Utterance]] = []
        start_s = 0.0
        for one in self.utterances:
            length_s = part_duration_s(one.audio_path, one.offset_s, one.duration_s)
            found.append((start_s, length_s, one))
            start_s += length_s + GAP_S
        return found

    def read(self) -> tuple[np.ndarray, tuple[WordTime, ...] | None]:
        """Samples [n] float32, 16 kHz mono, and the gold words at their times in them.

        The words are None where an utterance has none.

        Raises:
            InputError: an audio file is missing or cannot be used.
        """
        gap = np.zeros(int(GAP_S * SAMPLE_RATE), np.float32)
        pieces: list[np.ndarray] = []
        words: list[WordTime] = []
        is_timed, start = True, 0
        for one in self.utterances:
            if pieces:
                pieces.append(gap)
                start += len(gap)
            samples = one.read()
            is_timed = is_timed and one.words is not None
            offset_s = start / SAMPLE_RATE
            words += [
                replace(word, start_s=word.start_s + offset_s, end_s=word.end_s + offset_s)
                for word in one.words or ()
            ]
            pieces.append(samples)
            start += len(samples)
        samples = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        return samples, tuple(words) if is_timed else None


def make_items(corpus: Corpus, group: Group, limit: int | None = None) -> list[Item]:
    """The first `limit` utterances of the corpus (None: all), grouped.

    Chapters stand in the order of their first utterances, their utterances in that of their ids.

    Raises:
        InputError: no utterance has a transcript, or chapters are asked for and an id does not
            say which it is of.
    """
    chosen = corpus.utterances[:limit]
    if not any(basic(one.text) for one in chosen):
        raise InputError(
            f"the corpus {corpus.name} has no transcripts: there is nothing to score against; "
            "add a text to each utterance"
        )
    if group == "utterance":
        return [Item(one.id, (one,)) for one in chosen]
    chapters: dict[str, list[tuple[int, Utterance]]] = {}
    for one in chosen:
        place = _CHAPTERED.fullmatch(one.id)
        if place is None:
            raise InputError(
                f"group is 'chapter', but {one.id!r} of {corpus.name} is no id of the form "
                "speaker-chapter-utterance, as LibriSpeech has them; leave it out, or name it so",
                arguments=("group",),
            )
        chapters.setdefault(f"{place[1]}-{place[2]}", []).append((int(place[3]), one))
    return [
        Item(id, tuple(one for _, one in sorted(found, key=lambda pair: pair[0])))
        for id, found in chapters.items()
    ]


def shown_items(items: Sequence[Item], count: int, longest_s: float) -> list[Item]:
    """`count` items to look at closely: spread over those of 3 s to `longest_s`, or over all."""
    lengths = [item.duration_s() for item in items] if count else []
    fitting = [
        item for item, length in zip(items, lengths, strict=False) if 3.0 <= length <= longest_s
    ]
    pool = fitting if len(fitting) >= count else list(items)
    if count <= 0:
        return []
    places = np.linspace(0, len(pool) - 1, min(count, len(pool))).astype(int)
    return [pool[place] for place in dict.fromkeys(places.tolist())]
