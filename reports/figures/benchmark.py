"""Figures of benchmark files: emission delay, and kinds of errors.

Each `*_info` function returns plain data with the words of the headline; the function of the
same name without `_info` draws it, `narrow` for the width of a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...wording import counted
from ..rows import Row, percent, seconds
from .style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    NARROW_IN,
    PURPLE,
    SMALL_PT,
    VERMILLION,
    WIDE_IN,
    new_figure,
    shortened,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, INK)
_LINES = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
_CURVE_POINTS = 300


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
        kind = "word errors" if most.run.error_name == "WER" else "errors"
        title = f"{100 * share:.0f} % of the {kind} of {most.label} are white space alone: "
        title += f"without them {percent(space.rate_without)} for {percent(most.text.words.rate)}"
    elif any(row.text.words.errors for row in named):
        title = "No word was cut in two: no error is white space alone"
    else:
        words = max(row.text.words.reference for row in named)
        title = f"No word is wrong, of {words:,}"
    return ErrorBreakdown(
        tuple(kinds), title, "basic normaliser · percent of the reference's words"
    )


@dataclass(frozen=True)
class ReliabilityCurve:
    """Of one run: mean probability and share of right words of each bin, 0 to 1."""

    name: str
    probabilities: np.ndarray
    right: np.ndarray
    error: float


@dataclass(frozen=True)
class ReliabilityCurves:
    """Of several runs."""

    curves: tuple[ReliabilityCurve, ...]
    title: str
    subtitle: str


def reliability_info(rows: Sequence[Row]) -> ReliabilityCurves | None:
    """Of every run whose words have probabilities; None without any."""
    known = [(row, row.totals.reliability) for row in rows if row.totals.reliability is not None]
    if not known:
        return None
    curves = tuple(
        ReliabilityCurve(
            row.label,
            np.array([one.mean_probability for one in found.bins]),
            np.array([one.right / one.words for one in found.bins]),
            found.calibration_error,
        )
        for row, found in known
    )
    row, first = min(known, key=lambda pair: pair[1].calibration_error)
    away = 100 * (first.mean_probability - first.right / first.words)
    title = f"{row.label} is {percent(first.mean_probability, 1)} sure of its words, and "
    title += f"{percent(first.right / first.words, 1)} of them are right"
    if abs(away) >= 1:
        title += f": it is {'over' if away > 0 else 'under'}confident"
    words = sum(found.words for _, found in known)
    subtitle = f"{counted(words, 'committed word')} in bins of as many words each"
    return ReliabilityCurves(curves, title, subtitle)


def reliability(info: ReliabilityCurves, narrow: bool = False) -> Figure:
    """The share of words that are right against their probability; the diagonal is calibrated."""
    width, height = (NARROW_IN, 3.6) if narrow else (WIDE_IN, 3.7)
    with new_figure(width, height, info.title, info.subtitle) as figure:
        axes = figure.add_subplot()
        axes.grid()
        axes.plot([0, 100], [0, 100], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        for index, curve in enumerate(info.curves):
            axes.plot(
                100 * curve.probabilities, 100 * curve.right,
                color=_COLOURS[index % len(_COLOURS)], marker="o", markersize=4, linewidth=1.6,
                linestyle=_LINES[index // len(_COLOURS) % len(_LINES)],
                label=f"{shortened(curve.name, 34)}: error {100 * curve.error:.1f} points",
            )  # fmt: skip
        values = np.concatenate([[*c.probabilities, *c.right] for c in info.curves])
        least = min(90.0, 10 * np.floor(10 * values.min()))
        axes.set_xlim(least, 100.5)
        axes.set_ylim(least, 100 + 0.03 * (100 - least))
        axes.set(xlabel="probability of a committed word (%)", ylabel="words that are right (%)")
        figure.legend(loc="outside lower left", ncols=1 if narrow else 2)
    return figure


def delay_curves(info: DelayCurves, narrow: bool = False) -> Figure:
    """A rising curve for each run; the half and the nine tenths marked."""
    width, height = (NARROW_IN, 3.6) if narrow else (WIDE_IN, 3.7)
    with new_figure(width, height, info.title, info.subtitle) as figure:
        axes = figure.add_subplot()
        axes.grid()
        starts, ends = [0.0], []
        for index, curve in enumerate(info.curves):
            x = np.concatenate([[curve.delays_s[0]], curve.delays_s])
            axes.plot(
                x, 100 * np.concatenate([[0], curve.shares]), drawstyle="steps-post",
                color=_COLOURS[index % len(_COLOURS)],
                linestyle=_LINES[index // len(_COLOURS) % len(_LINES)], linewidth=1.6,
                label=shortened(curve.name, 40),
            )  # fmt: skip
            starts.append(float(np.interp(0.005, curve.shares, curve.delays_s)))
            ends.append(float(np.interp(0.99, curve.shares, curve.delays_s)))
        for level in (50, 90):
            axes.axhline(level, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        axes.set_xlim(min(starts) - 0.02, max(1.08 * max(ends), 0.5))
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
