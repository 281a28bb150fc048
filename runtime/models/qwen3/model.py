"""The edge to the engine: a Qwen3-ASR checkpoint that encodes, decodes and shows its attention.

Knows MLX and the checkpoint's files; nothing of corpora, scores or streaming policy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mlx_qwen3_asr.audio import SAMPLE_RATE, compute_features
from mlx_qwen3_asr.decoder import KVCache
from mlx_qwen3_asr.generate import detect_repetition, resolve_max_new_tokens
from mlx_qwen3_asr.load_models import load_model
from mlx_qwen3_asr.tokenizer import canonicalize_language

from ....errors import InputError
from ..backend import advise_openblas, default_dtype, mx
from ..checkpoint import find_checkpoint, read_config
from ..cpu.heap import keep_freed_memory
from ..cpu.openblas import suit_threads
from .audio_encoder import encode
from .clock import FRAMES_PER_SECOND
from .forward import attention_weights, decode, largest_score
from .kv_cache import keep_rows, shared, stacked
from .vocabulary import Prompt, Vocabulary

MIN_SAMPLES = 201  # the engine's log-mel needs more than half an FFT window
_REPETITION_CHECK_TOKENS = 8


@dataclass(frozen=True)
class Transcript:
    """What was said: `text`, the language (None: no speech), and the text's token ids."""

    text: str
    language: str | None
    token_ids: tuple[int, ...]


@dataclass(frozen=True)
class Prefix:
    """A prompt that has been read: its keys and values, and the logits of the first answer token.

    `cache` holds all of `prompt`; `logits` is [vocabulary]; `seconds` is the audio's length.
    """

    prompt: Prompt
    cache: KVCache
    logits: mx.array
    seconds: float

    @property
    def frames(self) -> int:
        """Audio frames (13 a second) in the prompt."""
        return self.prompt.audio_stop - self.prompt.audio_start


