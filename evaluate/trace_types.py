"""The trace of a stream in a benchmark file: what the decoder saw and did, step by step.

Times are seconds from the start of the utterance.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .record import Count, Fraction, Name, Rate, Record, Seconds


class GoldWord(Record):
    """A word of the reference and when it is spoken, from the start of the utterance."""

    text: str
    start_s: float
    end_s: float


class TokenStep(Record):
    """A token of a traced step. `attended_s`: the middle of its frame, from the start of audio.

    `probability` is the model's; None in files of earlier versions.
    """

    text: str
    attended_s: float
    committed: bool
    reason: str
    probability: Fraction | None = None


class DecodingStep(Record):
    """A traced step: audio decoded, where the buffer starts, the border, and the new tokens.

    `gflop`, `forward_passes`: what it computed, see `Observation`; None in files of earlier
    versions.
    """

    audio_s: Seconds
    buffer_start_s: Seconds
    border_s: Seconds | None
    reason: str
    tokens: list[TokenStep]
    gflop: Rate | None = None
    forward_passes: Count | None = None


class Mel(Record):
    """A log-mel spectrogram, `channels` x `frames` bytes (0 to 255), zlib and base64."""

    channels: Annotated[int, Field(ge=1, le=128)]
    frames: Annotated[int, Field(ge=1, le=100_000)]
    per_second: Annotated[float, Field(gt=0)]
    data: str


class AudioPart(Record):
    """A part of an audio file, from `offset_s`; silence of `gap_s` stands before it."""

    path: str
    offset_s: Seconds = 0.0
    duration_s: Seconds | None = None
    gap_s: Seconds = 0.0


class Trace(Record):
    """What the decoder saw and did in the first `seconds` of one utterance."""

    id: Name
    seconds: Seconds
    audio: list[AudioPart]
    gold: list[GoldWord] | None
    mel: Mel | None
    steps: list[DecodingStep]
