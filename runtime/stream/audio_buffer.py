"""The audio of a stream: what is decoded at each step, and what waits for steps to come.

numpy only; knows samples and places in the stream, not when to decode or where to cut.
"""

from __future__ import annotations

import numpy as np

from ...corpora.audio import SAMPLE_RATE
from ...corpora.sound import LOUDEST
from ...errors import InputError
from ..models.growing import Growing
from ..models.protocol import CUT_SAMPLES, LEAD_SAMPLES


def as_samples(samples: np.ndarray) -> np.ndarray:
    """`samples` as [n] float32.

    Raises:
        InputError: they are not one channel of finite floats.
    """
    samples = np.asarray(samples)
    if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
        raise InputError(
            f"samples are {samples.dtype} of shape {samples.shape}; expected one channel of "
            "floats in -1 to 1 (divide int16 by 32768, average channels)"
        )
    peak = float(np.abs(samples).max(initial=0.0))
    if not np.isfinite(peak):
        raise InputError("the samples hold NaN or infinity")
    if peak > LOUDEST:
        raise InputError(
            f"a sample is {peak:.6g}; expected floats in -1 to 1: divide by 32768 what was 16 bit "
            "integers"
        )
    return samples.astype(np.float32)  # a copy: the caller may use its array again


class AudioBuffer:
    """A stretch of a stream, up to where it was last decoded.

    Attributes:
        lead: 0, or enough for the first mel frames.
        start: samples of the stream before the buffer.
    """

    def __init__(self) -> None:
        self._samples = Growing(np.zeros(0, np.float32))
        self.lead = 0
        self.start = 0
        self._waiting: list[np.ndarray] = []
        self._waiting_samples = 0

    @property
    def samples(self) -> np.ndarray:
        """[lead + n] float32, `lead` samples of the audio before the buffer, then it."""
        return self._samples.rows

    @property
    def start_s(self) -> float:
        """Where the buffer starts in the stream."""
        return self.start / SAMPLE_RATE

    @property
    def length(self) -> int:
        """Samples in the buffer, without the lead."""
        return len(self._samples) - self.lead

    @property
    def seconds(self) -> float:
        """Of audio in the buffer."""
        return self.length / SAMPLE_RATE

    @property
    def received(self) -> int:
        """Samples of the stream received, the waiting ones among them."""
        return self.start + self.length + self._waiting_samples

    def receive(self, samples: np.ndarray) -> None:
        """Have `samples` [n] float32 wait."""
        if len(samples):
            self._waiting.append(samples)
            self._waiting_samples += len(samples)

    def fill(self, place: int) -> None:
        """Move what waits, up to `place` in the stream, into the buffer."""
        missing = place - self.start - self.length
        if missing < 1:
            return
        waiting = np.concatenate(self._waiting)
        self._samples.append(waiting[:missing])
        self._waiting = [waiting[missing:]]
        self._waiting_samples -= missing

    def drop(self, seconds: float) -> int:
        """Drop the front, by whole 10 ms; how many samples went. Less than a lead stays."""
        gone = round(seconds * SAMPLE_RATE / CUT_SAMPLES) * CUT_SAMPLES
        if gone < LEAD_SAMPLES:
            return 0
        self._samples.drop(self.lead + gone - LEAD_SAMPLES)
        self.lead = LEAD_SAMPLES
        self.start += gone
        return gone
