"""What became of texts that a decoder showed and then changed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise


def settled(texts: Sequence[str]) -> list[int]:
    """For each word of the last text, the first of `texts` from which on it stays.

    A word stays while it and all before it are the same in every later text.
    """
    last = texts[-1].split()
    since = [len(texts) - 1] * len(last)
    same = len(last)
    for index in range(len(texts) - 1, -1, -1):
        shown = texts[index].split()
        common = 0
        while common < min(same, len(shown)) and shown[common] == last[common]:
            common += 1
        same = common
        since[:same] = [index] * same
    return since


def rewrites(texts: Sequence[str]) -> int:
    """How many times a text was not the one before it with more at its end."""
    return sum(not after.startswith(before) for before, after in pairwise(texts))
