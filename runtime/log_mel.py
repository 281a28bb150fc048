"""The log-mel spectrogram of a growing buffer, each frame computed once. numpy only.

The same numbers as the engine's `log_mel_spectrogram` (Whisper's): frames of 400 samples every
160 under a Hann window, power, 128 mel bands, log10, no lower than 8 below the loudest, scaled.
The last step depends on all of the buffer: what is kept is what comes before it. So that the
floor does not move, and with it all that was encoded, whenever a buffer's loudest frame comes or
goes, it is rounded to a quarter (2.5 dB); that shows only where a recording is as good as silent.
"""

from __future__ import annotations

import numpy as np

HOP_SAMPLES = 160
LEAD_SAMPLES = 2 * HOP_SAMPLES
"""Audio before the buffer that its first two frames see into."""
_WINDOW_SAMPLES = 400
_REACH = _WINDOW_SAMPLES // 2  # samples that a frame sees on either side of its place
_RANGE = 8.0
_FLOOR_STEP = 0.25


class LogMel:
    """Frames of one buffer.

    Attributes:
        floor: of the frames given out last, in log10 of the power. While it stays, so do all
            final frames.
    """

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
        self._keep(np.zeros((0, len(self._starts)), np.float32))

    def drop(self, frames: int) -> None:
        """The buffer's first `frames` frames are gone from it."""
        self._keep(self._final[frames:].copy())

    def _keep(self, final: np.ndarray) -> None:
        self._final = final  # [frames, bands], log10 of the power
        self._loudest = final.max(initial=-np.inf)
        self.floor = -np.inf
        self._scaled = _scaled(final, self.floor)

    def frames(self, samples: np.ndarray, lead: int) -> tuple[np.ndarray, int]:
        """The buffer's spectrogram.

        Args:
            samples: [lead + n] float32, n more than 200; the buffer begins with what it held at
                the last call, less what was dropped.
            lead: 0 at a stream's start, where the audio is mirrored; else `LEAD_SAMPLES`.

        Returns:
            [bands, n // 160] float32, and how many of the frames no more audio will change
            (but for the floor, which a louder passage raises).
        """
        length = len(samples) - lead
        known, count = len(self._final), length // HOP_SAMPLES
        final = min(count, max(0, (length - _REACH) // HOP_SAMPLES + 1))
        fresh = self._raw(samples, lead, known, count)
        loudest = max(self._loudest, fresh.max(initial=-np.inf))
        floor = np.round(loudest / _FLOOR_STEP) * _FLOOR_STEP - _RANGE
        if floor != self.floor:
            self.floor, self._scaled = floor, _scaled(self._final, floor)
        frames = np.concatenate([self._scaled, _scaled(fresh, floor)])
        if final > known:
            more = fresh[: final - known]
            self._final = np.concatenate([self._final, more])
            self._scaled = frames[:final]
            self._loudest = max(self._loudest, more.max())
        return frames.T, final

    def _raw(self, samples: np.ndarray, lead: int, first: int, stop: int) -> np.ndarray:
        """[stop - first, bands], log10 of the power, from frame `first` on."""
        if first >= stop:  # the same buffer again, or hardly more of it
            return np.zeros((0, len(self._starts)), np.float32)
        begin = lead + HOP_SAMPLES * first - _REACH
        end = lead + HOP_SAMPLES * (stop - 1) + _REACH
        part = samples[max(0, begin) : end]
        before, after = max(0, -begin), max(0, end - len(samples))
        if before or after:
            whole = np.pad(samples, (before, after), mode="reflect")
            part = whole[begin + before : end + before]
        places = np.lib.stride_tricks.sliding_window_view(part, _WINDOW_SAMPLES)[::HOP_SAMPLES]
        spectrum = np.fft.rfft(places * self._hann)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
        bands = np.add.reduceat(power[:, self._bins] * self._weights, self._starts, axis=1)
        return np.log10(np.maximum(bands, 1e-10))


def _scaled(raw: np.ndarray, floor: float) -> np.ndarray:
    return (np.maximum(raw, np.float32(floor)) + 4.0) / 4.0


def _span(band: np.ndarray) -> tuple[int, int]:
    """The first bin that a band sees and the one after its last; one bin where it sees none."""
    seen = np.flatnonzero(band)
    return (int(seen[0]), int(seen[-1]) + 1) if len(seen) else (0, 1)
