"""Audio as a picture: a log-mel spectrogram for figures, whatever the model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from ...corpora.audio import SAMPLE_RATE
from .log_mel import HOP_SAMPLES, LogMel

_BANDS = 128
_LEAST_SAMPLES = HOP_SAMPLES * 2


@dataclass(frozen=True)
class Spectrogram:
    """`values`: [mel bands, columns] float32; `per_s`: columns in a second of audio."""

    values: np.ndarray
    per_s: float


def spectrogram(samples: np.ndarray) -> Spectrogram:
    """The log-mel spectrogram of `samples` [n], 16 kHz mono float."""
    samples = np.asarray(samples, np.float32)
    per_s = SAMPLE_RATE / HOP_SAMPLES
    if len(samples) < _LEAST_SAMPLES:
        return Spectrogram(np.zeros((_BANDS, 0), np.float32), per_s)
    log_mel = LogMel(_filters())
    count, _ = log_mel.update(samples, 0)
    return Spectrogram(log_mel.scaled(0, count, log_mel.floor(count)), per_s)


@cache
def _filters() -> np.ndarray:
    """[bands, 201], the mel filterbank."""
    from mlx_qwen3_asr.audio import mel_filters

    return np.array(mel_filters(_BANDS))
