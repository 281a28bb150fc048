"""The text decoder's layers, run by us on the engine's weights.

The same computation as the engine's `TextDecoder`, with two things it has no place for: an
observer that is shown each layer's rotated queries and keys where they arise, so that
attention is captured without a hook to install, a second projection, or a patched model
that another thread could see; and batches of prompts of different lengths.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from mlx_qwen3_asr.decoder import KVCache, TextDecoder

from ..backend import mx
from ..cpu.activations import attention as attend
from ..cpu.activations import mask_of, silu
from ..cpu.products import linear

Observer = Callable[[int, mx.array, mx.array], mx.array | None]
"""Called as observer(layer, queries [batch, heads, new, dim], keys [batch, kv heads, all, dim]).

It may return the softmax attention [heads, new, all] of a batch of one, which then is not
computed a second time.
"""


Attending = Callable[[int, mx.array, mx.array, mx.array], mx.array]
"""Called as attending(layer, queries [batch, heads, queried, dim], keys and values [batch,
kv heads, new, dim] of the new positions); returns what the queries see, of their shape."""


def decode(
    decoder: TextDecoder,
    embedded: mx.array,
    cache: KVCache,
    *,
    left_padding: mx.array | None = None,
    places: Sequence[int] | None = None,
    last: int | None = None,
    largest_score: float = math.inf,
    observe: Observer | None = None,
) -> mx.array:
    """Run all layers over new positions that follow what `cache` holds.

    Args:
        decoder: the engine's decoder, whose weights are used.
        embedded: [batch, new, width].
        cache: keys and values of earlier positions; extended in place.
        left_padding: [batch], unused positions at the left of each row of the cache, for
            prompts of different lengths; they are not attended to and not counted.
        places: [new], the positions, in order, of a batch of one, where the cache puts them
            between what it holds; the last one is the last of all. None: they follow it.
        last: only the last so many positions' hidden states are wanted; None: all. The last
            layer then computes theirs alone, and shows no other queries.
        largest_score: from the function of that name, for speed.
        observe: see `Observer`.

    Returns:
        Hidden states after the final norm, [batch, new or last, width].
    """
    positions, attending = attending_to(
        embedded, cache, left_padding=left_padding, places=places,
        largest_score=largest_score, observe=observe,
    )  # fmt: skip
    return run_layers(decoder, embedded, positions, attending, last)


def attending_to(
    embedded: mx.array,
    cache: KVCache,
    *,
    left_padding: mx.array | None = None,
    places: Sequence[int] | None = None,
    largest_score: float = math.inf,
    observe: Observer | None = None,
) -> tuple[mx.array, Attending]:
    """The positions [batch or 1, new] of new ones, and what they see; see `decode`."""
    new, past = embedded.shape[1], cache.offset
    positions = mx.arange(past, past + new)[None, :]
    if places is not None:
        positions = mx.array(list(places))[None, :]
        seen = mx.arange(places[-1] + 1) <= positions[..., None]
        is_at_the_end = places[0] + new == places[-1] + 1
        mask = "causal" if is_at_the_end else mask_of(seen[:, None], embedded.dtype)
    elif left_padding is None:
        mask = None if new == 1 else "causal"
    else:
        positions = positions - left_padding[:, None]
        keys, queries = mx.arange(past + new), mx.arange(past, past + new)
        visible = (keys[None, None, :] >= left_padding[:, None, None]) & (
            keys[None, None, :] <= queries[None, :, None]
        )
        mask = mask_of(visible[:, None, :, :], embedded.dtype)

    def attending(index: int, q: mx.array, k: mx.array, v: mx.array) -> mx.array:
        k, v = cache.update(k, v, index)
        weights = observe(index, q, k) if observe is not None else None
        if weights is None:
            seen = mask if mask is None or isinstance(mask, str) else mask[:, :, -q.shape[2] :]
            return attend(q, k, v, seen, largest_score)
        grouped = weights.astype(v.dtype).reshape(v.shape[1], -1, *weights.shape[1:])
        return (grouped @ v[0][:, None]).reshape(q.shape)

    return positions, attending


def run_layers(
    decoder: TextDecoder,
    embedded: mx.array,
    positions: mx.array,
    attending: Attending,
    last: int | Sequence[int] | None = None,
) -> mx.array:
    """The layers of `decode`, whatever their keys and values are kept in.

    Args:
        decoder, embedded: see `decode`.
        positions: [batch or 1, new], of the new ones in their texts.
        attending: see `Attending`.
        last: see `decode`; or the places, among the new ones, whose hidden states are wanted.
    """
    batch, new, _ = embedded.shape
    position_ids = mx.broadcast_to(positions[:, None, :], (batch, 3, new))
    cos, sin = decoder.rotary_emb(position_ids, dtype=embedded.dtype)
    half = cos.shape[-1] // 2
    # Its first half takes the other half's number from what it turns.
    turns = cos[:, None], mx.concatenate([-sin[..., :half], sin[..., half:]], axis=-1)[:, None]

    wanted = None
    if isinstance(last, int):
        wanted = slice(-last, None) if last < new else None
    elif last is not None:
        wanted = mx.array(list(last))
    hidden = embedded
    for index, layer in enumerate(decoder.layers):
        attention = layer.self_attn
        x = layer.input_layernorm(hidden)
        k = linear(attention.k_proj, x).reshape(
            batch, new, attention.num_kv_heads, attention.head_dim
        )
        v = linear(attention.v_proj, x).reshape(
            batch, new, attention.num_kv_heads, attention.head_dim
        )
        q_turns = turns
        if index == len(decoder.layers) - 1 and wanted is not None:
            # Keys and values are kept for all positions; nothing else of them is used again.
            hidden, x = hidden[:, wanted], x[:, wanted]
            q_turns = turns[0][:, :, wanted], turns[1][:, :, wanted]
        q = linear(attention.q_proj, x).reshape(batch, -1, attention.num_heads, attention.head_dim)
        q = attention.q_norm(q).transpose(0, 2, 1, 3)
        k = attention.k_norm(k).transpose(0, 2, 1, 3)
        q, k = turned(q, *q_turns), turned(k, *turns)
        out = attending(index, q, k, v.transpose(0, 2, 1, 3))
        out = out.transpose(0, 2, 1, 3).reshape(*hidden.shape[:2], -1)
        hidden = hidden + linear(attention.o_proj, out)
        x, mlp = layer.post_attention_layernorm(hidden), layer.mlp
        gated = silu(linear(mlp.gate_proj, x)) * linear(mlp.up_proj, x)
        hidden = hidden + linear(mlp.down_proj, gated)
    return decoder.norm(hidden)


def largest_score(decoder: TextDecoder) -> float:
    """What no attention score of any layer is further from 0 than.

    The norms before the rotary embedding, which keeps lengths, bound queries and keys.
    """
    bound = 0.0
    for layer in decoder.layers:
        norms = layer.self_attn.q_norm.weight, layer.self_attn.k_norm.weight
        query, key = (float(np.array(mx.abs(weight).max().astype(mx.float32))) for weight in norms)
        bound = max(bound, query * key * layer.self_attn.head_dim**0.5)
    return bound


def turned(x: mx.array, cos: mx.array, sin: mx.array) -> mx.array:
    """[batch, heads, positions, dim] by the rotary embedding of the positions."""
    half = x.shape[-1] // 2
    swapped = mx.concatenate([x[..., half:], x[..., :half]], axis=-1)
    return x * cos + swapped * sin


def attention_weights(queries: mx.array, keys: mx.array) -> mx.array:
    """Softmax attention of the last positions over all positions up to their own.

    Args:
        queries: [1, heads, new, dim], the last `new` positions, rotated.
        keys: [1, kv heads, all, dim], rotated.

    Returns:
        [heads, new, all] float32.
    """
    _, heads, new, dim = queries.shape
    kv_heads, length = keys.shape[1], keys.shape[2]
    q = queries[0].astype(mx.float32).reshape(kv_heads, heads // kv_heads, new, dim)
    scores = (q * dim**-0.5) @ keys[0].astype(mx.float32)[:, None].swapaxes(-1, -2)
    visible = mx.arange(length)[None, :] <= mx.arange(length - new, length)[:, None]
    weights = mx.softmax(mx.where(visible, scores, -mx.inf), axis=-1)
    return weights.reshape(heads, new, length)
