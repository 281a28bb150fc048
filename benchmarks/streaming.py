"""The streaming decoder against offline, the published algorithm, and the engine's own streaming.

    python benchmarks/streaming.py [--digits-corpus DIR] [--full-size DIR] [--hour] [--sessions 8]

All in one run, on the same audio. Each bar is printed with met or MISSED. See README.md beside
this file for what each line means.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from alignheads.commandline import run, say
from alignheads.corpora import Utterance, load_corpus
from alignheads.errors import InputError
from alignheads.evaluate.latency import Latency
from alignheads.heads.load import load_heads
from alignheads.runtime.models.backend import mx
from alignheads.runtime.models.model import SpeechModel
from alignheads.runtime.stream.config import DecoderConfig

# After the package, which makes MLX ready for this machine.
from streaming_hard import in_noise, unspaced, with_pauses  # isort: skip
from streaming_long import Hour, SilenceCost, at_once, one_hour, silence_costs  # isort: skip
from streaming_speed import (  # isort: skip
    Cost, ForcedOurs, ForcedPublished, at_most_15_s, by_buffer, forced_cost, memory_bandwidth,
    speech, weight_bytes, window_mean,
)  # fmt: skip
from streams import Contestant, Row, contestants, measure  # isort: skip

PUBLISHED_HEADS = 20
MORE_WER = 0.5  # points that streaming may cost
ALONE = ("offline", "ours, 1 s")
IN_NOISE = (
    "offline", "ours, 1 s", "published, border .25", "engine's streaming, 1 s",
    "engine's streaming, 2 s",
)  # fmt: skip
MORE_INSERTIONS = 1.2  # times those of offline decoding
UNSPACED_S = 60
PAUSES_S = (0.3, 1, 5, 15, 30, 120)
SECTIONS = ("table", "noise", "pauses", "unspaced", "speed")
_COMPARE = {"<=": operator.le, ">=": operator.ge, "<": operator.lt}


@dataclass
class Bars:
    """What was to be reached, and how many were."""

    met: int = 0
    missed: list[str] = field(default_factory=list)

    def check(self, what: str, value: float | None, sign: str, bar: float, unit: str = "") -> None:
        """Print one bar. A value that is not there misses it."""
        good = value is not None and _COMPARE[sign](value, bar)
        shown = "nothing" if value is None else f"{value:.3g}{unit}"
        self.judge(f"{what}: {shown} (bar {sign} {bar:.3g}{unit})", good)

    def judge(self, line: str, good: bool) -> None:
        """Print one bar that has its own words."""
        print(f"  {'met   ' if good else 'MISSED'}  {line}")
        self.met += good
        if not good:
            self.missed.append(line)


@dataclass(frozen=True)
class Job:
    """What every section here is of."""

    model: SpeechModel
    config: DecoderConfig
    heads: tuple[tuple[int, int], ...]
    demo: Sequence[Utterance]
    language: str | None
    detect: bool
    bars: Bars


def published_heads(config: DecoderConfig, model: SpeechModel) -> tuple[tuple[int, int], ...]:
    """The best 20 heads that the configuration's heads file lists, or all it has."""
    config.resolved(model)  # refuses what does not fit the model
    listed = load_heads(config.heads).compact if isinstance(config.heads, str) else config.heads
    return tuple(map(tuple, listed[:PUBLISHED_HEADS]))


HEADER = (
    "decoder", "WER %", "S / D / I", "delay mean / p50 / p90 s", "cut in two", "rewrites",
    "start error ms", "ms per s", "RTF",
)  # fmt: skip


def delays(times) -> str:
    """Mean, median and 90th percentile."""
    if times is None or not times.delay_s.count:
        return ""
    one = times.delay_s
    return f"{one.mean:.2f} / {one.p50:.2f} / {one.p90:.2f}"


