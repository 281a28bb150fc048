"""The published AlignAtt decoder of Qwen3-ASR, plainly: what ours is compared with.

The algorithm of the `qwen3-mlx-simul` backend that WhisperLiveKit carried in March 2026, with
its later fix of the token budget. Each step encodes and reads the whole buffer anew, decodes
token by token with one device read per head, and stops where a token attends too near the end.
Model and prompt are the same as ours, encoder and prefill are the engine's own, as in the
original; where that projects queries and keys a second time to see them, this does not.
"""

from __future__ import annotations

import alignheads.runtime.models  # isort: skip  # noqa: F401  OpenBLAS must come before MLX

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from mlx_qwen3_asr.audio import compute_features
from mlx_qwen3_asr.decoder import KVCache
from mlx_qwen3_asr.generate import detect_repetition

from alignheads.corpora.audio import SAMPLE_RATE
from alignheads.runtime.models.backend import mx
from alignheads.runtime.models.cpu.products import linear
from alignheads.runtime.models.qwen3.model import Qwen3Model
from alignheads.runtime.models.qwen3.text_decoder import decode

_FRAMES_PER_S = 13  # the original divides by it; the model's clock is finer
_FIRST_FRAME = -15.0
_LEAST_AUDIO_S = 0.5
_LEAST_FRAMES = 2
_UNCHECKED_TOKENS = 2
_WORD_S = 0.1
_FLUSHES = 5


@dataclass(frozen=True)
class PublishedSettings:
    """The settings, with the original's defaults but for the border of its benchmarks."""

    heads: tuple[tuple[int, int], ...]
    border_fraction: float = 0.25
    rewind_fraction: float = 0.12
    language: str | None = None
    max_audio_s: float = 15.0
    step_s: float = 1.0
    context_tokens: int = 30


@dataclass(frozen=True)
class PublishedWord:
    """An emitted word. `space_before` is what the original writes: always, but for the first."""

    text: str
    start_s: float
    end_s: float
    emitted_s: float
    space_before: bool

    @property
    def spaced_text(self) -> str:
        """The word with the space before it."""
        return " " * self.space_before + self.text


@dataclass(frozen=True)
class Tokens:
    """What one step decoded: `frames` are the median over heads; `keep` may be committed."""

    ids: list[int]
    frames: list[float]
    keep: int


