"""The command `render-report`: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..commandline import run
from ..options import FiguresOption, ForceOption


def render_report_command(
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
    figures: FiguresOption = None,
    force: ForceOption = False,
) -> None:
    """Make one HTML page of results: tables, figures, and streams to listen to.

    The page holds all it needs and loads nothing. A section without its input says what to run.
    """
    from .page.report import render_report

    render_report(
        benchmarks=benchmark or (), heads=heads, calibration=calibration, published=published,
        timelines=timelines, out=out, figures=figures, force=force,
    )  # fmt: skip


def main() -> None:
    """Entry point of `render-report`."""
    run(render_report_command, options={"benchmarks": "--benchmark"})
