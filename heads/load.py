"""Find and read heads files: a path, a bundled name, or the bundled one for a model.

Every way in which a file can be wrong becomes one line that names the file, the key, the value
and what was expected.
"""

from __future__ import annotations

import functools
import json
import logging
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .. import files
from ..errors import InputError
from ..files import check_version, printable, shown
from .names import BUNDLED_SHOWN, bundled_file, bundled_name
from .schema import SCHEMA_VERSION, HeadsFile
from .upgrade import upgraded

_log = logging.getLogger(__name__)

_FOLDER = Path(__file__).parent / "bundled"
_KIND = "heads file"


def load_heads(source: str | Path | None = None, model: str | None = None) -> HeadsFile:
    """The heads file `source`: a path, a bundled name ("tiny", "1.7b", "whisper-base", …), or None.

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
                f"{BUNDLED_SHOWN}); make one with: discover-heads --model "
                f"{model or 'NAME'}, and give it as the heads file"
            )
        heads = _read_bundled(name)
        _announce(name)
        return heads
    if isinstance(source, str) and (name := bundled_file(source)) is not None:
        return _read_bundled(name)
    return _read(Path(source))


@functools.cache
def _announce(name: str) -> None:
    _log.info(f"heads: the bundled {name} heads file")


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
        raise InputError(f"{path} holds {shown(content)}, expected a heads file: a JSON object")
    check_version(content, SCHEMA_VERSION, path)
    try:
        present = upgraded(content, SCHEMA_VERSION)
    except InputError as error:
        raise InputError(f"{path}: {printable(str(error))}") from error
    if present is not content:
        text = json.dumps(present)
    try:
        # JSON mode: strict, so that "3" and true are no numbers, and still arrays are tuples.
        return HeadsFile.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise InputError(f"{path}: {first_fault(error)}") from error


def read_text(path: Path) -> str:
    """The text of a heads file or a compact list.

    Raises:
        InputError: see `files.read_text`.
    """
    hint = f"give a file, one of {BUNDLED_SHOWN}, or make one with discover-heads"
    return files.read_text(path, _KIND, hint)


def parse_json(text: str, path: Path) -> Any:
    """The JSON value in `text`, read from `path`.

    Raises:
        InputError: see `files.parse_json`.
    """
    return files.parse_json(text, path, _KIND)


def first_fault(error: ValidationError) -> str:
    """The first fault of a heads file, on one line: `key is value, expected what`."""
    return files.first_fault(error, HeadsFile.model_fields)
