"""What replay saves, what calibration gains, and what a ranking of heads is worth to a stream.

    python benchmarks/calibration.py [--digits-corpus DIR]
    python benchmarks/calibration.py --sections none --rankings a.json --rankings b.json

All in one run. Each bar is printed with met or MISSED. See README.md beside this file.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from alignheads.calibrate.held_out import score_held_out
from alignheads.calibrate.result import CHOSEN, Comparison
from alignheads.calibrate.scoring import Score, score
from alignheads.calibrate.setting_up import set_up
from alignheads.calibrate.speech import Recording, Speech, SpeechOptions, read_speech
from alignheads.calibrate.study.pareto import hypervolume
from alignheads.calibrate.sweep import MEMORY, Sweep, SweepOptions
from alignheads.commandline import run, say
from alignheads.corpora import load_corpus
from alignheads.errors import InputError
from alignheads.evaluate.intervals import Sums, paired_difference, rate_interval
from alignheads.evaluate.timed import TimedStream
from alignheads.heads import load_heads
from alignheads.runtime.models.model import SpeechModel

from published_decoder import PublishedSettings  # isort: skip
from streaming import Bars, print_cells  # isort: skip
from streams import WHOLE_CONTEXT_TOKENS, published  # isort: skip

SECTIONS = ("cost", "command", "result")
BORDERS_S = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
HEAD_COUNTS = (1, 2, 4, 7, 12, 20, 40)
WORST = (0.2, 2.0)  # WER and delay from which the hypervolume of a ranking is measured


def swept(
    model: SpeechModel, trials: int, seed: int, phases: int | None, store: str | Path
) -> tuple[Sweep, float]:
    """A sweep of the demo, run, and the seconds that its trials took."""
    sweep = set_up(
        model,
        speech=SpeechOptions(phases=phases),
        options=SweepOptions(trials=trials, seed=seed, store=store),
    )
    begin = time.perf_counter()
    sweep.run()
    return sweep, time.perf_counter() - begin


def live_pass_s(sweep: Sweep) -> float:
    """Seconds of one live pass over the development speech, with every ranked head captured."""
    begin = time.perf_counter()
    for recording in sweep.dev.recordings:
        sweep.live(sweep.space.base, recording)
    return time.perf_counter() - begin


def print_cost(bars: Bars, model: SpeechModel, trials: int, seed: int) -> None:
    """The trials against one live pass over the same speech."""
    print(f"\n{trials} trials on demo:dev, in multiples of one live pass over the same streams\n")
    print_cells(("phases", "live pass s", "trials s", "ratio", "over one phase live",
                 "states decoded", "hit rate %", "states of a live pass"))  # fmt: skip
    print_cells(["---"] * 8)
    one_phase_s = 0.0
    for phases in (1, None):
        say(f"{trials} trials, phases: {phases or 'default'}")
        with tempfile.TemporaryDirectory() as folder:
            sweep, seconds = swept(model, trials, seed, phases, folder)
            # Before and after: other work on the machine comes and goes.
            passes = [live_pass_s(sweep) for _ in range(3)]
            live_s = float(np.median(passes))
            decoded, replayed = sweep.replay.decoded, sweep.replay.replayed
            sweep.store.close()
        ratio = seconds / live_s
        one_phase_s = one_phase_s or live_s
        print_cells((
            sweep.dev.phases, f"{live_s:.2f}", f"{seconds:.2f}", f"{ratio:.2f}",
            f"{seconds / one_phase_s:.2f}", decoded,
            f"{100 * replayed / (decoded + replayed):.1f}", (decoded + replayed) // trials,
        ))  # fmt: skip
        if phases == 1:
            bars.check(f"{trials} trials, one phase, over a live pass", ratio, "<=", 4, "x")
        else:
            bars.check(f"{trials} trials as by default, over a live pass", ratio, "<=", 4, "x")
    again, _ = swept(model, trials, seed, 1, MEMORY)
    twin, _ = swept(model, trials, seed, 1, MEMORY)
    bars.judge("the same seed gives the same front", same_front(again, twin))


def same_front(one: Sweep, other: Sweep) -> bool:
    """Whether two sweeps have the same front, with the same parameters."""
    fronts = [
        [sweep.standing().trial(number).params for number in sweep.standing().front]
        for sweep in (one, other)
    ]
    return fronts[0] == fronts[1]


def print_command(bars: Bars, trials: int) -> None:
    """The whole command, in a folder and with a store of its own."""
    say("the whole command")
    with tempfile.TemporaryDirectory() as folder:
        code = "from alignheads.calibrate.cli import main; main()"
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code, "--trials", str(trials), "--store", f"{folder}/store"],
            cwd=folder, capture_output=True, text=True,
        )  # fmt: skip
        seconds = time.perf_counter() - begin
        if done.returncode:
            raise InputError(f"calibrate failed: {done.stderr.strip().splitlines()[-1]}")
    bars.check(f"calibrate --trials {trials}, all of it", seconds, "<=", 180, " s")


def print_result(bars: Bars, sweep: Sweep, speech: Sequence[Speech]) -> None:
    """The chosen configuration against the published settings and the published decoder."""
    found = sweep.standing(strict=True)
    configs = {CHOSEN: sweep.config(found)}
    configs |= {n: sweep.space.config(p) for n, p in sweep.space.baselines().items()}
    settings = ", ".join(f"{k} {v}" for k, v in found.chosen.params.items())
    print(f"\nchosen on demo:dev: {settings}")
    for corpus in speech:
        say(f"held out: {corpus.corpus.name}")
        held_out = score_held_out(configs, corpus, sweep.replayed)
        print(f"\n{corpus.corpus.name}, {len(corpus.corpus)} utterances, {corpus.phases} phases\n")
        print_cells(("decoder", "WER %", "mean delay s"))
        print_cells(["---"] * 3)
        for point in held_out.points:
            print_cells((point.name, interval(point.wer, 100), interval(point.delay_s, 1)))
        offline = offline_errors(sweep, corpus)
        print_cells(("offline, all audio at once", interval(rate_interval(offline), 100), ""))
        print_published(sweep, corpus)
        print()
        for comparison in held_out.comparisons:
            check_comparison(bars, corpus.corpus.name, comparison)


def offline_errors(sweep: Sweep, corpus: Speech) -> Sums:
    """The model's own word errors, with all audio at once."""

    def stream(one: Recording) -> TimedStream:
        text = sweep.model.transcribe(one.samples, one.utterance.language).text
        return TimedStream((), text, 0.0, one.audio_s)

    return score(corpus.recordings, stream).errors


