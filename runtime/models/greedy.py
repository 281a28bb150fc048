"""Greedy decoding: the one loop over tokens, for one text or for several at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from mlx_qwen3_asr.decoder import KVCache

from .backend import mx
from .capture import Capture, Row, Step
from .continuation import Continuation
from .kv_cache import keep_rows, stacked

ROOM_TOKENS = 32
"""By so many a cache grows when it is full."""

Read = Callable[[mx.array, KVCache, mx.array | None, list[int]], Step]
"""A family's step over one more token of each text: read(tokens, cache, left_padding, live).

`tokens` [live texts] are embedded and follow what the cache holds; `live` are the indices of the
texts that its rows belong to.
"""


def go_on(
    read: Read,
    tokens: mx.array,
    caches: Sequence[KVCache],
    texts: Sequence[Continuation],
    capture: Capture | None = None,
) -> list[Row]:
    """Decode on from `tokens` until no text wants another one.

    Args:
        read: see `Read`.
        tokens: [texts], the last token of each, which its text has taken and wants more of.
        caches: of what stands before these tokens; left as they are.
        texts: they take the tokens as they come.
        capture: which heads are looked at, of a single text.

    Returns:
        With a `capture`, a row for each token taken, and for one more if the text refused it.
    """
    rows: list[Row] = []
    live = list(range(len(texts)))
    cache, padding = stacked(caches, ROOM_TOKENS)
    step = read(tokens, cache, padding, live)
    while True:
        mx.async_eval(*step.arrays)
        if cache.offset == cache.max_seq_len:
            cache, more = stacked([cache], ROOM_TOKENS)
            padding = padding if more is None else more
        # The graph of the next step is built while this one runs; it runs only if it is wanted.
        following = read(step.tokens, cache, padding, live)
        if capture is not None:
            rows += step.rows(capture.columns)
        said = np.array(step.tokens).tolist()
        open_still = [place for place, token in enumerate(said) if texts[live[place]].take(token)]
        if not open_still:
            return rows
        if len(open_still) < len(live):
            live = [live[place] for place in open_still]
            padding = keep_rows(cache, padding, open_still)
            following = Step(following.said[mx.array(open_still)], None, None)
        step = following
