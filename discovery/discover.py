"""From a model and a corpus to a heads file."""

from __future__ import annotations

import itertools
import logging
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import numpy as np

from ..cluster import Cluster, check_address, open_cluster
from ..corpora import Corpus, load_corpus
from ..corpora.alignment import AlignedCorpus, align_utterances, default_aligner
from ..errors import InputError
from ..heads import AlignmentHead, CorpusInfo, HeadsFile, Interval, Ranking
from ..heads.compare import score_correlation
from ..heads.schema import ScoredText
from ..journal import Journal
from ..runtime.models.aligners import AlignerName, make_aligner
from ..runtime.models.machine import backend_name
from ..runtime.models.model import SpeechModel
from ..runtime.models.protocol import AlignmentModel
from .batches import Batch, batches_in
from .elsewhere import measured_elsewhere
from .measure import Measurement, Progress, Subject, measure
from .ranking import RANKINGS, HeadRanking, RankBy, rank_heads

_log = logging.getLogger(__name__)

TS_THRESHOLD = 0.1
"""Hit rate above which a head is listed, as in the published files. Only the order means much."""


def discover_heads(
    model: AlignmentModel | str | Path = "tiny",
    corpus: Corpus | str | Path | None = None,
    *,
    clips: int | None = None,
    language: str | None = None,
    text: ScoredText = "hypothesis",
    rank_by: RankBy = "hit_rate",
    top: int = 20,
    cuts: int = 3,
    seed: int = 0,
    aligner: AlignerName | None = None,
    dask: str | None = None,
    wait: bool = False,
    send_audio: bool = False,
    progress: Progress | None = None,
) -> HeadsFile:
    """Score every (layer, head) of a model's text decoder and rank them.

    Args:
        model: a `SpeechModel`, or what `SpeechModel.load` takes.
        corpus: a `Corpus`, or what `load_corpus` takes; None: `demo` for the tiny model,
            `librispeech:dev-clean` for others.
        clips: score a seeded, speaker-balanced sample of this many; None: all.
        language: given to the model; None: the utterance's own, or detected.
        text: what is scored: `hypothesis`, the model's own greedy text, or `reference`, the
            corpus's transcript given to it word by word.
        rank_by: a key of `RANKINGS`; no other does clearly better in streams than
            `hit_rate`.
        top: how many of the best heads the uncertainty is about.
        cuts: cut versions of each clip, for the border scores; 0: none.
        seed: of the sample.
        aligner: `gold`, `qwen3` or `pocketsphinx`; None: gold where the corpus has it.
        dask: measure on a Dask cluster: the address of its scheduler, or "local:N" for N processes
            here. The result is the same.
        wait: go on waiting while there are no workers.
        send_audio: send the audio to workers that cannot see its files.
        progress: called with clips done and clips in all.

    Raises:
        InputError: bad input of any kind, or nothing that could be scored.
        ClusterError: the cluster has gone.
    """
    check_options(text, rank_by, top, cuts, seed)
    check_address(dask, wait=wait, send_audio=send_audio)
    with open_cluster(dask, wait=wait, send_audio=send_audio) as cluster:
        given = None
        if isinstance(model, str | Path):
            given, model = model, SpeechModel.load(model)
        prepared = prepare_corpus(model, corpus, clips=clips, seed=seed, aligner=aligner)
        found = measure_corpus(
            model, prepared, language, text, cuts,
            top=top, progress=progress, cluster=cluster, given=given,
        )  # fmt: skip
    return heads_file(found, rank_by, top)


def check_options(text: str, rank_by: str, top: int, cuts: int, seed: int = 0) -> None:
    """Refuse options that cannot work, before anything is loaded.

    Raises:
        InputError: which, and what is expected.
    """
    if text not in get_args(ScoredText):
        raise InputError(
            f"text is {text!r}, expected {' or '.join(get_args(ScoredText))}", arguments=("text",)
        )
    if rank_by not in RANKINGS:
        raise InputError(
            f"rank_by is {rank_by!r}, expected one of {', '.join(RANKINGS)}",
            arguments=("rank_by",),
        )
    if top < 1:
        raise InputError(f"top is {top}, expected 1 or more", arguments=("top",))
    for name, value in (("cuts", cuts), ("seed", seed)):
        if value < 0:
            raise InputError(f"{name} is {value}, expected 0 or more", arguments=(name,))
    if rank_by in ("commit_accuracy", "border_auc") and cuts == 0:
        raise InputError(
            f"rank_by is {rank_by!r}, which needs cuts of 1 or more", arguments=("rank_by", "cuts")
        )


