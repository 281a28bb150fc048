"""Reading a benchmark file, ours or one that others have published."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from ..errors import InputError
from ..files import check_version, first_fault, parse_json, read_text, shown
from .published import from_published, is_published
from .result import HINT, KIND, SCHEMA_VERSION, BenchmarkFile


def load_benchmark(path: Path) -> BenchmarkFile:
    """The benchmark file at `path`, ours or in the published layout (see `published.py`).

    Raises:
        InputError: no such file, not a benchmark file, cut off, or of another schema version.
    """
    text = read_text(path, KIND, HINT)
    content = parse_json(text, path, KIND)
    if not isinstance(content, dict):
        raise InputError(f"{path} holds {shown(content)}, expected a {KIND}: a JSON object")
    if is_published(content):
        return from_published(content, path)
    if "schema_version" not in content or "runs" not in content:
        raise InputError(f"{path} is no {KIND}: it has no schema_version or no runs; {HINT}")
    check_version(content, SCHEMA_VERSION, path)
    try:
        # JSON mode: strict, so that "3" and true are no numbers.
        return BenchmarkFile.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise InputError(f"{path}: {first_fault(error, BenchmarkFile.model_fields)}") from error
