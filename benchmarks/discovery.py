"""How fast discovery is, where its time goes, and how much memory it takes.

    python benchmarks/discovery.py [--model DIR] [--corpus FILE]

Everything is measured in one run on the same clips. See README.md beside this file for what
each line means.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import typer
from token_by_token import capture, hits

from alignheads.commandline import run, say
from alignheads.discovery import discover
from alignheads.discovery.measure import Measurement
from alignheads.errors import InputError
from alignheads.runtime.models.backend import mx
from alignheads.runtime.models.checkpoint import Checkpoint
from alignheads.runtime.models.model import SpeechModel
from alignheads.runtime.models.qwen3.model import Qwen3Model, Qwen3Prefix

_Result = TypeVar("_Result")
_MEGABYTE = 1e6


@dataclass
class Stopwatch:
    """Seconds by stage; `captured` counts the texts whose attention was captured."""

    stages: dict[str, float] = field(default_factory=dict)
    total_s: float = 0.0
    captured: int = 0

    def add(self, stage: str, seconds: float) -> None:
        """Add to a stage."""
        self.stages[stage] = self.stages.get(stage, 0.0) + seconds

    def of(self, *stages: str) -> float:
        """Seconds of some stages."""
        return sum(self.stages.get(stage, 0.0) for stage in stages)

    @property
    def rest_s(self) -> float:
        """Reading audio, matching words, sums: all that is in no stage."""
        return self.total_s - sum(self.stages.values())


class WatchedModel(Qwen3Model):
    """A model that waits for the device after each stage, and notes how long it took."""

    def __init__(self, model: Qwen3Model) -> None:
        checkpoint = Checkpoint(model.name, model.label, model.folder, model.family)
        super().__init__(model.engine, model.vocabulary, checkpoint)
        self.watch = Stopwatch()

    def encode(self, samples):
        """As the model's own; stage `encode`."""
        begin = time.perf_counter()
        audio = super().encode(samples)
        mx.eval(audio)
        self.watch.add("encode", time.perf_counter() - begin)
        return audio

    def prefill(self, samples, language=None, context="", *, as_stream=False):
        """As the model's own; stage `prefill`, which leaves out the encoding."""
        begin, encoded = time.perf_counter(), self.watch.of("encode")
        prefix = super().prefill(samples, language, context, as_stream=as_stream)
        mx.eval(prefix.logits, prefix.cache.keys, prefix.cache.values)
        encoding = self.watch.of("encode") - encoded
        self.watch.add("prefill", time.perf_counter() - begin - encoding)
        return prefix

    def generate(self, prefixes):
        """As the model's own; stage `decode`."""
        begin = time.perf_counter()
        answers = super().generate(prefixes)
        self.watch.add("decode", time.perf_counter() - begin)
        return answers

    def attention(self, prefix, token_ids, on_layer):
        """As the model's own; stage `capture`, and `statistics` for what is made of it."""
        counted = 0.0

        def count(layer: int, weights: np.ndarray) -> None:
            nonlocal counted
            begin = time.perf_counter()
            on_layer(layer, weights)
            counted += time.perf_counter() - begin

        begin = time.perf_counter()
        super().attention(prefix, token_ids, count)
        self.watch.add("capture", time.perf_counter() - begin - counted)
        self.watch.add("statistics", counted)
        self.watch.captured += bool(token_ids)


@dataclass(frozen=True)
class Job:
    """What every measurement here is of."""

    model: Qwen3Model
    prepared: discover.PreparedCorpus
    text: str
    cuts: int

    @property
    def clips(self) -> int:
        """How many clips."""
        return len(self.prepared.part)

    def repeated(self, clips: int) -> Job:
        """The same with `clips` clips: the corpus' own, over and over with new ids."""
        own = self.prepared.part.utterances
        many = tuple(
            replace(own[i % len(own)], id=f"{own[i % len(own)].id}#{i}") for i in range(clips)
        )
        part = replace(self.prepared.part, utterances=many)
        return replace(self, prepared=replace(self.prepared, part=part))

    def measure(self, cuts: int) -> Measurement:
        """What `discover-heads` does between loading and ranking."""
        return discover.measure_corpus(self.model, self.prepared, None, self.text, cuts)

    def watched(self, cuts: int) -> Stopwatch:
        """The same in stages."""
        model = WatchedModel(self.model)
        _, model.watch.total_s = timed(lambda: replace(self, model=model).measure(cuts))
        return model.watch

    def prefixes(self) -> list[Qwen3Prefix]:
        """Every clip, encoded and prefilled."""
        model = WatchedModel(self.model)
        return [model.prefill(u.read(), u.language) for u in self.prepared.part.utterances]