def print_published(sweep: Sweep, corpus: Speech) -> None:
    """The published decoder itself, not only its settings in ours."""
    heads = tuple(sweep.heads.compact[:20])
    plain = PublishedSettings(heads, step_s=sweep.space.base.step_s)
    whole = PublishedSettings(
        heads, step_s=sweep.space.base.step_s, context_tokens=WHOLE_CONTEXT_TOKENS
    )
    for name, chosen in (("published decoder, border .25", plain),
                         ("the same with whole context", whole)):  # fmt: skip
        found = score(corpus.first_phase, partial(_published, sweep.model, chosen))
        cells = interval(rate_interval(found.errors), 100), interval(rate_interval(found.delays), 1)
        print_cells((f"{name} (one phase)", *cells))


def _published(model: SpeechModel, settings: PublishedSettings, one: Recording) -> TimedStream:
    streamed = published(model, settings, one.samples, one.utterance.language)
    return TimedStream(streamed.words or (), streamed.text, streamed.wall_s, streamed.audio_s)


def check_comparison(bars: Bars, name: str, comparison: Comparison) -> None:
    """Not worse in both, and better outside of the interval in at least one."""
    wer, delay_s = comparison.wer, comparison.delay_s
    assert wer is not None
    assert delay_s is not None
    bars.judge(
        f"{name}: not worse in both than {comparison.second} (WER {interval(wer, 100)} points, "
        f"delay {interval(delay_s, 1)} s)",
        wer.value <= 0 or delay_s.value <= 0,
    )
    bars.judge(
        f"{name}: better than {comparison.second}, outside of an interval",
        any(one.is_significant and one.value < 0 for one in (wer, delay_s)),
    )


