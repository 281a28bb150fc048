"""Where in a stream words lie, by the frames that their tokens attended to.

Knows frames and seconds; nothing of decoding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...corpora.audio import SAMPLE_RATE
from ..models.protocol import FrameClock
from ..policy.spent import LEAST_WORD_S
from ..policy.words import TokenWord
from .audio_buffer import AudioBuffer


class Places:
    """Of the frames of one buffer. Frames may lie between two, as a median of heads may."""

    def __init__(self, clock: FrameClock, audio: AudioBuffer, margin_s: float) -> None:
        """`margin_s`: a word begins so much before where it was looked at, and ends after it."""
        self._clock, self._audio, self._margin_s = clock, audio, margin_s

    def attended_s(self, frame: float) -> tuple[float, float]:
        """Start and end of a frame in the buffer."""
        below = math.floor(frame)
        spans_s = self._clock.span_s(below), self._clock.span_s(math.ceil(frame))
        share = frame - below
        start_s, end_s = (one + share * (other - one) for one, other in zip(*spans_s, strict=True))
        return start_s, end_s

    def middle_s(self, frame: float) -> float:
        """The middle of a frame in the stream."""
        return self._audio.start_s + sum(self.attended_s(frame)) / 2

    def looked_s(
        self, word: TokenWord, frames: Sequence[float], *, after: int | None = None
    ) -> tuple[float, float]:
        """Start of the frame that a word's first token looked at, end of that of its last.

        Args:
            word: of a hypothesis.
            frames: of its tokens.
            after: white space before it, in tokens from here on, is of it.
        """
        first, last = (frames[word.tokens[place]] for place in (0, -1))
        if after is not None and after < word.tokens.start:
            first = min(first, frames[after])
        offset_s = self._audio.start_s
        start_s, end_s = self.attended_s(first)[0], self.attended_s(max(first, last))[1]
        return offset_s + start_s, offset_s + end_s

    def span_s(self, word: TokenWord, frames: Sequence[float]) -> tuple[float, float]:
        """When a word is spoken, by where its first and its last token looked."""
        start_s, end_s = self.looked_s(word, frames)
        return max(0.0, start_s - self._margin_s), end_s + self._margin_s

    def shifted(self, frame: float | None, gone: int) -> float | None:
        """Where a frame is once so many samples of the buffer's front have gone."""
        if frame is None:
            return None
        return self._clock.frames(self.attended_s(frame)[0] - gone / SAMPLE_RATE)


def in_turn(
    spans_s: Sequence[tuple[float, float]], count: int, after_s: float, until_s: float
) -> list[tuple[float, float]]:
    """The first `count` of `spans_s`, start and end of words: one after the other.

    All are later than `after_s`, none ends later than `until_s` or than where the next begins,
    and none is shorter than a word can be, as far as there is room.
    """
    least_s = min(LEAST_WORD_S, max(0.0, until_s - after_s) / max(1, count))
    placed = []
    for index in range(count):
        start_s, end_s = spans_s[index]
        last_s = until_s - (count - 1 - index) * least_s  # the others need the rest
        if index + 1 < len(spans_s):
            end_s = min(end_s, spans_s[index + 1][0])
        start_s = max(after_s, min(start_s, last_s - least_s))
        end_s = max(start_s + least_s, min(end_s, last_s))
        placed.append((start_s, end_s))
        after_s = end_s
    return placed
