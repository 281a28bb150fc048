"""Whether a model says what it was told instead of what it hears. Knows text; no model, no audio.

A model that is told names may write them where nothing, or noise, is heard. What it was told and
writes is an echo where, without having been told, it hears nothing that sounds alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from itertools import pairwise

from ...corpora.matching import normalised
from ..policy.words import split_words

MANY_WORDS = 3
"""So many words of the context in a row are seldom said by chance."""
_ALIKE = 0.5  # of the letters: "Kubernetes" is heard as "cooper nettys", or "Anna Smith" is said
_TERM_ENDS = re.compile(r"[\n,;:.!?()\u3001\u3002\uff0c\uff1b\uff1a\uff01\uff1f]+")


def letters_of(text: str) -> str:
    """What of a text counts when it is compared: not its case, punctuation or white space."""
    return "".join(map(normalised, text.split()))


class Echo:
    """Finds what was told, the `context`, in what is said."""

    def __init__(self, context: str) -> None:
        terms = [_words([term.encode()]) for term in _TERM_ENDS.split(context)]
        self._words = {word for term in terms for word in term}
        self._first = {term[0] for term in terms if term}
        self._pairs = {pair for term in terms for pair in pairwise(term)}

    def suspects(self, token_bytes: Iterable[bytes], *, is_start: bool = True) -> list[str]:
        """What in a text may be an echo: runs of words that were told just so, term by term.

        Args:
            token_bytes: of the text's tokens.
            is_start: nothing was said shortly before.

        Returns:
            The letters of each run of `MANY_WORDS`; of a shorter one if it is the whole text, or
            what a start begins with.
        """
        words = _words(token_bytes)
        runs: list[list[str]] = []
        for word in words:
            before = runs[-1] if runs else []
            if before and (word in self._first or (before[-1], word) in self._pairs):
                before.append(word)
            else:
                runs.append([word] if word in self._words else [])
        return [
            "".join(run)
            for index, run in enumerate(runs)
            if len(run) >= MANY_WORDS or (run and index == 0 and (is_start or len(runs) == 1))
        ]


def _words(token_bytes: Iterable[bytes]) -> list[str]:
    words = (letters_of(word.text) for word in split_words(token_bytes))
    return [word for word in words if word]


def are_heard_in(runs: Iterable[str], text: str) -> bool:
    """Whether each of `runs` sounds like some of `text`, which was written without being told."""
    return all(_is_heard_in(run, text) for run in runs)


def _is_heard_in(run: str, text: str) -> bool:
    heard, size = letters_of(text), len(run)
    matcher = SequenceMatcher(None, autojunk=False)
    matcher.set_seq2(run)
    for start in range(0, max(1, len(heard) - size + 1), max(1, size // 4)):
        matcher.set_seq1(heard[start : start + size + size // 4 + 1])
        if matcher.ratio() >= _ALIKE:
            return True
    return False
