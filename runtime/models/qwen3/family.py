"""The files of a Qwen3-ASR checkpoint: which configs are of this family, and what must be there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....errors import InputError
from ..files import check_shards

KNOWN = {"0.6b": "Qwen/Qwen3-ASR-0.6B", "1.7b": "Qwen/Qwen3-ASR-1.7B"}
_TOKENIZER_FILES = ("vocab.json", "merges.txt", "tokenizer_config.json")


def recognises(config: Mapping[str, Any]) -> bool:
    """Whether a config.json describes a Qwen3-ASR model."""
    thinker = config.get("thinker_config")
    parts = ("audio_config", "text_config")
    return isinstance(thinker, dict) and all(isinstance(thinker.get(p), dict) for p in parts)


def check(folder: Path, config: Mapping[str, Any]) -> None:
    """Make sure that the files of a speech recogniser are in `folder`.

    Raises:
        InputError: a file is missing, or it is a forced aligner.
    """
    if config["thinker_config"].get("classify_num") or config.get("classify_num"):
        raise InputError(f"{folder} is a forced aligner, not a speech recogniser")
    for name in _TOKENIZER_FILES:
        if not (folder / name).is_file():
            raise InputError(f"{folder} lacks {name}, a file of the tokenizer")
    check_shards(folder)