def print_row(row: Row) -> None:
    """One line of the table, and one for what was shown before it was final."""
    counts = row.words
    start = row.times.start_error_ms.p50 if row.times and row.has_starts else None
    cells = (
        row.name, f"{row.wer:.1f}",
        f"{counts.substitutions} / {counts.deletions} / {counts.insertions}",
        delays(row.times), row.spaces.cut_words, row.rewrites,
        "" if start is None else f"{start:.0f}",
        f"{1000 * row.wall_per_s:.1f}", f"{row.wall_per_s:.3f}",
    )  # fmt: skip
    print_cells(cells)
    if row.shown is not None:
        print_cells(("… shown, in hindsight", "", "", delays(row.shown), *[""] * 5))


def print_cells(cells: Sequence[object]) -> None:
    """One line of a Markdown table."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def print_table(job: Job, name: str, utterances: Sequence[Utterance]) -> dict[str, Row]:
    """Every decoder on one corpus."""
    wanted = contestants(job.model, job.config, job.heads)
    rows = print_rows(job, name, utterances, wanted)
    print_table_bars(job.bars, name, rows)
    return rows


def print_noise(job: Job, seeds: int) -> None:
    """Decoders on the demo in white noise: what was said is said once, as far as it is heard."""
    wanted = [c for c in contestants(job.model, job.config, job.heads) if c.name in IN_NOISE]
    name = "demo:test in noise"
    rows = print_rows(job, name, in_noise(job.demo, seeds), wanted)
    offline, ours = rows["offline"].words, rows["ours, 1 s"].words
    most = MORE_INSERTIONS * offline.insertions
    job.bars.check(f"{name}: insertions", ours.insertions, "<=", most)
    job.bars.check(f"{name}: deletions", ours.deletions, "<=", offline.deletions)


def print_pauses(job: Job) -> None:
    """Ours on pairs of utterances with a pause of zeros between: as good as without."""
    wanted = [c for c in contestants(job.model, job.config, job.heads) if c.name == "ours, 1 s"]
    print("\npairs of demo:test with zeros between, ours, 1 s\n")
    print_cells(
        ("pause s", "WER %", "S / D / I", "delay p50 / p90 s", "start error p50 ms", "ms per s")
    )
    print_cells(["---"] * 6)
    errors: dict[float, int] = {}
    for pause_s in (0.0, *PAUSES_S):
        say(f"a pause of {pause_s:g} s")
        row = measure(wanted[0], with_pauses(job.demo, pause_s), job.detect)
        words, times = row.words, row.times
        assert times is not None
        print_cells((
            f"{pause_s:g}", f"{row.wer:.1f}",
            f"{words.substitutions} / {words.deletions} / {words.insertions}",
            delays(times), f"{times.start_error_ms.p50:.0f}", f"{1000 * row.wall_per_s:.1f}",
        ))  # fmt: skip
        errors[pause_s] = words.errors
    print()
    for pause_s in PAUSES_S:
        job.bars.check(f"a pause of {pause_s:g} s: errors", errors[pause_s], "<=", errors[0.0])


def print_unspaced(job: Job) -> None:
    """Text without spaces, of a perfect model."""
    say("text without spaces")
    print(f"\ntext without spaces, {UNSPACED_S} s, of a scripted model that is always right\n")
    print_cells(("text", "characters said", "out", "first after s", "latest after s"))
    print_cells(["---"] * 5)
    found = list(unspaced(job.model, job.config, UNSPACED_S))
    for one in found:
        print_cells((one.name, one.said, one.out, *(
            "" if seconds is None else f"{seconds:.2f}" for seconds in (one.first_s, one.late_s)
        )))  # fmt: skip
    print()
    for one in found:
        job.bars.check(f"{one.name}: characters out", one.out, ">=", one.said)
        job.bars.check(f"{one.name}: the first one after", one.first_s, "<=", 2, " s")


def print_rows(
    job: Job, name: str, utterances: Sequence[Utterance], wanted: Sequence[Contestant]
) -> dict[str, Row]:
    """The table of some decoders on one corpus."""
    audio_s = sum(len(one.read()) for one in utterances) / 16_000
    print(f"\n{name}: {len(utterances)} utterances, {audio_s:.0f} s\n")
    print_cells(HEADER)
    print_cells(["---"] * len(HEADER))
    rows = {}
    for contestant in wanted:
        say(f"{contestant.name} on {name}")
        rows[contestant.name] = measure(contestant, utterances, job.detect)
        print_row(rows[contestant.name])
    print()
    return rows


def print_table_bars(bars: Bars, name: str, rows: dict[str, Row]) -> None:
    """Ours against the absolute bars and against each of the others."""
    offline, one, half = rows["offline"], rows["ours, 1 s"], rows["ours, 0.5 s"]
    if one.times is None or half.times is None:
        raise InputError(f"{name} has no word times, so there are no delays: give a corpus "
                         "with TextGrids, or run align-corpus on it")  # fmt: skip
    delay, half_delay = one.times.delay_s, half.times.delay_s
    bars.check(f"{name}, 1 s: WER over offline", one.wer - offline.wer, "<=", MORE_WER, " points")
    extra = one.spaces.cut_words - offline.spaces.cut_words
    bars.check(f"{name}, 1 s: words cut in two, over offline", extra, "<=", 0)
    bars.check(f"{name}, 1 s: start error, median", one.times.start_error_ms.p50, "<=", 80, " ms")
    bars.check(f"{name}, 1 s: delay p50", delay.p50, "<=", 0.75, " s")
    bars.check(f"{name}, 1 s: delay p90", delay.p90, "<=", 1.2, " s")
    bars.check(f"{name}, 0.5 s: delay p50", half_delay.p50, "<=", 0.55, " s")
    bars.check(f"{name}, 0.5 s: WER over that with 1 s", half.wer - one.wer, "<=", 0, " points")
    ours = [row for row in rows.values() if row.name.startswith("ours")]
    for other in rows.values():
        if other.name.startswith(("published", "engine")):
            _against(bars, name, ours, other, offline)
            if other.shown is not None:
                _against(bars, name, ours, other, offline, in_hindsight=True)


def _mean_delay(times: Latency | None) -> float:
    mean = times.delay_s.mean if times else None
    return math.inf if mean is None else mean


def _against(
    bars: Bars,
    name: str,
    ours: Sequence[Row],
    other: Row,
    offline: Row,
    *,
    in_hindsight: bool = False,
) -> None:
    """The best of ours that is no later than the other and takes no more time must err less.

    Ours are as late as their commits. In hindsight, the other is as late as its words were shown
    and, as it turned out, did not change again. Where neither errs more than offline, none can be
    better.
    """
    late = _mean_delay(other.shown if in_hindsight else other.times)
    fit = [
        row for row in ours if _mean_delay(row.times) <= late and row.wall_per_s <= other.wall_per_s
    ]
    what = f"{other.name}{', shown, in hindsight' if in_hindsight else ''}"
    theirs = f"{other.wer:.1f} % at {late:.2f} s, {1000 * other.wall_per_s:.0f} ms per s of {what}"
    if not fit:
        bars.judge(f"{name}: none of ours is as early and fast as {theirs}", False)
        return
    best = min(fit, key=lambda row: (row.wer, row.wall_per_s))
    good = best.wer < other.wer or max(best.wer, other.wer) <= offline.wer
    bars.judge(
        f"{name}: {best.name}: WER {best.wer:.1f} % at {_mean_delay(best.times):.2f} s, "
        f"{1000 * best.wall_per_s:.0f} ms per s against {theirs}",
        good,
    )


def print_forced(job: Job, model: SpeechModel, heads, seconds: int, tokens: int, repeats: int):
    """The split of one step, forced tokens, ours and published.

    Returns the ratio of totals, and our mean over eight steps around that buffer.
    """
    samples = speech(job.demo, seconds)
    language = job.language
    print(f"\n{model.label}, a step at a buffer of {seconds} s, {tokens} forced tokens, "
          f"{len(heads)} heads, ms\n")  # fmt: skip
    print_cells(("decoder", "total", "encode", "prefill", "decode", "of it capture"))
    print_cells(["---"] * 6)
    costs: list[Cost] = []
    for name, kind in (("ours", ForcedOurs), ("published", ForcedPublished)):
        say(f"{name} at {seconds} s")
        cost = forced_cost(kind, model, heads, samples, tokens=tokens, language=language,
                           repeats=repeats)  # fmt: skip
        costs.append(cost)
        parts = (cost.total, cost.encode, cost.prefill, cost.decode, cost.capture)
        print_cells((name, *(f"{1000 * part:.1f}" for part in parts)))
    cycle = window_mean(model, heads, speech(job.demo, seconds + 4), tokens, language)
    print_cells((f"ours, mean of steps at {seconds - 3} to {seconds + 4} s",
                 f"{1000 * cycle:.1f}", *[""] * 4))  # fmt: skip
    bandwidth, size = memory_bandwidth(), weight_bytes(model)
    print_cells(("lower bound: one read of the weights a token", "", "", "",
                 f"{1000 * tokens * size / bandwidth:.1f}", ""))  # fmt: skip
    print(f"\n{size / 1e6:.0f} MB of weights a token, {bandwidth / 1e9:.1f} GB/s measured")
    return costs[1].total / costs[0].total, cycle


def print_speed(job: Job, streams: int, tokens: int, repeats: int) -> None:
    """What a step costs at tiny size."""
    print_forced(job, job.model, job.heads, 15, tokens, repeats)
    say("streams with buffers of at most 15 s")
    samples = speech(job.demo, 45)
    ours, theirs = at_most_15_s(job.model, job.config, job.heads, samples, job.language)
    print(f"\nfree streams with buffers of at most 15 s, after the first 15 s: ours "
          f"{1000 * ours:.1f}, published {1000 * theirs:.1f} ms per second of audio")  # fmt: skip
    job.bars.check(
        "time per audio second at 15 s, published over ours", theirs / ours, ">=", 4, "x"
    )
    say("steps by length of the buffer")
    print_cells(("a step of ours at a shorter and a longer buffer", "ms", "ms", "ratio"))
    print_cells(("---",) * 4)
    steps = by_buffer(job.model, job.config, job.demo, job.language, streams)
    for step in steps:
        print_cells((step.what, f"{1000 * step.short:.1f}", f"{1000 * step.long:.1f}",
                     f"{step.ratio:.2f}"))  # fmt: skip
    print()
    for step in steps:
        if step.is_judged:
            job.bars.check(f"step at 30 s over 10 s, {step.what}", step.ratio, "<=", 1.3, "x")


def print_full_size(job: Job, folder: Path, tokens: int, repeats: int) -> None:
    """The same split on a checkpoint of the real shapes."""
    model = SpeechModel.load(folder)
    heads = spread_heads(model)
    cycle = 0.0
    for seconds, bar in ((15, 2.0), (30, 2.5)):
        ratio, cycle = print_forced(job, model, heads, seconds, tokens, repeats)
        job.bars.check(f"{model.label} at {seconds} s, published over ours", ratio, ">=", bar, "x")
    short = window_mean(model, heads, speech(job.demo, 14), tokens, job.language)
    print(f"mean of our steps at 7 to 14 s and 27 to 34 s: {1000 * short:.1f}, "
          f"{1000 * cycle:.1f} ms")  # fmt: skip
    job.bars.check(f"{model.label}, step at 30 s over 10 s", cycle / short, "<=", 1.3, "x")


def spread_heads(model: SpeechModel) -> tuple[tuple[int, int], ...]:
    """The bundled 0.6B file's best 20 where the model has its shape; else 20, spread evenly."""
    bundled = load_heads("0.6b")
    if (model.num_layers, model.num_heads) == (bundled.num_layers, bundled.num_heads):
        return tuple(bundled.top(PUBLISHED_HEADS))
    pairs = [(layer, head) for layer in range(model.num_layers) for head in range(model.num_heads)]
    chosen = np.unique(np.linspace(0, len(pairs) - 1, PUBLISHED_HEADS).astype(int))
    return tuple(pairs[index] for index in chosen)


