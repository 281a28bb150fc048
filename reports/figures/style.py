"""How every figure looks: size, type, colours, and how it is written to a file.

Figures are made through matplotlib's object API on the Agg canvas: no window, no pyplot, no
global state left behind. Colours are after the colour-blind safe palette of Okabe and Ito.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ...files import replacing

if TYPE_CHECKING:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

INK = "#1b1f24"
MUTED = "#5b6470"
FAINT = "#d9dee4"
BLUE = "#0072b2"
VERMILLION = "#d55e00"
GREEN = "#009e73"
PURPLE = "#a3487c"
ON_LIGHT = "#16191d"
"""Text on a light cell, whatever the page around the figure looks like."""
WIDE_IN = 7.2
NARROW_IN = 3.75
"""The width of a phone, at which a page shows a figure at its own size."""
TITLE_PT = 12.5
SUBTITLE_PT = 9.0
LABEL_PT = 9.0
SMALL_PT = 7.5

_MARGIN_IN = 0.12
_LEADING = 1.32
_FALLBACK_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "Arial Unicode MS",
    "WenQuanYi Micro Hei",
)
_SETTINGS: dict[str, Any] = {
    "figure.facecolor": "white",
    "figure.dpi": 200,
    "savefig.dpi": 200,
    "font.size": LABEL_PT,
    "axes.labelsize": LABEL_PT,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.titlesize": LABEL_PT,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "text.color": INK,
    # A token may hold "$": it is text, never a formula.
    "text.parse_math": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "hatch.color": "#b8c0ca",
    "hatch.linewidth": 0.7,
    "pdf.fonttype": 42,
    # Fixed, so that the same figure is the same file.
    "svg.hashsalt": "alignheads",
}
# Even steps in lightness, so it reads alike for everyone, and in grey print.
_SEQUENTIAL = ("#f2f4f6", "#cfe5e2", "#86c8c9", "#3f97bf", "#2559a1", "#13205a")
_UNDATED: dict[str, dict[str, Any]] = {
    ".png": {},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Our settings over matplotlib's own defaults, whatever the user's are, for one block.

    A character that no installed font has is drawn as a box, without a warning for each.
    """
    from matplotlib import font_manager, style

    installed = set(font_manager.get_font_names())
    fonts = ["DejaVu Sans", *(name for name in _FALLBACK_FONTS if name in installed)]
    with style.context(["default", {**_SETTINGS, "font.family": fonts}]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


@contextlib.contextmanager
def new_figure(
    width_in: float, body_height_in: float, title: str, subtitle: str = ""
) -> Iterator[Figure]:
    """A styled figure with its headline, to be drawn into inside the block.

    Title and subtitle are wrapped to the width and stand above the body: the figure is higher
    than `body_height_in` by what they need, nothing where both are empty. Sizes are in inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with styled():
        lines = [
            (line, size, weight, colour)
            for text, size, weight, colour in (
                (title, TITLE_PT, "bold", INK),
                (subtitle, SUBTITLE_PT, "normal", MUTED),
            )
            if text
            for line in _wrapped(text, size, weight, 72 * (width_in - 2 * _MARGIN_IN))
        ]
        headline_in = sum(size for _, size, *_ in lines) * _LEADING / 72 + 0.2 if lines else 0.0
        height_in = body_height_in + headline_in
        layout = ConstrainedLayoutEngine(
            rect=(0, 0, 1, body_height_in / height_in), w_pad=0.06, h_pad=0.06
        )
        figure = Figure(figsize=(width_in, height_in), layout=layout)
        FigureCanvasAgg(figure)
        top_in = height_in - _MARGIN_IN
        for line, size, weight, colour in lines:
            x, y = _MARGIN_IN / width_in, top_in / height_in
            figure.text(x, y, line, size=size, weight=weight, color=colour, va="top")
            top_in -= size * _LEADING / 72
        yield figure
        # Ticks come to be when they are first drawn, and must do so in our style. The layout takes
        # two rounds to settle, and then stays as it is, so that every file shows the same.
        figure.draw_without_rendering()
        figure.draw_without_rendering()
        figure.set_layout_engine("none")


def sequential(reverse: bool = False) -> LinearSegmentedColormap:
    """The colours of a score: near white for the low end, dark blue for the high; or reversed."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = _SEQUENTIAL[::-1] if reverse else _SEQUENTIAL
    return LinearSegmentedColormap.from_list("sequential", colours)


def save_figure(figure: Figure, path: Path) -> None:
    """Write `figure` to `path` as PNG (200 dpi), SVG or PDF, by the suffix, whole or not at all.

    Raises:
        InputError: the suffix is another one, or the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in _UNDATED:
        raise InputError(f"cannot write the figure {path}: its name must end in .png, .svg or .pdf")
    with styled(), replacing(path) as temporary:
        figure.savefig(temporary, format=suffix[1:], metadata=_UNDATED[suffix])


def shortened(text: str, length: int) -> str:
    """`text`, its middle replaced by an ellipsis where it is longer than `length` characters."""
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def text_width_pt(text: str, size_pt: float, weight: str = "normal") -> float:
    """The width of one line of text in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size_pt, weight=weight)
    return text_to_path.get_text_width_height_descent(text, font, False)[0]


def _wrapped(text: str, size_pt: float, weight: str, width_pt: float) -> list[str]:
    """As few lines of at most `width_pt` points as can be, about equally long.

    A word that is wider has a line of its own; no line starts with a dot that separates, and
    none ends in a no-break space.
    """
    words = re.sub(r"[^\S\u00a0]+", " ", text).strip().replace(" · ", "\u00a0· ").split(" ")
    # Agg rounds each letter to pixels: leave it 2 %.
    widths = {word: 1.02 * text_width_pt(word, size_pt, weight) for word in {*words, " "}}

    def lines_within(limit_pt: float) -> list[str]:
        lines: list[str] = []
        end_pt = 0.0
        for word in words:
            end_pt += widths[" "] + widths[word]
            if lines and end_pt <= limit_pt:
                lines[-1] += f" {word}"
            else:
                lines.append(word)
                end_pt = widths[word]
        return lines

    fewest = lines_within(width_pt)
    narrower = (lines_within(width_pt * share) for share in np.linspace(0.4, 1, 25))
    return next((lines for lines in narrower if len(lines) <= len(fewest)), fewest)
