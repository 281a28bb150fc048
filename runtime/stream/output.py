"""How `decode-stream` writes words: text, JSON lines, other formats; and a trace of the steps."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

from ...errors import OutputError
from .cues import CueLayout, in_a_line
from .events import SCHEMA_VERSION, StreamEnd, languages_of, needs_escapes, word_event
from .subtitles import SubtitleWriter
from .timed_output import CtmWriter, DocumentWriter
from .trace import StepTrace
from .word import Word, joined

if TYPE_CHECKING:
    pass

Format = Literal["text", "jsonl", "json", "srt", "vtt", "ctm", "textgrid"]


class Writer(Protocol):
    """Writes one stream."""

    def update(self, words: Sequence[Word], audio_s: float, draft: str) -> None:
        """Take the words committed now (maybe none), after `audio_s` of audio."""
        ...

    def end(self, end: StreamEnd) -> None:
        """The stream is over, and all its words were given."""
        ...


def make_writer(
    output: Format,
    file: TextIO | None = None,
    layout: CueLayout | None = None,
    source: str = "",
) -> Writer:
    """A writer to `file` (None: stdout); `layout` is that of subtitles, `source` named in a CTM."""
    target: TextIO = sys.stdout if file is None else file
    if output == "jsonl":
        return JsonlWriter(target)
    if output in ("srt", "vtt"):
        return SubtitleWriter(target, output, layout)
    if output == "ctm":
        return CtmWriter(target, source)
    if output in ("json", "textgrid"):
        return DocumentWriter(target, output)
    return TerminalWriter(target) if target.isatty() else TextWriter(target)


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

    docs/streaming.md documents the keys; a change of their meaning changes `version`.

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
        self._is_escaped = needs_escapes(file)
        self._start = time.monotonic() if started is None else started
        self._channel = {} if channel is None else {"channel": channel}
        self._words: list[Word] = []

    def update(self, words: Sequence[Word], audio_s: float, draft: str) -> None:
        """See `Writer`."""
        if not words:
            return
        self._words += words
        spoken = [word_event(word) for word in words]
        self._write(
            {
                "type": "commit",
                "version": SCHEMA_VERSION,
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
                "version": SCHEMA_VERSION,
                **self._channel,
                "source": end.source,
                "language": end.language,
                "languages": languages_of(self._words),
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