def timed(work: Callable[[], _Result]) -> tuple[_Result, float]:
    """What `work` returns, and its seconds."""
    begin = time.perf_counter()
    result = work()
    return result, time.perf_counter() - begin


def token_by_token(job: Job) -> dict[str, float]:
    """Seconds of the plain reference: `prefill` (with encoding), `reads`, and `no_reads`.

    `reads` decodes and reads every head at every token; `no_reads` is the same loop without.
    """
    prefixes, prefill_s = timed(job.prefixes)
    begin = time.perf_counter()
    for utterance, prefix in zip(job.prepared.part.utterances, prefixes, strict=True):
        hits(job.model, utterance, capture(job.model, prefix))
    reads_s = time.perf_counter() - begin
    prefixes = job.prefixes()
    _, no_reads_s = timed(lambda: [capture(job.model, prefix, read=False) for prefix in prefixes])
    return {"prefill": prefill_s, "reads": reads_s, "no_reads": no_reads_s}


def print_speed(job: Job, plain: Stopwatch, cut: Stopwatch) -> None:
    """Where the time goes, and the costs in prefills of the same clips."""
    clips = job.clips
    print(f"\ndiscovery, {clips} clips             no cuts     {job.cuts} cuts   seconds a clip")
    for stage in ("encode", "prefill", "decode", "capture", "statistics"):
        print(f"  {stage:<28}{plain.of(stage) / clips:10.4f} {cut.of(stage) / clips:10.4f}")
    print(f"  {'rest':<28}{plain.rest_s / clips:10.4f} {cut.rest_s / clips:10.4f}")
    print(f"  {'total':<28}{plain.total_s / clips:10.4f} {cut.total_s / clips:10.4f}")
    print(
        f"  clips per second            {clips / plain.total_s:10.2f} {clips / cut.total_s:10.2f}"
    )
    one = plain.of("encode", "prefill")
    scoring = (plain.total_s - plain.of("decode")) / one
    border = (cut.total_s - cut.of("decode")) / one
    print(f"scoring cost, besides the decode: {scoring:.2f} prefills of the same clip (bar 1.5)")
    print(f"with the border scores:           {border:.2f} prefills of the same clip (bar 6)")


def print_comparison(job: Job, plain: Stopwatch, whole_s: float) -> None:
    """Against capturing token by token."""
    reference = token_by_token(job)
    clips = job.clips
    reference_s = reference["prefill"] + reference["reads"]
    print(f"\ntoken by token, {clips} clips        seconds a clip")
    print(f"  encode and prefill          {reference['prefill'] / clips:10.4f}")
    print(f"  decode, reading every head  {reference['reads'] / clips:10.4f}")
    print(f"  decode, reading nothing     {reference['no_reads'] / clips:10.4f}")
    print(f"  clips per second            {clips / reference_s:10.2f}")
    ours_s = plain.total_s - plain.of("encode", "prefill")
    capturing = plain.of("capture", "statistics") / max(plain.captured, 1)
    reading = (reference["reads"] - reference["no_reads"]) / clips
    print("discovery without cuts against token by token:")
    print(f"  ratio, everything:                        {reference_s / whole_s:6.2f}x")
    print(f"  ratio, after encode and prefill:          {reference['reads'] / ours_s:6.2f}x")
    print(f"  ratio, one text's capture against decode (bar 10x): "
          f"{reference['reads'] / clips / capturing:6.2f}x")  # fmt: skip
    print(f"  ratio, one text's capture against reads:  {reading / capturing:6.2f}x")


