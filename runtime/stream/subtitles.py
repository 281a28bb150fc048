"""SRT and WebVTT, written as words come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TextIO

from .cues import Cue, CueLayout, cues, laid_out
from .word import Word

if TYPE_CHECKING:
    from .output import StreamEnd


class SubtitleWriter:
    """A cue as soon as the next one begins: its length is known from what follows.

    So what ends the program early, a signal or a full disk, costs no cue before it.
    """

    def __init__(
        self, file: TextIO, output: Literal["srt", "vtt"], layout: CueLayout | None = None
    ) -> None:
        self._layout = layout or CueLayout()
        self._subtitles = Subtitles(file, output)
        self._words: list[Word] = []  # from the last cue on that is not written

    def update(self, words: Sequence[Word], audio_s: float, draft: str) -> None:
        """See `output.Writer`."""
        if not words:
            return
        self._words += words
        made = laid_out(self._words, self._layout)
        if len(made) > 1:
            self._subtitles.write(made[:-1])
            self._words = list(made[-1].words)

    def end(self, end: StreamEnd) -> None:
        """See `output.Writer`."""
        self._subtitles.write(laid_out(self._words, self._layout))


class Subtitles:
    """A file of subtitles that grows. Without cues, SRT is empty and WebVTT its first line."""

    def __init__(self, file: TextIO, output: Literal["srt", "vtt"]) -> None:
        self._file = file
        self._output: Literal["srt", "vtt"] = output
        self._count = 0
        self._head = "WEBVTT\n\n" if output == "vtt" else ""

    def write(self, cues: Sequence[Cue], voices: Sequence[str] = ()) -> None:
        """Add cues, in order. In WebVTT, `voices` name who speaks in each."""
        from pysubs2 import SSAEvent, SSAFile

        text, self._head = self._head, ""
        for at, cue in enumerate(cues):
            start_ms, end_ms = round(cue.start_s * 1000), round(cue.end_s * 1000)
            event = SSAEvent(start=start_ms, end=max(end_ms, start_ms + 1))
            voice = f"<v {voices[at]}>" if voices and self._output == "vtt" else ""
            event.plaintext = voice + "\n".join(cue.lines)  # braces would be taken for formatting
            alone = SSAFile()
            alone.append(event)
            self._count += 1
            # It would have the number 1, and in WebVTT a head of its own.
            body = alone.to_string(self._output).removeprefix("WEBVTT\n\n").partition("\n")[2]
            text += f"{self._count}\n{body}"
        if text:
            self._file.write(text)
            self._file.flush()


__all__ = ["Cue", "CueLayout", "SubtitleWriter", "Subtitles", "cues", "laid_out"]
