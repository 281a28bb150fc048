"""Utterances: audio, transcript and word times; loaders, forced aligners, the bundled demo."""

from __future__ import annotations

from .corpus import Corpus, Skipped
from .load import load_corpus
from .utterance import Utterance, WordTime

__all__ = ["Corpus", "Skipped", "Utterance", "WordTime", "load_corpus"]
