"""From tokens to words, by byte offsets of the decoded text.

A token of a byte-level BPE may start with the space before its word, be a piece of a word,
or even a piece of a character: words are cut out of the text, and tokens found by offset.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

# The engine's own set, here without the engine: words are cut where no model is loaded too.
NO_SPACE_LANGUAGES = frozenset(
    {"chinese", "zh", "zh-cn", "zh-tw", "cantonese", "yue", "japanese", "ja", "jp"}
)
_WORD = re.compile(r"\S+")
_CHARACTER = re.compile(r"\S")


@dataclass(frozen=True)
class TokenWord:
    """A word and the tokens that hold it.

    `tokens` is a range of token indices; `spans` gives, for each of them, the share of the
    word's bytes that lies before and up to the end of its own, 0 to 1.
    """

    text: str
    tokens: range
    spans: tuple[tuple[float, float], ...]


def split_words(token_bytes: Iterable[bytes], language: str | None = None) -> list[TokenWord]:
    """The words of a token sequence, split at white space.

    Languages written without spaces (Chinese, Japanese, Cantonese) give one word a character;
    a token of several characters then belongs to each of them.
    """
    parts = list(token_bytes)
    ends = list(accumulate(map(len, parts)))
    # surrogateescape: a byte of an incomplete character is one character of the text, so
    # that offsets stay exact.
    text = b"".join(parts).decode("utf-8", errors="surrogateescape")
    byte_offset = list(accumulate((_byte_length(c) for c in text), initial=0))
    pattern = _WORD if has_spaces(language) else _CHARACTER
    words = []
    for match in pattern.finditer(text):
        start, end = byte_offset[match.start()], byte_offset[match.end()]
        words.append(_word(match.group(), start, end, ends))
    return words


def has_spaces(language: str | None) -> bool:
    """Whether `language` is written with spaces between words; one that is not known is."""
    key = (language or "").strip().casefold().replace("_", "-")
    return key not in NO_SPACE_LANGUAGES


def _byte_length(character: str) -> int:
    return len(character.encode("utf-8", errors="surrogateescape"))


def _word(text: str, start: int, end: int, token_ends: Sequence[int]) -> TokenWord:
    first = next(i for i, e in enumerate(token_ends) if e > start)
    last = next(i for i, e in enumerate(token_ends) if e >= end)
    spans, before = [], start
    for e in token_ends[first : last + 1]:
        after = min(e, end)
        spans.append(((before - start) / (end - start), (after - start) / (end - start)))
        before = after
    clean = text.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")
    return TokenWord(clean, range(first, last + 1), tuple(spans))
