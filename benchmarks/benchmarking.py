"""What benchmark-decoder adds to the decoder's own time, and what a report costs.

    python benchmarks/benchmarking.py [--repeats 3] [--utterances 500]

Bars are printed with met or MISSED. See README.md beside this file.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from alignheads.commandline import run, say
from alignheads.corpora import load_corpus
from alignheads.evaluate import measure
from alignheads.evaluate.benchmark import Job, benchmark
from alignheads.evaluate.load import load_benchmark
from alignheads.evaluate.result import BenchmarkFile
from alignheads.evaluate.scores import totals
from alignheads.heads.load import load_heads
from alignheads.reports.page.report import Report
from alignheads.runtime.models.model import SpeechModel
from alignheads.runtime.stream.config import DecoderConfig


def judge(line: str, value: float, bar: float, unit: str) -> None:
    """Print one bar."""
    print(f"  {'met   ' if value < bar else 'MISSED'}  {line}: {value:.2f} {unit} (bar {bar:g})")


def overhead(model: SpeechModel, folder: Path, repeats: int) -> BenchmarkFile:
    """Time outside of the decoder, by where it goes, in percent of the decoder's own."""
    decoders = [measure.Decoder("simul", "simul", DecoderConfig.bundled(model.name))]
    job = Job(model, load_corpus("demo:all"), decoders, traces=0)
    out = folder / "b.json"
    file = benchmark(job, out)  # warm
    begun: list[float] = []
    warm_up = measure.warm_up

    def marked(*arguments) -> None:
        warm_up(*arguments)
        begun.append(time.perf_counter())

    measure.warm_up = marked
    loops, ends = [], []
    for _ in range(repeats):
        seen: list[float] = []
        file = benchmark(
            job, out, force=True, progress=lambda _, seen=seen: seen.append(time.perf_counter())
        )
        end = time.perf_counter()
        own = file.runs[0].totals.wall_s or 0.0
        loops.append(100 * (seen[-1] - begun[-1] - own) / own)
        ends.append(100 * (end - seen[-1]) / own)
    measure.warm_up = warm_up
    loop, after = sorted(loops)[len(loops) // 2], sorted(ends)[len(ends) // 2]
    print(f"\nbenchmark-decoder over {len(file.runs[0].utterances)} utterances of tiny, "
          f"{file.machine.backend}, real-time factor {file.runs[0].totals.rtf:.3f}: reading, "
          f"timing and journal {loop:.2f} %, scoring and writing {after:.2f} %")  # fmt: skip
    judge("added to the decoder's own time", loop + after, 2.0, "%")
    return file


def report(model: SpeechModel, file: BenchmarkFile, folder: Path, utterances: int) -> None:
    """Time and size of a page over as many utterances, with three timelines and the heads."""
    clips = load_corpus("demo:test")
    decoders = [measure.Decoder("simul", "simul", DecoderConfig.bundled(model.name))]
    traced = benchmark(Job(model, clips, decoders), folder / "t.json").runs[0]
    known = traced.utterances
    named = [
        one if n < len(known) else one.model_copy(update={"id": f"{one.id}-{n}"})
        for n, one in ((n, known[n % len(known)]) for n in range(utterances))
    ]
    runs = [
        traced.model_copy(
            update={
                "settings": traced.settings.model_copy(update={"name": name}),
                "utterances": named,
                "totals": totals(named, "simul", 0),
                "traces": traced.traces if name == "one" else [],
            }
        )
        for name in ("one", "two", "three")
    ]
    file.model_copy(update={"runs": runs}).save(folder / "many.json")
    begin = time.perf_counter()
    page = Report(
        [(folder / "many.json", load_benchmark(folder / "many.json"))], load_heads("1.7b")
    ).html()
    took_s = time.perf_counter() - begin
    print(f"\nrender-report over {len(runs)} runs of {utterances} utterances, heads of 1.7B, "
          "three timelines with audio")  # fmt: skip
    judge("time", took_s, 20, "s")
    judge("size", len(page.encode()) / 1e6, 5, "MB")


def benchmarking(
    repeats: Annotated[int, typer.Option(help="take the median of this many")] = 3,
    utterances: Annotated[int, typer.Option(help="of the report")] = 500,
) -> None:
    """Measure what measuring costs."""
    model = SpeechModel.load("tiny")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        say("benchmark-decoder")
        file = overhead(model, folder, repeats)
        say("render-report")
        report(model, file, folder, utterances)


if __name__ == "__main__":
    run(benchmarking)
