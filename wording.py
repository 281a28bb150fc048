"""How counts are worded in messages and figures, and where long lines are broken."""

from __future__ import annotations

import textwrap


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """`1 clip`, `2,000 clips`; `plural` where it is not the noun with an s."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def wrapped(text: str, width: int, indent: str = "") -> str:
    """`text` in lines of at most `width`, but for longer words; all but the first one indented."""
    return "\n".join(
        textwrap.wrap(
            text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
    )
