"""One recording through a stream decoder at its own step, timed: for measuring and tuning."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..corpora.audio import SAMPLE_RATE
from ..runtime.stream.decoder import StreamDecoder, Word, joined
from .latency import EmittedWord, compute_lags


@dataclass(frozen=True)
class TimedStream:
    """What came of one recording.

    Attributes:
        words: as committed, with the time from when their audio was there until they were out.
        text: all of them, spaces where the model wrote them.
        wall_s: seconds of computing.
        audio_s: the recording's length.
    """

    words: tuple[EmittedWord, ...]
    text: str
    wall_s: float
    audio_s: float


def pieces(samples: np.ndarray, step_s: float) -> Iterator[np.ndarray]:
    """`samples` in parts of `step_s`, as a stream that keeps up gets them; the last may be short.

    Parts end at the very samples where a decoder of that step decodes.
    """
    step = max(1, min(len(samples), int(min(step_s, 1e9) * SAMPLE_RATE)))
    for start in range(0, len(samples), step):
        yield samples[start : start + step]


def timed_stream(
    stream: StreamDecoder,
    samples: np.ndarray,
    *,
    piece_s: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> TimedStream:
    """Feed `samples` [n] float, 16 kHz mono, to a new `stream` and end it.

    Args:
        stream: new.
        samples: the recording.
        piece_s: they come in pieces of so much (None: the decoder's own step; infinity: all at
            once).
        clock: gives the seconds that computing is measured in.

    Raises:
        Exception: what the stream raises.
    """
    arrivals_s: list[float] = []
    compute_s: list[float] = []
    batches: list[list[Word]] = []
    received = 0

    def step(call, *arguments) -> None:
        begin = clock()
        batches.append(call(*arguments))
        compute_s.append(clock() - begin)
        arrivals_s.append(received / SAMPLE_RATE)

    for piece in pieces(samples, piece_s or stream.config.step_s):
        received += len(piece)
        step(stream.feed, piece)
    step(stream.finish)
    lags_s = compute_lags(arrivals_s, compute_s)
    words = [
        EmittedWord(word.text, word.start_s, word.end_s, arrival_s, lag_s)
        for batch, arrival_s, lag_s in zip(batches, arrivals_s, lags_s, strict=True)
        for word in batch
    ]
    return TimedStream(
        tuple(words), joined([word for batch in batches for word in batch]), sum(compute_s),
        received / SAMPLE_RATE,
    )  # fmt: skip
