"""Matches the words of a hypothesis to those of a reference, by edit alignment."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import jiwer


@dataclass(frozen=True)
class WordMatch:
    """A pair of word indices, one in each text; `equal` or a substitution."""

    hypothesis: int
    reference: int
    equal: bool


def normalised(word: str) -> str:
    """`word` in lower case and without punctuation; may be empty.

    Letters and numbers stay, with the marks on them: of Hindi they are the vowels.
    """
    text = unicodedata.normalize("NFKC", word).lower()
    if text.isalnum():
        return text
    kept = "".join(c for c in text if unicodedata.category(c)[0] in "LNM")
    return kept if any(c.isalnum() for c in kept) else ""


def plain_text(text: str) -> str:
    """`text` in the form in which words are compared: normalised words and single spaces."""
    return " ".join(filter(None, map(normalised, text.split())))


def match_words(hypothesis: Sequence[str], reference: Sequence[str]) -> list[WordMatch]:
    """Pairs of equal or substituted words in the alignment with the least edit distance.

    Words are compared after `normalised`. Words that are only punctuation are left out.
    """
    hypothesis_at = [i for i, word in enumerate(hypothesis) if normalised(word)]
    reference_at = [i for i, word in enumerate(reference) if normalised(word)]
    if not hypothesis_at or not reference_at:
        return []
    output = jiwer.process_words(
        " ".join(normalised(reference[i]) for i in reference_at),
        " ".join(normalised(hypothesis[i]) for i in hypothesis_at),
    )
    matches = []
    for chunk in output.alignments[0]:
        if chunk.type not in ("equal", "substitute"):
            continue
        for r, h in zip(
            range(chunk.ref_start_idx, chunk.ref_end_idx),
            range(chunk.hyp_start_idx, chunk.hyp_end_idx),
            strict=True,
        ):
            matches.append(WordMatch(hypothesis_at[h], reference_at[r], chunk.type == "equal"))
    return matches
