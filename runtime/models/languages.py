"""The languages that speech models name, their ISO 639 codes, and what people call them."""

from __future__ import annotations

from collections.abc import Iterable

CODES = {
    "Arabic": "ar", "Cantonese": "yue", "Chinese": "zh", "Czech": "cs", "Danish": "da",
    "Dutch": "nl", "English": "en", "Filipino": "fil", "Finnish": "fi", "French": "fr",
    "German": "de", "Greek": "el", "Hindi": "hi", "Hungarian": "hu", "Indonesian": "id",
    "Italian": "it", "Japanese": "ja", "Korean": "ko", "Macedonian": "mk", "Malay": "ms",
    "Persian": "fa", "Polish": "pl", "Portuguese": "pt", "Romanian": "ro", "Russian": "ru",
    "Spanish": "es", "Swedish": "sv", "Thai": "th", "Turkish": "tr", "Vietnamese": "vi",
}  # fmt: skip
"""By the English name that Qwen3-ASR gives a language: the 30 that it was released for."""

DETECTED = frozenset({"auto", "detect"})
"""What people give for a language that is to be detected."""

_ALIASES = {
    "mandarin": "Chinese", "cmn": "Chinese", "zho": "Chinese", "chi": "Chinese", "farsi": "Persian",
    "tagalog": "Filipino", "tl": "Filipino", "castilian": "Spanish", "flemish": "Dutch",
    "moldavian": "Romanian", "bahasa indonesia": "Indonesian", "in": "Indonesian", "jp": "Japanese",
    "bahasa melayu": "Malay", "zh-yue": "Cantonese", "zsm": "Malay",
}  # fmt: skip


def is_detected(language: str | None) -> bool:
    """Whether a language that somebody gives means that it is to be detected."""
    return language is None or language.strip().casefold() in DETECTED


def language_name(language: str, names: Iterable[str] = CODES) -> str | None:
    """The one of `names` that a name, an ISO code or a locale means; None: none of them.

    What comes after the language is dropped: `fr-CA`, `zh_Hans`, `en_US.UTF-8`.
    """
    by_key = {name.casefold(): name for name in names}
    by_key |= {code: by_key[n.casefold()] for n, code in CODES.items() if n.casefold() in by_key}
    by_key |= {alias: n for alias, n in _ALIASES.items() if n in by_key.values()}
    key = language.strip().casefold().replace("_", "-")
    for candidate in (key, key.split(".")[0].split("-")[0]):
        if candidate in by_key:
            return by_key[candidate]
    return None


def language_code(name: str | None) -> str | None:
    """The ISO code of a language by its name; another name, and None, stay what they are."""
    return CODES.get(name, name) if name is not None else None
