"""Scores of heads from attention and word times, and the heads file they lead to."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .discover import discover_heads

__all__ = ["discover_heads"]


def __getattr__(name: str):
    """Import the engine when it is first needed."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(".discover", __name__), name)
