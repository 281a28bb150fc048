"""What results depend on: hashes of the checkpoint and of the code that decodes."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from ... import runtime
from ...errors import InputError

_WHOLE_BYTES = 64_000_000
_SAMPLES = 16
_SAMPLE_BYTES = 1_000_000


def digest(parts: Iterable[object]) -> str:
    """16 hexadecimal digits that change with any of `parts`."""
    found = hashlib.sha256()
    for part in parts:
        found.update(repr(part).encode() + b"\n")
    return found.hexdigest()[:16]


def model_hash(folder: Path) -> str:
    """Of a checkpoint's files: their names, sizes and bytes.

    Of a file of more than 64 MB, 16 parts of 1 MB spread over it: reading gigabytes would take
    longer than a sweep, and two checkpoints that differ do so everywhere.

    Raises:
        InputError: a file cannot be read.
    """
    found = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix not in (".json", ".safetensors", ".txt") or not path.is_file():
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


@functools.cache
def code_version() -> str:
    """The versions of this package and of the engine, with a hash of the code that decodes."""
    found = hashlib.sha256()
    for path in sorted(Path(str(runtime.__file__)).parent.rglob("*.py")):
        found.update(path.name.encode() + path.read_bytes())
    return (
        f"alignheads {version('alignheads')} ({found.hexdigest()[:8]}), "
        f"mlx-qwen3-asr {version('mlx-qwen3-asr')}"
    )
