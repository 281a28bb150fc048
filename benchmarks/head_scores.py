"""What each score of heads is worth: the errors of streams that use its best heads, at equal delay.

    discover-heads --model FOLDER --corpus CORPUS --shard 1/2 --out HEADS.json
    python benchmarks/head_scores.py --model FOLDER --corpus CORPUS --sums HEADS.sums.npz

The utterances that were not used for discovery are streamed, with the best heads by each score and
at every border; between two borders the word error rate is taken to be linear in the delay. With
`--single N`, streams of one head each say whether a score orders heads as streams do. Decodes are
kept in `--store`. See README.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from alignheads.calibrate.replay.source import Replay
from alignheads.calibrate.replay.store import DecodeStore
from alignheads.calibrate.study.pareto import hypervolume
from alignheads.commandline import run, say
from alignheads.corpora import Utterance
from alignheads.discovery.discover import Measurement, prepare_corpus
from alignheads.discovery.ranking import rank_heads
from alignheads.discovery.shards import load_sums
from alignheads.discovery.totals import LOWER_IS_BETTER
from alignheads.errors import InputError
from alignheads.evaluate.error_rates import word_errors
from alignheads.evaluate.latency import stream_times
from alignheads.evaluate.normalise import normalise
from alignheads.evaluate.timed import timed_stream
from alignheads.heads import load_heads
from alignheads.heads.rank_correlation import spearman
from alignheads.runtime.models.model import SpeechModel
from alignheads.runtime.stream.config import DecoderConfig
from alignheads.runtime.stream.decoder import StreamDecoder

from streaming import print_cells  # isort: skip

BORDERS_S = (0.35, 0.5, 0.7, 0.95)
DELAYS_S = (0.75, 0.85, 0.95, 1.05)
RANKINGS = (
    "hit_rate", "time_error_p50_ms", "time_error_p90_ms", "time_bias_ms", "monotonicity", "mass",
    "commit_accuracy", "border_auc", "border_auc_unbiased", "set", "published",
)  # fmt: skip
BIASED_MS = 150
WORST = (0.5, 1.5)  # word error rate and delay in seconds, where the area begins
RESAMPLES = 1000

Head = tuple[int, int]


@dataclass(frozen=True)
class Streams:
    """Streams of a corpus with one group of heads; arrays are [borders, utterances]."""

    errors: np.ndarray
    words: np.ndarray
    delay_s: np.ndarray
    matched: np.ndarray

    def points(self, times_drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[borders] word error rates and mean delays, by rising delay.

        `times_drawn` [utterances] is how often each counts.
        """
        wer = (self.errors @ times_drawn) / (self.words @ times_drawn)
        delay_s = (self.delay_s @ times_drawn) / (self.matched @ times_drawn)
        order = np.argsort(delay_s)
        return wer[order], delay_s[order]

    def wer_at(self, delays_s: Sequence[float], times_drawn: np.ndarray) -> np.ndarray:
        """[delays], word error rate at equal delay, NaN beyond the borders' own."""
        wer, delay_s = self.points(times_drawn)
        return np.interp(delays_s, delay_s, wer, left=np.nan, right=np.nan)

    def area(self) -> float:
        """The hypervolume of word error rate and delay; more is better."""
        wer, delay_s = self.points(np.ones(self.errors.shape[1]))
        return hypervolume(list(zip(wer.tolist(), delay_s.tolist(), strict=True)), WORST)


def goodness(found: Measurement) -> dict[str, np.ndarray]:
    """Each score [heads of all layers], higher is better; of a signed error, its size counts.

    `border_auc_unbiased`: border AUC, heads with a bias of more than `BIASED_MS` last. (The area
    itself is the same if every distance is shifted.)
    """
    known = {name: values[0].ravel() for name, values in found.totals.scores().items()}
    known["time_bias_ms"] = -np.abs(known["time_bias_ms"])
    is_biased = known["time_bias_ms"] < -BIASED_MS
    if "border_auc" in known:
        known["border_auc_unbiased"] = np.where(is_biased, -np.inf, known["border_auc"])
    return {
        name: np.nan_to_num(-values if name in LOWER_IS_BETTER else values, nan=-np.inf)
        for name, values in known.items()
    }


