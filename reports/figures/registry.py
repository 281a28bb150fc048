"""Every figure there is: its name, its data, what draws it, and what it shows in words.

A command or a page asks for the figures of a result; a figure whose data is missing is left out.
A new figure is an entry in the function of its kind here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...errors import InputError
from ..published import Published
from ..rows import Row
from . import benchmark, calibration, curves, heads, speed, timeline
from .attention import AttentionOverMel, attention_over_mel
from .drawing import Drawing
from .words import scores_present

if TYPE_CHECKING:
    from ...calibrate.result import CalibrationFile
    from ...evaluate.result import Utterance
    from ...evaluate.trace_types import Trace
    from ...heads import HeadsFile

HEADS_ATTENTION = "heads_attention"


def benchmark_figures(rows: Sequence[Row], published: Published | None) -> list[Drawing]:
    """Of benchmark runs, beside what others have published."""
    found = []
    points = speed.error_against_speed_info(rows, published)
    if points is not None:
        alt = f"Scatter plot of {points.rate} against real-time factor: {len(points.points)} "
        alt += "systems, which the table below lists."
        draw = speed.error_against_speed
        found.append(Drawing("error_against_speed", points, draw, alt, has_narrow=True))
    delays = benchmark.delay_curves_info(rows)
    if delays is not None:
        alt = "Rising curves: the share of words that are out by each delay, of "
        alt += ", ".join(curve.name for curve in delays.curves) + "."
        draw = benchmark.delay_curves
        found.append(Drawing("emission_delay", delays, draw, alt, has_narrow=True))
    sure = benchmark.reliability_info(rows)
    if sure is not None:
        alt = "Curves: the share of committed words that are right, by their probability, of "
        alt += ", ".join(curve.name for curve in sure.curves) + "."
        found.append(Drawing("reliability", sure, benchmark.reliability, alt, has_narrow=True))
    kinds = benchmark.error_breakdown_info(rows)
    if kinds is not None and any(row.text.words.errors for row in rows):
        alt = "Bars of substituted, deleted and inserted words, and of errors that are white "
        alt += "space alone, of " + ", ".join(run.name for run in kinds.runs) + "."
        draw = benchmark.error_breakdown
        found.append(Drawing("error_breakdown", kinds, draw, alt, has_narrow=True))
    return found


def timeline_figure(number: int, trace: Trace, utterance: Utterance, label: str) -> Drawing:
    """Of one traced utterance, the `number`-th, of the run called `label`."""
    info = timeline.timeline_info(trace, utterance, label)
    alt = f"Timeline of {trace.id}: {len(info.words)} words, each with when it is said and when "
    alt += "it was committed"
    late = [word.delay_s for word in info.words if word.delay_s is not None]
    alt += f", at most {max(late):.2f} s later." if late else "."
    return Drawing(f"timeline_{number}", info, timeline.timeline, alt)


def heads_figures(file: HeadsFile) -> list[Drawing]:
    """Of a heads file: all that it has the scores for."""
    heatmap = heads.score_heatmap_info(file)
    layers, per_layer = heatmap.values.shape
    alt = f"Heatmap of the hit rate of {layers} layers by {per_layer} heads, the best outlined"
    alt += ", the published ones dotted." if heatmap.published else "."
    found = [Drawing("heads_hit_rate", heatmap, heads.score_heatmap, alt)]
    if "time_bias_ms" in file.metrics:
        scatter = heads.hit_rate_against_bias_info(file)
        alt = f"Scatter plot of hit rate and time bias of {len(scatter.heads)} heads."
        draw = heads.hit_rate_against_bias
        found.append(Drawing("heads_hit_rate_against_bias", scatter, draw, alt))
    if len(scores_present(file)) > 1:
        panels = heads.score_heatmaps_info(file)
        alt = f"Heatmaps of {len(panels.panels)} scores of every head."
        found.append(Drawing("heads_scores", panels, heads.score_heatmaps, alt, as_png=True))
    ranking = file.ranking
    if ranking is not None and ranking.top_stability is not None:
        curve = ranking.stability_curve
        # Earlier versions wrote the curve of hit rate, whatever the ranking was.
        is_its_own = bool(curve) and curve[-1] == (file.num_samples, ranking.top_stability)
        points = list(zip(*curve, strict=True)) if is_its_own else [(), ()]
        stability = curves.stability_curve_info(file, *points)
        alt = (
            f"Curve: the share of the best {stability.top} heads that a new sample of clips keeps."
        )
        found.append(Drawing("heads_stability", stability, curves.stability_curve, alt))
    if ranking is not None and ranking.set_error_curve:
        errors = curves.set_error_curve_info(file)
        alt = f"Curve: the time error of a group of 1 to {len(errors.errors_ms)} heads."
        found.append(Drawing("heads_set_error", errors, curves.set_error_curve, alt))
    return found


def attention_figure(info: AttentionOverMel) -> Drawing:
    """Of one head over one utterance."""
    alt = f"The attention of one head over a spectrogram, for {len(info.tokens)} tokens."
    return Drawing(HEADS_ATTENTION, info, attention_over_mel, alt)


def calibration_figures(file: CalibrationFile) -> list[Drawing]:
    """Of a calibration; none while no trial is complete."""
    try:
        front = calibration.pareto_info(file)
    except InputError:
        return []
    alt = f"{front.rate.capitalize()} against emission delay of {len(front.trials)} trials, "
    alt += f"a front of {len(front.front)} of them, and {len(front.baselines)} baselines."
    if front.costs is not None:
        alt += " Compute is shown by colour and size, and in two panels below against each."
    return [Drawing("calibration_front", front, calibration.pareto, alt)]
