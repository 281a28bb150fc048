"""The languages that speech models name, and their ISO 639 codes."""

from __future__ import annotations

CODES = {
    "Arabic": "ar", "Cantonese": "yue", "Chinese": "zh", "Czech": "cs", "Danish": "da",
    "Dutch": "nl", "English": "en", "Filipino": "fil", "Finnish": "fi", "French": "fr",
    "German": "de", "Greek": "el", "Hindi": "hi", "Hungarian": "hu", "Indonesian": "id",
    "Italian": "it", "Japanese": "ja", "Korean": "ko", "Macedonian": "mk", "Malay": "ms",
    "Persian": "fa", "Polish": "pl", "Portuguese": "pt", "Romanian": "ro", "Russian": "ru",
    "Spanish": "es", "Swedish": "sv", "Thai": "th", "Turkish": "tr", "Vietnamese": "vi",
}  # fmt: skip
"""By the English name that Qwen3-ASR gives a language."""


def language_code(name: str | None) -> str | None:
    """The ISO code of a language by its name; another name, and None, stay what they are."""
    return CODES.get(name, name) if name is not None else None
