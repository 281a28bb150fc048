"""A step of the text decoder: it reads new positions and says what comes after them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from mlx_qwen3_asr.decoder import KVCache

from ..backend import mx
from ..capture import Capture, Look, Step, said_by
from ..cpu.products import linear
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
    look = Look(capture, last)
    hidden = decode(
        model.engine.model, embedded, cache, left_padding=left_padding, places=places,
        last=last,
        largest_score=np.inf if capture is None else model.largest_score,
        observe=None if capture is None else look.observe,
    )  # fmt: skip
    return said_by(linear(model.engine.lm_head, hidden.reshape(-1, hidden.shape[-1])), look)


def reading(model: Qwen3Model, capture: Capture | None = None) -> Read:
    """How `greedy.go_on` reads one more token of each text."""
    embed = model.engine.model.embed_tokens

    def read(tokens: mx.array, cache: KVCache, left_padding: mx.array | None, _: list[int]) -> Step:
        embedded = embed(tokens)[:, None]
        return take_step(model, embedded, cache, left_padding=left_padding, capture=capture)

    return read
