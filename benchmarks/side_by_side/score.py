"""The table: what each contestant's answers are worth against the transcripts and word times."""

from __future__ import annotations

from collections.abc import Sequence

from alignheads.corpora import Utterance
from alignheads.evaluate.error_rates import ErrorRate, SpaceErrors, space_errors, word_errors
from alignheads.evaluate.intervals import Sums, rate_interval
from alignheads.evaluate.latency import Latency, stream_times, summary
from alignheads.evaluate.normalise import normalise
from alignheads.evaluate.record import Count, Record

from .answers import Answer, Emitted, changes, emitted, in_hindsight

HEADER = (
    "decoder", "WER % (95 %)", "S / D / I", "delay mean / p50 / p90 s", "start error p50 ms",
    "real-time factor", "words cut in two", "rewrites",
)  # fmt: skip


class Row(Record):
    """One line of the table.

    Attributes:
        times: None where delays mean nothing: everything came at once.
        has_times: whether the decoder gives word times.
        real_time_factor: seconds of computing for a second of audio; None: see another row.
        cut_words: words that came in parts, in different steps.
        rewrites: steps after which words that had come were others, or gone.
    """

    name: str
    words: ErrorRate
    spaces: SpaceErrors
    times: Latency | None
    has_times: bool
    real_time_factor: float | None
    cut_words: Count
    rewrites: Count


def rows(
    name: str, answers: Sequence[Answer], utterances: Sequence[Utterance], *, at_once: bool = False
) -> list[Row]:
    """The row of a contestant, and of one that shows what it may change, another of that."""
    audio_s = sum(answer.audio_s for answer in answers)
    found = [emitted(answer.steps) for answer in answers]
    factor = sum(answer.wall_s for answer in answers) / audio_s
    first = _row(name, found, answers, utterances, factor, 0, at_once)
    if all(step.shown is None for answer in answers for step in answer.steps):
        return [first]
    rewritten = sum(changes(answer.steps) for answer in answers)
    hindsight = [in_hindsight(answer.steps) for answer in answers]
    shown = f"… {name}: its last text, in hindsight"
    return [first, _row(shown, hindsight, answers, utterances, None, rewritten, at_once)]


def _row(
    name: str,
    found: Sequence[Emitted],
    answers: Sequence[Answer],
    utterances: Sequence[Utterance],
    factor: float | None,
    rewritten: int,
    at_once: bool,
) -> Row:
    texts = (
        [normalise(one.text, "whisper", one.language) for one in utterances],
        [
            normalise(one.text, "whisper", said.language)
            for one, said in zip(found, utterances, strict=True)
        ],
    )
    each = [word_errors([said], [heard]) for said, heard in zip(*texts, strict=True)]
    words = word_errors(*texts)
    times = [
        stream_times(one.words, utterance.words, answer.audio_s)
        for one, utterance, answer in zip(found, utterances, answers, strict=True)
        if utterance.words is not None
    ]
    return Row(
        name=name,
        words=words.within(
            rate_interval(Sums.of([one.errors for one in each], [one.reference for one in each]))
        ),
        spaces=space_errors(*texts, words),
        times=summary(times, seed=0) if times and not at_once else None,
        has_times=any(one.has_times for one in found),
        real_time_factor=factor,
        cut_words=sum(one.cut_words for one in found),
        rewrites=rewritten,
    )


def table(rows: Sequence[Row]) -> str:
    """In Markdown; what a decoder does not have is a dash."""
    lines = [HEADER, ["---"] * len(HEADER), *map(_cells, rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _cells(row: Row) -> list[str]:
    counts, times = row.words, row.times
    bounds = counts.bounds
    delay = times.delay_s if times and times.delay_s.count else None
    start_ms = times.start_error_ms.p50 if times and row.has_times else None
    return [
        row.name,
        f"{100 * (counts.rate or 0):.1f}"
        + (f" ({100 * bounds[0]:.1f} to {100 * bounds[1]:.1f})" if bounds else ""),
        f"{counts.substitutions} / {counts.deletions} / {counts.insertions}",
        f"{delay.mean:.2f} / {delay.p50:.2f} / {delay.p90:.2f}" if delay else "-",
        "-" if start_ms is None else f"{start_ms:.0f}",
        "-" if row.real_time_factor is None else f"{row.real_time_factor:.2f}",
        str(row.cut_words),
        str(row.rewrites),
    ]
