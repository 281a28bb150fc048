"""Which utterances of a corpus have audio that can be read: found out by reading it."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import InputError
from .corpus import Skipped
from .utterance import Utterance


def unreadable(utterances: Iterable[Utterance], *, strict: bool = False) -> tuple[Skipped, ...]:
    """The utterances whose audio is missing, cut off or refused, with the reasons.

    Headers say less: a file may be cut off, or hold samples that are no sound.

    Raises:
        InputError: `strict`, and there is one.
    """
    found: list[Skipped] = []
    for utterance in utterances:
        try:
            utterance.read()
        except InputError as error:
            if strict:
                raise InputError(
                    f"{utterance.id}: {error}; mend it, or load without strict",
                    arguments=("strict",),
                ) from error
            found.append(Skipped(utterance.id, str(error)))
    return tuple(found)
