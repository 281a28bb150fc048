"""How right the words of a text are: error rates, and errors that are white space alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jiwer


@dataclass(frozen=True)
class ErrorCounts:
    """Edits between references and hypotheses, of words or of characters."""

    hits: int
    substitutions: int
    deletions: int
    insertions: int

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def reference(self) -> int:
        """The words or characters of the references."""
        return self.hits + self.substitutions + self.deletions

    @property
    def rate(self) -> float | None:
        """The error rate, errors / reference; 1 is 100 %. None for empty references."""
        return self.errors / self.reference if self.reference else None


def word_errors(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorCounts:
    """The counts of the word error rate over all utterances, by jiwer.

    Texts come normalised: what differs is an error. Words are split at white space.

    Raises:
        ValueError: not as many hypotheses as references.
    """
    return _counts(jiwer.process_words, references, hypotheses, lambda text: text.count(" ") + 1)


def character_errors(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorCounts:
    """The counts of the character error rate; a space is a character.

    Raises:
        ValueError: not as many hypotheses as references.
    """
    return _counts(jiwer.process_characters, references, hypotheses, len)


def _counts(
    process,
    references: Sequence[str],
    hypotheses: Sequence[str],
    units: Callable[[str], int],
) -> ErrorCounts:
    """Counts of jiwer's `process`; `units` of a text that is right need no alignment."""
    _check_lengths(references, hypotheses)
    hits, left = 0, []
    for pair in zip(references, hypotheses, strict=True):
        if pair[0] == pair[1] and pair[0] and _is_plain(pair[0]):
            hits += units(pair[0])
        else:
            left.append(pair)
    if not left:
        return ErrorCounts(hits, 0, 0, 0)
    out = process(*map(list, zip(*left, strict=True)))
    return ErrorCounts(hits + out.hits, out.substitutions, out.deletions, out.insertions)


def _is_plain(text: str) -> bool:
    """White space is single spaces between words, as a normaliser leaves it."""
    return text == " ".join(text.split())


def _check_lengths(references: Sequence[str], hypotheses: Sequence[str]) -> None:
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references, but {len(hypotheses)} hypotheses")


def rate_increase(streaming: ErrorCounts, offline: ErrorCounts) -> float | None:
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


@dataclass(frozen=True)
class SpaceErrors:
    """Errors in white space alone, as from words cut in two where a chunk ended.

    Attributes:
        words: counts of all words, these errors included.
        spans: error spans that are equal once spaces are removed.
        errors: word errors in those spans.
        cut_words: spans with more words than the reference has.
        utterances: utterances in all.
        utterances_cut: utterances with a word cut in two.
    """

    words: ErrorCounts
    spans: int
    errors: int
    cut_words: int
    utterances: int
    utterances_cut: int

    @property
    def rate_without(self) -> float | None:
        """The word error rate without the errors of white space alone."""
        if not self.words.reference:
            return None
        return (self.words.errors - self.errors) / self.words.reference

    @property
    def share_cut(self) -> float | None:
        """The share of utterances with a word cut in two."""
        return self.utterances_cut / self.utterances if self.utterances else None


def space_errors(references: Sequence[str], hypotheses: Sequence[str]) -> SpaceErrors:
    """Which word errors are nothing but white space: "night fall" for "nightfall".

    A span is a longest run of words between two correct ones in jiwer's alignment. A model may
    write a word in two of its own accord: compare with the same count of its offline text.

    Args:
        references: normalised texts.
        hypotheses: the same.

    Raises:
        ValueError: not as many hypotheses as references.
    """
    words = word_errors(references, hypotheses)
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
    return SpaceErrors(words, spans, errors, cut_words, len(references), utterances_cut)


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
