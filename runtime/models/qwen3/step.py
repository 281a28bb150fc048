"""A step of the text decoder: it reads new positions and says what comes after them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from mlx_qwen3_asr.decoder import KVCache

from ..backend import mx
from ..capture import Capture, Step
from ..greedy import Read
from .text_decoder import decode

if TYPE_CHECKING:
    from .model import Qwen3Model


def take_step(
    model: Qwen3Model,
    embedded: mx.array,
    cache: KVCache,
    *,
    last: int = 1,
    left_padding: mx.array | None = None,
    places: Sequence[int] | None = None,
    capture: Capture | None = None,
) -> Step:
    """Read new positions; what the last of them say.

    Args:
        model: whose weights are used.
        embedded: [texts, new, width]; several texts only where nothing is captured.
        cache: extended in place.
        last: of how many positions it is wanted.
        left_padding, places: see `text_decoder.decode`.
        capture: which heads to look at.
    """
    attended: list[mx.array] = []
    weights: list[mx.array] = []

    def observe(layer: int, queries: mx.array, keys: mx.array) -> None:
        assert capture is not None
        seen = capture.observe(layer, queries, keys, last)
        if seen is not None:
            attended.append(seen[0])
            weights.extend([] if seen[1] is None else [seen[1]])

    hidden = decode(
        model.engine.model, embedded, cache, left_padding=left_padding, places=places,
        last=last,
        largest_score=np.inf if capture is None else model.largest_score,
        observe=None if capture is None else observe,
    )  # fmt: skip
    logits = model.engine.lm_head(hidden.reshape(-1, hidden.shape[-1]))
    tokens = mx.argmax(logits, axis=-1)
    said = mx.concatenate([tokens[:, None], *attended], axis=1).astype(mx.int32)
    return Step(
        said,
        logits if capture is not None else None,
        mx.concatenate(weights) if weights else None,
    )


def reading(model: Qwen3Model, capture: Capture | None = None) -> Read:
    """How `greedy.go_on` reads one more token of each text."""
    embed = model.engine.model.embed_tokens

    def read(tokens: mx.array, cache: KVCache, left_padding: mx.array | None, _: list[int]) -> Step:
        embedded = embed(tokens)[:, None]
        return take_step(model, embedded, cache, left_padding=left_padding, capture=capture)

    return read
