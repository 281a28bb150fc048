"""Measure every head of a model on a corpus: the one loop over clips.

Which clips are decoded together is planned from the headers of their audio, so that every process
that measures a corpus has the same batches. For each clip: encode, prefill, greedy decoding
(several clips together), and one pass over the answer that shows the attention of every layer and
head. Cut versions of the clip go the same way, for the border scores. Audio is read as streams
read it: the heads are for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from ..corpora import Corpus, Utterance, WordTime
from ..corpora.audio import SAMPLE_RATE, part_duration_s
from ..errors import InputError
from ..heads.schema import AttentionKind
from ..runtime.models.protocol import AlignmentModel, Prefix
from ..runtime.policy.words import TokenWord, split_words
from .batches import Batch, ScoredClip, ScoredCut
from .borders import cut_points_s, heard_tokens
from .groups import FrameSample
from .mapping import TokenTargets, token_targets
from .ranking import RANKINGS, stability_by
from .statistics import (
    FrameTimes,
    LayerStatistics,
    border_counts,
    distance_bins,
    layer_statistics,
)
from .totals import HeadTotals, HitCounts

MAX_BATCH = 16
CACHE_BUDGET_BYTES = 96_000_000
_ANSWER_POSITIONS = 200

Progress = Callable[[float, int], None]
Utterances = tuple[Utterance, ...]
Elsewhere = Callable[[Sequence[tuple[int, Utterances]]], Iterator[tuple[int, Batch]]]
"""Measures batches of a plan, with their numbers, as `measure_batch` does."""
_Any = TypeVar("_Any")


@dataclass(frozen=True)
class Subject:
    """What a measurement is of: two can be added if their subjects are equal.

    `fingerprint` is that of the whole corpus, also where only a shard of it was measured;
    `text` is the one scored, `hypothesis` or `reference`.
    """

    model: str
    label: str
    num_layers: int
    num_heads: int
    num_kv_heads: int
    frames_per_s: float
    language: str | None
    corpus: str
    fingerprint: str
    aligner: str
    text: str
    cuts: int
    attention: AttentionKind | None = None  # sums of earlier versions do not say it
    checkpoint: str | None = None  # nor the fingerprint of the model


@dataclass
class Measurement:
    """What was measured, all of it additive.

    `totals` are over the tokens of the subject's text; `other_hits` over those of the other
    text, for the comparison of the two. `skipped` is {utterance: reason}. `stability_curves` are by
    the metric that the heads may be ranked by.
    """

    subject: Subject
    totals: HeadTotals
    other_hits: HitCounts
    sample: FrameSample = field(default_factory=FrameSample)
    skipped: dict[str, str] = field(default_factory=dict)
    stability_curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def add(self, batch: Batch, top: int) -> None:
        """Add a finished batch; `top`: see `measure`."""
        for clip in batch.clips:
            self.totals.add(clip.id, clip.targets, clip.layers)
            frames = np.concatenate([layer.frames for layer in clip.layers])
            self.sample.add(clip.id, clip.centres_s[frames], clip.targets.centre_s)
            if clip.other is not None:
                self.other_hits = self.other_hits + HitCounts(*clip.other)
        _record_stability(self, top)
        bins = distance_bins(self.subject.frames_per_s)
        # The cuts of a clip weigh the same: their counts, whole numbers, are added up before.
        counts: dict[str, np.ndarray] = {}
        for cut in batch.cuts:
            found = [border_counts(cut.length - frames, cut.heard, bins) for frames in cut.frames]
            counts[cut.id] = counts.get(cut.id, 0) + np.stack(found)
            self.sample.add_cut(cut.id, np.concatenate(cut.frames), cut.length, cut.heard)
        for id, of_layers in counts.items():
            for layer, of_heads in enumerate(of_layers):
                self.totals.add_border(id, layer, of_heads)
        self.skipped.update(batch.skipped)


@dataclass(frozen=True)
class _Clip:
    """A clip that has been read, or a cut version of one (`cut_s`)."""

    utterance: Utterance
    words: Sequence[WordTime]
    samples: np.ndarray
    cut_s: float | None = None


@dataclass(frozen=True)
class _Answer:
    """A decoded clip: the tokens of its text, and their words."""

    clip: _Clip
    prefix: Prefix
    ids: list[int]
    words: list[TokenWord]
    language: str | None


def measure(
    model: AlignmentModel,
    corpus: Corpus,
    subject: Subject,
    language: str | None = None,
    top: int = 20,
    progress: Progress | None = None,
    begun: Iterable[Batch] = (),
    keep: Callable[[Batch], object] = lambda batch: None,
    elsewhere: Elsewhere | None = None,
) -> Measurement:
    """Measure all heads of `model` on `corpus`, whose utterances need word times.

    Args:
        model: the checkpoint.
        corpus: utterances; one that cannot be read or matches nothing is skipped by name.
        subject: says what is measured; its `text` and `cuts` decide how.
        language: given to the model; None: the utterance's own, or detected.
        top: how many best heads the stability curves are about.
        progress: called with clips done, also parts of one, and clips in all.
        begun: batches that an earlier run over the same has finished, in any order.
        keep: called with each batch that is finished, as it comes.
        elsewhere: measures the batches in place of this process, in any order.

    Raises:
        InputError: nothing could be scored, a language the model does not know, or a batch of
            `begun` that this run does not have.
    """
    shape = (model.num_layers, model.num_heads)
    totals = HeadTotals(*shape, subject.frames_per_s)
    found = Measurement(subject, totals, HitCounts(np.zeros(shape), 0))
    found.skipped.update({skip.id: skip.reason for skip in corpus.skipped})
    model.language_name(language)
    plan = plan_batches(model, corpus.utterances)
    finished = _finished(begun, plan)
    clips_of, total = [len(batch) for batch in plan], len(corpus.utterances)

    def tell(more: float = 0.0) -> None:
        if progress is not None:
            progress(min(total, sum(clips_of[number] for number in finished) + more), total)

    def here(left: Sequence[tuple[int, Utterances]]) -> Iterator[tuple[int, Batch]]:
        for number, utterances in left:
            yield number, measure_batch(model, utterances, subject, language, tell)

    left = [(number, batch) for number, batch in enumerate(plan) if number not in finished]
    added = _add_in_order(found, finished, top)
    if finished:
        tell()
    for number, batch in (elsewhere or here)(left):
        keep(batch)
        finished[number] = batch
        added = _add_in_order(found, finished, top, added)
        tell()
    if not found.totals.clips:
        reasons = "; ".join(f"{i}: {reason}" for i, reason in list(found.skipped.items())[:3])
        raise InputError(
            f"no utterance of {corpus.name} could be scored ({len(found.skipped)} skipped: "
            f"{reasons}); check that its audio, transcripts and word times belong together"
        )
    return found


def _finished(begun: Iterable[Batch], plan: Sequence[Utterances]) -> dict[int, Batch | None]:
    """The batches of an earlier run by their numbers in `plan`."""
    numbers = {tuple(one.id for one in batch): number for number, batch in enumerate(plan)}
    finished: dict[int, Batch | None] = {}
    for batch in begun:
        number = numbers.get(tuple(batch.utterances))
        if number is None:
            raise InputError(
                f"the clips that were decoded together with {batch.utterances[0]} were others "
                "before; give force=True to start anew",
                arguments=("force",),
            )
        finished[number] = batch
    return finished


def _add_in_order(
    found: Measurement, finished: dict[int, Batch | None], top: int, added: int = 0
) -> int:
    """Add the batches from number `added` on that are there without a gap; gives the next number.

    However they come, the sums are added up in one order: a sum of floats depends on it.
    """
    while (batch := finished.get(added)) is not None:
        found.add(batch, top)
        finished[added] = None  # it is in the sums
        added += 1
    return added


def measure_batch(
    model: AlignmentModel,
    utterances: Utterances,
    subject: Subject,
    language: str | None,
    tell: Callable[[float], object] = lambda more: None,
) -> Batch:
    """What some clips, decoded together, add to a measurement.

    Args:
        model, subject, language: see `measure`.
        utterances: a batch of `plan_batches`.
        tell: called with how many of them are done, also parts of one.
    """
    batch = Batch([utterance.id for utterance in utterances])
    clips = list(_read(model, utterances, batch.skipped))
    if not clips:
        return batch
    answers = _decode(model, clips, language)
    for number in range(len(answers)):
        # Decoding, scoring and the cut versions take about as long as one another.
        tell((len(clips) + number) / 3)
        if one := _scored(model, answers[number], subject, batch.skipped):
            batch.clips.append(one)
    names = {clip.id for clip in batch.clips}
    whole = [answer.clip for answer in answers if answer.clip.utterance.id in names]
    cut = [one for clip in whole for one in _cut_versions(clip, subject.cuts)]
    del answers  # and with them the keys and values of every clip
    batch.cuts = list(_scored_cuts(model, cut, language))
    return batch


def _read(
    model: AlignmentModel, utterances: Sequence[Utterance], skipped: dict[str, str]
) -> Iterator[_Clip]:
    for utterance in utterances:
        if not utterance.words:
            skipped[utterance.id] = "no word times"
            continue
        try:
            model.language_name(utterance.language)
            yield _Clip(utterance, utterance.words, utterance.read())
        except InputError as error:
            skipped[utterance.id] = str(error)


def plan_batches(model: AlignmentModel, utterances: Sequence[Utterance]) -> list[Utterances]:
    """Utterances to decode together, in their order; one that cannot be read takes no room."""

    def samples(utterance: Utterance) -> int:
        part = (utterance.audio_path, utterance.offset_s, utterance.duration_s)
        try:
            return int(SAMPLE_RATE * part_duration_s(*part)) if utterance.words else 0
        except InputError:
            return 0

    return [tuple(batch) for batch in _batches(model, utterances, samples)]


def _batches(
    model: AlignmentModel, clips: Iterable[_Any], samples: Callable[[_Any], int]
) -> Iterator[list[_Any]]:
    """Clips to decode together: as many as their keys and values leave memory for."""
    batch: list[_Any] = []
    longest, position_bytes = 0, model.cost().cache_bytes_per_position
    for clip in clips:
        frames = model.clock.count(samples(clip))
        longest = max(longest, frames + _ANSWER_POSITIONS)
        over = position_bytes * longest * (len(batch) + 1) > CACHE_BUDGET_BYTES
        if batch and (over or len(batch) >= MAX_BATCH):
            yield batch
            batch, longest = [], frames + _ANSWER_POSITIONS
        batch.append(clip)
    if batch:
        yield batch


def _decode(model: AlignmentModel, clips: Sequence[_Clip], language: str | None) -> list[_Answer]:
    languages = [language or clip.utterance.language for clip in clips]
    prefixes = [
        model.prefill(clip.samples, given, as_stream=True)
        for clip, given in zip(clips, languages, strict=True)
    ]
    answers = model.generate(prefixes)
    return [
        _answer(model, clip, prefix, list(answer.text_ids), answer.language)
        for clip, prefix, answer in zip(clips, prefixes, answers, strict=True)
    ]


def _answer(
    model: AlignmentModel, clip: _Clip, prefix: Prefix, ids: list[int], language: str | None
) -> _Answer:
    words = split_words(map(model.token_bytes, ids), language)
    return _Answer(clip, prefix, ids, words, language)


def _forced(model: AlignmentModel, answer: _Answer) -> _Answer:
    """The same clip with the reference transcript in place of the model's own text."""
    text = answer.clip.utterance.text
    # LibriSpeech's transcripts are in capitals, in which no model writes.
    text = text.lower() if text.isupper() else text
    return _answer(model, answer.clip, answer.prefix, model.encode_text(text), answer.language)


