"""CMU PocketSphinx as a forced aligner."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from ..errors import InputError
from .aligners import AlignmentFailed
from .audio import SAMPLE_RATE
from .long_alignment import Placed, align_in_windows
from .pronunciation import english_spelling, pronounce
from .utterance import WordTime


class PocketsphinxAligner:
    """CMU PocketSphinx with its US English model. Runs offline; times are multiples of 10 ms.

    Words that are not in its dictionary are given a pronunciation by rule (`pronunciation.py`).
    Words without a Latin letter or digit get no time.
    """

    name = "pocketsphinx"
    # Silence added after the audio: without it, the last word is stretched to the end of the audio.
    _PADDING_S = 0.3
    # Time and memory grow with the square of the length: 60 s take 18 s, 300 s some 4 GB.
    _LONGEST_S = 40.0
    _FRAMES_PER_S = 100

    def __init__(self) -> None:
        try:
            import pocketsphinx
        except ImportError as error:
            raise InputError(
                "the pocketsphinx aligner is not installed: pip install '.[pocketsphinx]', "
                "in the checkout"
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

        def placed(samples: np.ndarray, first: int, last: int) -> list[Placed]:
            some = words[first:last]
            spans = self._spans(samples, [part for _, parts in some for part in parts])
            timed, used = [], 0
            for position, (word, parts) in enumerate(some, start=first + 1):
                start_s, end_s = spans[used][0], spans[used + len(parts) - 1][1]
                timed.append(Placed(WordTime(word, start_s, end_s), position))
                used += len(parts)
            return timed

        return align_in_windows(placed, samples, len(words), self._LONGEST_S)

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
        if not entries:
            return []
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
