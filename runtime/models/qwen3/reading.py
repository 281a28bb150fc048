"""Prompts read, that of one stream or those of several at once, each in a cache of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlx_qwen3_asr.decoder import KVCache

from ..backend import mx
from ..capture import Capture, Look, Step, said_by
from ..cpu.products import linear
from ..laid import MOST_POSITIONS, Laid
from .step import take_step
from .text_decoder import attending_to, run_layers

if TYPE_CHECKING:
    from .model import Qwen3Model

READING = 2  # the place of such a pass, after the encoder's


@dataclass(frozen=True)
class Prompt:
    """New positions of a prompt.

    Attributes:
        embedded: [1, new, width].
        open_cache: makes the cache that they are added to, anew each time.
        last, places, capture: see `take_step`.
    """

    embedded: mx.array
    open_cache: Callable[[], KVCache]
    last: int
    capture: Capture
    places: Sequence[int] | None = None


def read(model: Qwen3Model, prompt: Prompt) -> tuple[Step, KVCache]:
    """What the last positions say, perhaps not computed yet; and the cache with the new ones."""
    cache = prompt.open_cache()
    step = take_step(
        model, prompt.embedded, cache,
        last=prompt.last, places=prompt.places, capture=prompt.capture,
    )  # fmt: skip
    return step, cache


def share(prompt: Prompt) -> float:
    """Of what is good in one pass; see `Pass`."""
    return prompt.embedded.shape[1] / MOST_POSITIONS


def read_packed(model: Qwen3Model, prompts: Sequence[Prompt]) -> list[tuple[Step, KVCache]]:
    """What `read` gives of each, computed."""
    caches = [prompt.open_cache() for prompt in prompts]
    looks = [Look(prompt.capture, prompt.last) for prompt in prompts]
    texts = [
        attending_to(
            prompt.embedded, cache, places=prompt.places,
            largest_score=model.largest_score, observe=look.observe,
        )
        for prompt, cache, look in zip(prompts, caches, looks, strict=True)
    ]  # fmt: skip
    laid = Laid(
        [prompt.embedded.shape[1] for prompt in prompts], [prompt.last for prompt in prompts]
    )

    def attending(index: int, q: mx.array, k: mx.array, v: mx.array) -> mx.array:
        parts = zip(laid.queried(q), laid.new(k), laid.new(v), strict=True)
        out = [see(index, *part) for (_, see), part in zip(texts, parts, strict=True)]
        return mx.concatenate(out, axis=2)

    hidden = run_layers(
        model.engine.model,
        mx.concatenate([prompt.embedded for prompt in prompts], axis=1),
        mx.concatenate([positions for positions, _ in texts], axis=1),
        attending,
        laid.ends,
    )
    logits = linear(model.engine.lm_head, hidden[0])
    steps = [said_by(part, look) for part, look in zip(laid.wanted(logits), looks, strict=True)]
    mx.eval([step.arrays for step in steps], [[cache.keys, cache.values] for cache in caches])
    return list(zip(steps, caches, strict=True))
