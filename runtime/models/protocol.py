"""The seam: what a model is for every room above this one.

A room above knows samples, text, tokens of text, and audio frames by their index. How long a frame
is, which tokens are special, how a prompt is put together and what the engine keeps between two
steps is known only to the family of the model, in a folder beside this file.

Audio is mono float32 at `corpora.audio.SAMPLE_RATE`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from ...corpora.audio import SAMPLE_RATE
from .work import Work

Aggregate = Literal["median", "mean"]
"""How the heads of a group give one frame: the median of their attended frames, or the frame with
the most of their mean attention."""

AttentionKind = Literal["self", "cross"]
Task = Literal["transcribe", "translate"]
"""What is written: what was said, or, of a family that can, its translation into English. The words
of a translation have no times of their own: they are given those of the audio looked at."""

CUT_SAMPLES = SAMPLE_RATE // 100
"""A buffer is cut at multiples of this (10 ms), so that a spectrogram of it can be kept."""
LEAD_SAMPLES = 2 * CUT_SAMPLES
"""Audio before a cut that a source is still given: the first frames of a spectrogram see it."""


class FrameClock(Protocol):
    """Where the audio frames of a model lie, in seconds from the start of the audio."""

    def count(self, samples: int) -> int:
        """How many frames the model makes of so many samples."""
        ...

    def span_s(self, frame: int) -> tuple[float, float]:
        """Start and end of a frame."""
        ...

    def frames(self, seconds: float) -> float:
        """How many frames, and which part of the next, lie before a time; also before 0.

        The inverse of `span_s`: `frames(span_s(f)[0])` is f. `frames(1.0)` is the rate.
        """
        ...


def frame_edges_s(clock: FrameClock, count: int) -> np.ndarray:
    """[count + 1], the start of each of the first `count` frames, and the end of the last."""
    starts = [clock.span_s(frame)[0] for frame in range(count)]
    return np.array([*starts, clock.span_s(count - 1)[1] if count else 0.0])


class Prefix(Protocol):
    """Audio and prompt that have been read, up to where the model's text begins."""

    @property
    def frames(self) -> int:
        """Audio frames that a head can attend to."""
        ...


@dataclass(frozen=True)
class Answer:
    """What a model says of a `Prefix`.

    Attributes:
        text_ids: tokens of the text, without any special one.
        language: the one given, or the one that the model found; None: not known; with no text,
            there was no speech.
    """

    text_ids: tuple[int, ...]
    language: str | None


@dataclass(frozen=True)
class Hypothesis:
    """What a model would say after the committed text, given a buffer of audio.

    A row belongs to each token, and one more to the end of the text if it came.

    Attributes:
        token_ids: [tokens], text only.
        language: given or detected; None: not known; with no tokens, no speech was found.
        frames: [rows] float, the frame that the group of heads attended to when the token was
            predicted: the `Aggregate` of theirs.
        head_frames: [rows, heads] int, each head's own, in the order in which they were asked for.
        probabilities: [rows], the model's probability of the token.
        audio_frames: frames in the buffer.
        ended: whether the model ended the text; else the token budget or a loop did.
        decoded: rows that were decoded, those of a loop among them that is cut from the text;
            None: not known.
        no_speech: the model's probability that nothing is said in the buffer, where it gives one
            and nothing of the buffer is committed; else 0.
        weights: [rows, heads, audio_frames] float32, each head's attention over the audio,
            normalised to 1; None unless the aggregate is "mean".
    """

    token_ids: tuple[int, ...]
    language: str | None
    frames: np.ndarray
    head_frames: np.ndarray
    probabilities: np.ndarray
    audio_frames: int
    ended: bool
    no_speech: float = 0.0
    weights: np.ndarray | None = None
    decoded: int | None = None

    @classmethod
    def nothing(cls, heads: int, language: str | None = None) -> Hypothesis:
        """Of a buffer that is too short to say anything of."""
        none = np.zeros(0)
        return cls((), language, none, np.zeros((0, heads), int), none, 0, True)


Until = Callable[[Hypothesis], bool]
"""Whether of a hypothesis that has come so far all is known that is wanted."""


class HypothesisSource(Protocol):
    """What a stream asks for hypotheses: a model, or a memory of one. One source is one stream.

    One that counts what it computes has a property `work`, all of it since it was opened. One that
    can stop has `can_stop`, and `hypothesis` takes `until`: decoding ends where that is true of
    what has come. One that goes on over cuts has `cut_samples`, and `drop` takes `goes_on`: of a
    cut at a multiple of so many, what was read of the rest may stay.
    """

    def reset(self) -> None:
        """A new stream starts."""
        ...

    def drop(self, samples: int) -> None:
        """The buffer's first `samples`, a multiple of `CUT_SAMPLES`, have left it."""
        ...

    def hypothesis(
        self,
        samples: np.ndarray,
        lead: int,
        committed_ids: Sequence[int],
        language: str | None,
        context: str = "",
    ) -> Hypothesis:
        """Greedy continuation of `committed_ids`, given the buffer.

        Args:
            samples: [lead + n] float32: `lead` samples of the audio before the buffer, then it.
            lead: 0 at a stream's start, after a cut `LEAD_SAMPLES`.
            committed_ids: tokens of text that are committed and whose audio is in the buffer.
            language: the model's own name of it, or None while it is not known: also after
                committed tokens, where the model named none.
            context: text before the buffer, no longer than `AlignmentModel.context_room`: what
                the stream was told, and what was said.
        """
        ...