def print_hour(job: Job, minutes: float, rows: dict[str, Row] | None) -> None:
    """Memory and lost words of a long stream."""
    if rows is None:
        say("each utterance alone, to compare with")
        wanted = contestants(job.model, job.config, job.heads)
        rows = {c.name: measure(c, job.demo, job.detect) for c in wanted if c.name in ALONE}
    offline, alone = (rows[name] for name in ALONE)
    every = minutes / 12
    print(f"\none stream of {minutes:g} minutes, utterances with pauses\n")
    print_cells(("minute", "resident MB", "ms per s"))
    print_cells(["---"] * 3)
    config = job.config.changed(step_s=1.0)
    found: Hour | None = None
    for mark in one_hour(job.model, config, job.demo, job.language, minutes, every):
        if isinstance(mark, Hour):
            found = mark
            continue
        print_cells((f"{mark.minute:.1f}", f"{mark.resident / 1e6:.0f}",
                     f"{1000 * mark.wall_per_s:.1f}"))  # fmt: skip
    assert found is not None
    counts = found.errors
    print(f"\n{found.utterances} utterances: WER {100 * (counts.rate or 0):.1f} %, "
          f"{counts.substitutions} / {counts.deletions} / {counts.insertions} of "
          f"{counts.reference} words; each alone {alone.wer:.1f} %")  # fmt: skip
    first = found.marks[0].resident
    change = max(abs(mark.resident / first - 1) for mark in found.marks)
    job.bars.check("resident memory against the first mark", 100 * change, "<=", 10, " %")
    lost = 100 * (counts.deletions + counts.insertions) / counts.reference
    # What streaming may cost each utterance, by the table's first bar.
    bar = offline.wer + MORE_WER
    job.bars.check("words lost or doubled in a long stream", lost, "<=", bar, " %")
    job.bars.check("WER of a long stream", 100 * (counts.rate or 0), "<=", bar, " %")