def interval(found, scale: float) -> str:
    """A value with its 95 % interval."""
    if found is None:
        return ""
    value, low, high = (scale * one for one in (found.value, found.low, found.high))
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def print_rankings(
    model: SpeechModel, rankings: Sequence[str], corpus: str, border_s: float, phases: int | None
) -> None:
    """Heads files by what a stream makes of them, at one border and over all of them."""
    span = f"{BORDERS_S[0]} to {BORDERS_S[-1]} s, from {100 * WORST[0]:g} % and {WORST[1]:g} s"
    print(f"\nrankings on {corpus}, border {border_s:g} s; hypervolume over borders of {span}\n")
    print_cells(("heads file", "heads", "WER %", "mean delay s", "hypervolume"))
    print_cells(["---"] * 5)
    alone: dict[tuple[str, int], Score] = {}
    for name in rankings:
        say(name)
        options = SweepOptions(border="seconds", store=MEMORY)
        speech = SpeechOptions(corpus=corpus, test_corpus=other_than(corpus), phases=phases)
        sweep = set_up(model, name, speech, options)
        for count in [c for c in HEAD_COUNTS if c <= sweep.space.max_heads]:
            scores = {
                border: sweep.score(sweep.space.config({"border_s": border, "head_count": count}))
                for border in sorted({*BORDERS_S, border_s})
            }
            volume = hypervolume([(s.wer, s.delay_s) for s in scores.values()], WORST)
            found = alone[name, count] = scores[border_s]
            cells = (
                interval(rate_interval(found.errors), 100),
                interval(rate_interval(found.delays), 1),
            )
            print_cells((name, count, *cells, f"{volume / (WORST[0] * WORST[1]):.4f}"))
    first = rankings[0]
    for (name, count), found in alone.items():
        if name != first and (first, count) in alone:
            base = alone[first, count]
            errors, delays = (
                paired_difference(one, other)
                for one, other in ((found.errors, base.errors), (found.delays, base.delays))
            )
            print(f"{name} less {first}, {count} heads: WER {interval(errors, 100)} points, "
                  f"delay {interval(delays, 1)} s")  # fmt: skip


def other_than(corpus: str) -> str:
    """Speech that is loaded beside `corpus` and not looked at."""
    return "demo:test" if corpus != "demo:test" else "demo:dev"


def benchmark(
    model: Annotated[str, typer.Option(help="tiny, or a folder")] = "tiny",
    sections: Annotated[str, typer.Option(help="some of cost,command,result; or none")] = ",".join(
        SECTIONS
    ),
    digits_corpus: Annotated[
        Path | None, typer.Option(help="real digits, to score the result on")
    ] = None,
    trials: Annotated[int, typer.Option(help="of each sweep")] = 50,
    seed: Annotated[int, typer.Option(help="of each sweep")] = 0,
    border: Annotated[str, typer.Option(help="of the result: fraction or seconds")] = "seconds",
    rankings: Annotated[
        list[str] | None, typer.Option(help="heads files to compare as streams use them; repeat it")
    ] = None,
    corpus: Annotated[str, typer.Option(help="to compare them on")] = "demo:dev",
    border_s: Annotated[float, typer.Option(help="border to compare them at")] = 0.35,
    phases: Annotated[int | None, typer.Option(help="phases to compare them at")] = None,
) -> None:
    """Measure calibration: its cost, its result, and rankings of heads by their streams."""
    chosen = [] if sections == "none" else sections.split(",")
    if set(chosen) - set(SECTIONS):
        raise InputError(f"--sections is {sections!r}; expected some of {','.join(SECTIONS)}")
    for name in rankings or []:
        load_heads(name)
    loaded, bars = SpeechModel.load(model), Bars()
    if "cost" in chosen:
        print_cost(bars, loaded, trials, seed)
    if "command" in chosen:
        print_command(bars, trials)
    if "result" in chosen:
        options = SweepOptions(trials=trials, seed=seed, border=border, store=MEMORY)
        sweep = set_up(loaded, options=options)
        sweep.run()
        speech = [sweep.test]
        if digits_corpus is not None:
            digits = load_corpus(digits_corpus)
            speech.append(read_speech(digits, SpeechOptions(), sweep.space.base.step_s))
        print_result(bars, sweep, speech)
    if rankings:
        print_rankings(loaded, rankings, corpus, border_s, phases)
    print(f"\nbars met: {bars.met}, MISSED: {len(bars.missed)}")
    for line in bars.missed:
        print(f"  MISSED  {line}")


if __name__ == "__main__":
    run(benchmark)
