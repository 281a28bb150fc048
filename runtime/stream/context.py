"""The text that stands before a stream's buffer: what it was told, and what was said.

Knows tokens and the room that a model has for them; no audio, no family.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from ..models.context import checked_context
from ..models.protocol import AlignmentModel, text_of

_log = logging.getLogger(__name__)


class StreamContext:
    """What a stream was told stays in front; committed text follows, the newest that fits.

    Attributes:
        told: names and terms, as they are given to the model.
    """

    def __init__(self, model: AlignmentModel, told: str, most_tokens: int) -> None:
        """Nothing has been said yet.

        Args:
            model: what it is for.
            told: names and terms; it is never cut.
            most_tokens: of committed text.

        Raises:
            InputError: see `checked_context`.
        """
        self._model, self._most = model, most_tokens
        self.told = checked_context(model, told)
        self._told_tokens = len(model.encode_text(self.told)) if self.told else 0
        self._has_warned = False
        self.forget()

    def forget(self) -> None:
        """What was said goes."""
        self._said: list[int] = []
        self._made: dict[tuple[int, bool, bool], str] = {}

    def add(self, token_ids: Iterable[int]) -> None:
        """Committed text whose audio has left the buffer."""
        self._said += token_ids
        del self._said[: max(0, len(self._said) - self._most)]
        self._made.clear()

    def text(self, committed: int, *, is_told: bool = True, is_said: bool = True) -> str:
        """The whole text.

        Args:
            committed: tokens of committed text that are in the buffer.
            is_told, is_said: off: without that part.
        """
        room = self._model.context_room(committed)
        if is_told and self._told_tokens > room:
            self._warn(committed)
            is_told = False
        key = room, is_told, is_said
        if key not in self._made:
            self._made[key] = self._fitting(
                room, self.told if is_told else "", self._said if is_said else []
            )
        return self._made[key]

    def _fitting(self, room: int, told: str, said: Sequence[int]) -> str:
        while True:
            text = " ".join(filter(None, [told, text_of(self._model, said).strip()]))
            excess = len(self._model.encode_text(text)) - room if text else 0
            if excess <= 0 or not said:
                return text
            said = said[excess:]

    def _warn(self, committed: int) -> None:
        if not self._has_warned:
            _log.warning(
                f"{committed} tokens of text in the buffer leave {self._model.name} no room for "
                f"the context's {self._told_tokens}: left out while that is so; shorten the "
                "context, or decode with a smaller max_audio_s"
            )
        self._has_warned = True
