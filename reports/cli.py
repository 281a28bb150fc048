"""The command `render-report`: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..commandline import run, say
from ..errors import InputError
from ..files import output_folder, output_path, replacing


def render_report(
    benchmark: Annotated[
        list[Path] | None,
        typer.Option(help="file of benchmark-decoder, or in the published layout; repeat it"),
    ] = None,
    heads: Annotated[
        str | None, typer.Option(help="heads file of discover-heads, or a bundled name")
    ] = None,
    calibration: Annotated[Path | None, typer.Option(help="calibration.json of calibrate")] = None,
    published: Annotated[
        bool, typer.Option(help="the figures that others have published, beside ours")
    ] = True,
    timelines: Annotated[
        int, typer.Option(help="utterances to show step by step, with their audio")
    ] = 3,
    out: Annotated[Path, typer.Option(help="the page")] = Path("report.html"),
    figures: Annotated[
        Path | None, typer.Option(help="folder for every figure, as PNG and SVG for print")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="overwrite existing files")] = False,
) -> None:
    """Make one HTML page of results: tables, figures, and streams to listen to.

    The page holds all it needs and loads nothing. A section without its input says what to run.
    """
    if timelines < 0:
        raise InputError(f"--timelines is {timelines}, expected 0 or more")
    if not (benchmark or heads or calibration or published):
        raise InputError("nothing to report: give --benchmark, --heads or --calibration")
    output_path(out, force)

    from ..calibrate.result import CalibrationFile
    from ..evaluate.result import load_benchmark
    from ..heads.load import load_heads
    from .figures.drawing import print_names, save_drawings
    from .page.report import Report

    report = Report(
        benchmarks=[(path, load_benchmark(path)) for path in benchmark or []],
        heads=load_heads(heads) if heads is not None else None,
        calibration=CalibrationFile.load(calibration) if calibration is not None else None,
        with_published=published,
        timelines=timelines,
    )
    if figures is not None:
        output_folder(figures, print_names(report.drawings.values()), force)
    page = report.html()
    with replacing(out) as temporary:
        temporary.write_text(page, encoding="utf-8")
    say(f"wrote {out}, {len(page.encode()) / 1e6:.1f} MB, {len(report.drawings)} figures")
    if figures is not None:
        save_drawings(report.drawings.values(), figures)
        say(f"wrote {2 * len(report.drawings)} files into {figures}")


def main() -> None:
    """Entry point of `render-report`."""
    run(render_report)
