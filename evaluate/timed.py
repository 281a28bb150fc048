"""Stream one recording through a decoder, step by step, and time each step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..corpora.audio import SAMPLE_RATE
from ..runtime.models.work import Work
from ..runtime.stream.decoder import StreamDecoder
from ..runtime.stream.word import Word, joined
from .latency import CommittedWord, compute_lags


@dataclass(frozen=True)
class TimedStream:
    """The words of one streamed recording, and the time to compute them.

    Attributes:
        words: as they were committed.
        text: all words, with spaces where the model wrote them.
        wall_s: seconds of computing.
        audio_s: the recording's length.
        work: what was computed; None where it was not counted.
    """

    words: tuple[CommittedWord, ...]
    text: str
    wall_s: float
    audio_s: float
    work: Work | None = None


def pieces(samples: np.ndarray, step_s: float) -> Iterator[np.ndarray]:
    """Cut `samples` into parts of `step_s`, as a live stream delivers them.

    Each part ends at a sample at which a decoder of that step decodes; the last may be short.
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
    """Feed `samples` [n] float, 16 kHz mono, to `stream` and finish it.

    Args:
        stream: one that has got no audio yet.
        samples: the recording.
        piece_s: seconds of audio fed at a time; None: the decoder's own step; infinity: all at
            once.
        clock: returns the time in seconds, to measure computing.

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
        CommittedWord(
            text=word.text,
            start_s=word.start_s,
            end_s=word.end_s,
            emitted_s=arrival_s,
            lag_s=lag_s,
            probability=None if word.probability is None else min(1.0, word.probability),
            border_distance_s=word.border_distance_s,
        )
        for batch, arrival_s, lag_s in zip(batches, arrivals_s, lags_s, strict=True)
        for word in batch
    ]
    return TimedStream(
        tuple(words), joined([word for batch in batches for word in batch]), sum(compute_s),
        received / SAMPLE_RATE, stream.work,
    )  # fmt: skip
