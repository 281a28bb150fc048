"""What a Whisper model costs to run, counted from its sizes."""

from __future__ import annotations

from collections.abc import Sequence

from ..protocol import CostModel
from ..work import Work
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


class WhisperCost:
    """What a piece of audio, and a pass over text, cost.

    The first convolution is 2 * 3 * bands * w operations for each mel frame, w the encoder's
    width, the second 2 * 3 * w^2 for each frame. Of a layer of the encoder a frame costs
    2 * 12 w^2, a pair of frames 4 w. Of a layer of the decoder, t its width, a frame costs
    2 * 2 w t once, for its key and value, and a token 2 * 14 t^2, a pair of it and a key, of text
    or audio, 4 t. The last layer computes only keys and values (2 * 2 t^2) of tokens of which
    nothing is wanted.
    """

    def __init__(self, dims: Dimensions, heads: Sequence[tuple[int, int]] = ()) -> None:
        """`heads`: those looked at."""
        self._dims = dims
        self._looked_at = len({layer for layer, _ in heads})

    def encode(self, frames: int) -> Work:
        """Of audio and silence of so many frames, for both halves."""
        dims, audio = self._dims, self._dims.n_audio_state
        convolutions = 2 * _KERNEL * dims.n_mels * audio + _KERNEL * audio * audio
        dense = dims.n_audio_layer * 12 * audio * audio
        dense += dims.n_text_layer * 2 * audio * dims.n_text_state
        pairs = dims.n_audio_layer * frames * frames
        return Work(
            encoder_frames=frames,
            convolution_chunks=1,
            attention_pairs=pairs,
            encoder_flop=2 * frames * (convolutions + dense) + 4 * pairs * audio,
        )

    def forward(self, past: int, new: int, last: int, encoded: int, looked_at: int = 0) -> Work:
        """Of reading `new` tokens after `past`, of which the `last` predict tokens.

        Args:
            past, new, last: see there.
            encoded: frames of the audio and the silence after it.
            looked_at: frames at which heads are looked at, of the last.
        """
        dims, width = self._dims, self._dims.n_text_state
        queries = (dims.n_text_layer - 1) * new + last
        pairs = queries * (past + new + encoded)
        looks = self._looked_at * last * looked_at
        dense = dims.n_text_layer * new * 2 + queries * 12
        return Work(
            decoder_positions=new,
            attention_pairs=pairs,
            vocabulary_rows=last,
            forward_passes=1,
            decoder_flop=2 * dense * width * width,
            attention_flop=(4 * pairs + 2 * looks) * width,
            vocabulary_flop=2 * last * width * dims.n_vocab,
        )
