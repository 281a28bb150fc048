"""Plain re-decoding with LocalAgreement-2: what streams Whisper where nothing looks at attention.

Polák et al. 2022, "CUNI-KIT System for Simultaneous Speech Translation Task at IWSLT 2022", and
Macháček et al. 2023, "Turning Whisper into Real-Time Transcription System" (whisper_streaming):
each step decodes the whole buffer anew, and what two steps in a row agree on is committed. That
system finds the words that follow the committed ones by their times; here they are aligned, so that
no attention is needed. The buffer is never cut: utterances fit into it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

import numpy as np
from rapidfuzz.distance import Levenshtein

from alignheads.corpora.matching import normalised


class LocalAgreement:
    """One stream: `feed` and `finish` return the words that are committed, for good."""

    def __init__(self, transcribe: Callable[[np.ndarray], str], min_samples: int = 0) -> None:
        self._transcribe = transcribe
        self._min_samples = min_samples
        self._buffer = np.zeros(0, np.float32)
        self._committed: list[str] = []
        self._latest: list[str] = []

    def feed(self, samples: np.ndarray) -> list[str]:
        """Take samples [n] and decode all there are."""
        self._buffer = np.concatenate([self._buffer, samples])
        if len(self._buffer) < self._min_samples:
            return []
        before = self._latest
        self._latest = self._transcribe(self._buffer).split()
        rest = continuation(self._committed, self._latest)
        agreed = common_prefix(continuation(self._committed, before), rest)
        self._committed += rest[:agreed]
        return rest[:agreed]

    def finish(self) -> list[str]:
        """The rest of the latest hypothesis; nothing is decoded."""
        rest = continuation(self._committed, self._latest)
        self._committed += rest
        return rest


def common_prefix(first: Sequence[str], second: Sequence[str]) -> int:
    """How many words two hypotheses begin with alike; case and punctuation do not count."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if normalised(one) != normalised(other):
            break
        count += 1
    return count


def continuation(committed: Sequence[str], hypothesis: Sequence[str]) -> list[str]:
    """What `hypothesis` says after the committed words, however it spells these.

    They are taken for its first words: as many as have the least edit distance from them in
    letters, so that "it is" may have become "it's"; of several such numbers the nearest to theirs.
    """
    said = "".join(map(normalised, committed))
    heard = list(accumulate(map(normalised, hypothesis), initial=""))

    def distance(count: int) -> tuple[int, int]:
        return Levenshtein.distance(said, heard[count]), abs(count - len(committed))

    return list(hypothesis[min(range(len(heard)), key=distance) :])
