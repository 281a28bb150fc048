"""`Utterance`, the type that every corpus consists of. Knows audio files and word times only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class WordTime:
    """A word and when it is spoken, in seconds from the start of its utterance."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Utterance:
    """One utterance: where its audio is, its transcript, and its word times.

    Audio is read by `read`, not before. `words` are gold word times, or None if there are none.
    `offset_s` and `duration_s` select a part of the audio file (a duration of None: to its end).
    """

    id: str
    audio_path: Path
    text: str
    language: str | None = None
    words: tuple[WordTime, ...] | None = None
    speaker: str | None = None
    offset_s: float = 0.0
    duration_s: float | None = None

    def read(self) -> np.ndarray:
        """The samples: [n] float32, -1 to 1, 16 kHz, mono.

        Raises:
            InputError: the file is missing, unreadable, empty or too short, or has NaN samples.
        """
        from .audio import read_audio

        return read_audio(self.audio_path, self.offset_s, self.duration_s)
