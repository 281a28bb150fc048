"""New positions of several texts, laid one after the other as if they were one text.

So the dense layers see all of them at once, which is where the weights are read, and nothing is
filled up to a common length. What a position attends to is its own text.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from .backend import mx

MOST_POSITIONS = 384
"""Of several prompts at once, at most. Until they are read, all have their caches of before
and those of after; with more, nothing is gained that could be measured."""


class Laid:
    """Where the positions of each text lie.

    Attributes:
        ends: of all positions, those that are wanted after the last layer.
    """

    def __init__(self, news: Sequence[int], lasts: Sequence[int]) -> None:
        """So many new positions of each text, of which the last ones are wanted."""
        self._news = list(news)
        self._lasts = [min(last, new) for last, new in zip(lasts, news, strict=True)]
        stops = accumulate(self._news)
        self.ends = [
            stop - last + place
            for stop, last in zip(stops, self._lasts, strict=True)
            for place in range(last)
        ]

    def new(self, x: mx.array) -> list[mx.array]:
        """Keys or values [1, heads, new, dim] of each text."""
        return _split(x, self._news, axis=2)

    def queried(self, q: mx.array) -> list[mx.array]:
        """Queries [1, heads, new, dim] of each text; or those of the positions wanted."""
        is_all = q.shape[2] == sum(self._news)
        return _split(q, self._news if is_all else self._lasts, axis=2)

    def wanted(self, rows: mx.array) -> list[mx.array]:
        """Rows of the positions wanted [wanted, n], of each text."""
        return _split(rows, self._lasts, axis=0)


def _split(x: mx.array, counts: Sequence[int], axis: int) -> list[mx.array]:
    return list(mx.split(x, list(accumulate(counts))[:-1], axis=axis))
