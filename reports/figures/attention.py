"""The attention of one head over the mel spectrogram of one utterance, gold words marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...wording import counted
from .placing import spread
from .style import INK, MUTED, SMALL_PT, VERMILLION, new_figure, sequential, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Span = tuple[float, float]
"""Start and end in seconds."""

_ROW_IN = 0.155
_WORD_IN = 0.145


@dataclass(frozen=True)
class AttentionOverMel:
    """What one head attends to, token by token.

    Attributes:
        mel: [channels, columns], a spectrogram.
        mel_per_s: columns in a second.
        attention: [tokens, audio frames].
        frame_edges_s: [audio frames + 1], the start of each frame and the end of the last.
        tokens: their texts.
        spans: the gold span of each token's word, None where it has none.
        attended: the audio frame with the most attention, None in a row without any.
        words: gold words with their times.
    """

    mel: np.ndarray
    mel_per_s: float
    attention: np.ndarray
    frame_edges_s: np.ndarray
    tokens: tuple[str, ...]
    spans: tuple[Span | None, ...]
    attended: tuple[int | None, ...]
    words: tuple[tuple[str, float, float], ...]
    title: str
    subtitle: str


def attention_over_mel_info(
    mel: np.ndarray,
    mel_per_s: float,
    attention: np.ndarray,
    frame_edges_s: np.ndarray,
    tokens: Sequence[str],
    spans: Sequence[Span | None],
    words: Sequence[tuple[str, float, float]],
    title: str,
    origin: str = "",
) -> AttentionOverMel:
    """The data of the figure; shapes and units as in `AttentionOverMel`.

    The subtitle gives `origin` (the utterance) and how many attended frames touch their span.

    Raises:
        ValueError: the arrays have no frames, or as many tokens, rows and spans there are not.
    """
    if attention.ndim != 2 or mel.ndim != 2 or not attention.shape[1] or not mel.shape[1]:
        raise ValueError(f"attention {attention.shape} and mel {mel.shape} must be 2-D with frames")
    if not len(attention) == len(tokens) == len(spans) or not len(tokens):
        raise ValueError(f"{len(attention)} rows, {len(tokens)} tokens and {len(spans)} spans")
    if len(frame_edges_s) != attention.shape[1] + 1:
        raise ValueError(f"{len(frame_edges_s)} edges of {attention.shape[1]} frames")
    attended = [
        int(np.nanargmax(row)) if np.isfinite(row).any() and np.nanmax(row) > 0 else None
        for row in attention
    ]
    marked = [(frame, span) for frame, span in zip(attended, spans, strict=True) if span]
    hits = sum(
        frame is not None and frame_edges_s[frame] < end_s and frame_edges_s[frame + 1] > start_s
        for frame, (start_s, end_s) in marked
    )
    subtitle = [origin] if origin else []
    if marked:
        subtitle.append(
            f"the attended frame is within the word for {hits} of {counted(len(marked), 'token')}"
        )
    return AttentionOverMel(
        mel,
        mel_per_s,
        attention,
        frame_edges_s,
        tuple(tokens),
        tuple(spans),
        tuple(attended),
        tuple(words),
        title,
        " · ".join(subtitle),
    )


def attention_over_mel(info: AttentionOverMel) -> Figure:
    """The spectrogram with its words above, the attention of each token below, on one time axis.

    Where there are more tokens or words than fit, every second (third, …) is labelled.
    """
    duration_s = info.mel.shape[1] / info.mel_per_s
    rows_in = float(np.clip(len(info.tokens) * _ROW_IN, 1.3, 12))
    width_in = float(np.clip(0.75 * duration_s + 1.5, 7.2, 14))
    heights = [1.1, rows_in]
    with new_figure(width_in, sum(heights) + 2.1, info.title, info.subtitle) as figure:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=heights)
        _draw_mel(top, info)
        _label_words(top, info, inches_per_s=(width_in - 2.4) / duration_s)
        mesh = _draw_attention(bottom, info, label_every=-(-len(info.tokens) * _ROW_IN // 12))
        bar = figure.colorbar(
            mesh,
            ax=bottom,
            pad=0.02,
            aspect=8 * min(rows_in, 2.2),
            shrink=min(1.0, 2.2 / rows_in),
            anchor=(0, 1),
            extend="max",
        )
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        bar.set_label("share of attention")
        bottom.set_xlim(0, duration_s)
        figure.legend(loc="outside lower left", ncols=3)
    return figure


def _draw_mel(axes: Axes, info: AttentionOverMel) -> None:
    channels, frames = info.mel.shape
    axes.imshow(
        info.mel,
        origin="lower",
        aspect="auto",
        extent=(0, frames / info.mel_per_s, 0, channels),
        cmap="Greys",
        interpolation="nearest",
    )
    edges = sorted({time_s for _, start_s, end_s in info.words for time_s in (start_s, end_s)})
    axes.vlines(edges, 0, channels, color=VERMILLION, linewidth=0.7)
    axes.set_yticks([0, channels])
    axes.set_ylabel("mel channel")
    axes.tick_params(labelbottom=False)


def _label_words(axes: Axes, info: AttentionOverMel, inches_per_s: float) -> None:
    """Words upright above their spans, moved apart where they would touch."""
    if not info.words:
        return
    room = max(1, int(info.mel.shape[1] / info.mel_per_s * inches_per_s / _WORD_IN))
    shown = info.words[:: -(-len(info.words) // room)]
    centres = [(start_s + end_s) / 2 for _, start_s, end_s in shown]
    for (text, *_), centre, place in zip(
        shown, centres, spread(centres, _WORD_IN / inches_per_s), strict=True
    ):
        axes.annotate(
            shortened(visible(text), 20),
            (centre, 1),
            xycoords=("data", "axes fraction"),
            xytext=(72 * inches_per_s * (place - centre), 9),
            textcoords="offset points",
            size=SMALL_PT,
            rotation=90,
            ha="center",
            va="bottom",
            arrowprops={"arrowstyle": "-", "color": MUTED, "lw": 0.5, "shrinkA": 0, "shrinkB": 0},
        )


def _draw_attention(axes: Axes, info: AttentionOverMel, label_every: float):
    """Rows of attention, an outline around each gold span, a dot on each attended frame."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    tokens, edges_s = len(info.attention), info.frame_edges_s
    peaks = [info.attention[row, f] for row, f in enumerate(info.attended) if f is not None]
    mesh = axes.pcolormesh(
        edges_s,
        np.arange(tokens + 1) - 0.5,
        info.attention,
        cmap=sequential(),
        vmin=0,
        # One sharp row must not pale all others: what is above the median peak is as dark.
        vmax=float(np.median(peaks)) if peaks else 1,
        rasterized=True,  # as SVG, each cell would be a path
    )
    axes.set_ylim(tokens - 0.5, -0.5)
    spans = [
        Rectangle((span[0], row - 0.5), span[1] - span[0], 1)
        for row, span in enumerate(info.spans)
        if span
    ]
    if spans:
        outlines = PatchCollection(spans, facecolor="none", edgecolor=VERMILLION, linewidth=1)
        axes.add_collection(outlines, autolim=False)
        axes.plot([], [], "s", mfc="none", mec=VERMILLION, ms=7, label="the word, spoken")
    middles_s = (edges_s[:-1] + edges_s[1:]) / 2
    dots = [(middles_s[f], row) for row, f in enumerate(info.attended) if f is not None]
    axes.scatter(
        [x for x, _ in dots],
        [row for _, row in dots],
        s=12,
        color="white",
        edgecolor=INK,
        linewidth=0.8,
        zorder=3,
        label="attended frame",
    )
    labelled = range(0, tokens, max(1, int(label_every)))
    axes.set_yticks(
        labelled,
        [shortened(visible(info.tokens[row]), 18) for row in labelled],
        size=SMALL_PT,
    )
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="time (s)", ylabel="token")
    return mesh


def visible(text: str) -> str:
    """`text` with its spaces as middle dots and control characters escaped."""
    escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(escaped).replace(" ", "·")
