"""What the template of a report fills in, made ready: tiles, differences, timelines, totals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...evaluate.compare import Comparison, compare_runs
from ...evaluate.result import BenchmarkFile, Utterance
from ...evaluate.trace_types import Trace
from .. import rows as words
from ..figures.drawing import PageFigure
from ..figures.words import rate_title
from ..published import Published
from ..rows import Row, not_comparable
from .listening import audio_address, captions
from .text_differences import differences

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True)
class Traced:
    """The trace `index` of a run, and its utterance."""

    row: Row
    index: int
    utterance: Utterance

    @property
    def trace(self) -> Trace:
        """What the decoder saw and did."""
        return self.row.run.traces[self.index]


class TimelineView:
    """A timeline with its player."""

    def __init__(self, traced: Traced, figure: PageFigure) -> None:
        self.figure = figure
        self.trace = traced.trace
        self.audio, self.fault = audio_address(traced.trace)
        self.captions = captions(traced.trace, traced.utterance)
        self.is_cut = traced.utterance.duration_s > traced.trace.seconds + 0.1


class WorstOf:
    """The utterances of a run with the most errors for their length, word by word."""

    def __init__(self, row: Row) -> None:
        by_id = {one.id: one for one in row.run.utterances}
        self.label = row.label
        self.error_name = row.run.error_name
        self.utterances = [
            (by_id[id], by_id[id].scores["basic"], _pieces(by_id[id])) for id in row.text.worst
        ]


def _pieces(utterance: Utterance):
    score = utterance.scores["basic"]
    return differences(score.reference, score.hypothesis)


@dataclass(frozen=True)
class Tile:
    """One of the large numbers at the head of the page."""

    value: str
    what: str
    more: str = ""


def tiles(rows: Sequence[Row]) -> list[Tile]:
    """Of the run that the headline is about: the best of those that stream, or of all."""
    if not rows:
        return []
    row = words.best(rows)
    rate, space, latency = row.text.words, row.text.space_only, row.totals.latency
    title = rate_title([row.run.error_name])
    tiles = [
        Tile(words.percent(rate.rate), title, f"{words.interval(rate)} at 95\u00a0%"),
    ]
    if latency is not None and latency.delay_s.mean is not None:
        late = f"nine in ten within {words.seconds(latency.delay_s.p90)}"
        tiles.append(Tile(words.seconds(latency.delay_s.mean), "mean emission delay", late))
    if row.totals.rtf is not None:
        chip = words.hardware(row)
        tiles.append(Tile(words.ratio(row.totals.rtf), "real-time factor", f"on {chip}"))
    if row.totals.gflop_per_s is not None and row.totals.weight_reads_per_s is not None:
        reads = f"{row.totals.weight_reads_per_s:.1f} reads of the weights; on every machine"
        if (row.run.settings.config or {}).get("reuse"):
            reads += "; with reuse, so nearly"
        tiles.append(Tile(f"{row.totals.gflop_per_s:.3g}", "GFLOP a second of audio", reads))
    cut = f"of {row.totals.utterances} utterances, {space.utterances_cut} have one"
    tiles.append(Tile(str(space.cut_words), "words cut in two", cut))
    return tiles


def comparisons(rows: Sequence[Row]) -> list[Comparison]:
    """Every other run of a file with its first."""
    firsts: dict[int, Row] = {}
    found = []
    for row in rows:
        first = firsts.setdefault(id(row.file), row)
        if first is not row:
            names = (row.label, first.label)
            found.append(compare_runs(row.run, first.run, names=names, seed=row.file.seed))
    return found


def comparability(rows: Sequence[Row], others: Published | None) -> list[tuple[str, list[str]]]:
    """For each of our files and each published set: why one may not be set against the other."""
    found: list[tuple[str, list[str]]] = []
    own = {id(row.file): row for row in reversed(rows) if not row.file.stated}
    points = others.points if others else ()
    for row in reversed(own.values()):
        seen = set()
        for point in points:
            shown = point.corpus in ("LibriSpeech test-clean", "not stated", row.corpus)
            if not shown or (point.set, point.corpus) in seen:
                continue
            seen.add((point.set, point.corpus))
            speech = "" if point.corpus == "not stated" else f", {point.corpus}"
            found.append((f"{row.origin} and {point.set}{speech}", not_comparable(row, point)))
    return found


def stated(file: BenchmarkFile) -> list[tuple[str, str, str]]:
    """What a file of others states, and what its texts and times come to: name and both values."""
    totals = file.runs[0].totals
    text = totals.texts["basic"]
    rate = file.runs[0].error_name
    known = {
        "wer": (rate_title([rate]), text.words.rate, 4),
        "cer": ("character error rate", text.characters.rate, 4),
        "median_wer": (f"{rate} of utterances, median", text.median_wer, 2),
        "p90_wer": (f"{rate} of utterances, p90", text.p90_wer, 2),
        "p95_wer": (f"{rate} of utterances, p95", text.p95_wer, 2),
    }
    found = []
    for key, stated in file.stated.items():
        if key in known:
            name, ours, digits = known[key]
            found.append((name, words.percent(stated, digits), words.percent(ours, digits)))
        elif key == "rtf":
            ours = "–" if totals.rtf is None else f"{totals.rtf:.4f}"
            found.append(("real-time factor", f"{stated:.4f}", ours))
        else:
            ours_s = {"audio_s": totals.audio_s, "wall_s": totals.wall_s}[key]
            name = {"audio_s": "audio", "wall_s": "time to compute"}[key]
            found.append((name, words.seconds(stated), words.seconds(ours_s)))
    return found


def steps_s(rows: Sequence[Row]) -> list[float]:
    """The steps of the runs that streamed, each once."""
    steps = {row.run.settings.step_s for row in rows if row.is_live}
    return sorted(step for step in steps if step is not None)


def megabytes(count: int | None) -> str:
    """`177 MB`, or a dash."""
    return "–" if count is None else f"{count / 1e6:,.0f} MB"


def short_hash(value: str | None) -> str:
    """Enough of a hash to tell two apart, or a dash."""
    return value[:12] if value else "–"


def unbroken(text: str) -> Markup:
    """`text` whose words a browser does not break at their hyphens, such as `100-3-0000`."""
    from markupsafe import Markup, escape

    shown = (
        Markup("<span class=whole>{}</span>").format(word) if "-" in word else escape(word)
        for word in text.split(" ")
    )
    return Markup(" ").join(shown)
