"""What the samples themselves tell: far too loud, clipped, nearly silent, of another rate.

numpy only; hears no words.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np

_log = logging.getLogger(__name__)

LOUDEST = 16.0
"""Decoders of lossy formats and sound editors go past 1, but not past 24 dB; an int16 does."""

_CLIPPED_AT = 0.98
_CLIPPED_SHARE = 0.1
_NEARLY_SILENT = 0.005  # -46 dB, a tenth of the quietest clip of LibriSpeech
_LEAST_S = 0.5  # of audio, for a word about it

_WINDOW = 1024  # 64 ms at 16 kHz: two periods of 31 Hz
_HOP = 512
_HEARD_S = 12.0  # of loud audio is enough to tell a rate
_LEAST_VOICED = 60  # windows, 2 s of voice
_LOWEST_HZ, _HIGHEST_HZ = 25, 500
_LOWEST_VOICE_HZ = 60.0  # medians of LibriSpeech's speakers: 87 to 246 Hz
_TOP_HZ = 3_000.0  # 48 and 44.1 kHz taken for 16 have nothing above, where that was all they had
_TOP_SHARE = 1e-6  # LibriSpeech: 6e-4 and more; as if 48 kHz: 1e-7 and less
_HALF_HZ = 22_050  # of audio at half of the rate, or more, this says nothing
_LEAST_SPREAD = 1.1  # of a voice's pitch: a tone or a hum is no voice


class SoundCheck:
    """Listens to a recording, mono, block by block, and tells what is wrong with it."""

    def __init__(self, sample_rate: float) -> None:
        self._rate = sample_rate
        self._samples = self._clipped = 0
        self._peak = 0.0
        self._rate_check = RateCheck(sample_rate)

    def hear(self, samples: np.ndarray) -> None:
        """Take samples [n], floats."""
        self.hear_level(samples)
        self._rate_check.hear(samples)

    def hear_level(self, samples: np.ndarray) -> None:
        """The same, for all but the rate, which takes longer."""
        loud = np.abs(samples)
        self._samples += len(samples)
        self._clipped += int(np.count_nonzero(loud >= _CLIPPED_AT))
        self._peak = max(self._peak, float(loud.max(initial=0.0)))

    def faults(self) -> Iterator[tuple[str, str]]:
        """What is wrong with all that was heard: a kind, and words for the user."""
        if self._samples < _LEAST_S * self._rate:
            return
        if self._peak < _NEARLY_SILENT:
            level = f"its peak is {20 * np.log10(self._peak):.0f} dB" if self._peak else "all 0"
            yield "silent", f"is nearly silent ({level}): is it the right channel, or too quiet?"
        # What is louder than any sound is refused: it is not to be recorded less loud.
        elif self._clipped > _CLIPPED_SHARE * self._samples and self._peak <= LOUDEST:
            share = round(100 * self._clipped / self._samples)
            yield "clipped", f"is mostly clipped ({share} % of its samples): record it less loud"
        if self._rate_check.fault:
            yield "rate", f"sounds too slow ({self._rate_check.fault}): is its sample rate right?"


class RateCheck:
    """Whether speech sounds as if 44.1 or 48 kHz were taken for less: a voice far too low."""

    def __init__(self, sample_rate: float) -> None:
        self._rate = sample_rate
        self._rest = np.zeros(0, np.float32)
        self._pitches_hz: list[float] = []
        self._power = np.zeros(_WINDOW // 2 + 1)
        self._loudest = 0.0
        self._left = int(_HEARD_S * sample_rate)
        self.fault = ""

    def hear(self, samples: np.ndarray) -> None:
        """Take samples [n]; `fault` is set once there is evidence."""
        if self._left <= 0:
            return
        heard = np.concatenate([self._rest, np.asarray(samples, np.float32)])
        if len(heard) < _WINDOW:
            self._rest = heard
            return
        windows = np.lib.stride_tricks.sliding_window_view(heard, _WINDOW)[::_HOP]
        windows = windows[: 1 + self._left // _HOP]
        self._rest = heard[len(windows) * _HOP :]
        powers = np.square(windows).mean(axis=1)
        self._loudest = max(self._loudest, float(powers.max(initial=0.0)))
        loud = windows[powers > max(0.02 * self._loudest, _NEARLY_SILENT**2 / 10)]
        if len(loud):
            self._left -= len(loud) * _HOP
            self._note(loud)

    def _note(self, windows: np.ndarray) -> None:
        shape = np.hanning(_WINDOW).astype(np.float32)
        spectra = np.square(np.abs(np.fft.rfft(windows * shape, 2 * _WINDOW, axis=1)))
        self._power += spectra[:, ::2].sum(axis=0)
        self._pitches_hz += _pitches_hz(spectra, shape, self._rate)
        if len(self._pitches_hz) < _LEAST_VOICED:
            return
        low, median, high = np.percentile(self._pitches_hz, [20, 50, 80])
        top = self._power[int(_TOP_HZ * _WINDOW / self._rate) :].sum() / self._power.sum()
        self.fault = ""
        if high > _LEAST_SPREAD * low:
            if median < _LOWEST_VOICE_HZ:
                self.fault = f"the voice's pitch is {median:.0f} Hz"
            elif top < _TOP_SHARE and self._rate < _HALF_HZ:
                self.fault = f"there is nothing above {_TOP_HZ / 1000:g} kHz"


def _pitches_hz(spectra: np.ndarray, shape: np.ndarray, rate: float) -> list[float]:
    """Of the windows that are voiced: by the first high peak of the autocorrelation."""
    correlation = np.fft.irfft(spectra, axis=1)[:, :_WINDOW]
    of_shape = np.fft.irfft(np.square(np.abs(np.fft.rfft(shape, 2 * _WINDOW))))[:_WINDOW]
    correlation /= correlation[:, :1] + 1e-12
    correlation /= of_shape / of_shape[0] + 1e-3
    first, last = int(rate / _HIGHEST_HZ), min(int(rate / _LOWEST_HZ), _WINDOW - 1)
    found = []
    for one in correlation[:, first:last]:
        highest = one.max()
        inner = one[1:-1]
        is_peak = (inner > one[:-2]) & (inner >= one[2:]) & (inner > 0.85 * highest)
        if highest > 0.5 and is_peak.any():
            found.append(rate / (first + 1 + int(np.argmax(is_peak))))
    return found


_told: set[str] = set()
_heard = 0
_RATE_FILES = 8  # whose rate is looked at: a corpus has one


def warn_of_sound(samples: np.ndarray, sample_rate: int, name: str) -> None:
    """Log what is wrong with the samples [n] of a file: each kind once in a process."""
    global _heard
    _heard += 1
    check = SoundCheck(sample_rate)
    if _heard <= _RATE_FILES:
        check.hear(samples)
    else:
        check.hear_level(samples)
    for kind, words in check.faults():
        if kind not in _told:
            _told.add(kind)
            _log.warning("%s %s (said once, of the first such file)", name, words)
