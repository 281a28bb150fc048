"""Figures of a report: data and drawing together, for the page and for print."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .inline_svg import inline_png, inline_svg
from .style import save_figure
from .timeline import MEL_ID

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PRINT_SUFFIXES = (".png", ".svg")


@dataclass(frozen=True)
class Drawing:
    """One figure.

    Attributes:
        name: of its files, and its id on the page.
        info: its data, a dataclass with title and subtitle.
        draw: makes the figure of it; takes `narrow` if `has_narrow`.
        alt: what is to be seen, for those who do not see it.
        has_narrow: whether it can be drawn for a phone; else it is scrolled there.
        as_png: for a figure that would be a large SVG.
    """

    name: str
    info: Any
    draw: Callable[..., Figure]
    alt: str
    has_narrow: bool = False
    as_png: bool = False

    @property
    def title(self) -> str:
        """The finding."""
        return self.info.title

    @property
    def subtitle(self) -> str:
        """What it is of."""
        return self.info.subtitle

    def on_page(self) -> PageFigure:
        """Drawn without its headline, which the page writes itself."""
        bare = replace(self.info, title="", subtitle="")
        figure = self.draw(bare)
        width_px = round(96 * figure.get_figwidth())
        if self.as_png:
            return PageFigure(self, "", "", inline_png(figure), width_px)
        lowest, highest = figure.axes[-1].get_position(), figure.axes[0].get_position()
        svg = inline_svg(figure, self.name, (MEL_ID,))
        narrow = ""
        if self.has_narrow:
            narrow = inline_svg(self.draw(bare, narrow=True), f"{self.name}-narrow")
        span, band = (lowest.x0, lowest.x1), (1 - highest.y1, lowest.y0)
        return PageFigure(self, svg, narrow, "", width_px, span, band)


@dataclass(frozen=True)
class PageFigure:
    """A `Drawing` as a page holds it.

    Attributes:
        drawing: what it is.
        svg, narrow_svg: elements; `narrow_svg` is empty where there is none.
        png: a `data:` address, in place of the SVG.
        width_px: of the wide one at its own size.
        span: where its lowest axes start and end, as shares of the width.
        band: what lies above its first axes and below its last, as shares of the height.
    """

    drawing: Drawing
    svg: str
    narrow_svg: str
    png: str
    width_px: int
    span: tuple[float, float] = (0.0, 1.0)
    band: tuple[float, float] = (0.0, 0.0)


def print_names(drawings: Iterable[Drawing]) -> list[str]:
    """The names of the files that `save_drawings` writes."""
    return [f"{drawing.name}{suffix}" for drawing in drawings for suffix in PRINT_SUFFIXES]


def save_drawings(drawings: Iterable[Drawing], folder: Path) -> None:
    """Every figure with its headline, as PNG (200 dpi) and SVG.

    Raises:
        InputError: a file cannot be written.
    """
    for drawing in drawings:
        figure = drawing.draw(drawing.info)
        for suffix in PRINT_SUFFIXES:
            save_figure(figure, folder / f"{drawing.name}{suffix}")
