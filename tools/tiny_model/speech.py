"""Synthetic speech with exact word times: eSpeak NG through ctypes.

Knows the C interface of libespeak-ng (shipped in the `espeakng-loader` wheel) and
nothing about models or corpora. The library is a process-wide singleton and not
thread-safe: use one process per worker.

Source of the interface: `speak_lib.h` of eSpeak NG 1.52.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import espeakng_loader
import numpy as np
import soxr

from alignheads.corpora.audio import SAMPLE_RATE

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples go to the callback, at once
_PHONEME_EVENTS = 1  # espeakINITIALIZE_PHONEME_EVENTS
_CHARS_UTF8 = 1
_EVENT_END_OF_LIST, _EVENT_WORD, _EVENT_PHONEME = 0, 1, 7
_PARAM_RATE, _PARAM_PITCH, _PARAM_WORD_GAP = 1, 3, 7


class _EventId(ctypes.Union):
    _fields_ = [
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    ]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True)
class Voice:
    """A voice of eSpeak NG: `name` with its variant, rate in words a minute, pitch 0 to 100."""

    name: str
    rate_wpm: int
    pitch: int


@dataclass(frozen=True)
class Speech:
    """`samples` [n] int16 at 16 kHz, and one (word, start_s, end_s) for each word of the text."""

    samples: np.ndarray
    words: list[tuple[str, float, float]]


class Synthesizer:
    """Speaks text. One per process."""

    def __init__(self) -> None:
        self._lib = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self._rate = self._lib.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS)
        if self._rate <= 0:
            raise RuntimeError(f"eSpeak NG does not start with its data in {data.decode()}")
        self._chunks: list[np.ndarray] = []
        self._events: list[tuple[int, int, int, bytes]] = []
        self._callback = _Callback(self._collect)  # kept: ctypes does not hold it
        self._lib.espeak_SetSynthCallback(self._callback)

    def _collect(self, wav, count: int, events) -> int:
        if wav and count > 0:
            self._chunks.append(np.ctypeslib.as_array(wav, (count,)).copy())
        i = 0
        while events[i].type != _EVENT_END_OF_LIST:
            event = events[i]
            if event.type in (_EVENT_WORD, _EVENT_PHONEME):
                phoneme = event.id.string if event.type == _EVENT_PHONEME else b""
                self._events.append((event.type, event.text_position, event.sample, phoneme))
            i += 1
        return 0

    def say(self, text: str, voice: Voice) -> Speech:
        """Speak `text` (words separated by single spaces) with `voice`.

        Word starts are eSpeak's word events. A word ends where the next starts, or at the
        pause before it: eSpeak reports pauses as phonemes named `_`, `_:` and the like.

        Raises:
            ValueError: eSpeak NG lacks the voice, or reports other words than the text has.
        """
        if self._lib.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise ValueError(f"eSpeak NG has no voice named {voice.name!r}")
        self._lib.espeak_SetParameter(_PARAM_RATE, voice.rate_wpm, 0)
        self._lib.espeak_SetParameter(_PARAM_PITCH, voice.pitch, 0)
        self._chunks, self._events = [], []
        data = text.encode()
        self._lib.espeak_Synth(data, len(data) + 1, 0, 0, 0, _CHARS_UTF8, None, None)
        self._lib.espeak_Synchronize()
        samples = np.concatenate(self._chunks) if self._chunks else np.zeros(0, np.int16)
        words = self._word_times(text, len(samples))
        resampled = soxr.resample(samples.astype(np.float32), self._rate, SAMPLE_RATE)
        return Speech(np.clip(resampled, -32768, 32767).astype(np.int16), words)

    def _word_times(self, text: str, total: int) -> list[tuple[str, float, float]]:
        expected = text.split(" ")
        offset_of_word, position = {}, 1  # eSpeak counts characters from 1
        for index, word in enumerate(expected):
            offset_of_word[position] = index
            position += len(word) + 1
        starts: dict[int, int] = {}
        pauses: list[int] = []
        for kind, text_position, sample, phoneme in self._events:
            if kind == _EVENT_WORD and text_position in offset_of_word:
                starts.setdefault(offset_of_word[text_position], sample)
            elif kind == _EVENT_PHONEME and phoneme.startswith(b"_"):
                pauses.append(sample)
        if len(starts) != len(expected):
            raise ValueError(f"eSpeak NG timed {len(starts)} of the {len(expected)} words: {text}")
        times = []
        for index, word in enumerate(expected):
            start = starts[index]
            following = starts[index + 1] if index + 1 < len(expected) else total
            end = min([p for p in pauses if start < p < following], default=following)
            times.append((word, start / self._rate, end / self._rate))
        return times
