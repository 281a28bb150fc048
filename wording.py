"""How counts are worded in messages and figures."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """`1 clip`, `2,000 clips`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
