"""What `reuse` costs in words and saves in compute: the same speech, exactly and with it.

    python benchmarks/reused_words.py --refresh 1,2 --digits-corpus DIR --minutes 60

Streams the demo, real digits, the demo in noise and a long stream of it with pauses, with the
tiny model, once exactly and once for each `refresh_s`. Compute is counted at a real model's shapes,
too, as `cost.py` does.
"""

from __future__ import annotations

import alignheads.runtime.models  # isort: skip  # noqa: F401  OpenBLAS must come before MLX

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from streaming_hard import in_noise
from streaming_long import with_pauses

from alignheads import DecoderConfig, SpeechModel, StreamDecoder, load_corpus
from alignheads.commandline import run, say
from alignheads.corpora import Utterance
from alignheads.corpora.matching import plain_text
from alignheads.evaluate.error_rates import word_errors
from alignheads.evaluate.latency import stream_times, summary
from alignheads.evaluate.timed import TimedStream, timed_stream
from alignheads.runtime.models.work import Work

MORE_WER = 0.2
"""Percentage points of word error rate that reuse may cost."""
MORE_START_ERROR_MS = 10.0


@dataclass(frozen=True)
class Spoken:
    """One stream's audio, and what is said in it; `utterance`: with the times of its words."""

    samples: np.ndarray
    text: str
    utterance: Utterance | None = None


@dataclass(frozen=True)
class Result:
    """All streams of one corpus, with one configuration.

    Attributes:
        texts: what came out, by stream.
        wer: in percent.
        start_error_ms: median; None: no word times are known.
        delay_s: mean emission delay, likewise.
        work: of all of them.
        audio_s: likewise.
        wall_s: likewise.
    """

    texts: list[str]
    wer: float
    start_error_ms: float | None
    delay_s: float | None
    work: Work
    audio_s: float
    wall_s: float


def result(model: SpeechModel, config: DecoderConfig, spoken: Sequence[Spoken]) -> Result:
    """Stream them all."""
    found: list[TimedStream] = []
    begin = time.perf_counter()
    for one in spoken:
        stream = StreamDecoder(model, config, language="en", draft=False)
        found.append(timed_stream(stream, one.samples))
    wall_s = time.perf_counter() - begin
    texts = [plain_text(stream.text) for stream in found]
    errors = word_errors([plain_text(one.text) for one in spoken], texts)
    times = [
        stream_times(stream.words, one.utterance.words or (), stream.audio_s)
        for stream, one in zip(found, spoken, strict=True)
        if one.utterance is not None
    ]
    timed = summary(times) if times else None
    work = Work()
    for stream in found:
        assert stream.work is not None
        work += stream.work
    return Result(
        texts, 100 * (errors.rate or 0),
        timed and timed.start_error_ms.p50, timed and timed.delay_s.mean,
        work, sum(stream.audio_s for stream in found), wall_s,
    )  # fmt: skip


def changed_words(exact: Result, other: Result) -> tuple[int, int]:
    """Words of the exact streams that are other ones, missing or more; and all of them."""
    pairs = [(one.split(), two.split()) for one, two in zip(exact.texts, other.texts, strict=True)]
    return sum(words_changed(*pair) for pair in pairs), sum(len(one) for one, _ in pairs)


def words_changed(was: Sequence[str], now: Sequence[str]) -> int:
    """Words that are other ones, missing or more."""
    parts = SequenceMatcher(None, was, now, autojunk=False).get_opcodes()
    return sum(max(b - a, d - c) for kind, a, b, c, d in parts if kind != "equal")


def alone(utterances: Sequence[Utterance]) -> list[Spoken]:
    """A stream for each."""
    return [Spoken(one.read(), one.text, one) for one in utterances]


def corpora(
    wanted: Sequence[str], digits: Path | None, minutes: float, clips: int | None
) -> Iterator[tuple[str, list[Spoken]]]:
    """By name, what is streamed."""
    demo = load_corpus("demo:test").utterances[:clips]
    if "demo" in wanted:
        yield "demo:test", alone(demo)
    if "digits" in wanted and digits is not None:
        yield "digits", alone(load_corpus(str(digits)).utterances[:clips])
    if "noise" in wanted:
        yield "demo:test in noise", alone(in_noise(demo, 2))
    if "long" in wanted and minutes:
        parts = list(with_pauses(demo, 60 * minutes))
        samples = np.concatenate([samples for _, samples in parts])
        yield f"{minutes:g} minutes", [Spoken(samples, " ".join(text for text, _ in parts))]


def reuse_command(
    refresh: Annotated[str, typer.Option(help="seconds, by commas")] = "1,2",
    digits_corpus: Annotated[Path | None, typer.Option(help="real digits")] = None,
    minutes: Annotated[float, typer.Option(help="of a long stream")] = 60.0,
    clips: Annotated[int | None, typer.Option(help="only this many of each corpus")] = None,
    sections: Annotated[str, typer.Option(help="which corpora")] = "demo,digits,noise,long",
) -> None:
    """Compare streams with reuse with exact ones, and check the bars."""
    compare(sections, refresh, digits_corpus, minutes, clips)


def compare(
    sections: str, refresh: str, digits: Path | None, minutes: float, clips: int | None = None
) -> None:
    """Print the table and the bars of some corpora, by commas."""
    model = SpeechModel.load("tiny")
    exact = DecoderConfig.bundled("tiny")
    configs = [
        exact.changed(reuse=True, refresh_s=float(refresh_s)) for refresh_s in refresh.split(",")
    ]
    print("corpus  refresh s  WER %  start error ms  delay s  words changed  GFLOP/s  ms/s")
    for name, spoken in corpora(sections.split(","), digits, minutes, clips):
        say(name)
        base: Result | None = None
        for config in (exact, *configs):
            found = result(model, config, spoken)
            base = base or found
            _print(name, config, base, found)


def _print(name: str, config: DecoderConfig, exact: Result, found: Result) -> None:
    changed, total = changed_words(exact, found)
    error_ms, delay_s = found.start_error_ms, found.delay_s
    print(
        f"{name}  {f'{config.refresh_s:g}' if config.reuse else 'exact'}  {found.wer:.2f}  "
        f"{'-' if error_ms is None else f'{error_ms:.1f}'}  "
        f"{'-' if delay_s is None else f'{delay_s:.3f}'}  {changed} of {total}  "
        f"{found.work.flop / found.audio_s / 1e9:.3f}  {1000 * found.wall_s / found.audio_s:.1f}",
        flush=True,
    )
    if not config.reuse:
        return
    more_wer = found.wer - exact.wer
    verdict = "met" if more_wer <= MORE_WER else "missed"
    print(f"bar: {name}: WER at most {MORE_WER} points more: {more_wer:+.2f}, {verdict}")
    if error_ms is not None and exact.start_error_ms is not None:
        more_ms = error_ms - exact.start_error_ms
        verdict = "met" if more_ms <= MORE_START_ERROR_MS else "missed"
        print(
            f"bar: {name}: start error at most {MORE_START_ERROR_MS:g} ms more: {more_ms:+.1f}, "
            f"{verdict}",
            flush=True,
        )


if __name__ == "__main__":
    run(reuse_command)
