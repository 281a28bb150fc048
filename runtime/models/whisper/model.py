"""A Whisper checkpoint that encodes, decodes and shows its cross-attention.

Knows MLX and the checkpoint's files; nothing of corpora, scores or streaming policy.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from mlx.utils import tree_flatten
from mlx_qwen3_asr.decoder import KVCache

from ....corpora.audio import SAMPLE_RATE
from ....errors import InputError
from ..backend import advise_openblas, check_not_forked, default_dtype, mx
from ..checkpoint import Checkpoint
from ..continuation import Continuation, token_budget
from ..cpu.activations import is_waited_for
from ..cpu.heap import keep_freed_memory
from ..cpu.openblas import suit_threads
from ..cpu.products import is_large
from ..files import read_config
from ..greedy import go_on
from ..kv_cache import shared
from ..languages import is_detected
from ..log_mel import LogMel, mel_filterbank
from ..model import SpeechModel
from ..protocol import Aggregate, Answer, CostModel, Task
from ..tensors import pack_modules, packings
from .clock import EvenClock
from .cost import cost_of
from .dimensions import Dimensions, dimensions
from .languages import NAMES, code_of
from .meter import WhisperMeter
from .network import Cross, Network
from .source import MARGIN_S, WhisperSource
from .step import reading
from .vocabulary import Vocabulary
from .weights import read_weights

FRAMES_PER_S = 50
_LEAST_SAID = 32  # tokens of new text that must stay possible beside a context
MIN_SAMPLES = 400  # a window of the spectrogram


@dataclass
class WhisperPrefix:
    """Audio and prompt that have been read.

    Attributes:
        prompt: its tokens.
        cross: keys and values of the audio, the padding of the window among them.
        cache: keys and values of the prompt.
        logits: [vocabulary] of the first token of text.
        frames: of the audio, without padding.
        samples: length of the audio.
        language: given or detected, its code.
        no_speech: the probability of there being none, by the model.
    """

    prompt: list[int]
    cross: Cross
    cache: KVCache
    logits: mx.array
    frames: int
    samples: int
    language: str
    no_speech: float


class WhisperModel(SpeechModel):
    """See `SpeechModel`.

    Attributes:
        network: encoder and decoder.
        dims: their sizes.
        vocabulary: of the checkpoint.
        engine_dtype: MLX's own name of `dtype`.
        suppress: [vocabulary], minus infinity for tokens that are never said, else 0.
        suppress_blank: the same of a space by itself, which no text begins with.
        suppress_first: the same of both, and of the text's end.
    """

    family = "whisper"
    attention_kind = "cross"
    clock = EvenClock(FRAMES_PER_S)
    min_samples = MIN_SAMPLES

    def __init__(
        self,
        network: Network,
        dims: Dimensions,
        vocabulary: Vocabulary,
        checkpoint: Checkpoint,
        task: Task = "transcribe",
    ) -> None:
        super().__init__(checkpoint)
        self.network, self.dims, self.vocabulary = network, dims, vocabulary
        self.task: Task = task
        self.num_layers, self.num_heads = dims.n_text_layer, dims.n_text_head
        self.num_kv_heads = dims.n_text_head
        self.max_audio_s = self.longest_piece_s = dims.n_audio_ctx / FRAMES_PER_S
        self.engine_dtype: mx.Dtype = network.decoder.positional_embedding.dtype
        self.dtype = str(self.engine_dtype).removeprefix("mlx.core.")
        self.languages = tuple(NAMES[code] for code in vocabulary.languages) or (NAMES["en"],)
        self.log_mel = LogMel(mel_filterbank(dims.n_mels))
        self.suppress = self._minus_infinity(vocabulary.suppressed)
        blank = set() if vocabulary.blank_id is None else {vocabulary.blank_id}
        self.suppress_blank = self._minus_infinity(blank)
        self.suppress_first = self._minus_infinity(
            {*vocabulary.suppressed, *blank, vocabulary.end_id}
        )

    @property
    def fingerprint(self) -> str:
        """See `AlignmentModel`; a translation is another model's text."""
        own = super().fingerprint
        if self.task == "transcribe":
            return own
        return hashlib.sha256(f"{own} {self.task}".encode()).hexdigest()[:16]

    def _minus_infinity(self, tokens: Iterable[int]) -> mx.array:
        values = np.zeros(self.dims.n_vocab, np.float32)
        values[sorted(tokens)] = -np.inf
        return mx.array(values).astype(self.engine_dtype)

    def language_name(self, language: str | None) -> str | None:
        """See `AlignmentModel`."""
        if language is None or is_detected(language):
            return None
        if not language.strip():
            raise InputError("the language is an empty string; leave it out to detect it")
        name = NAMES.get(code_of(language) or "")
        if name is None or name not in self.languages:
            known = ", ".join(sorted(self.languages))
            raise InputError(
                f"{self.name} does not know the language {language!r}; it knows {known}"
            )
        return name

    def encode_text(self, text: str) -> list[int]:
        """See `AlignmentModel`. Whisper writes a space before the first word."""
        text = text.strip()
        return self.vocabulary.encode(f" {text}") if text else []

    def context_room(self, committed: int) -> int:
        """See `AlignmentModel`. Half of the text's positions, as the model was trained."""
        if self.vocabulary.previous_id is None:
            return 0
        prompt, _ = self.vocabulary.prompt(None, self.task)
        around = len(prompt) + 3 + committed + _LEAST_SAID  # a language, a task, what comes before
        return max(0, min(self.dims.n_text_ctx // 2 - 1, self.dims.n_text_ctx - around))

    def token_bytes(self, token_id: int) -> bytes:
        """See `AlignmentModel`."""
        return self.vocabulary.token_bytes(token_id)

    def encode(self, samples: np.ndarray, margin_s: float = math.inf) -> mx.array:
        """[1, frames, width] of `samples` and the silence after them; see `spectrogram`."""
        return self.network.encoder(self.spectrogram(samples, margin_s))

    def spectrogram(self, samples: np.ndarray, margin_s: float = math.inf) -> mx.array:
        """[mel frames, bands] of `samples` [n] and the silence after them.

        Args:
            samples: [n] float, no more than `max_audio_s`.
            margin_s: so much silence, at most up to the window's end, as the model was trained.

        Raises:
            InputError: samples that the model cannot take.
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
        if len(samples) > self.max_audio_s * SAMPLE_RATE:
            raise InputError(
                f"{len(samples) / SAMPLE_RATE:.1f} s of audio, but {self.name} reads no more than "
                f"{self.max_audio_s:g} s at once; transcribe it, which cuts it at pauses, or "
                "stream it (decode-stream)"
            )
        if not np.isfinite(samples).all():
            raise InputError("the samples hold NaN or infinity")
        mel = self.log_mel.padded(samples.astype(np.float32), self._window(len(samples), margin_s))
        return mx.array(mel.T).astype(self.engine_dtype)

    def frames_read(self, samples: int, margin_s: float) -> int:
        """Audio frames that are encoded of so many samples and a margin of silence."""
        return self._window(samples, margin_s) // 2

    def _window(self, samples: int, margin_s: float) -> int:
        """Mel frames of so many samples and a margin: a whole number of audio frames."""
        longest = 2 * self.dims.n_audio_ctx
        if math.isinf(margin_s):
            return longest
        frames = math.ceil((samples / SAMPLE_RATE + margin_s) * FRAMES_PER_S)
        return min(longest, 2 * frames)

    def prefill(
        self,
        samples: np.ndarray,
        language: str | None = None,
        context: str = "",
        *,
        as_stream: bool = False,
    ) -> WhisperPrefix:
        """See `AlignmentModel`; `context` follows `<|startofprev|>`.

        A window of 30 s is read; as a stream does, the audio and `MARGIN_S` of silence.
        """
        given = self.language_name(language)
        audio = self.encode(samples, MARGIN_S if as_stream else math.inf)
        cross = self.network.decoder.cross(audio)
        code = self.detected(cross)[0] if given is None else code_of(given)
        assert code is not None
        prompt, start = self.vocabulary.prompt(code, self.task, self.context_ids(context))
        cache = KVCache(self.num_layers)
        hidden = self.network.decoder(mx.array([prompt]), cache, cross)
        logits = self.network.logits(hidden[0, mx.array([start, len(prompt) - 1])])
        return WhisperPrefix(
            prompt, cross, cache, logits[1], self.clock.count(len(samples)), len(samples), code,
            self.no_speech(logits[0]),
        )  # fmt: skip

    def context_ids(self, context: str) -> list[int]:
        """The end of a text that was said before, as many tokens as the model has room for."""
        most = self.dims.n_text_ctx // 2 - 1
        return self.encode_text(context)[-most:]

    def prompt_before(self, code: str | None, context: str, committed: int) -> list[int]:
        """What stands before so many committed tokens; without the context where that is too much.

        `code`: of the language.
        """
        prompt, _ = self.vocabulary.prompt(code, self.task, self.context_ids(context))
        if len(prompt) + committed >= self.dims.n_text_ctx:
            prompt, _ = self.vocabulary.prompt(code, self.task)
        return prompt

    def no_speech(self, logits: mx.array) -> float:
        """The probability of no speech, of the logits [vocabulary] after the start token."""
        if self.vocabulary.no_speech_id is None:
            return 0.0
        return float(mx.softmax(logits.astype(mx.float32))[self.vocabulary.no_speech_id])

    def detected(self, cross: Cross) -> tuple[str, float]:
        """What the model takes the audio for: the code of its language, and P(no speech)."""
        start = mx.array([[self.vocabulary.start_id]])
        hidden = self.network.decoder(start, KVCache(self.num_layers), cross)
        return self.heard(self.network.logits(hidden[0, -1]))

    def heard(self, logits: mx.array) -> tuple[str, float]:
        """What `detected` says, of the logits [vocabulary] after the start token."""
        each = np.array(logits.astype(mx.float32))
        languages = self.vocabulary.languages or {"en": self.vocabulary.start_id}
        code = max(languages.items(), key=lambda item: each[item[1]])[0]
        return code, self.no_speech(logits)

    def generate(self, prefixes: Sequence[WhisperPrefix]) -> list[Answer]:
        """See `AlignmentModel`."""
        check_not_forked()
        if not prefixes:
            return []
        ends = {self.vocabulary.end_id}
        texts = [Continuation(self.budget(p.samples, len(p.prompt)), ends) for p in prefixes]
        logits = mx.stack([prefix.logits for prefix in prefixes]) + self.suppress_first
        first = np.array(mx.argmax(logits, axis=-1))
        live = [i for i, text in enumerate(texts) if text.take(int(first[i]))]
        if live:
            encoded = max(prefixes[i].cross[0][0].shape[2] for i in live)
            go_on(
                reading(self, [prefixes[i].cross for i in live]),
                mx.array(first[live]),
                [prefixes[i].cache for i in live],
                [texts[i] for i in live],
                is_waited_for=lambda keys: self.is_waited_for(max(keys, encoded)),
            )
        return [
            Answer(tuple(text.token_ids), NAMES[prefix.language])
            for prefix, text in zip(prefixes, texts, strict=True)
        ]

    def is_waited_for(self, keys: int) -> bool:
        """Whether a token that sees so many keys is computed while its step is built."""
        return is_large(self.network.decoder.token_embedding.weight) or is_waited_for(
            self.num_heads, keys, self.engine_dtype
        )

    def budget(self, samples: int, prompt_tokens: int) -> int:
        """The most tokens that may be said of so much audio after such a prompt."""
        return max(0, min(token_budget(samples), self.dims.n_text_ctx - prompt_tokens - 1))

    def attention(
        self,
        prefix: WhisperPrefix,
        text_ids: Sequence[int],
        on_layer: Callable[[int, np.ndarray], None],
    ) -> None:
        """See `AlignmentModel`. The window's padding is cut off after the softmax."""
        check_not_forked()
        room = self.dims.n_text_ctx - len(prefix.prompt) + 1
        if len(text_ids) > room:
            raise InputError(
                f"a text of {len(text_ids)} tokens, but {self.name} has room for {room}"
            )
        if not len(text_ids):
            return

        def observe(layer: int, queries: mx.array, keys: mx.array) -> None:
            scores = (queries[0].astype(mx.float32) * queries.shape[-1] ** -0.5) @ keys[0].astype(
                mx.float32
            ).swapaxes(-1, -2)
            on_layer(layer, np.array(mx.softmax(scores, axis=-1)[..., : prefix.frames]))

        cache = shared(prefix.cache)
        cache.trim(1)
        queried = mx.array([[prefix.prompt[-1], *text_ids][:-1]])
        mx.eval(self.network.decoder(queried, cache, prefix.cross, observe=observe))

    def open_source(
        self, heads: Sequence[tuple[int, int]], aggregate: Aggregate = "median"
    ) -> WhisperSource:
        """See `AlignmentModel`."""
        return WhisperSource(self, heads, aggregate)

    def open_meter(self, heads: Sequence[tuple[int, int]]) -> WhisperMeter:
        """See `AlignmentModel`."""
        return WhisperMeter(self, heads)

    def cost(self) -> CostModel:
        """See `AlignmentModel`."""
        return cost_of(self.dims, self.engine_dtype.size)


def load(
    checkpoint: Checkpoint, dtype: str | None = None, task: Task = "transcribe"
) -> WhisperModel:
    """Load the weights and the tokenizer of a checkpoint.

    Raises:
        InputError: files that are corrupt, of another layout, or do not belong together, or a
            model of English alone that is to translate.
    """
    check_not_forked()
    advise_openblas()
    folder, wanted = checkpoint.folder, getattr(mx, dtype) if dtype else default_dtype()
    config = read_config(folder)
    tensors = read_weights(folder, config)
    shapes = {name: tuple(array.shape) for name, array in tensors.items()}
    packed = packings(tensors, config)
    embedding = "decoder.token_embedding"
    if embedding in packed:
        # Packed: as many rows, fewer columns.
        width = shapes["decoder.positional_embedding"][1]
        shapes[f"{embedding}.weight"] = (shapes[f"{embedding}.weight"][0], width)
    dims = dimensions(config, shapes, str(folder))
    network = Network(dims)
    pack_modules(network, packed)
    _check_tensors(network, tensors, str(folder))
    network.load_weights(list(tensors.items()))
    network.set_dtype(wanted)
    mx.eval(network.parameters())
    suit_threads(dims.n_text_state)
    keep_freed_memory()
    vocabulary = Vocabulary(folder, dims.n_vocab)
    if task != "transcribe" and vocabulary.task_id(task) is None:
        raise InputError(
            f"task is {task!r}, but {checkpoint.name} knows English alone; a multilingual Whisper "
            "translates",
            arguments=("task",),
        )
    return WhisperModel(network, dims, vocabulary, checkpoint, task)


def _check_tensors(network: Network, tensors: dict[str, mx.array], where: str) -> None:
    """Make sure that the tensors are those of the network.

    Raises:
        InputError: which are missing, unknown, or of another shape.
    """
    parameters: list[tuple[str, mx.array]] = list(tree_flatten(network.parameters()))  # type: ignore[arg-type]
    wanted = {name: array.shape for name, array in parameters}
    missing, unknown = sorted(set(wanted) - set(tensors)), sorted(set(tensors) - set(wanted))
    faults = [f"lack {name}" for name in missing[:2]] + [f"have {name}" for name in unknown[:2]]
    faults += [
        f"have {name} of shape {tensors[name].shape}, expected {shape}"
        for name, shape in wanted.items()
        if name in tensors and tensors[name].shape != shape
    ][:2]
    if faults:
        raise InputError(
            f"the weights in {where} are not of a Whisper layout that is known: they "
            f"{'; they '.join(faults)}"
        )
