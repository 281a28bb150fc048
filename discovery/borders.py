"""Where to cut a clip short, and which tokens of the cut clip's text were really heard.

A streaming decoder always reads audio that ends in the middle of something. What it must
know is whether a token's word lies wholly before that end or was guessed beyond it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from ..corpora import WordTime
from ..corpora.words import split_timed
from ..runtime.policy.words import TokenWord, words_of
from .mapping import match_words

MIN_CUT_S = 1.0
_LOOK_AHEAD_WORDS = 3


def cut_points_s(clip_id: str, words: Sequence[WordTime], cuts: int) -> list[float]:
    """`cuts` times at which to end a clip, by turns inside a word and between two.

    Drawn from the clip's own id, spread over the clip, none before 1 s or in the last word's
    second half, where nothing is left to guess.
    """
    usable = [i for i, word in enumerate(words[:-1]) if word.start_s >= MIN_CUT_S]
    if not usable or cuts < 1:
        return []
    seed = int.from_bytes(hashlib.sha256(f"cut {clip_id}".encode()).digest()[:8], "big")
    rng = np.random.default_rng(seed)
    parts = np.array_split(np.array(usable), min(cuts, len(usable)))
    points = []
    for turn, part in enumerate(parts):
        i = int(rng.choice(part))
        word, following = words[i], words[i + 1]
        if (turn + seed) % 2 == 0:
            points.append(word.start_s + rng.uniform(0.3, 0.7) * (word.end_s - word.start_s))
        else:
            points.append((word.end_s + max(word.end_s, following.start_s)) / 2)
    return points


def heard_tokens(
    words: Sequence[TokenWord], gold: Sequence[WordTime], cut_s: float
) -> tuple[np.ndarray, np.ndarray]:
    """The tokens of a cut clip's text that can be judged, and whether their word was heard.

    A word that stands for a gold word (equal or misheard) was heard if the gold word ends
    before the cut. Words after the last heard one that match nothing were guessed. Other
    insertions are left out.

    Returns:
        Token indices [n], and [n] bool: fully heard.
    """
    gold = split_timed(gold, words_of)
    audible = sum(word.start_s < cut_s for word in gold)
    candidates = gold[: audible + _LOOK_AHEAD_WORDS]
    matches = match_words([w.text for w in words], [w.text for w in candidates])
    gold_of = {m.hypothesis: m.reference for m in matches}
    heard_words = [h for h, r in gold_of.items() if candidates[r].end_s <= cut_s]
    last_heard = max(heard_words, default=-1)
    tokens, heard = [], []
    for index, word in enumerate(words):
        if index in gold_of:
            fully = candidates[gold_of[index]].end_s <= cut_s
        elif index > last_heard:
            fully = False
        else:
            continue
        tokens += list(word.tokens)
        heard += [fully] * len(word.tokens)
    return np.array(tokens, int), np.array(heard, bool)
