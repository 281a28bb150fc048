"""`Utterance`, the type that every corpus consists of. Knows audio files and word times only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError


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
    `audio_url` is where the audio comes from if it is in object storage; `audio_path` is its copy
    on this disk.
    """

    id: str
    audio_path: Path
    text: str
    language: str | None = None
    words: tuple[WordTime, ...] | None = None
    speaker: str | None = None
    offset_s: float = 0.0
    duration_s: float | None = None
    audio_url: str | None = None

    def read(self) -> np.ndarray:
        """The samples: [n] float32, -1 to 1, 16 kHz, mono.

        Raises:
            InputError: the file is missing, unreadable, empty or too short, or has NaN samples.
        """
        from .audio import read_audio

        try:
            return read_audio(self.audio_path, self.offset_s, self.duration_s)
        except InputError as error:
            raise InputError(self.told(str(error))) from error

    def told(self, message: str) -> str:
        """`message` with the address of audio from storage in place of its copy's path."""
        if self.audio_url is None:
            return message
        return message.replace(str(self.audio_path), self.audio_url)
