"""Forced aligners: word times from audio and its transcript. `Aligner` is their protocol."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ..errors import InputError
from .utterance import WordTime


class AlignmentFailed(Exception):
    """One utterance cannot be aligned; others may be. The message gives the reason."""


class Aligner(Protocol):
    """The interface of a forced aligner.

    `name` and `version` are written into results and cache keys. The `version` must change with
    anything that changes the word times: library, model and settings.
    """

    @property
    def name(self) -> str:
        """The name that `runtime.models.aligners.make_aligner` takes."""
        ...

    @property
    def version(self) -> str:
        """The versions of the library, the model and the settings, as text."""
        ...

    def align(self, samples: np.ndarray, text: str, language: str | None) -> list[WordTime]:
        """The times of the words of `text`, in its order and in its spelling.

        Words without a letter or digit, and words that the aligner cannot pronounce, are left out.

        Args:
            samples: [n] float32, 16 kHz.
            text: the transcript.
            language: the name that the model uses, such as "English", or None.

        Raises:
            AlignmentFailed: this utterance cannot be aligned.
            InputError: the aligner cannot be used at all.
        """
        ...


class GoldAligner:
    """The word times that come with the corpus. `align_utterances` reads them from there."""

    name = "gold"
    version = "1"

    def align(self, samples: np.ndarray, text: str, language: str | None) -> list[WordTime]:
        """Always raises an InputError: gold times belong to an utterance, not to samples."""
        raise InputError("gold word times come with the corpus; for others choose qwen3")
