"""The files of a Qwen3-ASR checkpoint: which configs are of this family, and what must be there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....errors import InputError
from ..weight_files import find_weights
from .layout import thinker_of

KNOWN = {"0.6b": "Qwen/Qwen3-ASR-0.6B", "1.7b": "Qwen/Qwen3-ASR-1.7B"}
TOKENIZER = "tokenizer.json"
_OLD_TOKENIZER = ("vocab.json", "merges.txt", "tokenizer_config.json")


def recognises(config: Mapping[str, Any]) -> bool:
    """Whether a config.json describes a Qwen3-ASR model, in any of its layouts."""
    thinker = thinker_of(config)
    if thinker is None:
        return False
    kinds = [config.get("model_type"), *(config.get("architectures") or [])]
    kinds += [thinker["audio_config"].get("model_type")]
    named = [str(kind).lower().replace("_", "") for kind in kinds if kind]
    # Qwen-Omni has a thinker, too, and many models have both halves in a flat config.
    if any("omni" in kind for kind in named[:1]):
        return False
    return "thinker_config" in config or any(
        "qwen3asr" in kind or "qwen3forcedaligner" in kind for kind in named
    )


def check(folder: Path, config: Mapping[str, Any]) -> None:
    """Make sure that the files of a speech recogniser are in `folder`.

    Raises:
        InputError: a file is missing, or it is a forced aligner.
    """
    if is_aligner(config):
        raise InputError(
            f"{folder} is a forced aligner, not a speech recogniser: it gives times to words that "
            "are known"
        )
    if not (folder / TOKENIZER).is_file():
        for name in _OLD_TOKENIZER:
            if not (folder / name).is_file():
                raise InputError(
                    f"{folder} lacks {name}, a file of the tokenizer; expected {TOKENIZER}, or "
                    f"{', '.join(_OLD_TOKENIZER)}"
                )
    find_weights(folder)


def is_aligner(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of a forced aligner."""
    thinker = thinker_of(config) or {}
    kinds = [str(thinker.get("model_type")), *map(str, config.get("architectures") or [])]
    return bool(thinker.get("classify_num") or config.get("classify_num")) or any(
        "ForcedAlign" in kind or "TokenClassification" in kind or "forced_aligner" in kind
        for kind in kinds
    )
