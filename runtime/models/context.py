"""What a model is told before it hears: names and terms. Knows no family and no stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import InputError
from ...files import shown
from .echo import Echo, are_heard_in
from .protocol import AlignmentModel, Answer, text_of

_MOST_BYTES = 100_000  # more than any model has room for
_EXPECTED = "expected a few lines of names and terms"


def read_context(given: str | None) -> str:
    """The context that an option gives: a text, or `@` and the name of a UTF-8 file with it.

    Raises:
        InputError: an empty text, or a file that is missing, empty, not UTF-8 or far too large.
    """
    if given is None:
        return ""
    if not given.strip():
        raise InputError("the context is empty; leave it out, or give names and terms")
    if not given.startswith("@"):
        if _is_file(given):
            raise InputError(
                f"the context {shown(given)} is the name of a file; give @{given} for what is in it"
            )
        return given.strip()
    path = Path(given[1:])
    try:
        if not given[1:] or path.is_dir():
            raise InputError(f"the context {given} names no file; {_EXPECTED}")
        with path.open("rb") as file:  # a pipe has no size: no more is read than may be
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path} for the context") from error
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read the context {shown(str(path))}: {reason}") from error
    if len(data) > _MOST_BYTES:
        raise InputError(f"the context {path} is larger than {_MOST_BYTES // 1000} kB; {_EXPECTED}")
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise InputError(f"the context {path} is not UTF-8 text; {_EXPECTED}") from error
    if not text:
        raise InputError(f"the context {path} is empty; {_EXPECTED}")
    return text


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # too long for a name, or with a null character
        return False


def checked_context(model: AlignmentModel, context: str) -> str:
    """`context` as `model` is told it, without white space around it.

    Raises:
        InputError: it is no text, or longer than the model has room for: it is never cut.
    """
    if not isinstance(context, str):
        raise InputError(f"the context is {shown(context)}, expected a text")
    try:
        context.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"the context {shown(context)} is not UTF-8 text") from error
    context = context.strip()
    tokens, room = len(model.encode_text(context)) if context else 0, model.context_room(0)
    if tokens > room:
        raise InputError(
            f"the context has {tokens} tokens, but {model.name} has room for {room}: "
            f"shorten it ({shown(context)})"
        )
    return context


def answer_of(
    model: AlignmentModel, samples: np.ndarray, language: str | None, context: str
) -> Answer:
    """What `model`, told a `context`, says of all of `samples` [n]; an echo of it is no answer."""
    (told,) = model.generate([model.prefill(samples, language, context)])
    if not context:
        return told
    suspects = Echo(context).suspects(map(model.token_bytes, told.text_ids))
    if not suspects:
        return told
    (untold,) = model.generate([model.prefill(samples, language)])
    return told if are_heard_in(suspects, text_of(model, untold.text_ids)) else untold
