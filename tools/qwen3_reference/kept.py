"""What is kept of a reference: a few numbers at each of 32 lengths, and the shape of what is saved.

Runs without alignheads, in the environments of the reference implementations.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import soundfile
from safetensors import safe_open
from safetensors.numpy import load_file

ROOT = Path(__file__).parents[2]
TINY = ROOT / "runtime" / "models" / "tiny"
SPEECH = ROOT / "corpora" / "demo" / "test"
# Around every edge: half a window of the spectrogram, chunks of 1 s, windows of 8 s.
LENGTHS = (
    201, 320, 399, 400, 401, 1279, 1280, 4000, 7999, 8000, 15839, 15999, 16000, 16001, 16159,
    16160, 17280, 31999, 32000, 40321, 63999, 64000, 80000, 127999, 128000, 128001, 129280,
    160000, 255999, 256000, 400001, 656000,
)  # fmt: skip
COLUMNS, LOGITS, MEL = 16, 64, 24


def speech() -> np.ndarray:
    """41 s of the demo's speech, one utterance after another."""
    parts = [soundfile.read(path, dtype="float32")[0] for path in sorted(SPEECH.rglob("*.flac"))]
    return np.concatenate(parts)[: max(LENGTHS)]


def kept_mel(mel: np.ndarray) -> np.ndarray:
    """[bands, mel frames] -> [24], spread over both."""
    flat = mel.T.ravel()
    return flat[np.linspace(0, len(flat) - 1, MEL).astype(int)]


def kept_embeddings(found: np.ndarray) -> np.ndarray:
    """[frames, width] -> [3, 16]: the first, the middle and the last frame."""
    rows = found[[0, len(found) // 2, len(found) - 1]]
    return rows[:, :: found.shape[1] // COLUMNS][:, :COLUMNS]


def kept_logits(logits: np.ndarray) -> np.ndarray:
    """[vocabulary] -> [64], evenly spread."""
    return logits[:: len(logits) // LOGITS][:LOGITS]


def tiny_tensors() -> dict[str, np.ndarray]:
    """The tiny checkpoint by the engine's names, as float32, convolutions as PyTorch has them."""
    found = {}
    for name, array in load_file(TINY / "model.safetensors").items():
        array = array.astype(np.float32)
        if "conv2d" in name and array.ndim == 4:
            array = array.transpose(0, 3, 1, 2)
        found[name] = np.ascontiguousarray(array)
    return found


def adapter_tensors(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Numbers for the tensors of an adapter, by their names alone."""
    found = {}
    for name, shape in shapes.items():
        seed = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
        numbers = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
        found[name] = 1 + 0.1 * np.abs(numbers) if "magnitude" in name else 0.05 * numbers
    return found


def layout_of(folder: Path) -> dict:
    """What a tool has saved, without its numbers: files, configs, and a digest of the tensors.

    The digest is `digest` of {tensor: "dtype [shape]"}.
    """
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "np") as file:
            for name in file.keys():  # noqa: SIM118
                part = file.get_slice(name)
                tensors[name] = f"{part.get_dtype()} {part.get_shape()}"
    configs = {}
    for name in ("config.json", "adapter_config.json"):
        if (folder / name).is_file():
            configs[name] = _said(json.loads((folder / name).read_text()))
    files = sorted(path.name for path in folder.iterdir())
    return {"files": files, "configs": configs, "tensors": digest(tensors)}


def digest(tensors: dict[str, str]) -> str:
    """How many tensors, and 16 hexadecimal digits of their names, types and shapes."""
    text = json.dumps(dict(sorted(tensors.items())))
    return f"{len(tensors)} {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _said(value):
    """A configuration without what is null or empty in it."""
    if not isinstance(value, dict):
        return value
    return {k: _said(v) for k, v in value.items() if v is not None and v != {} and v != []}
