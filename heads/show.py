"""Heads files as text: rich tables at a terminal, plain columns in a pipe."""

from __future__ import annotations

import math

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..files import printable
from ..tables import fitting
from ..wording import counted, wrapped
from .compare import compare_heads
from .schema import HIT_RATE, HeadsFile, Ranking


def shown_heads(heads: HeadsFile, top: int, terminal: Console | None) -> list[Text | Table]:
    """What the file says of itself, and its first `top` heads (or as many as it lists).

    Lines and a table, to be printed in this order. For a `terminal` the table is ruled, and in
    parts where it is too wide; for a pipe (None) it is one.
    """
    lines = [
        Text(_line(f"{name:<13}{printable(value)}", terminal)) for name, value in _summary(heads)
    ]
    keys = 3 if heads.is_measured else 2
    return [*lines, Text(), *_tables(*head_rows(heads, top), keys, terminal)]


def shown_comparison(
    first: HeadsFile,
    second: HeadsFile,
    first_name: str,
    second_name: str,
    top: int,
    terminal: Console | None,
) -> list[Text | Table]:
    """How many of the best heads two files share, how alike their scores rank, and of how many
    of the best heads the intervals of a score do not meet.

    Lines and a table, as `shown_heads` gives them.

    Raises:
        InputError: the files are for models of different shapes.
    """
    found = compare_heads(first, second, sorted({20, top}))
    sides = (("A", first_name, first), ("B", second_name, second))
    told = [f"{letter}  {name}: {one.model}, {_measured_on(one)}" for letter, name, one in sides]
    lines = [Text(_line(printable(line), terminal)) for line in told]
    rows = [[f"best {k} in both", f"{shared} of {k}"] for k, shared in found.overlaps.items()]
    for metric, rho in found.correlations.items():
        value = "undefined" if rho is None else f"{rho:.3f}"
        rows.append([f"Spearman's rho of {printable(metric)}", value])
    known = {metric: counts for metric, counts in found.apart.items() if counts[1]}
    if found.apart and not known:
        rows.append(["intervals that do not meet", "not known: too few clips for intervals"])
    for metric, (apart, of) in known.items():
        rows.append([f"{printable(metric)} apart, of the best heads", f"{apart} of {of}"])
    return [*lines, Text(), *_tables(["comparison", "value"], rows, 1, terminal)]


def head_rows(heads: HeadsFile, top: int) -> tuple[list[str], list[list[str]]]:
    """The column names and the rows, as text, of the first `top` heads.

    Heads that were never measured have neither ranks nor scores.
    """
    if not heads.is_measured:
        return ["layer", "head"], [[str(a), str(b)] for a, b in heads.compact[:top]]
    metrics = heads.metrics
    matrices = {metric: heads.matrix(metric) for metric in metrics}
    ranking = heads.ranking
    sure = ranking.top_probability if ranking is not None else None
    columns = ["rank", "layer", "head", *(printable(metric) for metric in metrics)]
    if ranking is not None and sure is not None:
        columns.append(f"P(top {ranking.top})")
    rows = []
    for rank, (layer, head) in enumerate(heads.compact[:top], start=1):
        row = [str(rank), str(layer), str(head)]
        row += [_score(heads, m, matrices[m][layer, head], layer, head) for m in metrics]
        if sure is not None:
            row.append(f"{sure[layer][head]:.2f}")
        rows.append(row)
    return columns, rows


def _summary(heads: HeadsFile) -> list[tuple[str, str]]:
    total = heads.num_layers * heads.num_heads
    shape = (
        f"{heads.num_layers} layers x {counted(heads.num_heads, 'head')}, {heads.num_kv_heads} K/V"
    )
    lines = [
        ("model", heads.model),
        ("shape", shape),
        *([("attention", heads.attention)] if heads.attention else []),
        *([("checkpoint", heads.model_fingerprint)] if heads.model_fingerprint else []),
        ("measured on", _measured_on(heads)),
        ("heads", f"{len(heads.compact)} of {total} listed{_listing(heads)}"),
    ]
    if heads.ranking is not None:
        lines.append(("ranking", _ranking(heads.ranking)))
    if heads.corpus is not None:
        corpus = heads.corpus
        counts = f"{counted(corpus.utterances, 'utterance')}, {corpus.skipped} skipped"
        lines.append(("corpus", f"{corpus.name}, {counts}, {corpus.fingerprint[:12]}"))
    for name in ("aligner", "query", "text", "created_with", "source"):
        value = getattr(heads, name)
        if value is not None:
            lines.append((name.replace("_", " "), value))
    return [*lines, ("sha256", heads.sha256)]


def _line(text: str, terminal: Console | None) -> str:
    return text if terminal is None else wrapped(text, terminal.width, f"{'':<13}")


def _measured_on(heads: HeadsFile) -> str:
    if heads.num_samples == 0:
        return "nothing: no scores"
    language = f"{heads.language}, " if heads.language else ""
    clips, tokens = counted(heads.num_samples, "clip"), heads.total_alignable_tokens
    return f"{language}{clips}, {counted(tokens, 'token')}"


def _listing(heads: HeadsFile) -> str:
    if not heads.is_measured:
        return ", in the order of their source"
    if heads.ts_threshold is None:
        return ""
    above = int((heads.matrix(HIT_RATE) > heads.ts_threshold).sum())
    return f"; {above} have a hit rate above {heads.ts_threshold:g}"


def _ranking(ranking: Ranking) -> str:
    text = f"{ranking.method} by {ranking.metric}, top {ranking.top}"
    if ranking.top_stability is not None:
        text += f", stability {ranking.top_stability:.2f}"
    if ranking.clips_needed is not None:
        text += f", clips needed {ranking.clips_needed}"
    return text


def _score(heads: HeadsFile, metric: str, value: float, layer: int, head: int) -> str:
    if math.isnan(value):
        return "-"
    interval = heads.intervals.get(metric)
    if interval is None:
        return _number(value)
    low, high = interval.low[layer][head], interval.high[layer][head]
    if low is None or high is None:
        return _number(value)
    return f"{_number(value)} [{_number(low)}, {_number(high)}]"


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.4g}"


def _tables(
    columns: list[str], rows: list[list[str]], keys: int, terminal: Console | None
) -> list[Table]:
    if terminal is not None:
        return fitting(columns, rows, terminal, keys=keys, box=box.SIMPLE_HEAD)
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(Text(column), no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return [table]
