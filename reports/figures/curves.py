"""Curves of a heads file: how stable its top is, and how the error falls as a set grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InputError
from ...wording import counted
from .placing import spread
from .style import BLUE, GREEN, INK, MUTED, PURPLE, SMALL_PT, VERMILLION, new_figure, shortened
from .words import described, metric_label, model_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ...heads.schema import HeadsFile

STABLE = 0.9
"""The share of the top that a new sample of clips should keep: the goal of `clips_needed`."""

_ERROR = "time_error_ms"
_COLOURS = (BLUE, GREEN, PURPLE, MUTED)


@dataclass(frozen=True)
class StabilityCurve:
    """Measured shares at `clips`, their 95 % interval, and what is expected of more clips.

    All arrays are [n]; `expected` are (clips, share) pairs; `needed` is None where the last
    measured number of clips is enough.
    """

    clips: np.ndarray
    stability: np.ndarray
    low: np.ndarray
    high: np.ndarray
    expected: tuple[tuple[float, float], ...]
    needed: int | None
    top: int
    title: str
    subtitle: str


@dataclass(frozen=True)
class SetErrorCurve:
    """`errors_ms`: of the median of the first 1, 2, … heads, on the clips they were chosen on.

    `held_out`: {heads: ms} of the same groups on other clips; `baselines`: {name: ms} there.
    """

    errors_ms: np.ndarray
    held_out: dict[int, float]
    baselines: dict[str, float]
    title: str
    subtitle: str


def stability_curve_info(
    heads: HeadsFile,
    clips: Sequence[int] = (),
    stability: Sequence[float] = (),
    low: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
) -> StabilityCurve:
    """The share of the top heads kept by a new sample, against the number of clips, rising.

    Without `clips`: the one point that the file itself holds. Beyond the last point the unstable
    share is expected to fall as 1 / sqrt(clips), the law by which `clips_needed` was estimated.

    Raises:
        InputError: the file does not say how stable its ranking is.
        ValueError: the sequences differ in length.
    """
    ranking = heads.ranking
    if ranking is None or ranking.top_stability is None:
        raise InputError(
            f"the heads file of {heads.model} does not say how stable its ranking is; "
            "discover the heads again with this version"
        )
    if not len(clips):
        clips, stability = [heads.num_samples], [ranking.top_stability]
    low, high = stability if low is None else low, stability if high is None else high
    if len({len(clips), len(stability), len(low), len(high)}) > 1:
        raise ValueError("clips, stability, low and high differ in length")
    last, share, needed = clips[-1], stability[-1], ranking.clips_needed
    if needed is not None and needed <= last:
        needed = None
    ahead = np.geomspace(last, needed, 60) if needed else np.empty(0)
    expected = tuple((float(n), float(1 - (1 - share) * np.sqrt(last / n))) for n in ahead)
    title = f"{model_name(heads.model)}: a new sample of {counted(last, 'clip')} would keep "
    title += f"{100 * share:.0f} % of the top {ranking.top}"
    title += f"; {needed:,} clips are needed for {100 * STABLE:.0f} %" if needed else ""
    return StabilityCurve(
        np.array(clips, dtype=float),
        np.array(stability, dtype=float),
        np.array(low, dtype=float),
        np.array(high, dtype=float),
        expected,
        needed,
        ranking.top,
        title,
        f"{described(heads)} · ranked by {metric_label(ranking.metric)}",
    )


def set_error_curve_info(heads: HeadsFile) -> SetErrorCurve:
    """The error of the group of a `set` ranking as it grows, beside the baselines.

    Raises:
        InputError: the heads of the file were not chosen as a set.
    """
    ranking = heads.ranking
    if ranking is None or not ranking.set_error_curve:
        raise InputError(
            f"the heads of {heads.model} were not chosen as a set; make a file with: "
            "discover-heads --rank-by set"
        )
    errors = np.asarray(ranking.set_error_curve, dtype=float)
    held_out, baselines = {}, {}
    for group in ranking.groups:
        if _ERROR not in group.scores:
            continue
        if group.is_own:
            held_out[group.num_heads] = group.scores[_ERROR]
        else:
            baselines[group.name] = group.scores[_ERROR]
    size = int(np.argmin(errors)) + 1
    title = f"{model_name(heads.model)}: {counted(size, 'head')} chosen as a set "
    title += f"{'errs' if size == 1 else 'err'} by {held_out.get(size, errors[size - 1]):.0f} ms"
    if size in held_out and baselines:
        best = min(baselines, key=lambda name: baselines[name])
        title += f", the best baseline ({shortened(best, 40)}) by {baselines[best]:.0f} ms, "
        title += "on held-out clips"
    return SetErrorCurve(errors, dict(sorted(held_out.items())), baselines, title, described(heads))


def stability_curve(info: StabilityCurve) -> Figure:
    """Share against clips on a logarithmic axis; the goal dashed, the expected part dotted."""
    with new_figure(7.2, 3.6, info.title, info.subtitle) as figure:
        axes = figure.add_subplot()
        axes.grid(axis="y")
        axes.axhline(STABLE, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), label="goal")
        if (info.low < info.high).any():
            axes.fill_between(
                info.clips,
                info.low,
                info.high,
                color=BLUE,
                alpha=0.18,
                linewidth=0,
                label="95 % interval",
            )
        axes.plot(info.clips, info.stability, "o-", color=BLUE, markersize=4.5, label="measured")
        if info.expected:
            label = "expected: the rest falls as 1/√clips"
            axes.plot(*zip(*info.expected, strict=True), ":", color=BLUE, label=label)
        if info.needed:
            axes.plot(info.needed, STABLE, "D", color=VERMILLION, label=f"{info.needed:,} clips")
        axes.set_xscale("log", base=2)
        numbers = [*info.clips.astype(int), *([info.needed] if info.needed else [])]
        _number_ticks(axes, numbers)
        axes.set_ylim(0, 1.02)
        axes.set(xlabel="clips", ylabel=f"share of the top {info.top} kept")
        axes.legend(loc="lower right")
    return figure


def set_error_curve(info: SetErrorCurve) -> Figure:
    """Error against the size of the group; the baselines as lines named at their right ends."""
    with new_figure(7.6, 3.8, info.title, info.subtitle) as figure:
        axes = figure.add_subplot()
        axes.grid(axis="y")
        sizes = np.arange(1, len(info.errors_ms) + 1)
        axes.plot(sizes, info.errors_ms, "o-", color=INK, markersize=3.5, label="clips chosen on")
        if info.held_out:
            axes.plot(
                list(info.held_out),
                list(info.held_out.values()),
                "D",
                color=VERMILLION,
                label="held-out clips",
            )
        axes.set(xlabel="heads in the group", ylabel="mean error of the median frame (ms)")
        axes.set_xlim(0.5, max([len(sizes), *info.held_out]) + 0.5)
        highest = max([*info.errors_ms, *info.held_out.values(), *info.baselines.values()])
        axes.set_ylim(0, 1.06 * highest if highest > 0 else 1)
        axes.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[attr-defined]
        _draw_baselines(axes, info.baselines, points_per_ms=3.0 * 72 / axes.get_ylim()[1])
        axes.legend(loc="best")
    return figure


def _draw_baselines(axes: Axes, baselines: dict[str, float], points_per_ms: float) -> None:
    places = spread(list(baselines.values()), 11 / points_per_ms)
    for index, ((name, value), place) in enumerate(zip(baselines.items(), places, strict=True)):
        colour = _COLOURS[index % len(_COLOURS)]
        axes.axhline(value, color=colour, linewidth=1.1, linestyle=(0, (5, 2)))
        axes.annotate(
            f"{shortened(name, 30)}: {value:.0f} ms",
            (1, value),
            xycoords=("axes fraction", "data"),
            xytext=(8, points_per_ms * (place - value)),
            textcoords="offset points",
            size=SMALL_PT,
            color=colour,
            va="center",
        )


def _number_ticks(axes: Axes, numbers: Sequence[int]) -> None:
    """Plain numbers at the given places of a logarithmic axis, those that would touch left out."""
    from matplotlib.ticker import NullLocator

    span = np.log2(max(numbers) / max(min(numbers), 1)) or 1.0
    shown: list[int] = []
    for number in sorted(set(numbers), reverse=True):
        if not shown or np.log2(shown[-1] / max(number, 1)) > span / 14:
            shown.append(number)
    axes.set_xticks(shown, [f"{number:,}" for number in shown])
    axes.xaxis.set_minor_locator(NullLocator())