class PublishedDecoder:
    """One stream: `feed` and `finish` return the words that are out."""

    def __init__(self, model: Qwen3Model, settings: PublishedSettings) -> None:
        self.settings = settings
        self._model = model
        self.buffer = np.zeros(0, np.float32)
        self.committed: list[int] = []
        self.last_frame = _FIRST_FRAME
        self._received = 0
        self._decoded_at = 0
        self._emitted = 0

    def feed(self, samples: np.ndarray) -> list[PublishedWord]:
        """Take samples [n], 16 kHz mono float; a step runs once there is enough new audio."""
        self.buffer = np.concatenate([self.buffer, samples])
        # The front goes, the committed tokens and the last frame stay as they are.
        self.buffer = self.buffer[-int(self.settings.max_audio_s * SAMPLE_RATE) :]
        self._received += len(samples)
        if self._received - self._decoded_at < self.settings.step_s * SAMPLE_RATE:
            return []
        return self._step(is_last=False)

    def finish(self) -> list[PublishedWord]:
        """A last step, then up to five more until nothing comes."""
        words = self._step(is_last=True)
        for _ in range(_FLUSHES):
            more = self._step(is_last=True)
            if not more:
                break
            words += more
        return words

    def _step(self, *, is_last: bool) -> list[PublishedWord]:
        if len(self.buffer) < _LEAST_AUDIO_S * SAMPLE_RATE:
            return []
        new_s = (self._received - self._decoded_at) / SAMPLE_RATE
        self._decoded_at = self._received
        budget = min(int(6 * new_s + 5), 40)
        if is_last:
            budget = min(int(6 * len(self.buffer) / SAMPLE_RATE + 10), 120)
        tokens = self.decode(self.buffer, self.committed, budget, is_last=is_last)
        kept = tokens.ids[: tokens.keep]
        self.committed += kept
        return self._words(kept, tokens.frames[: tokens.keep])

    def _words(self, ids: Sequence[int], frames: Sequence[float]) -> list[PublishedWord]:
        vocabulary = self._model.vocabulary
        _, start = vocabulary.answer_head(ids)
        texts = vocabulary.decode(ids[start:]).split()
        offset_s = (self._received - len(self.buffer)) / SAMPLE_RATE
        words = []
        for index, text in enumerate(texts):
            start_s = offset_s + frames[index * len(frames) // len(texts)] / _FRAMES_PER_S
            words.append(
                PublishedWord(text, start_s, start_s + _WORD_S, self._received / SAMPLE_RATE,
                              self._emitted > 0)
            )  # fmt: skip
            self._emitted += 1
        return words

    def decode(
        self,
        samples: np.ndarray,
        committed: Sequence[int],
        budget: int,
        *,
        is_last: bool = False,
        forced: Sequence[int] | None = None,
    ) -> Tokens:
        """Decode the buffer `samples` after the end of `committed`.

        `forced`: these tokens instead of the model's own, all of them, with no rule to stop;
        the work is the same. For measurements on random weights.
        """
        settings = self.settings
        audio = self._encode(samples)
        frames = audio.shape[0]
        context = list(committed)[-settings.context_tokens :] if settings.context_tokens else []
        cache, token, span = self._prefill(audio, context)
        ids: list[int] = []
        attended: list[float] = []
        for step in range(budget if forced is None else len(forced)):
            if forced is not None:
                token = forced[step]
            elif token in self._model.vocabulary.end_ids or detect_repetition([*ids, token]):
                break
            ids.append(token)
            token, frame = self._next(token, cache, span)
            attended.append(frame)
            if forced is None and not is_last and len(ids) > _UNCHECKED_TOKENS:
                if self.last_frame - frame > max(_LEAST_FRAMES, settings.rewind_fraction * frames):
                    return Tokens(ids, attended, len(ids) - 2)
                if frames - frame <= max(_LEAST_FRAMES, settings.border_fraction * frames):
                    return Tokens(ids, attended, len(ids) - 1)
            self.last_frame = frame
        return Tokens(ids, attended, len(ids))

    def _encode(self, samples: np.ndarray) -> mx.array:
        mel, _ = compute_features(samples.astype(np.float32))
        return self._model.engine.audio_tower.encode_frames(mel[0].astype(self._model.engine_dtype))

    def _prefill(self, audio: mx.array, context: Sequence[int]) -> tuple[KVCache, int, slice]:
        """The whole prompt into a fresh cache; the first token, and where the audio is."""
        model = self._model
        prompt = model.vocabulary.prompt(audio.shape[0], self.settings.language)
        ids = mx.array([[*prompt.ids, *context]])
        positions = mx.broadcast_to(mx.arange(ids.shape[1])[None, None], (1, 3, ids.shape[1]))
        cache = KVCache(model.num_layers)
        logits = model.engine.prefill(ids, audio[None], positions, cache)
        token = int(mx.argmax(logits[0, -1]).item())
        return cache, token, slice(prompt.audio_start, prompt.audio_stop)

    def _next(self, token: int, cache: KVCache, span: slice) -> tuple[int, float]:
        """The token after `token`, and the frame that `token`'s own query attends to."""
        model = self._model
        seen: dict[int, tuple[mx.array, mx.array]] = {}

        def observe(layer: int, queries: mx.array, keys: mx.array) -> None:
            seen[layer] = (queries, keys)

        embedded = model.engine.model.embed_tokens(mx.array([[token]]))
        hidden = decode(model.engine.model, embedded, cache, observe=observe)
        following = int(mx.argmax(linear(model.engine.lm_head, hidden[0, -1])).item())
        frames = []
        for layer, head in self.settings.heads:
            queries, keys = seen[layer]
            kv_head = head * keys.shape[1] // queries.shape[1]
            scores = keys[0, kv_head, span] @ queries[0, head, -1]
            frames.append(int(mx.argmax(scores).item()))
        return following, float(median(frames)) if frames else 0.0
