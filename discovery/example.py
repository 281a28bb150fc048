"""One utterance as one head sees it, for a figure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..corpora import Utterance, WordTime
from ..runtime.models.qwen3.model import SpeechModel
from ..runtime.policy.words import split_words
from .mapping import token_targets


@dataclass(frozen=True)
class HeadExample:
    """The attention of one head over one utterance.

    Attributes:
        mel: [128, mel frames], the log-mel spectrogram, 100 frames a second.
        attention: [tokens, frames], 13 frames a second.
        tokens: the tokens' texts.
        spans: for each token the gold (start_s, end_s) of its word, or None.
        words: the gold words.
    """

    mel: np.ndarray
    attention: np.ndarray
    tokens: list[str]
    spans: list[tuple[float, float] | None]
    words: tuple[WordTime, ...]


def head_example(
    model: SpeechModel, utterance: Utterance, layer: int, head: int, language: str | None = None
) -> HeadExample:
    """The model's own text of `utterance` and where (layer, head) looks while it is written.

    Raises:
        InputError: the audio cannot be read.
    """
    samples = utterance.read()
    given = language or utterance.language
    prefix = model.prefill(samples, given)
    (ids,) = model.generate([prefix])
    start = len(ids) - len(model.transcript(ids, given).token_ids)
    rows: list[np.ndarray] = []

    def on_layer(index: int, weights: np.ndarray) -> None:
        if index == layer:
            rows.append(weights[head, start:])

    model.attention(prefix, ids, on_layer)
    parts = [model.vocabulary.token_bytes(i) for i in ids[start:]]
    words = utterance.words or ()
    targets = token_targets(split_words(parts, given), words)
    spans: list[tuple[float, float] | None] = [None] * len(parts)
    for token, begin, end in zip(targets.token, targets.start_s, targets.end_s, strict=True):
        spans[token] = (float(begin), float(end))
    attention = rows[0] if rows else np.zeros((0, prefix.frames))
    texts = [part.decode("utf-8", errors="replace") for part in parts]
    return HeadExample(model.log_mel(samples), attention, texts, spans, words)
