"""A Whisper checkpoint, from a folder that `SpeechModel` takes, in the layouts of the peers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from alignheads.runtime.models.backend import mx
from alignheads.runtime.models.whisper.dimensions import dimensions
from alignheads.runtime.models.whisper.weights import read_weights


def as_openai(tensors: Mapping[str, mx.array]) -> dict[str, mx.array]:
    """Tensors of mlx-whisper's names and shapes, by OpenAI's names and in PyTorch's shapes.

    Convolutions go from [out, kernel, in] to [out, in, kernel].
    """
    found = {}
    for name, array in tensors.items():
        name = name.replace(".mlp1.", ".mlp.0.").replace(".mlp2.", ".mlp.2.")
        is_kernel = name in ("encoder.conv1.weight", "encoder.conv2.weight")
        found[name] = mx.contiguous(array.transpose(0, 2, 1)) if is_kernel else array
    return found


def convert(folder: Path, out: Path) -> Path:
    """Write both layouts into `out`, and return it.

    config.json and weights.safetensors are for mlx-audio, dims.json and openai.safetensors for
    SimulStreaming.
    """
    config = json.loads((folder / "config.json").read_text("utf-8"))
    tensors = read_weights(folder, config)
    dims = asdict(dimensions(config, {n: t.shape for n, t in tensors.items()}, str(folder)))
    out.mkdir(parents=True, exist_ok=True)
    (out / "dims.json").write_text(json.dumps(dims))
    (out / "config.json").write_text(json.dumps({"model_type": "whisper", **dims}))
    mx.save_safetensors(str(out / "weights.safetensors"), tensors)
    mx.save_safetensors(str(out / "openai.safetensors"), as_openai(tensors))
    return out
