"""Writes what NIST's scoring tools (SCTK) read: CTM lines of hypotheses, STM lines of references.

CTM: `FILE CHANNEL START DURATION WORD [CONFIDENCE]`, sorted by file, channel and start.
STM: `FILE CHANNEL SPEAKER START END TEXT`. Times are seconds, to the millisecond. Both are split at
white space, so none stands inside of a field.
"""

from __future__ import annotations

CHANNEL = "1"
"""Of a recording with one channel."""
_COMMENT = ";;"


def ctm_line(
    file: str,
    start_s: float,
    end_s: float,
    word: str,
    confidence: float | None = None,
    channel: str = CHANNEL,
) -> str:
    """One word, without a newline. A confidence of None is left out."""
    cells = [field(file), field(channel), f"{start_s:.3f}", f"{max(0.0, end_s - start_s):.3f}"]
    cells.append(field(word))
    if confidence is not None:
        cells.append(f"{confidence:.4f}")
    return " ".join(cells)


def stm_line(
    file: str,
    start_s: float,
    end_s: float,
    text: str,
    speaker: str | None = None,
    channel: str = CHANNEL,
) -> str:
    """One segment, without a newline. Without a speaker the file stands for one."""
    who = field(speaker or file)
    place = f"{field(file)} {field(channel)} {who} {start_s:.3f} {end_s:.3f}"
    return " ".join([place, *text.split()])


def field(text: str) -> str:
    """`text` as one field: `_` for white space, and before what would make the line a comment."""
    joined = "_".join(text.split()) or "_"
    return "_" + joined if joined.startswith(_COMMENT) else joined
