"""The audio encoder's layers, run by us on the engine's weights, in the pieces that can be kept.

The same computation as the engine's `AudioEncoder.encode_frames`, taken apart where it comes
apart: a chunk of 100 mel frames goes through the convolutions by itself (`embed`), and the
chunks of one window of 8 s through the transformer (`transform`); no window sees another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from mlx_qwen3_asr.encoder import AudioEncoder

from ..backend import mx
from ..cpu.activations import attention, gelu

KeysAndValues = list[tuple[mx.array, mx.array]]
"""Of each layer, [1, heads, frames, dim] both; or of none."""

_FLOAT16_LIMIT = float(np.finfo(np.float16).max - 1000.0)  # the engine's own clamp


def chunk_mel_frames(encoder: AudioEncoder) -> int:
    """Mel frames of a chunk."""
    return 2 * encoder.config.n_window


def encode(encoder: AudioEncoder, mel: mx.array) -> mx.array:
    """[bands, mel frames] -> [frames, width], window by window, which bounds the memory."""
    window = encoder.attention_window_frames
    parts = []
    for start in range(0, mel.shape[1], window):
        chunks = split(encoder, mel[:, start : start + window], mel.shape[1])
        parts.append(transform(encoder, mx.concatenate([embed(encoder, c) for c in chunks])))
        mx.eval(parts[-1])
    return mx.concatenate(parts)


def split(encoder: AudioEncoder, mel: mx.array, total: int) -> list[tuple[mx.array, int]]:
    """The chunks of `mel` [bands, mel frames], part of a recording of `total` mel frames.

    Returns:
        Batches of chunks [chunks, bands, mel frames], and the frames that each chunk gives:
        first all whole chunks, then the rest, which is padded where the recording has a whole
        chunk at all, as the engine does.
    """
    size = chunk_mel_frames(encoder)
    bands, length = mel.shape
    whole = length // size
    parts = []
    if whole:
        chunks = mel[:, : whole * size].reshape(bands, whole, size).transpose(1, 0, 2)
        parts.append((chunks, -(-size // 8)))
    rest = length - whole * size
    if rest:
        missing = size - rest if total >= size else 0
        padded = mx.pad(mel[:, whole * size :], [(0, 0), (0, missing)])
        parts.append((padded[None], -(-rest // 8)))
    return parts


def embed(
    encoder: AudioEncoder, chunks: tuple[mx.array, int], *, first: int = 0, skip: int = 0
) -> mx.array:
    """A batch of chunks, from `split`, through the convolutions: [chunks x frames, d_model].

    Of chunks of which the first `first` frames are known, the rest is given, with what they see
    before it, which gives `skip` frames more; `frames` are those that are new.
    """
    x, frames = chunks
    x = x[..., None]
    for convolution in (encoder.conv2d1, encoder.conv2d2, encoder.conv2d3):
        x = gelu(convolution(x))
    x = x[:, :, skip : skip + frames]  # chunks, bands, frames, channels
    batch, bands, frames, channels = x.shape
    x = x.transpose(0, 2, 3, 1).reshape(batch, frames, channels * bands)
    x = positioned(encoder, encoder.conv_out(x), range(first, first + frames))
    return x.reshape(batch * frames, -1)


def positioned(encoder: AudioEncoder, x: mx.array, places: Sequence[int]) -> mx.array:
    """`x` [..., frames, d_model] with what tells at which places of their chunks the frames are."""
    known = encoder.embed_positions(max(places) + 1)
    if isinstance(places, range):
        return x + known[places.start :].astype(x.dtype)
    return x + known[mx.array(list(places))].astype(x.dtype)


def transform(
    encoder: AudioEncoder, hidden: mx.array, seen: KeysAndValues | None = None
) -> mx.array:
    """The frames of one window, or of a part of one, through the transformer.

    Args:
        encoder: the engine's, whose weights are used.
        hidden: [frames, d_model], from `embed`.
        seen: of frames before these, which they see; extended in place. None: there are none.

    Returns:
        [frames, width of the text decoder].
    """

    def attending(index: int, q: mx.array, k: mx.array, v: mx.array) -> mx.array:
        return attention(q, *with_seen(seen, index, k, v))

    return transform_layers(encoder, hidden, attending)


def with_seen(
    seen: KeysAndValues | None, index: int, k: mx.array, v: mx.array
) -> tuple[mx.array, mx.array]:
    """Keys and values of a layer, after those that are `seen`; they are added to them."""
    if seen is None:
        return k, v
    if index < len(seen):
        old_keys, old_values = seen[index]
        k, v = mx.concatenate([old_keys, k], axis=2), mx.concatenate([old_values, v], axis=2)
        seen[index] = k, v
    else:
        seen.append((k, v))
    return k, v


def transform_layers(
    encoder: AudioEncoder,
    hidden: mx.array,
    attending: Callable[[int, mx.array, mx.array, mx.array], mx.array],
) -> mx.array:
    """The layers of `transform`, whatever sees what.

    Args:
        encoder, hidden: see `transform`.
        attending: called as attending(layer, queries, keys, values), [1, heads, frames, dim] each;
            returns what the queries see, of their shape.
    """
    x = hidden[None]
    for index, layer in enumerate(encoder.layers):
        own = layer.self_attn
        normed = layer.self_attn_layer_norm(x)
        shape = (1, x.shape[1], own.num_heads, own.head_dim)
        q, k, v = (
            project(normed).reshape(shape).transpose(0, 2, 1, 3)
            for project in (own.q_proj, own.k_proj, own.v_proj)
        )
        out = attending(index, q, k, v).transpose(0, 2, 1, 3).reshape(x.shape)
        x = x + own.out_proj(out)
        x = x + layer.fc2(gelu(layer.fc1(layer.final_layer_norm(x))))
        if x.dtype == mx.float16:
            x = mx.clip(x, -_FLOAT16_LIMIT, _FLOAT16_LIMIT)
    x = gelu(encoder.proj1(encoder.ln_post(x[0])))
    return encoder.proj2(x)
