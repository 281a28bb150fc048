"""One HTML page of everything that was measured: self-contained, light and dark, printable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ...evaluate.result import BenchmarkFile, Run, Utterance
from .. import rows as words
from ..figures.benchmark import (
    delay_curves,
    delay_curves_info,
    error_breakdown,
    error_breakdown_info,
)
from ..figures.calibration import pareto, pareto_info
from ..figures.drawing import Drawing
from ..figures.heads import (
    hit_rate_against_border_auc,
    hit_rate_against_border_auc_info,
    score_heatmap,
    score_heatmap_info,
    score_heatmaps,
    score_heatmaps_info,
)
from ..figures.speed import error_against_speed, error_against_speed_info
from ..figures.timeline import timeline, timeline_info
from ..figures.words import model_name, scores_present
from ..published import Published, published
from ..rows import Row, headline, make_rows
from . import parts as page_parts

if TYPE_CHECKING:
    from ...calibrate.result import CalibrationFile
    from ...heads.schema import HeadsFile

_TEMPLATE = Path(__file__).with_name("template")


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
        if self.calibration is not None and self._calibration_drawings():
            return self._calibration_drawings()[0].title
        if self.heads is not None:
            return score_heatmap_info(self.heads).title
        return "Streaming recognition as published by others"

    @cached_property
    def drawings(self) -> dict[str, Drawing]:
        """Every figure by name, in the order of the page."""
        found = [
            *self._benchmark_drawings(), *self._timeline_drawings(), *self._heads_drawings(),
            *self._calibration_drawings(),
        ]  # fmt: skip
        return {drawing.name: drawing for drawing in found}

    def _benchmark_drawings(self) -> list[Drawing]:
        found = []
        speed = error_against_speed_info(self.rows, self.published)
        if speed is not None:
            alt = f"Scatter plot of word error rate against real-time factor: {len(speed.points)} "
            alt += "systems, which the table below lists."
            found.append(Drawing("error_against_speed", speed, error_against_speed, alt, True))
        delays = delay_curves_info(self.rows)
        if delays is not None:
            alt = "Rising curves: the share of words that are out by each delay, of "
            alt += ", ".join(curve.name for curve in delays.curves) + "."
            found.append(Drawing("emission_delay", delays, delay_curves, alt, True))
        kinds = error_breakdown_info(self.rows)
        if kinds is not None and any(row.text.words.errors for row in self.rows):
            alt = "Bars of substituted, deleted and inserted words, and of errors that are white "
            alt += "space alone, of " + ", ".join(run.name for run in kinds.runs) + "."
            found.append(Drawing("error_breakdown", kinds, error_breakdown, alt, True))
        return found

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

    def _timeline_drawings(self) -> list[Drawing]:
        found = []
        for number, traced in enumerate(self.traced, 1):
            info = timeline_info(traced.trace, traced.utterance, traced.row.label)
            alt = f"Timeline of {traced.trace.id}: {len(info.words)} words, each with when it is "
            alt += "said and when it was committed"
            late = [word.delay_s for word in info.words if word.delay_s is not None]
            alt += f", at most {max(late):.2f} s later." if late else "."
            found.append(Drawing(f"timeline_{number}", info, timeline, alt))
        return found

    def _heads_drawings(self) -> list[Drawing]:
        if self.heads is None:
            return []
        heatmap = score_heatmap_info(self.heads)
        found = [
            Drawing("heads_hit_rate", heatmap, score_heatmap,
                    f"Heatmap of the hit rate of {heatmap.values.shape[0]} layers by "
                    f"{heatmap.values.shape[1]} heads, the best outlined.")
        ]  # fmt: skip
        if "border_auc" in scores_present(self.heads):
            scatter = hit_rate_against_border_auc_info(self.heads)
            found.append(
                Drawing("heads_hit_rate_against_border_auc", scatter, hit_rate_against_border_auc,
                        f"Scatter plot of hit rate and border AUC of {len(scatter.heads)} heads.")
            )  # fmt: skip
        if len(scores_present(self.heads)) > 1:
            panels = score_heatmaps_info(self.heads)
            found.append(
                Drawing("heads_scores", panels, score_heatmaps,
                        f"Heatmaps of {len(panels.panels)} scores of every head.", as_png=True)
            )  # fmt: skip
        return found

    def _calibration_drawings(self) -> list[Drawing]:
        if self.calibration is None:
            return []
        try:
            front = pareto_info(self.calibration)
        except InputError:  # no trial is complete: the page says so
            return []
        alt = f"Word error rate against emission delay of {len(front.trials)} trials, a front of "
        alt += f"{len(front.front)} of them, and {len(front.baselines)} baselines."
        return [Drawing("calibration_front", front, pareto, alt)]

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
        )  # fmt: skip
        figures = {name: drawing.on_page() for name, drawing in self.drawings.items()}
        return environment.get_template("report.html").render(
            report=self,
            rows=self.rows,
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
