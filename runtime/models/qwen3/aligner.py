"""The Qwen3 forced aligner on MLX."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ....corpora.aligners import AlignmentFailed
from ....corpora.long_alignment import Placed, align_in_windows
from ....corpora.utterance import WordTime
from ....corpora.words import joined_timed
from ....errors import InputError
from ..files import fingerprint_of

QWEN3_ALIGNER = "Qwen/Qwen3-ForcedAligner-0.6B"
_LONGEST_S = 180.0  # as much as qwen-asr gives it at once


class Qwen3Aligner:
    """`Qwen3-ForcedAligner-0.6B` on MLX: eleven languages, times on a grid of 80 ms."""

    name = "qwen3"

    def __init__(self, model: str = QWEN3_ALIGNER) -> None:
        import mlx_qwen3_asr

        self._model = model
        self.version = f"mlx-qwen3-asr {mlx_qwen3_asr.__version__} {model}, words as written"
        self._aligner: Any = None

    def align(self, samples: np.ndarray, text: str, language: str | None) -> list[WordTime]:
        """See `Aligner`. The language matters for Japanese and Korean, which have no spaces."""
        if not text.strip():
            return []
        aligner = self._loaded()

        def placed(samples: np.ndarray, first: int, last: int) -> list[Placed]:
            return _placed(aligner, samples, text[:last], first, language)

        timed = align_in_windows(placed, samples, len(text), _LONGEST_S)
        # It drops punctuation; where words are still one to one the transcript's are kept.
        written = [word for word in text.split() if any(c.isalnum() or c == "'" for c in word)]
        if len(written) != len(timed):
            timed = joined_timed(text, timed)
        if len(written) != len(timed):
            return timed
        pairs = zip(written, timed, strict=True)
        return [WordTime(word, time.start_s, time.end_s) for word, time in pairs]

    def fingerprint(self) -> str:
        """Of the files of the checkpoint, which are fetched if need be and not loaded.

        Raises:
            InputError: they are not there, or cannot be read.
        """
        from mlx_qwen3_asr.load_models import _resolve_path

        with self._needed():
            folder = Path(_resolve_path(self._model))
        return fingerprint_of(folder)

    def _loaded(self) -> Any:
        if self._aligner is None:
            from mlx_qwen3_asr import ForcedAligner

            aligner = ForcedAligner(self._model)
            with self._needed():
                aligner._ensure_loaded()
            self._aligner = aligner
        return self._aligner

    @contextlib.contextmanager
    def _needed(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            # The engine wraps whatever the hub, the disk or the checkpoint raises.
            reason = textwrap.shorten(str(error), 120, placeholder="...")
            raise InputError(
                f"qwen3 cannot load the weights of {self._model}, which align words: if they "
                "are not on this machine, run it once with a network, or choose pocketsphinx "
                f"(English) as aligner or a corpus with word times ({reason})",
                arguments=("aligner",),
            ) from error


def _placed(
    aligner: Any, samples: np.ndarray, text: str, first: int, language: str | None
) -> list[Placed]:
    """The words of `text` from the position `first` on, each with the position after it.

    The engine says which words it made of a text, not where they stand in it: each keeps the
    letters and digits of its part, in their order.
    """
    part = text[first:]
    if not part.strip():
        return []
    try:
        items = aligner.align(samples, part, language or "")
    except (RuntimeError, ValueError) as error:
        raise AlignmentFailed(f"qwen3 aligner: {error}") from error
    found, at = [], first
    for item in items:
        for letter in item.text:
            at = max(at, text.find(letter, at) + 1)
        found.append(Placed(WordTime(item.text, item.start_time, item.end_time), at))
    return found
