"""How the words of several channels are written: who speaks is said in each format's own way.

As text, each turn is a line that names its channel. JSON lines have `channel`. Of subtitles, each
cue is of one channel: WebVTT has voice tags for it, SRT gets its name before the text.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

from .channels import LONGEST_HOLD_S, Spoken
from .output import (
    Format,
    JsonlWriter,
    StreamEnd,
    Subtitles,
    cues,
    in_a_line,
    subtitle_events,
)
from .word import Word

if TYPE_CHECKING:
    from pysubs2 import SSAEvent

LONGEST_GAP_S = 1.0 + LONGEST_HOLD_S
"""A word that comes so long after a cue is of another one: `cues` breaks at 1 s, and a word may
have been held back."""


class ChannelWriter(Protocol):
    """Writes the streams of one recording's channels."""

    def update(self, spoken: Sequence[Spoken], audio_s: float, drafts: Sequence[str]) -> None:
        """Take words (maybe none), in the order of time, after `audio_s` of audio."""
        ...

    def end(self, ends: Sequence[StreamEnd]) -> None:
        """All words were given; one end for each channel."""
        ...


def make_channel_writer(output: Format, channels: int, file: TextIO | None = None) -> ChannelWriter:
    """A writer of so many channels to `file` (None: stdout)."""
    target: TextIO = sys.stdout if file is None else file
    if output == "jsonl":
        return ChannelJsonlWriter(target, channels)
    if output in ("srt", "vtt"):
        return ChannelSubtitleWriter(target, output, channels)
    return ChannelTextWriter(target)


def name_of(channel: int) -> str:
    """What a reader is shown."""
    return f"Channel {channel}"


class ChannelTextWriter:
    """`Channel 1: so it was`, a line a turn; of people who speak at once, a line for each step."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._channel: int | None = None

    def update(self, spoken: Sequence[Spoken], audio_s: float, drafts: Sequence[str]) -> None:
        """See `ChannelWriter`."""
        first = {channel: at for at, (channel, _) in reversed(list(enumerate(spoken)))}
        for channel, word in sorted(spoken, key=lambda one: first[one[0]]):
            if channel == self._channel:
                self._file.write(in_a_line(word.spaced_text))
                continue
            end = "" if self._channel is None else "\n"
            self._file.write(f"{end}{name_of(channel)}: {in_a_line(word.text)}")
            self._channel = channel
        if spoken:
            self._file.flush()

    def end(self, ends: Sequence[StreamEnd]) -> None:
        """See `ChannelWriter`."""
        if self._channel is not None:
            self._file.write("\n")
            self._file.flush()


class ChannelJsonlWriter:
    """Commits of one channel each, and an end for each channel."""

    def __init__(self, file: TextIO, channels: int) -> None:
        started = time.monotonic()
        self._writers = [
            JsonlWriter(file, channel=channel, started=started)
            for channel in range(1, channels + 1)
        ]

    def update(self, spoken: Sequence[Spoken], audio_s: float, drafts: Sequence[str]) -> None:
        """See `ChannelWriter`."""
        for channel, turn in groupby(spoken, key=lambda one: one[0]):
            words = [word for _, word in turn]
            self._writers[channel - 1].update(words, audio_s, drafts[channel - 1])

    def end(self, ends: Sequence[StreamEnd]) -> None:
        """See `ChannelWriter`."""
        for writer, end in zip(self._writers, ends, strict=True):
            writer.end(end)


class ChannelSubtitleWriter:
    """Cues of one channel each, by their starts; those of two channels may overlap.

    A cue is written when the next one of its channel has begun, or would not be the same cue, and
    none that starts before it is still open.
    """

    def __init__(self, file: TextIO, output: Literal["srt", "vtt"], channels: int) -> None:
        self._subtitles = Subtitles(file, output)
        self._before = [
            f"<v {name}>" if output == "vtt" else f"{name}: "
            for name in map(name_of, range(1, channels + 1))
        ]
        self._open: list[list[Word]] = [[] for _ in range(channels)]
        self._waiting: list[SSAEvent] = []

    def update(self, spoken: Sequence[Spoken], audio_s: float, drafts: Sequence[str]) -> None:
        """See `ChannelWriter`."""
        for channel, word in spoken:
            self._open[channel - 1].append(word)
        if spoken:
            self._write(spoken[-1][1].start_s)

    def end(self, ends: Sequence[StreamEnd]) -> None:
        """See `ChannelWriter`."""
        self._write(math.inf)

    def _write(self, now_s: float) -> None:
        for channel, words in enumerate(self._open):
            made = cues(words)
            is_over = bool(made) and now_s > made[-1][-1].end_s + LONGEST_GAP_S
            done = len(made) if is_over else len(made) - 1
            if done > 0:
                self._waiting += subtitle_events(words, self._before[channel])[:done]
                self._open[channel] = [] if is_over else made[-1]
        first_ms = min((1000 * words[0].start_s for words in self._open if words), default=math.inf)
        self._waiting.sort(key=lambda event: event.start)
        ready = [event for event in self._waiting if event.start <= first_ms]
        self._waiting = self._waiting[len(ready) :]
        self._subtitles.write(ready)
