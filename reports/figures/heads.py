"""Pictures of a heads file: score heatmaps, and hit rate against time bias.

Each `*_info` function takes the file and returns plain data with the words of the headline;
the function of the same name without `_info` draws that data. Heads are (layer, head) pairs
counted from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ...wording import counted
from .placing import label_points
from .style import INK, MUTED, ON_LIGHT, VERMILLION, new_figure, sequential
from .words import (
    METRICS,
    Head,
    described,
    finding,
    formatted,
    model_name,
    published_heads,
    scores_present,
    the_best,
    top_heads,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure

    from ...heads.schema import HeadsFile

_VALUES_IN_CELLS = 64
_TEXT_IN = 0.2
"""The side of a cell from which text fits."""
_LABELLED = 6
AHEAD_MS = 100
"""A head that is so early on average looks at the audio before a word."""


@dataclass(frozen=True)
class ScoreHeatmap:
    """One score of every head. `values`: [layers, heads], NaN where undefined.

    `published`: heads that others published for the model.
    """

    metric: str
    values: np.ndarray
    top: tuple[Head, ...]
    title: str
    subtitle: str
    published: tuple[Head, ...] = ()


@dataclass(frozen=True)
class ScoreHeatmaps:
    """Several scores of the same heads."""

    panels: tuple[ScoreHeatmap, ...]
    title: str
    subtitle: str


@dataclass(frozen=True)
class HeadScatter:
    """Hit rate and time bias of every head that has both; of length n, the file's best first.

    `top` is how many of the first belong to the top.
    """

    heads: tuple[Head, ...]
    hit_rate: np.ndarray
    bias_ms: np.ndarray
    top: int
    num_layers: int
    title: str
    subtitle: str


def score_heatmap_info(
    heads: HeadsFile, metric: str = "hit_rate", top: int | None = None
) -> ScoreHeatmap:
    """The heatmap of one score, with the `top` best heads of the file's ranking outlined.

    Heads that others published for the model are dotted. `top` is by default 20, or a quarter of
    all heads where that is less.

    Raises:
        InputError: the file has no such score.
    """
    if metric not in METRICS or metric not in scores_present(heads):
        raise InputError(
            f"the heads file of {heads.model} has no score {metric!r}; "
            f"it has {', '.join(scores_present(heads))}"
        )
    values = np.array(heads.matrix(metric), dtype=float)
    outlined, published = top_heads(heads, top), published_heads(heads)
    subtitle = [described(heads), *_marks(heads, outlined, published)]
    if np.isnan(values).any():
        subtitle.append("hatched: undefined")
    return ScoreHeatmap(
        metric, values, outlined, finding(heads, metric, values), " · ".join(subtitle), published
    )


def score_heatmaps_info(heads: HeadsFile, top: int | None = None) -> ScoreHeatmaps:
    """The heatmaps of every score in the file."""
    panels = tuple(score_heatmap_info(heads, metric, top) for metric in scores_present(heads))
    count = heads.num_layers * heads.num_heads
    title = f"{model_name(heads.model)}: {counted(len(panels), 'score')} of "
    title += f"{counted(count, 'head')}, dark is good in each"
    subtitle = [described(heads), *_marks(heads, panels[0].top, panels[0].published)]
    return ScoreHeatmaps(panels, title, " · ".join(subtitle))


def hit_rate_against_bias_info(heads: HeadsFile, top: int | None = None) -> HeadScatter:
    """Both of every head, and in the title how many of the best look too early.

    Raises:
        InputError: the file has no time bias.
    """
    if "time_bias_ms" not in heads.metrics:
        raise InputError(
            f"the heads file of {heads.model} has no time bias; "
            "discover the heads again with this version"
        )
    hits, bias = (np.array(heads.matrix(key), dtype=float) for key in ("hit_rate", "time_bias_ms"))
    best = top_heads(heads, top)
    defined = np.isfinite(hits) & np.isfinite(bias)
    rest = [(layer, head) for layer, head in np.ndindex(hits.shape) if (layer, head) not in best]
    shown = [head for head in (*best, *rest) if defined[head]]
    x, y = (np.array([values[head] for head in shown]) for values in (hits, bias))
    known = sum(bool(defined[head]) for head in best)
    early = int((y[:known] <= -AHEAD_MS).sum())
    title = f"{model_name(heads.model)}: "
    if known:
        title += f"{early or 'none'} of the best {counted(known, 'head')} "
        title += f"{'looks' if early < 2 else 'look'} {AHEAD_MS} ms or more too early"
    else:
        title += f"hit rate and time bias of {counted(len(shown), 'head')}"
    subtitle = [described(heads), f"ringed: {the_best(heads, len(best))}"]
    if best:
        subtitle.append("L1 H2: layer 1, head 2")
    if missing := defined.size - len(shown):
        subtitle.append(f"{counted(missing, 'head')} without a value not shown")
    return HeadScatter(
        tuple(shown),
        x,
        y,
        known,
        heads.num_layers,
        title,
        " · ".join(subtitle),
    )


def score_heatmap(info: ScoreHeatmap) -> Figure:
    """Layers from left to right, heads from top to bottom, the top heads numbered by rank."""
    layers, heads = info.values.shape
    small = info.values.size <= _VALUES_IN_CELLS
    cell_width = min(0.27 if not small else 1.15, 12 / layers)
    cell_height = min(0.27 if not small else 0.36, 12 / heads)
    width = max(cell_width * layers + 1.5, 7.2)
    cell_width, cell_height = (width - 1.5) / layers, max(cell_height, 2.1 / heads)
    with new_figure(width, cell_height * heads + 0.65, info.title, info.subtitle) as figure:
        axes = figure.add_subplot()
        mesh = _draw_scores(axes, info, inches_per_cell=(cell_width, cell_height))
        bar = _draw_colour_bar(figure, axes, mesh, info)
        gap = " " if cell_height * heads > 2.8 else "\n"
        bar.set_label(f"{METRICS[info.metric].label}{gap}({METRICS[info.metric].unit})")
        ranked = info.top if np.isfinite(info.values).any() else ()
        for rank, (layer, head) in enumerate(ranked, 1):
            if not small and min(cell_width, cell_height) > _TEXT_IN and len(ranked) < 100:
                _write_in_cell(axes, mesh, info.values, (layer, head), str(rank), "bold")
        for cell in np.ndindex(info.values.shape) if small else ():
            if np.isfinite(info.values[cell]):
                rank = f"#{info.top.index(cell) + 1}   " if cell in info.top else ""
                text = rank + formatted(info.metric, float(info.values[cell]))
                _write_in_cell(axes, mesh, info.values, cell, text, "bold" if rank else "normal")
    return figure


def score_heatmaps(info: ScoreHeatmaps) -> Figure:
    """A panel for each score, three in a row."""
    layers, heads = info.panels[0].values.shape
    columns = min(3, len(info.panels))
    rows = -(-len(info.panels) // columns)
    cell_width, cell_height = 2.8 / layers, min(2.0 / heads, 0.25)
    width = max(columns * (cell_width * layers + 1.25), 6)
    height = rows * (max(cell_height * heads, 1.0) + 0.75)
    with new_figure(width, height, info.title, info.subtitle) as figure:
        grid = figure.subplots(rows, columns, squeeze=False)
        for index, axes in enumerate(grid.flat):
            if index >= len(info.panels):
                axes.set_axis_off()
                continue
            panel = info.panels[index]
            mesh = _draw_scores(axes, panel, (cell_width, cell_height))
            bar = _draw_colour_bar(figure, axes, mesh, panel)
            bar.ax.tick_params(labelsize=7)
            axes.set_title(f"{METRICS[panel.metric].label} ({METRICS[panel.metric].unit})", size=8)
            if index + columns < len(info.panels):
                axes.set_xlabel("")
                axes.tick_params(labelbottom=False)
            if index % columns:
                axes.set_ylabel("")
                axes.tick_params(labelleft=False)
    return figure


def hit_rate_against_bias(info: HeadScatter) -> Figure:
    """A point for each head, coloured by layer; the top heads ringed, the first ones named."""
    with new_figure(7.2, 4.6, info.title, info.subtitle) as figure:
        axes = figure.add_subplot()
        axes.grid()
        axes.set(
            xlabel="hit rate (share of tokens)", ylabel="time bias (ms; below 0: before the word)"
        )
        axes.axhline(0, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        is_top = np.arange(len(info.heads)) < info.top
        points = axes.scatter(
            info.hit_rate,
            info.bias_ms,
            c=[layer for layer, _ in info.heads],
            vmin=0,
            vmax=max(info.num_layers - 1, 1),
            cmap="viridis",
            s=np.where(is_top, 42, 22),
            linewidths=[1.5 if top else 0.3 for top in is_top],
            edgecolors=[VERMILLION if top else MUTED for top in is_top],
            zorder=3,
        )
        axes.set_xlim(-0.03, 1.03)
        axes.margins(y=0.15)
        bar = figure.colorbar(points, ax=axes, pad=0.02, aspect=30, label="layer")
        bar.ax.yaxis.get_major_locator().set_params(integer=True)  # type: ignore[attr-defined]
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        places = list(zip(info.hit_rate, info.bias_ms, strict=True))
        named = min(info.top, _LABELLED)
        names = [f"L{layer} H{head}" for layer, head in info.heads[:named]]
        label_points(axes, places[:named], names, places[named:], size_pt=7.5)
    return figure


def _marks(heads: HeadsFile, outlined: Sequence[Head], published: Sequence[Head]) -> list[str]:
    """What the outlines and the dots are."""
    found = []
    if outlined:
        found.append(f"outlined: {the_best(heads, len(outlined))}")
    if published:
        shared = len(set(outlined) & set(published))
        found.append(f"dotted: the {len(published)} published, {shared} of them outlined")
    return found


def _limits(info: ScoreHeatmap) -> tuple[float, float]:
    """The ends of the colour scale, never equal."""
    low, high = METRICS[info.metric].limits
    if high is None:
        high = float(np.nanmax(info.values)) if np.isfinite(info.values).any() else 1.0
    return low, high if high > low else low + 1.0


def _beyond(info: ScoreHeatmap) -> str:
    """At which ends values lie beyond the colour scale, in matplotlib's word."""
    low, high = _limits(info)
    under, over = (info.values < low).any(), (info.values > high).any()
    return {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[int(under), int(over)]


def _draw_scores(axes: Axes, info: ScoreHeatmap, inches_per_cell: tuple[float, float]) -> Any:
    """The cells, dark where the score is good, and an outline around each top head.

    Each published head has a dot: in the middle of a cell that has no room for text, else in its
    corner.
    """
    from matplotlib.patches import Rectangle

    layers, heads = info.values.shape
    low, high = _limits(info)
    narrow = min(inches_per_cell)
    axes.patch.set(facecolor="#f3f5f7", hatch="//////")
    mesh = axes.pcolormesh(
        np.arange(layers + 1) - 0.5,
        np.arange(heads + 1) - 0.5,
        np.ma.masked_invalid(info.values.T),
        cmap=sequential(reverse=METRICS[info.metric].lower_is_better),
        vmin=low,
        vmax=high,
        edgecolors="white",
        linewidth=min(1.2, 4 * narrow),
    )
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set(xlabel="layer", ylabel="head")
    axes.set_xticks(range(0, layers, _tick_step(inches_per_cell[0], layers)))
    axes.set_yticks(range(0, heads, _tick_step(inches_per_cell[1], heads)))
    line = 1.7 if narrow > _TEXT_IN else 1.1
    for layer, head in info.top:
        inset = line / 100 / np.array(inches_per_cell)
        axes.add_patch(
            Rectangle(
                (layer - 0.5 + inset[0], head - 0.5 + inset[1]),
                1 - 2 * inset[0],
                1 - 2 * inset[1],
                fill=False,
                edgecolor=VERMILLION,
                linewidth=line,
                joinstyle="round",
            )
        )
    if info.published:
        has_text = narrow > _TEXT_IN
        corner = 0.5 - min(0.09, 0.2 * narrow) / np.array(inches_per_cell)
        dots = np.array(info.published) + (corner * (1, -1) if has_text else 0)
        size_pt = 72 * narrow * (0.2 if has_text else 0.5)
        axes.scatter(
            *dots.T,
            s=min(size_pt, 4.5) ** 2,
            color=INK,
            edgecolors="white",
            linewidths=min(size_pt / 6, 0.7),
            zorder=3,
        )
    return mesh


def _tick_step(inches: float, count: int) -> int:
    """Every how many cells a number fits."""
    return next(step for step in (1, 2, 4, 5, 8, 10, 16, 20, 32, count) if step * inches >= 0.2)


def _draw_colour_bar(figure: Figure, axes: Axes, mesh: Any, info: ScoreHeatmap) -> Colorbar:
    """The scale, its good end up."""
    bar = figure.colorbar(mesh, ax=axes, extend=_beyond(info), pad=0.02, aspect=22)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    bar.ax.tick_params(length=2)
    if METRICS[info.metric].lower_is_better:
        bar.ax.invert_yaxis()
    return bar


def _write_in_cell(axes: Axes, mesh: Any, values: np.ndarray, cell: Head, text: str, weight: str):
    """Text in a cell, dark on light and light on dark."""
    colour = mesh.to_rgba(values[cell]) if np.isfinite(values[cell]) else (1, 1, 1, 1)
    luminance = np.dot(colour[:3], (0.299, 0.587, 0.114))
    ink = ON_LIGHT if luminance > 0.55 else "white"
    axes.text(*cell, text, size=7, weight=weight, color=ink, ha="center", va="center_baseline")
