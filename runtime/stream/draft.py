"""What of a hypothesis waits: shown, and given out only once it is committed; and its repeats."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ...corpora.matching import normalised
from ..policy.words import TokenWord


class Draft:
    """The words of the last step that wait.

    Attributes:
        text: of them.
        start_s: where the first of them starts in the stream; infinity: none waits.
        looked_s: where it was looked at.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """None waits."""
        self.text = ""
        self._letters: list[str] = []
        self._goes_on = False
        self.place()

    def place(self, start_s: float = math.inf, looked_s: float = math.inf) -> None:
        """Say where the first word is."""
        self.start_s, self.looked_s = start_s, looked_s

    def hold(self, text: str, words: Iterable[TokenWord], *, goes_on: bool = False) -> None:
        """These wait; `goes_on`: so may others that were not decoded."""
        self.text, self._goes_on = text, goes_on
        self._letters = [_letters(word.text) for word in words]

    def unseen(self, words: Sequence[TokenWord], tokens: int) -> np.ndarray:
        """[tokens], whether a token's word is another than the one that waited in its place."""
        unseen = np.zeros(tokens, bool)
        for index, word in enumerate(words):
            if self._goes_on and index >= len(self._letters):
                continue
            if index >= len(self._letters) or _letters(word.text) != self._letters[index]:
                unseen[word.tokens] = True
        return unseen


def repeats(words: Sequence[TokenWord], tokens: int, before: str = "") -> list[bool]:
    """[tokens], whether the word that starts in each of `tokens` tokens is the one before it again.

    Words of one letter are not told: one in a script without spaces may be a part of a sound.

    Args:
        words: those of the hypothesis.
        tokens: in it.
        before: the word before them.
    """
    again = [False] * tokens
    last = _letters(before)
    for word in words:
        letters = _letters(word.text)
        again[word.tokens.start] = letters == last and sum(map(str.isalnum, letters)) > 1
        last = letters
    return again


def _letters(text: str) -> str:
    """What of a word counts when two are compared: not its case or punctuation."""
    return normalised(text) or text
