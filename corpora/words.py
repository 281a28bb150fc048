"""Checks and repairs of word times, and the comparison of timed words with a transcript."""

from __future__ import annotations

import math
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate, pairwise

from .audio import ROUNDING_S
from .matching import normalised
from .utterance import WordTime

UNKNOWN_WORD = "<unk>"
WIDENING_S = 0.04  # on each side of a zero-length word: half of the qwen3 aligner's grid
_SILENCES = frozenset({"", "sil", "sp", "<sil>", "<eps>", "<s>", "</s>", "<p:>", "<silence>"})


@dataclass(frozen=True)
class Repairs:
    """How many words were changed or dropped, by kind of fault."""

    out_of_order_dropped: int = 0
    overlaps_trimmed: int = 0
    zero_length_widened: int = 0
    zero_length_dropped: int = 0
    past_end_trimmed: int = 0
    past_end_dropped: int = 0

    def __add__(self, other: Repairs) -> Repairs:
        names = [field.name for field in fields(self)]
        return Repairs(*(getattr(self, name) + getattr(other, name) for name in names))


def is_silence(label: str) -> bool:
    """Whether a label of a TextGrid or CTM file means silence and not a word."""
    return label.strip().lower() in _SILENCES


def bare(text: str) -> str:
    """The letters and digits of `text` with their marks, case folded: `agree` compares these."""
    return normalised(text.casefold())


def agree(text: str, words: Sequence[WordTime], partial: bool = False) -> bool:
    """Whether `words` are those of the transcript, apart from punctuation, case and spacing.

    `<unk>`, which aligners write for a word that is not in their dictionary, matches any one word.
    With `partial`, words of the transcript may lack a time.
    """
    written = [bare(word) for word in text.split()]
    timed = [w.text.strip() if w.text.strip() == UNKNOWN_WORD else bare(w.text) for w in words]
    written, timed = [w for w in written if w], [w for w in timed if w]
    if "".join(written) == "".join(timed):
        return True
    if partial:
        return _in_turn("".join(written), [word for word in timed if word != UNKNOWN_WORD])
    pairs = zip(written, timed, strict=False)
    return len(written) == len(timed) and all(a == b or b == UNKNOWN_WORD for a, b in pairs)


def _in_turn(text: str, words: Sequence[str]) -> bool:
    position = 0
    for word in words:
        found = text.find(word, position)
        if found < 0:
            return False
        position = found + len(word)
    return True


def split_timed(words: Sequence[WordTime], split: Callable[[str], Sequence[str]]) -> list[WordTime]:
    """Timed words of which `split` makes several, each with its share of the time.

    In scripts without spaces a decoder writes characters where a corpus has words of several.
    """
    found: list[WordTime] = []
    for word in words:
        parts = split(word.text)
        if len(parts) < 2:
            found.append(word)
            continue
        whole = sum(map(len, parts))
        edges = accumulate((len(part) for part in parts), initial=0)
        times = [word.start_s + (word.end_s - word.start_s) * edge / whole for edge in edges]
        found += [WordTime(part, *span) for part, span in zip(parts, pairwise(times), strict=True)]
    return found


def joined_timed(text: str, pieces: Sequence[WordTime]) -> list[WordTime]:
    """Timed pieces of Korean words put together to the words as they are written.

    An aligner cuts a word from its particles (`오늘` and `은`), which are written as one. Pieces of
    other scripts, and pieces that are not those of the text, stay as they are.
    """
    found: list[WordTime] = []
    waiting = list(pieces)
    for written in filter(bare, text.split()):
        taken: list[WordTime] = []
        while waiting and len("".join(bare(p.text) for p in taken)) < len(bare(written)):
            taken.append(waiting.pop(0))
        if "".join(bare(p.text) for p in taken) != bare(written):
            return list(pieces)
        is_korean = any(unicodedata.name(c, "").startswith("HANGUL") for c in written)
        if is_korean and len(taken) > 1:
            taken = [WordTime(written, taken[0].start_s, taken[-1].end_s)]
        found += taken
    return list(pieces) if waiting else found