@dataclass(frozen=True)
class PreparedCorpus:
    """What to score: the `whole` corpus that was asked for, and the `part` with word times.

    They differ in word times and where only a shard is scored.
    """

    whole: Corpus
    part: AlignedCorpus


def prepare_corpus(
    model: AlignmentModel,
    corpus: Corpus | str | Path | None,
    *,
    clips: int | None = None,
    seed: int = 0,
    aligner: str | None = None,
    alignments: Path | None = None,
    shard: tuple[int, int] | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> PreparedCorpus:
    """The corpus to score: loaded, sampled, its shard cut out, and with word times.

    A `shard` (k, n) is every n-th utterance from the k-th.

    Raises:
        InputError: no such corpus, nothing in it, or no way to word times.
    """
    if corpus is None:
        corpus = "demo" if model.label == "tiny" else "librispeech:dev-clean"
    if not isinstance(corpus, Corpus):
        corpus = load_corpus(corpus, strict=strict)
    whole = part = corpus if clips is None else corpus.sample(clips, seed)
    if shard is not None:
        chosen = whole.utterances[shard[0] - 1 :: shard[1]]
        if not chosen:
            raise InputError(
                f"shard {shard[0]}/{shard[1]} is empty: {whole.name} has {len(whole)} utterances"
            )
        # What was left out of the corpus is reported once, by the first shard.
        part = Corpus(whole.name, chosen, whole.skipped if shard[0] == 1 else ())
    done = itertools.count(1)
    count = progress and (lambda: progress(next(done), len(part)))
    aligned = align_utterances(
        part, make_aligner(aligner or default_aligner(whole)), alignments, count
    )
    return PreparedCorpus(whole, aligned)


def measure_corpus(
    model: AlignmentModel,
    prepared: PreparedCorpus,
    language: str | None,
    text: str,
    cuts: int,
    *,
    top: int = 20,
    progress: Progress | None = None,
    journal: Journal | None = None,
    anew: bool = False,
    cluster: Cluster | None = None,
    given: str | Path | None = None,
) -> Measurement:
    """Measure `model` on a prepared corpus.

    Args:
        model, language, text, cuts, top, progress: see `discover_heads`.
        prepared: what `prepare_corpus` gave.
        journal: what it holds is not measured again, and each batch is added to it.
        anew: but nothing is taken from it.
        cluster: measures the batches in place of this process.
        given: what its workers load the model by; None: its folder.

    Raises:
        InputError: nothing could be scored, a language the model does not know, or a journal of
            something else.
        ClusterError: the cluster has gone; the journal has what it did.
    """
    whole = prepared.whole
    languages = {_name(model, u.language) for u in whole.utterances if u.language} - {None}
    spoken = language or (languages.pop() if len(languages) == 1 else None)
    subject = Subject(
        model=model.name,
        label=model.label,
        num_layers=model.num_layers,
        num_heads=model.num_heads,
        num_kv_heads=model.num_kv_heads,
        frames_per_s=model.clock.frames(1.0),
        language=model.language_name(spoken),
        corpus=whole.name,
        fingerprint=whole.fingerprint,
        aligner=prepared.part.aligner,
        text=text,
        cuts=cuts,
        attention=model.attention_kind,
        checkpoint=model.fingerprint,
    )
    elsewhere = None
    if cluster is not None:
        elsewhere = measured_elsewhere(cluster, model, given, subject, language)
    if journal is None:
        return measure(model, prepared.part, subject, language, top, progress, elsewhere=elsewhere)
    of_this = {
        **asdict(subject),
        "clips": len(prepared.part.utterances),
        "first clip": prepared.part.utterances[0].id,
        "given language": language,
        "top": top,
        "backend": backend_name(),
        "version": version("alignheads"),
    }
    begun = list(batches_in(journal, of_this, anew=anew))
    if begun:
        clips = sum(len(batch.utterances) for batch in begun)
        _log.info("going on: %d of %d clips are done", clips, of_this["clips"])

    def keep(batch: Batch) -> None:
        if batch.clips:  # what could not be scored may be, once it is mended
            journal.add(batch.as_line())

    return measure(model, prepared.part, subject, language, top, progress, begun, keep, elsewhere)


def _name(model: AlignmentModel, language: str) -> str | None:
    """The model's own name of a language, so that `en` and `en-GB` are one.

    None: it lacks it; utterances in that language are skipped elsewhere.
    """
    try:
        return model.language_name(language)
    except InputError:
        return None


def heads_file(found: Measurement, rank_by: str = "hit_rate", top: int = 20) -> HeadsFile:
    """The heads file of a measurement.

    Raises:
        InputError: the ranking needs what was not measured.
    """
    subject, scores = found.subject, found.totals.scores()
    ranking = rank_heads(found.totals, scores, found.sample, rank_by, top)
    return HeadsFile(
        model=subject.model,
        language=subject.language,
        num_layers=subject.num_layers,
        num_heads=subject.num_heads,
        num_kv_heads=subject.num_kv_heads,
        attention=subject.attention,
        model_fingerprint=subject.checkpoint,
        num_samples=found.totals.clips,
        total_alignable_tokens=found.totals.tokens,
        ts_threshold=TS_THRESHOLD,
        ts_matrix=_rows(scores["hit_rate"][0]),
        alignment_heads=_listed(ranking, scores["hit_rate"][0]),
        scores={name: _rows(values[0]) for name, values in scores.items()},
        intervals={name: _interval(values[1:]) for name, values in scores.items()},
        ranking=_ranking(ranking, found),
        corpus=CorpusInfo(
            name=subject.corpus,
            fingerprint=subject.fingerprint,
            utterances=found.totals.clips,
            skipped=len(found.skipped),
        ),
        aligner=subject.aligner,
        query="predicting",
        text=subject.text,  # type: ignore[arg-type]
        created_with=f"alignheads {version('alignheads')}",
    )


def _listed(ranking: HeadRanking, hit_rate: np.ndarray) -> list[AlignmentHead]:
    heads = []
    for rank, index in enumerate(ranking.order):
        layer, head = divmod(index, hit_rate.shape[1])
        ts = float(hit_rate[layer, head])
        chosen = rank < ranking.chosen
        if ts > TS_THRESHOLD or chosen:
            heads.append(AlignmentHead(layer=layer, head=head, ts=ts))
    return heads


def _ranking(ranking: HeadRanking, found: Measurement) -> Ranking:
    validation = {}
    if found.other_hits.tokens:
        ours = found.totals.scores()["hit_rate"][0]
        other = found.other_hits.hit_rate
        rho = score_correlation(ours, other)
        if rho is not None:
            validation["hit_rate_rho_hypothesis_reference"] = rho
    return Ranking(
        method="set" if ranking.method == "set" else "score",
        metric=ranking.metric,
        top=ranking.top,
        top_probability=_rows(ranking.top_probability),  # type: ignore[arg-type]
        top_stability=ranking.top_stability,
        clips_needed=ranking.clips_needed,
        stability_curve=_stability_curve(ranking, found),
        groups=ranking.groups,
        set_error_curve=ranking.set_error_curve,
        validation=validation,
    )


def _stability_curve(ranking: HeadRanking, found: Measurement) -> list[tuple[int, float]]:
    """Of the ranking's own metric, up to its own figure."""
    clips = found.totals.clips
    before = found.stability_curves.get(ranking.metric, ())
    return [*(point for point in before if point[0] < clips), (clips, ranking.top_stability)]


def _rows(matrix: np.ndarray) -> list[list[float | None]]:
    return [[float(v) if np.isfinite(v) else None for v in row] for row in matrix]


def _interval(replicates: np.ndarray) -> Interval:
    """The middle 95 % of the replicates; a head undefined in one has no interval."""
    low, high = np.quantile(replicates, [0.025, 0.975], axis=0)
    return Interval(low=_rows(low), high=_rows(high))
