"""The decoder as a backend of WhisperLiveKit, a live transcription server."""

from __future__ import annotations

from .backend import BACKEND
from .server import PROGRAM, check_version, register, serve

__all__ = ["BACKEND", "PROGRAM", "check_version", "register", "serve"]
