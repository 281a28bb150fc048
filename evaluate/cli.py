"""The command `benchmark-decoder`: parse, call, print."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..commandline import run, say
from ..errors import InputError
from ..files import output_path, replacing
from ..options import (
    ConfigsOption,
    CorpusOption,
    DtypeOption,
    ForceOption,
    HeadsOption,
    ModelOption,
    SeedOption,
    StepsSOption,
    StrictOption,
)

if TYPE_CHECKING:
    from ..runtime.models.model import SpeechModel
    from ..runtime.stream.config import DecoderConfig
    from .benchmark import Running

_MODES = ("simul", "single-shot", "offline")
_GROUPS = ("utterance", "chapter")
_LINE_EVERY_S = 20.0


def benchmark_decoder(
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
    traces: Annotated[
        int, typer.Option(help="utterances of each simul run to keep step by step, for the report")
    ] = 3,
    seed: SeedOption = 0,
    dtype: DtypeOption = None,
    strict: StrictOption = False,
    force: ForceOption = False,
) -> None:
    """Measure decoders on a corpus: word error rate, latency, real-time factor.

    Writes a benchmark file (JSON) for render-report and prints its totals. A run that is stopped
    goes on with --resume.
    """
    _check(mode or [], group, step_s or [], max_utterances, traces, seed)
    if intersection and compare is None:
        raise InputError("--intersection is for --compare A B")
    if compare is not None and show is not None:
        raise InputError("give --compare or --show, not both")
    if show is not None:
        _show(show)
        return
    if compare is not None:
        _compare(compare, json, intersection, seed, force)
        return
    settings = {"config": config or [], "heads": heads, "dtype": dtype}
    out = json or Path(f"benchmark_{Path(model).name}.json")
    _check_output(out, resume, force)

    from ..corpora import load_corpus
    from .benchmark import Job, benchmark
    from .measure import decoders

    loaded_corpus = load_corpus(corpus, strict=strict)
    for skipped in loaded_corpus.skipped:
        say(f"skipped {skipped.id}: {skipped.reason}")
    loaded, configs = _load(model, **settings)
    job = Job(
        model=loaded,
        corpus=loaded_corpus,
        decoders=decoders(mode or ["simul"], configs, step_s or ()),  # type: ignore[arg-type]
        group=group,  # type: ignore[arg-type]
        limit=max_utterances,
        language=language,
        seed=seed,
        traces=traces,
    )
    try:
        with _progress() as progress:
            file = benchmark(job, out, resume=resume, progress=progress)
    except KeyboardInterrupt:
        say(f"stopped; {out} is not finished: go on with the same command and --resume")
        raise
    from rich.console import Console

    from .tables import totals_table

    Console().print(totals_table(file))
    for note in {one.totals.latency_note for one in file.runs} - {None}:
        say(f"latency: {note}")
    say(f"wrote {out}")


def _check(
    modes: list[str],
    group: str,
    steps_s: list[float],
    max_utterances: int | None,
    traces: int,
    seed: int,
) -> None:
    """Wrong usage, before anything is loaded."""
    for mode in modes:
        if mode not in _MODES:
            raise InputError(f"--mode is {mode!r}, expected one of {', '.join(_MODES)}")
    if group not in _GROUPS:
        raise InputError(f"--group is {group!r}, expected one of {', '.join(_GROUPS)}")
    for step_s in steps_s:
        if not step_s > 0:
            raise InputError(f"--step-s is {step_s}, expected more than 0 seconds")
    if steps_s and modes and "simul" not in modes:
        raise InputError("--step-s is for the mode simul: the others take all audio at once")
    if max_utterances is not None and max_utterances < 1:
        raise InputError(f"--max-utterances is {max_utterances}, expected 1 or more")
    if traces < 0 or seed < 0:
        raise InputError("--traces and --seed cannot be negative")


def _check_output(out: Path, resume: bool, force: bool) -> None:
    from .journal import journal_path

    journal = journal_path(out)
    if resume and force:
        raise InputError("give --resume to go on or --force to start anew, not both")
    output_path(out, resume or force)
    if journal.exists() and not (resume or force):
        raise InputError(
            f"{journal} is of a benchmark that was stopped; give --resume to go on with it, or "
            "--force to start anew"
        )


def _load(
    model: str, config: list[Path], heads: str | None, dtype: str | None
) -> tuple[SpeechModel, list[tuple[str, DecoderConfig]]]:
    from ..heads.load import load_heads
    from ..runtime.stream.config import DecoderConfig, chosen_config

    # What is wrong in a small file is told before a large one is loaded.
    given = [(path.stem, DecoderConfig.load(path)) for path in config]
    labels = [label for label, _ in given]
    for label in labels:
        if labels.count(label) > 1:
            raise InputError(f"two configurations are called {label}.json; give each its own name")
    file = load_heads(heads) if heads is not None else None
    from ..runtime.models.model import SpeechModel

    loaded = SpeechModel.load(model, dtype)
    return loaded, [
        (label, chosen_config(loaded, one, file, {})) for label, one in given or [("", None)]
    ]


def _show(path: Path) -> None:
    from rich.console import Console

    from .result import load_benchmark
    from .tables import stated_table, totals_table

    file = load_benchmark(path)
    Console().print(totals_table(file))
    if file.stated:
        Console().print(stated_table(file))


def _compare(
    sources: tuple[str, str], out: Path | None, intersection: bool, seed: int, force: bool
) -> None:
    from rich.console import Console

    from ..files import json_text
    from .compare import compare_files
    from .tables import comparison_table

    if out is not None:
        output_path(out, force)
    found = compare_files(*sources, intersection=intersection, seed=seed)
    for one in found:
        Console().print(comparison_table(one))
        if one.left_out:
            say(f"{one.first} against {one.second}: {one.left_out} utterances are in one only")
    if out is not None:
        content: Any = [one.as_dict() for one in found]
        with replacing(out) as temporary:
            temporary.write_text(json_text(content) + "\n", encoding="utf-8")
        say(f"wrote {out}")


@contextmanager
def _progress() -> Iterator[Callable[[Running], None]]:
    """Where each run stands: a bar on a terminal, elsewhere a line now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal,
        refresh_per_second=2,
    ) as bar:  # fmt: skip
        tasks: dict[str, Any] = {}
        next_line_s = time.monotonic() + _LINE_EVERY_S

        def show(running: Running) -> None:
            nonlocal next_line_s
            if console.is_terminal:
                if running.run not in tasks:
                    tasks[running.run] = bar.add_task(running.run, total=running.total)
                bar.update(tasks[running.run], completed=running.done, description=_line(running))
            elif running.done == running.total or time.monotonic() > next_line_s:
                print(f"{_line(running)}, {running.done} of {running.total}", file=sys.stderr)
                next_line_s = time.monotonic() + _LINE_EVERY_S

        yield show


def _line(running: Running) -> str:
    rate = "–" if running.rate is None else f"{100 * running.rate:.2f} %"
    factor = "–" if running.rtf is None else f"{running.rtf:.3f}"
    return f"{running.run}: WER {rate}, real-time factor {factor}"


def main() -> None:
    """Entry point of `benchmark-decoder`."""
    run(benchmark_decoder)