def fault(words: Sequence[WordTime], duration_s: float) -> str | None:
    """Why gold word times are unusable, or None. Up to 50 ms past the end are taken as rounding."""
    for word in words:
        span = f"{word.text!r} at {word.start_s:g} to {word.end_s:g} s"
        if not (math.isfinite(word.start_s) and math.isfinite(word.end_s)):
            return f"the time of the word {span} is not a number"
        if word.start_s < 0 or word.end_s < word.start_s:
            return f"the word {span} starts before the audio or ends before it starts"
        if word.end_s > duration_s + ROUNDING_S:
            return f"the word {span} ends after the audio, which is {duration_s:.2f} s long"
    return None


def repair(words: Sequence[WordTime], duration_s: float) -> tuple[tuple[WordTime, ...], Repairs]:
    """Words in order, of positive length and within the audio, and the count of each repair.

    The repairs, in this order:

    - a word that ends past the audio is trimmed; one that starts past it is dropped;
    - if words are out of order, the longest subsequence that is in order is kept;
    - a word that overlaps the next one is trimmed to the start of the next one;
    - a word of length zero is widened by up to 40 ms on each side, as far as its neighbours leave
      room, and dropped if they leave none.
    """
    heard, repairs = _within(words, duration_s)
    ordered = [heard[i] for i in _longest_rise([word.start_s for word in heard])]
    repairs = replace(repairs, out_of_order_dropped=len(heard) - len(ordered))
    trimmed = list(ordered)
    for i, following in enumerate(ordered[1:]):
        if trimmed[i].end_s > following.start_s:
            trimmed[i] = replace(trimmed[i], end_s=following.start_s)
            # An overlap of up to a millisecond comes from rounding and is not counted.
            overlap = ordered[i].end_s - following.start_s > 1e-3
            repairs = replace(repairs, overlaps_trimmed=repairs.overlaps_trimmed + overlap)
    return _widened(trimmed, duration_s, repairs)


def _within(words: Sequence[WordTime], duration_s: float) -> tuple[list[WordTime], Repairs]:
    kept, late, dropped = [], 0, 0
    for word in words:
        start_s, end_s = max(0.0, word.start_s), min(word.end_s, duration_s)
        if not (math.isfinite(word.start_s) and math.isfinite(word.end_s) and start_s < duration_s):
            dropped += 1
            continue
        late += word.end_s > duration_s + ROUNDING_S
        kept.append(WordTime(word.text, start_s, max(start_s, end_s)))
    return kept, Repairs(past_end_trimmed=late, past_end_dropped=dropped)


def _widened(
    words: list[WordTime], duration_s: float, repairs: Repairs
) -> tuple[tuple[WordTime, ...], Repairs]:
    kept: list[WordTime] = []
    for i, word in enumerate(words):
        if word.end_s > word.start_s:
            kept.append(word)
            continue
        floor_s = kept[-1].end_s if kept else 0.0
        ceiling_s = words[i + 1].start_s if i + 1 < len(words) else duration_s
        start_s = max(floor_s, word.start_s - WIDENING_S)
        end_s = min(ceiling_s, word.start_s + WIDENING_S)
        if end_s > start_s:
            kept.append(WordTime(word.text, start_s, end_s))
            repairs = replace(repairs, zero_length_widened=repairs.zero_length_widened + 1)
        else:
            repairs = replace(repairs, zero_length_dropped=repairs.zero_length_dropped + 1)
    return tuple(kept), repairs


def _longest_rise(values: Sequence[float]) -> list[int]:
    """Indices of a longest non-decreasing subsequence (patience sorting)."""
    tails: list[float] = []
    tail_index: list[int] = []
    before: list[int] = []
    for i, value in enumerate(values):
        length = bisect_right(tails, value)
        before.append(tail_index[length - 1] if length else -1)
        tails[length : length + 1] = [value]
        tail_index[length : length + 1] = [i]
    rise: list[int] = []
    i = tail_index[-1] if tail_index else -1
    while i >= 0:
        rise.append(i)
        i = before[i]
    return rise[::-1]
