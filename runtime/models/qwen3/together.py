"""Several texts decoded on together: one pass over one more token of each.

What each has read stays where its own reading left it, as long as it is: a copy of all in one
array would double their memory. So the dense layers see all texts at once, which is where the
weights are read, and the attention over what was read one after the other. What they say from here
on is in one array, since all go on at the same pace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from mlx_qwen3_asr.decoder import KVCache

from ..backend import mx
from ..capture import Row, Step
from ..shared_steps import Wanted
from ..texts_on_cpu import ROOM_TOKENS
from .text_decoder import run_layers

if TYPE_CHECKING:
    from .model import Qwen3Model


class Qwen3Together:
    """A `Together` by MLX, on a GPU or in half precision."""

    def __init__(self, model: Qwen3Model, wanted: Sequence[Wanted]) -> None:
        """Of texts that look at the same heads."""
        self._model, self._capture = model, wanted[0].capture
        self._read = [one.cache for one in wanted]
        self._audio = [one.capture.audio for one in wanted]
        self._said = KVCache(model.num_layers, max_seq_len=ROOM_TOKENS)
        self._measure()

    def _measure(self) -> None:
        """Where in the longest of the caches each text's audio lies."""
        self._longest = max(cache.offset for cache in self._read)
        self._starts = mx.array([audio.start for audio in self._audio])[:, None]
        at = np.arange(self._longest)
        seen = [(at >= audio.start) & (at < audio.stop) for audio in self._audio]
        hidden = np.where(np.stack(seen), 0.0, -np.inf).astype(np.float32)
        self._hidden = mx.array(hidden)[:, None].astype(self._model.engine_dtype)

    def keep(self, places: Sequence[int]) -> None:
        """See `Together`."""
        self._read = [self._read[place] for place in places]
        self._audio = [self._audio[place] for place in places]
        kept = mx.array(list(places))
        for arrays in (self._said.keys, self._said.values):
            arrays[:] = [None if array is None else array[kept] for array in arrays]
        self._measure()

    def read(self, tokens: Sequence[int]) -> list[Row]:
        """See `Together`."""
        model, said = self._model, self._said
        if said.offset == said.max_seq_len:
            self._grow()
        self._frames: list[mx.array] = []
        self._weights: list[mx.array] = []
        embedded = model.engine.model.embed_tokens(mx.array(list(tokens)))[:, None]
        lengths = mx.array([cache.offset for cache in self._read])[:, None]
        positions = lengths + said.offset
        hidden = run_layers(
            model.engine.model, embedded.astype(model.engine_dtype), positions, self._attending
        )
        logits = model.engine.lm_head(hidden[:, 0])
        found = mx.concatenate([mx.argmax(logits, axis=-1)[:, None], *self._frames], axis=1)
        weights = mx.concatenate(self._weights) if self._weights else None
        step = Step(found.astype(mx.int32), logits, weights)
        mx.eval(*step.arrays, *said.keys, *said.values)
        rows = step.rows(self._capture.columns)
        if weights is None:
            return rows
        return [
            replace(row, weights=row.weights[:, audio])
            for row, audio in zip(rows, self._audio, strict=True)
            if row.weights is not None
        ]

    def _grow(self) -> None:
        said = self._said
        for arrays in (said.keys, said.values):
            arrays[:] = [
                mx.pad(array, [(0, 0), (0, 0), (0, ROOM_TOKENS), (0, 0)])
                for array in arrays
                if array is not None
            ]
        said.max_seq_len = said.offset + ROOM_TOKENS

    def _attending(self, index: int, q: mx.array, k: mx.array, v: mx.array) -> mx.array:
        """[texts, heads, 1, dim]: see `text_decoder.Attending`."""
        texts, heads, _, dim = q.shape
        kv_heads, longest = k.shape[1], self._longest
        new_keys, new_values = self._said.update(k, v, index)
        grouped = (q * dim**-0.5).reshape(texts, kv_heads, heads // kv_heads, dim)
        over_read = []
        for text, cache in enumerate(self._read):
            keys = cache.keys[index]
            assert keys is not None
            missing = [(0, 0), (0, 0), (0, longest - cache.offset)]
            one = grouped[text] @ keys[0].swapaxes(-1, -2)
            over_read.append(mx.pad(one, missing, constant_values=mx.array(-np.inf, one.dtype)))
        read = mx.stack(over_read)  # texts, kv heads, group, longest
        self._look(index, read.reshape(texts, heads, longest))
        scores = mx.concatenate([read, grouped @ new_keys.swapaxes(-1, -2)], axis=-1)
        weights = mx.softmax(scores, axis=-1, precise=True)
        of_read = []
        for text, cache in enumerate(self._read):
            values = cache.values[index]
            assert values is not None
            of_read.append(weights[text, :, :, : cache.offset] @ values[0])
        out = mx.stack(of_read) + weights[..., longest:] @ new_values
        return out.reshape(q.shape)

    def _look(self, index: int, scores: mx.array) -> None:
        """Note where the wanted heads of a layer look, by their scores [texts, heads, longest]."""
        wanted = self._capture.wanted(index)
        if not wanted:
            return
        seen = scores[:, mx.array(wanted)] + self._hidden
        self._frames.append(mx.argmax(seen, axis=-1) - self._starts)
        if self._capture.with_weights:
            weights = mx.softmax(seen.astype(mx.float32), axis=-1)
            self._weights.append(weights.swapaxes(0, 1))
