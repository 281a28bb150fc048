"""Several texts decoded on together on a CPU, in float32, by numpy on the weights where they lie.

One more token of each is so little that, but for the products with large matrices, most of its
time would be MLX's, operation by operation: each is noted, sent to another thread, and waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..backend import mx, on_gpu
from ..capture import Capture, Row
from ..cpu.activations import largest_probability_of, silu_of, softmax_in_place
from ..cpu.cores import on_all_cores
from ..cpu.products import linear_of_rows
from ..shared_steps import Together, Wanted
from .together import ROOM_TOKENS, Qwen3Together

if TYPE_CHECKING:
    import mlx.nn as nn
    from mlx_qwen3_asr.decoder import TextDecoder

    from .model import Qwen3Model

_MANY_KEYS = 1 << 18  # numbers of all texts in a layer, 1 MB: of less, one core is as fast


def together(model: Qwen3Model, wanted: Sequence[Wanted]) -> Together:
    """The `Together` of texts that look at the same heads."""
    if on_gpu() or model.engine_dtype != mx.float32:
        return Qwen3Together(model, wanted)
    return TogetherOnCpu(model, wanted)


class TogetherOnCpu:
    """A `Together`."""

    def __init__(self, model: Qwen3Model, wanted: Sequence[Wanted]) -> None:
        """Of texts that look at the same heads."""
        self._model = model
        self._texts = [_Text(one) for one in wanted]
        self._looking = Looking(wanted[0].capture, self._texts)
        self._pairs: list[np.ndarray] = []  # of each layer, keys and values of what is said
        self._said = 0

    def keep(self, places: Sequence[int]) -> None:
        """See `Together`."""
        self._texts = [self._texts[place] for place in places]
        self._looking = Looking(self._looking.capture, self._texts)
        self._pairs = [pair[:, list(places)] for pair in self._pairs]

    def read(self, tokens: Sequence[int]) -> list[Row]:
        """See `Together`."""
        engine = self._model.engine
        embedded = engine.model.embed_tokens(mx.array(list(tokens)))
        positions = mx.array([text.length + self._said for text in self._texts])
        hidden = run_layers_of_rows(
            engine.model, np.array(embedded.astype(mx.float32)), positions, self._attending
        )
        self._said += 1
        (logits,) = linear_of_rows((engine.lm_head,), hidden)
        return self._looking.rows(logits)

    def _attending(self, layer: int, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
        """[texts, heads, dim]: what queries of that shape see, in the texts and in the new keys
        and values [texts, kv heads, dim]."""
        texts, heads, dim = q.shape
        kv_heads, looking = k.shape[1], self._looking
        longest = looking.longest
        keys, values = self._said_with(layer, k, v)
        grouped = (q * np.float32(dim**-0.5)).reshape(texts, kv_heads, heads // kv_heads, dim)
        scores = np.empty((*grouped.shape[:3], longest + keys.shape[2]), np.float32)
        np.matmul(grouped, keys.swapaxes(-1, -2), out=scores[..., longest:])
        out = np.empty(grouped.shape, np.float32)

        def one(place: int) -> None:
            read, length = self._texts[place].views[layer], self._texts[place].length
            mine = scores[place]
            np.matmul(grouped[place], read[0].swapaxes(-1, -2), out=mine[..., :length])
            mine[..., length:longest] = -np.inf
            looking.look(layer, place, mine[..., :longest].reshape(heads, longest))
            softmax_in_place(mine, self._model.largest_score)
            np.matmul(mine[..., :length], read[1], out=out[place])
            out[place] += mine[..., longest:] @ values[place]

        is_much = texts * longest * kv_heads * dim > _MANY_KEYS
        on_all_cores(one, range(texts), is_much=is_much)
        return out.reshape(q.shape)

    def _said_with(self, layer: int, k: np.ndarray, v: np.ndarray) -> np.ndarray:
        """[2, texts, kv heads, said, dim], keys and values of a layer, up to the new ones."""
        at = self._said
        if layer == len(self._pairs):
            texts, kv_heads, dim = k.shape
            self._pairs.append(np.zeros((2, texts, kv_heads, ROOM_TOKENS, dim), np.float32))
        elif at == self._pairs[layer].shape[3]:
            room = [(0, 0), (0, 0), (0, 0), (0, ROOM_TOKENS), (0, 0)]
            self._pairs[layer] = np.pad(self._pairs[layer], room)
        pair = self._pairs[layer]
        pair[0, :, :, at], pair[1, :, :, at] = k, v
        return pair[:, :, :, : at + 1]


class _Text:
    """What one text has read.

    Attributes:
        audio: the positions of its audio.
        cache: of what was read; left as it is.
        length: positions that were read.
        views: of each layer, its keys and values, each [kv heads, length, dim].
    """

    def __init__(self, wanted: Wanted) -> None:
        self.audio, self.cache = wanted.capture.audio, wanted.cache
        self.length = self.cache.offset
        self.views = [
            (_seen(keys)[0], _seen(values)[0])
            for keys, values in zip(self.cache.keys, self.cache.values, strict=True)
        ]


def _seen(array: mx.array | None) -> np.ndarray:
    assert array is not None
    return np.array(array, copy=False)


class Looking:
    """Where the heads of a `capture` look, of several texts at one position of each."""

    def __init__(self, capture: Capture, texts: Sequence[_Text]) -> None:
        self.capture, self._texts = capture, texts
        self.longest = max(text.length for text in texts)
        self._begin()

    def _begin(self) -> None:
        self._frames: list[list[int]] = [[] for _ in self._texts]
        self._weights: list[list[np.ndarray]] = [[] for _ in self._texts]

    def look(self, layer: int, place: int, scores: np.ndarray) -> None:
        """Take the scores [heads, longest] of a layer, of the text at `place`."""
        wanted = self.capture.wanted(layer)
        if not wanted:
            return
        seen = scores[wanted, self._texts[place].audio]
        self._frames[place] += seen.argmax(axis=-1).tolist()
        if self.capture.with_weights:
            softmax_in_place(seen)
            self._weights[place].append(seen)

    def rows(self, logits: np.ndarray) -> list[Row]:
        """A row of each text, with what was taken since the last ones; logits [texts, n]."""
        columns = self.capture.columns
        likely = largest_probability_of(logits)
        rows = []
        for place, token in enumerate(logits.argmax(axis=-1).tolist()):
            weights = self._weights[place]
            rows.append(
                Row(
                    token,
                    float(likely[place]),
                    np.array(self._frames[place], int)[columns],
                    np.concatenate(weights)[columns] if weights else None,
                )
            )
        self._begin()
        return rows


def run_layers_of_rows(
    decoder: TextDecoder,
    embedded: np.ndarray,
    positions: mx.array,
    attending: Callable[[int, np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """`text_decoder.run_layers` for one position of each text.

    Args:
        decoder: whose weights, in float32, are used.
        embedded: [texts, width].
        positions: [texts], in their texts.
        attending: of queries [texts, heads, dim], keys and values [texts, kv heads, dim].
    """
    texts = len(embedded)
    position_ids = mx.broadcast_to(positions[:, None, None], (texts, 3, 1))
    cos, sin = (
        np.array(one).reshape(texts, 1, -1)
        for one in decoder.rotary_emb(position_ids, dtype=mx.float32)
    )
    hidden = embedded
    for index, layer in enumerate(decoder.layers):
        own, mlp = layer.self_attn, layer.mlp
        x = _normed(hidden, layer.input_layernorm)
        q, k, v = (
            one.reshape(texts, -1, own.head_dim)
            for one in linear_of_rows((own.q_proj, own.k_proj, own.v_proj), x)
        )
        q = _turned(_normed(q, own.q_norm), cos, sin)
        k = _turned(_normed(k, own.k_norm), cos, sin)
        seen = attending(index, q, k, v).reshape(texts, -1)
        hidden = hidden + linear_of_rows((own.o_proj,), seen)[0]
        x = _normed(hidden, layer.post_attention_layernorm)
        gate, up = linear_of_rows((mlp.gate_proj, mlp.up_proj), x)
        gated = silu_of(gate)
        gated *= up
        hidden = hidden + linear_of_rows((mlp.down_proj,), gated)[0]
    return _normed(hidden, decoder.norm)


def _normed(x: np.ndarray, norm: nn.RMSNorm) -> np.ndarray:
    mean = np.einsum("...i,...i->...", x, x)[..., None] / np.float32(x.shape[-1])
    scaled = x / np.sqrt(mean + np.float32(norm.eps))
    scaled *= np.array(norm.weight, copy=False)
    return scaled


def _turned(x: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
    """[texts, heads, dim] by the rotary embedding; as `text_decoder.turned`."""
    half = x.shape[-1] // 2
    out = x * cos
    out[..., :half] -= x[..., half:] * sin[..., :half]
    out[..., half:] += x[..., :half] * sin[..., half:]
    return out