class SpeechModel:
    """A loaded checkpoint. Make one with `SpeechModel.load`."""

    def __init__(self, engine, vocabulary: Vocabulary, name: str, label: str, folder: Path) -> None:
        self.engine = engine
        self.vocabulary = vocabulary
        self.name = name
        self.label = label
        self.folder = folder
        text = engine.config.text_config
        self.num_layers: int = text.num_hidden_layers
        self.num_heads: int = text.num_attention_heads
        self.num_kv_heads: int = text.num_key_value_heads
        self.dtype: mx.Dtype = engine.model.norm.weight.dtype
        self.languages: tuple[str, ...] = tuple(engine.config.support_languages or ())
        self.largest_score = largest_score(engine.model)

    @classmethod
    def load(cls, model: str | Path = "tiny", dtype: str | None = None) -> SpeechModel:
        """Load a checkpoint.

        Args:
            model: `tiny` (bundled), `0.6b`, `1.7b`, a hub repository, or a folder.
            dtype: `float32`, `float16` or `bfloat16`; None: float16 on Metal and CUDA,
                float32 on the CPU.

        Raises:
            InputError: an unknown name, missing or corrupt files, another architecture.
        """
        if dtype not in (None, "float32", "float16", "bfloat16"):
            raise InputError(f"unknown dtype {dtype!r}; known: float32, float16, bfloat16")
        checkpoint = find_checkpoint(model)
        advise_openblas()
        wanted = getattr(mx, dtype) if dtype else default_dtype()
        try:
            # Asked for float32, the engine leaves the checkpoint's own dtype: one copy, one cast.
            engine, _ = load_model(str(checkpoint.folder), dtype=mx.float32)
            engine.set_dtype(wanted)
            if engine.config.text_config.tie_word_embeddings and "scales" not in engine.lm_head:
                # The cast makes two arrays of what was one.
                engine.lm_head.weight = engine.model.embed_tokens.weight
            mx.eval(engine.parameters())
        except Exception as error:  # the engine stumbles over damage in many ways
            raise InputError(
                f"cannot load the weights in {checkpoint.folder}: {_first_line(error)}; "
                "the files are damaged or belong to another model: fetch them again"
            ) from error
        if not engine.config.support_languages:
            engine.config.support_languages = read_config(checkpoint.folder).get(
                "support_languages"
            )
        suit_threads(engine.config.text_config.hidden_size)
        keep_freed_memory()
        vocabulary = Vocabulary(checkpoint.folder)
        if vocabulary.size > engine.config.text_config.vocab_size:
            raise InputError(
                f"the tokenizer in {checkpoint.folder} has {vocabulary.size} tokens, the weights "
                f"only {engine.config.text_config.vocab_size}: they belong to different models"
            )
        return cls(engine, vocabulary, checkpoint.name, checkpoint.label, checkpoint.folder)

    def language_name(self, language: str | None) -> str | None:
        """The model's own name of a language (`en` -> `English`); None stays None.

        Raises:
            InputError: the checkpoint does not list it.
        """
        if language is None:
            return None
        name = canonicalize_language(language)
        if not name:
            raise InputError("the language is an empty string; leave it out to detect it")
        by_key = {known.lower(): known for known in self.languages}
        if self.languages and name.lower() not in by_key:
            raise InputError(
                f"{self.name} does not know the language {language!r}; "
                f"it knows {', '.join(sorted(self.languages))}"
            )
        return by_key.get(name.lower(), name)

    def encode(self, samples: np.ndarray) -> mx.array:
        """Audio embeddings [frames, width] of `samples` [n], 16 kHz mono float.

        Raises:
            InputError: not one channel of more than 200 finite samples.
        """
        samples = np.asarray(samples)
        if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
            raise InputError(
                f"samples are {samples.dtype} of shape {samples.shape}; expected one channel of "
                "floats in -1 to 1 at 16 kHz"
            )
        if len(samples) < MIN_SAMPLES:
            raise InputError(f"{len(samples)} samples are too few; expected {MIN_SAMPLES} or more")
        if not np.isfinite(samples).all():
            raise InputError("the samples hold NaN or infinity")
        mel, _ = compute_features(samples.astype(np.float32))
        return encode(self.engine.audio_tower, mel[0].astype(self.dtype))

    def log_mel(self, samples: np.ndarray) -> np.ndarray:
        """The log-mel spectrogram [128, frames] that the encoder reads, 100 frames a second."""
        mel, _ = compute_features(samples.astype(np.float32))
        return np.array(mel[0])

    def prefill(
        self, samples: np.ndarray, language: str | None = None, context: str = ""
    ) -> Prefix:
        """Read `samples` and the prompt around them into a fresh cache.

        Args:
            samples: [n] float, 16 kHz mono.
            language: given, or None to let the model detect it.
            context: text for the system prompt.

        Raises:
            InputError: samples the engine cannot take, or a language the model lacks.
        """
        audio = self.encode(samples)
        prompt = self.vocabulary.prompt(audio.shape[0], self.language_name(language), context)
        text = self.engine.model.embed_tokens(mx.array(prompt.ids))
        embedded = mx.concatenate(
            [text[: prompt.audio_start], audio.astype(text.dtype), text[prompt.audio_stop :]]
        )
        cache = KVCache(self.num_layers)
        hidden = decode(self.engine.model, embedded[None], cache, last=1)
        logits = self.engine.lm_head(hidden[0, -1])
        return Prefix(prompt, cache, logits, len(samples) / SAMPLE_RATE)

    def generate(self, prefixes: Sequence[Prefix]) -> list[list[int]]:
        """Greedy continuations of prompts, decoded together.

        Tokens end before the end token, at the engine's token budget for the audio's length,
        or where its repetition detector stops. The prefixes' caches are left as they are.
        """
        if not prefixes:
            return []
        budgets = [resolve_max_new_tokens(None, audio_duration_sec=p.seconds) for p in prefixes]
        cache, padding = stacked([p.cache for p in prefixes], max(budgets) + 1)
        ends = self.vocabulary.end_ids
        answers: list[list[int]] = [[] for _ in prefixes]
        rows = list(range(len(prefixes)))  # whose answers the rows of the cache are
        tokens = mx.argmax(mx.stack([p.logits for p in prefixes]), axis=-1)
        while True:
            # The next step is on its way before this one's tokens are looked at.
            following = self._step(tokens, cache, padding)
            mx.async_eval(following)
            still_open = []
            for position, token in enumerate(np.array(tokens).tolist()):
                answer = answers[rows[position]]
                if token in ends:
                    continue
                answer.append(token)
                if len(answer) < budgets[rows[position]] and not _repeats(answer):
                    still_open.append(position)
            if not still_open:
                return answers
            if len(still_open) < len(rows):
                padding = keep_rows(cache, padding, still_open)
                following = following[mx.array(still_open)]
                rows = [rows[position] for position in still_open]
            tokens = following

    def _step(self, tokens: mx.array, cache: KVCache, padding: mx.array | None) -> mx.array:
        embedded = self.engine.model.embed_tokens(tokens)[:, None]
        hidden = decode(self.engine.model, embedded, cache, left_padding=padding)
        return mx.argmax(self.engine.lm_head(hidden[:, 0]), axis=-1)

    def attention(
        self,
        prefix: Prefix,
        token_ids: Sequence[int],
        on_layer: Callable[[int, np.ndarray], None],
    ) -> None:
        """Show the attention of each token over the audio, for every layer and head.

        Attention is causal, so one pass over the tokens gives exactly what decoding them one
        by one would have. The query of a token is the one that *predicts* it: for the first
        token, the last prompt position. The prompt is not read again.

        Args:
            prefix: from `prefill`; its cache is left as it is.
            token_ids: what follows the prompt (the model's own answer, or any other).
            on_layer: called with the layer's index and its weights, [heads, tokens, frames]
                float32: softmax over all positions, the audio's share of it. One layer at a
                time is held.
        """
        if not token_ids:
            return
        prompt = prefix.prompt

        def observe(layer: int, queries: mx.array, keys: mx.array) -> mx.array:
            weights = attention_weights(queries, keys)
            on_layer(layer, np.array(weights[..., prompt.audio_start : prompt.audio_stop]))
            return weights

        cache = shared(prefix.cache)
        cache.trim(1)
        queried = mx.array([prompt.ids[-1], *token_ids[:-1]])
        embedded = self.engine.model.embed_tokens(queried)[None]
        decode(self.engine.model, embedded, cache, observe=observe)

    def transcript(self, token_ids: Sequence[int], language: str | None = None) -> Transcript:
        """The `Transcript` that an answer's tokens mean; `language` is the one given, if any."""
        detected, text_ids = self.vocabulary.split_answer(token_ids)
        text = self.vocabulary.decode(text_ids).strip()
        return Transcript(text, self.language_name(language) or detected, tuple(text_ids))

    def transcribe(self, samples: np.ndarray, language: str | None = None) -> Transcript:
        """Transcribe `samples` [n], 16 kHz mono float, by greedy decoding.

        Raises:
            InputError: samples the engine cannot take, or a language the model lacks.
        """
        (answer,) = self.generate([self.prefill(samples, language)])
        return self.transcript(answer, language)

    def cache_bytes(self, positions: int) -> int:
        """Memory of the keys and values of `positions` positions."""
        config = self.engine.config.text_config
        per_position = 2 * self.num_layers * self.num_kv_heads * config.head_dim
        return positions * per_position * self.dtype.size


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__


def _repeats(answer: list[int]) -> bool:
    return len(answer) % _REPETITION_CHECK_TOKENS == 0 and detect_repetition(answer)


__all__ = ["FRAMES_PER_SECOND", "SAMPLE_RATE", "Prefix", "SpeechModel", "Transcript"]
