"""Benchmark files and comparisons as tables for a terminal. Rates in percent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from ..wording import counted
from .compare import Comparison
from .error_rates import ErrorRate
from .intervals import Difference
from .latency import Distribution
from .normalise import ErrorName
from .result import BenchmarkFile, Totals


def percent(rate: float | None, digits: int = 2) -> str:
    """`3.30`, or a dash where it is not defined."""
    return "–" if rate is None else f"{100 * rate:.{digits}f}"


def number(value: float | None, digits: int = 2) -> str:
    """`0.26`, or a dash where it is not known."""
    return "–" if value is None else f"{value:.{digits}f}"


def with_interval(rate: ErrorRate) -> str:
    """`3.30 (2.83 to 3.77)`, or `0.00 (below 1.10)` where no error was made."""
    if rate.bounds is None:
        return percent(rate.rate)
    low, high = rate.bounds
    around = f"{percent(low)} to {percent(high)}" if rate.errors else f"below {percent(high)}"
    return f"{percent(rate.rate)} ({around})"


def totals_rows(file: BenchmarkFile) -> tuple[list[str], list[list[str]]]:
    """A row for each figure, a column for each run: heads and rows.

    Intervals are at 95 %; three numbers in a row are p50 / p90 / p95. Indented lines belong to
    the figure above them (those of errors: under the basic normaliser).
    """
    columns = [_figures(run.totals, run.error_name, run.settings.config or {}) for run in file.runs]
    names = dict.fromkeys(name for column in columns for name in column)
    rows = [[name, *(column.get(name, "–") for column in columns)] for name in names]
    return ["", *(run.settings.name for run in file.runs)], rows


def _figures(totals: Totals, rate: ErrorName, config: Mapping[str, object]) -> dict[str, str]:
    shown = {"utterances": str(totals.utterances)}
    for name, text in totals.texts.items():
        shown[f"{rate} %, {name}"] = with_interval(text.words)
    text = totals.texts["basic"]
    words, space = text.words, text.space_only
    shown["  sub / del / ins"] = (
        f"{words.substitutions} / {words.deletions} / {words.insertions} of {words.reference}"
    )
    shown["  of utterances"] = " / ".join(
        percent(value, 1) for value in (text.median_wer, text.p90_wer, text.p95_wer)
    )
    shown["  without error, %"] = percent(text.zero_wer_share, 1)
    shown["  white space alone"] = f"{space.errors} in {space.spans} spans"
    shown["  cut in two"] = str(space.cut_words)
    shown[f"  {rate} % without"] = percent(space.rate_without)
    if rate != "CER":
        shown["CER %, basic"] = with_interval(text.characters)
    shown["real-time factor"] = number(totals.rtf, 4)
    shown["GFLOP a second of audio"] = number(totals.gflop_per_s)
    shown["  weight reads"] = number(totals.weight_reads_per_s)
    if config.get("reuse"):
        shown["  with reuse, read again"] = f"{config['refresh_s']:g} s"
    latency = totals.latency
    if latency is not None:
        interval = f" ({number(latency.delay_low_s)} to {number(latency.delay_high_s)})"
        shown["delay, mean, s"] = number(latency.delay_s.mean) + interval
        for name, values in (
            ("  of words", latency.delay_s),
            ("  with computing", latency.delay_aware_s),
            ("first word, s", latency.first_word_s),
            ("last word, s", latency.finalisation_s),
            ("LAAL, s", latency.laal_s),
        ):
            shown[name] = _quantiles(values)
        shown["start error, ms"] = _quantiles(latency.start_error_ms, 0)
    sure = totals.reliability
    if sure is not None:
        shown["committed words right, %"] = percent(sure.right / sure.words, 1)
        shown["  their mean probability, %"] = percent(sure.mean_probability, 1)
        shown["  calibration error, %"] = percent(sure.calibration_error, 1)
    return shown


def _quantiles(values: Distribution, digits: int = 2) -> str:
    return " / ".join(number(value, digits) for value in (values.p50, values.p90, values.p95))


def stated_table(file: BenchmarkFile) -> Table:
    """The totals that a published file states, beside those recomputed from its texts."""
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


def comparison_rows(one: Comparison) -> tuple[list[str], list[list[str]]]:
    """A row for each figure; differences are first minus second, their verdict below them."""
    rows: list[list[str]] = []

    def add(name: str, first: str, second: str, difference: Sequence[str]) -> None:
        shown, p, verdict = difference
        rows.append([name, first, second, shown])
        rows.append(["  p", "", "", verdict if p == "–" else f"{p}, {verdict}"])

    for name, text in one.texts.items():
        same = not (text.better or text.worse)
        difference = _difference(text.difference, 100, same)
        add(f"{one.error_name} %, {name}", percent(text.first), percent(text.second), difference)
        better = f"{text.better} / {text.worse} / {text.same}"
        rows.append(["  better / worse / same", "", "", better])
    if one.delay_s is not None:
        first, second, found = one.delay_s
        add("mean emission delay, s", number(first), number(second), _difference(found, 1))
    rows.append(["real-time factor", *(number(value, 4) for value in one.rtf), ""])
    rows.append(["GFLOP a second of audio", *map(number, one.gflop_per_s), ""])
    rows.append(["  weight reads", *map(number, one.weight_reads_per_s), ""])
    return ["", "first", "second", "difference (95 %)"], rows


def comparison_title(one: Comparison) -> str:
    """What is compared."""
    return f"{one.first} against {one.second}, {counted(one.utterances, 'utterance')}"


def _difference(difference: Difference | None, scale: float, same: bool = False):
    if difference is None:
        return "–", "–", "not defined"
    value, low, high = (scale * n for n in (difference.value, difference.low, difference.high))
    same = same or value == low == high == 0
    verdict = "significant" if difference.is_significant else "may be chance"
    p = "< 0.001" if difference.p < 0.001 else f"{difference.p:.3f}"
    shown = f"{value:+.2f} ({low:+.2f} to {high:+.2f})"
    return shown, p, "no difference" if same else verdict
