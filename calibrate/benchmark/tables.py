"""Benchmark files and comparisons as tables for a terminal. Rates in percent."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from .compare import Comparison
from .result import BenchmarkFile, ErrorRate, Spread


def percent(rate: float | None, digits: int = 2) -> str:
    """`3.30`, or a dash where it is not defined."""
    return "–" if rate is None else f"{100 * rate:.{digits}f}"


def number(value: float | None, digits: int = 2) -> str:
    """`0.26`, or a dash where it is not known."""
    return "–" if value is None else f"{value:.{digits}f}"


def with_interval(rate: ErrorRate) -> str:
    """`3.30 (2.83 to 3.77)`."""
    if rate.rate is None or rate.low is None:
        return percent(rate.rate)
    return f"{percent(rate.rate)} ({percent(rate.low)} to {percent(rate.high)})"


def totals_table(file: BenchmarkFile) -> Table:
    """A row for each figure, a column for each run."""
    table = Table("", *(run.settings.name for run in file.runs))
    all_totals = [run.totals for run in file.runs]
    columns = [_figures(totals) for totals in all_totals]
    for name in dict.fromkeys(name for column in columns for name in column):
        table.add_row(name, *(column.get(name, "–") for column in columns))
    return table


def _figures(totals) -> dict[str, str]:
    shown: dict[str, str] = {"utterances": str(totals.utterances)}
    for name, text in totals.texts.items():
        words = text.words
        shown[f"WER %, {name} (95 %)"] = with_interval(words)
        shown[f"  sub / del / ins, {name}"] = (
            f"{words.substitutions} / {words.deletions} / {words.insertions} of {words.reference}"
        )
        shown[f"  CER %, {name} (95 %)"] = with_interval(text.characters)
        shown[f"  WER % of utterances, p50 / p90 / p95, {name}"] = " / ".join(
            percent(value, 1) for value in (text.median_wer, text.p90_wer, text.p95_wer)
        )
        shown[f"  utterances without an error, %, {name}"] = percent(text.zero_wer_share, 1)
        space = text.space_only
        shown[f"  errors of white space alone, {name}"] = f"{space.errors} in {space.spans} spans"
        shown[f"  words cut in two, {name}"] = str(space.cut_words)
        shown[f"  WER % without these, {name}"] = percent(space.rate_without)
    shown["real-time factor"] = number(totals.rtf, 4)
    latency = totals.latency
    if latency is not None:
        interval = f" ({number(latency.delay_low_s)} to {number(latency.delay_high_s)})"
        shown["emission delay, mean (95 %), s"] = number(latency.delay_s.mean) + interval
        for name, spread in (
            ("emission delay, p50 / p90 / p95, s", latency.delay_s),
            ("  with computing", latency.delay_aware_s),
            ("first word, p50 / p90 / p95, s", latency.first_word_s),
            ("last word, p50 / p90 / p95, s", latency.finalisation_s),
            ("LAAL, p50 / p90 / p95, s", latency.laal_s),
        ):
            shown[name] = _quantiles(spread)
        shown["word start error, p50 / p90 / p95, ms"] = _quantiles(latency.start_error_ms, 0)
    return shown


def _quantiles(spread: Spread, digits: int = 2) -> str:
    return " / ".join(number(value, digits) for value in (spread.p50, spread.p90, spread.p95))


def stated_table(file: BenchmarkFile) -> Table:
    """What a file of others states, beside what its own texts come to."""
    table = Table("", "stated", "recomputed")
    totals = file.runs[0].totals
    text = totals.texts["basic"]
    ours = {
        "wer": text.words.rate,
        "cer": text.characters.rate,
        "rtf": totals.rtf,
        "median_wer": text.median_wer,
        "p90_wer": text.p90_wer,
        "p95_wer": text.p95_wer,
        "audio_s": totals.audio_s,
        "wall_s": totals.wall_s,
    }
    for name, stated in file.stated.items():
        digits = 2 if name.endswith("_s") else 6
        table.add_row(name, number(stated, digits), number(ours[name], digits))
    return table


def comparison_table(comparisons: Sequence[Comparison]) -> Table:
    """A row for each figure of each comparison; differences are first minus second."""
    table = Table("", "first", "second", "difference (95 %)", "p", "")
    for one in comparisons:
        table.add_section()
        table.add_row(f"{one.first} against {one.second}, {one.utterances} utterances")
        for name, text in one.texts.items():
            table.add_row(
                f"WER %, {name}", percent(text.first), percent(text.second),
                *_difference(text.difference, 100),
            )  # fmt: skip
            table.add_row("  utterances better / worse / same",
                          f"{text.better} / {text.worse} / {text.same}")  # fmt: skip
        if one.delay_s is not None:
            first, second, difference = one.delay_s
            table.add_row("mean emission delay, s", number(first), number(second),
                          *_difference(difference, 1))  # fmt: skip
        table.add_row("real-time factor", *(number(value, 4) for value in one.rtf))
    return table


def _difference(difference, scale: float) -> tuple[str, str, str]:
    if difference is None:
        return "–", "–", "not defined"
    value, low, high = (scale * n for n in (difference.value, difference.low, difference.high))
    verdict = "significant" if difference.is_significant else "may be chance"
    p = "< 0.001" if difference.p < 0.001 else f"{difference.p:.3f}"
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f})", p, verdict
