"""One HTML page of everything that was measured: self-contained, light and dark, printable."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ...calibrate.result import CalibrationFile
from ...errors import InputError
from ...evaluate.load import load_benchmark
from ...evaluate.result import BenchmarkFile, Run, Utterance
from ...files import output_folder, output_path, write_text
from ...heads import HeadsFile, load_heads
from ...wording import counted
from .. import rows as words
from ..figures.drawing import Drawing, print_names, save_drawings
from ..figures.registry import (
    benchmark_figures,
    calibration_figures,
    heads_figures,
    timeline_figure,
)
from ..figures.words import model_name
from ..published import Published, published
from ..rows import Row, headline, make_rows
from . import parts as page_parts

_log = logging.getLogger(__name__)

_TEMPLATE = Path(__file__).with_name("template")
_HEADS_ON_PAGE = ("heads_hit_rate", "heads_hit_rate_against_bias", "heads_scores")


def render_report(
    *,
    benchmarks: Sequence[BenchmarkFile | str | Path] = (),
    heads: HeadsFile | str | Path | None = None,
    calibration: CalibrationFile | str | Path | None = None,
    published: bool = True,
    timelines: int = 3,
    out: str | Path | None = None,
    figures: str | Path | None = None,
    force: bool = False,
) -> str:
    """One HTML page of results: tables, figures, and streams to listen to.

    The page holds all it needs and loads nothing. A section without its input says what to run.

    Args:
        benchmarks: benchmark files, ours or in the published layout.
        heads: a heads file, or a bundled name.
        calibration: a calibration.json.
        published: whether the figures that others have published are shown beside ours.
        timelines: how many utterances to show step by step, with their audio.
        out: where the page is written; None: nowhere.
        figures: a folder for every figure, as PNG and SVG.
        force: overwrite what is there.

    Returns:
        The page.

    Raises:
        InputError: nothing to report, or a file that cannot be read or written.
    """
    if timelines < 0:
        raise InputError(f"timelines is {timelines}, expected 0 or more", arguments=("timelines",))
    if not (benchmarks or heads or calibration or published):
        raise InputError(
            "nothing to report: give benchmarks, heads or calibration",
            arguments=("benchmarks", "heads", "calibration"),
        )
    given = (*benchmarks, heads, calibration)
    reads = [one for one in given if isinstance(one, str | Path)]
    if out is not None:
        output_path(Path(out), force, reads)
    report = Report(
        benchmarks=[_opened(one, index) for index, one in enumerate(benchmarks, 1)],
        heads=load_heads(heads) if isinstance(heads, str | Path) else heads,
        calibration=CalibrationFile.load(calibration)
        if isinstance(calibration, str | Path)
        else calibration,
        with_published=published,
        timelines=timelines,
    )
    if figures is not None:
        output_folder(Path(figures), print_names(report.drawings.values()), force, reads)
    page = report.html()
    if out is not None:
        write_text(out, page, overwrite=force)
        _log.info("wrote %s, %.1f MB, %d figures", out, len(page.encode(errors="replace")) / 1e6,
                  len(report.drawings))  # fmt: skip
    if figures is not None:
        save_drawings(report.drawings.values(), Path(figures))
        _log.info("wrote %d files into %s", 2 * len(report.drawings), figures)
    return page


def _opened(benchmark: BenchmarkFile | str | Path, index: int) -> tuple[Path, BenchmarkFile]:
    """A benchmark file, and the name that the page calls it by."""
    if isinstance(benchmark, BenchmarkFile):
        return Path(f"benchmark {index}"), benchmark
    return Path(benchmark), load_benchmark(Path(benchmark))


@dataclass(frozen=True)
class Report:
    """What a page is made of.

    Attributes:
        benchmarks: files with the paths they are from, in order.
        heads: the heads file.
        calibration: the calibration.
        with_published: whether the bundled figures of others are shown.
        timelines: how many utterances at most are shown step by step.
    """

    benchmarks: Sequence[tuple[Path, BenchmarkFile]] = ()
    heads: HeadsFile | None = None
    calibration: CalibrationFile | None = None
    with_published: bool = True
    timelines: int = 3

    @cached_property
    def rows(self) -> list[Row]:
        """The runs."""
        return make_rows(self.benchmarks)

    @property
    def published(self) -> Published | None:
        """The figures of others, if they are shown."""
        return published() if self.with_published else None

    @property
    def title(self) -> str:
        """The finding of the whole page."""
        if self.rows:
            return headline(self.rows)
        for drawings in (self._calibration_drawings, self._heads_drawings):
            if drawings:
                return drawings[0].title
        return "Streaming recognition as published by others"

    @cached_property
    def drawings(self) -> dict[str, Drawing]:
        """Every figure by name, in the order of the page."""
        timelines = (
            timeline_figure(number, traced.trace, traced.utterance, traced.row.label)
            for number, traced in enumerate(self.traced, 1)
        )
        found = [
            *benchmark_figures(self.rows, self.published),
            *timelines,
            *self._heads_drawings,
            *self._calibration_drawings,
        ]
        return {drawing.name: drawing for drawing in found}

    @cached_property
    def traced(self) -> list[page_parts.Traced]:
        """The utterances shown step by step: of the runs that have any, by turns."""
        queues = [
            [page_parts.Traced(row, index, self._utterance(row.run, trace.id))
             for index, trace in enumerate(row.run.traces)]
            for row in self.rows
        ]  # fmt: skip
        turns = max(map(len, queues), default=0)
        found = [queue[turn] for turn in range(turns) for queue in queues if turn < len(queue)]
        return found[: self.timelines]

    @staticmethod
    def _utterance(run: Run, id: str) -> Utterance:
        return next(one for one in run.utterances if one.id == id)

    @cached_property
    def _heads_drawings(self) -> list[Drawing]:
        if self.heads is None:
            return []
        return [one for one in heads_figures(self.heads) if one.name in _HEADS_ON_PAGE]

    @cached_property
    def _calibration_drawings(self) -> list[Drawing]:
        return [] if self.calibration is None else calibration_figures(self.calibration)

    def html(self) -> str:
        """The page."""
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        environment = Environment(
            loader=FileSystemLoader(_TEMPLATE), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        environment.filters.update(
            percent=words.percent, seconds=words.seconds, ratio=words.ratio,
            interval=words.interval, megabytes=page_parts.megabytes, short=page_parts.short_hash,
            unbroken=page_parts.unbroken,
        )  # fmt: skip
        figures = {name: drawing.on_page() for name, drawing in self.drawings.items()}
        return environment.get_template("report.html").render(
            report=self,
            rows=self.rows,
            error_names=words.error_names,
            figures=figures,
            tiles=page_parts.tiles(self.rows),
            comparisons=page_parts.comparisons(self.rows),
            worst=[page_parts.WorstOf(row) for row in self.rows if row.text.worst],
            timelines=[
                page_parts.TimelineView(traced, figures[f"timeline_{number}"])
                for number, traced in enumerate(self.traced, 1)
            ],
            published=self.published,
            comparability=page_parts.comparability(self.rows, self.published),
            model=_model_hint(self),
            counted=counted,
            stated=page_parts.stated,
            steps_s=page_parts.steps_s(self.rows),
            style=_part("style.css"),
            player=_part("player.js"),
        )


def _model_hint(report: Report) -> str:
    if report.benchmarks:
        return model_name(report.benchmarks[0][1].model.name)
    other = report.heads or report.calibration
    return model_name(other.model) if other else "tiny"


def _part(name: str) -> Any:
    from markupsafe import Markup

    return Markup((_TEMPLATE / name).read_text(encoding="utf-8"))
