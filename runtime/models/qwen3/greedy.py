"""Greedy decoding: the one loop over tokens, for one text or for several at once.

A step reads new positions and says which token comes after each, how likely it is, and, where it
is asked for, at which audio frame each of some heads looked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from mlx_qwen3_asr.decoder import KVCache

from ..backend import mx
from ..continuation import Continuation
from ..cpu.activations import largest_probability
from ..protocol import Aggregate
from .kv_cache import keep_rows, stacked
from .text_decoder import decode

if TYPE_CHECKING:
    from .model import Qwen3Model

_ROOM_TOKENS = 32  # by which a cache grows when it is full


@dataclass(frozen=True)
class Row:
    """What one position says: the token after it, its probability, and where the heads looked."""

    token: int
    probability: float
    frames: np.ndarray  # [heads]
    weights: np.ndarray | None  # [heads, audio frames]


class Capture:
    """Which heads are looked at, over which positions of the cache: those of the audio."""

    def __init__(self, heads: Sequence[tuple[int, int]], aggregate: Aggregate) -> None:
        """With the aggregate "mean", the heads' weights are kept, not only their frames."""
        self.with_weights = aggregate == "mean"
        self.audio = slice(0)
        self._heads_of_layer: dict[int, list[int]] = {}
        for layer, head in heads:
            self._heads_of_layer.setdefault(layer, []).append(head)
        in_layers = [
            (layer, head)
            for layer in sorted(self._heads_of_layer)
            for head in self._heads_of_layer[layer]
        ]
        # Capture goes layer by layer; its columns are put into the caller's order.
        self.columns = np.array([in_layers.index(pair) for pair in heads], int)

    @property
    def num_heads(self) -> int:
        """How many heads are looked at."""
        return len(self.columns)

    def observe(
        self, layer: int, queries: mx.array, keys: mx.array, rows: int
    ) -> tuple[mx.array, mx.array | None] | None:
        """Where the wanted heads of a layer look at the last `rows` positions.

        Returns:
            [rows, heads] the frame of the most attention; and, with weights, [heads, rows, frames].
            None where no head of this layer is wanted.
        """
        wanted = self._heads_of_layer.get(layer)
        if not wanted:
            return None
        kv_heads, dim = keys.shape[1], keys.shape[3]
        grouped = queries[0, :, -rows:].reshape(kv_heads, -1, rows, dim)
        scores = grouped @ keys[0, :, None, self.audio].swapaxes(-1, -2)
        scores = scores.reshape(-1, rows, scores.shape[-1])[mx.array(wanted)]
        frames = mx.argmax(scores, axis=-1).T
        if not self.with_weights:
            return frames, None
        return frames, mx.softmax(scores.astype(mx.float32) * dim**-0.5, axis=-1)


@dataclass(frozen=True)
class Step:
    """What a step computes, unevaluated.

    Attributes:
        said: [positions, 1 + heads] int32, the next token and each head's attended frame.
        logits: [positions, vocabulary]; None where no probability is wanted.
        weights: [heads, positions, audio frames], if they are captured.
    """

    said: mx.array
    logits: mx.array | None
    weights: mx.array | None

    @property
    def arrays(self) -> list[mx.array]:
        """All of it, to be evaluated."""
        return [array for array in (self.said, self.logits, self.weights) if array is not None]

    @property
    def tokens(self) -> mx.array:
        """[positions], the next tokens."""
        return self.said[:, 0]

    def rows(self, columns: np.ndarray) -> list[Row]:
        """What it says, evaluated; `columns` are those of its `Capture`."""
        values = np.array(self.said)
        frames = values[:, 1:][:, columns]
        assert self.logits is not None
        likely = largest_probability(self.logits)
        seen = [None] * len(values)
        if self.weights is not None:
            seen = list(np.array(self.weights)[columns].swapaxes(0, 1))
        return [
            Row(int(row[0]), float(probability), at, weights)
            for row, probability, at, weights in zip(values, likely, frames, seen, strict=True)
        ]


def take_step(
    model: Qwen3Model,
    embedded: mx.array,
    cache: KVCache,
    *,
    last: int = 1,
    left_padding: mx.array | None = None,
    capture: Capture | None = None,
) -> Step:
    """Read new positions; what the last of them say.

    Args:
        model: whose weights are used.
        embedded: [texts, new, width]; several texts only where nothing is captured.
        cache: extended in place.
        last: of how many positions it is wanted.
        left_padding: see `text_decoder.decode`.
        capture: which heads to look at.
    """
    attended: list[mx.array] = []
    weights: list[mx.array] = []

    def observe(layer: int, queries: mx.array, keys: mx.array) -> None:
        assert capture is not None
        seen = capture.observe(layer, queries, keys, last)
        if seen is not None:
            attended.append(seen[0])
            weights.extend([] if seen[1] is None else [seen[1]])

    hidden = decode(
        model.engine.model, embedded, cache, left_padding=left_padding, last=last,
        largest_score=np.inf if capture is None else model.largest_score,
        observe=None if capture is None else observe,
    )  # fmt: skip
    logits = model.engine.lm_head(hidden.reshape(-1, hidden.shape[-1]))
    tokens = mx.argmax(logits, axis=-1)
    said = mx.concatenate([tokens[:, None], *attended], axis=1).astype(mx.int32)
    return Step(
        said,
        logits if capture is not None else None,
        mx.concatenate(weights) if weights else None,
    )


def go_on(
    model: Qwen3Model,
    tokens: mx.array,
    caches: Sequence[KVCache],
    texts: Sequence[Continuation],
    capture: Capture | None = None,
) -> list[Row]:
    """Decode on from `tokens` until no text wants another one.

    Args:
        model: whose weights are used.
        tokens: [texts], the last token of each, which its text has taken and wants more of.
        caches: of what stands before these tokens; left as they are.
        texts: they take the tokens as they come.
        capture: which heads to look at, of a single text.

    Returns:
        With a `capture`, a row for each token taken, and for one more if the text refused it.
    """
    rows: list[Row] = []
    live = list(range(len(texts)))
    cache, padding = stacked(caches, _ROOM_TOKENS)
    embed = model.engine.model.embed_tokens
    step = take_step(model, embed(tokens)[:, None], cache, left_padding=padding, capture=capture)
    while True:
        mx.async_eval(*step.arrays)
        if cache.offset == cache.max_seq_len:
            cache, more = stacked([cache], _ROOM_TOKENS)
            padding = padding if more is None else more
        # The graph of the next step is built while this one runs; it runs only if it is wanted.
        following = take_step(
            model, embed(step.tokens)[:, None], cache, left_padding=padding, capture=capture
        )
        if capture is not None:
            rows += step.rows(capture.columns)
        said = np.array(step.tokens).tolist()
        open_still = [place for place, token in enumerate(said) if texts[live[place]].take(token)]
        if not open_still:
            return rows
        if len(open_still) < len(live):
            live = [live[place] for place in open_still]
            padding = keep_rows(cache, padding, open_still)
            kept = mx.array(open_still)
            following = Step(following.said[kept], None, None)
        step = following
