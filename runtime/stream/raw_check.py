"""Whether bytes are what raw s16le samples at the rate that is believed look like.

A pipe says nothing about what is in it; decoded as what it is not, it gives words that nobody said.
"""

from __future__ import annotations

import numpy as np

from ...corpora.sound import RateCheck
from ...errors import InputError

_ENOUGH_BYTES = 16_384  # half a second; silence in front does not count
_RANDOM_BITS = 7.7  # of 8 in a byte; loud speech has 7.3
_UNIFORM_RMS = 32_768 / 3**0.5


class RawCheck:
    """Looks at a stream's first loud bytes, and at its first seconds of voice."""

    def __init__(self, sample_rate: int) -> None:
        self._bytes, self._place = b"", 0
        self._rate = sample_rate
        self._rate_check = RateCheck(sample_rate)
        self._is_layout_known = False

    def look(self, data: bytes, samples: np.ndarray) -> None:
        """Take the next bytes, whole samples, and the same as floats.

        Raises:
            InputError: they are something else, and how to convert it.
        """
        if not self._is_layout_known:
            # Zeros are the same in every layout; multiples of 8 stay at their places.
            zeros = 0 if self._bytes else len(data) - len(data.lstrip(b"\0"))
            self._bytes += data[max(0, zeros - (self._place + zeros) % 8) :]
            self._place += len(data)
            if len(self._bytes) >= _ENOUGH_BYTES:
                found = other_layout(self._bytes)
                if found is not None:
                    raise InputError(
                        f"stdin seems to hold {found}, expected raw s16le samples at "
                        f"{self._rate} Hz, mono; convert it, as in: "
                        "ffmpeg -i … -f s16le -ac 1 -ar 16000 -"
                    )
                self._is_layout_known, self._bytes = True, b""
        self._rate_check.hear(samples)
        if self._rate_check.fault:
            raise InputError(
                f"stdin sounds too slow ({self._rate_check.fault}): it seems to be of more than "
                f"{self._rate} Hz or of several channels; convert it with "
                "ffmpeg … -f s16le -ac 1 -ar 16000 -, or give sample_rate",
                arguments=("sample_rate",),
            )


def other_layout(data: bytes) -> str | None:
    """What bytes are that are no s16le samples; None: they may well be.

    Args:
        data: half a second or more, from the beginning of a sample.
    """
    for kind, name in (("<f8", "64 bit floats"), ("<f4", "32 bit floats")):
        size = int(kind[-1])
        values = np.abs(np.frombuffer(data[: len(data) // size * size], kind))
        said = values[values != 0]
        with np.errstate(invalid="ignore"):
            fitting = np.count_nonzero((said > 1e-8) & (said < 8))
        if len(said) > 200 and fitting > 0.95 * len(said):
            return name
    samples = np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float64)
    swapped = np.frombuffer(data[: len(data) // 2 * 2], ">i2").astype(np.float64)
    alike, alike_swapped = _likeness(samples), _likeness(swapped)
    if alike < 0.2 and alike_swapped > 0.6:
        return "big-endian samples"
    halves = [float(np.sqrt(np.square(samples[at::2]).mean())) for at in (0, 1)]
    if abs(halves[0] / _UNIFORM_RMS - 1) < 0.05 and halves[1] < _UNIFORM_RMS / 2:
        return "32 bit integers"
    if min(halves) == 0 < max(halves):
        return "32 bit integers, or two channels"
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256) / len(data)
    bits = -float((counts[counts > 0] * np.log2(counts[counts > 0])).sum())
    if bits > _RANDOM_BITS and abs(alike) < 0.1:
        return "compressed audio, or no audio"
    return None


def _likeness(samples: np.ndarray) -> float:
    """Correlation of each sample with the next: near 1 in speech, 0 in noise."""
    centred = samples - samples.mean()
    power = float(np.square(centred).sum())
    return float((centred[1:] * centred[:-1]).sum() / power) if power else 0.0
