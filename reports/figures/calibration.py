"""The front of a calibration: what every trial cost in errors and in delay, and what was chosen."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ...calibrate.result import CHOSEN
from ...calibrate.study.space import BUNDLED, USUAL
from ...errors import InputError
from ...wording import counted
from .placing import label_points
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
from .words import model_name, rate_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ...calibrate.result import CalibrationFile, TrialInfo

_PUBLISHED = "published, "
_SHORT_NAMES = {BUNDLED: "bundled", USUAL: "usual"}
_BASELINES = "published and untuned settings"

_INSET = (0.66, 0.6, 0.32, 0.34)  # left, bottom, width, height, in fractions of the axes
_BELOW_INSET = 0.46  # how high trials under the inset may reach
_LEAST_TOP = 1.0  # % of errors, where nothing is wrong anywhere
_UNITS = {"fraction": "border in parts of the buffer", "seconds": "border in seconds"}


@dataclass(frozen=True)
class HeldOutPoint:
    """A configuration on held-out speech; each value with its 95 % interval (value, low, high)."""

    name: str
    delay_s: tuple[float, float, float]
    wer: tuple[float, float, float]


@dataclass(frozen=True)
class Pareto:
    """Points are (delay in s, rate of errors in %).

    Attributes:
        trials: complete trials that are not named otherwise.
        front: by rising delay.
        baselines: by name.
        chosen: the trial chosen; None while there is none.
        other: the front of the other kind of border, and what it is called.
        held_out: on other speech.
        rate: what the rate of errors is called.
        volume: the hypervolume after each complete trial, 1 at its end; empty: not drawn.
        costs: GFLOP a second of audio of each point that stands here, where compute was an
            objective; else empty.
    """

    trials: tuple[tuple[float, float], ...]
    front: tuple[tuple[float, float], ...]
    baselines: dict[str, tuple[float, float]]
    chosen: tuple[float, float] | None
    other: tuple[tuple[float, float], ...]
    other_name: str
    held_out: tuple[HeldOutPoint, ...]
    volume: np.ndarray
    front_name: str
    title: str
    subtitle: str
    rate: str = "word error rate"
    costs: Costs | None = None


@dataclass(frozen=True)
class Costs:
    """GFLOP a second of audio, in the order of the points of a `Pareto`."""

    trials: tuple[float, ...]
    front: tuple[float, ...]
    baselines: tuple[float, ...]
    chosen: float | None


def pareto_info(file: CalibrationFile) -> Pareto:
    """The front of a calibration, as it is drawn.

    Raises:
        InputError: no trial is complete.
    """
    complete = [trial for trial in file.trials if trial.wer is not None]
    if not complete:
        raise InputError(f"the calibration of {file.model} has no complete trial to draw")
    at = {trial.number: _point(trial) for trial in complete}
    chosen = file.selected and file.selected.number
    baselines = {trial.baseline: at[trial.number] for trial in complete if trial.baseline}
    volume = np.array(file.hypervolume)
    other = file.other_front
    return Pareto(
        trials=tuple(at[trial.number] for trial in complete if not trial.baseline),
        front=tuple(at[number] for number in file.front),
        baselines=baselines,
        chosen=None if chosen is None else at[chosen],
        other=tuple((point.delay_s, 100 * point.wer) for point in other.points) if other else (),
        other_name=f"front, {_UNITS[other.border]}" if other else "",
        held_out=_held_out(file),
        volume=volume / volume[-1] if len(volume) > 1 and volume[-1] > 0 else np.empty(0),
        front_name=f"front, {_UNITS[file.border]}" if other else "front",
        title=_title(file, at),
        subtitle=_settings(next((t for t in complete if t.number == chosen), None))
        + f"{shortened(file.corpus.name, 40)}, {counted(file.corpus.utterances, 'utterance')} · "
        f"{counted(len(complete), 'trial')}, seed {file.seed} · {file.heads.listed} ranked heads",
        rate=rate_title([file.corpus.error_name]),
        costs=_costs(file, complete),
    )


def _costs(file: CalibrationFile, complete: Sequence[TrialInfo]) -> Costs | None:
    if "gflop_per_s" not in file.objectives:
        return None
    of = {t.number: (t.measures and t.measures.gflop_per_s) or 0.0 for t in complete}
    return Costs(
        trials=tuple(of[trial.number] for trial in complete if not trial.baseline),
        front=tuple(of[number] for number in file.front),
        baselines=tuple(of[trial.number] for trial in complete if trial.baseline),
        chosen=of[file.selected.number] if file.selected else None,
    )


def _point(trial: TrialInfo) -> tuple[float, float]:
    return trial.delay_s or 0.0, 100 * (trial.wer or 0.0)


def _settings(trial: TrialInfo | None) -> str:
    """The parameters of the trial chosen, to begin the subtitle with."""
    if trial is None:
        return ""
    names = {
        "border_fraction": "border", "border_s": "border", "rewind_fraction": "rewind",
        "unsure_s": "unsure", "step_s": "step", "max_audio_s": "buffer", "refresh_s": "refresh",
    }  # fmt: skip
    parts = []
    for key, value in trial.params.items():
        if key == "head_count":
            parts.append(counted(int(value or 0), "head"))
        elif key == "reuse" or (key == "refresh_s" and not trial.params.get("reuse")):
            parts += ["reuse"] if value is True else []
        elif key in names:
            parts.append(f"{names[key]} {value:g}{' s' if key.endswith('_s') else ''}")
        else:
            parts.append(str(value))
    return f"{CHOSEN}: {', '.join(parts)} · "


def _held_out(file: CalibrationFile) -> tuple[HeldOutPoint, ...]:
    if file.held_out is None:
        return ()
    return tuple(
        HeldOutPoint(
            point.name,
            (point.delay_s.value, point.delay_s.low, point.delay_s.high),
            (100 * point.wer.value, 100 * bounds[0], 100 * bounds[1]),
        )
        for point in file.held_out.points
        if (bounds := file.held_out.wer_bounds(point)) is not None
        and point.wer is not None
        and point.delay_s is not None
    )


def _title(file: CalibrationFile, at: dict[int, tuple[float, float]]) -> str:
    name = model_name(file.model)
    if file.selected is None:
        return f"{name}: {counted(len(at), 'trial')}, none of which meets the rule"
    delay_s, wer = at[file.selected.number]
    title = f"{name}: {wer:.2f}\u00a0% {file.corpus.error_name} at a mean delay of "
    title += f"{delay_s:.2f}\u00a0s"
    measures = file.trial(file.selected.number).measures
    if "gflop_per_s" in file.objectives and measures and measures.gflop_per_s is not None:
        title += f", {measures.gflop_per_s:.3g}\u00a0GFLOP a second"
    beside = _beside(file)
    if beside is not None and beside.number != file.selected.number:
        delay_s, wer = at[beside.number]
        title += f"; {beside.baseline}: {wer:.2f}\u00a0% at {delay_s:.2f}\u00a0s"
    return title


def _beside(file: CalibrationFile) -> TrialInfo | None:
    """The baseline to name beside the chosen one: the one with the fewest errors."""
    baselines = [trial for trial in file.trials if trial.baseline and trial.wer is not None]
    return min(baselines, key=_errors_first, default=None)


def _errors_first(trial: TrialInfo) -> tuple[float, float]:
    return trial.wer or 0.0, trial.delay_s or 0.0


def pareto(info: Pareto) -> Figure:
    """Delay to the right, errors upward: the lower left is best. With compute, that by colour and
    size, and beside each of the others below."""
    if info.costs is not None:
        return _pareto_with_costs(info, info.costs)
    with new_figure(7.6, 4.4, info.title, info.subtitle) as figure:
        axes = figure.add_subplot()
        axes.grid()
        _limits(axes, info)
        axes.plot(
            *_columns(info.trials), "o", color=FAINT, markersize=4.5, markeredgecolor=MUTED,
            markeredgewidth=0.4, label="trial",
        )  # fmt: skip
        if info.other:
            _steps(axes, info.other, PURPLE, info.other_name, (0, (4, 2)))
        if info.front:
            _steps(axes, info.front, BLUE, info.front_name, "-")
        for point in info.held_out:
            _cross(axes, point)
        if info.baselines:
            axes.plot(
                *_columns(info.baselines.values()), "D", color=VERMILLION, markersize=6,
                label=_BASELINES,
            )  # fmt: skip
        if info.chosen is not None:
            axes.plot(*info.chosen, "*", color=GREEN, markersize=12, label=CHOSEN, linestyle="none")
        axes.set(xlabel="mean emission delay (s of audio)", ylabel=f"{info.rate} (%)")
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2,
            columnspacing=1.6, handletextpad=0.5,
        )  # fmt: skip
        if len(info.volume):
            _inset(axes, info.volume)
        _labels(axes, info)
    return figure


def _pareto_with_costs(info: Pareto, costs: Costs) -> Figure:
    with new_figure(7.6, 7.4, info.title, info.subtitle) as figure:
        axes, *below = (
            figure.add_subplot(place)
            for grid in [figure.add_gridspec(2, 2, height_ratios=(1.7, 1))]
            for place in (grid[0, :], grid[1, 0], grid[1, 1])
        )
        axes.grid()
        _limits(axes, replace(info, volume=np.empty(0)))
        every = [*costs.trials, *costs.baselines]
        least, most = min(every), max(every)
        span = (most - least) or 1.0

        def sizes(values: Sequence[float]) -> list[float]:
            return [18 + 90 * (value - least) / span for value in values]

        shown = {"cmap": "viridis_r", "vmin": least, "vmax": most}
        dots = axes.scatter(
            *_columns(info.trials), c=costs.trials, s=sizes(costs.trials), alpha=0.8,
            linewidths=0.4, edgecolors=MUTED, label="trial", **shown,
        )  # fmt: skip
        axes.scatter(
            *_columns(info.front), s=[size + 14 for size in sizes(costs.front)],
            facecolors="none", edgecolors=BLUE, linewidths=1.3,
            label=f"{info.front_name} (of all three)",
        )  # fmt: skip
        for point in info.held_out:
            _cross(axes, point)
        axes.scatter(
            *_columns(info.baselines.values()), c=costs.baselines, s=sizes(costs.baselines),
            marker="D", edgecolors=VERMILLION, linewidths=1.3, label=_BASELINES, **shown,
        )  # fmt: skip
        if info.chosen is not None:
            axes.plot(*info.chosen, "*", color=GREEN, markersize=12, label=CHOSEN, linestyle="none")
        axes.set(xlabel="mean emission delay (s of audio)", ylabel=f"{info.rate} (%)")
        legend = axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2,
            columnspacing=1.6, handletextpad=0.5,
        )  # fmt: skip
        for handle in legend.legend_handles:
            if hasattr(handle, "set_sizes"):
                handle.set_sizes([30])  # type: ignore[union-attr]
        bar = figure.colorbar(dots, ax=axes, pad=0.015, aspect=30)
        bar.set_label("GFLOP a second of audio (size, too)")
        _labels(axes, replace(info, volume=np.empty(0), front=()))
        for index, (panel, name) in enumerate(
            zip(below, (f"{info.rate} (%)", "mean emission delay (s of audio)"), strict=True)
        ):
            _beside_cost(panel, info, costs, 1 - index)
            panel.set(xlabel="GFLOP a second of audio", ylabel=name)
    return figure


def _beside_cost(axes: Axes, info: Pareto, costs: Costs, axis: int) -> None:
    """Compute to the right; upward delay (`axis` 0) or errors (1)."""
    axes.grid()

    def upward(points) -> list[float]:
        return [point[axis] for point in points]

    axes.plot(
        costs.trials, upward(info.trials), "o", color=FAINT, markersize=4, markeredgecolor=MUTED,
        markeredgewidth=0.4,
    )  # fmt: skip
    axes.plot(
        costs.front, upward(info.front), "o", markersize=5.5, markerfacecolor="none",
        markeredgecolor=BLUE,
    )  # fmt: skip
    pairs = list(zip(costs.front, upward(info.front), strict=True))
    best = [
        pair for pair in sorted(pairs)
        if not any(o != pair and o[0] <= pair[0] and o[1] <= pair[1] for o in pairs)
    ]  # fmt: skip
    axes.set_ylim(bottom=0)
    if best:
        axes.plot(*_columns(_corners(axes, best)), color=BLUE, linewidth=1.2)
    axes.plot(costs.baselines, upward(info.baselines.values()), "D", color=VERMILLION, markersize=5)
    if info.chosen is not None and costs.chosen is not None:
        axes.plot(costs.chosen, info.chosen[axis], "*", color=GREEN, markersize=11)


def _columns(points) -> tuple[list[float], list[float]]:
    points = list(points)
    return [delay_s for delay_s, _ in points], [wer for _, wer in points]


def _limits(axes: Axes, info: Pareto) -> None:
    """All points inside, and none under the inset."""
    points = [*info.trials, *info.front, *info.other, *info.baselines.values()]
    points += [(p.delay_s[i], p.wer[j]) for p in info.held_out for i in (1, 2) for j in (1, 2)]
    right = 1.04 * max(delay_s for delay_s, _ in points)
    left = min(0.0, *(delay_s for delay_s, _ in points))
    top = max(_LEAST_TOP, 1.08 * max(wer for _, wer in points))
    if len(info.volume):
        edge = left + (_INSET[0] - 0.06) * (right - left)
        under = [wer for delay_s, wer in points if delay_s > edge]
        top = max(top, max(under, default=0.0) / _BELOW_INSET)
    axes.set_xlim(left, right)
    axes.set_ylim(-0.04 * top, top)


def _steps(axes: Axes, front, colour: str, label: str, style) -> None:
    """A front: along it, less delay is only had for more errors."""
    x, y = _columns(front)
    axes.plot(*_columns(_corners(axes, front)), color=colour, linewidth=1.4, linestyle=style)
    axes.plot(x, y, "o", color=colour, markersize=5, label=label, linestyle="none")


def _corners(axes: Axes, front: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of the staircase through a front, from the upper edge to the right one."""
    if not front:
        return []
    corners = [(front[0][0], axes.get_ylim()[1])]
    for delay_s, wer in front:
        corners += [(delay_s, corners[-1][1]), (delay_s, wer)]
    return [*corners, (axes.get_xlim()[1], front[-1][1])]


