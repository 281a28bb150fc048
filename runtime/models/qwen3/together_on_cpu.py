"""Several texts decoded on together on a CPU, in float32, by numpy on the weights where they lie.

One more token of each is so little that, but for the products with large matrices, most of its
time would be MLX's, operation by operation: each is noted, sent to another thread, and waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..backend import mx, on_gpu
from ..capture import Row
from ..cpu.activations import silu_of
from ..cpu.products import linear_of_rows
from ..shared_steps import Together, Wanted
from ..texts_on_cpu import Looking, TextsOnCpu
from .together import Qwen3Together

if TYPE_CHECKING:
    import mlx.nn as nn
    from mlx_qwen3_asr.decoder import TextDecoder

    from .model import Qwen3Model


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
        self._texts = TextsOnCpu([one.cache for one in wanted], model.largest_score)
        self._looking = Looking([one.capture for one in wanted])

    def keep(self, places: Sequence[int]) -> None:
        """See `Together`."""
        self._texts.keep(places)
        self._looking.keep(places)

    def read(self, tokens: Sequence[int]) -> list[Row]:
        """See `Together`."""
        engine, texts, look = self._model.engine, self._texts, self._looking.look
        embedded = engine.model.embed_tokens(mx.array(list(tokens)))
        hidden = run_layers_of_rows(
            engine.model,
            np.array(embedded.astype(mx.float32)),
            mx.array(texts.positions),
            lambda layer, q, k, v: texts.attending(layer, q, k, v, look),
        )
        texts.said += 1
        (logits,) = linear_of_rows((engine.lm_head,), hidden)
        return self._looking.rows(logits)


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
