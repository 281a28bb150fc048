"""The files that checkpoints of all families have: config.json, weights, and an index of shards."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ...errors import InputError

_WHOLE_BYTES = 64_000_000
_SAMPLES = 16
_SAMPLE_BYTES = 1_000_000


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a checkpoint.

    Raises:
        InputError: it is missing or not a JSON object.
    """
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} lacks config.json; expected the folder of a checkpoint")
    return _read_json(folder / "config.json")


def check_shards(folder: Path) -> None:
    """Make sure that the weights are there, with all files that an index names.

    Raises:
        InputError: one is not, or the index is no index.
    """
    if not any(folder.glob("*.safetensors")):
        raise InputError(f"{folder} lacks weights: expected model.safetensors or its shards")
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return
    shards = _read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(s, str) for s in shards.values()):
        raise InputError(f"{index} has no weight_map of tensors to files: fetch it again")
    for shard in sorted(set(shards.values())):
        if not (folder / shard).is_file():
            raise InputError(f"{folder} lacks {shard}, named in {index.name}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} holds {type(value).__name__}, expected a JSON object")
    return value


def fingerprint_of(folder: Path) -> str:
    """16 hexadecimal digits of a checkpoint's files: their names, sizes and bytes.

    Of a file of more than 64 MB, 16 parts of 1 MB spread over it: reading gigabytes would take
    longer than a sweep, and two checkpoints that differ do so everywhere.

    Raises:
        InputError: a file cannot be read.
    """
    found = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix not in (".json", ".safetensors", ".npz", ".txt") or not path.is_file():
            continue
        try:
            size = path.stat().st_size
            found.update(f"{path.name} {size}\n".encode())
            with path.open("rb") as file:
                if size <= _WHOLE_BYTES:
                    found.update(file.read())
                    continue
                for index in range(_SAMPLES):
                    file.seek(index * (size - _SAMPLE_BYTES) // (_SAMPLES - 1))
                    found.update(file.read(_SAMPLE_BYTES))
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    return found.hexdigest()[:16]
