"""Word and character error rates, and which word errors are white space alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jiwer

from ..runtime.policy.words import characters
from .intervals import Interval
from .record import Count, Rate, Record


class ErrorRate(Record):
    """Edits between references and hypotheses, of words or of characters, and their rate.

    Attributes:
        hits, substitutions, deletions, insertions: counts over all utterances.
        rate: errors over words (or characters) of reference, 1 is 100 %; None for empty
            references.
        low, high: the 95 % bootstrap interval over utterances; None where it was not computed
            or the rate is not defined.
    """

    hits: Count
    substitutions: Count
    deletions: Count
    insertions: Count
    rate: Rate | None
    low: Rate | None = None
    high: Rate | None = None

    @classmethod
    def of(cls, hits: int, substitutions: int, deletions: int, insertions: int) -> ErrorRate:
        """The rate of these counts, without an interval."""
        reference = hits + substitutions + deletions
        errors = substitutions + deletions + insertions
        return cls(
            hits=hits,
            substitutions=substitutions,
            deletions=deletions,
            insertions=insertions,
            rate=errors / reference if reference else None,
        )

    def within(self, interval: Interval | None) -> ErrorRate:
        """The same with the bounds of `interval`, if there is one."""
        if interval is None:
            return self
        return self.model_copy(update={"low": interval.low, "high": interval.high})

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def reference(self) -> int:
        """The words (or characters) of the references."""
        return self.hits + self.substitutions + self.deletions

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The 95 % interval; None where there is none.

        Where no error was made the bootstrap gives an interval of no width. It is then the rule
        of three, up to 3 / n (Hanley & Lippman-Hand 1983, "If nothing goes wrong, is everything
        all right?").
        """
        if self.low is None or self.high is None or not self.reference:
            return None
        return (self.low, self.high) if self.errors else (0.0, min(1.0, 3 / self.reference))


def word_errors(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorRate:
    """The word error rate over all utterances, as jiwer counts it.

    Texts are compared as they are, so normalise them first. Words are split at white space.

    Raises:
        ValueError: the numbers of references and hypotheses differ.
    """
    return _counts(jiwer.process_words, references, hypotheses, lambda text: text.count(" ") + 1)


def character_errors(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorRate:
    """The character error rate over all utterances; a space is a character.

    A character is what readers take for one: a grapheme cluster (UAX 29).

    Raises:
        ValueError: the numbers of references and hypotheses differ.
    """
    known: dict[str, str] = {}

    def single(text: str) -> str:
        """Each character of several code points as one of its own, of private use."""
        parts = characters(text)
        if len(parts) == len(text):
            return text
        return "".join(
            part if len(part) == 1 else known.setdefault(part, chr(0xF0000 + len(known)))
            for part in parts
        )

    ours, theirs = list(map(single, references)), list(map(single, hypotheses))
    return _counts(jiwer.process_characters, ours, theirs, len)


def _counts(
    process,
    references: Sequence[str],
    hypotheses: Sequence[str],
    units: Callable[[str], int],
) -> ErrorRate:
    """Counts of jiwer's `process`.

    A hypothesis that equals its reference needs no alignment: its hits are `units` of the text.
    """
    _check_lengths(references, hypotheses)
    hits, left = 0, []
    for pair in zip(references, hypotheses, strict=True):
        if pair[0] == pair[1] and pair[0] and _is_plain(pair[0]):
            hits += units(pair[0])
        else:
            left.append(pair)
    if not left:
        return ErrorRate.of(hits, 0, 0, 0)
    out = process(*map(list, zip(*left, strict=True)))
    return ErrorRate.of(hits + out.hits, out.substitutions, out.deletions, out.insertions)


def _is_plain(text: str) -> bool:
    """Whether white space is single spaces between words only, as a normaliser leaves it."""
    return text == " ".join(text.split())


def _check_lengths(references: Sequence[str], hypotheses: Sequence[str]) -> None:
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references, but {len(hypotheses)} hypotheses")


def rate_increase(streaming: ErrorRate, offline: ErrorRate) -> float | None:
    """Streaming minus offline error rate, of the same references; None where undefined.

    Raises:
        ValueError: the references differ in length.
    """
    if streaming.reference != offline.reference:
        raise ValueError(
            f"{streaming.reference} words of reference against {offline.reference}: "
            "these are not the same utterances"
        )
    if streaming.rate is None or offline.rate is None:
        return None
    return streaming.rate - offline.rate


class SpaceErrors(Record):
    """Word errors that are white space alone, as from words cut in two where a chunk ended.

    Attributes:
        spans: error spans that are equal once spaces are removed.
        errors: word errors in those spans.
        cut_words: spans with more words than the reference has.
        utterances_cut: utterances with a word cut in two.
        rate_without: the word error rate without these errors; None for empty references.
    """

    spans: Count
    errors: Count
    cut_words: Count
    utterances_cut: Count
    rate_without: float | None


def space_errors(
    references: Sequence[str], hypotheses: Sequence[str], words: ErrorRate | None = None
) -> SpaceErrors:
    """Which word errors are nothing but white space: "night fall" for "nightfall".

    A span is a longest run of words between two correct ones in jiwer's alignment. A model may
    write a word in two of its own accord: compare with the same count of its offline text.

    Args:
        references: normalised texts.
        hypotheses: the same.
        words: what `word_errors` gives for these texts, where it has been computed.

    Raises:
        ValueError: the numbers of references and hypotheses differ.
    """
    words = words or word_errors(references, hypotheses)
    spans = errors = cut_words = utterances_cut = 0
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        cut = 0
        for said, heard, count in _error_spans(reference, hypothesis):
            if "".join(said) == "".join(heard):
                spans += 1
                errors += count
                cut += len(heard) > len(said)
        cut_words += cut
        utterances_cut += cut > 0
    return SpaceErrors(
        spans=spans,
        errors=errors,
        cut_words=cut_words,
        utterances_cut=utterances_cut,
        rate_without=(words.errors - errors) / words.reference if words.reference else None,
    )


def _error_spans(reference: str, hypothesis: str) -> list[tuple[list[str], list[str], int]]:
    """(words of the reference, words of the hypothesis, word errors) of each span."""
    if reference == hypothesis:
        return []
    out = jiwer.process_words(reference, hypothesis)
    said, heard = out.references[0], out.hypotheses[0]
    found: list[tuple[list[str], list[str], int]] = []
    is_open = False
    for chunk in out.alignments[0]:
        if chunk.type == "equal":
            is_open = False
            continue
        ours = said[chunk.ref_start_idx : chunk.ref_end_idx]
        theirs = heard[chunk.hyp_start_idx : chunk.hyp_end_idx]
        before = found.pop() if is_open else ([], [], 0)
        count = before[2] + max(len(ours), len(theirs))
        found.append((before[0] + ours, before[1] + theirs, count))
        is_open = True
    return found
