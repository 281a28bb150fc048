"""Keys and values of what was read: shared with a cache that grows apart, or several in one."""

from __future__ import annotations

from collections.abc import Sequence

from mlx_qwen3_asr.decoder import KVCache

from .backend import mx


def shared(cache: KVCache) -> KVCache:
    """A cache that shares the arrays of one that grows by concatenation, and can grow apart."""
    other = KVCache(len(cache.keys))
    other.keys, other.values, other.offset = list(cache.keys), list(cache.values), cache.offset
    return other


def stacked(caches: Sequence[KVCache], room: int) -> tuple[KVCache, mx.array | None]:
    """A copy of caches as rows of one that has room to grow in place.

    Returns:
        The cache, `room` positions longer than the longest; and how many unused positions each
        row has at its left, [caches], or None where they are equally long.
    """
    longest = max(cache.offset for cache in caches)
    padding = [longest - cache.offset for cache in caches]
    one = KVCache(len(caches[0].keys), max_seq_len=longest + room)
    one.offset = longest
    for target, name in ((one.keys, "keys"), (one.values, "values")):
        for layer in range(len(target)):
            rows = [
                mx.pad(getattr(cache, name)[layer], [(0, 0), (0, 0), (pad, room), (0, 0)])
                for cache, pad in zip(caches, padding, strict=True)
            ]
            target[layer] = mx.concatenate(rows)
    return one, mx.array(padding) if any(padding) else None


def keep_rows(cache: KVCache, padding: mx.array | None, rows: list[int]) -> mx.array | None:
    """Drop the other rows of a cache in place, and their part of the padding."""
    kept = mx.array(rows)
    for arrays in (cache.keys, cache.values):
        arrays[:] = [None if array is None else array[kept] for array in arrays]
    return None if padding is None else padding[kept]
