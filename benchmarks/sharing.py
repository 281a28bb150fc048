"""What sessions that are due at the same moment save by decoding together.

    python benchmarks/sharing.py [--sessions 8] [--seconds 24] [--full-size DIR] [--minutes 10]
    python benchmarks/sharing.py --model DIR --corpus CORPUS [--sessions 8] [--seconds 12]

At each tick two sets of sessions are given the same second of speech: one set one session after
another, as before they could share, the other all at the same moment, each from a thread of its
own. Which set goes first changes from tick to tick, so that what else the machine does falls on
both alike. `--full-size DIR` takes a checkpoint of random weights (`full_size.py`) as well: it is
made to write a given number of tokens in each step, not the same in all sessions. `--model DIR`
streams the speech of a corpus with real weights instead, of either family.
"""

from __future__ import annotations

import alignheads.runtime.models  # isort: skip  # noqa: F401  OpenBLAS must come before MLX

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Annotated, Any, Protocol, cast
from unittest.mock import patch

import numpy as np
import typer

from alignheads import SpeechModel, StreamDecoder, load_corpus
from alignheads.commandline import run, say
from alignheads.corpora.audio import SAMPLE_RATE
from alignheads.runtime.models import engine_thread, shared_steps
from alignheads.runtime.models.backend import mx
from alignheads.runtime.models.qwen3.model import Qwen3Model
from alignheads.runtime.models.qwen3.source import Qwen3Source
from alignheads.runtime.models.whisper.source import WhisperSource

Bars = tuple[float | None, float | None]
"""Audio a second against one after another, overall and in the decode loop, at least."""
NONE: Bars = None, None
TINY: Bars = 2.5, None
FULL_SIZE: Bars = 1.5, 4.0
LONGEST_WAIT = 1.2
"""Of a step's wait, p95, times its own batch, at most. Batches differ by more than that, since the
audio in the buffers does; what sharing may add is what a step waits longer than it is computed."""
COMMITTED_PER_S = 3  # tokens of text in a second of speech
TOKENS = 2, 6  # that a step of a scripted session decodes, from the least to the most


class Session(Protocol):
    """A stream that is given a second at a time; `said`: what must not differ."""

    said: list[Any]

    def step(self, second: int) -> None:
        """Take one more second, the one that begins at `second`."""
        ...


class Streamed:
    """A stream as a user has it."""

    def __init__(self, model: SpeechModel, samples: np.ndarray) -> None:
        self._stream = StreamDecoder(model, language="en")
        self._samples = samples
        self.said: list[Any] = []

    def step(self, second: int) -> None:
        """See `Session`."""
        piece = self._samples[second * SAMPLE_RATE : (second + 1) * SAMPLE_RATE]
        words = self._stream.feed(piece)
        self.said += [(word.text, word.start_s, word.end_s) for word in words]


class _Scripted(Qwen3Source):
    """Says what its weights say, as many tokens as it is told."""

    wanted = 0

    def _draft_after(self, committed_ids: list[int]) -> list[int]:
        return []

    def _continued(self, read, cache, text, stop, ended):
        text._budget, text._end_ids = self.wanted, frozenset()
        return super()._continued(read, cache, text, stop, ended)


class Scripted:
    """A source at a real model's shapes, whose buffer grows by a second a step."""

    def __init__(self, model: Qwen3Model, samples: np.ndarray, number: int) -> None:
        heads = [(layer, 0) for layer in range(0, model.num_layers, 2)]
        self._source, self._samples = _Scripted(model, heads), samples
        self._random = np.random.default_rng(number)
        self._text = self._random.integers(0, 256, 1000).tolist()
        self.said: list[Any] = []

    def step(self, second: int) -> None:
        """See `Session`."""
        self._source.wanted = int(self._random.integers(TOKENS[0], TOKENS[1] + 1))
        samples = self._samples[: (second + 1) * SAMPLE_RATE]
        committed = self._text[: COMMITTED_PER_S * second]
        found = self._source.hypothesis(samples, 0, committed, "English")
        self.said.append(found.token_ids)


