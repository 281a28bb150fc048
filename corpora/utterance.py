"""The one type every corpus is made of. Knows audio files and word times, no models."""

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
    """One utterance. Audio is read when asked for; `words` are gold times, if the corpus has them.

    `offset_s` and `duration_s` choose a part of the audio file (None: to its end).
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
        """The samples, [n] float32 in -1 to 1, 16 kHz, mono.

        Raises:
            InputError: the file is missing, unreadable, empty, too short or has NaN in it.
        """
        from .audio import read_audio

        return read_audio(self.audio_path, self.offset_s, self.duration_s)
