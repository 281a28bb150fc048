"""A figure as a part of a page: SVG whose colours follow the page, light or dark; or PNG."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING

from .style import BLUE, FAINT, GREEN, INK, MUTED, PURPLE, VERMILLION, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE_COLOURS = {
    INK: "--ink",
    MUTED: "--muted",
    FAINT: "--faint",
    BLUE: "--blue",
    VERMILLION: "--vermillion",
    GREEN: "--green",
    PURPLE: "--purple",
}
"""Our palette, and the variables that a page gives it by."""

_COLOUR = re.compile(r"(fill|stroke): (#[0-9a-f]{6})")
_ID = re.compile(r'\bid="([^"]+)"')
_REFERENCE = re.compile(r'(href="#|url\(#)([^")]+)')
_SIZE = re.compile(r' (?:width|height)="[0-9.]+pt"')
_PNG_DPI = 130


def inline_svg(figure: Figure, prefix: str, keep_ids: tuple[str, ...] = ()) -> str:
    """`figure` as an `<svg>` element for a page.

    Its background is clear, its palette is `PAGE_COLOURS`, white lines are the colour of the
    page. It has no size of its own but its `viewBox`. Ids start with `prefix`, so that several
    figures may stand on one page; of groups only `keep_ids` are kept, as classes.
    """
    buffer = io.StringIO()
    for axes in (axes for one in figure.axes for axes in (one, *one.child_axes)):
        if axes.patch.get_facecolor() == (1.0, 1.0, 1.0, 1.0):
            axes.patch.set_facecolor("none")
    with styled():
        figure.savefig(buffer, format="svg", facecolor="none", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    head, _, body = text.partition(">")
    head = _SIZE.sub("", head) + ' aria-hidden="true" focusable="false">'
    body = _COLOUR.sub(_themed, body)
    body = re.sub(r'<g id="[^"]*">', "<g>", body)
    for kept in keep_ids:
        body = body.replace(f'id="{kept}"', f'class="{kept}"')
    body = _ID.sub(lambda match: f'id="{prefix}-{match[1]}"', body)
    body = _REFERENCE.sub(
        lambda match: (
            match[0] if match[2].startswith("data:") else f"{match[1]}{prefix}-{match[2]}"
        ),
        body,
    )
    return re.sub(r"\n\s*", "\n", head + body).strip()


def _themed(match: re.Match[str]) -> str:
    kind, colour = match[1], match[2]
    if kind == "stroke" and colour == "#ffffff":
        return "stroke: var(--paper)"
    variable = PAGE_COLOURS.get(colour)
    return f"{kind}: var({variable})" if variable else match[0]


def inline_png(figure: Figure) -> str:
    """`figure` as the `data:` address of a PNG."""
    buffer = io.BytesIO()
    with styled():
        figure.savefig(buffer, format="png", dpi=_PNG_DPI, metadata={"Software": None})
    return data_address("image/png", buffer.getvalue())


def data_address(kind: str, content: bytes) -> str:
    """`content` as a `data:` address of a media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
