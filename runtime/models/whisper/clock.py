"""A clock of frames that are all equally long."""

from __future__ import annotations

from dataclasses import dataclass

from ....corpora.audio import SAMPLE_RATE


@dataclass(frozen=True)
class EvenClock:
    """See `FrameClock`. A frame that has begun counts only once all of it was heard."""

    per_s: int

    def count(self, samples: int) -> int:
        """See `FrameClock`."""
        return samples * self.per_s // SAMPLE_RATE

    def span_s(self, frame: int) -> tuple[float, float]:
        """See `FrameClock`."""
        return frame / self.per_s, (frame + 1) / self.per_s

    def frames(self, seconds: float) -> float:
        """See `FrameClock`."""
        return seconds * self.per_s