def print_silence(job: Job, minutes: float) -> None:
    """What a stream costs that is half pauses."""
    say(f"{minutes:g} minutes of which half are pauses, decoded whole and with what is skipped")
    config = job.config.changed(step_s=1.0)
    print(f"\n{minutes:g} minutes of which half are pauses\n")
    print_cells(("skipped", "steps", "GFLOP", "share", "CPU s", "share", "WER"))
    print_cells(["---"] * 7)
    whole: SilenceCost | None = None
    for found in silence_costs(job.model, config, job.demo, job.language, minutes):
        whole = whole or found
        counted, spent = found.gflop / whole.gflop, found.cpu_s / whole.cpu_s
        print_cells((found.skips, str(found.steps), f"{found.gflop:.1f}", f"{counted:.2f}",
                     f"{found.cpu_s:.1f}", f"{spent:.2f}",
                     f"{100 * (found.errors.rate or 0):.1f} %"))  # fmt: skip
        if found.skips == "silence":
            job.bars.check("what a stream that is half pauses computes", counted, "<=", 0.6, "")
            job.bars.check("CPU of a stream that is half pauses", spent, "<=", 0.6, "")


def print_sessions(job: Job, count: int, seconds: float) -> None:
    """Several streams at once."""
    say(f"{count} sessions of {seconds:g} s")
    found = at_once(job.model, job.config, job.demo, job.language, count, seconds)
    print(f"\n{count} sessions of {seconds:g} s in threads: {found.resident_each / 1e6:.1f} MB "
          f"resident each, {found.arrays_each / 1e6:.1f} MB of arrays each")  # fmt: skip
    for fault in found.faults:
        print(f"  raised {fault}")
    job.bars.check("memory of a session", found.resident_each / 1e6, "<=", 60, " MB")
    job.bars.check(f"of {count} sessions, with the same words as alone", found.same, ">=", count)