def ranked_heads(found: Measurement, model: SpeechModel) -> dict[str, list[Head]]:
    """Heads best first: by each score, as a set, and as they were published, if they were."""
    orders = {name: np.argsort(-values, kind="stable") for name, values in goodness(found).items()}
    scores = found.totals.scores()
    orders["set"] = rank_heads(found.totals, scores, found.sample, "set", 8).order
    ranked = {
        name: [divmod(int(head), model.num_heads) for head in order]
        for name, order in orders.items()
    }
    if model.family == "whisper":
        ranked["published"] = list(load_heads(None, model=model.name).compact)
    return ranked


class Judge:
    """Streams the same utterances with one group of heads after another."""

    def __init__(self, replay: Replay, utterances: Sequence[Utterance], borders_s: Sequence[float],
                 normaliser: str) -> None:  # fmt: skip
        self.replay, self.utterances = replay, utterances
        self.borders_s, self.normaliser = borders_s, normaliser
        self._known: dict[frozenset[Head], Streams] = {}

    def streams(self, heads: Sequence[Head]) -> Streams:
        """Of the median of `heads`, whose order means nothing, at every border."""
        key = frozenset(heads)
        if key not in self._known:
            cells = [[self._stream(heads, border_s, one) for one in self.utterances]
                     for border_s in self.borders_s]  # fmt: skip
            self._known[key] = Streams(*np.moveaxis(np.array(cells, float), -1, 0))
            say(f"{sorted(key)}: {self.replay.decoded} decoded, {self.replay.replayed} replayed")
        return self._known[key]

    def _stream(
        self, heads: Sequence[Head], border_s: float, utterance: Utterance
    ) -> tuple[float, float, float, float]:
        config = DecoderConfig(
            model=self.replay.model.name, heads=tuple(heads), head_count=len(heads),
            border_s=border_s, min_audio_s=1.0,
        )  # fmt: skip
        model = self.replay.recording(utterance.id)
        stream = StreamDecoder(model, config, language=utterance.language)
        timed = timed_stream(stream, utterance.read())
        said, meant = (
            normalise(text, self.normaliser, utterance.language)
            for text in (timed.text, utterance.text)
        )
        errors = word_errors([meant], [said])
        delays_s = stream_times(timed.words, utterance.words or (), timed.audio_s).delays_s
        return errors.errors, errors.reference, sum(delays_s), len(delays_s)


def print_groups(found: dict[str, Streams], delays_s: Sequence[float]) -> None:
    """A row for each ranking: at each delay, and how much more than the first on average."""
    utterances = next(iter(found.values())).errors.shape[1]
    drawn = np.random.default_rng(0).multinomial(
        utterances, np.full(utterances, 1 / utterances), RESAMPLES
    )
    counts = [np.ones(utterances), *drawn]
    wer = {
        name: 100 * np.array([streams.wer_at(delays_s, times) for times in counts])
        for name, streams in found.items()
    }
    first = next(iter(wer.values()))
    heading = "more than the first, mean"
    print_cells(("heads by", *(f"{delay_s:g} s" for delay_s in delays_s), heading))
    print_cells(["---"] * (2 + len(delays_s)))
    for name, values in wer.items():
        # At delays that both reach, in the streams themselves.
        both = np.isfinite(values[0]) & np.isfinite(first[0])
        mean = "-"
        if both.any():
            more = np.nanmean((values - first)[:, both], axis=1)
            low, high = np.nanquantile(more[1:], [0.025, 0.975])
            mean = f"{more[0]:+.1f} ({low:+.1f} to {high:+.1f})"
        cells = (f"{value:.1f}" if np.isfinite(value) else "-" for value in values[0])
        print_cells((name, *cells, mean))


