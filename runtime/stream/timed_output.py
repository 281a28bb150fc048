"""Formats of word times for other tools: CTM, TextGrid, and one JSON object.

A CTM grows a line a word. The other two need the whole: they are written when the stream ends,
whatever ended it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePath
from typing import TextIO

from .channels import Spoken
from .events import SCHEMA_VERSION, StreamEnd, languages_of, needs_escapes, word_event
from .word import Word, joined


class CtmWriter:
    """`FILE CHANNEL START DURATION WORD CONFIDENCE`, times in seconds, a line a word.

    The form of NIST's sclite. FILE is the name of the audio file without its suffix, in which
    white space becomes `_`, as in words. A confidence that is not known is left out.
    """

    def __init__(self, file: TextIO, source: str) -> None:
        self._file = file
        self._name = _unspaced(PurePath(source).stem or source)

    def update(self, words: Sequence[Word], audio_s: float, draft: str) -> None:
        """See `output.Writer`."""
        self.tell([(1, word) for word in words])

    def tell(self, spoken: Sequence[Spoken]) -> None:
        """Write words, each of its channel."""
        for channel, word in spoken:
            lasts_s = max(word.end_s - word.start_s, 0.0)
            cells = [self._name, str(channel), f"{word.start_s:.3f}", f"{lasts_s:.3f}"]
            cells.append(_unspaced(word.text))
            if word.probability is not None:
                cells.append(f"{word.probability:.4f}")
            self._file.write(" ".join(cells) + "\n")
        if spoken:
            self._file.flush()

    def end(self, end: StreamEnd) -> None:
        """See `output.Writer`."""


class DocumentWriter:
    """What is written when the stream ends, of one channel or several."""

    def __init__(self, file: TextIO, output: str) -> None:
        self._file, self._output = file, output
        self._spoken: list[Spoken] = []

    def update(self, words: Sequence[Word], audio_s: float, draft: str) -> None:
        """See `output.Writer`."""
        self._spoken += [(1, word) for word in words]

    def tell(self, spoken: Sequence[Spoken]) -> None:
        """Take words, each of its channel."""
        self._spoken += spoken

    def end(self, end: StreamEnd) -> None:
        """See `output.Writer`."""
        self._write([end], by_channel=False)

    def end_all(self, ends: Sequence[StreamEnd]) -> None:
        """The same for the channels of a recording."""
        self._write(ends, by_channel=True)

    def _write(self, ends: Sequence[StreamEnd], *, by_channel: bool) -> None:
        if self._output == "textgrid":
            text = as_textgrid(self._spoken, ends, by_channel=by_channel)
        else:
            is_ascii = needs_escapes(self._file)
            text = as_document(self._spoken, ends, by_channel=by_channel, is_ascii=is_ascii)
        self._file.write(text)
        self._file.flush()


def as_document(
    spoken: Sequence[Spoken],
    ends: Sequence[StreamEnd],
    *,
    by_channel: bool,
    is_ascii: bool = False,
) -> str:
    """One JSON object of the whole stream; see docs/streaming.md."""
    words = [word for _, word in spoken]
    channels = {"channels": len(ends)} if by_channel else {}
    events = [
        {**({"channel": channel} if by_channel else {}), **word_event(word)}
        for channel, word in spoken
    ]
    head = {
        "version": SCHEMA_VERSION,
        "source": ends[0].source,
        "audio_s": round(max(end.audio_s for end in ends), 3),
        **channels,
        "language": ends[0].language,
        "languages": languages_of(words),
        "text": joined(words),
        "reason": ends[0].reason,
    }
    lines = [f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=is_ascii)}" for k, v in head.items()]
    rows = ",\n".join("    " + json.dumps(event, ensure_ascii=is_ascii) for event in events)
    lines.append('  "words": [' + (f"\n{rows}\n  ]" if rows else "]"))
    return "{\n" + ",\n".join(lines) + "\n}\n"


def as_textgrid(spoken: Sequence[Spoken], ends: Sequence[StreamEnd], *, by_channel: bool) -> str:
    """A TextGrid of Praat with a tier of words, or one for each channel."""
    end_s = max([*(end.audio_s for end in ends), *(word.end_s for _, word in spoken), 0.001])
    tiers = []
    for channel in range(1, len(ends) + 1):
        name = f"Channel {channel} - words" if by_channel else "words"
        words = [word for one, word in spoken if one == channel]
        tiers.append(_tier(channel, name, _intervals(words, end_s), end_s))
    return (
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
        f"xmin = 0 \nxmax = {end_s:.3f} \ntiers? <exists> \nsize = {len(tiers)} \nitem []: \n"
        + "".join(tiers)
    )


def _tier(number: int, name: str, intervals: Sequence[tuple[float, float, str]], end_s: float):
    text = (
        f'    item [{number}]:\n        class = "IntervalTier" \n        name = "{name}" \n'
        f"        xmin = 0 \n        xmax = {end_s:.3f} \n"
        f"        intervals: size = {len(intervals)} \n"
    )
    for index, (start_s, stop_s, label) in enumerate(intervals, 1):
        label = label.replace('"', '""')
        text += (
            f"        intervals [{index}]:\n            xmin = {start_s:.3f} \n"
            f'            xmax = {stop_s:.3f} \n            text = "{label}" \n'
        )
    return text


def _intervals(words: Sequence[Word], end_s: float) -> list[tuple[float, float, str]]:
    """The words and what lies between, without gaps and overlaps, as Praat asks for."""
    found: list[tuple[float, float, str]] = []
    at_s = 0.0
    ordered = sorted(words, key=lambda word: word.start_s)
    for index, word in enumerate(ordered):
        start_s = round(max(word.start_s, at_s), 3)
        following_s = ordered[index + 1].start_s if index + 1 < len(ordered) else end_s
        stop_s = round(max(min(word.end_s, max(following_s, start_s)), start_s + 0.001), 3)
        if start_s > at_s:
            found.append((at_s, start_s, ""))
        found.append((start_s, stop_s, " ".join(word.text.split())))
        at_s = stop_s
    if at_s < round(end_s, 3):
        found.append((at_s, round(end_s, 3), ""))
    return found


def _unspaced(text: str) -> str:
    return "_".join(text.split()) or "_"
