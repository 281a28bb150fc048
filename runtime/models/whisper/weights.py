"""The weights of a Whisper checkpoint, whatever layout they were saved in, by mlx-whisper's names.

The layouts: OpenAI's names as mlx-whisper has them (`weights.npz`, `weights.safetensors`), and
those of transformers (`model.safetensors`, or shards with an index), with or without `model.`
before them. Either may be quantised by MLX: `quantization` in config.json, and `.scales` beside
the tensors. Convolutions are stored as [out, in, kernel] by PyTorch and as [out, kernel, in] by
MLX; a kernel is 3 wide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..backend import default_dtype, mx, on_gpu
from ..tensors import packings, read_tensors, say_unpacked, unpacked
from ..weight_files import WeightFiles, find_weights
from .family import MLX_WEIGHTS

_KERNEL = 3
_TRANSFORMERS = (
    (r"\.layers\.", ".blocks."),
    (r"\.self_attn\.q_proj", ".attn.query"),
    (r"\.self_attn\.k_proj", ".attn.key"),
    (r"\.self_attn\.v_proj", ".attn.value"),
    (r"\.self_attn\.out_proj", ".attn.out"),
    (r"\.encoder_attn\.q_proj", ".cross_attn.query"),
    (r"\.encoder_attn\.k_proj", ".cross_attn.key"),
    (r"\.encoder_attn\.v_proj", ".cross_attn.value"),
    (r"\.encoder_attn\.out_proj", ".cross_attn.out"),
    (r"\.self_attn_layer_norm", ".attn_ln"),
    (r"\.encoder_attn_layer_norm", ".cross_attn_ln"),
    (r"\.final_layer_norm", ".mlp_ln"),
    (r"\.fc1", ".mlp1"),
    (r"\.fc2", ".mlp2"),
    (r"\.mlp\.0", ".mlp1"),
    (r"\.mlp\.2", ".mlp2"),
    (r"^encoder\.layer_norm", "encoder.ln_post"),
    (r"^decoder\.layer_norm", "decoder.ln"),
    (r"^decoder\.embed_tokens", "decoder.token_embedding"),
    (r"^decoder\.embed_positions\.weight", "decoder.positional_embedding"),
    (r"^encoder\.embed_positions\.weight", "encoder.positional_embedding"),
)
# A copy of the embedding, heads for another use, and sinusoids that are computed here.
_NOT_NEEDED = re.compile(
    r"^(proj_out|alignment_heads|encoder\._?positional_embedding|decoder\._mask)"
)


def read_weights(folder: Path, config: Mapping[str, Any]) -> dict[str, mx.array]:
    """All tensors by mlx-whisper's names; quantised ones are kept so on a GPU only.

    Raises:
        InputError: a file cannot be read.
    """
    found = {_name(name): array for name, array in read_tensors(_files(folder)).items()}
    found = {name: array for name, array in found.items() if not _NOT_NEEDED.match(name)}
    for name in ("encoder.conv1.weight", "encoder.conv2.weight"):
        array = found.get(name)
        if array is not None and array.ndim == 3 and array.shape[1] != _KERNEL:
            found[name] = array.transpose(0, 2, 1)
    packed = packings(found, config)
    if packed and not on_gpu():
        say_unpacked(packed, default_dtype())
        return unpacked(found, packed)
    return found


def _files(folder: Path) -> WeightFiles:
    for name in MLX_WEIGHTS:
        if (folder / name).is_file():
            return WeightFiles((folder / name,))
    return find_weights(folder)


def _name(name: str) -> str:
    name = name.removeprefix("model.")
    for pattern, ours in _TRANSFORMERS:
        name = re.sub(pattern, ours, name)
    return name
