"""`SpeechModel`: a checkpoint of any family, loaded by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ...errors import InputError
from .checkpoint import Checkpoint, find_checkpoint
from .files import fingerprint_of
from .protocol import (
    Aggregate,
    AlignmentModel,
    Answer,
    AttentionKind,
    CostModel,
    FrameClock,
    HypothesisSource,
    Task,
    text_of,
)

Dtype = Literal["float32", "float16", "bfloat16"]
DTYPES: tuple[Dtype, ...] = get_args(Dtype)
TASKS: tuple[Task, ...] = get_args(Task)


def check_task(task: str) -> None:
    """Raise `InputError` if there is no such task."""
    if task not in TASKS:
        raise InputError(f"task is {task!r}, expected {' or '.join(TASKS)}", arguments=("task",))


@dataclass(frozen=True)
class Transcript:
    """What was said: the text, the language (None: no speech, or not named), and its token ids."""

    text: str
    language: str | None
    token_ids: tuple[int, ...]


def transcribe(
    model: AlignmentModel, samples: np.ndarray, language: str | None = None
) -> Transcript:
    """What `model` says of all of `samples` [n] at once, by greedy decoding.

    Raises:
        InputError: samples that the model cannot take, or a language that it lacks.
    """
    (answer,) = model.generate([model.prefill(samples, language)])
    return Transcript(text_of(model, answer.text_ids).strip(), answer.language, answer.text_ids)


class SpeechModel(ABC):
    """A loaded checkpoint; it is an `AlignmentModel`. Make one with `SpeechModel.load`."""

    family: str
    attention_kind: AttentionKind
    languages: tuple[str, ...]
    clock: FrameClock
    min_samples: int
    max_audio_s: float
    num_layers: int
    num_heads: int
    num_kv_heads: int
    dtype: str
    task: Task = "transcribe"

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.name = checkpoint.name
        self.label = checkpoint.label
        self.folder = checkpoint.folder
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
            self._fingerprint = fingerprint_of(self.folder)
        return self._fingerprint

    def transcribe(self, samples: np.ndarray, language: str | None = None) -> Transcript:
        """Transcribe `samples` [n], 16 kHz mono float, by greedy decoding.

        Raises:
            InputError: samples that the model cannot take, or a language that it lacks.
        """
        return transcribe(self, samples, language)

    @abstractmethod
    def language_name(self, language: str | None) -> str | None:
        """See `AlignmentModel`."""

    @abstractmethod
    def encode_text(self, text: str) -> list[int]:
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
    def cost(self) -> CostModel:
        """See `AlignmentModel`."""
