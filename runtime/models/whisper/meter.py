"""What a `WhisperSource` would have computed for known answers: the same steps, no weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..protocol import Hypothesis
from ..said import Said, draft_after
from ..work import Work
from .cost import WhisperCost
from .languages import code_of
from .source import MARGIN_S

if TYPE_CHECKING:
    from .model import WhisperModel


class WhisperMeter:
    """A `Meter`."""

    def __init__(self, model: WhisperModel, heads: Sequence[tuple[int, int]]) -> None:
        """Of one stream that looks at `heads`."""
        self._model, self._cost = model, WhisperCost(model.dims, heads)
        self.work = Work()
        self.reset()

    def reset(self) -> None:
        """See `Meter`."""
        self._last_text: list[int] = []
        self._is_cut = False
        self._read_audio = np.zeros(0, np.float32)
        self._said = Said()

    def drop(self, samples: int) -> None:
        """See `Meter`."""
        self._said.forget()
        self._is_cut = True

    def note(
        self,
        samples: np.ndarray,
        lead: int,
        committed_ids: Sequence[int],
        language: str | None,
        context: str,
        said: Hypothesis,
    ) -> None:
        """See `Meter`."""
        model, audio, committed = self._model, samples[lead:], list(committed_ids)
        if len(audio) < model.min_samples:
            return
        encoded, size = model.frames_read(len(audio), MARGIN_S), (len(audio), 0)
        if not np.array_equal(audio, self._read_audio):
            self._said.forget()
            self.work += self._cost.encode(encoded)
            self._read_audio = audio.copy()
        if self._said.answer(size, committed, language, context) is not None:
            return
        if language is None or not committed:
            self.work += self._cost.forward(0, 1, 1, encoded)
        named = language or said.language
        code = None if named is None else code_of(named)
        prompt = model.prompt_before(code, context, len(committed))
        budget = model.budget(len(audio), len(prompt) + len(committed))
        if not budget:
            return
        draft = draft_after(self._last_text, committed, is_cut=self._is_cut)[: budget - 1]
        frames, new = model.clock.count(len(audio)), len(prompt) + len(committed)
        self.work += self._cost.forward(0, new + len(draft), 1 + len(draft), encoded, frames)
        ids = list(said.token_ids)
        agreed = 0
        while agreed < min(len(draft), len(ids)) and draft[agreed] == ids[agreed]:
            agreed += 1
        rows = len(ids) + said.ended if said.decoded is None else said.decoded
        for place in range(max(0, rows - agreed - 1)):
            self.work += self._cost.forward(new + agreed + place, 1, 1, encoded, frames)
        self._last_text, self._is_cut = [*committed, *ids], False
        self._said.keep(size, committed, language, context, said)
