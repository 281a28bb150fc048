"""The families of models. A checkpoint's own config.json says which one it is of.

A family is a folder beside this file with two modules: `family.py`, which knows the checkpoint's
files and imports no engine, and `model.py`, whose `load(checkpoint, dtype, task)` gives a
`SpeechModel`. A new family is a line in `FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .qwen3 import family as qwen3
from .whisper import family as whisper


@dataclass(frozen=True)
class Family:
    """One family.

    Attributes:
        name: of its folder.
        title: what people call it.
        known: {short name: hub repository} of its released checkpoints.
        recognises: whether a config.json is of one of its checkpoints.
        check: raises an InputError where a folder with such a config lacks files.
    """

    name: str
    title: str
    known: Mapping[str, str]
    recognises: Callable[[Mapping[str, Any]], bool]
    check: Callable[[Path, Mapping[str, Any]], None]


FAMILIES = (
    Family("qwen3", "Qwen3-ASR", qwen3.KNOWN, qwen3.recognises, qwen3.check),
    Family("whisper", "Whisper", whisper.KNOWN, whisper.recognises, whisper.check),
)
