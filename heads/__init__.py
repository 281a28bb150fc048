"""The heads file: schema, load, save, and the bundled files."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .load import load_heads
    from .schema import AlignmentHead, CorpusInfo, HeadGroup, HeadsFile, Interval, Ranking

__all__ = [
    "AlignmentHead",
    "CorpusInfo",
    "HeadGroup",
    "HeadsFile",
    "Interval",
    "Ranking",
    "load_heads",
]


def __getattr__(name: str):
    """Import the schema when it is first needed: `heads-info --help` needs none."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(".load" if name == "load_heads" else ".schema", __name__), name)
