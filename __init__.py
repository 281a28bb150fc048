"""Alignment-head discovery and calibration, and AlignAtt streaming, for Qwen3-ASR on MLX."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .calibrate.calibration import Calibration, calibrate_decoder
    from .calibrate.result import CalibrationFile
    from .corpora import Corpus, Utterance, WordTime, load_corpus
    from .discovery.discover import discover_heads
    from .errors import InputError
    from .evaluate.benchmark import benchmark_decoder
    from .heads import HeadsFile, load_heads
    from .reports.page.report import render_report
    from .runtime.models.model import SpeechModel, Transcript
    from .runtime.stream.config import DecoderConfig
    from .runtime.stream.decoder import StreamDecoder
    from .runtime.stream.word import Word

_MODULE_OF_NAME = {
    "Calibration": ".calibrate.calibration",
    "CalibrationFile": ".calibrate.result",
    "Corpus": ".corpora",
    "DecoderConfig": ".runtime.stream.config",
    "HeadsFile": ".heads",
    "InputError": ".errors",
    "SpeechModel": ".runtime.models.model",
    "StreamDecoder": ".runtime.stream.decoder",
    "Transcript": ".runtime.models.model",
    "Utterance": ".corpora",
    "Word": ".runtime.stream.word",
    "WordTime": ".corpora",
    "benchmark_decoder": ".evaluate.benchmark",
    "calibrate_decoder": ".calibrate.calibration",
    "discover_heads": ".discovery.discover",
    "load_corpus": ".corpora",
    "load_heads": ".heads",
    "render_report": ".reports.page.report",
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
    "benchmark_decoder",
    "calibrate_decoder",
    "discover_heads",
    "load_corpus",
    "load_heads",
    "render_report",
]


def __getattr__(name: str):
    """Import a public name when it is first used: `import alignheads` loads no engine."""
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF_NAME[name], __name__), name)


def __dir__() -> list[str]:
    """The public names, also those that have not been imported yet."""
    return sorted({*globals(), *__all__})
