"""Keys and values of a prompt of which a part is kept, at another place, and a part is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from mlx_qwen3_asr.decoder import KVCache, TextDecoder

from ..backend import mx
from ..kv_cache import shared
from .reuse import Part
from .text_decoder import turned

Turn = Callable[[mx.array, int], mx.array]
"""turn(keys, by): keys [..., dim] as they are so many positions later."""


class MovedCache(KVCache):
    """Like the cache it is made of, but that a pass puts what it reads between what is kept."""

    def __init__(self, kept: KVCache, parts: Sequence[Part], turn: Turn) -> None:
        """`parts` are all of the prompt, in order; those without a place in `kept` are read."""
        super().__init__(len(kept.keys))
        self._kept, self._parts, self._turn = kept, parts, turn

    def update(self, key: mx.array, value: mx.array, layer_idx: int) -> tuple[mx.array, mx.array]:
        """See `KVCache`; once for each layer."""
        keys, values, at = [], [], 0
        for part in self._parts:
            if part.old is None:
                keys.append(key[:, :, at : at + len(part)])
                values.append(value[:, :, at : at + len(part)])
                at += len(part)
                continue
            was = slice(part.old, part.old + len(part))
            old_keys, old_values = self._kept.keys[layer_idx], self._kept.values[layer_idx]
            assert old_keys is not None
            assert old_values is not None
            keys.append(self._turn(old_keys[:, :, was], part.start - part.old))
            values.append(old_values[:, :, was])
        full = mx.concatenate(keys, axis=2), mx.concatenate(values, axis=2)
        self.keys[layer_idx], self.values[layer_idx] = full
        self.offset = self._parts[-1].stop if layer_idx == len(self.keys) - 1 else 0
        return full

    def plain(self) -> KVCache:
        """What it holds, to grow at its end."""
        return shared(self)


def turning(decoder: TextDecoder) -> Turn:
    """How the keys of a decoder's layers are moved: all turn alike."""

    @cache
    def angles(by: int) -> tuple[mx.array, mx.array]:
        cos, sin = decoder.rotary_emb(mx.full((1, 3, 1), by), dtype=mx.float32)
        half = cos.shape[-1] // 2
        return cos[:, None], mx.concatenate([-sin[..., :half], sin[..., half:]], -1)[:, None]

    def turn(keys: mx.array, by: int) -> mx.array:
        if not by:
            return keys
        return turned(keys.astype(mx.float32), *angles(by)).astype(keys.dtype)

    return turn
