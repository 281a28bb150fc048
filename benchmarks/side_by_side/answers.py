"""What contestants gave out, step by step, made into words with the times at which they came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import Field
from shown import rewrites, settled

from alignheads.corpora.matching import normalised, plain_text
from alignheads.evaluate.latency import CommittedWord, compute_lags
from alignheads.evaluate.record import Count, Record, Seconds

Piece = tuple[str, float | None, float | None]


class Step(Record):
    """See `protocol.py`."""

    audio_s: Seconds
    wall_s: Seconds
    pieces: tuple[Piece, ...]
    shown: str | None = None


class Answer(Record):
    """One utterance."""

    id: str
    audio_s: Seconds
    steps: tuple[Step, ...]

    @property
    def wall_s(self) -> float:
        """Seconds of computing."""
        return sum(step.wall_s for step in self.steps)


class Answers(Record):
    """One contestant's file: what it was asked, and its answers.

    `settings` are compared when a run goes on; `about` says what it ran on.
    """

    name: str
    settings: dict[str, Any]
    about: dict[str, Any]
    answers: Annotated[tuple[Answer, ...], Field(min_length=1)]


class Emitted(Record):
    """Words as they came, and how many of them came in two or more pieces."""

    words: tuple[CommittedWord, ...]
    cut_words: Count
    has_times: bool

    @property
    def text(self) -> str:
        """The words, with single spaces between."""
        return " ".join(word.text for word in self.words)


class _Part(NamedTuple):
    """A word, or a part of one that came alone; `step` is an index."""

    text: str
    start_s: float | None
    end_s: float | None
    step: int


def emitted(steps: Sequence[Step]) -> Emitted:
    """Put the pieces together: a word begins after white space, wherever pieces end.

    A word is there when its last letter is: punctuation that comes later does not delay it, and
    does not cut it.
    """
    lags, words, cut = _lags(steps), [], 0
    for parts in _words(steps):
        spoken = [part for part in parts if normalised(part.text)] or parts
        cut += len({part.step for part in spoken}) > 1
        at = spoken[-1].step
        words.append(
            CommittedWord(
                text="".join(part.text for part in parts),
                start_s=parts[0].start_s or 0.0,
                end_s=parts[-1].end_s or 0.0,
                emitted_s=steps[at].audio_s,
                lag_s=lags[at],
            )
        )
    has_times = any(start_s is not None for step in steps for _, start_s, _ in step.pieces)
    return Emitted(words=tuple(words), cut_words=cut, has_times=has_times)


def _words(steps: Sequence[Step]) -> list[list[_Part]]:
    """The parts of each word."""
    words: list[list[_Part]] = []
    ended = True  # whether the last word is over
    for index, step in enumerate(steps):
        for text, start_s, end_s in step.pieces:
            ended |= text[:1].isspace()
            for part in text.split():
                if ended:
                    words.append([])
                words[-1].append(_Part(part, start_s, end_s, index))
                ended = True
            ended = text[-1].isspace() if text else ended
    return words


def in_hindsight(steps: Sequence[Step]) -> Emitted:
    """The words of the text shown last, each from when on it and all before it stayed."""
    texts = [step.shown or "" for step in steps]
    plain = [" ".join(normalised(word) or word for word in text.split()) for text in texts]
    lags = _lags(steps)
    words = [
        CommittedWord(
            text=word, start_s=0.0, end_s=0.0, emitted_s=steps[at].audio_s, lag_s=lags[at]
        )
        for word, at in zip(texts[-1].split(), settled(plain), strict=True)
    ]
    return Emitted(words=tuple(words), cut_words=0, has_times=False)


def changes(steps: Sequence[Step]) -> int:
    """How often words that had been shown were others, or gone, a step later."""
    return rewrites([plain_text(step.shown or "") for step in steps])


def _lags(steps: Sequence[Step]) -> list[float]:
    return compute_lags([step.audio_s for step in steps], [step.wall_s for step in steps])
