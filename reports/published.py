"""The figures that others have published, bundled with their source; no results of ours."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class PublishedPoint:
    """One system as published. `wer_percent` is a percentage; None: not stated.

    `runs_here` is whether its model is of a family that can be run here, too. `unit` is what was
    decoded in one piece: "utterance", "chapter", "talk" or "not stated".
    """

    runs_here: bool
    system: str
    hardware: str
    set: str
    corpus: str
    unit: str
    samples: int | None
    audio_s: float | None
    wer_percent: float
    rtf: float
    first_word_s: float | None


@dataclass(frozen=True)
class Published:
    """All of them, where they are from, and what to know before comparing."""

    source: str
    notes: tuple[str, ...]
    points: tuple[PublishedPoint, ...]


@cache
def published() -> Published:
    """The bundled figures."""
    content = json.loads(Path(__file__).with_name("published.json").read_text(encoding="utf-8"))
    points = tuple(PublishedPoint(**point) for point in content["points"])
    return Published(content["source"], tuple(content["notes"]), points)


def corpus_title(name: str) -> str:
    """A corpus as the tables call it: `librispeech:test-clean` is `LibriSpeech test-clean`."""
    family, _, split = name.partition(":")
    return f"LibriSpeech {split}" if family == "librispeech" and split else name
