"""The log-mel spectrogram of a growing buffer, each frame computed once. numpy only.

The same numbers as the engine's `log_mel_spectrogram` (Whisper's): frames of 400 samples every
160 under a Hann window, power, 128 mel bands, log10, no lower than 8 below the loudest, scaled.
The last step depends on what is loudest: what is kept is what comes before it, and whoever asks
for a spectrogram says up to where it was to be heard. So that the floor does not move, and with it
what was encoded, with each louder frame, it is rounded to a quarter (2.5 dB); that shows only
where a recording is as good as silent.
"""

from __future__ import annotations

import numpy as np

from ...corpora.audio import SAMPLE_RATE
from .growing import Growing

HOP_SAMPLES = 160
LEAD_SAMPLES = 2 * HOP_SAMPLES
"""Audio before the buffer that its first two frames see into."""
_WINDOW_SAMPLES = 400
_REACH = _WINDOW_SAMPLES // 2  # samples that a frame sees on either side of its place
_RANGE = 8.0
_FLOOR_STEP = 0.25


class LogMel:
    """Frames of one buffer."""

    def __init__(self, filters: np.ndarray) -> None:
        """`filters`: [bands, 201], the mel filterbank."""
        # A band is a few bins next to each other. A product with all of the filterbank would be
        # mostly zeros, and wake up the threads of numpy's BLAS for them.
        bins = [_span(band) for band in filters]
        self._bins = np.concatenate([np.arange(first, stop) for first, stop in bins])
        self._weights = np.concatenate(
            [band[first:stop] for band, (first, stop) in zip(filters, bins, strict=True)]
        ).astype(np.float32)
        self._starts = np.cumsum([0, *(stop - first for first, stop in bins[:-1])])
        self._hann = np.hanning(_WINDOW_SAMPLES + 1)[:-1].astype(np.float32)
        self.reset()

    def reset(self) -> None:
        """Another buffer."""
        none = np.zeros((0, len(self._starts)), np.float32)
        self._final = Growing(none)  # [frames, bands], log10 of the power
        self._peaks = Growing(none[:, 0])  # [frames], the most of each
        self._unsure = none  # the frames after them, which more audio will change

    def drop(self, frames: int) -> None:
        """The buffer's first `frames` frames are gone from it."""
        self._final.drop(frames)
        self._peaks.drop(frames)
        self._unsure = self._unsure[:0]

    def update(self, samples: np.ndarray, lead: int) -> tuple[int, int]:
        """See the buffer as it is now.

        Args:
            samples: [lead + n] float32, n more than 200; the buffer begins with what it held at
                the last call, less what was dropped.
            lead: 0 at a stream's start, where the audio is mirrored; else `LEAD_SAMPLES`.

        Returns:
            Its frames, n // 160, and how many of them no more audio will change.
        """
        length = len(samples) - lead
        known, count = len(self._final), length // HOP_SAMPLES
        final = min(count, max(known, (length - _REACH) // HOP_SAMPLES + 1))
        fresh = self._computed(samples, lead, known, count)
        self._final.append(fresh[: final - known])
        self._peaks.append(fresh[: final - known].max(axis=1))
        self._unsure = fresh[final - known :]
        return count, final

    def floor(self, stop: int) -> float:
        """The floor of what is heard up to frame `stop`, in log10 of the power."""
        unsure = self._unsure[: max(0, stop - len(self._final))]
        loudest = max(self._peaks.rows[:stop].max(initial=-np.inf), unsure.max(initial=-np.inf))
        return float(np.round(loudest / _FLOOR_STEP) * _FLOOR_STEP - _RANGE)

    def scaled(self, first: int, stop: int, floor: float) -> np.ndarray:
        """The spectrogram of frames `first` to `stop`: [bands, stop - first] float32."""
        return ((np.maximum(self._raw(first, stop), np.float32(floor)) + 4.0) / 4.0).T

    def is_above(self, floor: float, first: int, stop: int) -> bool:
        """Whether the frames `first` to `stop` are nowhere below `floor`."""
        return bool(self._raw(first, stop).min() >= floor)

    def padded(self, samples: np.ndarray, frames: int) -> np.ndarray:
        """The spectrogram of a recording by itself, with silence up to so many frames.

        Args:
            samples: [n] float32.
            frames: n // 160 or more.

        Returns:
            [bands, frames] float32; what is kept of a buffer is not touched.
        """
        heard = min(frames, len(samples) // HOP_SAMPLES + 2)  # later ones see none of it
        silence = heard * HOP_SAMPLES + _REACH - len(samples)
        raw = self._computed(np.pad(samples, (0, max(0, silence))), 0, 0, heard)
        floor = raw.max() - _RANGE
        rest = np.full((frames - heard, raw.shape[1]), floor, np.float32)
        return ((np.concatenate([np.maximum(raw, floor), rest]) + 4.0) / 4.0).T

    def _raw(self, first: int, stop: int) -> np.ndarray:
        """[stop - first, bands], log10 of the power."""
        known = len(self._final)
        raw = self._final.rows[first:stop]
        if stop <= known:
            return raw
        return np.concatenate([raw, self._unsure[max(0, first - known) : stop - known]])

    def _computed(self, samples: np.ndarray, lead: int, first: int, stop: int) -> np.ndarray:
        """[stop - first, bands], log10 of the power, from frame `first` on."""
        if first >= stop:  # the same buffer again, or hardly more of it
            return np.zeros((0, len(self._starts)), np.float32)
        begin = lead + HOP_SAMPLES * first - _REACH
        end = lead + HOP_SAMPLES * (stop - 1) + _REACH
        part = samples[max(0, begin) : end]
        before, after = max(0, -begin), max(0, end - len(samples))
        if before or after:  # a frame's outermost sample has no weight: it may be another's
            part = np.pad(part, (before, after), mode="reflect")
        places = np.lib.stride_tricks.sliding_window_view(part, _WINDOW_SAMPLES)[::HOP_SAMPLES]
        spectrum = np.fft.rfft(places * self._hann)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
        bands = np.add.reduceat(power[:, self._bins] * self._weights, self._starts, axis=1)
        return np.log10(np.maximum(bands, 1e-10))


def _span(band: np.ndarray) -> tuple[int, int]:
    """The first bin that a band sees and the one after its last; one bin where it sees none."""
    seen = np.flatnonzero(band)
    return (int(seen[0]), int(seen[-1]) + 1) if len(seen) else (0, 1)


def mel_filterbank(bands: int) -> np.ndarray:
    """[bands, 201] float32, Slaney's mel filterbank up to 8 kHz: librosa's, and so Whisper's.

    Triangles between points that are evenly spaced on a scale which is linear below 1 kHz and
    logarithmic above (Slaney, "Auditory Toolbox", 1998), each of area 1.
    """
    linear_hz, steps_per_mel = 200 / 3, np.log(6.4) / 27
    top = 1000 / linear_hz
    mels = np.linspace(0, top + np.log(SAMPLE_RATE / 2 / 1000) / steps_per_mel, bands + 2)
    hertz = np.where(mels < top, linear_hz * mels, 1000 * np.exp(steps_per_mel * (mels - top)))
    bins = np.linspace(0, SAMPLE_RATE / 2, _WINDOW_SAMPLES // 2 + 1)
    rising = (bins - hertz[:-2, None]) / np.diff(hertz)[:-1, None]
    falling = (hertz[2:, None] - bins) / np.diff(hertz)[1:, None]
    area = 2 / (hertz[2:] - hertz[:-2])
    return (np.maximum(0, np.minimum(rising, falling)) * area[:, None]).astype(np.float32)