def _scored(
    model: AlignmentModel, answer: _Answer, subject: Subject, skipped: dict[str, str]
) -> ScoredClip | None:
    """One clip; None, and a reason in `skipped`, if nothing matches."""
    clip_id = answer.clip.utterance.id
    forced = _forced(model, answer)
    ours, other = (answer, forced) if subject.text == "hypothesis" else (forced, answer)
    scored = _layers(model, ours)
    if scored is None:
        skipped[clip_id] = "no word of the transcript is recognised"
        return None
    again = scored if other.ids == ours.ids else _layers(model, other)
    compared = None
    if again is not None:
        compared = np.stack([layer.hits for layer in again[1]]), len(again[0])
    centres_s = FrameTimes.of(model.clock, answer.prefix.frames).centres_s
    return ScoredClip(clip_id, *scored, centres_s, compared)


def _layers(
    model: AlignmentModel, answer: _Answer
) -> tuple[TokenTargets, list[LayerStatistics]] | None:
    """The statistics of each layer over the alignable tokens; None if there are none."""
    targets = token_targets(answer.words, answer.clip.words)
    if not len(targets):
        return None
    layers: list[LayerStatistics] = []
    times = FrameTimes.of(model.clock, answer.prefix.frames)

    def on_layer(_: int, weights: np.ndarray) -> None:
        layers.append(layer_statistics(weights, targets, times))

    model.attention(answer.prefix, answer.ids, on_layer)
    return targets, layers


