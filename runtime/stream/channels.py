"""The channels of one recording: a stream each, and their words in the order of time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

import numpy as np

from .decoder import StreamDecoder
from .word import Word

LONGEST_HOLD_S = 2.0
"""No word waits longer, in audio, for an earlier one of another channel."""

Spoken = tuple[int, Word]
"""A word and its channel, counted from 1."""


class ChannelStreams:
    """Streams that are fed together.

    A word that is committed waits while another channel holds back a word that starts before it,
    so that words come out in the order of their starts, as far as these are known by then.

    Attributes:
        streams: of the channels, in order.
    """

    def __init__(self, open_stream: Callable[[int], StreamDecoder], channels: int) -> None:
        """Open a stream for each channel from 1 to `channels`."""
        self.streams = [open_stream(channel) for channel in range(1, channels + 1)]
        self._waiting: list[tuple[float, int, int, Word]] = []
        self._count = 0

    @property
    def received_s(self) -> float:
        """Seconds of audio received in each channel."""
        return min(stream.received_s for stream in self.streams)

    @property
    def drafts(self) -> list[str]:
        """What may still change, of each channel."""
        return [stream.draft for stream in self.streams]

    def feed(self, samples: np.ndarray) -> list[Spoken]:
        """Take samples [n, channels], and return the words that can be told now."""
        for channel, stream in enumerate(self.streams, 1):
            self._keep(channel, stream.feed(np.ascontiguousarray(samples[:, channel - 1])))
        return self._told()

    def finish(self) -> list[Spoken]:
        """No more audio comes: what is left of all channels."""
        for channel, stream in enumerate(self.streams, 1):
            self._keep(channel, stream.finish())
        return self._told(is_last=True)

    def _keep(self, channel: int, words: Sequence[Word]) -> None:
        for word in words:
            self._count += 1
            heapq.heappush(self._waiting, (word.start_s, channel, self._count, word))

    def _told(self, *, is_last: bool = False) -> list[Spoken]:
        known_s = min(stream.next_from_s for stream in self.streams)
        told: list[Spoken] = []
        while self._waiting:
            start_s, channel, _, word = self._waiting[0]
            waits_s = self.received_s - min(one.emitted_s for *_, one in self._waiting)
            if not (is_last or start_s <= known_s or waits_s > LONGEST_HOLD_S):
                break
            heapq.heappop(self._waiting)
            told.append((channel, word))
        return told
