"""Audio and prompts read, those of one stream or of several at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlx_qwen3_asr.decoder import KVCache

from ..backend import mx, on_gpu
from ..capture import Capture, Look, Step, said_by
from ..cpu.cores import each_on_a_core
from ..laid import MOST_POSITIONS, Laid
from .network import Cross, attending_to, listening_to
from .step import as_begun, logits_of, take_step

if TYPE_CHECKING:
    from .model import WhisperModel

ENCODING, HEARING, READING = 0, 1, 2
"""The places of passes: audio through the encoder, its language found, and prompts read."""


@dataclass(frozen=True)
class Prompt:
    """Tokens to be read.

    Attributes:
        tokens: new ones.
        cross: keys and values of the audio.
        last, capture, begins: see `take_step`.
    """

    tokens: Sequence[int]
    cross: Cross
    last: int = 1
    capture: Capture | None = None
    begins: bool = False


def encoded(model: WhisperModel, mel: mx.array) -> Cross:
    """Keys and values of the audio of a spectrogram, perhaps not computed yet."""
    return model.network.decoder.cross(model.network.encoder(mel))


def encoded_each(model: WhisperModel, mels: Sequence[mx.array]) -> list[Cross]:
    """What `encoded` gives of each, computed; on a CPU as `each_on_a_core` does it."""

    def one(mel: mx.array) -> Cross:
        cross = encoded(model, mel)
        mx.eval(cross)
        return cross

    mx.eval(mels)
    return [one(mel) for mel in mels] if on_gpu() else each_on_a_core(one, mels)


def read(model: WhisperModel, prompt: Prompt) -> tuple[Step, KVCache]:
    """What the last positions say, perhaps not computed yet; and the cache with them all."""
    cache = KVCache(model.num_layers)
    step = take_step(
        model, mx.array([list(prompt.tokens)]), cache, prompt.cross,
        last=prompt.last, capture=prompt.capture, begins=prompt.begins,
    )  # fmt: skip
    return step, cache


def share(prompt: Prompt) -> float:
    """Of what is good in one pass; see `Pass`."""
    return len(prompt.tokens) / MOST_POSITIONS


def read_packed(model: WhisperModel, prompts: Sequence[Prompt]) -> list[tuple[Step, KVCache]]:
    """What `read` gives of each, computed."""
    caches = [KVCache(model.num_layers) for _ in prompts]
    return list(zip(steps_packed(model, prompts, caches), caches, strict=True))


def detected_packed(model: WhisperModel, crosses: Sequence[Cross]) -> list[tuple[str, float]]:
    """What `WhisperModel.detected` gives of each."""
    prompts = [Prompt([model.vocabulary.start_id], cross) for cross in crosses]
    caches = [KVCache(model.num_layers) for _ in prompts]
    hidden = _hidden(model, prompts, caches, [Look(None, 1) for _ in prompts], _laid(prompts))
    return [model.heard(logits) for logits in model.network.logits(hidden)]


def steps_packed(
    model: WhisperModel, prompts: Sequence[Prompt], caches: Sequence[KVCache]
) -> list[Step]:
    """What the last positions of each prompt say, computed; the caches are extended in place."""
    looks = [Look(prompt.capture, prompt.last) for prompt in prompts]
    laid = _laid(prompts)
    logits = laid.wanted(logits_of(model, _hidden(model, prompts, caches, looks, laid)))
    steps = [
        said_by(as_begun(model, part) if prompt.begins else part, look)
        for part, prompt, look in zip(logits, prompts, looks, strict=True)
    ]
    mx.eval([step.arrays for step in steps], [[cache.keys, cache.values] for cache in caches])
    return steps


def _laid(prompts: Sequence[Prompt]) -> Laid:
    return Laid([len(prompt.tokens) for prompt in prompts], [prompt.last for prompt in prompts])


def _hidden(
    model: WhisperModel,
    prompts: Sequence[Prompt],
    caches: Sequence[KVCache],
    looks: Sequence[Look],
    laid: Laid,
) -> mx.array:
    """[wanted positions of all, width], after the last layer."""
    texts = [
        attending_to(len(prompt.tokens), cache, None, model.engine_dtype)
        for prompt, cache in zip(prompts, caches, strict=True)
    ]
    audio = [
        listening_to(prompt.cross, observe=None if look.capture is None else look.observe)
        for prompt, look in zip(prompts, looks, strict=True)
    ]

    def attending(index: int, q: mx.array, k: mx.array, v: mx.array) -> mx.array:
        parts = zip(laid.queried(q), laid.new(k), laid.new(v), strict=True)
        out = [see(index, *part) for (_, see), part in zip(texts, parts, strict=True)]
        return mx.concatenate(out, axis=2)

    def listening(index: int, q: mx.array) -> mx.array:
        parts = zip(audio, laid.queried(q), strict=True)
        return mx.concatenate([hear(index, part) for hear, part in parts], axis=2)

    tokens = [token for prompt in prompts for token in prompt.tokens]
    positions = mx.concatenate([positions for positions, _ in texts], axis=1)
    decoder = model.network.decoder
    return decoder.run(mx.array([tokens]), positions, attending, listening, mx.array(laid.ends))[0]