def _record_stability(found: Measurement, top: int) -> None:
    """A point of each stability curve, each time the clips have doubled."""
    clips = found.totals.clips
    told = [curve[-1][0] for curve in found.stability_curves.values()]
    if clips < 2 * max(told, default=1):
        return
    scores = found.totals.scores()
    for metric in sorted(set(RANKINGS.values()) & set(scores)):
        stability = stability_by(scores, metric, top)
        if stability is not None:
            found.stability_curves.setdefault(metric, []).append((clips, stability))


def _cut_versions(clip: _Clip, cuts: int) -> list[_Clip]:
    return [
        _Clip(clip.utterance, clip.words, clip.samples[: int(cut_s * SAMPLE_RATE)], cut_s)
        for cut_s in cut_points_s(clip.utterance.id, clip.words, cuts)
    ]


def _scored_cuts(
    model: AlignmentModel, clips: Sequence[_Clip], language: str | None
) -> Iterator[ScoredCut]:
    by_length = sorted(clips, key=lambda clip: len(clip.samples))
    for batch in _batches(model, by_length, lambda clip: len(clip.samples)):
        for answer in _decode(model, batch, language):
            clip = answer.clip
            assert clip.cut_s is not None
            tokens, heard = heard_tokens(answer.words, clip.words, clip.cut_s)
            if not len(tokens):
                continue
            layers: list[np.ndarray] = []

            def on_layer(_: int, weights: np.ndarray, tokens=tokens, layers=layers):
                layers.append(weights[:, tokens].argmax(-1))

            model.attention(answer.prefix, answer.ids, on_layer)
            yield ScoredCut(
                clip.utterance.id, np.stack(layers), answer.prefix.frames, np.asarray(heard)
            )
