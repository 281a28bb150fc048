"""How words are laid out in subtitles: which words a cue has, where its lines break, how long it
stands.

As editors of subtitles ask: lines of at most 42 characters, two of them, for 1 to 7 s, cut at
punctuation and pauses (BBC Subtitle Guidelines; Netflix Timed Text Style Guide).
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from ...errors import InputError
from .word import Word, joined

LEAST_S, MOST_S = 1.0, 7.0
"""How long a cue stands. Less only where the next one must begin."""
PAUSE_S = 1.0
"""A pause that ends a cue."""

_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？", "؟", "।")
_CLAUSE_ENDS = (",", ";", ":", "–", "—", "、", "，", "；", "：", "،")
_CLOSING = "\"'”’»)]"
# How much a cut is worth, where a cue that is full counts 1.5.
_SENTENCE, _CLAUSE, _OF_A_SECOND, _FULL, _TOO_SHORT = 3.0, 1.5, 2.0, 1.5, -5.0


@dataclass(frozen=True)
class CueLayout:
    """How much a cue may hold.

    Attributes:
        max_line_chars: characters in a line; those of double width, as in Chinese, count two.
        max_lines: lines in a cue.

    Raises:
        InputError: a number that leaves no room for words.
    """

    max_line_chars: int = 42
    max_lines: int = 2

    def __post_init__(self) -> None:
        for name, least, most in (("max_line_chars", 10, 1000), ("max_lines", 1, 10)):
            value = getattr(self, name)
            if not least <= value <= most:
                raise InputError(
                    f"{name} is {value}, expected {least} to {most}", arguments=(name,)
                )


@dataclass(frozen=True)
class Cue:
    """One cue.

    Attributes:
        words: in it; of a word that is longer than a line, pieces.
        lines: its text.
        start_s, end_s: when it is shown.
    """

    words: tuple[Word, ...]
    lines: tuple[str, ...]
    start_s: float
    end_s: float


def laid_out(words: Sequence[Word], layout: CueLayout, lead: str = "") -> list[Cue]:
    """The cues of `words`. `lead` is shown before the first word of each."""
    made = cues(words, layout, lead)
    found = []
    for cue, following in zip_longest(made, made[1:]):
        start_s = cue[0].start_s
        until_s = following[0].start_s if following else math.inf
        end_s = min(max(cue[-1].end_s, start_s + LEAST_S), start_s + MOST_S)
        if until_s > start_s:
            end_s = min(end_s, until_s)  # long enough to be read, but not into the next
        found.append(Cue(tuple(cue), tuple(_lines(cue, layout, lead)), start_s, end_s))
    return found


def cues(words: Sequence[Word], layout: CueLayout, lead: str = "") -> list[list[Word]]:
    """Words in cues. What comes later changes the last one only."""
    made: list[list[Word]] = []
    left = [piece for word in words for piece in _pieces(word, layout)]
    while left:
        size = _first_cue(left, layout, lead)
        made.append(left[:size])
        left = left[size:]
    return made


def _first_cue(words: Sequence[Word], layout: CueLayout, lead: str) -> int:
    """How many of the words the first cue has."""
    first = words[0]
    for size in range(1, len(words)):
        last, following = words[size - 1], words[size]
        lasts_s = following.start_s - first.start_s
        if following.start_s - last.end_s > PAUSE_S:
            return size
        if _ends(last, _SENTENCE_ENDS) and lasts_s >= LEAST_S:
            return size
        is_long = following.end_s - first.start_s > MOST_S
        if is_long or not _fits(words[: size + 1], layout, lead):
            return max(range(1, size + 1), key=lambda cut: (_worth(words, cut, layout), cut))
    return len(words)


def _worth(words: Sequence[Word], cut: int, layout: CueLayout) -> float:
    """How good it is to end a cue before the word at `cut`."""
    last, following = words[cut - 1], words[cut]
    room = layout.max_line_chars * layout.max_lines
    worth = _FULL * min(1.0, width(joined(words[:cut])) / room)
    worth += _OF_A_SECOND * min(max(following.start_s - last.end_s, 0.0), 1.0)
    if _ends(last, _SENTENCE_ENDS):
        worth += _SENTENCE
    elif _ends(last, _CLAUSE_ENDS):
        worth += _CLAUSE
    is_short = following.start_s - words[0].start_s < LEAST_S
    return worth + (_TOO_SHORT if is_short or not _may_begin(following) else 0.0)


def _ends(word: Word, marks: tuple[str, ...]) -> bool:
    return word.text.rstrip(_CLOSING).endswith(marks)


def _may_begin(word: Word) -> bool:
    """Whether a line may begin with it: not with a punctuation mark that stands alone."""
    return not all(unicodedata.category(c) in ("Pe", "Pf", "Po") for c in word.text)


def _fits(words: Sequence[Word], layout: CueLayout, lead: str) -> bool:
    return len(_filled(words, layout.max_line_chars, lead)) <= layout.max_lines


def _filled(words: Sequence[Word], most: int, lead: str) -> list[list[Word]]:
    """The words in lines, each as full as it can be."""
    lines: list[list[Word]] = []
    for word in words:
        before = lead if len(lines) <= 1 else ""
        if lines and (not _may_begin(word) or width(before + _text([*lines[-1], word])) <= most):
            lines[-1].append(word)
        else:
            lines.append([word])
    return lines


def _lines(words: Sequence[Word], layout: CueLayout, lead: str) -> list[str]:
    """As few lines as it takes, as even as they can be; of two, the first ends at punctuation."""
    count = len(_filled(words, layout.max_line_chars, lead))
    most = layout.max_line_chars
    while len(_filled(words, most - 1, lead)) == count and most > 1:
        most -= 1
    made = _filled(words, most, lead)
    if count == 2:
        fitting = [
            cut
            for cut in range(1, len(words))
            if _may_begin(words[cut])
            and width(lead + _text(words[:cut])) <= layout.max_line_chars
            and width(_text(words[cut:])) <= layout.max_line_chars
        ]
        if fitting:
            cut = min(fitting, key=lambda at: _unevenness(words, at, lead))
            made = [list(words[:cut]), list(words[cut:])]
    texts = [_text(line) for line in made]
    return [lead + texts[0], *texts[1:]]


def _unevenness(words: Sequence[Word], cut: int, lead: str) -> float:
    first, second = width(lead + _text(words[:cut])), width(_text(words[cut:]))
    at_punctuation = _ends(words[cut - 1], _SENTENCE_ENDS + _CLAUSE_ENDS)
    return abs(first - second) - (12 if at_punctuation else 0)


def _text(words: Sequence[Word]) -> str:
    return in_a_line(joined(words))


def _pieces(word: Word, layout: CueLayout) -> list[Word]:
    """The word, or of one that is longer than a line, pieces that are not."""
    most = layout.max_line_chars
    if width(word.text) <= most:
        return [word]
    texts = [""]
    for character in word.text:
        if texts[-1] and width(texts[-1] + character) > most:
            texts.append("")
        texts[-1] += character
    starts = [sum(map(len, texts[:at])) / len(word.text) for at in range(len(texts) + 1)]
    lasts_s = word.end_s - word.start_s
    found = [
        replace(
            word,
            text=text,
            start_s=word.start_s + lasts_s * starts[at],
            end_s=word.start_s + lasts_s * starts[at + 1],
            space_before=False,
            space="",
        )
        for at, text in enumerate(texts)
    ]
    found[0] = replace(found[0], space_before=word.space_before, space=word.space)
    return found


def width(text: str) -> int:
    """Columns that a text takes: two for a letter of double width, none for a mark."""
    return sum(
        0
        if unicodedata.category(c) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(c) in "WF"
        else 1
        for c in text
    )


def in_a_line(text: str) -> str:
    """`text` without what would break a line or drive a terminal. Other white space stays, and
    the joiners that scripts are written with."""
    return "".join(
        c if c.isprintable() or unicodedata.category(c) in ("Zs", "Cf") else " " for c in text
    )
