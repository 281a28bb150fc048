"""The files of a Whisper checkpoint: which configs are of this family, and what must be there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....errors import InputError
from ..weight_files import find_weights

_SIZES = (
    "tiny", "tiny.en", "base", "base.en", "small", "small.en", "medium", "medium.en",
    "large-v1", "large-v2", "large-v3", "large-v3-turbo",
)  # fmt: skip
KNOWN = {f"whisper-{size}": f"openai/whisper-{size}" for size in _SIZES}
# The hub has the first large model under the name that OpenAI means the third by.
KNOWN["whisper-large-v1"] = "openai/whisper-large"
KNOWN["whisper-large"] = KNOWN["whisper-large-v3"]
KNOWN["whisper-turbo"] = KNOWN["whisper-large-v3-turbo"]
MLX_WEIGHTS = ("weights.safetensors", "weights.npz")
"""The file names of mlx-community's conversions; others have those of every checkpoint."""
_TORCH_WEIGHTS = ("pytorch_model*.bin", "*.pt", "model.bin")


def recognises(config: Mapping[str, Any]) -> bool:
    """Whether a config.json describes a Whisper model, by OpenAI's names or by transformers'."""
    return config.get("model_type") == "whisper" or {"n_audio_state", "n_text_state"} <= set(config)


def check(folder: Path, config: Mapping[str, Any]) -> None:
    """Make sure that weights which can be read are in `folder`.

    Raises:
        InputError: they are not.
    """
    if any((folder / name).is_file() for name in MLX_WEIGHTS):
        return
    others = [path.name for pattern in _TORCH_WEIGHTS for path in sorted(folder.glob(pattern))]
    if others and not any(folder.glob("*.safetensors")):
        raise InputError(
            f"{folder} has its weights in {', '.join(others)}, which is not read here; expected "
            "model.safetensors, weights.safetensors or weights.npz: convert them with transformers "
            "(save_pretrained) or mlx-whisper (convert.py)"
        )
    find_weights(folder)
