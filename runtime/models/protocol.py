"""What a model would say next, and where its heads looked: the seam under `StreamDecoder`.

`incremental.py` asks a model; others may answer from memory. No engine here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Hypothesis:
    """What the model would say after the committed text, given the buffer.

    Attributes:
        token_ids: [tokens], without the end token.
        frames: [tokens + 1, heads], the audio frame each head attended to when the token was
            predicted; the last row is the end token's, absent if it did not come.
        audio_frames: frames in the buffer.
        ended: the model wrote the end token (else: budget or repetition).
        weights: [rows of frames, heads, audio_frames] float32, each head's attention over the
            audio, normalised to 1; None unless it was asked for. The aggregate "mean" needs it.
    """

    token_ids: tuple[int, ...]
    frames: np.ndarray
    audio_frames: int
    ended: bool
    weights: np.ndarray | None = None


class HypothesisSource(Protocol):
    """What a `StreamDecoder` asks for hypotheses: a model, or a memory of one."""

    def reset(self) -> None:
        """A new stream starts."""
        ...

    def drop(self, samples: int) -> None:
        """The buffer's first `samples`, a whole number of 10 ms, have left it."""
        ...

    def hypothesis(
        self,
        samples: np.ndarray,
        lead: int,
        committed_ids: Sequence[int],
        language: str | None,
        context: str = "",
    ) -> Hypothesis:
        """Greedy continuation of `committed_ids` given the buffer.

        Args:
            samples: [lead + n] float32, 16 kHz mono: `lead` samples of the audio before the
                buffer (0, or enough for the first mel frames), then the buffer.
            lead: see above.
            committed_ids: text tokens already committed whose audio is in the buffer; with
                no `language`, preceded by the answer's own head.
            language: canonical name, or None while it is not known.
            context: earlier text, for the system prompt.
        """
        ...
