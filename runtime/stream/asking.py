"""What a stream asks its source, and with what: language and context. Commits nothing.

An echo of what the stream was told is no hypothesis: where one may be, the source is asked again
without having been told. The language is asked for anew when a stretch of speech begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from ..models.echo import Echo, are_heard_in
from ..models.protocol import AlignmentModel, Hypothesis, HypothesisSource, Until, text_of
from .context import StreamContext

_QUIET_S = 2.0  # so long after the last word, a text that begins with one name may be an echo


class Asking:
    """Asks for one stream.

    Attributes:
        context: what stands before the buffer.
        language: given, or that of the committed words of this stretch; None: not known.
    """

    def __init__(
        self,
        model: AlignmentModel,
        source: HypothesisSource,
        context: StreamContext,
        language: str | None,
    ) -> None:
        """Ask `source`; `language` None: have it detected."""
        self.context = context
        self._model, self._source, self._given = model, source, language
        self._echo = Echo(context.told) if context.told else None
        self.reset()

    def reset(self) -> None:
        """A new stream starts."""
        self.context.forget()
        self.language = self._given
        self._language_before: str | None = None

    @property
    def last_language(self) -> str | None:
        """That of this stretch, or while it is not known of the one before."""
        return self.language or self._language_before

    def begin_stretch(self) -> None:
        """What comes may be in another language."""
        self._language_before = self.last_language
        self.language = self._given

    def settle(self, language: str | None) -> None:
        """Words were committed in this `language`: it is that of the stretch."""
        if self._language_before not in (None, language):
            self.context.forget()
        self.language, self._language_before = language, None

    def hypothesis(
        self,
        samples: np.ndarray,
        lead: int,
        committed: Sequence[int],
        after_s: float,
        until: Until | None = None,
    ) -> Hypothesis:
        """See `HypothesisSource`; `after_s`: audio since the last committed word of the buffer.

        What is compared with another answer is decoded to its end, whatever `until` says.
        """
        if until is not None and self._echo is None and self._language_before is None:
            whole = self.context.text(len(committed), is_told=True)
            source = cast("Any", self._source)
            return source.hypothesis(samples, lead, committed, self.language, whole, until=until)

        def ask(*, is_told: bool) -> Hypothesis:
            return self._asked(samples, lead, committed, is_told)

        said = ask(is_told=True)
        if self._echo is None:
            return said
        suspects = self._echo.suspects(
            map(self._model.token_bytes, said.token_ids), is_start=after_s >= _QUIET_S
        )
        if not suspects:
            return said
        untold = ask(is_told=False)
        return said if are_heard_in(suspects, text_of(self._model, untold.token_ids)) else untold

    def _asked(
        self, samples: np.ndarray, lead: int, committed: Sequence[int], is_told: bool
    ) -> Hypothesis:
        whole = self.context.text(len(committed), is_told=is_told)
        if self._language_before is None:
            return self._source.hypothesis(samples, lead, committed, self.language, whole)
        # Text in another language would have the model stay with it.
        told = self.context.text(len(committed), is_told=is_told, is_said=False)
        found = self._source.hypothesis(samples, lead, committed, None, told)
        if found.language != self._language_before or whole == told:
            return found
        return self._source.hypothesis(samples, lead, committed, self._language_before, whole)
