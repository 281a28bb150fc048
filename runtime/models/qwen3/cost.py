"""What a Qwen3-ASR model costs to run, counted from its shapes."""

from __future__ import annotations

from typing import Any

from ..protocol import CostModel

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
