"""What a `Qwen3Source` would have computed for known answers: the same steps, no weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from mlx_qwen3_asr.decoder import KVCache

from ..backend import mx
from ..capture import Row
from ..continuation import Continuation
from ..greedy import Stop
from ..protocol import Hypothesis
from ..shared_steps import Passes
from .asked import Asked
from .audio_encoder import KeysAndValues
from .packed_encoder import Piece, Seeing
from .refreshed_encoder import RefreshedEncoder
from .reuse import Part
from .reusing import ReusingSource
from .source import Qwen3Source
from .stream_encoder import StreamEncoder

_CUT = -1  # a token of a loop that is not in the text any more


class _Counting(StreamEncoder):
    """Counts what the encoder would do; what it gives has the right length and says nothing."""

    def _embed(self, piece: Piece) -> mx.array:
        return mx.zeros((len(piece.mel) * piece.frames, 1))

    def _transform(self, what: Seeing) -> tuple[mx.array, KeysAndValues | None]:
        return mx.zeros((len(what.hidden), 1)), what.seen


class _CountedEncoder(_Counting, StreamEncoder):
    """Of a source that computes exactly."""


class _CountedRefreshed(_Counting, RefreshedEncoder):
    """Of one that reuses."""


class _Metering(Qwen3Source):
    """A `Meter`. What it is told was said takes the place of what the model would say."""

    _script: Sequence[int] = ()

    @property
    def _end(self) -> int:
        return min(self._model.vocabulary.end_ids)

    def reset(self) -> None:
        """See `Meter`."""
        self._forget()

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
        if len(samples) - lead < self._model.min_samples:
            return
        self._whole = [*committed_ids, *said.token_ids]
        self._after = [self._end] * said.ended
        missing = (said.decoded or 0) - len(said.token_ids) - len(self._after)
        self._after += [_CUT] * missing
        self._found = said.language
        self._hypothesis(samples, lead, list(committed_ids), language, context)

    def _hypothesis(
        self,
        samples: np.ndarray,
        lead: int,
        committed_ids: list[int],
        language: str | None,
        context: str,
    ) -> Hypothesis:
        head: list[int] = []
        if language is None and not committed_ids:
            head = self._model.vocabulary.encode(f"language {self._found}<asr_text>")
        outer = self._script
        self._script = [*head, *self._whole[len(committed_ids) :], *self._after]
        try:
            return super()._hypothesis(samples, lead, committed_ids, language, context)
        finally:
            self._script = outer

    def _read(
        self,
        head: Sequence[int],
        audio: Sequence[mx.array],
        text_ids: Sequence[int],
        draft: Sequence[int],
        stable: int,
    ) -> Passes:
        yield from ()  # nothing goes through the model
        past = self._cache.offset
        new = len(head) + sum(len(part) for part in audio) + len(text_ids)
        return self._agreed(past, new, draft, stable)

    def _agreed(
        self, past: int, new: int, draft: Sequence[int], stable: int
    ) -> tuple[list[Row], KVCache]:
        """What `_read` gives, of so many new positions."""
        self._note_pass(past, new, 1 + len(draft))
        agreed = 0
        while agreed < min(len(draft), len(self._script) - 1):
            if draft[agreed] != self._script[agreed]:
                break
            agreed += 1
        read = KVCache(0)
        read.offset = past + new - len(draft) + agreed
        self._cache = KVCache(0)
        self._cache.offset = stable
        return self._rows(self._script[: agreed + 1]), read

    def _continued(
        self,
        read: list[Row],
        cache: KVCache,
        text: Continuation,
        stop: Stop,
        ended: Callable[[list[Row]], Hypothesis],
    ) -> Hypothesis:
        more = self._script[len(read) :]
        for place in range(len(more)):
            self._note_pass(cache.offset + place, 1, 1)
        for token in self._script:
            if token == _CUT or not text.take(token):
                break
        return ended(self._rows(self._script))

    def _rows(self, tokens: Sequence[int]) -> list[Row]:
        frames = np.zeros(self._capture.num_heads, int)
        return [Row(token, 1.0, frames, None) for token in tokens]


class Qwen3Meter(_Metering):
    """A `Meter` of a `Qwen3Source`, of one stream."""

    def _open_encoder(self) -> StreamEncoder:
        return _CountedEncoder(self._model.engine.audio_tower, self._model.engine_dtype)

    def drop(self, samples: int) -> None:
        """See `Meter`."""
        self._drop(samples)


class ReusingMeter(_Metering, ReusingSource):
    """A `Meter` of a `ReusingSource`, of one stream."""

    def _open_encoder(self) -> RefreshedEncoder:
        engine, dtype = self._model.engine, self._model.engine_dtype
        return _CountedRefreshed(engine.audio_tower, dtype, self._refresh_s)

    def drop(self, samples: int, *, goes_on: bool = False) -> None:
        """See `Meter`."""
        self._drop(samples, goes_on=goes_on)

    def _read_parts(self, parts: Sequence[Part], asked: Asked, audio: Sequence[mx.array]) -> Passes:
        yield from ()
        new = sum(len(part) for part in parts if part.old is None)
        return self._agreed(parts[-1].stop - new, new, asked.draft, asked.stop)
