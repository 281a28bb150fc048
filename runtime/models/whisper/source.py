"""One growing buffer of audio, decoded again and again.

Whisper's encoder sees all of its window from every frame, so nothing of it can be kept when audio
is added; it reads the audio and a margin of silence, not the whole window of 30 s. What is saved
is decoding: most of the last step's hypothesis is still what the model says, so it is read
together with the prompt, as a draft, and decoding begins where the model disagrees with it
(speculative decoding, Leviathan et al. 2023; the result is the greedy one).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from mlx_qwen3_asr.decoder import KVCache

from ..backend import mx
from ..capture import Capture, Row, agreed_rows, as_hypothesis
from ..continuation import Continuation
from ..engine_thread import step_on_engine_thread
from ..greedy import Stop, go_on, taken
from ..protocol import Aggregate, Hypothesis, Until
from ..said import Said, draft_after
from ..shared_steps import MOST_TOGETHER, Pass, Passes, Wanted
from ..work import Work
from .cost import WhisperCost
from .languages import NAMES, code_of
from .network import Cross
from .reading import (
    ENCODING,
    HEARING,
    READING,
    Prompt,
    detected_packed,
    encoded,
    encoded_each,
    read,
    read_packed,
    share,
)
from .step import reading
from .together import together

if TYPE_CHECKING:
    from .model import WhisperModel

MARGIN_S = 5.0
"""Silence after the audio that the encoder reads."""


class WhisperSource:
    """A `HypothesisSource`. It computes on the thread of its model, whoever calls it.

    Attributes:
        work: see `HypothesisSource`.
    """

    can_stop = True

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
        self._cost = WhisperCost(model.dims, heads)
        self.work = Work()
        self.reset()

    def reset(self) -> None:
        """See `HypothesisSource`."""
        self._last_text: list[int] = []  # committed and drafted, of the last step
        self._is_cut = False  # of what was committed then, the front has gone
        self._read_audio = np.zeros(0, np.float32)
        self._cross: Cross = []
        self._said = Said()

    def drop(self, samples: int) -> None:
        """See `HypothesisSource`. Nothing of the encoder is kept from one buffer to the next."""
        self._said.forget()
        self._is_cut = True

    def hypothesis(
        self,
        samples: np.ndarray,
        lead: int,
        committed_ids: Sequence[int],
        language: str | None,
        context: str = "",
        *,
        until: Until | None = None,
    ) -> Hypothesis:
        """See `HypothesisSource`."""
        audio = samples[lead:]
        if len(audio) < self._model.min_samples:
            return Hypothesis.nothing(self._capture.num_heads, language)

        def begin() -> Passes:
            try:
                return (
                    yield from self._begun(audio, list(committed_ids), language, context, until)
                )
            except BaseException:
                self.reset()  # whatever was half done
                raise

        return step_on_engine_thread(self._model, begin, id(self))

    def _begun(
        self,
        audio: np.ndarray,
        committed: list[int],
        language: str | None,
        context: str,
        until: Until | None,
    ) -> Passes:
        """It returns what is said of the audio, or how it is decoded on from what was read."""
        model, vocabulary = self._model, self._model.vocabulary
        cross = yield from self._encoded(audio)
        size = len(audio), 0
        known = self._said.answer(size, committed, language, context)
        if known is not None:  # it was given with the language found
            return known
        code, no_speech = None if language is None else code_of(language), 0.0
        heard = cross[0][0].shape[2]
        if code is None or not committed:
            detected, no_speech = yield Pass(
                HEARING, cross, model.detected, partial(detected_packed, model), HEARING,
                1 / MOST_TOGETHER,
            )  # fmt: skip
            self.work += self._cost.forward(0, 1, 1, heard)
            code, no_speech = code or detected, 0.0 if committed else no_speech
        prompt = model.prompt_before(code, context, len(committed))
        budget = model.budget(len(audio), len(prompt) + len(committed))
        frames = model.clock.count(len(audio))
        text = Continuation(budget, {vocabulary.end_id})
        if not budget:
            return as_hypothesis(self._capture, text, [], frames, NAMES[code])
        draft = self._draft_after(committed)[: budget - 1]
        self._capture.audio = slice(0, frames)
        last = 1 + len(draft)
        new = len(prompt) + len(committed) + len(draft)
        self.work += self._cost.forward(0, new, last, heard, frames)
        step, cache = yield self._reading(
            Prompt([*prompt, *committed, *draft], cross, last, self._capture, not committed)
        )
        mx.async_eval(*step.arrays)
        rows = agreed_rows(step.rows(self._capture.columns), draft)
        cache.trim(last - len(rows))

        def said_in(rows: list[Row]) -> Hypothesis:
            found = as_hypothesis(self._capture, text, rows, frames, NAMES[code])
            return replace(found, no_speech=no_speech)

        stop = Stop(until, said_in)

        def ended(rows: list[Row]) -> Hypothesis:
            found = said_in(rows)
            self._last_text, self._is_cut = [*committed, *text.token_ids], False
            if not stop.came:
                self._said.keep(size, committed, language, context, found)
            return found

        return self._continued(rows, cache, cross, text, stop, ended)

    def _reading(self, prompt: Prompt) -> Pass:
        model = self._model
        return Pass(
            READING, prompt, partial(read, model), partial(read_packed, model), READING,
            share(prompt),
        )  # fmt: skip

    def _continued(
        self,
        read: list[Row],
        cache: KVCache,
        cross: Cross,
        text: Continuation,
        stop: Stop,
        ended: Callable[[list[Row]], Hypothesis],
    ) -> Wanted | Hypothesis:
        """A text that begins with the rows `read` has `ended` with all its rows, or is decoded on.

        `cache`: up to the last of them.
        """
        model, capture, heard = self._model, self._capture, cross[0][0].shape[2]
        read, goes_on = taken(read, text, stop)
        if not goes_on:
            return ended(read)

        def is_enough(more: list[Row]) -> bool:
            return stop([*read, *more])

        def alone() -> list[Row]:
            return go_on(
                reading(model, [cross], capture), mx.array([read[-1].token]), [cache], [text],
                capture,
                is_waited_for=lambda keys: model.is_waited_for(max(keys, heard)),
                is_enough=is_enough,
            )  # fmt: skip

        def end(more: list[Row]) -> Hypothesis:
            frames = capture.audio.stop
            for place in range(len(more)):
                self.work += self._cost.forward(cache.offset + place, 1, 1, heard, frames)
            return ended([*read, *more])

        return Wanted(
            read[-1].token, cache, text, capture, is_enough, alone, end, self.reset,
            cross=cross, kind=capture.kind, open=partial(together, model),
        )  # fmt: skip

    def _encoded(self, audio: np.ndarray) -> Passes:
        """It returns keys and values of the audio; of the same as before, those that were kept."""
        if not np.array_equal(audio, self._read_audio):
            self._cross = []
            self._said.forget()
            model, mel = self._model, self._model.spectrogram(audio, self._margin_s)
            self._cross = yield Pass(
                ENCODING, mel, partial(encoded, model), partial(encoded_each, model), ENCODING
            )
            self.work += self._cost.encode(self._cross[0][0].shape[2])
            self._read_audio = audio.copy()
        return self._cross

    def _draft_after(self, committed: list[int]) -> list[int]:
        """What the last step would have said after `committed`."""
        return draft_after(self._last_text, committed, is_cut=self._is_cut)
