"""Tables that fit the terminal: one that is too wide is printed in parts, one below the other.

No cell is broken or cut short: a number in two lines is two numbers to a reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.box import Box
    from rich.console import Console
    from rich.table import Table


def print_table(
    console: Console,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    keys: int = 1,
    title: str = "",
    box: Box | None = None,
) -> None:
    """Print a table to `console`.

    Args:
        console: its width is what there is.
        columns: the heads; lines of one are parted by a newline.
        rows: their cells, likewise.
        keys: how many of the first columns tell the rows apart: every part begins with them.
        title: above the first part.
        box: the rules of the table; None: those of rich.
    """
    for part, table in enumerate(fitting(columns, rows, console, keys=keys, box=box)):
        if title and part == 0:
            console.print(title, style="italic", markup=False, highlight=False)
        console.print(table)


def fitting(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    console: Console,
    *,
    keys: int = 1,
    box: Box | None = None,
) -> list[Table]:
    """The table in as many parts as the width asks for; see `print_table`."""
    made: list[Table] = []
    at = keys
    while at < len(columns) or not made:
        end = at + 1
        table = _table(columns, rows, [*range(keys), *range(at, min(end, len(columns)))], box)
        while end < len(columns):
            wider = _table(columns, rows, [*range(keys), *range(at, end + 1)], box)
            if _width(wider, console) > console.width:
                break
            table, end = wider, end + 1
        made.append(table)
        at = end
    return made


def _width(table: Table, console: Console) -> int:
    from rich.measure import Measurement

    return Measurement.get(console, console.options.update_width(10_000), table).maximum


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], shown: Sequence[int], box: Box | None
) -> Table:
    from rich import box as boxes
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box or boxes.HEAVY_HEAD, pad_edge=box is None)
    for index in shown:
        table.add_column(Text(columns[index]), no_wrap=True, overflow="fold")
    for row in rows:
        table.add_row(*(Text(row[index]) for index in shown))
    return table