def print_single(judge: Judge, scores: dict[str, np.ndarray], heads: Sequence[Head],
                 delays_s: Sequence[float]) -> None:  # fmt: skip
    """The streams of each head alone, and how each score orders the heads beside them."""
    ones, num_heads = np.ones(len(judge.utterances)), judge.replay.model.num_heads
    areas = np.array([judge.streams([head]).area() for head in heads])
    wer = np.array([judge.streams([head]).wer_at(delays_s, ones) for head in heads])
    reached = np.isfinite(wer).all(axis=0)
    wer = wer[:, reached].mean(axis=1) if reached.any() else np.full(len(wer), np.nan)
    rows = [layer * num_heads + head for layer, head in heads]
    print_cells(("head", "area", "WER % at delay s, by border", "hit rate", "border AUC"))
    print_cells(["---"] * 5)
    for index in np.argsort(-areas):
        points = ", ".join(
            f"{100 * w:.1f} at {d:.2f}"
            for w, d in zip(*judge.streams([heads[index]]).points(ones), strict=True)
        )
        two = (f"{scores[name][rows[index]]:.2f}" for name in ("hit_rate", "border_auc"))
        print_cells((heads[index], f"{areas[index]:.3f}", points, *two))
    print()
    print(
        f"Rank correlation over {len(heads)} heads: with the area, and with few errors on average"
    )
    print("over the delays that all of them reach\n")
    print_cells(("score", "area", "errors"))
    print_cells(["---"] * 3)
    for name, values in scores.items():
        rhos = (spearman(values[rows][None], worth)[0] for worth in (areas, -wer))
        print_cells((name, *(f"{rho:+.2f}" for rho in rhos)))


def benchmark(
    sums: Annotated[Path, typer.Option(help="of discover-heads --shard")],
    model: Annotated[str, typer.Option(help="tiny, or a folder")] = "tiny",
    corpus: Annotated[str, typer.Option(help="speech to stream")] = "demo:test",
    aligner: Annotated[str | None, typer.Option(help="of the word times")] = None,
    rankings: Annotated[str, typer.Option(help="by commas")] = ",".join(RANKINGS),
    counts: Annotated[str, typer.Option(help="how many heads, by commas")] = "4,8",
    single: Annotated[
        int, typer.Option(help="best heads by hit rate and by border AUC, each alone")
    ] = 0,
    clips: Annotated[int | None, typer.Option(help="streams; default: all")] = None,
    borders_s: Annotated[str, typer.Option(help="by commas")] = ",".join(map(str, BORDERS_S)),
    delays_s: Annotated[str, typer.Option(help="by commas")] = ",".join(map(str, DELAYS_S)),
    normaliser: Annotated[str, typer.Option(help="of the word error rate")] = "whisper",
    store: Annotated[Path | None, typer.Option(help="file for what was decoded")] = None,
) -> None:
    """Print, for each number of heads, the word error rate of every ranking by delay."""
    loaded = SpeechModel.load(model)
    _, found = load_sums(sums)
    scores, known = goodness(found), ranked_heads(found, loaded)
    ranked = {name: known[name] for name in rankings.split(",") if name in known}
    if "border_auc" not in scores:
        raise InputError(f"{sums} has no border scores: discover heads with cuts")
    if len(found.sample.clips) < found.totals.clips:
        raise InputError(f"{sums} does not name all of its {found.totals.clips} utterances")
    speech = prepare_corpus(loaded, corpus, aligner=aligner).part
    seen = {*found.sample.clips, *found.skipped}
    streamed = [one for one in speech.utterances if one.id not in seen][:clips]
    everything = [(lay, h) for lay in range(loaded.num_layers) for h in range(loaded.num_heads)]
    borders, delays = ([float(x) for x in text.split(",")] for text in (borders_s, delays_s))
    replay = Replay(loaded, everything, DecodeStore(store))
    judge = Judge(replay, streamed, borders, normaliser)
    print(f"{loaded.name}: {found.totals.clips} utterances to choose on, {len(streamed)} streamed")
    for count in map(int, filter(None, counts.split(","))):
        print(f"\nWER % at equal delay, best {count} heads\n")
        groups = {name: judge.streams(heads[:count]) for name, heads in ranked.items()}
        print_groups(groups, delays)
    if single:
        both = [*known["hit_rate"][:single], *known["border_auc"][:single]]
        print("\nStreams of one head\n")
        print_single(judge, scores, list(dict.fromkeys(both)), delays)


if __name__ == "__main__":
    run(benchmark)
