"""What stored results depend on: the code that made them, hashed."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

_PACKAGE = Path(__file__).parent.parent.parent
ENGINE = ("runtime/models",)
"""What decides which answer a state has: policy and stream only decide which states there are."""
TRIAL = (*ENGINE, "runtime/policy", "runtime/stream", "evaluate", "corpora")
"""What decides the values of a trial."""


def digest(parts: Iterable[object]) -> str:
    """16 hexadecimal digits that change with any of `parts`."""
    found = hashlib.sha256()
    for part in parts:
        found.update(repr(part).encode() + b"\n")
    return found.hexdigest()[:16]


@functools.cache
def engine_version(package: Path = _PACKAGE) -> str:
    """The code that decodes, by a hash, and the versions of the libraries that it runs on."""
    return (
        f"{_hash(package, ENGINE)}, mlx {version('mlx')}, mlx-qwen3-asr {version('mlx-qwen3-asr')}"
    )


@functools.cache
def code_version(package: Path = _PACKAGE) -> str:
    """The version of this package and of the engine, with a hash of all that decides a trial."""
    return (
        f"alignheads {version('alignheads')} ({_hash(package, TRIAL)}), "
        f"mlx-qwen3-asr {version('mlx-qwen3-asr')}"
    )


def _hash(package: Path, folders: Iterable[str]) -> str:
    """Of all modules in `folders` and below, by their paths. Commands only parse and print."""
    found = hashlib.sha256()
    for folder in folders:
        for path in sorted((package / folder).rglob("*.py")):
            if path.name != "cli.py":
                found.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return found.hexdigest()[:8]