@dataclass
class Spent:
    """Seconds of one set: in all, of the processor, and in the decode loops. `rounds`: seconds
    and sessions of each; `waits`: from a step's being due to its end, and the number of its round.
    A second step in one piece of audio, as in a pause, is due when the first has ended, which shows
    that there is one."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    loop_s: float = 0.0
    loop_cpu_s: float = 0.0
    rounds: list[tuple[float, int]] = field(default_factory=list)
    waits: list[tuple[float, int]] = field(default_factory=list)
    begun: dict[int, int] = field(default_factory=dict)  # number of the last round, by its sources
    ends: dict[int, list[tuple[float, int]]] = field(default_factory=dict)  # of steps, by thread
    peak_bytes: int = 0


@contextmanager
def watched(spent: Spent) -> Iterator[None]:
    """Note what engine threads do."""
    take_steps, go_on = engine_thread.take_steps, shared_steps._go_on
    alone = shared_steps._Text.go_on_alone

    def loop(work: Callable) -> Callable:
        def timed(*arguments):
            begin, cpu = time.perf_counter(), time.process_time()
            work(*arguments)
            spent.loop_s += time.perf_counter() - begin
            spent.loop_cpu_s += time.process_time() - cpu

        return timed

    def rounds(asked, limit) -> None:
        begin = time.perf_counter()
        spent.begun.update((one.asker, len(spent.rounds)) for one in asked)
        take_steps(asked, limit)
        spent.rounds.append((time.perf_counter() - begin, len(asked)))

    def ending(hypothesis: Callable) -> Callable:
        def ended(source, *arguments, **options):
            spent.begun.pop(id(source), None)
            found = hypothesis(source, *arguments, **options)
            if id(source) in spent.begun:  # else there was too little audio to ask anything of
                end = time.perf_counter(), spent.begun[id(source)]
                spent.ends.setdefault(threading.get_ident(), []).append(end)
            return found

        return ended

    mx.reset_peak_memory()
    begin, cpu = time.perf_counter(), time.process_time()
    with (
        patch.object(engine_thread, "take_steps", rounds),
        patch.object(Qwen3Source, "hypothesis", ending(Qwen3Source.hypothesis)),
        patch.object(WhisperSource, "hypothesis", ending(WhisperSource.hypothesis)),
        patch.object(shared_steps, "_go_on", loop(go_on)),
        patch.object(shared_steps._Text, "go_on_alone", loop(alone)),
    ):
        yield
    spent.wall_s += time.perf_counter() - begin
    spent.cpu_s += time.process_time() - cpu
    spent.peak_bytes = max(spent.peak_bytes, mx.get_peak_memory())


def one_after_another(sessions: Sequence[Session], second: int, spent: Spent) -> None:
    """A step of each."""
    with watched(spent):
        for session in sessions:
            session.step(second)


def at_once(
    sessions: Sequence[Session], second: int, spent: Spent, pool: ThreadPoolExecutor
) -> None:
    """A step of each, all due at the same moment."""
    gate = threading.Barrier(len(sessions))

    def step(session: Session) -> list[tuple[float, int]]:
        gate.wait()
        due = time.perf_counter()
        session.step(second)
        ends = spent.ends.pop(threading.get_ident(), [])
        dues = [due, *(end for end, _ in ends)]
        return [(end - due, at) for due, (end, at) in zip(dues, ends, strict=False)]

    with watched(spent):
        for waits in pool.map(step, sessions):
            spent.waits += waits


def compared(
    make: Callable[[int], Session], count: int, seconds: int, skipped: int
) -> tuple[Spent, Spent, int]:
    """Two sets of `count` sessions over `seconds`, of which the first `skipped` are not measured.

    Returns:
        What each set spent, and how many sessions of both said the same.
    """
    sets = [make(number) for number in range(count)], [make(number) for number in range(count)]
    alone, shared, unmeasured = Spent(), Spent(), Spent()
    # A thread of their own for those that do not share: rounds of the others wait for those of
    # the last ones, whom these would have them forget.
    threads = weakref.WeakKeyDictionary()
    with ThreadPoolExecutor(count) as pool:
        for second in range(seconds):
            is_measured = second >= skipped
            for which in (0, 1) if second % 2 else (1, 0):
                if which == 0:
                    with patch.object(engine_thread, "_threads", threads):
                        one_after_another(sets[0], second, alone if is_measured else unmeasured)
                else:
                    at_once(sets[1], second, shared if is_measured else unmeasured, pool)
    same = sum(one.said == other.said for one, other in zip(*sets, strict=True))
    return alone, shared, same


def judge(line: str, value: float, sign: str, bar: float, unit: str = "") -> None:
    """Print one bar."""
    met = value >= bar if sign == ">=" else value <= bar
    print(f"  {'met   ' if met else 'MISSED'}  {line}: {value:.2f}{unit} (bar {sign} {bar:g})")


def print_compared(
    name: str, alone: Spent, shared: Spent, same: int, count: int, seconds: int, bars: Bars = NONE
) -> None:
    """The numbers, and the bars."""
    audio_s = count * seconds
    sizes = [size for _, size in shared.rounds]
    together = [spent for spent, size in shared.rounds if size > 1]
    batches = together or [spent for spent, _ in shared.rounds]  # none shared a round
    print(f"\n{name}: {count} sessions, {seconds} s of each; wall (processor) time\n")
    print("|  | ms per s of audio | of it in the decode loop | audio a second | peak of arrays |")
    print("| --- | --- | --- | --- | --- |")
    for title, one in (("one after another", alone), ("at the same moment", shared)):
        print(
            f"| {title} | {1000 * one.wall_s / audio_s:.1f} ({1000 * one.cpu_s / audio_s:.1f}) | "
            f"{1000 * one.loop_s / audio_s:.1f} ({1000 * one.loop_cpu_s / audio_s:.1f}) | "
            f"{audio_s / one.wall_s:.2f} | {one.peak_bytes / 1e6:.0f} MB |"
        )
    wait_s = float(np.percentile([waited for waited, _ in shared.waits], 95))
    over_own = [waited / shared.rounds[at][0] for waited, at in shared.waits]
    print(
        f"\n{mean(sizes):.1f} sessions a batch; a batch {1000 * mean(batches):.0f} ms, "
        f"a step waits {1000 * wait_s:.0f} ms (p95)"
    )
    overall, loop = bars
    ratio, loop_ratio = alone.wall_s / shared.wall_s, alone.loop_s / shared.loop_s
    print(f"          audio a second, at once over one after another: {ratio:.2f}x, by processor "
          f"time {alone.cpu_s / shared.cpu_s:.2f}x")  # fmt: skip
    print(f"          the decode loop: {loop_ratio:.2f}x, by processor time "
          f"{alone.loop_cpu_s / shared.loop_cpu_s:.2f}x")  # fmt: skip
    if overall is not None:
        judge("audio a second", ratio, ">=", overall, "x")
    if loop is not None:
        judge("the decode loop", loop_ratio, ">=", loop, "x")
    judge("sessions that say the same", same, ">=", count)
    judge("wait of a step over its own batch, p95", float(np.percentile(over_own, 95)), "<=",
          LONGEST_WAIT)  # fmt: skip
    print(f"          p95 wait over the mean batch: {wait_s / mean(batches):.2f}")
    judge("peak of arrays, at once over one after another",
          shared.peak_bytes / alone.peak_bytes, "<=", 1.0)  # fmt: skip


def speech(seconds: float, first: int, corpus: str = "demo:all") -> np.ndarray:
    """`seconds` of a corpus's clips in turn, from the one numbered `first` on."""
    utterances = load_corpus(corpus).utterances
    parts: list[np.ndarray] = []
    wanted = round(seconds * SAMPLE_RATE)
    while sum(map(len, parts)) < wanted:
        parts.append(utterances[first % len(utterances)].read())
        first += 1
    return np.concatenate(parts)[:wanted]


