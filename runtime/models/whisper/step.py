"""A step of the text decoder: it reads new tokens and says what comes after them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlx_qwen3_asr.decoder import KVCache

from ..backend import mx
from ..capture import Capture, Step
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
    attended: list[mx.array] = []
    weights: list[mx.array] = []

    def observe(layer: int, queries: mx.array, keys: mx.array) -> None:
        assert capture is not None
        seen = capture.observe(layer, queries, keys, last)
        if seen is not None:
            attended.append(seen[0])
            weights.extend([] if seen[1] is None else [seen[1]])

    hidden = model.network.decoder(
        tokens, cache, cross, left_padding=left_padding, audio_mask=audio_mask, last=last,
        observe=None if capture is None else observe,
    )  # fmt: skip
    rows = hidden.reshape(-1, hidden.shape[-1])
    logits = model.network.logits(rows) + model.suppress
    if begins:
        logits = logits.at[0].add(model.suppress_blank)
    said = mx.concatenate([mx.argmax(logits, axis=-1)[:, None], *attended], axis=1)
    return Step(
        said.astype(mx.int32),
        logits if capture is not None else None,
        mx.concatenate(weights) if weights else None,
    )


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
