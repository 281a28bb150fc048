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
_LESS, _MORE, _TRIES = 0.6, 1.6, 8
_BORDER = (0.4, 0.75)  # of a window: where the next one may begin
_DOUBTED = 0.1  # of the words of a window: the last ones, whose place the missing text may change
_END_S = 2.0  # a text that comes so near to the end of a window may be too long for it
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
    count = _SHARE * expected
    for _ in range(_TRIES):
        last = min(length, first + max(1, round(count)))
        is_least = last - first <= 1
        try:
            placed = align(samples, first, last)
        except AlignmentFailed:
            # There may be no way through the audio with so much text.
            if is_least:
                raise
            count *= _LESS
            continue
        end_s = placed[-1].word.end_s if placed else 0.0
        if end_s > len(samples) / SAMPLE_RATE - _END_S and not is_least:
            count *= _LESS
            continue
        doubted = 0 if last == length else math.ceil(_DOUBTED * len(placed))
        border = _border(samples, placed, len(placed) - doubted)
        if border is not None:
            kept, cut = border
            return placed[:kept], cut
        count = _MORE * max(1.0, count)
    raise AlignmentFailed("the transcript does not go with the audio: one of them lacks something")


def _border(
    samples: np.ndarray, placed: Sequence[Placed], believed: int
) -> tuple[int, int] | None:
    """After how many words, and at which sample, the next window begins; None: nowhere."""
    loudness = power(samples, _PAUSE_S)
    least, most = (round(part * len(samples) / HOP_SAMPLES) for part in _BORDER)
    edges = [0.0, *(edge for one in placed for edge in (one.word.start_s, one.word.end_s))]
    edges.append(len(samples) / SAMPLE_RATE)
    places = []
    for count in range(believed + 1):
        end, start = (round(at_s * HOPS_PER_S) for at_s in edges[2 * count : 2 * count + 2])
        begin, stop = max(end, least), min(max(start, end), most)
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
