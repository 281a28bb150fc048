"""The clock of Qwen3-ASR: 13 frames in each second of audio, which restart with it.

The encoder's convolutions see a second at a time, 100 mel frames, and halve them three times: a
frame is 8 mel frames, 80 ms, and the 13th of a second the 4 that are left, 40 ms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..log_mel import HOP_SAMPLES

_MEL_PER_CHUNK = 100
_MEL_PER_FRAME = 8
_PER_CHUNK = -(-_MEL_PER_CHUNK // _MEL_PER_FRAME)
_FRAME_S = 0.08
_LAST_START_S = _FRAME_S * (_PER_CHUNK - 1)


@dataclass(frozen=True)
class Qwen3Clock:
    """See `FrameClock`."""

    def count(self, samples: int) -> int:
        """See `FrameClock`."""
        chunks, rest = divmod(samples // HOP_SAMPLES, _MEL_PER_CHUNK)
        return chunks * _PER_CHUNK + -(-rest // _MEL_PER_FRAME)

    def span_s(self, frame: int) -> tuple[float, float]:
        """See `FrameClock`."""
        second, place = divmod(frame, _PER_CHUNK)
        is_last = place == _PER_CHUNK - 1
        return second + place * _FRAME_S, second + (1.0 if is_last else (place + 1) * _FRAME_S)

    def frames(self, seconds: float) -> float:
        """See `FrameClock`."""
        second = math.floor(seconds)
        rest_s = seconds - second
        place = rest_s / _FRAME_S
        if rest_s > _LAST_START_S:
            place = _PER_CHUNK - 1 + (rest_s - _LAST_START_S) / (1 - _LAST_START_S)
        return _PER_CHUNK * second + place
