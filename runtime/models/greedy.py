"""Greedy decoding: the one loop over tokens, for one text or for several at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from mlx_qwen3_asr.decoder import KVCache

from .backend import mx
from .capture import Capture, Row, Step
from .continuation import Continuation
from .kv_cache import keep_rows, stacked
from .protocol import Hypothesis, Until

ROOM_TOKENS = 32
"""By so many a cache grows when it is full."""


class Stop:
    """Whether decoding on would change nothing. `came`: it would not."""

    def __init__(self, until: Until | None, said_in: Callable[[list[Row]], Hypothesis]) -> None:
        """Ask `until` (None: decode to the end) of what is `said_in` the rows so far."""
        self._until, self._said_in = until, said_in
        self.came = False

    def __call__(self, rows: list[Row]) -> bool:
        """Of the rows so far."""
        if self._until is not None:
            said = self._said_in(rows)
            self.came = bool(said.token_ids) and self._until(said)
        return self.came


def taken(read: list[Row], text: Continuation, stop: Stop) -> tuple[list[Row], bool]:
    """Of rows that were read as a draft, those that `text` takes, and one more if it refuses it;
    and whether it wants to be decoded on."""
    for count, row in enumerate(read, start=1):
        if not text.take(row.token):
            return read[:count], False
    return read, not stop(read)


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
    *,
    is_waited_for: Callable[[int], bool] = lambda keys: False,
    is_enough: Callable[[list[Row]], bool] = lambda rows: False,
) -> list[Row]:
    """Decode on from `tokens` until no text wants another one.

    Args:
        read: see `Read`.
        tokens: [texts], the last token of each, which its text has taken and wants more of.
        caches: of what stands before these tokens; left as they are.
        texts: they take the tokens as they come.
        capture: which heads are looked at, of a single text.
        is_waited_for: whether a step that sees so many keys is computed while it is built.
        is_enough: of the rows so far, with a `capture`: nothing would change with more.

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
        following = None
        if not is_waited_for(cache.offset + 1):
            following = read(step.tokens, cache, padding, live)
        if capture is not None:
            rows += step.rows(capture.columns)
        said = np.array(step.tokens).tolist()
        open_still = [place for place, token in enumerate(said) if texts[live[place]].take(token)]
        if not open_still or is_enough(rows):
            return rows
        tokens = step.tokens
        if len(open_still) < len(live):
            live, kept = [live[place] for place in open_still], mx.array(open_still)
            padding, tokens = keep_rows(cache, padding, open_still), tokens[kept]
            following = following and Step(following.said[kept], None, None)
        step = following or read(tokens, cache, padding, live)
