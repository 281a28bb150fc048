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
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
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
from alignheads.wording import counted

from published_decoder import PublishedSettings  # isort: skip
from streaming import Bars, print_cells  # isort: skip
from streams import WHOLE_CONTEXT_TOKENS, published  # isort: skip

SECTIONS = ("cost", "command", "result")
COSTED = ("step_s", "max_audio_s")  # what changes compute, but for reuse
MOST_PASSES = {2: 4, 3: 6}  # live passes that a sweep of so many objectives may cost
DEMO = SpeechOptions(corpus="demo:dev")
BORDERS_S = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
HEAD_COUNTS = (1, 2, 4, 7, 12, 20, 40)
WORST = (0.2, 2.0)  # WER and delay from which the hypervolume of a ranking is measured


def swept(model: SpeechModel, speech: SpeechOptions, options: SweepOptions) -> tuple[Sweep, float]:
    """A sweep, run, and the seconds that its trials took."""
    sweep = set_up(model, speech=speech, options=options)
    begin = time.perf_counter()
    sweep.run()
    return sweep, time.perf_counter() - begin


def live_pass_s(sweep: Sweep) -> float:
    """Seconds of one live pass over the development speech, with every ranked head captured."""
    begin = time.perf_counter()
    for recording in sweep.dev.recordings:
        sweep.live(sweep.space.base, recording)
    return time.perf_counter() - begin


def live_states(sweep: Sweep) -> int:
    """Answers that a live pass over the development speech asks for."""
    sweep.score(sweep.space.base)  # which decodes what no trial asked for
    before = sweep.replay.replayed
    sweep.score(sweep.space.base)
    return sweep.replay.replayed - before


@dataclass(frozen=True)
class Cost:
    """What the trials of one sweep cost.

    Attributes:
        trials: of the sweep.
        phases: of the speech.
        trials_s: seconds that they took.
        live_s: seconds of one live pass over the same streams.
        decoded, replayed: answers, of all trials.
        live_states: answers of one live pass.
    """

    trials: int
    phases: int
    trials_s: float
    live_s: float
    decoded: int
    replayed: int
    live_states: int

    @property
    def passes(self) -> float:
        """The trials in live passes, by the clock."""
        return self.trials_s / self.live_s

    @property
    def passes_decoded(self) -> float:
        """Likewise by the answers that were decoded, the same on every machine."""
        return self.decoded / self.live_states


def measure_cost(model: SpeechModel, speech: SpeechOptions, options: SweepOptions) -> Cost:
    """What the trials of a sweep with those `options` cost, from an empty store on."""
    say(
        f"{options.trials} trials, {len(options.objectives)} objectives, "
        f"phases: {speech.phases or 'default'}, seed {options.seed}"
    )
    with tempfile.TemporaryDirectory() as folder:
        sweep, seconds = swept(model, speech, replace(options, store=folder))
        # Before they are counted, which decodes, too.
        decoded, replayed = sweep.replay.decoded, sweep.replay.replayed
        # Several: other work on the machine comes and goes.
        live_s = float(np.median([live_pass_s(sweep) for _ in range(3)]))
        states = live_states(sweep)
        sweep.store.close()
    return Cost(options.trials, sweep.dev.phases, seconds, live_s, decoded, replayed, states)


def print_cost(
    bars: Bars,
    model: SpeechModel,
    options: SweepOptions,
    seeds: int,
    phases: Sequence[int | None] = (1, None),
    speech: SpeechOptions = DEMO,
) -> None:
    """The trials against one live pass over the same speech, with and without compute.

    Args:
        bars: gets the limits.
        model: of the sweeps.
        options: of the sweep for errors and delay.
        seeds: how many of them, from that of `options` on, with compute as an objective.
        phases: of the speech, one sweep for each; None: as by default.
        speech: what is streamed. Other than the demo, it is not swept twice for the same front.
    """
    trials, seed = options.trials, options.seed
    print(
        f"\n{trials} trials on {speech.corpus}, in multiples of one live pass over the same streams"
    )
    print(f"three objectives: with compute, and {' and '.join(COSTED)} searched, too\n")
    print_cells(("objectives", "phases", "seed", "live pass s", "trials s", "ratio",
                 "over one phase live", "states decoded", "states of a live pass",
                 "ratio of states", "hit rate %"))  # fmt: skip
    print_cells(["---"] * 11)
    one_phase_s = 0.0
    with_cost = replace(options, cost=True, tune=COSTED)
    kinds = [(options, [seed]), (with_cost, range(seed, seed + seeds))]
    found: dict[tuple[int, int], list[Cost]] = {}
    for (kind, tried), count in product(kinds, phases):
        for number in tried:
            cost = measure_cost(model, replace(speech, phases=count), replace(kind, seed=number))
            if cost.phases == 1:
                one_phase_s = one_phase_s or cost.live_s
            found.setdefault((len(kind.objectives), cost.phases), []).append(cost)
            print_cells((
                len(kind.objectives), cost.phases, number, f"{cost.live_s:.2f}",
                f"{cost.trials_s:.2f}", f"{cost.passes:.2f}",
                f"{cost.trials_s / one_phase_s:.2f}" if one_phase_s else "",
                cost.decoded, cost.live_states, f"{cost.passes_decoded:.2f}",
                f"{100 * cost.replayed / (cost.decoded + cost.replayed):.1f}",
            ))  # fmt: skip
    print()
    for (objectives, count), costs in found.items():
        what = f"{trials} trials, {objectives} objectives, {counted(count, 'phase')}"
        what += f", the most of {seeds} seeds" if objectives > 2 else ""
        most = MOST_PASSES[objectives]
        bars.check(f"{what}: time over a live pass", max(c.passes for c in costs), "<=", most, "x")
        decoded = max(cost.passes_decoded for cost in costs)
        bars.check(f"{what}: states over those of a live pass", decoded, "<=", most, "x")
    if speech.corpus != DEMO.corpus:
        print("not swept twice to compare the fronts: that is done with the demo")
        return
    again, _ = swept(model, replace(speech, phases=1), replace(options, store=MEMORY))
    twin, _ = swept(model, replace(speech, phases=1), replace(options, store=MEMORY))
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
        held_out = score_held_out(configs, corpus, sweep.streamer)
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
    seeds: Annotated[
        int, typer.Option(min=1, help="how many, from --seed on, for the cost with compute")
    ] = 3,
    border: Annotated[str, typer.Option(help="of the result: fraction or seconds")] = "seconds",
    rankings: Annotated[
        list[str] | None, typer.Option(help="heads files to compare as streams use them; repeat it")
    ] = None,
    corpus: Annotated[str, typer.Option(help="of the cost and the rankings")] = "demo:dev",
    clips: Annotated[int | None, typer.Option(help="of it, for the cost")] = None,
    border_s: Annotated[float, typer.Option(help="border to compare them at")] = 0.35,
    phases: Annotated[
        int | None, typer.Option(help="phases, of the cost and of the rankings")
    ] = None,
) -> None:
    """Measure calibration: its cost, its result, and rankings of heads by their streams."""
    chosen = [] if sections == "none" else sections.split(",")
    if set(chosen) - set(SECTIONS):
        raise InputError(f"--sections is {sections!r}; expected some of {','.join(SECTIONS)}")
    for name in rankings or []:
        load_heads(name)
    loaded, bars = SpeechModel.load(model), Bars()
    if "cost" in chosen:
        options, counts = SweepOptions(trials=trials, seed=seed), (1, None)
        streamed = replace(DEMO, corpus=corpus, clips=clips)
        print_cost(bars, loaded, options, seeds, counts if phases is None else [phases], streamed)
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
