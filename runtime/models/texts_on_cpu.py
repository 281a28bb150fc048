"""What several texts have read and say, on a CPU: their keys and values, and where heads look.

What each has read stays where its own reading left it, as long as it is: a copy of all in one
array would double their memory. What they say from here on is in one array, since all go on at the
same pace. Knows no family.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from mlx_qwen3_asr.decoder import KVCache

from .backend import mx
from .capture import Capture, Row
from .cpu.activations import largest_probability_of, softmax_in_place
from .cpu.cores import on_all_cores

ROOM_TOKENS = 16
"""By so many the room for what is said grows when it is full."""
_MANY_KEYS = 1 << 18  # numbers of all texts in a layer, 1 MB: of less, one core is as fast

Look = Callable[[int, int, np.ndarray], object]
"""Called as look(layer, place of the text, scores [heads, keys]) before their softmax."""


def each_text(work: Callable[[int], object], texts: int, keys: int) -> None:
    """Do `work` on the place of each text, on all cores if they see many `keys`, in numbers."""
    on_all_cores(work, range(texts), is_much=keys > _MANY_KEYS)


class TextsOnCpu:
    """Keys and values in float32 of several texts that are decoded on together.

    Attributes:
        caches: what each has read; left as they are.
        said: positions that each has said since then.
    """

    def __init__(self, caches: Sequence[KVCache], largest_score: float = math.inf) -> None:
        """`largest_score`: see `cpu.activations.attention`."""
        self._largest_score = largest_score
        self.caches = list(caches)
        self._views = [_views(cache) for cache in caches]
        self._pairs: list[np.ndarray] = []  # of each layer, keys and values of what is said
        self.said = 0

    @property
    def positions(self) -> list[int]:
        """In each text, that of its next token."""
        return [cache.offset + self.said for cache in self.caches]

    def keep(self, places: Sequence[int]) -> None:
        """Only the texts at these `places` go on."""
        self.caches = [self.caches[place] for place in places]
        self._views = [self._views[place] for place in places]
        self._pairs = [pair[:, list(places)] for pair in self._pairs]

    def attending(
        self, layer: int, q: np.ndarray, k: np.ndarray, v: np.ndarray, look: Look | None = None
    ) -> np.ndarray:
        """What the next token of each text sees in its text. `said` is to be added to after the
        last layer.

        Args:
            layer: all of them in turn.
            q: [texts, heads, dim].
            k, v: [texts, kv heads, dim], of the token itself.
            look: is shown the scores over what was read.

        Returns:
            [texts, heads, dim].
        """
        texts, heads, dim = q.shape
        kv_heads, longest = k.shape[1], max(cache.offset for cache in self.caches)
        keys, values = self._said_with(layer, k, v)
        grouped = (q * np.float32(dim**-0.5)).reshape(texts, kv_heads, heads // kv_heads, dim)
        scores = np.empty((*grouped.shape[:3], longest + keys.shape[2]), np.float32)
        np.matmul(grouped, keys.swapaxes(-1, -2), out=scores[..., longest:])
        out = np.empty(grouped.shape, np.float32)

        def one(place: int) -> None:
            read, length = self._views[place][layer], self.caches[place].offset
            mine = scores[place]
            np.matmul(grouped[place], read[0].swapaxes(-1, -2), out=mine[..., :length])
            mine[..., length:longest] = -np.inf
            if look is not None:
                look(layer, place, mine[..., :length].reshape(heads, length))
            softmax_in_place(mine, self._largest_score)
            np.matmul(mine[..., :length], read[1], out=out[place])
            out[place] += mine[..., longest:] @ values[place]

        each_text(one, texts, texts * longest * kv_heads * dim)
        return out.reshape(q.shape)

    def _said_with(self, layer: int, k: np.ndarray, v: np.ndarray) -> np.ndarray:
        """[2, texts, kv heads, said, dim], keys and values of a layer, up to the new ones."""
        at = self.said
        if layer == len(self._pairs):
            texts, kv_heads, dim = k.shape
            self._pairs.append(np.zeros((2, texts, kv_heads, ROOM_TOKENS, dim), np.float32))
        elif at == self._pairs[layer].shape[3]:
            room = [(0, 0), (0, 0), (0, 0), (0, ROOM_TOKENS), (0, 0)]
            self._pairs[layer] = np.pad(self._pairs[layer], room)
        pair = self._pairs[layer]
        pair[0, :, :, at], pair[1, :, :, at] = k, v
        return pair[:, :, :, : at + 1]


def _views(cache: KVCache) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each layer, the keys and values that were read, each [kv heads, length, dim]."""
    return [
        (seen(keys)[:, : cache.offset], seen(values)[:, : cache.offset])
        for keys, values in zip(cache.keys, cache.values, strict=True)
    ]


def seen(array: mx.array | None) -> np.ndarray:
    """An array [1, ...] where it lies, without its first axis."""
    assert array is not None
    return np.array(array, copy=False)[0]


class Looking:
    """Where the heads of a capture look, of several texts at one position of each."""

    def __init__(self, captures: Sequence[Capture]) -> None:
        """One of each text, of the same heads."""
        self._captures = list(captures)
        self._begin()

    def _begin(self) -> None:
        self._frames: list[list[int]] = [[] for _ in self._captures]
        self._weights: list[list[np.ndarray]] = [[] for _ in self._captures]

    def keep(self, places: Sequence[int]) -> None:
        """Only the texts at these `places` go on."""
        self._captures = [self._captures[place] for place in places]
        self._begin()

    def look(self, layer: int, place: int, scores: np.ndarray) -> None:
        """Take the scores of a layer, of the text at `place`; see `Look`."""
        capture = self._captures[place]
        wanted = capture.wanted(layer)
        if not wanted:
            return
        seen = scores[wanted, capture.audio]
        self._frames[place] += seen.argmax(axis=-1).tolist()
        if capture.with_weights:
            softmax_in_place(seen)
            self._weights[place].append(seen)

    def rows(self, logits: np.ndarray) -> list[Row]:
        """A row of each text, with what was taken since the last ones; logits [texts, n]."""
        likely = largest_probability_of(logits)
        rows = []
        for place, token in enumerate(logits.argmax(axis=-1).tolist()):
            columns, weights = self._captures[place].columns, self._weights[place]
            rows.append(
                Row(
                    token,
                    float(likely[place]),
                    np.array(self._frames[place], int)[columns],
                    np.concatenate(weights)[columns] if weights else None,
                )
            )
        self._begin()
        return rows
