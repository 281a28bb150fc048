"""Tables at 80 columns: nothing is cut short and no number is broken."""

import io

import pytest
from rich.console import Console
from rich.text import Text

from alignheads.heads.load import load_heads
from alignheads.heads.show import head_rows, shown_heads
from alignheads.tables import fitting, print_table
from alignheads.wording import counted


def printed(width, *arguments, **keywords):
    console = Console(width=width, record=True, file=io.StringIO())
    print_table(console, *arguments, **keywords)
    return console.export_text()


def test_a_table_that_is_too_wide_is_printed_in_parts_with_its_keys():
    columns = ["head", *(f"score number {index}" for index in range(8))]
    rows = [
        [f"h{row}", *(f"0.{row}{index} (0.10 to 0.99)" for index in range(8))] for row in (1, 2)
    ]
    text = printed(80, columns, rows)
    assert max(map(len, text.splitlines())) <= 80
    for cell in [*columns, *rows[0], *rows[1]]:
        assert cell in text
    assert text.count("h1") == text.count("h2") > 1
    assert printed(400, columns, rows).count("h1") == 1


def test_one_part_for_a_table_without_other_columns():
    assert len(fitting(["a"], [["1"]], Console(width=80))) == 1


@pytest.mark.parametrize("name", ["tiny", "1.7b", "whisper-tiny"])
def test_heads_are_readable_at_80_columns(name):
    heads = load_heads(name)
    console = Console(width=80, record=True, file=io.StringIO())
    for part in shown_heads(heads, 5, console):
        console.print(part, soft_wrap=isinstance(part, Text))
    text = console.export_text()
    assert "…" not in text
    columns, rows = head_rows(heads, 5)
    for cell in {*columns, *(cell for row in rows for cell in row)}:
        assert cell in text
    assert max(map(len, text.splitlines())) <= 80
    for line in shown_heads(heads, 5, None)[:8]:  # of a pipe: nothing is broken at all
        assert " ".join(str(line).split()) in " ".join(text.split())


def test_a_title_stands_above_the_first_part_only():
    text = printed(30, ["a", "b" * 20, "c" * 20], [["1", "2", "3"]], title="what it is")
    assert text.startswith("what it is\n")
    assert text.count("what it is") == 1


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 heads"), (1, "1 head"), (2, "2 heads"), (2000, "2,000 heads")]
)
def test_one_head_is_no_heads(count, words):
    assert counted(count, "head") == words
