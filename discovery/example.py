"""One utterance as one head sees it, for a figure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..corpora import Utterance, WordTime
from ..runtime.models.protocol import AlignmentModel, frame_edges_s
from ..runtime.models.spectrogram import spectrogram
from ..runtime.policy.words import split_words
from .mapping import token_targets


@dataclass(frozen=True)
class HeadExample:
    """The attention of one head over one utterance.

    Attributes:
        mel: [bands, columns], the log-mel spectrogram.
        mel_per_s: columns in a second.
        attention: [tokens, frames].
        frame_edges_s: [frames + 1], the start of each frame and the end of the last.
        tokens: the tokens' texts.
        spans: for each token the gold (start_s, end_s) of its word, or None.
        words: the gold words.
    """

    mel: np.ndarray
    mel_per_s: float
    attention: np.ndarray
    frame_edges_s: np.ndarray
    tokens: list[str]
    spans: list[tuple[float, float] | None]
    words: tuple[WordTime, ...]


def head_example(
    model: AlignmentModel, utterance: Utterance, layer: int, head: int, language: str | None = None
) -> HeadExample:
    """The model's own text of `utterance` and where (layer, head) looks while it is written.

    Raises:
        InputError: the audio cannot be read.
    """
    samples = utterance.read()
    given = language or utterance.language
    prefix = model.prefill(samples, given, as_stream=True)
    (answer,) = model.generate([prefix])
    rows: list[np.ndarray] = []

    def on_layer(index: int, weights: np.ndarray) -> None:
        if index == layer:
            rows.append(weights[head])

    model.attention(prefix, answer.text_ids, on_layer)
    parts = [model.token_bytes(i) for i in answer.text_ids]
    words = utterance.words or ()
    targets = token_targets(split_words(parts, given), words)
    spans: list[tuple[float, float] | None] = [None] * len(parts)
    for token, begin, end in zip(targets.token, targets.start_s, targets.end_s, strict=True):
        spans[token] = (float(begin), float(end))
    picture = spectrogram(samples)
    return HeadExample(
        mel=picture.values,
        mel_per_s=picture.per_s,
        attention=rows[0] if rows else np.zeros((0, prefix.frames)),
        frame_edges_s=frame_edges_s(model.clock, prefix.frames),
        tokens=[part.decode("utf-8", errors="replace") for part in parts],
        spans=spans,
        words=words,
    )
