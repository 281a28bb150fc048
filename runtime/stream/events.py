"""What is told of a stream: its words as JSON has them, and its end. Plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from .word import Word

SCHEMA_VERSION = 1
"""Of the JSON lines and of the JSON document: a key that is added leaves it as it is."""


@dataclass(frozen=True)
class StreamEnd:
    """What is known when a stream ends.

    Attributes:
        source: the file, "stdin" or "microphone".
        audio_s: audio received.
        language: None: no speech was found, or the model named none.
        reason: "end", "interrupted", or what is wrong with the input.
    """

    source: str
    audio_s: float
    language: str | None
    reason: str


def languages_of(words: Sequence[Word]) -> list[str]:
    """Those that are known, in the order in which they were first spoken."""
    return list(dict.fromkeys(word.language for word in words if word.language is not None))


def word_event(word: Word) -> dict[str, object]:
    """A word as JSON has it."""
    event: dict[str, object] = {
        "text": word.text,
        "start": round(word.start_s, 3),
        "end": round(word.end_s, 3),
        "space": word.spaced_text[: -len(word.text)],
    }
    if word.probability is not None:
        event["probability"] = round(word.probability, 4)
    if word.border_distance_s is not None:
        event["border_distance"] = round(word.border_distance_s, 3)
    if word.language is not None:
        event["language"] = word.language
    return event


def needs_escapes(file: TextIO) -> bool:
    """Whether JSON must be ASCII: what an encoding lacks is valid as JSON's escape only."""
    encoding = getattr(file, "encoding", None) or "utf-8"
    return encoding.lower().replace("-", "") != "utf8"
