"""Forced aligners: word times from audio and its transcript. `Aligner` is their protocol."""

from __future__ import annotations

import math
import re
from typing import Any, Protocol

import numpy as np

from ..errors import InputError
from .audio import SAMPLE_RATE
from .pronunciation import english_spelling, pronounce
from .utterance import WordTime


class AlignmentFailed(Exception):
    """One utterance cannot be aligned; others may be. The message gives the reason."""


class Aligner(Protocol):
    """The interface of a forced aligner.

    `name` and `version` are written into results and cache keys. The `version` must change with
    anything that changes the word times: library, model and settings.
    """

    @property
    def name(self) -> str:
        """The name that `runtime.models.aligners.make_aligner` takes."""
        ...

    @property
    def version(self) -> str:
        """The versions of the library, the model and the settings, as text."""
        ...

    def align(self, samples: np.ndarray, text: str, language: str | None) -> list[WordTime]:
        """The times of the words of `text`, in its order and in its spelling.

        Words without a letter or digit, and words that the aligner cannot pronounce, are left out.

        Args:
            samples: [n] float32, 16 kHz.
            text: the transcript.
            language: the name that the model uses, such as "English", or None.

        Raises:
            AlignmentFailed: this utterance cannot be aligned.
            InputError: the aligner cannot be used at all.
        """
        ...


class GoldAligner:
    """The word times that come with the corpus. `align_utterances` reads them from there."""

    name = "gold"
    version = "1"

    def align(self, samples: np.ndarray, text: str, language: str | None) -> list[WordTime]:
        """Always raises an InputError: gold times belong to an utterance, not to samples."""
        raise InputError("gold word times come with the corpus; for others choose qwen3")


class PocketsphinxAligner:
    """CMU PocketSphinx with its US English model. Runs offline; times are multiples of 10 ms.

    Words that are not in its dictionary are given a pronunciation by rule (`pronunciation.py`).
    Words without a Latin letter or digit get no time.
    """

    name = "pocketsphinx"
    # Silence added after the audio: without it, the last word is stretched to the end of the audio.
    _PADDING_S = 0.3
    _FRAMES_PER_S = 100

    def __init__(self) -> None:
        try:
            import pocketsphinx
        except ImportError as error:
            raise InputError(
                "the pocketsphinx aligner is not installed: pip install 'alignheads[pocketsphinx]'"
            ) from error
        from importlib.metadata import version

        self.version = f"pocketsphinx {version('pocketsphinx')} en-us, settings 1"
        # The beams are 0, so that nothing is pruned: an utterance whose path is pruned cannot be
        # aligned (with beams of 1e-100, 5 of the demo's 48). bestpath is off because it lost the
        # last word of 4 in 60 strings of spoken digits. The default weights are meant for a
        # language model; with them, a tenth of the word borders were up to 50 ms further off.
        self._decoder: Any = pocketsphinx.Decoder(
            hmm=pocketsphinx.get_model_path("en-us/en-us"),
            dict=pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"),
            lm=None,
            cmn="batch",
            bestpath=False,
            lw=1.0,
            wip=1.0,
            silprob=0.1,
            beam=0.0,
            pbeam=0.0,
            wbeam=0.0,
            loglevel="FATAL",
        )
        self._by_rule: set[str] = set()

    def align(self, samples: np.ndarray, text: str, language: str | None) -> list[WordTime]:
        """See `Aligner`. English is the only language; None is taken as English."""
        if language and language.lower() not in ("english", "en"):
            raise AlignmentFailed(f"the pocketsphinx aligner knows English, not {language}")
        words = [(word, parts) for word in text.split() if (parts := self._parts(word))]
        if not words:
            return []
        spans = self._spans(samples, [part for _, parts in words for part in parts])
        timed, used = [], 0
        for word, parts in words:
            start_s, end_s = spans[used][0], spans[used + len(parts) - 1][1]
            timed.append(WordTime(word, start_s, end_s))
            used += len(parts)
        return timed

    def unknown_words(self, text: str) -> list[str]:
        """The words of `text` whose pronunciation comes from rules and not from the dictionary."""
        return [w for w in text.split() if self._by_rule.intersection(self._parts(w))]

    def _parts(self, word: str) -> list[str]:
        """The dictionary entries of a word: one for each part between hyphens or slashes."""
        entries = []
        for part in re.split(r"[-‐‑–—/]", word):
            spelling = english_spelling(part)
            if spelling and self._decoder.lookup_word(spelling) is None:
                phones = pronounce(spelling)
                if phones is None:
                    continue
                self._decoder.add_word(spelling, phones)
                self._by_rule.add(spelling)
            if spelling:
                entries.append(spelling)
        return entries

    def _spans(self, samples: np.ndarray, entries: list[str]) -> list[tuple[float, float]]:
        """Start and end of each dictionary entry, in seconds."""
        decoder = self._decoder
        decoder.reinit_feat()  # drop the state of the last utterance: order must not change results
        try:
            decoder.set_align_text(" ".join(entries))
            decoder.start_utt()
            decoder.process_raw(self._padded(samples), full_utt=True)
            decoder.end_utt()
        except RuntimeError as error:
            raise AlignmentFailed(f"pocketsphinx: {error}") from error
        found = [
            (re.sub(r"\(\d+\)$", "", item.word), item.start_frame, item.end_frame + 1)
            for item in decoder.seg() or ()
            if item.word[0] not in "<["
        ]
        if [word for word, _, _ in found] != entries:
            raise AlignmentFailed("pocketsphinx found no path of the transcript through the audio")
        return [(start / self._FRAMES_PER_S, end / self._FRAMES_PER_S) for _, start, end in found]

    def _padded(self, samples: np.ndarray) -> bytes:
        # Digital silence has no usable spectrum, so faint noise from a fixed seed is added.
        scaled = np.pad(samples * 32767.0, (0, math.ceil(self._PADDING_S * SAMPLE_RATE)))
        noisy = scaled + np.random.default_rng(0).normal(0, 3, len(scaled))
        return np.clip(noisy, -32768, 32767).astype("<i2").tobytes()
