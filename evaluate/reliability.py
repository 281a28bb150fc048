"""Whether the probability of a committed word says how often such a word is right.

The calibration error is that of Naeini et al. 2015, "Obtaining Well Calibrated Probabilities Using
Bayesian Binning", with bins of as many words each (probabilities crowd near 1): the mean distance
between the share of words that were right and their mean probability, weighted by words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..corpora.matching import match_words, normalised
from ..runtime.policy.words import split_words
from .record import Count, Fraction, Record

if TYPE_CHECKING:
    from .result import Observation

BINS = 10
_LEAST_WORDS = 5  # in a bin


class ReliabilityBin(Record):
    """Words of like probability: how many, their mean probability, and how many were right."""

    words: Count
    mean_probability: Fraction
    right: Count


class Reliability(Record):
    """Of all committed words of which the probability is known.

    Attributes:
        words: how many.
        right: those that are words of the reference, in their place, case and punctuation aside.
        mean_probability: over all words.
        calibration_error: see the module's head.
        bins: by ascending probability.
    """

    words: Count
    right: Count
    mean_probability: Fraction
    calibration_error: Fraction
    bins: list[ReliabilityBin]


def judged(observation: Observation) -> list[tuple[float, bool]]:
    """The probability of each committed word that has one, and whether the word was right."""
    words = [word for word in observation.words or () if normalised(word.text)]
    # As the decoder cuts words: characters where a script has no spaces.
    reference = [word.text for word in split_words([observation.reference.encode()])]
    matches = match_words([word.text for word in words], reference)
    right = {match.hypothesis for match in matches if match.equal}
    return [
        (word.probability, index in right)
        for index, word in enumerate(words)
        if word.probability is not None
    ]


def reliability(observations: Iterable[Observation]) -> Reliability | None:
    """Over all committed words; None where there are none with a probability."""
    return of_pairs([pair for one in observations for pair in judged(one)])


def of_pairs(pairs: Sequence[tuple[float, bool]]) -> Reliability | None:
    """Of words with their probability, and whether they were right; None if there are none."""
    if not pairs:
        return None
    ordered = np.array(sorted(pairs, key=lambda pair: pair[0]), float)  # [words, 2]
    count = max(1, min(BINS, len(ordered) // _LEAST_WORDS))
    # Words of one probability are in one bin.
    edges = np.arange(1, count) * len(ordered) // count
    edges = np.unique(np.searchsorted(ordered[:, 0], ordered[edges, 0]))
    parts = np.split(ordered, edges[edges > 0])
    apart = [abs(float(part[:, 0].mean() - part[:, 1].mean())) * len(part) for part in parts]
    return Reliability(
        words=len(ordered),
        right=int(ordered[:, 1].sum()),
        mean_probability=float(ordered[:, 0].mean()),
        calibration_error=sum(apart) / len(ordered),
        bins=[
            ReliabilityBin(
                words=len(part),
                mean_probability=float(part[:, 0].mean()),
                right=int(part[:, 1].sum()),
            )
            for part in parts
        ],
    )
