"""One growing buffer of audio, decoded again and again.

Whisper's encoder sees all of its window from every frame, so nothing of it can be kept when audio
is added; it reads the audio and a margin of silence, not the whole window of 30 s. What is saved
is decoding: most of the last step's hypothesis is still what the model says, so it is read
together with the prompt, as a draft, and decoding begins where the model disagrees with it
(speculative decoding, Leviathan et al. 2023; the result is the greedy one).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from mlx_qwen3_asr.decoder import KVCache

from ..backend import mx
from ..capture import Capture, agreed_rows, as_hypothesis
from ..continuation import Continuation
from ..engine_thread import on_engine_thread
from ..greedy import go_on
from ..protocol import Aggregate, Hypothesis
from .languages import NAMES, code_of
from .network import Cross
from .step import reading, take_step

if TYPE_CHECKING:
    from .model import WhisperModel

MARGIN_S = 5.0
"""Silence after the audio that the encoder reads."""
_MAX_DRAFT_TOKENS = 24


class WhisperSource:
    """A `HypothesisSource`. It computes on the thread of its model, whoever calls it."""

    def __init__(
        self,
        model: WhisperModel,
        heads: Sequence[tuple[int, int]],
        aggregate: Aggregate = "median",
        *,
        margin_s: float = MARGIN_S,
    ) -> None:
        """A source for one stream.

        Args:
            model: loaded; many sources may share it.
            heads: (layer, head) pairs to look at.
            aggregate: see `protocol.Aggregate`.
            margin_s: see `MARGIN_S`; infinite: the whole window.
        """
        self._model, self._margin_s = model, margin_s
        self._capture = Capture(heads, aggregate)
        self.reset()

    def reset(self) -> None:
        """See `HypothesisSource`."""
        self._last_text: list[int] = []  # committed and drafted, of the last step
        self._read_audio = np.zeros(0, np.float32)
        self._cross: Cross = []

    def drop(self, samples: int) -> None:
        """See `HypothesisSource`. Nothing of the encoder is kept from one buffer to the next."""

    def hypothesis(
        self,
        samples: np.ndarray,
        lead: int,
        committed_ids: Sequence[int],
        language: str | None,
        context: str = "",
    ) -> Hypothesis:
        """See `HypothesisSource`."""
        audio = samples[lead:]
        if len(audio) < self._model.min_samples:
            return Hypothesis.nothing(self._capture.num_heads, language)

        def task() -> Hypothesis:
            try:
                return self._hypothesis(audio, list(committed_ids), language, context)
            except BaseException:
                self.reset()  # whatever was half done
                raise

        return on_engine_thread(self._model, task)

    def _hypothesis(
        self, audio: np.ndarray, committed: list[int], language: str | None, context: str
    ) -> Hypothesis:
        model, vocabulary = self._model, self._model.vocabulary
        cross = self._encoded(audio)
        code, no_speech = None if language is None else code_of(language), 0.0
        if code is None or not committed:
            detected, no_speech = model.detected(cross)
            code, no_speech = code or detected, 0.0 if committed else no_speech
        prompt, _ = vocabulary.prompt(code, model.task, model.context_ids(context))
        if len(prompt) + len(committed) >= model.dims.n_text_ctx:
            prompt, _ = vocabulary.prompt(code, model.task)
        budget = model.budget(len(audio), len(prompt) + len(committed))
        frames = model.clock.count(len(audio))
        text = Continuation(budget, {vocabulary.end_id})
        if not budget:
            return as_hypothesis(self._capture, text, [], frames, NAMES[code])
        draft = self._draft_after(committed)[: budget - 1]
        self._capture.audio = slice(0, frames)
        cache = KVCache(model.num_layers)
        step = take_step(
            model, mx.array([[*prompt, *committed, *draft]]), cache, cross,
            last=1 + len(draft), capture=self._capture,
            suppress=None if committed else model.suppress_blank,
        )  # fmt: skip
        mx.async_eval(*step.arrays)
        rows = agreed_rows(step.rows(self._capture.columns), draft)
        cache.trim(1 + len(draft) - len(rows))
        for count, row in enumerate(rows, start=1):
            if not text.take(row.token):
                rows = rows[:count]
                break
        else:
            read = reading(model, [cross], self._capture)
            rows += go_on(read, mx.array([rows[-1].token]), [cache], [text], self._capture)
        self._last_text = [*committed, *text.token_ids]
        found = as_hypothesis(self._capture, text, rows, frames, NAMES[code])
        return replace(found, no_speech=no_speech)

    def _encoded(self, audio: np.ndarray) -> Cross:
        """Keys and values of the audio; of the same as before, those that were kept."""
        if not np.array_equal(audio, self._read_audio):
            self._cross = []
            encoded = self._model.encode(audio, self._margin_s)
            self._cross = self._model.network.decoder.cross(encoded)
            self._read_audio = audio.copy()
        return self._cross

    def _draft_after(self, committed: list[int]) -> list[int]:
        """What the last step would have said after `committed`."""
        count = len(committed)
        if self._last_text[:count] != committed:
            return []
        return self._last_text[count : count + _MAX_DRAFT_TOKENS]
