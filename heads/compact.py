"""The compact list, [[layer, head], …], that other decoders take: to and from a heads file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from ..errors import InputError
from .load import first_fault, parse_json, read_text
from .schema import LARGEST_SIZE, AttentionKind, HeadsFile


def compact_text(pairs: Sequence[tuple[int, int]]) -> str:
    """The list as one line of JSON."""
    return json.dumps([list(pair) for pair in pairs])


def read_compact(path: Path) -> list[tuple[int, int]]:
    """The (layer, head) pairs in the JSON file `path`, in its order.

    Raises:
        InputError: no such file, or not a list of pairs of whole numbers.
    """
    content = parse_json(read_text(path), path)
    if not isinstance(content, list):
        raise InputError(f"{path} holds no list, expected [[layer, head], …]")
    if not content:
        raise InputError(f"{path} holds an empty list, expected [[layer, head], …]")
    for index, pair in enumerate(content):
        # A bool is an int to Python, not to the file.
        if not (isinstance(pair, list) and [type(number) for number in pair] == [int, int]):
            raise InputError(f"{path}: [{index}] is {pair!r:.60}, expected [layer, head]")
    return [(layer, head) for layer, head in content]


def heads_from_compact(
    pairs: Sequence[tuple[int, int]],
    *,
    model: str,
    num_layers: int,
    num_heads: int,
    num_kv_heads: int,
    attention: AttentionKind | None = None,
    language: str | None = None,
    source: str | None = None,
) -> HeadsFile:
    """A heads file of `pairs`, best first. It has no scores: they are None, not invented.

    Raises:
        InputError: a pair is out of range or listed twice, or a size is not possible.
    """
    try:
        return HeadsFile.model_validate(
            {
                "model": model,
                "language": language,
                "num_layers": num_layers,
                "num_heads": num_heads,
                "num_kv_heads": num_kv_heads,
                "attention": attention,
                "num_samples": 0,
                "total_alignable_tokens": 0,
                "ts_threshold": None,
                "ts_matrix": _no_scores(num_layers, num_heads),
                "alignment_heads": [{"layer": a, "head": b, "ts": None} for a, b in pairs],
                "source": source,
            }
        )
    except ValidationError as error:
        raise InputError(f"{source or 'compact list'}: {first_fault(error)}") from error


def _no_scores(num_layers: int, num_heads: int) -> list[list[None]]:
    for size in (num_layers, num_heads):
        if not 1 <= size <= LARGEST_SIZE:
            raise InputError(f"{size} layers or heads given, expected 1 to {LARGEST_SIZE}")
    return [[None] * num_heads for _ in range(num_layers)]
