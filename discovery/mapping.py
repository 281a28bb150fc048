"""Which token of a text belongs to which gold word time.

Words of the hypothesis are matched to words of the reference by edit alignment; only words
that are equal (case and punctuation aside) are scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..corpora import WordTime
from ..corpora.matching import WordMatch, match_words, normalised
from ..corpora.words import split_timed
from ..runtime.policy.words import TokenWord, words_of

__all__ = ["TokenTargets", "WordMatch", "match_words", "normalised", "token_targets"]


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


def token_targets(words: Sequence[TokenWord], gold: Sequence[WordTime]) -> TokenTargets:
    """Gold times for the tokens of the words that match the gold words.

    A gold word of several characters in a script without spaces counts as its characters.
    """
    gold = split_timed(gold, words_of)
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
