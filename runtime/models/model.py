"""`SpeechModel`: a checkpoint of any family, loaded by name."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ...corpora.audio import SAMPLE_RATE
from ...corpora.pauses import Piece, cut_at_pauses
from ...errors import InputError
from ..policy.words import space_between
from .checkpoint import Checkpoint, find_checkpoint
from .context import answer_of, checked_context
from .files import fingerprint_of
from .protocol import (
    Aggregate,
    AlignmentModel,
    Answer,
    AttentionKind,
    CostModel,
    FrameClock,
    HypothesisSource,
    Meter,
    Task,
    text_of,
)

Dtype = Literal["float32", "float16", "bfloat16"]
DTYPES: tuple[Dtype, ...] = get_args(Dtype)
TASKS: tuple[Task, ...] = get_args(Task)
_log = logging.getLogger(__name__)


def check_task(task: str) -> None:
    """Raise `InputError` if there is no such task."""
    if task not in TASKS:
        raise InputError(f"task is {task!r}, expected {' or '.join(TASKS)}", arguments=("task",))


@dataclass(frozen=True)
class Transcript:
    """What was said: the text, the language (None: no speech, or not named), and its token ids.

    Of a recording that was read in pieces, the ids are those of each, without the white space
    between them.
    """

    text: str
    language: str | None
    token_ids: tuple[int, ...]


def transcribe(
    model: AlignmentModel, samples: np.ndarray, language: str | None = None, context: str = ""
) -> Transcript:
    """What `model` says of `samples` [n], by greedy decoding.

    A recording longer than the model's `longest_piece_s` is cut at pauses, and its pieces are
    transcribed one after another, so that memory stays level. Where it has no pause it is cut
    where it is quietest, which is logged. Each piece has a language of its own, and the
    transcript that of most of its text.

    Args:
        model: loaded.
        samples: 16 kHz.
        language: None: detected.
        context: names and terms that may be said. Where the model only repeats them, without
            hearing them, it is asked again without.

    Raises:
        InputError: samples that the model cannot take, a language that it lacks, or a context that
            it has no room for.
    """
    context = checked_context(model, context)
    samples = np.asarray(samples)
    if samples.ndim != 1:
        return _whole(model, samples, language, context)
    pieces = cut_at_pauses(samples, model.longest_piece_s)
    _tell_of_cuts([piece for piece in pieces if piece.in_speech], len(samples))
    return _joined([_whole(model, samples[p.start : p.stop], language, context) for p in pieces])


def _whole(
    model: AlignmentModel, samples: np.ndarray, language: str | None, context: str
) -> Transcript:
    answer = answer_of(model, samples, language, context)
    return Transcript(text_of(model, answer.text_ids).strip(), answer.language, answer.text_ids)


def _tell_of_cuts(in_speech: Sequence[Piece], count: int) -> None:
    if in_speech:
        more = f", and at {len(in_speech) - 1} more places" if len(in_speech) > 1 else ""
        _log.warning(
            f"a recording of {count / SAMPLE_RATE:.1f} s was cut where it has no pause, at "
            f"{in_speech[0].stop / SAMPLE_RATE:.1f} s{more}: a word there may be wrong"
        )


def _joined(pieces: Sequence[Transcript]) -> Transcript:
    """The pieces of one recording as one transcript."""
    text, written = "", Counter[str | None]()
    for piece in pieces:
        text += space_between(text, piece.text) + piece.text
        written[piece.language] += len(piece.text)
    ((language, _),) = written.most_common(1)
    return Transcript(text, language, tuple(chain(*(piece.token_ids for piece in pieces))))


class SpeechModel(ABC):
    """A loaded checkpoint; it is an `AlignmentModel`. Make one with `SpeechModel.load`."""

    family: str
    attention_kind: AttentionKind
    languages: tuple[str, ...]
    clock: FrameClock
    min_samples: int
    max_audio_s: float
    can_reuse = False
    longest_piece_s: float
    num_layers: int
    num_heads: int
    num_kv_heads: int
    dtype: str
    task: Task = "transcribe"

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.name = checkpoint.name
        self.label = checkpoint.label
        self.folder = checkpoint.folder
        # An adapter beside its base is in the same folder.
        self._files = tuple(dict.fromkeys((checkpoint.folder, *checkpoint.adapters)))
        self._fingerprint: str | None = None

    @staticmethod
    def load(
        model: str | Path = "tiny",
        dtype: Dtype | str | None = None,
        task: Task | str = "transcribe",
    ) -> SpeechModel:
        """Load a checkpoint.

        Args:
            model: `tiny` (bundled), `0.6b`, `1.7b`, `whisper-tiny` to `whisper-large-v3-turbo`, a
                hub repository, or a folder.
            dtype: `float32`, `float16` or `bfloat16`; None: float16 on Metal and CUDA,
                float32 on the CPU.
            task: see `protocol.Task`.

        Raises:
            InputError: an unknown name, missing or corrupt files, another architecture, or a
                checkpoint that does not translate.
        """
        check_task(task)
        if dtype not in (None, *DTYPES):
            raise InputError(f"unknown dtype {dtype!r}; known: {', '.join(DTYPES)}")
        checkpoint = find_checkpoint(model)
        loader = import_module(f".{checkpoint.family}.model", __package__)
        return loader.load(checkpoint, dtype, task)

    @property
    def fingerprint(self) -> str:
        """See `AlignmentModel`. The files are read when it is first asked for."""
        if self._fingerprint is None:
            self._fingerprint = fingerprint_of(*self._files)
        return self._fingerprint

    def transcribe(
        self, samples: np.ndarray, language: str | None = None, context: str = ""
    ) -> Transcript:
        """Transcribe `samples` [n], 16 kHz mono float, by greedy decoding; see `transcribe`.

        Raises:
            InputError: samples that the model cannot take, a language that it lacks, or a context
                that it has no room for.
        """
        return transcribe(self, samples, language, context)

    @abstractmethod
    def language_name(self, language: str | None) -> str | None:
        """See `AlignmentModel`."""

    @abstractmethod
    def encode_text(self, text: str) -> list[int]:
        """See `AlignmentModel`."""

    @abstractmethod
    def context_room(self, committed: int) -> int:
        """See `AlignmentModel`."""

    @abstractmethod
    def token_bytes(self, token_id: int) -> bytes:
        """See `AlignmentModel`."""

    @abstractmethod
    def prefill(
        self,
        samples: np.ndarray,
        language: str | None = None,
        context: str = "",
        *,
        as_stream: bool = False,
    ) -> Any:
        """See `AlignmentModel`."""

    @abstractmethod
    def generate(self, prefixes: Sequence[Any]) -> list[Answer]:
        """See `AlignmentModel`."""

    @abstractmethod
    def attention(
        self,
        prefix: Any,
        text_ids: Sequence[int],
        on_layer: Callable[[int, np.ndarray], None],
    ) -> None:
        """See `AlignmentModel`."""

    @abstractmethod
    def open_source(
        self, heads: Sequence[tuple[int, int]], aggregate: Aggregate = "median"
    ) -> HypothesisSource:
        """See `AlignmentModel`."""

    @abstractmethod
    def open_meter(self, heads: Sequence[tuple[int, int]]) -> Meter:
        """See `AlignmentModel`."""

    @abstractmethod
    def cost(self) -> CostModel:
        """See `AlignmentModel`."""
