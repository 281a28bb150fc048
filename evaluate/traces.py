"""A stream watched step by step, in the form that a report draws."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence

import numpy as np

from ..corpora import WordTime
from ..corpora.words import split_timed
from ..runtime.models.spectrogram import Spectrogram
from ..runtime.policy.words import words_of
from ..runtime.stream.trace import StepTrace
from .items import GAP_S, Item
from .trace_types import AudioPart, DecodingStep, GoldWord, Mel, TokenStep, Trace

TRACED_S = 30.0
"""Only so much of an utterance is kept: a chapter would fill the file."""

_MEL_CHANNELS = 64
_MEL_EVERY = 2


def make_trace(
    item: Item,
    steps: Sequence[StepTrace],
    gold: Sequence[WordTime] | None,
    picture: Spectrogram,
    duration_s: float,
) -> Trace:
    """The first `TRACED_S` seconds of a stream.

    Args:
        item: what was decoded.
        steps: as the decoder told them.
        gold: the words of `item`, if their times are known.
        picture: of the item's audio, or of its beginning.
        duration_s: the item's length.
    """
    seconds = min(duration_s, TRACED_S)
    shown = [step for step in steps if step.audio_s <= TRACED_S or step is steps[0]]
    words = None
    if gold is not None:
        words = [
            GoldWord(text=w.text, start_s=round(w.start_s, 3), end_s=round(w.end_s, 3))
            for w in split_timed(gold, words_of)
            if w.start_s < seconds
        ]
    return Trace(
        id=item.id,
        seconds=round(seconds, 3),
        audio=[
            AudioPart(
                path=str(one.audio_path.resolve()),
                offset_s=one.offset_s,
                duration_s=one.duration_s,
                gap_s=GAP_S if index else 0.0,
            )
            for index, one in enumerate(item.utterances)
        ],
        gold=words,
        mel=packed_mel(picture, seconds),
        steps=[_step(step) for step in shown],
    )


def _step(step: StepTrace) -> DecodingStep:
    tokens = [
        TokenStep(
            text=token.text,
            attended_s=round(token.attended_s, 3),
            committed=token.decision == "commit",
            reason=token.reason,
            probability=round(min(1.0, token.probability), 4),
        )
        for token in step.tokens
    ]
    return DecodingStep(
        audio_s=round(step.audio_s, 3),
        buffer_start_s=round(step.buffer_start_s, 3),
        border_s=None if step.reason == "final" else round(step.border_s, 3),
        reason=step.reason,
        tokens=tokens,
        gflop=step.gflop and round(step.gflop, 6),
        forward_passes=step.forward_passes,
    )


def packed_mel(picture: Spectrogram, seconds: float) -> Mel | None:
    """The first `seconds` of a spectrogram, small enough for the file: a byte a cell.

    Two channels and two columns become one each.
    """
    log_mel = picture.values[:, : int(seconds * picture.per_s)]
    channels, frames = log_mel.shape
    if frames < _MEL_EVERY or channels % _MEL_CHANNELS:
        return None
    frames -= frames % _MEL_EVERY
    per_channel = channels // _MEL_CHANNELS
    blocks = log_mel[:, :frames].reshape(
        _MEL_CHANNELS, per_channel, frames // _MEL_EVERY, _MEL_EVERY
    )
    mean = blocks.mean(axis=(1, 3))
    low, high = float(mean.min()), float(mean.max())
    scaled = np.round(255 * (mean - low) / (high - low or 1.0)).astype(np.uint8)
    return Mel(
        channels=_MEL_CHANNELS,
        frames=scaled.shape[1],
        per_second=picture.per_s / _MEL_EVERY,
        data=base64.b64encode(zlib.compress(scaled.tobytes(), 9)).decode("ascii"),
    )


def unpacked_mel(mel: Mel) -> np.ndarray | None:
    """[channels, frames] uint8; None where the data is damaged."""
    try:
        raw = zlib.decompress(base64.b64decode(mel.data, validate=True))
    except (ValueError, zlib.error):
        return None
    if len(raw) != mel.channels * mel.frames:
        return None
    return np.frombuffer(raw, np.uint8).reshape(mel.channels, mel.frames)