def resident_mb() -> float:
    """Memory of this process, from /proc (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def watch_memory(model: SpeechModel, count: int, minutes: float) -> None:
    """`count` sessions of so many minutes each, as fast as they go, and the memory on the way."""
    seconds = max(1, round(60 * minutes))
    sessions = [Streamed(model, speech(seconds, 7 * number)) for number in range(count)]
    marks, spent = [], Spent()
    with ThreadPoolExecutor(count) as pool:
        for second in range(seconds):
            at_once(sessions, second, spent, pool)
            if (second + 1) * 10 // seconds > second * 10 // seconds:
                marks.append(resident_mb())
                say(f"{(second + 1) / 60:.1f} minutes: {marks[-1]:.0f} MB")
    print(f"\n{count} sessions of {minutes:g} minutes: "
          + ", ".join(f"{mark:.0f}" for mark in marks) + " MB")  # fmt: skip
    judge("last mark over the first", marks[-1] / marks[0], "<=", 1.1)


def report_sharing(
    sessions: int, seconds: int, full_size: Path | None = None, minutes: float = 0.0
) -> None:
    """Measure and print; see the module."""
    tiny = SpeechModel.load("tiny")
    audio = [speech(seconds, 7 * number) for number in range(sessions)]
    say("tiny")
    skipped = min(2, seconds - 1)
    found = compared(lambda number: Streamed(tiny, audio[number]), sessions, seconds, skipped)
    print_compared("tiny", *found, sessions, seconds - skipped, TINY)
    if full_size is not None:
        say(f"{full_size}")
        big = cast("Qwen3Model", SpeechModel.load(full_size))

        def scripted(number: int) -> Session:
            return _From(Scripted(big, speech(16, 7 * number), number), 13)

        found = compared(scripted, sessions, 2, 1)
        print_compared(f"{full_size.name}, a step at 15 s", *found, sessions, 1, FULL_SIZE)
    if minutes:
        watch_memory(tiny, 32, minutes)


def report_model(path: Path, corpus: str, sessions: int, seconds: int) -> None:
    """Measure and print for one model on speech of a corpus."""
    say(f"{path}")
    model = SpeechModel.load(path)
    audio = [speech(seconds, 7 * number, corpus) for number in range(sessions)]
    skipped = min(2, seconds - 1)
    found = compared(lambda number: Streamed(model, audio[number]), sessions, seconds, skipped)
    print_compared(f"{path.name}, {corpus}", *found, sessions, seconds - skipped)


class _From:
    """A session whose first step reads all up to a place."""

    def __init__(self, session: Scripted, place: int) -> None:
        self._session, self._place, self.said = session, place, session.said

    def step(self, second: int) -> None:
        """See `Session`."""
        self._session.step(self._place + second)


def sharing(
    sessions: Annotated[int, typer.Option(help="at once")] = 8,
    seconds: Annotated[int, typer.Option(help="of speech in each")] = 24,
    full_size: Annotated[
        Path | None, typer.Option(help="a checkpoint of the real shapes, from full_size.py")
    ] = None,
    minutes: Annotated[
        float, typer.Option(help="then 32 sessions of so many minutes, for their memory")
    ] = 0.0,
    model: Annotated[
        Path | None, typer.Option(help="a checkpoint of real weights, instead of all that")
    ] = None,
    corpus: Annotated[str, typer.Option(help="its speech")] = "demo:all",
) -> None:
    """Measure what sessions save by decoding together, and compare with the bars."""
    if model is not None:
        report_model(model, corpus, sessions, seconds)
    else:
        report_sharing(sessions, seconds, full_size, minutes)


if __name__ == "__main__":
    run(sharing)
