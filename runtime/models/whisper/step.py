"""A step of the text decoder: it reads new tokens and says what comes after them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlx_qwen3_asr.decoder import KVCache

from ..backend import mx
from ..capture import Capture, Look, Step, said_by
from ..greedy import Read
from .network import Cross, stacked_cross

if TYPE_CHECKING:
    from .model import WhisperModel


def take_step(
    model: WhisperModel,
    tokens: mx.array,
    cache: KVCache,
    cross: Cross,
    *,
    last: int = 1,
    left_padding: mx.array | None = None,
    audio_mask: mx.array | None = None,
    capture: Capture | None = None,
    begins: bool = False,
) -> Step:
    """Read new tokens; what the last of them say.

    Args:
        model: whose weights are used.
        tokens: [texts, new]; several texts only where nothing is captured.
        cache: extended in place.
        cross: keys and values of the audio.
        last: of how many positions it is wanted.
        left_padding, audio_mask: see `network.Decoder`.
        capture: which heads to look at.
        begins: whether the text begins after the first of these: with no space by itself.
    """
    look = Look(capture, last)
    hidden = model.network.decoder(
        tokens, cache, cross, left_padding=left_padding, audio_mask=audio_mask, last=last,
        observe=None if capture is None else look.observe,
    )  # fmt: skip
    logits = logits_of(model, hidden.reshape(-1, hidden.shape[-1]))
    return said_by(as_begun(model, logits) if begins else logits, look)


def logits_of(model: WhisperModel, hidden: mx.array) -> mx.array:
    """[positions, vocabulary], of hidden states [positions, width] after the last layer."""
    return model.network.logits(hidden) + model.suppress


def as_begun(model: WhisperModel, logits: mx.array) -> mx.array:
    """Those [positions, vocabulary] of a text that begins after the first of the positions."""
    return logits.at[0].add(model.suppress_blank)


def reading(model: WhisperModel, crosses: Sequence[Cross], capture: Capture | None = None) -> Read:
    """How `greedy.go_on` reads one more token of each text, whose audio is in `crosses`."""
    audio = *stacked_cross(crosses), list(range(len(crosses)))

    def read(
        tokens: mx.array, cache: KVCache, left_padding: mx.array | None, live: list[int]
    ) -> Step:
        nonlocal audio
        if audio[2] != live:
            audio = *stacked_cross([crosses[index] for index in live]), live
        return take_step(
            model, tokens[:, None], cache, audio[0],
            left_padding=left_padding, audio_mask=audio[1], capture=capture,
        )  # fmt: skip

    return read
