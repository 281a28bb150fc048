"""Where long audio is cut: in its pauses, or where it is quietest. numpy only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .audio import SAMPLE_RATE

HOP_SAMPLES = SAMPLE_RATE // 100
HOPS_PER_S = SAMPLE_RATE // HOP_SAMPLES
_STOP_S = 0.1  # stops inside of words are shorter
_PAUSE_S = 0.3  # a pause between sentences is longer, and is preferred to one between words
_AS_LOUD = 0.1  # of the power of the audio around it, 10 dB below: what is louder is no pause


@dataclass(frozen=True)
class Piece:
    """A part of a recording, from `start` up to `stop`, in samples.

    `in_speech`: there is no pause where it ends.
    """

    start: int
    stop: int
    in_speech: bool = False


def power(samples: np.ndarray, around_s: float = _STOP_S) -> np.ndarray:
    """[hops + 1], the mean power of the `around_s` seconds around each 10 ms of `samples` [n]."""
    hops = len(samples) // HOP_SAMPLES
    whole = np.asarray(samples[: hops * HOP_SAMPLES], np.float32).reshape(hops, HOP_SAMPLES)
    sums = np.concatenate([[0.0], np.cumsum(np.square(whole).mean(axis=1), dtype=float)])
    at, half = np.arange(hops + 1), round(around_s * HOPS_PER_S) // 2
    begin, stop = np.maximum(0, at - half), np.minimum(hops, at + half)
    return (sums[stop] - sums[begin]) / np.maximum(1, stop - begin)


def cut_at_pauses(samples: np.ndarray, longest_s: float) -> list[Piece]:
    """Pieces of `samples` [n], 16 kHz, one after another, none longer than `longest_s`.

    Each but the last is at least half as long as may be, the last a quarter, and is cut at the
    quietest place: late in a pause, since models mistake a long silence before a word more than
    one after it.
    """
    longest, count = int(longest_s * SAMPLE_RATE), len(samples)
    found, start = [], 0
    is_long = count > longest
    loudness, near = (power(samples, s) if is_long else np.zeros(1) for s in (_PAUSE_S, _STOP_S))
    while count - start > longest:
        most = min(longest, count - start - longest // 4)
        first, last = math.ceil((start + longest // 2) / HOP_SAMPLES), (start + most) // HOP_SAMPLES
        loud = _AS_LOUD * near[start // HOP_SAMPLES : last + 1].mean()
        at = quietest(loudness, first, last)
        if loudness[first : last + 1].min() > loud:
            at = first + int(np.argmin(near[first : last + 1]))
        stop = at * HOP_SAMPLES
        found.append(Piece(start, stop, bool(near[at] > loud)))
        start = stop
    return [*found, Piece(start, count)]


def quietest(loudness: np.ndarray, first: int, last: int) -> int:
    """The quietest index from `first` to `last`: of several in a row, the last."""
    part = loudness[first : last + 1]
    at = int(np.argmin(part))
    as_quiet = 2 * part[at]
    while at + 1 < len(part) and part[at + 1] <= as_quiet:
        at += 1
    return first + at
