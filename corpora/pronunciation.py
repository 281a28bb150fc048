"""Pronunciations by rule, for English words that the dictionary of an aligner lacks.

The rules are approximate. Forced alignment needs only phones of about the right kind and number,
because the neighbouring words are known. Longer spellings are matched first. Phones are ARPAbet, as
in CMUdict.
"""

from __future__ import annotations

import re
import unicodedata

_PHONES_OF_SPELLING = {
    "tion": "SH AH N", "sion": "ZH AH N", "ough": "AO", "augh": "AO", "eigh": "EY",
    "igh": "AY", "tch": "CH", "sch": "SH", "dge": "JH",
    "ch": "CH", "sh": "SH", "th": "TH", "ph": "F", "wh": "W", "ck": "K", "ng": "NG", "qu": "K W",
    "gh": "G", "kn": "N", "wr": "R", "ce": "S EH", "ci": "S IH", "cy": "S IY", "ge": "JH EH",
    "ee": "IY", "ea": "IY", "oo": "UW", "ou": "AW", "ow": "OW", "oi": "OY", "oy": "OY",
    "ai": "EY", "ay": "EY", "au": "AO", "aw": "AO", "ew": "UW", "ie": "IY", "ei": "EY", "oa": "OW",
    "ar": "AA R", "er": "ER", "ir": "ER", "ur": "ER", "or": "AO R",
    "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH",
    "j": "JH", "k": "K", "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P", "q": "K", "r": "R",
    "s": "S", "t": "T", "u": "AH", "v": "V", "w": "W", "x": "K S", "y": "IY", "z": "Z",
    "0": "Z IH R OW", "1": "W AH N", "2": "T UW", "3": "TH R IY", "4": "F AO R",
    "5": "F AY V", "6": "S IH K S", "7": "S EH V AH N", "8": "EY T", "9": "N AY N",
}  # fmt: skip
_SPELLING = re.compile("|".join(sorted(_PHONES_OF_SPELLING, key=len, reverse=True)))
_DOUBLED = re.compile(r"([b-df-hj-np-tv-z])\1+")
_SILENT_E = re.compile(r"(?<=[aeiouy])([b-df-hj-np-tv-xz]+)e(?=s?$)")


def english_spelling(word: str) -> str:
    """The Latin letters, digits and apostrophes of `word`, in lower case and without accents."""
    plain = unicodedata.normalize("NFKD", word.casefold().replace("’", "'"))
    return re.sub(r"[^a-z0-9']", "", plain).strip("'")


def pronounce(spelling: str) -> str | None:
    """The phones of an `english_spelling`, separated by spaces; None if there are none."""
    if spelling.endswith("'s"):
        stem = pronounce(spelling[:-2])
        return stem and f"{stem} Z"
    letters = _SILENT_E.sub(r"\1", _DOUBLED.sub(r"\1", spelling.replace("'", "")))
    return " ".join(_PHONES_OF_SPELLING[part] for part in _SPELLING.findall(letters)) or None
