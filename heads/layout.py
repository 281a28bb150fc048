"""Text a person can read: JSON with one key, matrix row or flat object a line; safe strings."""

from __future__ import annotations

import json
from typing import Any


def json_text(value: Any, indent: int = 0) -> str:
    """`value` as JSON text. Numbers keep every digit; NaN and infinity are refused.

    Raises:
        ValueError: NaN or infinity in `value`.
    """
    inner = "\n" + "  " * (indent + 1)
    end = "\n" + "  " * indent
    if isinstance(value, dict) and any(isinstance(item, dict | list) for item in value.values()):
        items = (f"{_scalar(key)}: {json_text(item, indent + 1)}" for key, item in value.items())
        return "{" + inner + f",{inner}".join(items) + end + "}"
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return "[" + inner + f",{inner}".join(json_text(i, indent + 1) for i in value) + end + "]"
    return _scalar(value)


def printable(text: str) -> str:
    """`text` without the characters that would break a line or drive a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _scalar(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
