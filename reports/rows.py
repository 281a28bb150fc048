"""The runs of one or more benchmark files, named apart, and what they say in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..evaluate.error_rates import ErrorRate
from ..evaluate.result import BenchmarkFile, Run, TextTotals, Totals
from ..wording import counted
from .figures.words import model_name
from .published import PublishedPoint, corpus_title

_WHAT = {"WER": "words", "CER": "characters", "MER": "words and characters"}


@dataclass(frozen=True)
class Row:
    """One run: what it is called on this page, the file it is from, and the file's name."""

    label: str
    file: BenchmarkFile
    run: Run
    origin: str

    @property
    def totals(self) -> Totals:
        """What the run came to."""
        return self.run.totals

    @property
    def text(self) -> TextTotals:
        """Under the basic normaliser, that of published tables."""
        return self.run.totals.texts["basic"]

    @property
    def corpus(self) -> str:
        """As tables call it."""
        return corpus_title(self.file.corpus.name)

    @property
    def is_live(self) -> bool:
        """Whether words were committed as the audio came in, and it is known when."""
        return self.run.settings.mode == "simul" and self.totals.latency is not None


def error_names(rows: Sequence[Row]) -> str:
    """What the error rates of these runs are called: `WER`, or `CER, WER` where they differ."""
    return ", ".join(sorted({row.run.error_name for row in rows}))


def make_rows(files: Sequence[tuple[Path, BenchmarkFile]]) -> list[Row]:
    """A row for each run, called by as little as tells them apart.

    Model, corpus and grouping are named where the files differ in them, the file where that is
    not enough.
    """
    known = [file for _, file in files]
    has_models = len({file.model.name for file in known}) > 1
    has_corpora = len({file.corpus.name for file in known}) > 1
    has_groups = len({file.corpus.group for file in known}) > 1

    def name(file: BenchmarkFile, run: Run) -> str:
        parts = [model_name(file.model.name)] if has_models else []
        parts.append(run.settings.name)
        parts += [file.corpus.name] if has_corpora else []
        parts += [f"by {file.corpus.group}"] if has_groups else []
        return ", ".join(parts)

    runs = [(path, file, run) for path, file in files for run in file.runs]
    names = [name(file, run) for _, file, run in runs]
    for again in (lambda path: path.stem, lambda path: f"{path.parent.name}/{path.stem}"):
        if len(set(names)) == len(names):
            break
        names = [f"{again(path)}: {name(file, run)}" for path, file, run in runs]
    counts = Counter(names)
    labels = [
        f"{one} ({names[: index + 1].count(one)})" if counts[one] > 1 else one
        for index, one in enumerate(names)
    ]
    return [
        Row(label, file, run, path.name)
        for label, (path, file, run) in zip(labels, runs, strict=True)
    ]


def percent(rate: float | None, digits: int = 2) -> str:
    """`3.30 %`, or a dash; the space does not break."""
    return "–" if rate is None else f"{100 * rate:.{digits}f}\u00a0%"


def seconds(value: float | None, digits: int = 2) -> str:
    """`0.74 s`, or a dash."""
    return "–" if value is None else f"{value:.{digits}f}\u00a0s".replace("-", "−")


def ratio(value: float | None) -> str:
    """A real-time factor to three digits that mean something."""
    return "–" if value is None else f"{value:.3f}"


def interval(rate: ErrorRate) -> str:
    """The 95 % interval of an error rate: `2.83 to 3.77 %`, or `below 1.10 %` without errors."""
    if rate.bounds is None:
        return "–"
    low, high = rate.bounds
    return f"{100 * low:.2f} to {percent(high)}" if rate.errors else f"below {percent(high)}"


def speed(rtf: float) -> str:
    """A real-time factor in words: `23 times faster than speech`."""
    if rtf <= 0:
        return "in no time"
    if rtf > 1:
        return f"{rtf:.1f} times slower than speech"
    return (
        f"{1 / rtf:.1f} times faster than speech"
        if rtf > 0.2
        else (f"{1 / rtf:.0f} times faster than speech")
    )


def best(rows: Sequence[Row]) -> Row:
    """Of the first file: the run with the fewest errors, then the least delay.

    Those that stream come first. Other files may be on easier speech, so they take no part.
    """
    own = [row for row in rows if row.file is rows[0].file]
    live = [row for row in own if row.is_live]
    return min(live or own, key=lambda row: (row.text.words.rate or 0.0, mean_delay_s(row) or 0.0))


def mean_delay_s(row: Row) -> float | None:
    """The mean emission delay, if it is known."""
    return row.totals.latency.delay_s.mean if row.totals.latency else None


def headline(rows: Sequence[Row]) -> str:
    """What the benchmark found, in one sentence, about its best run."""
    first = best(rows)
    what = _WHAT[first.run.error_name]
    found = f"{percent(first.text.words.rate)} of {what} wrong"
    delay_s = mean_delay_s(first)
    if first.is_live and delay_s is not None:
        found += f", out {seconds(delay_s)} after they are spoken"
    if first.totals.rtf is not None:
        found += f", {speed(first.totals.rtf)}"
    return f"{model_name(first.file.model.name)} on {first.corpus}: {found}"


def not_comparable(row: Row, point: PublishedPoint) -> list[str]:
    """Why the error rate or the speed of a run cannot be set against a published point."""
    reasons = []
    if row.corpus != point.corpus:
        what = "not stated" if point.corpus == "not stated" else point.corpus
        reasons.append(f"other speech ({row.corpus} here, {what} there)")
    elif point.unit != row.file.corpus.group:
        reasons.append(f"cut otherwise ({row.file.corpus.group} here, {point.unit} there)")
    elif point.samples not in (None, row.totals.utterances):
        reasons.append(
            f"other utterances ({counted(row.totals.utterances, 'utterance')} here, "
            f"{point.samples} there)"
        )
    if not same_hardware(row, point):
        reasons.append(f"real-time factor: other hardware ({hardware(row)} here)")
    return reasons


def hardware(row: Row) -> str:
    """The chip a run was made on."""
    machine = row.file.machine
    return machine.device or machine.platform


def same_hardware(row: Row, point: PublishedPoint) -> bool:
    """Whether both name the same chip."""
    return point.hardware.lower() in hardware(row).lower()
