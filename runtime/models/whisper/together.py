"""Several texts decoded on together: one pass over one more token of each.

The dense layers see all texts at once, which is where the weights are read; what each has read and
hears stays where it is, and is attended to text by text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..backend import mx, on_gpu
from ..capture import Row
from ..cpu.activations import gelu_of, softmax_in_place
from ..cpu.products import linear_of_rows
from ..kv_cache import shared
from ..shared_steps import Together, Wanted
from ..texts_on_cpu import Looking, TextsOnCpu, each_text, seen
from .reading import Prompt, steps_packed

if TYPE_CHECKING:
    import mlx.nn as nn

    from .model import WhisperModel


def together(model: WhisperModel, wanted: Sequence[Wanted]) -> Together:
    """The `Together` of texts that look at the same heads."""
    if on_gpu() or model.engine_dtype != mx.float32:
        return WhisperTogether(model, wanted)
    return WhisperTogetherOnCpu(model, wanted)


class WhisperTogether:
    """A `Together` by MLX, on a GPU or in half precision."""

    def __init__(self, model: WhisperModel, wanted: Sequence[Wanted]) -> None:
        """Of texts that look at the same heads."""
        self._model = model
        self._prompts = [Prompt([one.token], one.cross, 1, one.capture) for one in wanted]
        self._caches = [shared(one.cache) for one in wanted]

    def keep(self, places: Sequence[int]) -> None:
        """See `Together`."""
        self._prompts = [self._prompts[place] for place in places]
        self._caches = [self._caches[place] for place in places]

    def read(self, tokens: Sequence[int]) -> list[Row]:
        """See `Together`."""
        prompts = [
            replace(prompt, tokens=[token])
            for prompt, token in zip(self._prompts, tokens, strict=True)
        ]
        rows = []
        for step, prompt in zip(
            steps_packed(self._model, prompts, self._caches), prompts, strict=True
        ):
            assert prompt.capture is not None
            rows += step.rows(prompt.capture.columns)
        return rows


class WhisperTogetherOnCpu:
    """A `Together` on a CPU, in float32, by numpy on the weights where they lie; see
    `qwen3/together_on_cpu.py`."""

    def __init__(self, model: WhisperModel, wanted: Sequence[Wanted]) -> None:
        """Of texts that look at the same heads."""
        self._model = model
        self._texts = TextsOnCpu([one.cache for one in wanted])
        self._audio = [[(seen(k), seen(v)) for k, v in one.cross] for one in wanted]
        self._looking = Looking([one.capture for one in wanted])

    def keep(self, places: Sequence[int]) -> None:
        """See `Together`."""
        self._texts.keep(places)
        self._audio = [self._audio[place] for place in places]
        self._looking.keep(places)

    def read(self, tokens: Sequence[int]) -> list[Row]:
        """See `Together`."""
        model, texts = self._model, self._texts
        decoder = model.network.decoder
        at = mx.array(texts.positions)
        x = np.array(decoder.token_embedding(mx.array(list(tokens))))
        x += np.array(decoder.positional_embedding[at])
        for index, block in enumerate(decoder.blocks):
            own, heard = block.attn, block.cross_attn
            normed = _normed(x, block.attn_ln)
            q, k, v = (
                one.reshape(len(x), own.heads, -1)
                for one in linear_of_rows((own.query, own.key, own.value), normed)
            )
            told = texts.attending(index, q, k, v).reshape(x.shape)
            x = x + linear_of_rows((own.out,), told)[0]
            (q,) = linear_of_rows((heard.query,), _normed(x, block.cross_attn_ln))
            told = self._listening(index, q.reshape(len(x), heard.heads, -1)).reshape(x.shape)
            x = x + linear_of_rows((heard.out,), told)[0]
            (inner,) = linear_of_rows((block.mlp1,), _normed(x, block.mlp_ln))
            x = x + linear_of_rows((block.mlp2,), gelu_of(inner))[0]
        texts.said += 1
        (logits,) = linear_of_rows((decoder.token_embedding,), _normed(x, decoder.ln))
        logits += np.array(model.suppress, copy=False)
        return self._looking.rows(logits)

    def _listening(self, layer: int, q: np.ndarray) -> np.ndarray:
        """[texts, heads, dim]: what queries of that shape see in the audio of their texts."""
        scaled = (q * np.float32(q.shape[-1] ** -0.5))[:, :, None]
        out = np.empty(scaled.shape, np.float32)

        def one(place: int) -> None:
            keys, values = self._audio[place][layer]
            scores = scaled[place] @ keys.swapaxes(-1, -2)
            self._looking.look(layer, place, scores[:, 0])
            softmax_in_place(scores)
            np.matmul(scores, values, out=out[place])

        each_text(one, len(q), sum(audio[layer][0].size for audio in self._audio))
        return out.reshape(q.shape)


def _normed(x: np.ndarray, norm: nn.LayerNorm) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.einsum("...i,...i->...", centred, centred)[..., None] / np.float32(x.shape[-1])
    centred /= np.sqrt(variance + np.float32(norm.eps))
    centred *= np.array(norm.weight, copy=False)
    centred += np.array(norm.bias, copy=False)
    return centred
