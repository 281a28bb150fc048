"""A Qwen3-ASR checkpoint that encodes, decodes and shows its attention.

Knows MLX and the checkpoint's files; nothing of corpora, scores or streaming policy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from mlx_qwen3_asr.audio import compute_features
from mlx_qwen3_asr.chunking import MAX_CHUNK_SECONDS
from mlx_qwen3_asr.decoder import KVCache

from ....errors import InputError
from ..backend import advise_openblas, check_not_forked, default_dtype, mx
from ..checkpoint import Checkpoint
from ..continuation import Continuation, token_budget
from ..cpu.activations import is_waited_for
from ..cpu.heap import keep_freed_memory
from ..cpu.openblas import suit_threads
from ..cpu.products import is_large, linear
from ..greedy import go_on
from ..kv_cache import shared
from ..languages import CODES, is_detected, language_name
from ..model import SpeechModel
from ..protocol import Aggregate, Answer, CostModel
from .audio_encoder import encode
from .clock import Qwen3Clock
from .cost import cost_of
from .meter import Qwen3Meter, ReusingMeter
from .reusing import ReusingSource
from .source import Qwen3Source
from .step import reading
from .text_decoder import attention_weights, decode, largest_score
from .vocabulary import Prompt, Vocabulary
from .weights import load_engine

MIN_SAMPLES = 201  # the engine's log-mel needs more than half an FFT window
MAX_CONTEXT_TOKENS = 10_000  # all of it is read again after each cut of a stream
MAX_AUDIO_S = 1200.0  # the longest recording that Qwen3-ASR is documented to take


@dataclass
class Qwen3Prefix:
    """A prompt that has been read: its keys and values, and the logits of the first answer token.

    Attributes:
        prompt: its tokens; the cache holds all of them.
        cache: keys and values.
        logits: [vocabulary].
        samples: length of the audio.
        language: given; None: the model writes it into the head of its answer.
        head: that head, which text follows; None until the model has been asked for it.
    """

    prompt: Prompt
    cache: KVCache
    logits: mx.array
    samples: int
    language: str | None
    head: tuple[int, ...] | None

    @property
    def frames(self) -> int:
        """See `protocol.Prefix`."""
        return self.prompt.audio_stop - self.prompt.audio_start


class Qwen3Model(SpeechModel):
    """See `SpeechModel`.

    Attributes:
        engine: the model of mlx-qwen3-asr, whose weights are used.
        vocabulary: of the checkpoint.
        engine_dtype: MLX's own name of `dtype`.
        largest_score: see `text_decoder.largest_score`.
    """

    family = "qwen3"
    can_reuse = True
    attention_kind = "self"
    clock = Qwen3Clock()
    min_samples = MIN_SAMPLES
    max_audio_s = MAX_AUDIO_S
    longest_piece_s = MAX_CHUNK_SECONDS  # 30 s, the engine's own; tiny's training saw up to 31 s

    def __init__(self, engine, vocabulary: Vocabulary, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.engine = engine
        self.vocabulary = vocabulary
        text = engine.config.text_config
        self.num_layers: int = text.num_hidden_layers
        self.num_heads: int = text.num_attention_heads
        self.num_kv_heads: int = text.num_key_value_heads
        self.engine_dtype: mx.Dtype = engine.model.norm.weight.dtype
        self.dtype = str(self.engine_dtype).removeprefix("mlx.core.")
        self.languages: tuple[str, ...] = tuple(engine.config.support_languages or CODES)
        self.largest_score = largest_score(engine.model)

    def language_name(self, language: str | None) -> str | None:
        """See `AlignmentModel`."""
        if language is None or is_detected(language):
            return None
        if not language.strip():
            raise InputError("the language is an empty string; leave it out to detect it")
        name = language_name(language, self.languages)
        if name is None:
            raise InputError(
                f"{self.name} does not know the language {language!r}; "
                f"it knows {', '.join(sorted(self.languages))}"
            )
        return name

    def encode_text(self, text: str) -> list[int]:
        """See `AlignmentModel`."""
        return self.vocabulary.encode_plain(text)

    def context_room(self, committed: int) -> int:
        """See `AlignmentModel`."""
        return MAX_CONTEXT_TOKENS

    def token_bytes(self, token_id: int) -> bytes:
        """See `AlignmentModel`."""
        return self.vocabulary.token_bytes(token_id)

    def encode(self, samples: np.ndarray) -> mx.array:
        """Audio embeddings [frames, width] of `samples` [n], 16 kHz mono float.

        Raises:
            InputError: not one channel of more than 200 finite samples.
        """
        check_not_forked()
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
        return encode(self.engine.audio_tower, mel[0].astype(self.engine_dtype))

    def prefill(
        self,
        samples: np.ndarray,
        language: str | None = None,
        context: str = "",
        *,
        as_stream: bool = False,
    ) -> Qwen3Prefix:
        """See `AlignmentModel`; `context` goes into the system prompt. A stream reads the same."""
        audio = self.encode(samples)
        given = self.language_name(language)
        prompt = self.vocabulary.prompt(audio.shape[0], given, context)
        text = self.engine.model.embed_tokens(mx.array(prompt.ids))
        embedded = mx.concatenate(
            [text[: prompt.audio_start], audio.astype(text.dtype), text[prompt.audio_stop :]]
        )
        cache = KVCache(self.num_layers)
        hidden = decode(self.engine.model, embedded[None], cache, last=1)
        logits = linear(self.engine.lm_head, hidden[0, -1])
        head = () if given is not None else None
        return Qwen3Prefix(prompt, cache, logits, len(samples), given, head)

    def generate(self, prefixes: Sequence[Qwen3Prefix]) -> list[Answer]:
        """See `AlignmentModel`."""
        check_not_forked()
        return [
            self._answer(prefix, text.token_ids)
            for prefix, text in zip(prefixes, self._continued(prefixes), strict=True)
        ]

    def _continued(self, prefixes: Sequence[Qwen3Prefix]) -> list[Continuation]:
        """Greedy continuations of prompts, decoded together."""
        ends = self.vocabulary.end_ids
        texts = [Continuation(token_budget(prefix.samples), ends) for prefix in prefixes]
        if not prefixes:
            return texts
        first = np.array(mx.argmax(mx.stack([p.logits for p in prefixes]), axis=-1))
        open_still = [i for i, text in enumerate(texts) if text.take(int(first[i]))]
        if open_still:
            go_on(
                reading(self),
                mx.array(first[open_still]),
                [prefixes[i].cache for i in open_still],
                [texts[i] for i in open_still],
                is_waited_for=self.is_waited_for,
            )
        return texts

    def is_waited_for(self, keys: int) -> bool:
        """Whether a token that sees so many keys is computed while its step is built."""
        return is_large(self.engine.lm_head.weight) or is_waited_for(
            self.num_heads, keys, self.engine_dtype
        )

    def _answer(self, prefix: Qwen3Prefix, ids: list[int]) -> Answer:
        """The text and the language of an answer, whose head the prefix keeps."""
        if prefix.language is not None:
            return Answer(tuple(ids), prefix.language)
        language, start = self.vocabulary.answer_head(ids)
        prefix.head = tuple(ids[:start])
        return Answer(tuple(ids[start:]), language)

    def attention(
        self,
        prefix: Qwen3Prefix,
        text_ids: Sequence[int],
        on_layer: Callable[[int, np.ndarray], None],
    ) -> None:
        """See `AlignmentModel`. One layer at a time is held; the prompt is not read again.

        Where the language was not given, the text follows the head that the model writes.
        """
        check_not_forked()
        if not len(text_ids):
            return
        if prefix.head is None:
            self.generate([prefix])
        head = prefix.head or ()
        prompt = prefix.prompt

        def observe(layer: int, queries: mx.array, keys: mx.array) -> mx.array:
            weights = attention_weights(queries, keys)
            audio = weights[:, len(head) :, prompt.audio_start : prompt.audio_stop]
            on_layer(layer, np.array(audio))
            return weights

        cache = shared(prefix.cache)
        cache.trim(1)
        queried = mx.array([prompt.ids[-1], *head, *text_ids][:-1])
        embedded = self.engine.model.embed_tokens(queried)[None]
        decode(self.engine.model, embedded, cache, observe=observe)

    def open_source(
        self,
        heads: Sequence[tuple[int, int]],
        aggregate: Aggregate = "median",
        *,
        refresh_s: float | None = None,
    ) -> Qwen3Source:
        """See `AlignmentModel`."""
        if refresh_s is None:
            return Qwen3Source(self, heads, aggregate)
        return ReusingSource(self, heads, aggregate, refresh_s=refresh_s)

    def open_meter(
        self, heads: Sequence[tuple[int, int]], *, refresh_s: float | None = None
    ) -> Qwen3Meter | ReusingMeter:
        """See `AlignmentModel`."""
        if refresh_s is None:
            return Qwen3Meter(self, heads)
        return ReusingMeter(self, heads, refresh_s=refresh_s)

    def cost(self) -> CostModel:
        """See `AlignmentModel`."""
        return cost_of(self.engine.config, self.engine_dtype.size)


def load(checkpoint: Checkpoint, dtype: str | None = None, task: str = "transcribe") -> Qwen3Model:
    """Load the weights and the tokenizer of a checkpoint.

    Raises:
        InputError: files that are corrupt or do not belong together, or another task.
    """
    if task != "transcribe":
        raise InputError(
            f"task is {task!r}, but Qwen3-ASR only transcribes; Whisper's multilingual models "
            "translate",
            arguments=("task",),
        )
    check_not_forked()
    advise_openblas()
    wanted = getattr(mx, dtype) if dtype else default_dtype()
    engine = load_engine(checkpoint.folder, wanted, checkpoint.adapters)
    suit_threads(engine.config.text_config.hidden_size)
    keep_freed_memory()
    vocabulary = Vocabulary(checkpoint.folder)
    if vocabulary.size > engine.config.text_config.vocab_size:
        raise InputError(
            f"the tokenizer in {checkpoint.folder} has {vocabulary.size} tokens, the weights "
            f"only {engine.config.text_config.vocab_size}: they belong to different models"
        )
    return Qwen3Model(engine, vocabulary, checkpoint)
