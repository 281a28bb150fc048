"""From tokens to words, by byte offsets of the decoded text.

A token of a byte-level BPE may start with the space before its word, be a piece of a word,
or even a piece of a character: words are cut out of the text, and tokens found by offset.

Where a word ends is decided by the script it is written in, not by the name of a language: a
text may mix them. Unicode gives scripts and grapheme clusters (UAX 24 and 29, by `regex`).
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import regex

# The engine's own set, here without the engine: texts are scored where no model is loaded too.
NO_SPACE_LANGUAGES = frozenset(
    {"chinese", "zh", "zh-cn", "zh-tw", "cantonese", "yue", "japanese", "ja", "jp"}
)
_SPACE = r"\s\u200b"  # a zero width space ends a word, too: Khmer and Thai are written with it
_RUN = re.compile(rf"[^{_SPACE}]+")
_UNSHOWN = re.compile(rf"[{_SPACE}]*[\udc80-\udcff]*\Z")
_CLUSTER = regex.compile(r"\X")
_UNSPACED = regex.compile(
    r"""(?V1)[[
        \p{sc=Han} \p{sc=Hiragana} \p{sc=Katakana} [\p{scx=Katakana}&&\p{L}] \p{sc=Bopomofo}
        \p{sc=Yi} \p{sc=Nushu} \p{sc=Tangut}
        \p{sc=Thai} \p{sc=Lao} \p{sc=Khmer} \p{sc=Myanmar} \p{sc=Tai_Le} \p{sc=New_Tai_Lue}
        \p{sc=Tai_Tham} \p{sc=Tai_Viet} \p{sc=Ahom} \p{sc=Javanese} \p{sc=Balinese}
        \p{sc=Tibetan}
    ]--\p{P}]""".replace("\n", "").replace(" ", "")
)
_NO_BREAK_BEFORE = regex.compile(r"[\p{lb=CL}\p{lb=CP}\p{lb=EX}\p{lb=IS}\p{M}]")
_OPENING = ("Ps", "Pi")


@dataclass(frozen=True)
class TokenWord:
    """A word and the tokens that hold it.

    `tokens` is a range of token indices; `spans` gives, for each of them, the share of the
    word's bytes that lies before and up to the end of its own, 0 to 1. `space` is the white
    space between it and the word before, as the text has it.
    """

    text: str
    tokens: range
    spans: tuple[tuple[float, float], ...]
    space: str = ""


def split_words(
    token_bytes: Iterable[bytes], language: str | None = None, *, cuts: Container[int] = ()
) -> list[TokenWord]:
    """The words of a token sequence.

    White space ends a word, that of all Unicode. In scripts that are written without spaces
    (Chinese characters, kana, Thai, Lao, Khmer, Burmese, …) each grapheme cluster is a word, with
    the punctuation that no line may break before or after; a token of several characters belongs
    to each of them.

    Args:
        token_bytes: the bytes of each token.
        language: has no say, and is taken since callers know it: text in one language holds
            words of others.
        cuts: tokens that begin a word, wherever they are in one.
    """
    parts = list(token_bytes)
    ends = list(accumulate(map(len, parts)))
    # surrogateescape: a byte of an incomplete character is one character of the text, so
    # that offsets stay exact.
    text = b"".join(parts).decode("utf-8", errors="surrogateescape")
    byte_offset = list(accumulate((_byte_length(c) for c in text), initial=0))
    begin_bytes = {([0, *ends])[token] for token in range(len(parts)) if token in cuts}
    words, before = [], 0
    for first, last in _places(text):
        inner = [i for i in range(first + 1, last) if byte_offset[i] in begin_bytes]
        for start, end in zip([first, *inner], [*inner, last], strict=True):
            at = byte_offset[start], byte_offset[end]
            words.append(_word(text[start:end], *at, ends, text[before:start]))
            before = end
    return words


def words_of(text: str) -> list[str]:
    """The words of a text, as `split_words` makes them of tokens."""
    return [text[start:end] for start, end in _places(text)]


def characters(text: str) -> list[str]:
    """The characters of a text as readers count them: grapheme clusters."""
    return list(text) if text.isascii() else _CLUSTER.findall(text)


def has_unspaced(text: str) -> bool:
    """Whether a letter of a script that is written without spaces is in a text."""
    return not text.isascii() and _UNSPACED.search(text) is not None


def has_spaced(text: str) -> bool:
    """Whether a letter of a script that is written with spaces is in a text."""
    return any(c.isalpha() and not _UNSPACED.match(c) for c in text)


def _places(text: str) -> Iterator[tuple[int, int]]:
    """Where each word of a text starts and ends."""
    for run in _RUN.finditer(text):
        at, letters = run.start(), run.group()
        if _UNSPACED.search(letters):
            yield from ((at + start, at + end) for start, end in _places_unspaced(letters))
        else:
            yield run.span()


def _places_unspaced(run: str) -> Iterator[tuple[int, int]]:
    """Where each word of a text without white space starts and ends, if not all is one.

    What is no letter or number stays with what stands before it, opening punctuation with what
    comes after; letters of other scripts, and numbers, stay together.
    """
    start, letter, is_closed = 0, "", False
    for match in _CLUSTER.finditer(run):
        kind, is_wide = _kind(match.group()[0])
        is_new = {
            "unspaced": is_closed or letter != "",
            "spaced": is_closed or letter == "unspaced",
            "opening": is_closed or letter == "unspaced" or (letter == "spaced" and is_wide),
            "other": False,
        }[kind]
        if is_new:
            yield start, match.start()
            start, letter, is_closed = match.start(), "", False
        if kind == "other":
            # Full-width punctuation holds the space after it.
            is_closed |= is_wide
        elif kind != "opening":
            letter = kind
    yield start, len(run)


def _kind(character: str) -> tuple[str, bool]:
    """Of the first character of a cluster; and whether it is punctuation of full width."""
    category = unicodedata.category(character)
    if _UNSPACED.match(character):
        return "unspaced", False
    if category[0] in "LN":
        return "spaced", False
    is_wide = category[0] == "P" and _is_wide(character)
    return "opening" if category in _OPENING else "other", is_wide


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def space_between(before: str, after: str) -> str:
    """What stands between two words that were written apart: a space, or nothing where the
    script of one has none, or where the second is punctuation that no line may begin with."""
    if not before or not after or _NO_BREAK_BEFORE.match(after):
        return ""
    letters = [character for character in before if character.isalnum()]
    around = [*letters[-1:], after[0]]
    if _kind(before[-1])[1] or any(_UNSPACED.match(character) for character in around):
        return ""
    return " "


def whole_characters(token_bytes: Sequence[bytes]) -> list[bytes]:
    """The bytes of each token without those of characters that are not whole.

    A text may end inside a character, or hold a broken one. That is no text.
    """
    data = b"".join(token_bytes)
    try:
        data.decode("utf-8")
        return list(token_bytes)
    except UnicodeDecodeError:
        text = data.decode("utf-8", errors="surrogateescape")
    kept = bytearray()
    for character in text:
        kept += bytes([not "\udc80" <= character <= "\udcff"]) * _byte_length(character)
    parts, start = [], 0
    for part in token_bytes:
        flags = kept[start : start + len(part)]
        parts.append(bytes(byte for byte, is_kept in zip(part, flags, strict=True) if is_kept))
        start += len(part)
    return parts


def unshown(data: bytes) -> bytes:
    """What a text ends in that belongs to its next word: white space, a part of a character."""
    text = data.decode("utf-8", errors="surrogateescape")
    match = _UNSHOWN.search(text)
    assert match is not None
    return match.group().encode("utf-8", errors="surrogateescape")


def _byte_length(character: str) -> int:
    return len(character.encode("utf-8", errors="surrogateescape"))


def _word(text: str, start: int, end: int, token_ends: Sequence[int], space: str) -> TokenWord:
    first, last = bisect_right(token_ends, start), bisect_left(token_ends, end)
    spans, before = [], start
    for e in token_ends[first : last + 1]:
        after = min(e, end)
        spans.append(((before - start) / (end - start), (after - start) / (end - start)))
        before = after
    clean = text.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")
    return TokenWord(clean, range(first, last + 1), tuple(spans), space)
