"""What a step reads, as tokens and counts. Knows no engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Asked:
    """A prompt, and what is thought to follow it.

    Attributes:
        head: tokens before the audio.
        frames: of audio.
        fixed: tokens between it and the text.
        committed: tokens of the text.
        draft: what is thought to follow.
        samples: of the audio.
    """

    head: Sequence[int]
    frames: int
    fixed: Sequence[int]
    committed: Sequence[int]
    draft: Sequence[int]
    samples: int

    @property
    def text_start(self) -> int:
        """The first position after the audio."""
        return len(self.head) + self.frames

    @property
    def stop(self) -> int:
        """The first position of the draft."""
        return self.text_start + len(self.fixed) + len(self.committed)
