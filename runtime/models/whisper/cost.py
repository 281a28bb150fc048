"""What a Whisper model costs to run, counted from its sizes."""

from __future__ import annotations

from ..protocol import CostModel
from .dimensions import Dimensions

_KERNEL = 3


def cost_of(dims: Dimensions, bytes_per_number: int) -> CostModel:
    """The `CostModel` of a Whisper of these sizes.

    A multiplication and an addition count as two operations. Counted are matrix products and
    convolutions. To a frame belong two mel frames of the first convolution, and its keys and
    values in each layer of the text decoder.
    """
    audio, text = dims.n_audio_state, dims.n_text_state
    convolutions = 2 * _KERNEL * dims.n_mels * audio + _KERNEL * audio * audio
    dense = dims.n_audio_layer * 12 * audio * audio + dims.n_text_layer * 2 * audio * text
    return CostModel(
        encoder_flop_per_frame=2 * (convolutions + dense),
        encoder_flop_per_pair=2 * 2 * dims.n_audio_layer * audio,
        decoder_flop_per_position=2 * dims.n_text_layer * 14 * text * text,
        decoder_flop_per_pair=2 * 2 * dims.n_text_layer * text,
        vocabulary_flop_per_row=2 * text * dims.n_vocab,
        cache_bytes_per_position=2 * dims.n_text_layer * text * bytes_per_number,
    )
