"""How the words of several channels are written: who speaks is said in each format's own way.

As text, each turn is a line that names its channel. JSON lines have `channel`. Of subtitles, each
cue is of one channel: WebVTT has voice tags for it, SRT gets its name before the text. A CTM has a
column, a TextGrid a tier, and JSON a key for it.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from itertools import groupby
from typing import Literal, Protocol, TextIO

from .channels import LONGEST_HOLD_S, Spoken
from .cues import PAUSE_S, Cue, CueLayout, in_a_line, laid_out
from .output import Format, JsonlWriter, StreamEnd
from .subtitles import Subtitles
from .timed_output import CtmWriter, DocumentWriter
from .word import Word

LONGEST_GAP_S = PAUSE_S + LONGEST_HOLD_S
"""A word that comes so long after a cue is of another one: a pause ends a cue, and a word may
have been held back."""


class ChannelWriter(Protocol):
    """Writes the streams of one recording's channels."""

    def update(self, spoken: Sequence[Spoken], audio_s: float, drafts: Sequence[str]) -> None:
        """Take words (maybe none), in the order of time, after `audio_s` of audio."""
        ...

    def end(self, ends: Sequence[StreamEnd]) -> None:
        """All words were given; one end for each channel."""
        ...


def make_channel_writer(
    output: Format,
    channels: int,
    file: TextIO | None = None,
    layout: CueLayout | None = None,
    source: str = "",
) -> ChannelWriter:
    """A writer of so many channels to `file` (None: stdout); see `output.make_writer`."""
    target: TextIO = sys.stdout if file is None else file
    if output == "jsonl":
        return ChannelJsonlWriter(target, channels)
    if output in ("srt", "vtt"):
        return ChannelSubtitleWriter(target, output, channels, layout)
    if output == "ctm":
        return ChannelTimedWriter(CtmWriter(target, source))
    if output in ("json", "textgrid"):
        return ChannelTimedWriter(DocumentWriter(target, output))
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

    def __init__(
        self,
        file: TextIO,
        output: Literal["srt", "vtt"],
        channels: int,
        layout: CueLayout | None = None,
    ) -> None:
        self._layout = layout or CueLayout()
        self._subtitles = Subtitles(file, output)
        self._leads = [
            "" if output == "vtt" else f"{name_of(channel)}: " for channel in range(1, channels + 1)
        ]
        self._open: list[list[Word]] = [[] for _ in range(channels)]
        self._waiting: list[tuple[Cue, str]] = []

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
            made = laid_out(words, self._layout, self._leads[channel])
            is_over = bool(made) and now_s > made[-1].words[-1].end_s + LONGEST_GAP_S
            done = len(made) if is_over else len(made) - 1
            if done > 0:
                self._waiting += [(cue, name_of(channel + 1)) for cue in made[:done]]
                self._open[channel] = [] if is_over else list(made[-1].words)
        first_s = min((words[0].start_s for words in self._open if words), default=math.inf)
        self._waiting.sort(key=lambda one: one[0].start_s)
        ready = [one for one in self._waiting if one[0].start_s <= first_s]
        self._waiting = self._waiting[len(ready) :]
        self._subtitles.write([cue for cue, _ in ready], [name for _, name in ready])


class ChannelTimedWriter:
    """CTM, TextGrid and JSON have the channel in their own way."""

    def __init__(self, writer: CtmWriter | DocumentWriter) -> None:
        self._writer = writer

    def update(self, spoken: Sequence[Spoken], audio_s: float, drafts: Sequence[str]) -> None:
        """See `ChannelWriter`."""
        self._writer.tell(spoken)

    def end(self, ends: Sequence[StreamEnd]) -> None:
        """See `ChannelWriter`."""
        if isinstance(self._writer, DocumentWriter):
            self._writer.end_all(ends)
