"""What a Qwen3-ASR model costs to run, counted from its shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..protocol import CostModel
from ..work import Work

_KERNEL = 9  # a convolution's, 3 x 3
_MEL_PER_CHUNK, _FRAMES_PER_CHUNK = 100, 13


def cost_of(config: Any, bytes_per_number: int) -> CostModel:
    """The `CostModel` of an engine's configuration.

    A multiplication and an addition count as two operations. Counted are matrix products and
    convolutions; norms, activations and the softmax are not.
    """
    audio, text = config.audio_config, config.text_config
    channels, width = audio.downsample_hidden_size, audio.d_model
    # Three convolutions of stride 2 in both directions, over a chunk of 100 mel frames.
    bands, length, convolutions, inputs = audio.num_mel_bins, _MEL_PER_CHUNK, 0, 1
    for _ in range(3):
        bands, length = bands // 2, -(-length // 2)
        convolutions += bands * length * channels * inputs * _KERNEL
        inputs = channels
    layer = 4 * width * width + 2 * width * audio.encoder_ffn_dim
    dense = bands * channels * width + audio.encoder_layers * layer
    dense += width * width + width * audio.output_dim
    query = text.num_attention_heads * text.head_dim
    key = text.num_key_value_heads * text.head_dim
    hidden = text.hidden_size
    position = hidden * (2 * query + 2 * key) + 3 * hidden * text.intermediate_size
    return CostModel(
        encoder_flop_per_frame=2 * (convolutions / _FRAMES_PER_CHUNK + dense),
        encoder_flop_per_pair=2 * 2 * audio.encoder_layers * width,
        decoder_flop_per_position=2 * text.num_hidden_layers * position,
        decoder_flop_per_pair=2 * 2 * text.num_hidden_layers * query,
        vocabulary_flop_per_row=2 * hidden * text.vocab_size,
        cache_bytes_per_position=2 * text.num_hidden_layers * key * bytes_per_number,
    )


class EncoderCost:
    """What a piece of audio costs to encode.

    Each of the three convolutions halves bands and length, rounding up the length, and has c
    channels: 2 * 9 * c * (inputs) operations for each of its outputs. Of a layer of width w with a
    feed-forward of f, a frame costs 2 * (4 w^2 + 2 w f), a pair of frames 4 w.
    """

    def __init__(self, audio: Any) -> None:
        """`audio`: the engine's configuration of the encoder."""
        self._bands, self._channels = audio.num_mel_bins, audio.downsample_hidden_size
        width, self._layers = audio.d_model, audio.encoder_layers
        self._width = width
        layer = 4 * width * width + 2 * width * audio.encoder_ffn_dim
        self._frame = 2 * (self._layers * layer + width * width + width * audio.output_dim)

    def convolutions(self, chunks: int, mel_frames: int, frames: int) -> Work:
        """Of `chunks` of so many mel frames, each of which gives so many frames."""
        bands, length, inputs, products = self._bands, mel_frames, 1, 0
        for _ in range(3):
            bands, length = -(-bands // 2), -(-length // 2)
            products += bands * length * self._channels * inputs * _KERNEL
            inputs = self._channels
        products += frames * bands * self._channels * self._width
        return Work(convolution_chunks=chunks, encoder_flop=2 * chunks * products)

    def transformer(self, frames: int, seen: int = 0) -> Work:
        """Of the frames of one window, or of a part of one, after so many that are `seen`."""
        pairs = self._layers * frames * (seen + frames)
        return Work(
            encoder_frames=frames,
            attention_pairs=pairs,
            encoder_flop=frames * self._frame + 4 * pairs * self._width,
        )


class DecoderCost:
    """What a pass of the text decoder costs.

    Of a layer with h the width, q and k those of all queries and keys, and f that of the
    feed-forward, a position costs 2 * (2 h q + 2 h k + 3 h f), a pair of it and a key 4 q. The last
    layer computes only keys and values (2 * 2 h k) of positions of which nothing is wanted.
    """

    def __init__(self, text: Any, heads: Sequence[tuple[int, int]] = ()) -> None:
        """`text`: the engine's configuration of the decoder; `heads`: those looked at."""
        hidden, self._layers = text.hidden_size, text.num_hidden_layers
        self._query = text.num_attention_heads * text.head_dim
        key = text.num_key_value_heads * text.head_dim
        self._keys = 2 * 2 * hidden * key
        self._rest = 2 * (2 * hidden * self._query + 3 * hidden * text.intermediate_size)
        self._row = 2 * hidden * text.vocab_size
        self._looked_at = len({layer for layer, _ in heads})

    def forward(self, past: int, new: int, last: int, audio_frames: int = 0) -> Work:
        """Of reading `new` positions after `past`, of which the `last` predict tokens.

        In each layer with a head that is looked at, the queries of the last are multiplied with
        the keys of the `audio_frames`.
        """
        queries = (self._layers - 1) * new + last
        pairs = queries * (past + new)
        looks = self._looked_at * last * audio_frames
        return Work(
            decoder_positions=new,
            attention_pairs=pairs,
            vocabulary_rows=last,
            forward_passes=1,
            decoder_flop=self._layers * new * self._keys + queries * self._rest,
            attention_flop=(4 * pairs + 2 * looks) * self._query,
            vocabulary_flop=last * self._row,
        )
