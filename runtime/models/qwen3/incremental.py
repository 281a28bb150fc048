"""One growing buffer of audio, decoded again and again at the cost of what changed.

Two facts of the model make it cheap. The encoder attends within windows of 8 s, so the
embeddings of a finished window never change. And the decoder is causal, so the keys and
values of the prompt's head and of the finished windows can stay: each step reads only the
changed tail of the audio and the text. A third makes the reading count twice: most of what
was drafted a step ago is still what the model says, so the draft is read with the prompt,
and only where it differs does decoding begin (speculative decoding, Leviathan et al. 2023,
with the stream's own past as the draft; the text is the greedy one).

Knows MLX and one buffer; when to decode, what to commit and what to drop is the caller's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from mlx_qwen3_asr.decoder import KVCache

from ...policy.policy import Aggregate
from ..backend import mx
from ..log_mel import HOP_SAMPLES
from ..protocol import Hypothesis
from ..repetition import ends_in_loop, without_loop
from .forward import decode
from .kv_cache import shared, stacked
from .model import MIN_SAMPLES, SpeechModel
from .stream_encoder import StreamEncoder

_MAX_TOKENS_PER_SECOND = 12
_MIN_BUDGET_TOKENS = 16
_MAX_DRAFT_TOKENS = 24
_ROOM_TOKENS = 32


@dataclass(frozen=True)
class _Row:
    """What one position says: the token after it, and where it looked."""

    token: int
    frames: np.ndarray  # [heads]
    weights: np.ndarray | None  # [heads, audio frames]


class IncrementalDecoder:
    """Decodes one buffer. `caches=False` reads everything anew each time (for tests)."""

    def __init__(
        self,
        model: SpeechModel,
        heads: Sequence[tuple[int, int]],
        *,
        aggregate: Aggregate = "median",
        caches: bool = True,
    ) -> None:
        """`aggregate`: with "mean", hypotheses have the weights that it is the mean of."""
        self._model = model
        self._caches = caches
        self._with_weights = aggregate == "mean"
        self._heads_of_layer: dict[int, list[int]] = {}
        for layer, head in heads:
            self._heads_of_layer.setdefault(layer, []).append(head)
        listed = [(layer, head) for layer in sorted(self._heads_of_layer)
                  for head in self._heads_of_layer[layer]]  # fmt: skip
        # Capture goes layer by layer; columns of `frames` are in the caller's order.
        self._column = np.array([listed.index(pair) for pair in heads], int)
        encoder = model.engine.audio_tower
        self._encoder = StreamEncoder(encoder, model.dtype, caches=caches)
        self.reset()

    def reset(self) -> None:
        """Forget everything that was kept."""
        self._encoder.reset()
        self._forget_keys()
        self._last_text: list[int] = []  # committed and drafted, of the last step

    def drop(self, samples: int) -> None:
        """See `HypothesisSource`."""
        self._encoder.drop(samples // HOP_SAMPLES)
        self._forget_keys()

    def hypothesis(
        self,
        samples: np.ndarray,
        lead: int,
        committed_ids: Sequence[int],
        language: str | None,
        context: str = "",
    ) -> Hypothesis:
        """See `HypothesisSource`; `lead` is 0 or `LEAD_SAMPLES`."""
        if len(samples) - lead < MIN_SAMPLES:
            return Hypothesis((), np.zeros((0, len(self._column)), int), 0, True)
        try:
            return self._hypothesis(samples, lead, list(committed_ids), language, context)
        except BaseException:
            self.reset()  # whatever was half done
            raise

    def _hypothesis(
        self,
        samples: np.ndarray,
        lead: int,
        committed_ids: list[int],
        language: str | None,
        context: str,
    ) -> Hypothesis:
        windows, tail = self._encoder.encode(samples, lead)
        frames = sum(len(w) for w in windows) + len(tail)
        prompt = self._model.vocabulary.prompt(frames, language, context)
        head, rest = prompt.ids[: prompt.audio_start], prompt.ids[prompt.audio_stop :]
        self._keep_keys(list(head))

        draft = self._draft_after(committed_ids)
        embed = self._model.engine.model.embed_tokens
        parts = [] if self._cache.offset else [embed(mx.array(head))]
        text = mx.array([*rest, *committed_ids, *draft])
        parts += [*windows[self._kept_windows :], tail, embed(text)]
        embedded = mx.concatenate([part.astype(self._model.dtype) for part in parts])
        stable = len(head) + sum(len(w) for w in windows)
        span = slice(prompt.audio_start, prompt.audio_stop)

        read, cache = self._read(embedded[None], span, draft, stable)
        self._kept_windows = len(windows)
        result = self._greedy(read, cache, span, len(samples) - lead)
        self._last_text = [*committed_ids, *result.token_ids]
        return result

    def _forget_keys(self) -> None:
        self._cache = KVCache(self._model.num_layers)  # of the head and the finished windows
        self._head_ids: list[int] = []
        self._kept_windows = 0

    def _keep_keys(self, head: list[int]) -> None:
        """Keep the cache if it begins with the same head; finished windows do not change."""
        if not self._caches or head != self._head_ids:
            self._forget_keys()
        self._head_ids = head

    def _draft_after(self, committed_ids: list[int]) -> list[int]:
        """What the last step would have said after `committed_ids`."""
        count = len(committed_ids)
        if not self._caches or self._last_text[:count] != committed_ids:
            return []
        return self._last_text[count : count + _MAX_DRAFT_TOKENS]

    def _read(
        self, embedded: mx.array, span: slice, draft: list[int], stable: int
    ) -> tuple[list[_Row], KVCache]:
        """Read the prompt, of which the last tokens are `draft`.

        Returns:
            A row for the token after the prompt, and one for each token of the draft that the
            model says itself; and the cache up to the last of them.
        """
        cache = shared(self._cache)
        step = self._step(embedded, span, 1 + len(draft), cache)
        kept = self._cache
        kept.keys = [keys[:, :, :stable] for keys in cache.keys]  # type: ignore[index]
        kept.values = [values[:, :, :stable] for values in cache.values]  # type: ignore[index]
        kept.offset = stable
        mx.async_eval(*step, *kept.keys, *kept.values)
        rows = self._rows(step)
        agreed = 0
        while agreed < len(draft) and rows[agreed].token == draft[agreed]:
            agreed += 1
        cache.trim(len(draft) - agreed)
        return rows[: agreed + 1], cache

    def _greedy(self, read: list[_Row], cache: KVCache, span: slice, samples: int) -> Hypothesis:
        """Go on from the rows that were read, until the end token, the budget or a loop."""
        budget = _MIN_BUDGET_TOKENS + samples * _MAX_TOKENS_PER_SECOND // 16_000
        token_ids: list[int] = []
        rows: list[_Row] = []
        ended = False
        for row in chain(read, self._decoded(read[-1].token, cache, span)):
            rows.append(row)
            ended = row.token in self._model.vocabulary.end_ids
            if ended or len(token_ids) >= budget or ends_in_loop(token_ids):
                break
            token_ids.append(row.token)
        if not ended:
            token_ids = without_loop(token_ids)
            rows = rows[: len(token_ids)]
        audio_frames, heads = span.stop - span.start, len(self._column)
        frames = np.array([row.frames for row in rows], int).reshape(len(rows), heads)
        weights = None
        if self._with_weights:
            seen = [row.weights for row in rows]
            weights = np.array(seen, np.float32).reshape(len(rows), heads, audio_frames)
        return Hypothesis(tuple(token_ids), frames, audio_frames, ended, weights)

    def _decoded(self, token: int, cache: KVCache, span: slice) -> Iterator[_Row]:
        """Rows for the tokens after `token`, each computed when it is asked for."""
        embed = self._model.engine.model.embed_tokens
        # Written where they belong in a cache with room, instead of one copy for each token.
        cache, _ = stacked([cache], _ROOM_TOKENS)
        step = self._step(embed(mx.array([[token]])), span, 1, cache)
        while True:
            mx.async_eval(*step)
            if cache.offset == cache.max_seq_len:
                cache, _ = stacked([cache], _ROOM_TOKENS)
            # The graph of the next is built while this one runs; it runs only if it is wanted.
            following = self._step(embed(step[0][:, :1]), span, 1, cache)
            yield self._rows(step)[0]
            step = following

    def _rows(self, step: list[mx.array]) -> list[_Row]:
        """What `_step` computed, here."""
        values = np.array(step[0])
        frames = values[:, 1:][:, self._column]
        if not self._with_weights:
            return [_Row(int(row[0]), at, None) for row, at in zip(values, frames, strict=True)]
        weights = np.array(step[1])[self._column].swapaxes(0, 1)
        return [
            _Row(int(row[0]), at, seen)
            for row, at, seen in zip(values, frames, weights, strict=True)
        ]

    def _step(self, embedded: mx.array, span: slice, rows: int, cache: KVCache) -> list[mx.array]:
        """Read new positions; what the last `rows` of them say, unevaluated.

        Returns:
            [rows, 1 + heads] int32 of the next token and each head's attended frame; and, if
            asked for, [heads, rows, audio frames] of attention.
        """
        attended: list[mx.array] = []
        weights: list[mx.array] = []

        def observe(layer: int, queries: mx.array, keys: mx.array) -> None:
            wanted = self._heads_of_layer.get(layer)
            if not wanted:
                return
            kv_heads, dim = keys.shape[1], keys.shape[3]
            grouped = queries[0, :, -rows:].reshape(kv_heads, -1, rows, dim)
            scores = grouped @ keys[0, :, None, span].swapaxes(-1, -2)
            scores = scores.reshape(-1, rows, scores.shape[-1])[mx.array(wanted)]
            attended.append(mx.argmax(scores, axis=-1).T)
            if self._with_weights:
                scaled = scores.astype(mx.float32) * dim**-0.5
                weights.append(mx.softmax(scaled, axis=-1))

        model = self._model.engine
        bound = self._model.largest_score
        hidden = decode(
            model.model, embedded, cache, last=rows, largest_score=bound, observe=observe
        )
        token = mx.argmax(model.lm_head(hidden[0]), axis=-1)
        said = mx.concatenate([token[:, None], *attended], axis=1).astype(mx.int32)
        return [said, mx.concatenate(weights)] if weights else [said]
