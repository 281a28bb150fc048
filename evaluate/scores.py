"""Scores of decoded utterances: error rates, quantiles, latencies and their intervals.

The same utterances and seed give the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .error_rates import character_errors, space_errors, word_errors
from .intervals import Interval, Sums, rate_intervals
from .latency import Distribution, Latency, real_time_factor, summary, summed_delays
from .normalise import NORMALISERS, Normaliser, normalise, unit_of
from .reliability import reliability
from .result import Mode, Observation, Scored, TextTotals, Totals, Utterance

WORST = 10


def scored(observation: Observation) -> Utterance:
    """The utterance with its texts normalised and compared."""
    said, language = observation.reference, observation.language
    scores: dict[Normaliser, Scored] = {}
    for normaliser in NORMALISERS:
        reference = hypothesis = normalise(said, normaliser, language)
        if observation.hypothesis != said:
            hypothesis = normalise(observation.hypothesis, normaliser, language, said)
        counts = word_errors([reference], [hypothesis])
        scores[normaliser] = Scored(
            reference=reference, hypothesis=hypothesis, errors=counts.errors, wer=counts.rate
        )
    wall_s = observation.wall_s
    return Utterance(
        **dict(observation),
        rtf=None if wall_s is None else real_time_factor(wall_s, observation.duration_s),
        unit=unit_of(said, language),
        scores=scores,
    )


def totals(utterances: Sequence[Utterance], mode: Mode, seed: int) -> Totals:
    """The scores of a run over all its utterances.

    Args:
        utterances: scored.
        mode: how they were decoded.
        seed: of the bootstrap.
    """
    audio_s = sum(one.duration_s for one in utterances)
    walls = [one.wall_s for one in utterances]
    wall_s = None if None in walls else sum(wall for wall in walls if wall is not None)
    sums = [
        make(utterances, normaliser)
        for normaliser in NORMALISERS
        for make in (word_sums, character_sums)
    ]
    intervals = rate_intervals(sums, seed=seed)
    texts: dict[Normaliser, TextTotals] = {
        normaliser: _text_totals(utterances, normaliser, *intervals[2 * index : 2 * index + 2])
        for index, normaliser in enumerate(NORMALISERS)
    }
    latency, note = _latency(utterances, mode, seed)
    return Totals(
        utterances=len(utterances),
        audio_s=audio_s,
        wall_s=wall_s,
        rtf=None if wall_s is None else real_time_factor(wall_s, audio_s),
        utterance_rtf=Distribution.of(u.rtf for u in utterances if u.rtf is not None),
        texts=texts,
        latency=latency,
        latency_note=note,
        reliability=reliability(utterances),
        gflop_per_s=per_second([one.gflop for one in utterances], audio_s),
        weight_reads_per_s=per_second([one.forward_passes for one in utterances], audio_s),
    )


def per_second(counts: Sequence[float | None], audio_s: float) -> float | None:
    """What all utterances cost, for a second of audio; None where one of them is not known."""
    known = [count for count in counts if count is not None]
    return sum(known) / audio_s if len(known) == len(counts) and audio_s else None


def _text_totals(
    utterances: Sequence[Utterance],
    normaliser: Normaliser,
    words_interval: Interval | None,
    characters_interval: Interval | None,
) -> TextTotals:
    pairs = [one.scores[normaliser] for one in utterances]
    references, hypotheses = [p.reference for p in pairs], [p.hypothesis for p in pairs]
    characters = character_errors(*zip(*_letters(utterances, normaliser), strict=True))
    words = word_errors(references, hypotheses)
    rates = [pair.wer for pair in pairs if pair.wer is not None]
    # Errors without a reference have no rate: their count stands for it, and decides ties.
    ranked = sorted(
        (u for u in utterances if u.scores[normaliser].errors),
        key=lambda u: (-_rate_or_errors(u.scores[normaliser]), -u.scores[normaliser].errors, u.id),
    )
    return TextTotals(
        words=words.within(words_interval),
        characters=characters.within(characters_interval),
        median_wer=float(np.median(rates)) if rates else None,
        p90_wer=rank_quantile(rates, 0.9),
        p95_wer=rank_quantile(rates, 0.95),
        # Silence of which nothing was said to be heard is right, too.
        zero_wer_share=sum(not pair.errors for pair in pairs) / len(pairs) if pairs else None,
        space_only=space_errors(references, hypotheses, words),
        worst=[one.id for one in ranked[:WORST]],
    )


def rank_quantile(values: Sequence[float], share: float) -> float | None:
    """The value at index floor(share * n) of the sorted values, as in the published tables."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def word_sums(utterances: Sequence[Utterance], normaliser: Normaliser) -> Sums:
    """Word errors and words of reference of each utterance."""
    pairs = [one.scores[normaliser] for one in utterances]
    return Sums.of([p.errors for p in pairs], [len(p.reference.split()) for p in pairs])


def delay_sums(utterances: Sequence[Utterance]) -> Sums | None:
    """Seconds of emission delay and matched words of each utterance.

    None where an utterance has no word times.
    """
    known = [one.times for one in utterances if one.times is not None]
    return summed_delays(known) if len(known) == len(utterances) else None


def character_sums(utterances: Sequence[Utterance], normaliser: Normaliser) -> Sums:
    """Character errors and characters of reference of each utterance."""
    counts = [character_errors([r], [h]) for r, h in _letters(utterances, normaliser)]
    return Sums.of([c.errors for c in counts], [c.reference for c in counts])


def _letters(utterances: Sequence[Utterance], normaliser: Normaliser) -> list[tuple[str, str]]:
    """Reference and hypothesis of each; scored by character, without the spaces between them."""
    pairs = [(one.unit, one.scores[normaliser]) for one in utterances]
    return [
        (p.reference.replace(" ", ""), p.hypothesis.replace(" ", ""))
        if unit == "character"
        else (p.reference, p.hypothesis)
        for unit, p in pairs
    ]


def _rate_or_errors(score: Scored) -> float:
    return float(score.errors) if score.wer is None else score.wer


def _latency(
    utterances: Sequence[Utterance], mode: Mode, seed: int
) -> tuple[Latency | None, str | None]:
    """The latency of a run, and a note on why there is none or of how few utterances it is."""
    if mode == "offline":
        return None, "offline decoding commits nothing before the audio has ended"
    known = [one.times for one in utterances if one.times is not None]
    if all(one.words is None for one in utterances):
        return None, "the file does not say when words were emitted"
    if not known:
        return None, "the corpus has no word times: give some with align-corpus"
    missing = len(utterances) - len(known)
    note = f"{missing} of {len(utterances)} utterances have no word times" if missing else None
    return summary(known, seed=seed), note
