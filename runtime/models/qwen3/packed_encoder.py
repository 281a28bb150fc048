"""Audio of several streams through the encoder at once.

Pieces of different lengths are laid one after the other, as if they were one: nothing is filled up
to a common length. What is between them is silenced after each convolution, as if each had an edge
of its own; in the transformer each one's frames see their own window alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from mlx_qwen3_asr.encoder import AudioEncoder

from ..backend import mx
from ..cpu.activations import attention, gelu
from .audio_encoder import KeysAndValues, positioned, transform_layers, with_seen

_STRIDE = 8  # of the three convolutions
_MOST_NUMBERS = 1 << 18
"""Numbers that the first convolution gives at once, at most: with more, memory grows, and nothing
else is gained."""


@dataclass(frozen=True)
class Piece:
    """Chunks for `audio_encoder.embed`, of which the parameters are.

    Attributes:
        mel: [chunks, bands, mel frames].
        frames: that each chunk gives.
        first, skip: see there.
    """

    mel: mx.array
    frames: int
    first: int = 0
    skip: int = 0


@dataclass(frozen=True)
class Seeing:
    """Frames for `audio_encoder.transform`: `hidden` and what they have `seen`; see there. It is
    left as it is."""

    hidden: mx.array
    seen: KeysAndValues | None = None


def embed_packed(encoder: AudioEncoder, asked: Sequence[Sequence[Piece]]) -> list[list[mx.array]]:
    """Pieces of several streams through the convolutions: what `embed` gives of each."""
    pieces = [piece for of_stream in asked for piece in of_stream]
    made: list[mx.array] = []
    for batch in _batches(encoder, pieces):
        made += _embedded(encoder, batch)
        mx.eval(made)
    found = iter(made)
    return [[next(found) for _ in of_stream] for of_stream in asked]


def _batches(encoder: AudioEncoder, pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """By so much as is good at once."""
    channels, bands = encoder.config.downsample_hidden_size, encoder.config.num_mel_bins
    batch, numbers = [], 0
    for piece in pieces:
        chunks, _, length = piece.mel.shape
        more = chunks * _room(length) // 2 * bands // 2 * channels
        if batch and numbers + more > _MOST_NUMBERS:
            yield batch
            batch, numbers = [], 0
        batch.append(piece)
        numbers += more
    if batch:
        yield batch


def _room(length: int) -> int:
    """Mel frames from the start of a piece to that of the next: at least one stays empty between
    them after each but the last convolution."""
    return -(-(length + _STRIDE // 2) // _STRIDE) * _STRIDE


def _embedded(encoder: AudioEncoder, pieces: Sequence[Piece]) -> list[mx.array]:
    lengths = [piece.mel.shape[2] for piece in pieces for _ in piece.mel]
    rooms = [_room(length) for length in lengths]
    starts = [0, *accumulate(rooms)]
    laid = [
        mx.pad(piece.mel, [(0, 0), (0, 0), (0, _room(piece.mel.shape[2]) - piece.mel.shape[2])])
        for piece in pieces
    ]
    x = mx.concatenate([chunk for one in laid for chunk in one], axis=1)[None, ..., None]
    for level, convolution in enumerate((encoder.conv2d1, encoder.conv2d2, encoder.conv2d3), 1):
        x = gelu(convolution(x))
        if level < 3:
            heard = np.zeros(x.shape[2], np.float32)
            for start, length in zip(starts, lengths, strict=False):
                heard[start >> level : (start >> level) + -(-length >> level)] = 1
            x = x * mx.array(heard).astype(x.dtype)[:, None]
    wanted = [
        start // _STRIDE + piece.skip + frame
        for piece, start in _chunks(pieces, starts)
        for frame in range(piece.frames)
    ]
    x = x[0][:, mx.array(wanted)].transpose(1, 2, 0)  # frames, channels, bands
    x = encoder.conv_out(x.reshape(len(wanted), -1))
    places = [
        piece.first + frame for piece, _ in _chunks(pieces, starts) for frame in range(piece.frames)
    ]
    x = positioned(encoder, x, places)
    stops = list(accumulate(len(piece.mel) * piece.frames for piece in pieces))
    return _apart(x, stops[:-1])


def _chunks(pieces: Sequence[Piece], starts: Sequence[int]) -> Iterator[tuple[Piece, int]]:
    """The piece of each chunk, and where it lies."""
    return zip((piece for piece in pieces for _ in piece.mel), starts, strict=False)


def transform_packed(
    encoder: AudioEncoder, asked: Sequence[Seeing]
) -> list[tuple[mx.array, KeysAndValues | None]]:
    """Frames of several windows: what `transform` gives of each, and what it makes of `seen`."""
    stops = list(accumulate(len(one.hidden) for one in asked))
    seen = [None if one.seen is None else list(one.seen) for one in asked]

    def attending(index: int, q: mx.array, k: mx.array, v: mx.array) -> mx.array:
        parts = (mx.split(one, stops[:-1], axis=2) for one in (q, k, v))
        out = [
            attention(q, *with_seen(before, index, k, v))
            for before, q, k, v in zip(seen, *parts, strict=True)
        ]
        return mx.concatenate(out, axis=2)

    made = transform_layers(encoder, mx.concatenate([one.hidden for one in asked]), attending)
    found = _apart(made, stops[:-1])
    mx.eval(found)
    return list(zip(found, seen, strict=True))


def _apart(packed: mx.array, stops: Sequence[int]) -> list[mx.array]:
    """Its parts, each in memory of its own: a part that is kept would keep all of it."""
    return [part * 1 for part in mx.split(packed, list(stops))]
