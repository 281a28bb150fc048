"""Word times of audio that is too long to be aligned at once: window after window. numpy only.

Which words lie in a window is not known. Each is given somewhat less text than it should hold by
the pace of speech: aligners lay too little text over the right part of the audio, but spread too
much over all of it. The next window begins between two of its words, where it is quietest. So no
window has to be right to its end, and memory does not grow with the audio.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .aligners import AlignmentFailed
from .audio import SAMPLE_RATE
from .pauses import HOP_SAMPLES, HOPS_PER_S, power, quietest
from .utterance import WordTime

_SHARE = 0.8  # of the text that a window should hold
_LESS, _MORE, _TRIES = 0.6, 1.6, 12
_BORDER = (0.4, 0.75)  # of a window: where the next one may begin
_DOUBTED = 0.2  # of the words of a window: the last ones, whose place the missing text may change
_UNSAID_S = 0.3  # more speech than this between two words is that of words laid elsewhere
_SILENT_S = 0.1  # no more than this after the last word: it is the last in the window
_END_S = 1.0  # a text that comes so near to the end of a window may be too long for it
_PAUSE_S = 0.3
_HEARD, _AUDIBLE = 0.1, 1e-3  # of the power of a window, 10 dB below; of all of the audio, 30 dB
_TOO_FAST = 3.0


@dataclass(frozen=True)
class Placed:
    """A word with its time, and the position at which the text goes on after it."""

    word: WordTime
    stop: int


Align = Callable[[np.ndarray, int, int], Sequence[Placed]]
"""The words of `samples` [n] and of the text from one position to another: align(samples, first,
last). An aligner counts positions in whatever it likes, such as letters."""


def align_in_windows(
    align: Align, samples: np.ndarray, length: int, longest_s: float
) -> list[WordTime]:
    """Word times of all of a text in `samples` [n], 16 kHz, of any length.

    Args:
        align: see `Align`.
        samples: what is not longer than `longest_s` is aligned at once.
        length: positions of the text.
        longest_s: the most seconds that `align` is given.

    Raises:
        AlignmentFailed: the text does not go with the audio.
        Exception: what else `align` raises.
    """
    window = int(longest_s * SAMPLE_RATE)
    found: list[WordTime] = []
    start, first = 0, 0
    heard = _heard(samples, longest_s) if len(samples) > window else np.zeros(1)

    def share(stop: int) -> float:
        """Of the speech from `start` on, that before `stop`."""
        here, there = (heard[at // HOP_SAMPLES] for at in (start, stop))
        return float((there - here) / max(1, heard[-1] - here))

    while len(samples) - start > window:
        expected = share(start + window) * (length - first)
        placed, cut = _window(align, samples[start : start + window], first, length, expected)
        found += [_later(one.word, start / SAMPLE_RATE) for one in placed]
        first = placed[-1].stop if placed else first
        start += cut
    if start:
        at_pace = (heard[-1] - heard[start // HOP_SAMPLES]) / max(1, heard[-1]) * length
        in_window = min(1.0, longest_s * HOPS_PER_S / max(1, heard[-1])) * length
        if length - first > _TOO_FAST * at_pace + in_window / 4:
            raise AlignmentFailed(
                f"the transcript does not go with the audio: {1 - first / length:.0%} of it is "
                f"left for the last {(len(samples) - start) / SAMPLE_RATE:.0f} s"
            )
    return found + [
        _later(one.word, start / SAMPLE_RATE) for one in align(samples[start:], first, length)
    ]


def _window(
    align: Align, samples: np.ndarray, first: int, length: int, expected: float
) -> tuple[Sequence[Placed], int]:
    """The words of a window that are believed, and the sample at which the next one begins."""
    count, fits, too_much = max(1, round(_SHARE * expected)), 0, length - first + 1
    doubtful: tuple[Sequence[Placed], int] | None = None
    failure = AlignmentFailed("the transcript does not go with the audio: one lacks something")
    for _ in range(_TRIES):
        count = min(count, length - first)
        placed: Sequence[Placed] = ()
        try:
            placed = align(samples, first, first + count)
        except AlignmentFailed as error:
            # There may be no way through the audio for so much text.
            failure, is_too_much = error, True
        else:
            end_s = placed[-1].word.end_s if placed else 0.0
            is_too_much = end_s > len(samples) / SAMPLE_RATE - _END_S
        if is_too_much:
            too_much = count
        if not is_too_much or (placed and count == 1):
            gaps = _gaps(placed, len(samples) / SAMPLE_RATE)
            believed = gaps if first + count == length else gaps[: _believed(samples, gaps)]
            border = _border(samples, believed[: _said(samples, believed)])
            if border is not None:
                return placed[: border[0]], border[1]
            wider = _border(samples, believed)
            doubtful = doubtful or (wider and (placed[: wider[0]], wider[1]))
            fits = max(fits, count)
        if too_much - fits <= 1:
            break
        is_bounded = too_much <= length - first
        count = (fits + too_much) // 2 if is_bounded else math.ceil(_MORE * count)
        if is_too_much and not fits:
            count = max(1, round(_LESS * too_much))
    if doubtful is None:
        raise failure
    return doubtful


def _believed(samples: np.ndarray, gaps: Sequence[tuple[float, float]]) -> int:
    """How many of the gaps will stay where they are when more text follows."""
    is_last = _said(samples, gaps[-1:], _SILENT_S) == 1
    return len(gaps) if is_last else len(gaps) - math.ceil(_DOUBTED * (len(gaps) - 1))


def _gaps(placed: Sequence[Placed], duration_s: float) -> list[tuple[float, float]]:
    """[words + 1], from when to when nothing is said: before each word, and after the last."""
    ends = [0.0, *(one.word.end_s for one in placed)]
    starts = [*(one.word.start_s for one in placed), duration_s]
    return [(end, max(end, start)) for end, start in zip(ends, starts, strict=True)]


def _said(
    samples: np.ndarray, gaps: Sequence[tuple[float, float]], most_s: float = _UNSAID_S
) -> int:
    """How many of the gaps come before one with speech in it, whose words were laid elsewhere."""
    heard = _heard(samples, len(samples) / SAMPLE_RATE)
    for count, (end_s, start_s) in enumerate(gaps):
        begin, stop = (min(round(at_s * HOPS_PER_S), len(heard) - 1) for at_s in (end_s, start_s))
        if heard[stop] - heard[begin] > most_s * HOPS_PER_S:
            return count
    return len(gaps)


def _border(samples: np.ndarray, gaps: Sequence[tuple[float, float]]) -> tuple[int, int] | None:
    """After how many words, and at which sample, the next window begins; None: nowhere."""
    loudness = power(samples, _PAUSE_S)
    least, most = (round(part * len(samples) / HOP_SAMPLES) for part in _BORDER)
    places = []
    for count, (end_s, start_s) in enumerate(gaps):
        begin, stop = max(round(end_s * HOPS_PER_S), least), min(round(start_s * HOPS_PER_S), most)
        if begin <= stop:
            at = quietest(loudness, begin, stop)
            places.append((float(loudness[at]), count, at))
    if not places:
        return None
    _, count, at = min(places)
    return count, at * HOP_SAMPLES


def _heard(samples: np.ndarray, around_s: float) -> np.ndarray:
    """[hops + 1], in how many of the 10 ms up to each there may be speech."""
    near = power(samples)
    around = power(samples, around_s)
    is_loud = near > np.maximum(_HEARD * around, _AUDIBLE * near.mean())
    return np.concatenate([[0], np.cumsum(is_loud[:-1])])


def _later(word: WordTime, by_s: float) -> WordTime:
    return WordTime(word.text, word.start_s + by_s, word.end_s + by_s)
