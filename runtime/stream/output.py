"""How `decode-stream` writes words: text, JSON lines, subtitles; and a trace of the steps."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

from ...errors import OutputError
from .trace import StepTrace
from .word import Word, joined

if TYPE_CHECKING:
    from pysubs2 import SSAEvent

Format = Literal["text", "jsonl", "srt", "vtt"]

_CUE_LETTERS = 84  # two lines of 42, as broadcasters have it
_CUE_S = 6.0
_CUE_LEAST_S = 1.0
_CUE_GAP_S = 1.0
_SENTENCE_ENDS = (".", "!", "?", "。", "！", "？")


@dataclass(frozen=True)
class StreamEnd:
    """What is known when a stream ends.

    Attributes:
        source: the file, "stdin" or "microphone".
        audio_s: audio received.
        language: None: no speech was found, or the model named none.
        reason: "end", "interrupted", or what is wrong with the input.
    """

    source: str
    audio_s: float
    language: str | None
    reason: str


class Writer(Protocol):
    """Writes one stream."""

    def update(self, words: Sequence[Word], audio_s: float, draft: str) -> None:
        """Take the words committed now (maybe none), after `audio_s` of audio."""
        ...

    def end(self, end: StreamEnd) -> None:
        """The stream is over, and all its words were given."""
        ...


def make_writer(output: Format, file: TextIO | None = None) -> Writer:
    """A writer to `file` (None: stdout)."""
    target: TextIO = sys.stdout if file is None else file
    if output == "jsonl":
        return JsonlWriter(target)
    if output in ("srt", "vtt"):
        return SubtitleWriter(target, output)
    return TerminalWriter(target) if target.isatty() else TextWriter(target)


def in_a_line(text: str) -> str:
    """`text` without what would break a line or drive a terminal. Other white space stays, and
    the joiners that scripts are written with."""
    return "".join(
        c if c.isprintable() or unicodedata.category(c) in ("Zs", "Cf") else " " for c in text
    )


class TextWriter:
    """Plain text, word by word; a line a stream."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._has_begun = False

    def update(self, words: Sequence[Word], audio_s: float, draft: str) -> None:
        """See `Writer`."""
        if words:
            space = words[0].spaced_text[: -len(words[0].text)] if self._has_begun else ""
            self._file.write(in_a_line(space + joined(words)))
            self._file.flush()
            self._has_begun = True

    def end(self, end: StreamEnd) -> None:
        """See `Writer`."""
        if self._has_begun:
            self._file.write("\n")
            self._file.flush()


class TerminalWriter:
    """Text for a person: committed words, and after them the draft, dimmed, which changes."""

    def __init__(self, file: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=file, highlight=False, markup=False)
        self._line = ""
        self._shown: object = None
        self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="visible")
        self._is_live = False

    def update(self, words: Sequence[Word], audio_s: float, draft: str) -> None:
        """See `Writer`."""
        from rich.text import Text

        if not self._is_live:
            self._live.start()
            self._is_live = True
        for word in words:
            # A line that is full is printed for good: only the last one is drawn again.
            added = in_a_line(word.spaced_text)
            added = added if self._line else added.lstrip()
            if self._line and len(self._line + added) >= self._console.width:
                self._live.update(Text(""))  # or the old one would flash up below
                self._live.console.print(Text(self._line))
                self._line, added = "", added.lstrip()
            self._line += added
        shown = Text(self._line)
        if draft:
            shown.append((" " if self._line else "") + in_a_line(draft), style="dim")
        if shown != self._shown:
            self._live.update(shown, refresh=True)
            self._shown = shown

    def end(self, end: StreamEnd) -> None:
        """See `Writer`."""
        if self._is_live:
            self._live.stop()
            self._is_live = False


class JsonlWriter:
    """One JSON object a line: a commit for the words of each step, and one end.

    `emission_time` is the wall time, in seconds, since the stream was opened.
    """

    def __init__(
        self, file: TextIO, *, channel: int | None = None, started: float | None = None
    ) -> None:
        """Write to `file`.

        Args:
            file: others may write lines to it, too.
            channel: goes into each object; None: the recording has none of its own.
            started: the time, by `time.monotonic`, when the stream was opened; None: now.
        """
        self._file = file
        # What an encoding has no place for is valid JSON only as JSON's own escape.
        encoding = (getattr(file, "encoding", None) or "utf-8").lower().replace("-", "")
        self._is_escaped = encoding != "utf8"
        self._start = time.monotonic() if started is None else started
        self._channel = {} if channel is None else {"channel": channel}
        self._words: list[Word] = []

    def update(self, words: Sequence[Word], audio_s: float, draft: str) -> None:
        """See `Writer`."""
        if not words:
            return
        self._words += words
        spoken = [_as_event(word) for word in words]
        self._write(
            {
                "type": "commit",
                **self._channel,
                "words": spoken,
                **self._times(audio_s),
                "draft": draft,
            }
        )

    def end(self, end: StreamEnd) -> None:
        """See `Writer`."""
        self._write(
            {
                "type": "end",
                **self._channel,
                "source": end.source,
                "language": end.language,
                "languages": _languages(self._words),
                "text": joined(self._words),
                **self._times(end.audio_s),
                "reason": end.reason,
            }
        )

    def _times(self, audio_s: float) -> dict[str, float]:
        now = time.monotonic() - self._start
        return {"audio_s": round(audio_s, 3), "emission_time": round(now, 3)}

    def _write(self, event: dict[str, object]) -> None:
        self._file.write(json.dumps(event, ensure_ascii=self._is_escaped) + "\n")
        self._file.flush()


