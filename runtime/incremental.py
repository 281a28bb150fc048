"""One growing buffer of audio, decoded again and again at the cost of what changed.

Two facts of the model make it cheap. The encoder attends within windows of 8 s, so the
embeddings of a finished window never change while its mel does not. And the decoder is
causal, so the keys and values of the prompt's head and of the finished windows can stay:
each step reads only the changed tail of the audio and the committed text.

Knows MLX and one buffer; when to decode, what to commit and what to drop is the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mlx_qwen3_asr.audio import compute_features
from mlx_qwen3_asr.decoder import KVCache
from mlx_qwen3_asr.generate import detect_repetition

from .backend import mx
from .forward import decode
from .frames import frame_count
from .hypothesis import Hypothesis
from .model import MIN_SAMPLES, SpeechModel

HOP_SAMPLES = 160
LEAD_SAMPLES = 2 * HOP_SAMPLES
"""Audio kept before the buffer's start: the first two mel frames see into it."""
_EDGE_MEL_FRAMES = 2
"""Mel frames at the end that change when more audio comes: the FFT window reaches over it."""
_MAX_TOKENS_PER_SECOND = 12
_MIN_BUDGET_TOKENS = 16


class IncrementalDecoder:
    """Decodes one buffer. `caches=False` reads everything anew each time (for tests)."""

    def __init__(
        self, model: SpeechModel, heads: Sequence[tuple[int, int]], *, caches: bool = True
    ) -> None:
        self._model = model
        self._caches = caches
        self._heads_of_layer: dict[int, list[int]] = {}
        for layer, head in heads:
            self._heads_of_layer.setdefault(layer, []).append(head)
        listed = [(layer, head) for layer in sorted(self._heads_of_layer)
                  for head in self._heads_of_layer[layer]]  # fmt: skip
        # Capture goes layer by layer; columns of `frames` are in the caller's order.
        self._column = np.array([listed.index(pair) for pair in heads], int)
        self._window_mel: int = model.engine.audio_tower.attention_window_frames
        self._chunk_mel = 2 * model.engine.config.audio_config.n_window
        self.window_samples = self._window_mel * HOP_SAMPLES
        self.window_frames = frame_count(self.window_samples)
        self.reset()

    def reset(self) -> None:
        """Forget everything that was kept."""
        self._windows: list[tuple[np.ndarray, mx.array]] = []
        self._cache = KVCache(self._model.num_layers)
        self._head_ids: list[int] = []
        self._kept_windows = 0

    def drop_windows(self, count: int) -> None:
        """The first `count` windows have left the buffer: their embeddings go too."""
        del self._windows[:count]
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
            return self._hypothesis(samples, lead, committed_ids, language, context)
        except BaseException:
            self._forget_keys()  # whatever was half done
            raise

    def _hypothesis(
        self,
        samples: np.ndarray,
        lead: int,
        committed_ids: Sequence[int],
        language: str | None,
        context: str,
    ) -> Hypothesis:
        windows, tail = self._encode(samples, lead)
        frames = sum(len(w) for w in windows) + len(tail)
        prompt = self._model.vocabulary.prompt(frames, language, context)
        head, rest = prompt.ids[: prompt.audio_start], prompt.ids[prompt.audio_stop :]
        self._keep_keys(list(head), len(windows))

        embed = self._model.engine.model.embed_tokens
        parts = [] if self._cache.offset else [embed(mx.array(head))]
        parts += [*windows[self._kept_windows :], tail, embed(mx.array([*rest, *committed_ids]))]
        embedded = mx.concatenate([part.astype(self._model.dtype) for part in parts])
        stable = len(head) + sum(len(w) for w in windows)
        span = slice(prompt.audio_start, prompt.audio_stop)
        result = self._greedy(embedded[None], span, len(samples) - lead)
        self._cache.trim(self._cache.offset - stable)
        self._kept_windows = len(windows)
        return result

    def _encode(self, samples: np.ndarray, lead: int) -> tuple[list[mx.array], mx.array]:
        """Embeddings of the finished windows, and of the rest of the buffer."""
        mel_all, _ = compute_features(samples)
        mel = np.array(mel_all[0])[:, lead // HOP_SAMPLES :]
        encoder, dtype, size = self._model.engine.audio_tower, self._model.dtype, self._window_mel
        finished = max(0, mel.shape[1] - _EDGE_MEL_FRAMES) // size
        for index in range(finished):
            part = mel[:, index * size : (index + 1) * size]
            # A louder passage raises the floor of the log-mel of all that came before.
            if index < len(self._windows) and np.array_equal(self._windows[index][0], part):
                continue
            del self._windows[index:]
            if index < self._kept_windows:
                self._forget_keys()
            self._windows.append((part, encoder.encode_frames(mx.array(part).astype(dtype))))
        del self._windows[finished:]
        # The rest goes with the last finished window where it is too short to be encoded as
        # the model would encode it in one piece.
        start = finished * size
        joined = int(finished > 0 and mel.shape[1] - start < self._chunk_mel)
        rest = mel[:, start - size * joined :]
        tail = encoder.encode_frames(mx.array(rest).astype(dtype))[self.window_frames * joined :]
        return [embedding for _, embedding in self._windows], tail

    def _forget_keys(self) -> None:
        self._cache = KVCache(self._model.num_layers)
        self._kept_windows = 0

    def _keep_keys(self, head: list[int], windows: int) -> None:
        """Keep what is still true of the cache: the same head, no window gone."""
        if not self._caches or head != self._head_ids or windows < self._kept_windows:
            self._forget_keys()
        self._head_ids = head

    def _greedy(self, embedded: mx.array, span: slice, samples: int) -> Hypothesis:
        model = self._model
        budget = _MIN_BUDGET_TOKENS + samples * _MAX_TOKENS_PER_SECOND // 16_000
        ends = model.vocabulary.end_ids
        token_ids: list[int] = []
        frames: list[np.ndarray] = []
        step = self._step(embedded, span)
        mx.async_eval(step)
        ended = False
        while True:
            following = self._step(model.engine.model.embed_tokens(step[None, :1]), span)
            mx.async_eval(following)  # under way before this step's token is looked at
            values = np.array(step)
            frames.append(values[1:][self._column])
            token = int(values[0])
            ended = token in ends
            if ended or len(token_ids) >= budget or detect_repetition(token_ids):
                break
            token_ids.append(token)
            step = following
        rows = frames if ended else frames[: len(token_ids)]
        mx.eval(following)
        return Hypothesis(
            tuple(token_ids),
            np.stack(rows) if rows else np.zeros((0, len(self._column)), int),
            span.stop - span.start,
            ended,
        )

    def _step(self, embedded: mx.array, span: slice) -> mx.array:
        """[1 + heads] int32 of the next token and each head's attended frame, unevaluated."""
        attended: list[mx.array] = []

        def observe(layer: int, queries: mx.array, keys: mx.array) -> None:
            wanted = self._heads_of_layer.get(layer)
            if not wanted:
                return
            groups = queries.shape[1] // keys.shape[1]
            chosen = queries[0, wanted, -1, :][:, :, None]  # heads, dim, 1
            audio = keys[0, [head // groups for head in wanted], span, :]  # heads, frames, dim
            attended.append(mx.argmax((audio @ chosen)[..., 0], axis=-1))

        hidden = decode(self._model.engine.model, embedded, self._cache, observe=observe)
        token = mx.argmax(self._model.engine.lm_head(hidden[0, -1:]), axis=-1)
        return mx.concatenate([token, *attended]).astype(mx.int32)
