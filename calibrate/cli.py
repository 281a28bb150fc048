"""The command `calibrate`: parse, call, print."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..commandline import fail, progress_bar, run, say
from ..errors import ClusterError, InputError
from ..options import (
    AlignerOption,
    AlignmentsOption,
    ClipsOption,
    CorpusLanguageOption,
    DaskOption,
    DtypeOption,
    ForceOption,
    HeadsOption,
    ModelOption,
    ModelsCorpusOption,
    SeedOption,
    SendAudioOption,
    StrictOption,
    WaitOption,
)
from ..wording import counted
from .study.pareto import DEFAULT_RULE

if TYPE_CHECKING:
    from .calibration import Calibration
    from .outputs import Outputs
    from .sweep import Sweep


def calibrate_command(
    trials: Annotated[
        int, typer.Option(help="complete trials in all; run again to go on, with more or the same")
    ] = 50,
    model: ModelOption = "tiny",
    heads: HeadsOption = None,
    corpus: ModelsCorpusOption = None,
    test_corpus: Annotated[
        str | None,
        typer.Option(
            help="speech to score the result on; default: demo:test for demo:dev, else a part of "
            "the corpus that is not tuned on"
        ),
    ] = None,
    holdout: Annotated[float, typer.Option(help="that part, more than 0 and less than 1")] = 0.5,
    clips: ClipsOption = None,
    phases: Annotated[
        int | None,
        typer.Option(
            help="stream each utterance so many times, with steps at other places of its speech "
            "(default: 4 where there is little speech, down to 1 for ten minutes)"
        ),
    ] = None,
    language: CorpusLanguageOption = None,
    border: Annotated[
        str, typer.Option(help="what a border is measured in: seconds, or fraction (of the buffer)")
    ] = "seconds",
    tune: Annotated[
        str,
        typer.Option(
            help="what else to search, by commas: step_s, max_audio_s, aggregate, reuse, refresh_s"
        ),
    ] = "",
    max_heads: Annotated[
        int | None, typer.Option(help="the most heads a trial may use; default: all ranked ones")
    ] = None,
    select: Annotated[
        str,
        typer.Option(
            help="how to choose: within=POINTS (the least delay with a WER that is known to be so "
            "near that of the better published or bundled setting, in points), "
            "max-wer-increase=POINTS (over the least WER seen), max-delay=SECONDS, min-cost=POINTS "
            "(the least compute with at most so many more errors), or knee"
        ),
    ] = DEFAULT_RULE,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="choose only what keeps up with the audio")
    ] = False,
    max_rtf: Annotated[
        float | None, typer.Option(help="choose only what has at most this real-time factor")
    ] = None,
    max_gflops: Annotated[
        float | None,
        typer.Option(help="choose only what computes at most so many GFLOP a second of audio"),
    ] = None,
    cost: Annotated[
        bool, typer.Option("--cost", help="search compute too, as a third objective")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="print what the study teaches")
    ] = False,
    seed: SeedOption = 0,
    storage: Annotated[
        str | None,
        typer.Option(
            help="where the trials are: an Optuna URL (postgresql://…, sqlite:///…), grpc://HOST:"
            "PORT, or a journal file; default: calibration.journal beside the configuration"
        ),
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="name of the study there; default: that of the model")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(help="folder for what was decoded, or memory; default: the user's cache"),
    ] = None,
    aligner: AlignerOption = None,
    alignments: AlignmentsOption = None,
    dtype: DtypeOption = None,
    dask: DaskOption = None,
    wait: WaitOption = False,
    send_audio: SendAudioOption = False,
    out: Annotated[Path, typer.Option(help="the decoder's configuration")] = Path(
        "decoder_config.json"
    ),
    report: Annotated[
        Path | None, typer.Option(help="every trial; default: calibration.json beside it")
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(help="the front; default: pareto.png beside it")
    ] = None,
    strict: StrictOption = False,
    force: ForceOption = False,
) -> None:
    """Tune the streaming decoder: word error rate against delay, and compute.

    Streams a corpus with many settings and writes the best one as decoder_config.json, every
    trial as calibration.json, and the front as pareto.png. Each state of the decoder is decoded
    once and then replayed, so that trials are nearly free. At most 200 utterances of each corpus
    are used, unless --clips says otherwise. Without options: the bundled tiny model on the
    bundled speech.
    """
    report = report or out.parent / "calibration.json"
    figure = figure or out.parent / "pareto.png"
    journal = out.parent / "calibration.journal"
    _check_names(out, report, figure)
    reads = [model, heads, corpus, test_corpus, alignments, storage or journal]
    reads += [f"{storage or journal}.lock"]

    from ..cluster import check_address, open_cluster
    from .calibration import conclude
    from .outputs import Outputs, check_paths
    from .setting_up import set_up
    from .speech import SpeechOptions
    from .study.trials import TrialsFailed
    from .sweep import SweepOptions

    options = SweepOptions(
        trials=trials, border=border, tune=tuple(filter(None, map(str.strip, tune.split(",")))),
        max_heads=max_heads, select=select, realtime=realtime, explain=explain, language=language,
        max_rtf=max_rtf, max_gflops=max_gflops, cost=cost,
        seed=seed, storage=storage, journal=journal, study=study,
        store=store,
    )  # fmt: skip
    options.check()
    check_paths(out, report, figure, force=force, reads=reads)
    check_address(dask, wait=wait, send_audio=send_audio)
    speech = SpeechOptions(
        corpus, test_corpus, holdout, clips, aligner, alignments, seed, phases, strict
    )
    with open_cluster(dask, wait=wait, send_audio=send_audio) as cluster:
        with progress_bar("word times") as progress:
            sweep = set_up(
                model, heads, speech, options, dtype=dtype, progress=progress, cluster=cluster
            )
        outputs = Outputs(sweep, out, report, figure, force=force)
        try:
            _run(sweep, outputs)
            with progress_bar("held-out speech") as progress:
                found = conclude(sweep, outputs, progress)
        except KeyboardInterrupt:
            _keep(sweep, outputs)
            fail("calibrate", f"interrupted; go on with: {_again()}", 130)
        except (TrialsFailed, ClusterError) as error:
            _keep(sweep, outputs)
            fail("calibrate", str(error), 1)
    _draw(found, figure)
    _report(sweep, found)
    say(f"wrote {out}, {report} and {figure}")


def _check_names(out: Path, report: Path, figure: Path) -> None:
    """Wrong names, before anything is loaded."""
    if figure.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise InputError(f"cannot write the figure {figure}: its name must end in .png, .svg, .pdf")
    if len({path.resolve() for path in (out, report, figure)}) < 3:
        raise InputError(f"{out}, {report} and {figure} must be three files; give each its own")


def _run(sweep: Sweep, outputs: Outputs) -> None:
    from .report import trial_line

    wanted, done = sweep.options.trials, sweep.standing().complete
    left = max(0, wanted - done)
    if done:
        say(f"{done} of {wanted} done, {left} to run")
    for note in [*sweep.space.notes(), *sweep.notes]:
        say(note)
    told = False
    with progress_bar("trials") as progress:
        progress(done, wanted)

        def streamed(share: float) -> None:
            # Of the last one at most: a trial that fails is run again.
            progress(min(done + share, wanted), wanted)

        def after(trial, standing) -> None:
            nonlocal done
            done = standing.complete
            outputs.improved(standing)
            shown = standing.trial(trial.number)
            say(trial_line(standing.complete, wanted, shown, sweep.dev.error_name))
            progress(standing.complete, wanted)

        def waiting(running: int) -> None:
            nonlocal told
            if not told:
                say(f"waiting for {counted(running, 'trial')} that other processes are running")
            told = True

        sweep.streamed = streamed
        sweep.run(after, waiting)


def _keep(sweep: Sweep, outputs: Outputs) -> None:
    """Write what there is."""
    from contextlib import suppress

    from .study.storage import failing_as_input

    with suppress(InputError), failing_as_input(sweep.options.storage_name):
        outputs.interrupted()
    done, wanted = sweep.standing().complete, sweep.options.trials
    say(f"{done} of {wanted} trials are done and kept")


def _again() -> str:
    from .study.storage import redacted

    return redacted(shlex.join(["calibrate", *sys.argv[1:]]))


def _draw(found: Calibration, figure: Path) -> None:
    from ..reports.figures.registry import calibration_figures
    from ..reports.figures.style import save_figure

    for one in calibration_figures(found.report):
        save_figure(one.draw(one.info), figure)


def _report(sweep: Sweep, found: Calibration) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console

    from ..tables import print_table
    from .held_out import verdicts
    from .report import described
    from .study.explain import lines
    from .study.space import BORDERS

    file = found.report
    assert file.held_out is not None
    assert file.replay is not None
    shown = {*sweep.space.ranges, *BORDERS.values()}
    rate = file.held_out.corpus.error_name
    rows = []
    for point in file.held_out.points:
        searched = {k: v for k, v in point.config.items() if k in shown}
        row = [
            point.name,
            _rate_cell(point.wer, file.held_out.wer_bounds(point)),
            _cell(point.delay_s, 1),
            "-" if point.measures.gflop_per_s is None else f"{point.measures.gflop_per_s:.3g}",
            "\n".join(described(searched)),
        ]
        rows.append(row)
    columns = ["held-out speech", f"{rate} %", "delay s", "GFLOP/s", "settings"]
    print_table(Console(), columns, rows, box=SIMPLE_HEAD)
    for line in [*sweep.reasons(sweep.standing()), *verdicts(file.held_out)]:
        say(line)
    if file.explanation is not None:
        for line in lines(file.explanation, file.corpus.error_name):
            print(line)
    replay = file.replay
    say(
        f"{replay.decoded} states decoded, {replay.replayed} answers replayed; live, the chosen "
        f"configuration gives the same words and times in {replay.live_identical} of "
        f"{counted(replay.live_utterances, 'utterance')}"
    )


def _rate_cell(wer, bounds: tuple[float, float] | None) -> str:
    if wer is None or bounds is None:
        return "-"
    if not wer.value:
        return f"0.00 (below {100 * bounds[1]:.2f})"
    return f"{100 * wer.value:.2f} ({100 * bounds[0]:.2f} to {100 * bounds[1]:.2f})"


def _cell(estimate, scale: float) -> str:
    if estimate is None:
        return "-"
    value, low, high = (scale * one for one in (estimate.value, estimate.low, estimate.high))
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    """Entry point of `calibrate`."""
    run(calibrate_command, options={"cache": "--alignments"})
