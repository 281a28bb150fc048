"""Find and read heads files: a path, a bundled name, or the bundled one for a model.

Every way in which a file can be wrong becomes one line that names the file, the key, the value
and what was expected.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..commandline import say
from ..errors import InputError
from .layout import printable
from .schema import SCHEMA_VERSION, HeadsFile

BUNDLED = ("tiny", "0.6b", "1.7b")

_FOLDER = Path(__file__).parent / "bundled"
# A heads file of the largest model with every score is under 1 MB.
_LARGEST_BYTES = 64_000_000
# "Qwen/Qwen3-ASR-0.6B", a folder of that name, and its conversions ("…-4bit", "…-bf16"): the same
# heads. A fine-tune carries another name, and may have other heads.
_RELEASE = re.compile(r"qwen3-asr-(0\.6b|1\.7b)(-hf|-mlx|-\d+bit|-bf16|-fp16|-fp32)*")


def load_heads(source: str | Path | None = None, model: str | None = None) -> HeadsFile:
    """The heads file `source`: a path, a bundled name ("tiny", "0.6b", "1.7b"), or None.

    A bundled name wins over a file of that name (give ./tiny for the file). None means the bundled
    one for `model` ("1.7b", "Qwen/Qwen3-ASR-1.7B", …), said on stderr the first time. There is no
    fallback: a model without a heads file is an error.

    Raises:
        InputError: no such file, not a valid heads file, or none is bundled for `model`.
    """
    if source is None:
        name = bundled_name(model)
        if name is None:
            raise InputError(
                f"no heads file is bundled for the model {str(model)!r} (bundled: "
                f"{', '.join(BUNDLED)}); make one with: discover-heads --model "
                f"{model or 'NAME'}, and give it as the heads file"
            )
        heads = _read_bundled(name)
        _announce(name)
        return heads
    if isinstance(source, str) and source.lower() in BUNDLED:
        return _read_bundled(source.lower())
    return _read(Path(source))


def bundled_name(model: str | None) -> str | None:
    """The name of the bundled heads file for `model`, or None if there is none."""
    if model is None:
        return None
    name = model.lower().rstrip("/\\")
    if name in BUNDLED:
        return name
    release = _RELEASE.fullmatch(re.split(r"[/\\]", name)[-1])
    return release[1] if release else None


@functools.cache
def _announce(name: str) -> None:
    say(f"heads: the bundled {name} heads file")


def _read_bundled(name: str) -> HeadsFile:
    path = _FOLDER / f"{name}.json"
    if not path.is_file():
        raise InputError(
            f"the bundled heads file {name} is missing from this installation ({path}); "
            f"make one with: discover-heads --model {name}, and give it as the heads file"
        )
    return _read(path)


def _read(path: Path) -> HeadsFile:
    text = read_text(path)
    content = parse_json(text, path)
    if isinstance(content, list):
        raise InputError(
            f"{path} holds a list, not a heads file; make a heads file of a compact list "
            f"[[layer, head], …] with: heads-info --from-compact {path} --model NAME --out FILE"
        )
    if not isinstance(content, dict):
        raise InputError(f"{path} holds {_shown(content)}, expected a heads file: a JSON object")
    version = content.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema_version {_shown(version)}, this one reads {SCHEMA_VERSION}: it was "
            "written by a newer alignheads; upgrade"
        )
    try:
        # JSON mode: strict, so that "3" and true are no numbers, and still arrays are tuples.
        return HeadsFile.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise InputError(f"{path}: {first_fault(error)}") from error


def read_text(path: Path) -> str:
    """The text of a small UTF-8 file.

    Raises:
        InputError: it is missing, a folder, unreadable, far too large or not text.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder, expected a heads file")
        if path.stat().st_size > _LARGEST_BYTES:
            raise InputError(f"{path} is larger than {_LARGEST_BYTES // 10**6} MB: no heads file")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(
            f"there is no heads file {path}; give a file, one of {', '.join(BUNDLED)}, or make "
            "one with discover-heads"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text, expected JSON") from error
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read {str(path)!r}: {reason}") from error


def parse_json(text: str, path: Path) -> Any:
    """The JSON value in `text`, read from `path`.

    Raises:
        InputError: it is empty, cut off, no JSON, nested without end, or has a key twice.
    """
    if not text.strip():
        raise InputError(f"{path} is empty, expected JSON")
    try:
        return json.loads(text, object_pairs_hook=_each_key_once)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        cut = "; the file seems cut off" if error.pos >= len(text.rstrip()) else ""
        raise InputError(f"{path} is not JSON: {error.msg} at {where}{cut}") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON that can be used: {error}") from error
    except RecursionError as error:
        raise InputError(f"{path} is nested too deeply: no heads file") from error


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {_shown(twice)} stands twice in one object")
    return content


def first_fault(error: ValidationError) -> str:
    """The first fault of a file, on one line: `key is value, expected what`."""
    text = printable(_fault_text(error))
    return text if len(text) <= 300 else text[:299] + "…"


def _fault_text(error: ValidationError) -> str:
    faults = error.errors()
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    fault = faults[0]
    place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in fault["loc"]).lstrip(".")
    if fault["type"] == "value_error":
        return f"{fault.get('ctx', {}).get('error', fault['msg'])}{more}"
    if fault["type"] == "missing":
        return f"the key {place} is missing{more}"
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(fault["loc"][-1]), HeadsFile.model_fields, n=1)
        hint = f"did you mean {near[0]}?" if near else "remove it"
        return f"unknown key {_shown(place)}; {hint}{more}"
    expected = fault["msg"].removeprefix("Input should be ")
    if not place:
        return f"{expected}{more}"
    return f"{place} is {_shown(fault['input'])}, expected {expected}{more}"


def _shown(value: Any) -> str:
    """`value` short enough for one line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
