"""Alignment-head discovery and calibration, and AlignAtt streaming, for Qwen3-ASR on MLX."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .calibrate import Calibration, CalibrationFile, calibrate
    from .corpora import Corpus, Utterance, WordTime, load_corpus
    from .discovery import discover_heads
    from .errors import InputError
    from .heads import HeadsFile, load_heads
    from .runtime import DecoderConfig, SpeechModel, StreamDecoder, Transcript, Word

_ROOM_OF_NAME = {
    "Calibration": ".calibrate",
    "CalibrationFile": ".calibrate",
    "Corpus": ".corpora",
    "DecoderConfig": ".runtime",
    "HeadsFile": ".heads",
    "InputError": ".errors",
    "SpeechModel": ".runtime",
    "StreamDecoder": ".runtime",
    "Transcript": ".runtime",
    "Utterance": ".corpora",
    "Word": ".runtime",
    "WordTime": ".corpora",
    "calibrate": ".calibrate",
    "discover_heads": ".discovery",
    "load_corpus": ".corpora",
    "load_heads": ".heads",
}

__all__ = [
    "Calibration",
    "CalibrationFile",
    "Corpus",
    "DecoderConfig",
    "HeadsFile",
    "InputError",
    "SpeechModel",
    "StreamDecoder",
    "Transcript",
    "Utterance",
    "Word",
    "WordTime",
    "calibrate",
    "discover_heads",
    "load_corpus",
    "load_heads",
]


def __getattr__(name: str):
    """Import a public name when it is first used: `import alignheads` loads no engine."""
    if name not in _ROOM_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ROOM_OF_NAME[name], __name__), name)
