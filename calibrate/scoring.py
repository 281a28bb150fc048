"""How good a configuration is on a corpus: streamed, live or replayed, and measured.

Both objectives are ratios of sums over utterances: word errors over words of reference, and
seconds of emission delay over words matched.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..corpora.matching import match_words
from ..errors import InputError
from ..evaluate.error_rates import ErrorRate, word_errors
from ..evaluate.intervals import Sums
from ..evaluate.latency import Times, stream_times, summary
from ..evaluate.normalise import units
from ..evaluate.scores import per_second
from ..evaluate.timed import TimedStream
from .result import Measures, UtteranceSums
from .speech import Recording

Streamer = Callable[[Recording], TimedStream]


@dataclass(frozen=True)
class Outcome:
    """One recording, streamed and compared with what was said.

    `index` is that of its utterance; `final_deletions` are those at its end.
    """

    index: int
    errors: ErrorRate
    final_deletions: int
    times: Times
    stream: TimedStream


@dataclass(frozen=True)
class Score:
    """A configuration on a corpus, recording by recording; sums are by utterance."""

    outcomes: tuple[Outcome, ...]

    def _sums(self, of: Callable[[Outcome], tuple[float, float]]) -> Sums:
        """Numerators and denominators, added up over the phases of each utterance."""
        count = 1 + max(one.index for one in self.outcomes)
        sums = np.zeros((2, count))
        for one in self.outcomes:
            sums[:, one.index] += of(one)
        return Sums.of(*sums.tolist())

    @functools.cached_property
    def errors(self) -> Sums:
        """Word errors over words of reference."""
        return self._sums(lambda one: (one.errors.errors, one.errors.reference))

    @functools.cached_property
    def delays(self) -> Sums:
        """Seconds of emission delay over words matched."""
        return self._sums(lambda one: (sum(one.times.delays_s), len(one.times.delays_s)))

    @property
    def wer(self) -> float:
        """Word error rate, 1 is 100 %.

        Raises:
            InputError: the references have no word.
        """
        if self.errors.rate is None:
            raise InputError("the corpus has no word of reference, so there is no error rate")
        return self.errors.rate

    @property
    def delay_s(self) -> float:
        """Mean emission delay.

        Raises:
            InputError: no word is right, so that none has a delay.
        """
        if self.delays.rate is None:
            raise InputError("not one word came out right, so there is no delay to measure")
        return self.delays.rate

    @property
    def sums(self) -> UtteranceSums:
        """For the report."""
        return UtteranceSums(
            errors=_whole(self.errors.numerator),
            reference_words=_whole(self.errors.denominator),
            delay_s=[round(value, 6) for value in self.delays.numerator.tolist()],
            matched_words=_whole(self.delays.denominator),
        )

    @property
    def measures(self) -> Measures:
        """What else the report says."""
        times = summary([one.times for one in self.outcomes])
        audio_s = sum(one.stream.audio_s for one in self.outcomes)
        wall_s = sum(one.stream.wall_s for one in self.outcomes)
        works = [one.stream.work for one in self.outcomes]

        def total(name: str) -> int:
            return sum(getattr(one.errors, name) for one in self.outcomes)

        return Measures(
            reference_words=total("reference"),
            matched_words=times.matched_words,
            substitutions=total("substitutions"),
            deletions=total("deletions"),
            insertions=total("insertions"),
            final_deletions=sum(one.final_deletions for one in self.outcomes),
            delay_p50_s=times.delay_s.p50,
            delay_p90_s=times.delay_s.p90,
            delay_p95_s=times.delay_s.p95,
            delay_aware_s=times.delay_aware_s.mean,
            first_word_s=times.first_word_s.mean,
            finalisation_s=times.finalisation_s.mean,
            laal_s=times.laal_s.mean,
            start_error_p50_ms=times.start_error_ms.p50,
            rtf=wall_s / audio_s if audio_s else None,
            gflop_per_s=per_second([work and work.flop / 1e9 for work in works], audio_s),
            weight_reads_per_s=per_second(
                [work and work.forward_passes for work in works], audio_s
            ),
        )


def _whole(values: np.ndarray) -> list[int]:
    return values.astype(int).tolist()


def score(recordings: Sequence[Recording], stream: Streamer) -> Score:
    """Stream each of `recordings` and compare.

    Raises:
        Exception: what `stream` raises.
    """
    return Score(tuple(_outcome(recording, stream(recording)) for recording in recordings))


def _outcome(recording: Recording, stream: TimedStream) -> Outcome:
    utterance = recording.utterance
    said, language = utterance.text, utterance.language
    errors, final_deletions = _compared(units(said, language), units(stream.text, language, said))
    times = stream_times(stream.words, utterance.words or (), stream.audio_s)
    return Outcome(recording.index, errors, final_deletions, times, stream)


@functools.lru_cache(maxsize=100_000)
def _compared(reference: str, hypothesis: str) -> tuple[ErrorRate, int]:
    """Word errors, and how many words are missing at the end; most trials say the same text."""
    said = reference.split()
    matches = match_words(hypothesis.split(), said)
    last = max((match.reference for match in matches), default=-1)
    return word_errors([reference], [hypothesis]), len(said) - 1 - last
