"""How long a word lasts at least: audio that was spent on words is not spent again.

Knows letters and seconds; nothing of models or of audio.
"""

from __future__ import annotations

from collections.abc import Sequence

from .words import TokenWord

LEAST_WORD_S = 0.06
"""The shortest words of fast speech, an "a" or an "of", last as long."""
LEAST_LETTER_S = 0.03
"""The fastest speakers say some 25 letters a second."""
JITTER_S = 0.1
"""So far before a word its heads may look, and be right: a frame of 80 ms."""
LEAST_AGAIN_S = 0.1
"""Nobody says a word a second time sooner after it began."""


def least_s(text: str) -> float:
    """Seconds that a word lasts at least, however fast it is spoken."""
    return max(LEAST_WORD_S, LEAST_LETTER_S * sum(map(str.isalnum, text)))


def least_seconds(words: Sequence[TokenWord], tokens: int) -> list[float]:
    """[tokens], seconds that the words which start in each of `tokens` tokens last at least."""
    seconds = [0.0] * tokens
    for word in words:
        seconds[word.tokens.start] += least_s(word.text)
    return seconds
