"""Where labels go so that none lies on another. Knows geometry only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


Box = tuple[float, float, float, float]
"""Left, bottom, right, top."""


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Positions moved as little as possible (least squares) to lie at least `gap` apart.

    Given in any order, returned in that order; what is equal keeps its order. Moving positions
    apart by `gap` is an isotonic regression of `position - rank * gap`, solved by pooling
    adjacent violators.
    """
    order = np.argsort(positions, kind="stable")
    blocks: list[tuple[float, int]] = []
    for rank, index in enumerate(order):
        mean, size = positions[index] - rank * gap, 1
        while blocks and blocks[-1][0] > mean:
            before, count = blocks.pop()
            mean, size = (before * count + mean * size) / (count + size), count + size
        blocks.append((mean, size))
    pooled = [mean for mean, size in blocks for _ in range(size)]
    moved = [0.0] * len(pooled)
    for rank, index in enumerate(order):
        moved[index] = float(pooled[rank] + rank * gap)
    return moved


def label_points(
    axes: Axes,
    points: Sequence[tuple[float, float]],
    labels: Sequence[str],
    others: Sequence[tuple[float, float]],
    size_pt: float,
    reach_pt: int = 120,
) -> int:
    """Write each label near its point, clear of all other labels, of `points` and of `others`.

    Positions are in data units. The nearest free place inside the axes is taken, tried in
    rings of up to `reach_pt` around the point; a thin line leads to it. The axes must have their
    final limits.
    Returns how many labels were written: one that finds no free place is left out.
    """
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke

    from .style import INK, MUTED, text_width_pt

    figure = axes.figure
    assert isinstance(figure, Figure)
    # Lines of the axes run behind a label and not through it.
    halo = withStroke(linewidth=2.5, foreground=axes.get_facecolor())
    figure.draw_without_rendering()
    per_pt = figure.dpi / 72
    frame = axes.get_window_extent().extents
    dots = np.reshape(axes.transData.transform([*points, *others]), (-1, 2))
    taken = [_box(x, y, 4 * per_pt, 4 * per_pt) for x, y in dots]
    written = 0
    for point, (x, y), label in zip(points, dots, labels, strict=False):
        half_width = text_width_pt(label, size_pt) * per_pt * 0.53
        half_height = size_pt * 0.6 * per_pt
        for dx, dy in _rings(per_pt, reach_pt):
            box = _box(x + dx, y + dy, half_width, half_height)
            leader = [
                _box(x + dx * t, y + dy * t, per_pt, per_pt) for t in _along(dx, dy, 8 * per_pt)
            ]
            if not _within(box, frame) or any(
                _overlap(part, other) for part in (box, *leader) for other in taken
            ):
                continue
            axes.annotate(
                label,
                point,
                xytext=(dx / per_pt, dy / per_pt),
                textcoords="offset points",
                size=size_pt,
                color=INK,
                ha="center",
                va="center",
                path_effects=[halo],
                arrowprops={"arrowstyle": "-", "color": MUTED, "lw": 0.6, "shrinkB": 3},
            )
            taken += [box, *leader]
            written += 1
            break
    return written


def _rings(per_pt: float, reach_pt: int) -> list[tuple[float, float]]:
    """Offsets in pixels to try, nearest first, on ellipses as wide as labels are."""
    angles = np.arange(24) * np.pi / 12
    return [
        (1.8 * radius * per_pt * np.cos(angle), radius * per_pt * np.sin(angle))
        for radius in range(11, reach_pt, 6)
        for angle in angles
    ]


def _along(dx: float, dy: float, skipped: float) -> np.ndarray:
    """Shares of the way along a line, from `skipped` pixels on, where it may meet something."""
    return np.linspace(min(skipped / np.hypot(dx, dy), 1), 1, 12)


def _box(x: float, y: float, half_width: float, half_height: float) -> Box:
    return x - half_width, y - half_height, x + half_width, y + half_height


def _within(box: Box, frame: Box) -> bool:
    return box[0] > frame[0] and box[1] > frame[1] and box[2] < frame[2] and box[3] < frame[3]


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
