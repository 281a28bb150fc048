"""Which token of a text belongs to which gold word time.

Words of the hypothesis are matched to words of the reference by edit alignment; only words
that are equal (case and punctuation aside) are scored.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import jiwer
import numpy as np

from ..corpora import WordTime
from ..runtime.words import TokenWord

_NOT_WORD = re.compile(r"[^\w]|_")


@dataclass(frozen=True)
class TokenTargets:
    """The alignable tokens of one text, in order, with gold times in seconds; arrays are [n].

    `start_s` and `end_s` are the word's; `centre_s` is the token's own share of the word's
    span, by its bytes.
    """

    token: np.ndarray
    start_s: np.ndarray
    end_s: np.ndarray
    centre_s: np.ndarray

    def __len__(self) -> int:
        return len(self.token)


@dataclass(frozen=True)
class WordMatch:
    """Word `hypothesis` of one text stands for word `reference` of the other."""

    hypothesis: int
    reference: int
    equal: bool


def normalised(word: str) -> str:
    """Lower case, without punctuation; may be empty."""
    return _NOT_WORD.sub("", unicodedata.normalize("NFKC", word).lower())


def match_words(hypothesis: Sequence[str], reference: Sequence[str]) -> list[WordMatch]:
    """Pairs of words by least edit distance over normalised words, equal or substituted.

    Words that are nothing but punctuation take no part.
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


def token_targets(words: Sequence[TokenWord], gold: Sequence[WordTime]) -> TokenTargets:
    """Gold times for the tokens of the words that match the gold words."""
    token, start, end, centre = [], [], [], []
    matches = match_words([w.text for w in words], [w.text for w in gold])
    for match in matches:
        if not match.equal:
            continue
        word, time = words[match.hypothesis], gold[match.reference]
        for index, (before, after) in zip(word.tokens, word.spans, strict=True):
            token.append(index)
            start.append(time.start_s)
            end.append(time.end_s)
            centre.append(time.start_s + (before + after) / 2 * (time.end_s - time.start_s))
    return TokenTargets(
        np.array(token, int), np.array(start), np.array(end), np.array(centre, float)
    )
