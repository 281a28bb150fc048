"""One growing buffer of audio, decoded again and again at the cost of what changed.

Three facts make it cheap:

- The encoder attends within windows of 8 s, so the embeddings of a finished window never change.
- The decoder is causal, so the keys and values of the prompt's head and of the finished windows
  can stay: each step reads only the changed tail of the audio, and the text.
- Most of the last step's hypothesis is still what the model says. So it is read together with the
  prompt, as a draft, and decoding begins where the model disagrees with it (speculative decoding,
  Leviathan et al. 2023; the result is the greedy one).

What was said of the same buffer is not computed again: see `said.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np
from mlx_qwen3_asr.decoder import KVCache

from ..backend import mx
from ..capture import Capture, Row, Step, agreed_rows, as_hypothesis
from ..continuation import Continuation, token_budget
from ..engine_thread import on_engine_thread, step_on_engine_thread
from ..greedy import Stop, go_on, taken
from ..kv_cache import shared
from ..protocol import CUT_SAMPLES, Aggregate, Hypothesis, Until
from ..said import Said, draft_after
from ..shared_steps import Pass, Passes, Wanted, made_alone
from ..work import Work
from .asked import Asked
from .cost import DecoderCost
from .reading import READING, Prompt, read, read_packed, share
from .step import reading
from .stream_encoder import StreamEncoder
from .together_on_cpu import together

if TYPE_CHECKING:
    from .model import Qwen3Model


class Qwen3Source:
    """A `HypothesisSource`. It computes on the thread of its model, whoever calls it."""

    can_stop = True

    def __init__(
        self,
        model: Qwen3Model,
        heads: Sequence[tuple[int, int]],
        aggregate: Aggregate = "median",
        *,
        caches: bool = True,
    ) -> None:
        """A source for one stream.

        Args:
            model: loaded; many sources may share it.
            heads: (layer, head) pairs to look at.
            aggregate: see `protocol.Aggregate`.
            caches: off: read everything anew at each step (for tests).
        """
        self._model = model
        self._caches = caches
        self._capture = Capture(heads, aggregate)
        self._encoder = self._open_encoder()
        self._cost = DecoderCost(model.engine.config.text_config, heads)
        self._decoded = Work()
        self._forget()

    def _open_encoder(self) -> StreamEncoder:
        engine, dtype = self._model.engine, self._model.engine_dtype
        return StreamEncoder(engine.audio_tower, dtype, caches=self._caches)

    @property
    def work(self) -> Work:
        """See `HypothesisSource`."""
        return self._encoder.work + self._decoded

    def reset(self) -> None:
        """See `HypothesisSource`."""
        on_engine_thread(self._model, self._forget)

    def drop(self, samples: int) -> None:
        """See `HypothesisSource`."""
        on_engine_thread(self._model, lambda: self._drop(samples))

    def _drop(self, samples: int) -> None:
        self._encoder.drop(samples // CUT_SAMPLES)
        self._said.forget()
        self._is_cut = True
        self._keep_keys_up_to(min(self._cache.offset, len(self._head_ids)))

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
        if len(samples) - lead < self._model.min_samples:
            return Hypothesis.nothing(self._capture.num_heads, language)

        def begin() -> Passes:
            try:
                return (
                    yield from self._begun(
                        samples, lead, list(committed_ids), language, context, until
                    )
                )
            except BaseException:
                self._forget()  # whatever was half done
                raise

        return step_on_engine_thread(self._model, begin, id(self))

    def _hypothesis(
        self,
        samples: np.ndarray,
        lead: int,
        committed_ids: list[int],
        language: str | None,
        context: str,
    ) -> Hypothesis:
        """Without company."""
        begun = made_alone(self._begun(samples, lead, committed_ids, language, context))
        return begun.end(begun.alone()) if isinstance(begun, Wanted) else begun

    def _begun(
        self,
        samples: np.ndarray,
        lead: int,
        committed_ids: list[int],
        language: str | None,
        context: str,
        until: Until | None = None,
    ) -> Passes:
        """It returns what is said of the buffer, or how it is decoded on from what was read."""
        size = len(samples), lead
        known = self._said.answer(size, committed_ids, language, context)
        if known is not None:
            return replace(known, language=None) if language is None and committed_ids else known
        windows, tail = yield from self._encoder.encoding(samples, lead)
        frames = sum(len(w) for w in windows) + len(tail)
        prompt = self._model.vocabulary.prompt(frames, language, context)
        said_head: list[int] = []
        if language is None and committed_ids:  # it follows the head that the model wrote
            if self._answer_head is None:
                self._hypothesis(samples, lead, [], None, context)
            said_head = self._answer_head or []
        head, rest = prompt.ids[: prompt.audio_start], prompt.ids[prompt.audio_stop :]
        self._capture.audio = slice(prompt.audio_start, prompt.audio_stop)
        whole = Asked(
            list(head), frames, [*rest, *said_head], committed_ids,
            self._draft_after(committed_ids), len(samples) - lead,
        )  # fmt: skip
        read, cache = yield from self._read_prompt(whole, windows, tail)
        text = Continuation(token_budget(len(samples) - lead), self._model.vocabulary.end_ids)
        is_head_said = language is None and not committed_ids  # by the model, with the language

        def said_in(rows: list[Row]) -> Hypothesis:
            found, head = language, 0
            if is_head_said:
                found, head = self._model.vocabulary.answer_head(text.token_ids)
            return as_hypothesis(self._capture, text, rows, frames, found, head)

        stop = Stop(until, said_in)

        def ended(rows: list[Row]) -> Hypothesis:
            found = said_in(rows)
            self._last_text, self._is_cut = [*committed_ids, *text.token_ids], False
            if is_head_said:
                _, head = self._model.vocabulary.answer_head(text.token_ids)
                self._answer_head = text.token_ids[:head]
            if not stop.came:
                self._said.keep(size, committed_ids, language, context, found)
            return found

        return self._continued(read, cache, text, stop, ended)

    def _forget(self) -> None:
        self._encoder.reset()
        self._said = Said(self._caches)
        self._forget_keys()
        self._last_text: list[int] = []  # committed and drafted, of the last step
        self._is_cut = False  # of what was committed then, the front has gone
        self._answer_head: list[int] | None = None  # before the text, where no language is known

    def _forget_keys(self) -> None:
        self._cache = KVCache(self._model.num_layers)  # of the head and the finished windows
        self._head_ids: list[int] = []
        self._kept_windows = 0

    def _keep_keys(self, head: list[int]) -> None:
        """Keep the keys of the same head and the finished windows, or of what two heads share."""
        if not self._caches:
            self._forget_keys()
        elif head != self._head_ids:
            pairs = zip(head, self._head_ids, strict=False)
            same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
            self._keep_keys_up_to(min(self._cache.offset, same))
        self._head_ids = head

    def _keep_keys_up_to(self, positions: int) -> None:
        """Keep the keys of so many positions of the head, and of no window."""
        if not positions:
            return self._forget_keys()
        kept = self._cache
        kept.keys = [keys[:, :, :positions] for keys in kept.keys]  # type: ignore[index]
        kept.values = [values[:, :, :positions] for values in kept.values]  # type: ignore[index]
        kept.offset = positions
        self._kept_windows = 0

    def _draft_after(self, committed_ids: list[int]) -> list[int]:
        """What the last step would have said after `committed_ids`."""
        if not self._caches:
            return []
        return draft_after(self._last_text, committed_ids, is_cut=self._is_cut)

    def _read_prompt(self, asked: Asked, windows: list[mx.array], tail: mx.array) -> Passes:
        """Read what is asked, with the audio's embeddings. It returns what `_read` does."""
        self._keep_keys(list(asked.head))
        stable = len(asked.head) + sum(len(w) for w in windows)
        audio = [*windows[self._kept_windows :], tail]
        text_ids = [*asked.fixed, *asked.committed, *asked.draft]
        head = asked.head[self._cache.offset :]
        found = yield from self._read(head, audio, text_ids, asked.draft, stable)
        self._kept_windows = len(windows)
        return found

    def _read(
        self,
        head: Sequence[int],
        audio: Sequence[mx.array],
        text_ids: Sequence[int],
        draft: Sequence[int],
        stable: int,
    ) -> Passes:
        """Read what follows the keys that are kept.

        Args:
            head: tokens before the audio.
            audio: [frames, width] each.
            text_ids: tokens after it, of which the last are
            draft: what the model is thought to say.
            stable: so many positions from the first on will not change.

        Returns:
            A row for the token after the prompt, and one for each token of the draft that the
            model says itself; and the cache up to the last of them.
        """
        embed = self._model.engine.model.embed_tokens
        parts = [embed(mx.array(list(head)))] if head else []
        parts += [*audio, embed(mx.array(list(text_ids)))]
        embedded = mx.concatenate([part.astype(self._model.engine_dtype) for part in parts])[None]
        last, before = 1 + len(draft), self._cache
        self._note_pass(before.offset, embedded.shape[1], last)
        step, cache = yield self._reading(
            Prompt(embedded, lambda: shared(before), last, self._capture)
        )
        return self._said_by(step, cache, draft, stable)

    def _reading(self, prompt: Prompt) -> Pass:
        model = self._model
        return Pass(
            READING, prompt, partial(read, model), partial(read_packed, model), READING,
            share(prompt),
        )  # fmt: skip

    def _said_by(
        self, step: Step, cache: KVCache, draft: Sequence[int], stable: int
    ) -> tuple[list[Row], KVCache]:
        """What `_read` returns, of a step that read all there is; see there."""
        kept = self._cache
        kept.keys = [keys[:, :, :stable] for keys in cache.keys]  # type: ignore[index]
        kept.values = [values[:, :, :stable] for values in cache.values]  # type: ignore[index]
        kept.offset = stable
        mx.async_eval(*step.arrays, *kept.keys, *kept.values)
        rows = agreed_rows(step.rows(self._capture.columns), draft)
        cache.trim(1 + len(draft) - len(rows))
        return rows, cache

    def _continued(
        self,
        read: list[Row],
        cache: KVCache,
        text: Continuation,
        stop: Stop,
        ended: Callable[[list[Row]], Hypothesis],
    ) -> Wanted | Hypothesis:
        """A text that begins with the rows `read` has `ended` with all its rows, or is decoded on.

        `cache`: up to the last of them.
        """
        model, capture = self._model, self._capture
        read, goes_on = taken(read, text, stop)
        if not goes_on:
            return ended(read)

        def is_enough(more: list[Row]) -> bool:
            return stop([*read, *more])

        def alone() -> list[Row]:
            return go_on(
                reading(model, capture), mx.array([read[-1].token]), [cache], [text], capture,
                is_waited_for=model.is_waited_for, is_enough=is_enough,
            )  # fmt: skip

        def end(more: list[Row]) -> Hypothesis:
            for place in range(len(more)):
                self._note_pass(cache.offset + place, 1, 1)
            return ended([*read, *more])

        return Wanted(
            read[-1].token, cache, text, capture, is_enough, alone, end, self._forget,
            kind=capture.kind, open=partial(together, model),
        )  # fmt: skip

    def _note_pass(self, past: int, new: int, last: int) -> None:
        audio = self._capture.audio
        self._decoded += self._cost.forward(past, new, last, audio.stop - audio.start)