def _cross(axes: Axes, point: HeldOutPoint) -> None:
    """The 95 % intervals on held-out speech."""
    colour = GREEN if point.name == CHOSEN else VERMILLION
    delay_s, wer = point.delay_s, point.wer
    axes.errorbar(
        delay_s[0], wer[0],
        xerr=[[delay_s[0] - delay_s[1]], [delay_s[2] - delay_s[0]]],
        yerr=[[wer[0] - wer[1]], [wer[2] - wer[0]]],
        color=colour, alpha=0.75, linewidth=1.1, capsize=2.5, fmt="x", markersize=4,
        label="held out, 95 %" if point.name == CHOSEN else None,
    )  # fmt: skip


def _inset(axes: Axes, volume: np.ndarray) -> None:
    inset = axes.inset_axes(_INSET)
    inset.plot(
        np.arange(1, len(volume) + 1), volume, color=INK, linewidth=1.2, drawstyle="steps-post"
    )
    inset.set_ylim(min(0.9, float(volume.min())) - 0.02, 1.02)
    inset.set_xlim(1, len(volume))
    inset.set_title("hypervolume, of the last", size=SMALL_PT, color=MUTED)
    inset.set_xlabel("trials", size=SMALL_PT, color=MUTED, labelpad=1)
    inset.tick_params(labelsize=SMALL_PT - 0.5)
    inset.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[attr-defined]


