"""Texts made comparable before they are scored: two normalisers, and scoring by character.

`basic` is that of the published tables: upper case, punctuation out. `whisper` is the English
normaliser of Whisper (Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak
Supervision", appendix C), which also evens out numbers, contractions, titles and spellings; for
other languages it is Whisper's basic one, which here keeps the marks of letters: in many scripts
they are vowels.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Literal

import regex

from ..corpora.matching import plain_text
from ..runtime.policy.words import NO_SPACE_LANGUAGES

Normaliser = Literal["basic", "whisper"]
NORMALISERS: tuple[Normaliser, ...] = ("basic", "whisper")

# Beyond those that the engine cuts into characters: no space stands between their words either.
SCORED_BY_CHARACTER = NO_SPACE_LANGUAGES | frozenset(
    {"thai", "th", "lao", "lo", "khmer", "km", "burmese", "my"}
)
_SPACELESS_SCRIPTS = ("CJK UNIFIED", "HIRAGANA", "KATAKANA", "THAI ", "LAO ", "KHMER ", "MYANMAR ")
# Typographic apostrophes, which the rules of contractions do not know.
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc\uff07\u00b4", "'"))
_ENGLISH = frozenset({"", "english", "en"})


def normalise(text: str, normaliser: Normaliser, language: str | None = None) -> str:
    """`text` as it is scored: units (words, or characters) with single spaces between.

    Args:
        text: a reference or a hypothesis. A character is a grapheme cluster (UAX 29).
        normaliser: see the module's head.
        language: of the *reference*, for both texts; None: not known.

    A language that is not known is taken for one without spaces by the script of the text: give
    both texts of a pair the same language to be sure (see `scoring_language`).
    """
    by_character = is_scored_by_character(text, language)
    key = _key(language)
    if normaliser == "basic":
        plain = basic(text)
    elif key in _ENGLISH and not by_character:
        plain = _whisper_english()(text.translate(_APOSTROPHES))
    else:
        plain = _whisper_other()(text.translate(_APOSTROPHES))
    if by_character:
        return " ".join(regex.findall(r"\X", "".join(plain.split())))
    return " ".join(plain.split())


@lru_cache(maxsize=100_000)
def units(text: str, language: str | None = None) -> str:
    """`text` as words are compared while a decoder is tuned: see `corpora.matching.plain_text`.

    Where it is scored by character, each grapheme cluster (UAX 29) is a unit.
    """
    plain = plain_text(text)
    if not is_scored_by_character(text, language):
        return plain
    return " ".join(regex.findall(r"\X", plain.replace(" ", "")))


def basic(text: str) -> str:
    """Upper case; punctuation and symbols out, with nothing in their place; single spaces.

    As the published tables have it, but that marks of other scripts (vowel signs) stay.
    """
    kept = (c for c in unicodedata.normalize("NFC", text) if unicodedata.category(c)[0] not in "PS")
    return " ".join("".join(kept).upper().split())


def is_scored_by_character(text: str, language: str | None = None) -> bool:
    """Whether words of this language, or where it is not known of this text, have no spaces."""
    key = _key(language)
    if key:
        return key in SCORED_BY_CHARACTER
    letters = [c for c in text if c.isalpha()]
    spaceless = sum(unicodedata.name(c, "").startswith(_SPACELESS_SCRIPTS) for c in letters)
    return 2 * spaceless > len(letters)


def scoring_language(reference: str, language: str | None) -> str | None:
    """A language to normalise a pair with: the one given, or one after the reference's script."""
    if _key(language):
        return language
    return "Chinese" if is_scored_by_character(reference) else None


def _key(language: str | None) -> str:
    """A language as it is looked up: without a region; nothing where it is to be detected."""
    key = (language or "").strip().casefold().replace("_", "-")
    return "" if key in ("auto", "detect", "none") else key.split("-")[0]


@cache
def _whisper_english() -> Callable[[str], str]:
    from whisper_normalizer.english import EnglishTextNormalizer

    return EnglishTextNormalizer()


@cache
def _whisper_other() -> Callable[[str], str]:
    from whisper_normalizer.basic import BasicTextNormalizer

    return BasicTextNormalizer(preserve_marks=True)