class Meter(Protocol):
    """What a `HypothesisSource` would have computed for answers that are known from elsewhere.

    Of one stream, like a source.
    """

    @property
    def work(self) -> Work:
        """So far."""
        ...

    def reset(self) -> None:
        """See `HypothesisSource`."""
        ...

    def drop(self, samples: int) -> None:
        """See `HypothesisSource`."""
        ...

    def note(
        self,
        samples: np.ndarray,
        lead: int,
        committed_ids: Sequence[int],
        language: str | None,
        context: str,
        said: Hypothesis,
    ) -> None:
        """A source was asked this, and `said` this `Hypothesis`."""
        ...


def work_of(source: HypothesisSource) -> Work | None:
    """What a source has computed; None where it does not count."""
    return getattr(source, "work", None)


@dataclass(frozen=True)
class CostModel:
    """What computing costs, in floating-point operations: a multiplication and an addition are two.

    Attributes:
        encoder_flop_per_frame: convolutions and dense layers of the encoder, for an audio frame.
        encoder_flop_per_pair: attention of the encoder, for each pair of frames in a window.
        decoder_flop_per_position: dense layers of the text decoder, for each position read.
        decoder_flop_per_pair: its attention, for each pair of a position and one it attends to.
        vocabulary_flop_per_row: logits over the vocabulary, for each token predicted.
        cache_bytes_per_position: memory of the keys and values of a position.
    """

    encoder_flop_per_frame: float
    encoder_flop_per_pair: float
    decoder_flop_per_position: float
    decoder_flop_per_pair: float
    vocabulary_flop_per_row: float
    cache_bytes_per_position: int


class AlignmentModel(Protocol):
    """A speech model with attention that can be looked at.

    One with `can_reuse` opens sources and meters with `refresh_s`, too, for `DecoderConfig.reuse`.

    Attributes:
        name: of the checkpoint, as it goes into results.
        label: a short form of it for file names.
        family: "qwen3", …
        attention_kind: "cross": the heads looked at see nothing but the audio; "self": it lies
            inside of the text that they see.
        num_layers, num_heads, num_kv_heads: of the text decoder.
        languages: the names of those it knows; empty: it does not say.
        clock: see `FrameClock`.
        min_samples: it takes no less audio.
        max_audio_s: it takes no more.
        longest_piece_s: a longer recording is transcribed in pieces, cut at pauses.
        dtype: of its weights, "float32", "float16" or "bfloat16".
        task: see `Task`.
    """

    name: str
    label: str
    family: str
    attention_kind: AttentionKind
    num_layers: int
    num_heads: int
    num_kv_heads: int
    languages: tuple[str, ...]
    clock: FrameClock
    min_samples: int
    max_audio_s: float
    longest_piece_s: float
    dtype: str
    task: Task

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with the checkpoint's files."""
        ...

    def language_name(self, language: str | None) -> str | None:
        """The model's own name of a language (`en`, `en-GB` -> `English`); None where it is
        to be detected: `auto`, or None.

        Raises:
            InputError: the checkpoint does not know it.
        """
        ...

    def encode_text(self, text: str) -> list[int]:
        """The tokens of a text. What reads like a special token is text, too."""
        ...

    def context_room(self, committed: int) -> int:
        """How many tokens of context there is room for, beside so many of committed text."""
        ...

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of a token of text, which may begin or end inside a character."""
        ...

    def prefill(
        self,
        samples: np.ndarray,
        language: str | None = None,
        context: str = "",
        *,
        as_stream: bool = False,
    ) -> Prefix:
        """Read `samples` [n] and the prompt around them.

        Args:
            samples: [n] float.
            language: given, or None to have it detected.
            context: text that was said before, or that is told.
            as_stream: as a stream reads its buffer, where a family reads it in another way than
                a whole recording.

        Raises:
            InputError: samples that the model cannot take, or a language that it lacks.
        """
        ...

    def generate(self, prefixes: Sequence[Prefix]) -> list[Answer]:
        """Greedy answers, decoded together. The prefixes can be used again."""
        ...

    def attention(
        self,
        prefix: Prefix,
        text_ids: Sequence[int],
        on_layer: Callable[[int, np.ndarray], None],
    ) -> None:
        """Show the attention of each token of a text over the audio, layer by layer.

        The query of a token is the one that predicts it. Decoders are causal, so one pass over a
        text gives exactly the attention that decoding it token by token would have had.

        Args:
            prefix: what the text follows.
            text_ids: the model's own answer, or any other text.
            on_layer: called with the layer's index and [heads, tokens, frames] float32, the
                softmax over all that the query sees, of which this is the audio's share.
        """
        ...

    def open_source(
        self, heads: Sequence[tuple[int, int]], aggregate: Aggregate = "median"
    ) -> HypothesisSource:
        """A source for a new stream that looks at these (layer, head) pairs."""
        ...

    def open_meter(self, heads: Sequence[tuple[int, int]]) -> Meter:
        """What counts a new stream that looks at these pairs without computing it."""
        ...

    def cost(self) -> CostModel:
        """What it costs to run."""
        ...


def text_of(model: AlignmentModel, token_ids: Sequence[int]) -> str:
    """The text of `token_ids`, without a character of which only a part is there."""
    return b"".join(map(model.token_bytes, token_ids)).decode("utf-8", errors="ignore")
