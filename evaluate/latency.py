"""Emission delays and word-time errors of a stream, for one utterance and for a corpus.

Times are seconds of audio from the utterance's start. A delay is computation-unaware when it
counts audio alone, and computation-aware when the time to compute is added. A number that is
not defined (no word, no audio) is None, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..corpora.matching import match_words
from ..corpora.words import split_timed
from ..runtime.policy.words import words_of
from .intervals import Sums, rate_interval
from .record import Count, Fraction, Record

if TYPE_CHECKING:
    from ..corpora import WordTime


class CommittedWord(Record):
    """A word of a stream, committed for good.

    Attributes:
        text: the word.
        start_s: where it is said to start.
        end_s: where it is said to end.
        emitted_s: audio received when it was committed.
        lag_s: wall time from when that audio was there until the word was out: computing, and
            waiting for earlier steps (see `compute_lags`).
        probability: the model's, of the word; None: not known.
        border_distance_s: from where the model looked for it to the end of the audio, when it was
            committed; None: not known.
    """

    text: str
    start_s: float
    end_s: float
    emitted_s: float
    lag_s: float
    probability: Fraction | None = None
    border_distance_s: float | None = None


class Distribution(Record):
    """Mean and quantiles of `count` values; all None where there are no values."""

    count: Count
    mean: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None

    @classmethod
    def of(cls, values: Iterable[float]) -> Distribution:
        """The distribution of `values`; quantiles are interpolated linearly."""
        array = np.fromiter(values, float)
        if not array.size:
            return cls(count=0)
        p50, p90, p95 = np.quantile(array, (0.5, 0.9, 0.95)).tolist()
        return cls(count=array.size, mean=float(array.mean()), p50=p50, p90=p90, p95=p95)


class Times(Record):
    """Delays and word-time errors of one utterance's stream, against its gold words.

    Sequences hold one value for each matched word: a committed word equal to its gold word, case
    and punctuation aside, under the alignment of least edit distance. `_aware` values include
    the time to compute. `first_word_s`, `finalisation_s` and the LAAL are None where nothing was
    said or nothing was committed.

    Attributes:
        gold_words: words of the reference.
        emitted_words: words of the stream.
        delays_s: emission delay: audio received when the word was committed, minus its gold end.
        start_errors_ms: absolute difference between a word's start and its gold start.
        end_errors_ms: the same of its end.
        first_word_s: audio received when the first word came, minus the first gold start.
        finalisation_s: audio received when the last word came, minus the last gold end.
        laal_s: see the function `laal_s`.
    """

    gold_words: Count
    emitted_words: Count
    delays_s: tuple[float, ...]
    delays_aware_s: tuple[float, ...]
    start_errors_ms: tuple[float, ...]
    end_errors_ms: tuple[float, ...]
    first_word_s: float | None
    first_word_aware_s: float | None
    finalisation_s: float | None
    finalisation_aware_s: float | None
    laal_s: float | None
    laal_aware_s: float | None

    def rounded(self, digits: int) -> Times:
        """The same times with `digits` decimals, as a file keeps them."""
        values = {
            name: tuple(round(one, digits) for one in value)
            if isinstance(value, tuple)
            else value and round(value, digits)
            for name, value in self
        }
        return Times.model_validate(values)


class Latency(Record):
    """The times of a corpus: over all matched words (delays and errors), or over utterances.

    `delay_low_s` and `delay_high_s` are the 95 % bootstrap interval of the mean emission delay
    over utterances; None where it was not computed or no word was matched.
    """

    utterances: Count
    gold_words: Count
    matched_words: Count
    delay_low_s: float | None
    delay_high_s: float | None
    delay_s: Distribution
    delay_aware_s: Distribution
    start_error_ms: Distribution
    end_error_ms: Distribution
    first_word_s: Distribution
    first_word_aware_s: Distribution
    finalisation_s: Distribution
    finalisation_aware_s: Distribution
    laal_s: Distribution
    laal_aware_s: Distribution


def stream_times(
    emitted: Sequence[CommittedWord], gold: Sequence[WordTime], duration_s: float
) -> Times:
    """The times of one utterance.

    Args:
        emitted: the stream's words, in the order in which they were committed.
        gold: the utterance's words and when they are spoken; one of several characters in a script
            without spaces counts as its characters.
        duration_s: the utterance's length.

    Raises:
        ValueError: words are not in the order in which they were committed.
    """
    _check_order(emitted)
    gold = split_timed(gold, words_of)
    matches = match_words([w.text for w in emitted], [w.text for w in gold])
    pairs = [(emitted[m.hypothesis], gold[m.reference]) for m in matches if m.equal]
    audio_s = [word.emitted_s for word in emitted]
    clock_s = [word.emitted_s + word.lag_s for word in emitted]

    def since(clock: Sequence[float], index: int, moment_s: float | None) -> float | None:
        return None if moment_s is None or not clock else clock[index] - moment_s

    onset_s, end_s = (gold[0].start_s, gold[-1].end_s) if gold else (None, None)
    return Times(
        gold_words=len(gold),
        emitted_words=len(emitted),
        delays_s=tuple(e.emitted_s - g.end_s for e, g in pairs),
        delays_aware_s=tuple(e.emitted_s + e.lag_s - g.end_s for e, g in pairs),
        start_errors_ms=tuple(1000 * abs(e.start_s - g.start_s) for e, g in pairs),
        end_errors_ms=tuple(1000 * abs(e.end_s - g.end_s) for e, g in pairs),
        first_word_s=since(audio_s, 0, onset_s),
        first_word_aware_s=since(clock_s, 0, onset_s),
        finalisation_s=since(audio_s, -1, end_s),
        finalisation_aware_s=since(clock_s, -1, end_s),
        laal_s=laal_s(audio_s, duration_s, len(gold)),
        laal_aware_s=laal_s(clock_s, duration_s, len(gold)),
    )


def _check_order(emitted: Sequence[CommittedWord]) -> None:
    before_s = -math.inf
    for word in emitted:
        if word.emitted_s < before_s:
            raise ValueError(f"the word {word.text!r} was emitted before the word before it")
        before_s = word.emitted_s


def laal_s(delays_s: Sequence[float], source_s: float, reference_words: int) -> float | None:
    """Length-adaptive average lagging, in seconds of audio; None without words or audio.

    Papi et al. 2022, "Over-Generation Cannot Be Rewarded: Length-Adaptive Average Lagging for
    Simultaneous Speech Translation"; word-based, as SimulEval computes it:

        LAAL = 1/tau * sum over i = 1 … tau of  d_i - (i - 1) * |X| / max(|Y|, |Y*|)

    with d_i the audio received when word i came, |X| the length of the source, |Y| and |Y*|
    the words of hypothesis and reference, and tau the first word that came when all of the
    source had (else the last).

    Args:
        delays_s: d_i, for each word of the hypothesis.
        source_s: |X|.
        reference_words: |Y*|.
    """
    if not delays_s or source_s <= 0:
        return None
    per_word_s = source_s / max(len(delays_s), reference_words)
    complete = [index for index, delay in enumerate(delays_s) if delay >= source_s]
    tau = complete[0] + 1 if complete else len(delays_s)
    return sum(delay - index * per_word_s for index, delay in enumerate(delays_s[:tau])) / tau


def compute_lags(arrivals_s: Sequence[float], compute_s: Sequence[float]) -> list[float]:
    """How long after its audio each step of a live stream ends, in seconds.

    A step starts when its audio is there and the step before has ended, so a decoder slower
    than the audio falls behind (Lindley's recursion): lag_i = compute_i + max(0, lag_(i-1) -
    (arrival_i - arrival_(i-1))).

    Args:
        arrivals_s: the audio received at each step, ascending.
        compute_s: what each step took.
    """
    lags: list[float] = []
    before_s, lag_s = 0.0, 0.0
    for arrival_s, step_s in zip(arrivals_s, compute_s, strict=True):
        lag_s = step_s + max(0.0, lag_s - (arrival_s - before_s))
        before_s = arrival_s
        lags.append(lag_s)
    return lags


def real_time_factor(wall_s: float, audio_s: float) -> float | None:
    """Time to compute per time of audio; below 1 keeps up. None without audio."""
    return wall_s / audio_s if audio_s > 0 else None


def summed_delays(times: Sequence[Times]) -> Sums:
    """Seconds of emission delay, and matched words, of each utterance.

    Raises:
        ValueError: there is no utterance.
    """
    delays = [one.delays_s for one in times]
    return Sums.of([sum(values) for values in delays], [len(values) for values in delays])


def summary(times: Sequence[Times], *, seed: int | None = None) -> Latency:
    """The distributions over all words, and over the utterances where a number is defined.

    Args:
        times: of each utterance.
        seed: of the bootstrap of the mean delay; None: no interval is computed.
    """

    def of_words(name: str) -> Distribution:
        return Distribution.of(value for one in times for value in getattr(one, name))

    def of_utterances(name: str) -> Distribution:
        values = [getattr(one, name) for one in times]
        return Distribution.of(value for value in values if value is not None)

    interval = None
    if times and seed is not None:
        interval = rate_interval(summed_delays(times), seed=seed)
    return Latency(
        utterances=len(times),
        gold_words=sum(one.gold_words for one in times),
        matched_words=sum(len(one.delays_s) for one in times),
        delay_low_s=interval.low if interval else None,
        delay_high_s=interval.high if interval else None,
        delay_s=of_words("delays_s"),
        delay_aware_s=of_words("delays_aware_s"),
        start_error_ms=of_words("start_errors_ms"),
        end_error_ms=of_words("end_errors_ms"),
        first_word_s=of_utterances("first_word_s"),
        first_word_aware_s=of_utterances("first_word_aware_s"),
        finalisation_s=of_utterances("finalisation_s"),
        finalisation_aware_s=of_utterances("finalisation_aware_s"),
        laal_s=of_utterances("laal_s"),
        laal_aware_s=of_utterances("laal_aware_s"),
    )
