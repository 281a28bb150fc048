"""Matches the words of a hypothesis to those of a reference, by edit alignment."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

APOSTROPHES = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201b\u02bb\u02bc\u02b9\u2032\u00b4`\uff07", "'")
)
"""What is written for an apostrophe, as plain ones. Two are letters by Unicode, some accents."""


@dataclass(frozen=True)
class WordMatch:
    """A pair of word indices, one in each text; `equal` or a substitution."""

    hypothesis: int
    reference: int
    equal: bool


@lru_cache(maxsize=100_000)
def normalised(word: str) -> str:
    """`word` in lower case and without punctuation; may be empty.

    Letters and numbers stay, with the marks on them: of Hindi they are the vowels. Apostrophes are
    punctuation, those too that Unicode calls letters.
    """
    if word.isascii() and word.isalnum():
        return word.lower()
    # Before NFKC, which makes marks of accents that stand alone.
    spoken = "".join(c for c in word.translate(APOSTROPHES) if unicodedata.category(c) != "Sk")
    text = unicodedata.normalize("NFKC", spoken).replace("\u0130", "i").lower()
    kept = "".join(c for c in text if c.isalnum() or unicodedata.category(c)[0] in "LNM")
    return kept if any(c.isalnum() for c in kept) else ""


def plain_text(text: str) -> str:
    """`text` in the form in which words are compared: normalised words and single spaces."""
    return " ".join(filter(None, map(normalised, text.split())))


def match_words(hypothesis: Sequence[str], reference: Sequence[str]) -> list[WordMatch]:
    """Pairs of equal or substituted words in the alignment with the least edit distance.

    Words are compared after `normalised`. Words that are only punctuation are left out.
    """
    import jiwer

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