def benchmark(
    model: Annotated[str, typer.Option(help="tiny, or a folder")] = "tiny",
    config: Annotated[Path | None, typer.Option(help="decoder_config.json; else bundled")] = None,
    sections: Annotated[str, typer.Option(help=f"of {','.join(SECTIONS)}; or none")] = ",".join(
        SECTIONS
    ),
    noise_seeds: Annotated[int, typer.Option(help="each clip in so many noises")] = 2,
    digits_corpus: Annotated[Path | None, typer.Option(help="a second corpus: real digits")] = None,
    clips: Annotated[int | None, typer.Option(help="only this many of each corpus")] = None,
    full_size: Annotated[
        Path | None, typer.Option(help="a folder that full_size.py wrote, for its speed")
    ] = None,
    tokens: Annotated[int, typer.Option(help="forced tokens of a step")] = 6,
    repeats: Annotated[int, typer.Option(help="take the median of this many")] = 5,
    streams: Annotated[int, typer.Option(help="streams for the cost by buffer")] = 6,
    hour: Annotated[bool, typer.Option("--hour", help="stream for an hour")] = False,
    minutes: Annotated[float, typer.Option(help="or for so long, with --hour")] = 60,
    silence: Annotated[
        float,
        typer.Option(help="minutes of a stream that is half pauses, decoded with skips; 0: none"),
    ] = 0,
    sessions: Annotated[int, typer.Option(help="streams at once; 0: none")] = 0,
    session_seconds: Annotated[float, typer.Option(help="how long each of them is")] = 60,
    detect: Annotated[bool, typer.Option("--detect", help="give no language in the table")] = False,
) -> None:
    """Measure streaming: the table, the cost of a step, an hour, and sessions at once."""
    chosen = [] if sections == "none" else sections.split(",")
    if set(chosen) - set(SECTIONS):
        raise InputError(f"--sections is {sections!r}; expected some of {','.join(SECTIONS)}")
    counts = {"tokens": tokens, "repeats": repeats, "streams": streams, "clips": clips,
              "noise-seeds": noise_seeds}  # fmt: skip
    for name, value in counts.items():
        if value is not None and value < 1:
            raise InputError(f"--{name} is {value}; expected 1 or more")
    if minutes <= 0 or silence < 0 or sessions < 0 or session_seconds <= 0:
        raise InputError(
            "--minutes, --silence, --sessions and --session-seconds cannot be negative"
        )
    loaded = SpeechModel.load(model)
    settings = DecoderConfig.load(config) if config else DecoderConfig.bundled(loaded.name)
    demo = load_corpus("demo:test").utterances[:clips]
    job = Job(loaded, settings, published_heads(settings, loaded), demo,
              demo[0].language, detect, Bars())  # fmt: skip
    border = settings.border_s or settings.border_fraction
    print(f"{loaded.name}, {loaded.dtype}, {mx.default_device()}, border {border:g}"
          f"{' s' if settings.border_s else ' of the buffer'}, {settings.head_count} heads, "
          f"published with {len(job.heads)}")  # fmt: skip
    rows = None
    if "table" in chosen:
        rows = print_table(job, "demo:test", demo)
        if digits_corpus is not None:
            digits = load_corpus(str(digits_corpus)).utterances[:clips]
            print_table(job, "digits", digits)
    if "noise" in chosen:
        print_noise(job, noise_seeds)
    if "pauses" in chosen:
        print_pauses(job)
    if "unspaced" in chosen:
        print_unspaced(job)
    if "speed" in chosen:
        print_speed(job, streams, tokens, repeats)
    if full_size is not None:
        print_full_size(job, full_size, tokens, repeats)
    if hour:
        print_hour(job, minutes, rows)
    if silence:
        print_silence(job, silence)
    if sessions:
        print_sessions(job, sessions, session_seconds)
    print(f"\nbars met: {job.bars.met}, MISSED: {len(job.bars.missed)}")
    for line in job.bars.missed:
        print(f"  MISSED  {line}")


if __name__ == "__main__":
    run(benchmark)
