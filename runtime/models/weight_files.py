"""The files that hold a checkpoint's tensors: which they are, whether they are whole, what is in.

Knows no engine. A safetensors file begins with the length of its header and the header, JSON that
says for each tensor its type, its shape and where its bytes lie. So names, shapes and a file that
ends early are known without reading the tensors.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError

INDEX = "model.safetensors.index.json"
_ONE = "model.safetensors"
_LENGTH = struct.Struct("<Q")
_LARGEST_HEADER = 100_000_000
_LFS = b"version https://git-lfs"


@dataclass(frozen=True)
class WeightFiles:
    """Where the tensors are.

    Attributes:
        paths: in which files.
        places: {tensor: file name} of an index; None: all tensors of all files count.
    """

    paths: tuple[Path, ...]
    places: dict[str, str] | None = None


def find_weights(folder: Path) -> WeightFiles:
    """The files of `folder` that hold the weights of a model: those that an index names, if any.

    Files of an earlier save may lie beside them, and adapters: they are no part of the model.

    Raises:
        InputError: there are none, one that the index names is missing, or it is no index.
    """
    index = folder / INDEX
    if index.is_file():
        places = _places(index)
        paths = [folder / name for name in sorted(set(places.values()))]
        for path in paths:
            if not path.is_file():
                raise InputError(f"{folder} lacks {path.name}, named in {INDEX}")
        return WeightFiles(tuple(paths), places)
    if (folder / _ONE).is_file():
        return WeightFiles((folder / _ONE,))
    paths = [p for p in sorted(folder.glob("*.safetensors")) if not p.name.startswith("adapter_")]
    if not paths:
        raise InputError(f"{folder} lacks weights: expected {_ONE} or its shards")
    return WeightFiles(tuple(paths))


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """{name: shape} of a safetensors file, whose tensors are not read.

    Raises:
        InputError: the file ends early, or is no safetensors file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(_LENGTH.size)
            if start + file.read(len(_LFS) - len(start)) == _LFS:
                raise InputError(
                    f"{path} is a pointer of Git LFS, not the weights; fetch them with: git lfs "
                    "pull"
                )
            length = _LENGTH.unpack(start)[0] if len(start) == _LENGTH.size else None
            file.seek(_LENGTH.size)
            header = b"" if length is None or length > _LARGEST_HEADER else file.read(length)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if length is None or (length <= _LARGEST_HEADER and len(header) < length):
        raise InputError(f"{path} ends early, after {size:,} bytes: fetch it again")
    tensors = _tensors(header)
    if tensors is None:
        raise InputError(f"{path} is no safetensors file: its header cannot be read")
    ends = [entry["data_offsets"][1] for entry in tensors.values()]
    expected = _LENGTH.size + length + max(ends, default=0)
    if size < expected:
        raise InputError(
            f"{path} ends early: it has {size:,} of {expected:,} bytes; fetch it again"
        )
    return {name: tuple(entry["shape"]) for name, entry in tensors.items()}


def _tensors(header: bytes) -> dict[str, dict[str, Any]] | None:
    try:
        content = json.loads(header)
        content.pop("__metadata__", None)
        for entry in content.values():
            assert all(isinstance(n, int) for n in [*entry["shape"], *entry["data_offsets"]])
            assert len(entry["data_offsets"]) == 2
            math.prod(entry["shape"])
    except (ValueError, AttributeError, KeyError, TypeError, AssertionError):
        return None
    return content


def _places(index: Path) -> dict[str, str]:
    try:
        content = json.loads(index.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {index}: {error}") from error
    places = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(places, dict) or not all(isinstance(s, str) for s in places.values()):
        raise InputError(f"{index} has no weight_map of tensors to files: fetch it again")
    return places


def some(names: Iterable[str], most: int = 3) -> str:
    """The first names of many, and how many more there are."""
    ordered = sorted(names)
    more = len(ordered) - most
    return ", ".join(ordered[:most]) + (f" and {more} more" if more > 0 else "")
