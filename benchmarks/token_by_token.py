"""What discovery is compared with: attention captured while decoding, one read per head.

The plain way, as published tools have it: one clip at a time is decoded freely; at each token,
for every layer and head, the argmax over the audio frames of the query's attention is read
back from the device. Only the hit rate is scored. Model, cache and prompt are the same as
discovery's own, so that nothing but the way of capturing differs.
"""

from __future__ import annotations

import alignheads.runtime.models  # isort: skip  # noqa: F401  OpenBLAS must come before MLX

from dataclasses import dataclass

import numpy as np

from alignheads.corpora import Utterance
from alignheads.discovery.mapping import token_targets
from alignheads.runtime.models.backend import mx
from alignheads.runtime.models.continuation import Continuation, token_budget
from alignheads.runtime.models.cpu.products import linear
from alignheads.runtime.models.qwen3.model import Qwen3Model, Qwen3Prefix
from alignheads.runtime.models.qwen3.text_decoder import attention_weights, decode
from alignheads.runtime.policy.words import split_words

_MIN_TOLERANCE_FRAMES = 3


@dataclass(frozen=True)
class Captured:
    """A decoded answer: its tokens, and the attended frames [tokens, layers, heads] if read."""

    ids: list[int]
    frames: np.ndarray


def capture(model: Qwen3Model, prefix: Qwen3Prefix, read: bool = True) -> Captured:
    """Decode greedily from `prefix`, whose cache is used up; `read` off: capture nothing.

    The query of a token is the one that predicts it, so the last prompt position is run again.
    """
    prompt, engine = prefix.prompt, model.engine
    rows: list[int] = []

    def read_heads(_: int, queries: mx.array, keys: mx.array) -> None:
        weights = attention_weights(queries, keys)[..., prompt.audio_start : prompt.audio_stop]
        for head in range(weights.shape[0]):
            rows.append(int(mx.argmax(weights[head, 0]).item()))

    prefix.cache.trim(1)
    text = Continuation(token_budget(prefix.samples), model.vocabulary.end_ids)
    frames: list[list[int]] = []
    token = prompt.ids[-1]
    while True:
        embedded = engine.model.embed_tokens(mx.array([token]))[None]
        hidden = decode(engine.model, embedded, prefix.cache, observe=read_heads if read else None)
        token = int(mx.argmax(linear(engine.lm_head, hidden[0, -1])).item())
        frames.append(rows.copy())
        rows.clear()
        if not text.take(token):
            break
    ids = text.token_ids
    shape = (len(ids), model.num_layers, model.num_heads) if read else (len(ids), 0, 0)
    return Captured(ids, np.array(frames[: len(ids)], int).reshape(shape))


def hits(model: Qwen3Model, utterance: Utterance, captured: Captured) -> tuple[np.ndarray, int]:
    """Tokens of one clip that hit their gold word, [layers, heads], and of how many.

    The window is discovery's: max(3 frames, half the word) around the word's middle.
    """
    language, start = model.language_name(utterance.language), 0
    if language is None:
        language, start = model.vocabulary.answer_head(captured.ids)
    parts = [model.token_bytes(i) for i in captured.ids[start:]]
    targets = token_targets(split_words(parts, language), utterance.words or ())
    frames = captured.frames[start:][targets.token]
    per_s = model.clock.frames(1.0)
    middle = (targets.start_s + targets.end_s) / 2 * per_s
    half = (targets.end_s - targets.start_s) / 2 * per_s
    window = np.maximum(_MIN_TOLERANCE_FRAMES, half)[:, None, None]
    inside = np.abs(frames + 0.5 - middle[:, None, None]) <= window
    return inside.sum(axis=0), len(targets)
