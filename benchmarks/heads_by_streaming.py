"""What each ranking of heads is worth: the errors of streams that use its best, at equal delay.

    python benchmarks/heads_by_streaming.py --heads FILE --model DIR --corpus CORPUS

Heads are ranked by every score in the first file, and as each file lists them. A stream runs with
the best of each ranking at every border; between two borders the word error rate is taken to be
linear in the delay. Decodes are shared by all rankings and kept in `--store`. See README.md.
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
from alignheads.commandline import run, say
from alignheads.corpora import Corpus, Utterance, load_corpus
from alignheads.discovery.totals import LOWER_IS_BETTER
from alignheads.evaluate.error_rates import word_errors
from alignheads.evaluate.latency import stream_times
from alignheads.evaluate.normalise import normalise
from alignheads.evaluate.timed import timed_stream
from alignheads.heads import HeadsFile, load_heads
from alignheads.runtime.models.model import SpeechModel
from alignheads.runtime.stream.config import DecoderConfig
from alignheads.runtime.stream.decoder import StreamDecoder

from streaming import print_cells  # isort: skip

BORDERS_S = (0.3, 0.4, 0.5, 0.65, 0.8, 1.0)
DELAYS_S = (0.75, 0.85, 0.95, 1.05)
RESAMPLES = 1000

Heads = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Streams:
    """Streams of a corpus with one group of heads; arrays are [borders, utterances]."""

    errors: np.ndarray
    words: np.ndarray
    delay_s: np.ndarray
    matched: np.ndarray

    def wer_at(self, delays_s: Sequence[float], times_drawn: np.ndarray) -> np.ndarray:
        """[delays], word error rate at equal delay, NaN beyond the borders' own.

        `times_drawn` [utterances] is how often each counts.
        """
        wer = (self.errors @ times_drawn) / (self.words @ times_drawn)
        delay_s = (self.delay_s @ times_drawn) / (self.matched @ times_drawn)
        order = np.argsort(delay_s)
        return np.interp(delays_s, delay_s[order], wer[order], left=np.nan, right=np.nan)


def rankings(files: dict[str, HeadsFile]) -> dict[str, Heads]:
    """Heads best first, by each score of the first file and as each file lists them."""
    found: dict[str, Heads] = {}
    first = next(iter(files.values()))
    for metric in first.metrics:
        values = first.matrix(metric)
        goodness = np.nan_to_num(-values if metric in LOWER_IS_BETTER else values, nan=-np.inf)
        order = np.argsort(-goodness, axis=None, kind="stable")
        found[metric] = tuple(divmod(int(head), first.num_heads) for head in order)
    return found | {name: tuple(file.compact) for name, file in files.items()}


def streamed(
    replay: Replay, heads: Heads, borders_s: Sequence[float], utterances: Sequence[Utterance],
    normaliser: str,
) -> Streams:  # fmt: skip
    """Stream each utterance at each border."""
    sums = np.zeros((4, len(borders_s), len(utterances)))
    for row, border_s in enumerate(borders_s):
        config = DecoderConfig(
            model=replay.model.name, heads=heads, head_count=len(heads), border_s=border_s,
            min_audio_s=1.0,
        )  # fmt: skip
        for column, utterance in enumerate(utterances):
            model = replay.recording(utterance.id)
            stream = StreamDecoder(model, config, language=utterance.language)
            timed = timed_stream(stream, utterance.read())
            said, meant = (
                normalise(text, normaliser, utterance.language)
                for text in (timed.text, utterance.text)
            )
            errors = word_errors([meant], [said])
            delays_s = stream_times(timed.words, utterance.words or (), timed.audio_s).delays_s
            sums[:, row, column] = errors.errors, errors.reference, sum(delays_s), len(delays_s)
    return Streams(*sums)


def print_table(found: dict[str, Streams], delays_s: Sequence[float]) -> None:
    """A row for each ranking: at each delay, on average, and how much more than the first."""
    utterances = next(iter(found.values())).errors.shape[1]
    drawn = np.random.default_rng(0).multinomial(
        utterances, np.full(utterances, 1 / utterances), RESAMPLES
    )
    counts = [np.ones(utterances), *drawn]
    wer = {
        name: 100 * np.array([streams.wer_at(delays_s, times) for times in counts])
        for name, streams in found.items()
    }
    first = next(iter(wer.values())).mean(axis=1)
    print_cells(
        ("heads by", *(f"{delay_s:g} s" for delay_s in delays_s), "mean", "more than first")
    )
    print_cells(["---"] * (3 + len(delays_s)))
    for name, values in wer.items():
        means = values.mean(axis=1)
        more = means - first
        low, high = (
            np.nanquantile(more[1:], [0.025, 0.975]) if np.isfinite(more[0]) else [np.nan] * 2
        )
        print_cells((
            name, *(f"{value:.2f}" for value in values[0]), f"{means[0]:.2f}",
            f"{more[0]:+.2f} ({low:+.2f} to {high:+.2f})",
        ))  # fmt: skip


def benchmark(
    heads: Annotated[list[str], typer.Option(help="heads files; repeat it")],
    model: Annotated[str, typer.Option(help="tiny, or a folder")] = "tiny",
    corpus: Annotated[str, typer.Option(help="speech with word times")] = "demo:test",
    counts: Annotated[str, typer.Option(help="how many heads, by commas")] = "4,8",
    borders_s: Annotated[str, typer.Option(help="by commas")] = ",".join(map(str, BORDERS_S)),
    delays_s: Annotated[str, typer.Option(help="by commas")] = ",".join(map(str, DELAYS_S)),
    normaliser: Annotated[str, typer.Option(help="of the word error rate")] = "whisper",
    store: Annotated[Path | None, typer.Option(help="file for what was decoded")] = None,
) -> None:
    """Print, for each number of heads, the word error rate of every ranking by delay."""
    loaded = SpeechModel.load(model)
    speech: Corpus = load_corpus(corpus)
    known = rankings({Path(name).stem: load_heads(name) for name in heads})
    everything = [(lay, h) for lay in range(loaded.num_layers) for h in range(loaded.num_heads)]
    replay = Replay(loaded, everything, DecodeStore(store))
    borders, delays = ([float(x) for x in text.split(",")] for text in (borders_s, delays_s))
    for count in map(int, counts.split(",")):
        found: dict[str, Streams] = {}
        for name, ranked in known.items():
            found[name] = streamed(replay, ranked[:count], borders, speech.utterances, normaliser)
            say(f"{name}, {count} heads: {replay.decoded} decoded, {replay.replayed} replayed")
        print(f"\nWER % at equal delay on {corpus}, best {count} heads\n")
        print_table(found, delays)


if __name__ == "__main__":
    run(benchmark)
