"""The model edge (MLX), attention capture, and the streaming decoder."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ..openblas import prefer_openblas

prefer_openblas()  # here, since every module of this room, and so every import of MLX, comes after

if TYPE_CHECKING:
    from .config import DecoderConfig
    from .model import SpeechModel, Transcript
    from .stream import StreamDecoder, Word

_MODULE_OF_NAME = {
    "DecoderConfig": ".config",
    "SpeechModel": ".model",
    "StreamDecoder": ".stream",
    "Transcript": ".model",
    "Word": ".stream",
}

__all__ = ["DecoderConfig", "SpeechModel", "StreamDecoder", "Transcript", "Word"]


def __getattr__(name: str):
    """Import the engine when it is first needed."""
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF_NAME[name], __name__), name)
