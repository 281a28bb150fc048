"""Utterances: audio, transcript and word times; loaders, forced aligners, the bundled demo."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .corpus import Corpus, Skipped
    from .load import load_corpus
    from .utterance import Utterance, WordTime

_MODULE_OF_NAME = {
    "Corpus": ".corpus",
    "Skipped": ".corpus",
    "Utterance": ".utterance",
    "WordTime": ".utterance",
    "load_corpus": ".load",
}

__all__ = ["Corpus", "Skipped", "Utterance", "WordTime", "load_corpus"]


def __getattr__(name: str):
    """Import a public name when it is first used: `align-corpus --help` needs no numpy."""
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF_NAME[name], __name__), name)
