"""One growing buffer of audio, decoded again and again at nearly the cost of what is new.

What `source.py` does exactly, this does nearly: keys and values of committed text and of the older
audio of the unfinished window are kept, too, and moved to where they now belong (`reuse.py`); so
are those of all that stays when the buffer's front is cut on a whole second. Only the last
`refresh_s` of audio, text that was committed as lately, and what follows are read anew; and, when
a window of 8 s is finished, that window and all text.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ....corpora.audio import SAMPLE_RATE
from ..backend import mx
from ..engine_thread import on_engine_thread
from ..protocol import CUT_SAMPLES, Aggregate
from ..shared_steps import Passes
from .asked import Asked
from .moved_cache import MovedCache, turning
from .reading import Prompt
from .refreshed_encoder import RefreshedEncoder
from .reuse import Kept, Part
from .source import Qwen3Source

if TYPE_CHECKING:
    from .model import Qwen3Model

_ALL = sys.maxsize


class ReusingSource(Qwen3Source):
    """A `HypothesisSource`, and one that goes on over cuts."""

    cut_samples = SAMPLE_RATE

    def __init__(
        self,
        model: Qwen3Model,
        heads: Sequence[tuple[int, int]],
        aggregate: Aggregate = "median",
        *,
        refresh_s: float,
    ) -> None:
        """A source for one stream; see `Qwen3Source`. `refresh_s`: what is read again."""
        self._refresh_s = refresh_s
        self._turn = turning(model.engine.model)
        super().__init__(model, heads, aggregate)

    def _open_encoder(self) -> RefreshedEncoder:
        engine, dtype = self._model.engine, self._model.engine_dtype
        return RefreshedEncoder(engine.audio_tower, dtype, self._refresh_s)

    @property
    def _refreshed(self) -> RefreshedEncoder:
        assert isinstance(self._encoder, RefreshedEncoder)
        return self._encoder

    def drop(self, samples: int, *, goes_on: bool = False) -> None:
        """See `HypothesisSource`."""
        on_engine_thread(self._model, lambda: self._drop(samples, goes_on=goes_on))

    def _drop(self, samples: int, *, goes_on: bool = False) -> None:
        self._gone_samples += samples
        gone = self._refreshed.cut(samples // CUT_SAMPLES) if goes_on else None
        if gone is None:
            head = self._kept.alone
            self._head_ids = list(head.prompt.head)
            super()._drop(samples)
            self._kept = head if self._cache.offset else Kept()
            return
        self._said.forget()
        self._is_cut = True
        self._fresh_from = max(0, self._fresh_from - gone)
        self._kept = replace(self._kept, gone=self._kept.gone + gone)

    def _forget(self) -> None:
        self._gone_samples = 0
        super()._forget()

    def _forget_keys(self) -> None:
        super()._forget_keys()
        self._kept = Kept()
        self._fresh_from = 0  # of the audio that the keys are of, what is another since
        self._windows_done = 0

    def _read_prompt(self, asked: Asked, windows: list[mx.array], tail: mx.array) -> Passes:
        encoder, heard = self._refreshed, self._gone_samples + asked.samples
        self._fresh_from = min(self._fresh_from, encoder.fresh_from)
        parts = self._kept.parts(
            asked, heard, self._fresh_from, int(self._refresh_s * SAMPLE_RATE),
            is_text_anew=encoder.windows_done != self._windows_done,
        )  # fmt: skip
        found = yield from self._read_parts(parts, asked, [*windows, tail])
        self._kept = self._kept.then(asked, heard)
        self._fresh_from, self._windows_done = _ALL, encoder.windows_done
        return found

    def _read_parts(self, parts: Sequence[Part], asked: Asked, audio: Sequence[mx.array]) -> Passes:
        """Read those that are not kept; `audio` is all of it, [frames, width] each."""
        fresh = [part for part in parts if part.old is None]
        embedded = self._embedded(fresh, asked, audio)
        places = [place for part in fresh for place in range(part.start, part.stop)]
        last, kept = 1 + len(asked.draft), self._cache
        self._note_pass(parts[-1].stop - len(places), len(places), last)
        step, cache = yield self._reading(
            Prompt(
                embedded, lambda: MovedCache(kept, parts, self._turn), last, self._capture, places
            )
        )
        return self._said_by(step, cache.plain(), asked.draft, asked.stop)

    def _embedded(self, fresh: Sequence[Part], asked: Asked, audio: Sequence[mx.array]) -> mx.array:
        """[1, positions, width], of those positions of the prompt."""
        embed, dtype = self._model.engine.model.embed_tokens, self._model.engine_dtype
        text = [*asked.fixed, *asked.committed, *asked.draft]
        regions = (
            (0, lambda at: embed(mx.array(list(asked.head[at])))),
            (len(asked.head), lambda at: mx.concatenate(list(audio))[at]),
            (asked.text_start, lambda at: embed(mx.array(text[at]))),
        )
        stops = (len(asked.head), asked.text_start, asked.text_start + len(text))
        pieces = []
        for part in fresh:
            for (start, made), stop in zip(regions, stops, strict=True):
                first, end = max(part.start, start), min(part.stop, stop)
                if first < end:
                    pieces.append(made(slice(first - start, end - start)).astype(dtype))
        return mx.concatenate(pieces)[None]
