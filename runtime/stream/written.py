"""One stream, or those of a recording's channels, with the writer of its words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from .channel_output import make_channel_writer
from .channels import ChannelStreams
from .cues import CueLayout
from .decoder import StreamDecoder
from .output import Format, StreamEnd, make_writer


class Written(Protocol):
    """Audio goes in, and what is said is written."""

    @property
    def received_s(self) -> float:
        """Seconds of audio received."""
        ...

    def feed(self, block: np.ndarray) -> None:
        """Decode and write."""
        ...

    def finish(self) -> None:
        """No more audio comes: decode and write what is left."""
        ...

    def end(self, source: str, reason: str) -> None:
        """Write the end; see `output.StreamEnd`."""
        ...


class WrittenStream:
    """One stream."""

    def __init__(
        self,
        stream: StreamDecoder,
        output: Format,
        layout: CueLayout | None = None,
        source: str = "",
    ) -> None:
        self._stream = stream
        self._writer = make_writer(output, layout=layout, source=source)

    @property
    def received_s(self) -> float:
        """See `Written`."""
        return self._stream.received_s

    def feed(self, block: np.ndarray) -> None:
        """See `Written`; `block` is [n]."""
        words = self._stream.feed(block)
        self._writer.update(words, self.received_s, self._stream.draft)

    def finish(self) -> None:
        """See `Written`."""
        self._writer.update(self._stream.finish(), self.received_s, "")

    def end(self, source: str, reason: str) -> None:
        """See `Written`."""
        self._writer.end(StreamEnd(source, self.received_s, self._stream.language, reason))


class WrittenChannels:
    """A stream for each channel."""

    def __init__(
        self,
        open_stream: Callable[[int], StreamDecoder],
        channels: int,
        output: Format,
        layout: CueLayout | None = None,
        source: str = "",
    ) -> None:
        self._channels = ChannelStreams(open_stream, channels)
        self._writer = make_channel_writer(output, channels, layout=layout, source=source)

    @property
    def received_s(self) -> float:
        """See `Written`."""
        return self._channels.received_s

    def feed(self, block: np.ndarray) -> None:
        """See `Written`; `block` is [n, channels]."""
        spoken = self._channels.feed(block)
        self._writer.update(spoken, self.received_s, self._channels.drafts)

    def finish(self) -> None:
        """See `Written`."""
        spoken = self._channels.finish()
        self._writer.update(spoken, self.received_s, self._channels.drafts)

    def end(self, source: str, reason: str) -> None:
        """See `Written`."""
        streams = self._channels.streams
        self._writer.end([StreamEnd(source, s.received_s, s.language, reason) for s in streams])
