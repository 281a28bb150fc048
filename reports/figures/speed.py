"""Error rate against real-time factor, beside what others have published.

`error_against_speed_info` returns plain data with the words of the headline,
`error_against_speed` draws it, `narrow` for the width of a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...wording import counted
from ..published import Published, PublishedPoint
from ..rows import Row, hardware, not_comparable, speed
from .placing import label_points
from .style import (
    BLUE,
    FAINT,
    GREEN,
    MUTED,
    NARROW_IN,
    SMALL_PT,
    VERMILLION,
    WIDE_IN,
    new_figure,
    shortened,
)
from .words import rate_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = {"utterance": "o", "chapter": "s", "talk": "^", "not stated": "D"}
_HARDWARE = {"Apple M5": VERMILLION, "NVIDIA H100": GREEN}
_LABEL_REACH_PT = 42  # a name further off is left to the table


@dataclass(frozen=True)
class Point:
    """A system: real-time factor and error rate in percent."""

    name: str
    rtf: float
    wer_percent: float
    unit: str
    hardware: str
    is_ours: bool
    runs_here: bool


@dataclass(frozen=True)
class ErrorAgainstSpeed:
    """Points of ours first, then those published; `rate` is what the rate of errors is called."""

    points: tuple[Point, ...]
    title: str
    subtitle: str
    rate: str = "word error rate"


def error_against_speed_info(
    rows: Sequence[Row], published: Published | None
) -> ErrorAgainstSpeed | None:
    """Every run that was timed and scored, and the published points; None without either."""
    ours = [
        Point(row.label, row.totals.rtf, 100 * row.text.words.rate, row.file.corpus.group,
              shortened(hardware(row), 32), True, True)
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
    rates = [row.run.error_name for row in timed] + ["WER"] * bool(theirs)
    shown = [
        Point(p.system, p.rtf, p.wer_percent, p.unit, p.hardware, False, p.runs_here)
        for p in theirs
    ]
    return ErrorAgainstSpeed((*ours, *shown), title, " · ".join(subtitle), rate_title(rates))


def _speed_title(rows: Sequence[Row]) -> str:
    fast = [row for row in rows if row.totals.rtf is not None and row.totals.rtf < 1]
    if len(rows) == 1 and rows[0].totals.rtf is not None:
        return f"{rows[0].label} runs {speed(rows[0].totals.rtf)}"
    if len(fast) == len(rows):
        slowest = max(row.totals.rtf or 0.0 for row in rows)
        which = "Both" if len(rows) == 2 else f"All {len(rows)}"
        return f"{which} runs keep up with speech, the slowest {speed(slowest)}"
    return f"{len(fast)} of {len(rows)} runs keep up with speech"


def _comparable(rows: Sequence[Row], theirs: Sequence[PublishedPoint]) -> str:
    """Against how many of the published points a run of ours may be read."""
    full = [p for p in theirs if any(not not_comparable(row, p) for row in rows)]
    if not full:
        return "hollow: published, on other speech, cut otherwise or on other hardware"
    return f"hollow: published; {len(full)} of {len(theirs)} on the same speech and hardware"


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
                 ylabel=f"{info.rate} (%)")  # fmt: skip
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
    """Ours, then those of models that run here, then where there is room all others."""
    related = [p for p in info.points if not p.is_ours and p.runs_here]
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
