"""The weights of a Whisper checkpoint, whatever layout they were saved in, by mlx-whisper's names.

The layouts: OpenAI's names as mlx-whisper has them (`weights.npz`, `weights.safetensors`), and
those of transformers (`model.safetensors`, or shards with an index), with or without `model.`
before them. Either may be quantised by MLX: `quantization` in config.json, and `.scales` beside
the tensors. Convolutions are stored as [out, in, kernel] by PyTorch and as [out, kernel, in] by
MLX; a kernel is 3 wide.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....errors import InputError
from ..backend import mx, on_gpu
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
    found: dict[str, mx.array] = {}
    for path in _files(folder):
        try:
            loaded = mx.load(str(path))
        except (RuntimeError, ValueError, OSError) as error:
            raise InputError(
                f"cannot read {path}: {str(error).splitlines()[0][:200]}; fetch it again"
            ) from error
        assert isinstance(loaded, dict)
        found.update({_name(name): array for name, array in loaded.items()})
    found = {name: array for name, array in found.items() if not _NOT_NEEDED.match(name)}
    for name in ("encoder.conv1.weight", "encoder.conv2.weight"):
        array = found.get(name)
        if array is not None and array.ndim == 3 and array.shape[1] != _KERNEL:
            found[name] = array.transpose(0, 2, 1)
    if "quantization" in config and not on_gpu():
        # On a CPU a quantised product takes 20 to 60 times as long as one of float32.
        return _dequantised(found, quantization_of(config))
    return found


def quantization_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """`group_size`, `bits` and, where it is named, `mode` of MLX's quantisation."""
    given = config.get("quantization") or {}
    return {key: given[key] for key in ("group_size", "bits", "mode") if key in given}


def _files(folder: Path) -> list[Path]:
    for name in MLX_WEIGHTS:
        if (folder / name).is_file():
            return [folder / name]
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    if index.is_file():
        shards = json.loads(index.read_text("utf-8"))["weight_map"].values()
        return [folder / shard for shard in sorted(set(shards))]
    return sorted(folder.glob("*.safetensors"))


def _name(name: str) -> str:
    name = name.removeprefix("model.")
    for pattern, ours in _TRANSFORMERS:
        name = re.sub(pattern, ours, name)
    return name


def _dequantised(
    tensors: dict[str, mx.array], quantization: Mapping[str, Any]
) -> dict[str, mx.array]:
    whole = {}
    for name, array in tensors.items():
        base = name.removesuffix(".weight")
        if name.endswith((".scales", ".biases")):
            continue
        scales = tensors.get(f"{base}.scales")
        if scales is not None:
            array = mx.dequantize(array, scales, tensors.get(f"{base}.biases"), **quantization)
        whole[name] = array
    return whole