def print_memory(job: Job) -> None:
    """Peak memory of a measurement over the loaded model. Run it first: peaks stay."""
    gc.collect()
    mx.clear_cache()
    mx.reset_peak_memory()
    loaded, resident = mx.get_active_memory(), _reset_resident_peak()
    job.measure(job.cuts)
    arrays = (mx.get_peak_memory() - loaded) / _MEGABYTE
    process = (_resident_peak() - resident) / _MEGABYTE
    print(f"model: {loaded / _MEGABYTE:.0f} MB of arrays")
    print(f"peak over the loaded model: {arrays:.0f} MB of arrays, {process:.0f} MB of the "
          "process (bar 500 MB)")  # fmt: skip


def _reset_resident_peak() -> float:
    """Bytes resident now; the kernel's peak starts again from here where it can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
        return _status_bytes("VmRSS")
    return _resident_peak()


def _resident_peak() -> float:
    with suppress(OSError):
        return _status_bytes("VmHWM")
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _status_bytes(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * float(next(line for line in lines if line.startswith(f"{key}:")).split()[1])


def print_scaling(job: Job, counts: Sequence[int]) -> None:
    """Clips per second as the clips grow."""
    print()
    for count in counts:
        many = job.repeated(count)
        found, seconds = timed(lambda many=many: many.measure(job.cuts))
        _, ranking_s = timed(lambda found=found: discover.heads_file(found))
        print(f"{count:4d} clips with {job.cuts} cuts: {count / seconds:6.2f} clips per second, "
              f"then {ranking_s:.2f} s of ranking")  # fmt: skip


def matmul_gigaflops() -> float:
    """What a plain float32 product of this process reaches: tells which BLAS is at work."""
    a = mx.random.normal((1024, 1024))
    mx.eval(a @ a)
    _, seconds = timed(lambda: mx.eval(a @ a))
    return 2 * 1024**3 / seconds / 1e9


def benchmark(
    model: Annotated[str, typer.Option(help="tiny, 0.6b, 1.7b, or a folder")] = "tiny",
    corpus: Annotated[str, typer.Option(help="as discover-heads takes it")] = "demo",
    clips: Annotated[int | None, typer.Option(help="measure on this many")] = None,
    text: Annotated[str, typer.Option(help="hypothesis, or reference (random weights)")] = (
        "hypothesis"
    ),
    cuts: Annotated[int, typer.Option(help="cut versions of each clip")] = 3,
    counts: Annotated[str, typer.Option(help="clips to scale over; empty: none")] = "16,64,256",
    repeats: Annotated[int, typer.Option(help="take the fastest of this many")] = 2,
    dtype: Annotated[str | None, typer.Option(help="as discover-heads takes it")] = None,
    memory_only: Annotated[bool, typer.Option("--memory-only", help="measure no times")] = False,
    compare: Annotated[bool, typer.Option(help="run the token-by-token reference")] = True,
) -> None:
    """Measure discovery: memory, stages, costs, the plain reference, and scaling."""
    if repeats < 1:
        raise InputError(f"--repeats is {repeats}; expected 1 or more")
    if not all(count.isdecimal() and int(count) for count in counts.split(",") if counts):
        raise InputError(f"--counts is {counts!r}; expected numbers such as 16,64,256")
    loaded = SpeechModel.load(model, dtype)
    job = Job(loaded, discover.prepare_corpus(loaded, corpus, clips=clips), text, cuts)
    device = str(mx.default_device())
    print(f"{loaded.name} on {corpus}: {job.clips} clips, {loaded.num_layers} x "
          f"{loaded.num_heads} heads, {loaded.dtype}, {device}, "
          f"{matmul_gigaflops():.0f} GFLOP/s")  # fmt: skip
    print_memory(job)
    if memory_only:
        return
    say("measuring discovery")
    whole_s = min(timed(lambda: job.measure(0))[1] for _ in range(repeats))
    plain = min((job.watched(0) for _ in range(repeats)), key=lambda watch: watch.total_s)
    cut = min((job.watched(cuts) for _ in range(repeats)), key=lambda watch: watch.total_s)
    print_speed(job, plain, cut)
    if compare:
        say("measuring token by token")
        print_comparison(job, plain, whole_s)
    if counts:
        say("measuring many clips")
        print_scaling(job, [int(count) for count in counts.split(",")])


if __name__ == "__main__":
    run(benchmark)
