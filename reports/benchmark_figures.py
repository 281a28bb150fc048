"""Figures of benchmark files: error against speed, emission delay, kinds of errors.

Each `*_info` function returns plain data with the words of the headline; the function of the
same name without `_info` draws it, `narrow` for the width of a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .benchmark_rows import Row, hardware, not_comparable, percent, seconds, speed
from .heads_words import counted
from .placing import label_points
from .published import Published, PublishedPoint
from .style import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    MUTED,
    PURPLE,
    SMALL_PT,
    VERMILLION,
    new_figure,
    shortened,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE_IN = 7.2
NARROW_IN = 3.75

_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, INK)
_LINES = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
_MARKERS = {"utterance": "o", "chapter": "s", "talk": "^", "not stated": "D"}
_HARDWARE = {"Apple M5": VERMILLION, "NVIDIA H100": GREEN}
_CURVE_POINTS = 300
_LABEL_REACH_PT = 42  # a name further off is left to the table


@dataclass(frozen=True)
class Point:
    """A system: real-time factor and word error rate in percent."""

    name: str
    rtf: float
    wer_percent: float
    unit: str
    hardware: str
    is_ours: bool


@dataclass(frozen=True)
class ErrorAgainstSpeed:
    """Points of ours first, then those published."""

    points: tuple[Point, ...]
    title: str
    subtitle: str


@dataclass(frozen=True)
class DelayCurve:
    """The share of words out by each delay: `delays_s` ascending, `shares` 0 to 1."""

    name: str
    delays_s: np.ndarray
    shares: np.ndarray
    median_s: float


@dataclass(frozen=True)
class DelayCurves:
    """Of several runs, each over its matched words."""

    curves: tuple[DelayCurve, ...]
    title: str
    subtitle: str


@dataclass(frozen=True)
class ErrorKinds:
    """Of one run, all in percent of the words of the reference."""

    name: str
    substitutions: float
    deletions: float
    insertions: float
    space_only: float


@dataclass(frozen=True)
class ErrorBreakdown:
    """Of several runs."""

    runs: tuple[ErrorKinds, ...]
    title: str
    subtitle: str


def error_against_speed_info(
    rows: Sequence[Row], published: Published | None
) -> ErrorAgainstSpeed | None:
    """Every run that was timed and scored, and the published points; None without either."""
    ours = [
        Point(row.label, row.totals.rtf, 100 * row.text.words.rate, row.file.corpus.group,
              shortened(hardware(row), 32), True)
        for row in rows
        if row.totals.rtf and row.text.words.rate is not None
    ]  # fmt: skip
    timed = [row for row in rows if row.totals.rtf and row.text.words.rate is not None]
    wanted = {row.corpus for row in rows} - {"not stated"}
    if not wanted & {point.corpus for point in (published.points if published else ())}:
        wanted = {"LibriSpeech test-clean"}
    theirs = [
        point
        for point in (published.points if published else ())
        if point.corpus in {*wanted, "not stated"}
    ]
    if not ours and not theirs:
        return None
    title = _speed_title(timed) if timed else f"{counted(len(theirs), 'system')} as published"
    subtitle = ["basic normaliser"]
    if theirs and ours:
        subtitle.append(_comparable(timed, theirs))
    shown = [Point(p.system, p.rtf, p.wer_percent, p.unit, p.hardware, False) for p in theirs]
    return ErrorAgainstSpeed((*ours, *shown), title, " · ".join(subtitle))


def _speed_title(rows: Sequence[Row]) -> str:
    fast = [row for row in rows if row.totals.rtf is not None and row.totals.rtf < 1]
    if len(rows) == 1 and rows[0].totals.rtf is not None:
        return f"{rows[0].label} runs {speed(rows[0].totals.rtf)}"
    if len(fast) == len(rows):
        slowest = max(row.totals.rtf or 0.0 for row in rows)
        return f"All {len(rows)} runs keep up with speech, the slowest {speed(slowest)}"
    return f"{len(fast)} of {len(rows)} runs keep up with speech"


def _comparable(rows: Sequence[Row], theirs: Sequence[PublishedPoint]) -> str:
    """Against how many of the published points a run of ours may be read."""
    full = [p for p in theirs if any(not not_comparable(row, p) for row in rows)]
    if not full:
        return "hollow: published, on other speech, cut otherwise or on other hardware"
    return f"hollow: published; {len(full)} of {len(theirs)} on the same speech and hardware"


def delay_curves_info(rows: Sequence[Row]) -> DelayCurves | None:
    """Of every simul run whose words have times; None without any."""
    curves = [curve for row in rows if row.is_live and (curve := _curve(row)) is not None]
    if not curves:
        return None
    first = min(curves, key=lambda curve: curve.median_s)
    if len(curves) == 1:
        late = float(np.interp(0.9, first.shares, first.delays_s))
        title = f"{first.name}: half of the words are out {_after(first.median_s)}, nine in ten "
        title += f"{_after(late)}"
    else:
        last = max(curves, key=lambda curve: curve.median_s)
        title = f"{first.name} is earliest: half of its words are out {_after(first.median_s)}"
        title += f"; of {last.name} {_after(last.median_s)}"
    words = sum(row.totals.latency.matched_words for row in rows if row.totals.latency and
                row.is_live)  # fmt: skip
    left_out = [row.label for row in rows if row.run.settings.mode == "single-shot"]
    subtitle = f"{counted(words, 'word')} that were right · computing time not counted"
    if left_out:
        subtitle += " · single-shot, which hears all before it speaks, left out"
    return DelayCurves(tuple(curves), title, subtitle)


def _after(delay_s: float) -> str:
    if delay_s < 0:
        return f"{seconds(-delay_s)} before they end"
    return f"within {seconds(delay_s)}"


def _curve(row: Row) -> DelayCurve | None:
    delays = np.sort(
        [delay for one in row.run.utterances if one.times for delay in one.times.delays_s]
    )
    if not len(delays):
        return None
    shares = np.arange(1, len(delays) + 1) / len(delays)
    median_s = float(np.median(delays))
    if len(delays) > _CURVE_POINTS:
        kept = np.linspace(0, len(delays) - 1, _CURVE_POINTS).astype(int)
        delays, shares = delays[kept], shares[kept]
    return DelayCurve(row.label, delays, shares, median_s)


def error_breakdown_info(rows: Sequence[Row]) -> ErrorBreakdown | None:
    """Substitutions, deletions and insertions of each run; None where no reference has a word."""
    kinds, named = [], []
    for row in rows:
        words, space = row.text.words, row.text.space_only
        if not words.reference:
            continue
        share = 100 / words.reference
        kinds.append(
            ErrorKinds(
                row.label, share * words.substitutions, share * words.deletions,
                share * words.insertions, share * space.errors,
            )
        )  # fmt: skip
        named.append(row)
    if not kinds:
        return None
    most = max(named, key=lambda row: row.text.space_only.errors)
    space = most.text.space_only
    if space.errors:
        share = space.errors / most.text.words.errors
        title = f"{100 * share:.0f} % of the word errors of {most.label} are white space alone: "
        title += f"without them {percent(space.rate_without)} for {percent(most.text.words.rate)}"
    elif any(row.text.words.errors for row in named):
        title = "No word was cut in two: no error is white space alone"
    else:
        words = max(row.text.words.reference for row in named)
        title = f"No word is wrong, of {words:,}"
    return ErrorBreakdown(
        tuple(kinds), title, "basic normaliser · percent of the reference's words"
    )


def error_against_speed(info: ErrorAgainstSpeed, narrow: bool = False) -> Figure:
    """Ours filled, published hollow; shapes say what was decoded in one piece."""
    width, height = (NARROW_IN, 4.6) if narrow else (WIDE_IN, 4.9)
    with new_figure(width, height, info.title, info.subtitle) as figure:
        axes = figure.add_subplot()
        axes.grid()
        axes.set_xscale("log")
        for point in info.points:
            colour = BLUE if point.is_ours else _HARDWARE.get(point.hardware, MUTED)
            axes.scatter(
                point.rtf, point.wer_percent, s=46 if point.is_ours else 30,
                marker=_MARKERS.get(point.unit, "D"),
                facecolor=colour if point.is_ours else "none", edgecolor=colour,
                linewidth=1.3, zorder=4 if point.is_ours else 3,
            )  # fmt: skip
        factors = [point.rtf for point in info.points]
        highest = max(point.wer_percent for point in info.points)
        axes.set_xlim(min(factors) / 2, max(2.4, 1.6 * max(factors)))
        axes.set_ylim(-0.06 * max(highest, 1), 1.16 * max(highest, 1))
        axes.axvspan(1, axes.get_xlim()[1], color=FAINT, alpha=0.5, linewidth=0, zorder=0)
        axes.axvline(1, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.text(1, 1.005, "slower than speech", transform=axes.transAxes, size=SMALL_PT,
                  color=MUTED, ha="right", va="bottom")  # fmt: skip
        axes.set(xlabel="real-time factor (time to compute / length of audio)",
                 ylabel="word error rate (%)")  # fmt: skip
        _plain_log_ticks(axes)
        _speed_legend(figure, info, narrow)
        named = _labelled(info, narrow)
        rest = [p for p in info.points if p not in named]
        label_points(
            axes,
            [(p.rtf, p.wer_percent) for p in named],
            [shortened(p.name, 20 if narrow else 32) for p in named],
            [(p.rtf, p.wer_percent) for p in rest],
            size_pt=SMALL_PT if not narrow else 7,
            reach_pt=_LABEL_REACH_PT,
        )
    return figure


def _labelled(info: ErrorAgainstSpeed, narrow: bool) -> list[Point]:
    """Ours, then those of the same model, then where there is room all others."""
    related = [p for p in info.points if not p.is_ours and p.name.startswith("Qwen")]
    rest = [p for p in info.points if not p.is_ours and p not in related]
    return [p for p in info.points if p.is_ours] + related + ([] if narrow else rest)


def _plain_log_ticks(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _speed_legend(figure: Figure, info: ErrorAgainstSpeed, narrow: bool) -> None:
    from matplotlib.lines import Line2D

    entries: dict[str, Line2D] = {}
    for point in info.points:
        colour = BLUE if point.is_ours else _HARDWARE.get(point.hardware, MUTED)
        unit = "unit not stated" if point.unit == "not stated" else f"by {point.unit}"
        name = f"{point.hardware}, {unit}" + ("" if point.is_ours else ", published")
        entries[name] = Line2D(
            [], [], linestyle="none", marker=_MARKERS.get(point.unit, "D"), markersize=5.5,
            markerfacecolor=colour if point.is_ours else "none", markeredgecolor=colour,
        )  # fmt: skip
    figure.legend(
        entries.values(), entries.keys(), loc="outside lower left", ncols=1 if narrow else 2
    )


def delay_curves(info: DelayCurves, narrow: bool = False) -> Figure:
    """A rising curve for each run; the half and the nine tenths marked."""
    width, height = (NARROW_IN, 3.6) if narrow else (WIDE_IN, 3.7)
    with new_figure(width, height, info.title, info.subtitle) as figure:
        axes = figure.add_subplot()
        axes.grid()
        ends = []
        for index, curve in enumerate(info.curves):
            x = np.concatenate([[curve.delays_s[0]], curve.delays_s])
            axes.plot(
                x, 100 * np.concatenate([[0], curve.shares]), drawstyle="steps-post",
                color=_COLOURS[index % len(_COLOURS)],
                linestyle=_LINES[index // len(_COLOURS) % len(_LINES)], linewidth=1.6,
                label=shortened(curve.name, 40),
            )  # fmt: skip
            ends.append(float(np.interp(0.99, curve.shares, curve.delays_s)))
        for level in (50, 90):
            axes.axhline(level, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        low = min(0.0, min(float(curve.delays_s[0]) for curve in info.curves))
        axes.set_xlim(low - 0.02, max(1.08 * max(ends), 0.5))
        axes.set_ylim(0, 102)
        axes.set_yticks([0, 25, 50, 75, 90, 100])
        axes.set(xlabel="emission delay (s of audio after the word's end)",
                 ylabel="words that are out (%)")  # fmt: skip
        if len(info.curves) > 1:
            figure.legend(loc="outside lower left", ncols=1 if narrow else 2)
    return figure


def error_breakdown(info: ErrorBreakdown, narrow: bool = False) -> Figure:
    """A stacked bar for each run, and below it the part that is white space alone."""
    width = NARROW_IN if narrow else WIDE_IN
    with new_figure(width, 1.25 + 0.48 * len(info.runs), info.title, info.subtitle) as figure:
        axes = figure.add_subplot()
        axes.grid(axis="x")
        for row, run in enumerate(info.runs):
            left = 0.0
            for name, value, colour in (
                ("substituted", run.substitutions, BLUE),
                ("deleted", run.deletions, VERMILLION),
                ("inserted", run.insertions, GREEN),
            ):
                axes.barh(row, value, 0.42, left=left, color=colour,
                          label=name if row == 0 else None)  # fmt: skip
                left += value
            axes.barh(row + 0.32, run.space_only, 0.16, color=MUTED,
                      label="of these, white space alone" if row == 0 else None)  # fmt: skip
            axes.annotate(f"{left:.2f}", (left, row), xytext=(4, 0), textcoords="offset points",
                          size=SMALL_PT, va="center")  # fmt: skip
        highest = max(run.substitutions + run.deletions + run.insertions for run in info.runs)
        axes.set_xlim(0, 1.12 * highest if highest else 1)
        axes.set_ylim(len(info.runs) - 0.45, -0.45)
        axes.set_yticks(
            range(len(info.runs)), [shortened(run.name, 16 if narrow else 34) for run in info.runs]
        )
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("errors (% of the reference's words)")
        figure.legend(loc="outside lower left", ncols=2 if narrow else 4)
    return figure
