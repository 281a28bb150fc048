"""Texts made comparable before they are scored: two normalisers, and what an error is an error of.

`basic` is that of the published tables: upper case, punctuation out. `whisper` is the English
normaliser of Whisper (Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak
Supervision", appendix C), which also evens out numbers, contractions, titles and spellings; for
other languages it is Whisper's basic one, which here keeps the marks of letters: in many scripts
they are vowels.

The unit is decided by the script of the reference, as a decoder's words are: words (the rate of
errors is a WER), characters in scripts without spaces (CER), or in a text that has both, its
characters and its words (mixed error rate, MER: Vu et al. 2012, "A first speech recognition system
for Mandarin-English code-switch conversational speech").
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from typing import Literal

from ..corpora.matching import APOSTROPHES, plain_text
from ..runtime.policy.words import (
    NO_SPACE_LANGUAGES,
    characters,
    has_spaced,
    has_unspaced,
    words_of,
)

Normaliser = Literal["basic", "whisper"]
NORMALISERS: tuple[Normaliser, ...] = ("basic", "whisper")
Unit = Literal["word", "character", "mixed"]
ErrorName = Literal["WER", "CER", "MER"]

_NAMES: dict[Unit, ErrorName] = {"word": "WER", "character": "CER", "mixed": "MER"}
# Beyond those that the engine cuts into characters: no space stands between their words either.
_SCORED_BY_CHARACTER = NO_SPACE_LANGUAGES | frozenset(
    {"thai", "th", "lao", "lo", "khmer", "km", "burmese", "my"}
)
_ENGLISH = frozenset({"", "english", "en"})
_TURKISH = frozenset({"turkish", "tr"})
_TURKISH_CASE = str.maketrans({"I": "\u0131", "\u0130": "i"})
_LATIN_MARKS = range(0x300, 0x370)


def unit_of(reference: str, language: str | None = None) -> Unit:
    """What an error against `reference` is an error of.

    The language decides for a text without letters only: `10` is two characters in Chinese.
    """
    if has_unspaced(reference):
        return "mixed" if has_spaced(reference) else "character"
    if has_spaced(reference):
        return "word"
    return "character" if _key(language) in _SCORED_BY_CHARACTER else "word"


def error_name(references: Iterable[tuple[str, Unit]]) -> ErrorName:
    """What the rate of errors over all of these texts, each with its unit, is called."""
    pairs = list(references)
    # Numbers alone are of any script.
    lettered = [pair for pair in pairs if any(map(str.isalpha, pair[0]))]
    names: set[ErrorName] = {_NAMES[unit] for _, unit in lettered or pairs}
    if len(names) == 1:
        return names.pop()
    return "MER" if names else "WER"


def normalise(
    text: str, normaliser: Normaliser, language: str | None = None, reference: str | None = None
) -> str:
    """`text` as it is scored: its units with single spaces between.

    Args:
        text: a reference or a hypothesis.
        normaliser: see the module's head.
        language: of the reference, for both texts; None: not known, English if it is Latin script.
        reference: the other text where `text` is a hypothesis: it decides for both.
    """
    decisive = text if reference is None else reference
    if normaliser == "basic":
        plain = basic(text)
    elif _is_english(decisive, language):
        plain = _whisper_english()(text.translate(APOSTROPHES))
    else:
        plain = _whisper_other()(_cased(text.translate(APOSTROPHES), language))
    return _cut(plain, unit_of(decisive, language))


@lru_cache(maxsize=100_000)
def units(text: str, language: str | None = None, reference: str | None = None) -> str:
    """The units of `text` as they are compared while a decoder is tuned.

    Normalised as in `corpora.matching.plain_text`; see `normalise` for the arguments.
    """
    decisive = text if reference is None else reference
    return _cut(plain_text(_cased(text, language)), unit_of(decisive, language))


def basic(text: str) -> str:
    """Upper case; punctuation and symbols out, with nothing in their place; single spaces.

    As the published tables have it, but that marks of other scripts (vowel signs) stay, and that
    apostrophes go that are letters by Unicode.
    """
    composed = unicodedata.normalize("NFC", text.translate(APOSTROPHES))
    kept = (c for c in composed if unicodedata.category(c)[0] not in "PS")
    return " ".join("".join(kept).upper().replace("\u0130", "I").split())


def _cut(plain: str, unit: Unit) -> str:
    if unit == "word":
        return " ".join(plain.split())
    if unit == "character":
        return " ".join(characters("".join(plain.split())))
    return " ".join(words_of(plain))


def _is_english(reference: str, language: str | None) -> bool:
    """Whether the English rules, which drop marks, are for a text."""
    if _key(language) not in _ENGLISH or has_unspaced(reference):
        return False
    letters = [c for c in unicodedata.normalize("NFC", reference) if not c.isascii()]
    if any(unicodedata.category(c)[0] == "M" and ord(c) not in _LATIN_MARKS for c in letters):
        return False
    others = sum(c.isalpha() and not unicodedata.name(c, "").startswith("LATIN") for c in letters)
    return 2 * others <= sum(map(str.isalpha, reference))


def _cased(text: str, language: str | None) -> str:
    """`text` such that lower case is that of its language: of Turkish, `I` is not `i`."""
    if _key(language) in _TURKISH:
        return text.translate(_TURKISH_CASE)
    return text.replace("\u0130", "i")


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
