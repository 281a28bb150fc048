"""Write the trained network in the files of a Qwen3-ASR checkpoint."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from .network import AudioShape, TextShape, TinyASR


def export(
    model: TinyASR, audio: AudioShape, text: TextShape, special: dict[str, int], out: Path
) -> None:
    """`config.json` and `model.safetensors` (float16) in `out`, beside the tokenizer's files.

    Convolution weights become [out, height, width, in], as MLX keeps them; the CTC head is
    dropped; the output head is tied to the embedding and so not written.
    """
    tensors = {}
    for name, value in model.state_dict().items():
        if name.startswith("ctc."):
            continue
        if "conv2d" in name and value.ndim == 4:
            value = value.permute(0, 2, 3, 1)
        tensors[name] = value.to("cpu", torch.float16).contiguous()
    config = {
        "architectures": ["Qwen3ASRForConditionalGeneration"],
        "model_type": "qwen3_asr",
        "thinker_config": {
            "audio_config": asdict(audio),
            "text_config": asdict(text),
            "audio_token_id": special["<|audio_pad|>"],
            "audio_start_token_id": special["<|audio_start|>"],
            "audio_end_token_id": special["<|audio_end|>"],
        },
        "support_languages": ["English"],
    }
    (out / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    save_file(tensors, out / "model.tmp", metadata={"format": "mlx"})
    (out / "model.tmp").replace(out / "model.safetensors")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The parameters that `export` wrote, in float32, under the network's names and shapes."""
    tensors = {}
    for name, value in load_file(folder / "model.safetensors").items():
        if "conv2d" in name and value.ndim == 4:
            value = value.permute(0, 3, 1, 2)
        tensors[name] = value.float().contiguous()
    return tensors
