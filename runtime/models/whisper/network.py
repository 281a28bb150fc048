"""Whisper's encoder and decoder on MLX (Radford et al. 2022; weights by mlx-whisper's names).

Modules hold the weights; what is computed of them is here too, with an observer that is shown the
cross-attention's queries and keys where they arise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import mlx.nn as nn
import numpy as np
from mlx_qwen3_asr.decoder import KVCache

from ..backend import mx
from ..cpu.activations import attention as attend
from ..cpu.activations import gelu, mask_of
from ..cpu.products import Linear, as_linear
from .dimensions import Dimensions

Observer = Callable[[int, mx.array, mx.array], None]
"""Called as observer(layer, queries [batch, heads, new, dim], keys [batch, heads, frames, dim])."""
Attending = Callable[[int, mx.array, mx.array, mx.array], mx.array]
"""Called as attending(layer, queries [batch, heads, queried, dim], keys and values [batch, heads,
new, dim] of the new positions); returns what the queries see in the text, of their shape."""
Listening = Callable[[int, mx.array], mx.array]
"""Called as listening(layer, queries [batch, heads, queried, dim]); returns what they see in the
audio, of their shape."""


class Attention(nn.Module):
    """The projections of an attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = Linear(width, width)
        self.key = Linear(width, width, bias=False)
        self.value = Linear(width, width)
        self.out = Linear(width, width)

    def split(self, x: mx.array) -> mx.array:
        """[batch, n, width] -> [batch, heads, n, dim]."""
        batch, length, width = x.shape
        return x.reshape(batch, length, self.heads, width // self.heads).transpose(0, 2, 1, 3)

    def joined(self, x: mx.array) -> mx.array:
        """[batch, heads, n, dim] -> [batch, n, width], through the last projection."""
        batch, heads, length, dim = x.shape
        return self.out(x.transpose(0, 2, 1, 3).reshape(batch, length, heads * dim))


class Block(nn.Module):
    """A layer."""

    def __init__(self, width: int, heads: int, *, cross: bool = False) -> None:
        super().__init__()
        self.attn = Attention(width, heads)
        self.attn_ln = nn.LayerNorm(width)
        if cross:
            self.cross_attn = Attention(width, heads)
            self.cross_attn_ln = nn.LayerNorm(width)
        self.mlp1 = Linear(width, 4 * width)
        self.mlp2 = Linear(4 * width, width)
        self.mlp_ln = nn.LayerNorm(width)

    def forward(self, x: mx.array) -> mx.array:
        """The dense part, with what it is added to."""
        return x + self.mlp2(gelu(self.mlp1(self.mlp_ln(x))))


class Encoder(nn.Module):
    """Two convolutions, which halve the spectrogram's frames, and a transformer."""

    def __init__(self, dims: Dimensions) -> None:
        super().__init__()
        width = dims.n_audio_state
        self.conv1 = nn.Conv1d(dims.n_mels, width, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(width, width, kernel_size=3, stride=2, padding=1)
        self.blocks = [Block(width, dims.n_audio_head) for _ in range(dims.n_audio_layer)]
        self.ln_post = nn.LayerNorm(width)
        self._positions = _sinusoids(dims.n_audio_ctx, width)

    def __call__(self, mel: mx.array) -> mx.array:
        """[mel frames, bands] -> [1, mel frames / 2, width]."""
        x = gelu(self.conv2(gelu(self.conv1(mel[None]))))
        x = x + self._positions[: x.shape[1]].astype(x.dtype)
        for block in self.blocks:
            own, normed = block.attn, block.attn_ln(x)
            q, k, v = (own.split(project(normed)) for project in (own.query, own.key, own.value))
            x = block.forward(x + own.joined(attend(q, k, v)))
        return self.ln_post(x)


Cross = list[tuple[mx.array, mx.array]]
"""By layer, keys and values of the audio, [batch, heads, frames, dim]."""


class Decoder(nn.Module):
    """A transformer over text that looks at the audio in each layer."""

    def __init__(self, dims: Dimensions) -> None:
        super().__init__()
        width = dims.n_text_state
        self.token_embedding = nn.Embedding(dims.n_vocab, width)
        self.positional_embedding = mx.zeros((dims.n_text_ctx, width))
        self.blocks = [Block(width, dims.n_text_head, cross=True) for _ in range(dims.n_text_layer)]
        self.ln = nn.LayerNorm(width)

    def cross(self, audio: mx.array) -> Cross:
        """Keys and values of encoded audio [1, frames, width]."""
        pairs = []
        for block in self.blocks:
            seen = block.cross_attn
            # Each is read once for every token: laid out once, in the order in which it is read.
            both = (seen.split(project(audio)) for project in (seen.key, seen.value))
            key, value = map(mx.contiguous, both)
            pairs.append((key, value))
        return pairs

    def __call__(
        self,
        tokens: mx.array,
        cache: KVCache,
        cross: Cross,
        *,
        left_padding: mx.array | None = None,
        audio_mask: mx.array | None = None,
        last: int | None = None,
        observe: Observer | None = None,
    ) -> mx.array:
        """Read new tokens that follow what `cache` holds.

        Args:
            tokens: [batch, new].
            cache: keys and values of earlier positions; extended in place.
            cross: of the audio.
            left_padding: [batch], unused positions at the left of each row of the cache.
            audio_mask: from `mask_of`, for rows whose audio is shorter than the longest.
            last: only the last so many positions' hidden states are wanted; None: all. The last
                layer then computes theirs alone, and shows no other queries.
            observe: see `Observer`.

        Returns:
            Hidden states after the final norm, [batch, new or last, width].
        """
        positions, attending = attending_to(
            tokens.shape[1], cache, left_padding, self.positional_embedding.dtype
        )
        listening = listening_to(cross, audio_mask, observe)
        wanted = None if last is None or last >= tokens.shape[1] else slice(-last, None)
        return self.run(tokens, positions, attending, listening, wanted)

    def run(
        self,
        tokens: mx.array,
        positions: mx.array,
        attending: Attending,
        listening: Listening,
        wanted: slice | mx.array | None = None,
    ) -> mx.array:
        """Read new tokens, whatever their keys and values are kept in.

        Args:
            tokens: [batch, new].
            positions: [batch or 1, new], in their texts.
            attending, listening: see there.
            wanted: the places, among the new ones, whose hidden states are wanted; None: all. The
                last layer then computes theirs alone, and shows no other queries.

        Returns:
            Hidden states after the final norm, [batch, new or wanted, width].
        """
        x = self.token_embedding(tokens) + self.positional_embedding[positions]
        for index, block in enumerate(self.blocks):
            own, normed = block.attn, block.attn_ln(x)
            k, v = own.split(own.key(normed)), own.split(own.value(normed))
            if index == len(self.blocks) - 1 and wanted is not None:
                # Keys and values are kept for all positions; nothing else of them is used again.
                x, normed = x[:, wanted], normed[:, wanted]
            x = x + own.joined(attending(index, own.split(own.query(normed)), k, v))
            heard = block.cross_attn
            q = heard.split(heard.query(block.cross_attn_ln(x)))
            x = block.forward(x + heard.joined(listening(index, q)))
        return self.ln(x)


def attending_to(
    new: int, cache: KVCache, left_padding: mx.array | None, dtype: mx.Dtype
) -> tuple[mx.array, Attending]:
    """The positions [batch or 1, new] of so many new tokens, and what they see in the texts that
    `cache` holds; see `Decoder`."""
    past = cache.offset
    positions = mx.arange(past, past + new)[None]
    mask: mx.array | str | None = None if new == 1 else "causal"
    if left_padding is not None:
        positions = mx.maximum(positions - left_padding[:, None], 0)
        keys, queries = mx.arange(past + new), mx.arange(past, past + new)
        seen = (keys[None, None] >= left_padding[:, None, None]) & (
            keys[None, None] <= queries[None, :, None]
        )
        mask = mask_of(seen[:, None], dtype)

    def attending(index: int, q: mx.array, k: mx.array, v: mx.array) -> mx.array:
        k, v = cache.update(k, v, index)
        seen = mask[:, :, -q.shape[2] :] if isinstance(mask, mx.array) else mask
        return attend(q, k, v, seen)

    return positions, attending


def listening_to(
    cross: Cross, audio_mask: mx.array | None = None, observe: Observer | None = None
) -> Listening:
    """What is seen in the audio; see `Decoder`."""

    def listening(index: int, q: mx.array) -> mx.array:
        keys, values = cross[index]
        if observe is not None:
            observe(index, q, keys)
        return attend(q, keys, values, audio_mask)

    return listening


class Network(nn.Module):
    """Encoder and decoder."""

    def __init__(self, dims: Dimensions) -> None:
        super().__init__()
        self.encoder = Encoder(dims)
        self.decoder = Decoder(dims)

    def logits(self, hidden: mx.array) -> mx.array:
        """[..., width] -> [..., vocabulary]."""
        return as_linear(self.decoder.token_embedding, hidden)


def stacked_cross(crosses: Sequence[Cross]) -> tuple[Cross, mx.array | None]:
    """Several texts' audio as rows of one, and the mask of the shorter ones, if any is."""
    lengths = [cross[0][0].shape[2] for cross in crosses]
    longest = max(lengths)
    rows = []
    for layer in range(len(crosses[0])):
        pair = []
        for which in (0, 1):
            padded = [
                mx.pad(cross[layer][which], [(0, 0), (0, 0), (0, longest - length), (0, 0)])
                for cross, length in zip(crosses, lengths, strict=True)
            ]
            pair.append(mx.concatenate(padded))
        rows.append(tuple(pair))
    if min(lengths) == longest:
        return rows, None
    seen = mx.arange(longest)[None] < mx.array(lengths)[:, None]
    return rows, mask_of(seen[:, None, None], rows[0][0].dtype)


def _sinusoids(length: int, channels: int) -> mx.array:
    """[length, channels], the encoder's positions."""
    step = math.log(10000) / (channels // 2 - 1)
    scaled = np.arange(length)[:, None] * np.exp(-step * np.arange(channels // 2))
    return mx.array(np.concatenate([np.sin(scaled), np.cos(scaled)], axis=1).astype(np.float32))