def _languages(words: Sequence[Word]) -> list[str]:
    """Those that are known, in the order in which they were first spoken."""
    return list(dict.fromkeys(word.language for word in words if word.language is not None))


def _as_event(word: Word) -> dict[str, object]:
    event: dict[str, object] = {
        "text": word.text,
        "start": round(word.start_s, 3),
        "end": round(word.end_s, 3),
        "space": word.spaced_text[: -len(word.text)],
    }
    if word.probability is not None:
        event["probability"] = round(word.probability, 4)
    if word.border_distance_s is not None:
        event["border_distance"] = round(word.border_distance_s, 3)
    if word.language is not None:
        event["language"] = word.language
    return event


class SubtitleWriter:
    """SRT or WebVTT, a cue as soon as the next one begins: its length is known from what follows.

    So what ends the program early, a signal or a full disk, costs no cue before it.
    """

    def __init__(self, file: TextIO, output: Literal["srt", "vtt"]) -> None:
        self._subtitles = Subtitles(file, output)
        self._words: list[Word] = []  # from the last cue on that is not written

    def update(self, words: Sequence[Word], audio_s: float, draft: str) -> None:
        """See `Writer`."""
        if not words:
            return
        self._words += words
        if len(made := cues(self._words)) > 1:
            self._subtitles.write(subtitle_events(self._words)[:-1])
            self._words = made[-1]

    def end(self, end: StreamEnd) -> None:
        """See `Writer`."""
        self._subtitles.write(subtitle_events(self._words))


def subtitle_events(words: Sequence[Word], before: str = "") -> list[SSAEvent]:
    """An event for each of the words' cues, with `before` in front of its text."""
    from pysubs2 import SSAEvent

    events = []
    made = cues(words)
    for cue, following in zip_longest(made, made[1:]):
        start_s = cue[0].start_s
        # Long enough to be read, but not into the next.
        until_s = following[0].start_s if following else math.inf
        end_s = max(cue[-1].end_s, min(start_s + _CUE_LEAST_S, until_s))
        event = SSAEvent(start=round(start_s * 1000), end=round(end_s * 1000))
        event.plaintext = before + in_a_line(joined(cue))  # braces would be taken for formatting
        events.append(event)
    return events


class Subtitles:
    """A file of subtitles that grows. Without cues, SRT is empty and WebVTT its first line."""

    def __init__(self, file: TextIO, output: Literal["srt", "vtt"]) -> None:
        self._file = file
        self._output: Literal["srt", "vtt"] = output
        self._count = 0
        self._head = "WEBVTT\n\n" if output == "vtt" else ""

    def write(self, events: Sequence[SSAEvent]) -> None:
        """Add cues, in order."""
        from pysubs2 import SSAFile

        text, self._head = self._head, ""
        for event in events:
            alone = SSAFile()
            alone.append(event)
            self._count += 1
            # It would have the number 1, and in WebVTT a head of its own.
            body = alone.to_string(self._output).removeprefix("WEBVTT\n\n").partition("\n")[2]
            text += f"{self._count}\n{body}"
        if text:
            self._file.write(text)
            self._file.flush()


def cues(words: Sequence[Word]) -> list[list[Word]]:
    """Words in cues: up to 84 letters or 6 s, to a sentence's end or a pause of a second."""
    made: list[list[Word]] = []
    for word in words:
        cue = made[-1] if made else []
        if (
            not cue
            or cue[-1].text.endswith(_SENTENCE_ENDS)
            or word.start_s - cue[-1].end_s > _CUE_GAP_S
            or word.end_s - cue[0].start_s > _CUE_S
            or len(joined([*cue, word])) > _CUE_LETTERS
        ):
            made.append([])
        made[-1].append(word)
    return made


class TraceWriter:
    """The steps of a decoder, one JSON object a line."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._fault: OSError | None = None
        self.source = ""

    def __enter__(self) -> TraceWriter:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file.

        Raises:
            OutputError: a step could not be written. It is told here, so that no word is lost.
        """
        with contextlib.suppress(OSError):  # what is still in its buffer is the step of the fault
            self._file.close()
        if self._fault is not None:
            raise OutputError(
                f"cannot write {self._file.name}: {self._fault.strerror}"
            ) from self._fault

    def __call__(self, trace: StepTrace, channel: int | None = None) -> None:
        """Write one step; after a fault, nothing more."""
        if self._fault is not None:
            return
        of_channel = {} if channel is None else {"channel": channel}
        line = {"source": self.source, **of_channel, **trace.as_dict()}
        try:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            self._fault = error
