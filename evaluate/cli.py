"""The command `benchmark-decoder`: parse, call, print."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..commandline import run, say
from ..errors import ClusterError, InputError
from ..files import output_path
from ..options import (
    ConfigsOption,
    ContextOption,
    CorpusOption,
    DaskOption,
    DtypeOption,
    ForceOption,
    HeadsOption,
    ModelOption,
    SeedOption,
    SendAudioOption,
    StepsSOption,
    StrictOption,
    VadOption,
    WaitOption,
)
from ..tables import print_table
from ..wording import counted

if TYPE_CHECKING:
    from .benchmark import Running
    from .interchange import Interchange
    from .result import BenchmarkFile

_MODES = ("simul", "single-shot", "offline")
_GROUPS = ("utterance", "chapter")
_LINE_EVERY_S = 20.0
_OPTIONS = {"modes": "--mode", "steps_s": "--step-s", "configs": "--config", "out": "--json"}
_FOR_OTHERS = "--simuleval-log, --ctm or --stm"


def benchmark_decoder_command(
    model: ModelOption = "tiny",
    config: ConfigsOption = None,
    heads: HeadsOption = None,
    corpus: CorpusOption = "demo:test",
    mode: Annotated[
        list[str] | None,
        typer.Option(help=f"{', '.join(_MODES)}; repeat it to measure several (default: simul)"),
    ] = None,
    group: Annotated[
        str, typer.Option(help="utterance, or chapter: put together with 0.5 s of silence")
    ] = "utterance",
    step_s: StepsSOption = None,
    max_utterances: Annotated[
        int | None, typer.Option(help="only the first so many of the corpus")
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(help="language given to the model, or `detect`; default: the corpus's own"),
    ] = None,
    context: ContextOption = None,
    json: Annotated[
        Path | None, typer.Option(help="the benchmark file; default: benchmark_<model>.json")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on where an earlier run was stopped")
    ] = False,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="compare two files, or FILE:RUN, instead of measuring"),
    ] = None,
    intersection: Annotated[
        bool, typer.Option("--intersection", help="compare the utterances that both files have")
    ] = False,
    show: Annotated[
        Path | None,
        typer.Option(help="print the totals of a file, ours or published, instead of measuring"),
    ] = None,
    simuleval_log: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="the stream for other scorers: instances.log for SimulEval, FILE.jsonl for "
            "simulstream, with the files beside that it needs",
        ),
    ] = None,
    ctm: Annotated[
        Path | None, typer.Option(metavar="FILE", help="words and their times, as NIST CTM")
    ] = None,
    stm: Annotated[
        Path | None, typer.Option(metavar="FILE", help="the references, as NIST STM")
    ] = None,
    traces: Annotated[
        int, typer.Option(help="utterances of each simul run to keep step by step, for the report")
    ] = 3,
    seed: SeedOption = 0,
    vad: VadOption = False,
    dtype: DtypeOption = None,
    dask: DaskOption = None,
    wait: WaitOption = False,
    send_audio: SendAudioOption = False,
    strict: StrictOption = False,
    force: ForceOption = False,
) -> None:
    """Measure decoders on a corpus: word error rate, latency, real-time factor.

    Writes a benchmark file (JSON) for render-report and prints its totals. A run that is stopped
    goes on with --resume.
    """
    if seed < 0:
        raise InputError(f"--seed is {seed}, expected 0 or more")
    if intersection and compare is None:
        raise InputError("--intersection is for --compare A B")
    if compare is not None and show is not None:
        raise InputError("give --compare or --show, not both")
    from .interchange import Interchange

    others = Interchange(simuleval_log, ctm, stm)
    if others.is_asked and compare is not None:
        raise InputError(f"{_FOR_OTHERS} goes with a measurement or with --show, not --compare")
    told_by = context[1:] if context and context.startswith("@") else None
    reads = [model, corpus, heads, told_by, show, *(config or ())]
    out = json or Path(f"benchmark_{Path(model).name}.json")
    others.check(force=force, reads=reads if show else [*reads, out])
    if show is not None:
        file = _show(show)
        _write_others(others, file, corpus, max_utterances, strict)
        return
    if compare is not None:
        _compare(compare, json, intersection, seed, force)
        return
    if others.is_asked:
        _check_one_run(others, mode or ["simul"], config or (), step_s or ())
    if force:
        output_path(out, force, [told_by])

    from ..runtime.models.context import read_context
    from .benchmark import benchmark_decoder

    told = read_context(context)
    try:
        with _progress() as progress:
            file = benchmark_decoder(
                model, corpus, configs=config or (), heads=heads,
                modes=mode or ("simul",),  # type: ignore[arg-type]
                group=group,  # type: ignore[arg-type]
                steps_s=step_s or (), max_utterances=max_utterances, language=language,
                context=told, out=out, resume=resume, force=force, traces=traces, seed=seed,
                vad=vad,
                dtype=dtype,  # type: ignore[arg-type]
                strict=strict, dask=dask, wait=wait, send_audio=send_audio, progress=progress,
            )  # fmt: skip
    except (KeyboardInterrupt, ClusterError):
        say(f"stopped; {out} is not finished: go on with the same command and --resume")
        raise
    from rich.console import Console

    from .tables import totals_rows

    print_table(Console(), *totals_rows(file))
    for note in {one.totals.latency_note for one in file.runs} - {None}:
        say(f"latency: {note}")
    if file.corpus.skipped:
        whole = file.corpus.utterances + file.corpus.skipped
        say(f"{file.corpus.skipped} of {counted(whole, 'utterance')} skipped, by name above")
    say(f"wrote {out}")
    _write_others(others, file, corpus, max_utterances, strict)


def _check_one_run(
    others: Interchange, modes: list[str], configs: Sequence[Path], steps_s: Sequence[float]
) -> None:
    several = [
        name
        for name, values in (("--mode", modes), ("--config", configs), ("--step-s", steps_s))
        if len(set(values)) > 1
    ]
    if several:
        raise InputError(f"{_FOR_OTHERS} is of one run; give {', '.join(several)} once")
    if others.needs_stream and modes == ["offline"]:
        raise InputError("--simuleval-log and --ctm are of a stream; give --mode simul")


def _write_others(
    others: Interchange, file: BenchmarkFile, corpus: str, limit: int | None, strict: bool
) -> None:
    if not others.is_asked:
        return
    items = None
    if file.corpus.group == "chapter":
        from ..corpora import load_corpus
        from .items import make_items

        items = make_items(load_corpus(corpus, strict=strict), "chapter", limit)
    for path in others.write(file, items):
        say(f"wrote {path}")


def _show(path: Path) -> BenchmarkFile:
    from rich.console import Console

    from .load import load_benchmark
    from .tables import stated_table, totals_rows

    file = load_benchmark(path)
    print_table(Console(), *totals_rows(file))
    if file.stated:
        Console().print(stated_table(file))
    return file


def _compare(
    sources: tuple[str, str], out: Path | None, intersection: bool, seed: int, force: bool
) -> None:
    from rich.console import Console

    from ..files import json_text, write_text
    from .compare import compare_files
    from .tables import comparison_rows, comparison_title

    if out is not None:
        output_path(out, force, [_file_of(one) for one in sources])
    found = compare_files(*sources, intersection=intersection, seed=seed)
    for one in found:
        print_table(Console(), *comparison_rows(one), title=comparison_title(one))
        if one.left_out:
            left_out = counted(one.left_out, "utterance")
            say(f"{one.first} against {one.second}: {left_out} in one only")
    if out is not None:
        content: Any = [one.as_dict() for one in found]
        write_text(out, json_text(content) + "\n", overwrite=force)
        say(f"wrote {out}")


def _file_of(source: str) -> str:
    """The file of FILE or FILE:RUN."""
    return source if Path(source).exists() else source.rpartition(":")[0]


@contextmanager
def _progress() -> Iterator[Callable[[Running], None]]:
    """Where each run stands: a bar on a terminal, elsewhere a line now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        next_line_s = time.monotonic() + _LINE_EVERY_S

        def tell(running: Running) -> None:
            nonlocal next_line_s
            if running.done == running.total or time.monotonic() > next_line_s:
                print(f"{_line(running)}, {running.done} of {running.total}", file=sys.stderr)
                next_line_s = time.monotonic() + _LINE_EVERY_S

        yield tell
        return
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, refresh_per_second=2) as bar:
        tasks: dict[str, Any] = {}

        def show(running: Running) -> None:
            if running.run not in tasks:
                tasks[running.run] = bar.add_task(running.run, total=running.total)
            bar.update(tasks[running.run], completed=running.done, description=_line(running))

        yield show


def _line(running: Running) -> str:
    rate = "–" if running.rate is None else f"{100 * running.rate:.2f} %"
    factor = "–" if running.rtf is None else f"{running.rtf:.3f}"
    return f"{running.run}: {running.error_name} {rate}, real-time factor {factor}"


def main() -> None:
    """Entry point of `benchmark-decoder`."""
    run(benchmark_decoder_command, options=_OPTIONS)