def _labels(axes: Axes, info: Pareto) -> None:
    """Which baseline is which, clear of all else."""
    names = {name: name.removeprefix(_PUBLISHED) for name in info.baselines} | _SHORT_NAMES
    labels = [shortened(names[name], 30) for name in info.baselines]
    others = [*info.trials, *_along(_corners(axes, info.front)), *info.other]
    for point in info.held_out:
        others += [(delay_s, point.wer[0]) for delay_s in point.delay_s]
        others += [(point.delay_s[0], wer) for wer in point.wer]
    if info.chosen is not None:
        others.append(info.chosen)
    if len(info.volume):
        others += _area(axes)
    label_points(axes, list(info.baselines.values()), labels, others, SMALL_PT)


def _along(corners: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points on a line, dense enough that no label fits between two."""
    found = []
    for (x0, y0), (x1, y1) in itertools.pairwise(corners):
        found += [(x0 + t * (x1 - x0), y0 + t * (y1 - y0)) for t in np.linspace(0, 1, 40)]
    return found


def _area(axes: Axes) -> list[tuple[float, float]]:
    """Points all over the inset and its axis labels, so that no label lies on it."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    across = np.linspace(_INSET[0] - 0.07, 1, 24)
    upward = np.linspace(_INSET[1] - 0.12, 1, 24)
    return [
        (left + x * (right - left), bottom + y * (top - bottom)) for x in across for y in upward
    ]
