"""The decoder's clock. numpy-free and engine-free, for scoring, policy and metrics."""

from __future__ import annotations

FRAMES_PER_SECOND = 13
"""Audio tokens in a full second: 100 mel frames, three convolutions of stride 2."""


def frame_count(samples: int) -> int:
    """Audio frames that the encoder makes of `samples` at 16 kHz: 13 a second, ceil(tail / 8)."""
    mel = samples // 160
    return mel // 100 * FRAMES_PER_SECOND + -(-(mel % 100) // 8)


def frame_start_s(frame: int) -> float:
    """Where frame `frame` starts, in seconds."""
    return frame / FRAMES_PER_SECOND
