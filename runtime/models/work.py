"""What computing has cost: counted where it is done, the same on every machine.

Counted are matrix products and convolutions, with all that they multiply: a masked product of
attention is multiplied, too. A multiplication and an addition are two operations. Norms,
activations, the softmax and the spectrogram are not counted. What a step costs follows from the
model's sizes and from how much it read, so counting takes no time to speak of; the formulas are
with each family (`qwen3/cost.py`, `whisper/cost.py`).

A step counts the same whether others are taken with it or not: what it costs alone. Shared passes
fill nothing up to a common length, but for the few silent frames between pieces of audio that go
through the convolutions together (at most 11 mel frames each), and for that these are nobody's; a
pass that is made for several is one forward pass of each.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True)
class Work:
    """What was computed.

    Attributes:
        encoder_frames: audio frames that went through the encoder's transformer.
        convolution_chunks: pieces of the spectrogram that went through its convolutions: up to a
            second for Qwen3-ASR, what Whisper reads at once.
        decoder_positions: tokens and frames that the text decoder read.
        attention_pairs: queries times the keys they were multiplied with, over the layers of
            both.
        vocabulary_rows: positions at which the next token was predicted.
        forward_passes: how often the text decoder ran. For each of them all its weights are read,
            which is what bounds a single stream where memory is slow.
        encoder_flop: operations of the encoder, with its attention and convolutions.
        decoder_flop: of the dense layers of the text decoder.
        attention_flop: of its attention, and of looking at heads.
        vocabulary_flop: of predicting tokens.
    """

    encoder_frames: int = 0
    convolution_chunks: int = 0
    decoder_positions: int = 0
    attention_pairs: int = 0
    vocabulary_rows: int = 0
    forward_passes: int = 0
    encoder_flop: int = 0
    decoder_flop: int = 0
    attention_flop: int = 0
    vocabulary_flop: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(*(getattr(self, n) + getattr(other, n) for n in _NAMES))

    def __sub__(self, other: Work) -> Work:
        return Work(*(getattr(self, n) - getattr(other, n) for n in _NAMES))

    @property
    def flop(self) -> int:
        """All operations."""
        return self.encoder_flop + self.decoder_flop + self.attention_flop + self.vocabulary_flop

    def as_dict(self) -> dict[str, int]:
        """As JSON holds it."""
        return asdict(self)


_NAMES = tuple(field.name for field in fields(Work))
