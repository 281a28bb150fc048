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
    return read_json(folder / "config.json")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file of a checkpoint.

    Raises:
        InputError: it cannot be read, or is none.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} holds {type(value).__name__}, expected a JSON object")
    return value


def fingerprint_of(*folders: Path) -> str:
    """16 hexadecimal digits of a checkpoint's files: their names, sizes and bytes.

    An adapter's folder comes after that of its base.

    Of a file of more than 64 MB, 16 parts of 1 MB spread over it: reading gigabytes would take
    longer than a sweep, and two checkpoints that differ do so everywhere.

    Raises:
        InputError: a file cannot be read.
    """
    found = hashlib.sha256()
    for path in (path for folder in folders for path in sorted(folder.iterdir())):
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
