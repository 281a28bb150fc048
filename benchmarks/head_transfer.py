"""Whether heads chosen on one kind of speech serve another: word-time errors across corpora.

    python benchmarks/head_transfer.py --model FOLDER --corpus A --corpus B --text reference

Heads are chosen on each corpus and judged on each: by the mean distance of the median of their
attended frames from the word, every token at most 1 s. On the corpus that they were chosen on, half
of the utterances choose and the other half judges, both ways. Differences are paired over
utterances, with 95 % intervals. See README.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from alignheads.commandline import run, say
from alignheads.corpora import Corpus, load_corpus
from alignheads.discovery.discover import Measurement, measure_corpus, prepare_corpus
from alignheads.discovery.groups import ClipFrames, FrameSample, score_group
from alignheads.discovery.ranking import rank_heads
from alignheads.discovery.totals import HeadTotals
from alignheads.heads import load_heads
from alignheads.runtime.models.model import SpeechModel

from streaming import print_cells  # isort: skip

METHODS = ("hit_rate", "set", "time_error", "mass")
RESAMPLES = 2000


class Part:
    """What was measured of some utterances: to choose on, and to judge on."""

    def __init__(self, totals: HeadTotals, sample: FrameSample) -> None:
        self.totals, self.sample = totals, sample

    @classmethod
    def of(cls, found: Measurement) -> Part:
        """Of a measurement without cuts."""
        return cls(found.totals, found.sample)

    def __add__(self, other: Part) -> Part:
        return Part(self.totals + other.totals,
                    FrameSample({**self.sample.clips, **other.sample.clips}))  # fmt: skip

    def ranked(self, method: str) -> list[int]:
        """Indices layer x heads + head, best first."""
        return rank_heads(self.totals, self.totals.scores(), self.sample, method, 8).order

    def errors(self, heads: Sequence[int]) -> np.ndarray:
        """[utterances, 2]: the sum of the errors in ms of a group's median, and the tokens."""
        return np.array([self._error(clip, heads) for clip in self.sample.clips.values()])

    def _error(self, clip: ClipFrames, heads: Sequence[int]) -> tuple[float, int]:
        tokens = len(clip.centre_s)
        one = score_group([clip], heads, self.totals.frames_per_s)
        return one.time_error_ms * tokens, tokens


def measured(model: SpeechModel, name: str, aligner: str | None, text: str) -> tuple[Part, Part]:
    """Every second utterance of a corpus, and the others."""
    speech = load_corpus(name)
    if not speech.has_word_times:
        speech = prepare_corpus(model, speech, aligner=aligner).part
    by_id = sorted(speech.utterances, key=lambda one: one.id)
    halves = [Corpus(name, tuple(by_id[start::2])) for start in (0, 1)]
    parts = []
    for half in halves:
        found = measure_corpus(model, prepare_corpus(model, half), None, text, cuts=0)
        say(f"{name}: {found.totals.clips} of {len(half)} utterances, {found.totals.tokens} tokens")
        parts.append(Part.of(found))
    return parts[0], parts[1]


def judged(pairs: Sequence[tuple[Part, Part]], method: str, count: int,
           published: Sequence[int]) -> np.ndarray:  # fmt: skip
    """[utterances, 2] errors where, in each pair, the first part chooses and the second judges."""
    return np.concatenate([
        judge.errors((published if method == "published" else chooser.ranked(method))[:count])
        for chooser, judge in pairs
    ])  # fmt: skip


def difference(first: np.ndarray, second: np.ndarray) -> str:
    """Mean error of the first minus that of the second, with its interval."""
    utterances = len(first)
    drawn = np.random.default_rng(0).multinomial(
        utterances, np.full(utterances, 1 / utterances), RESAMPLES
    )
    counts = np.concatenate([np.ones((1, utterances)), drawn])
    value = (counts @ (first[:, 0] - second[:, 0])) / (counts @ first[:, 1])
    low, high = np.quantile(value[1:], [0.025, 0.975])
    return f"{value[0]:+.0f} ({low:+.0f} to {high:+.0f})"


def benchmark(
    corpus: Annotated[list[str], typer.Option(help="speech; repeat it")],
    model: Annotated[str, typer.Option(help="a model, or a folder")] = "tiny",
    aligner: Annotated[
        str | None, typer.Option(help="where a corpus has no word times of its own")
    ] = None,
    text: Annotated[str, typer.Option(help="hypothesis, or reference")] = "hypothesis",
    counts: Annotated[str, typer.Option(help="how many heads, by commas")] = "4,8",
) -> None:
    """Print the word-time errors for every pair of corpora."""
    loaded = SpeechModel.load(model)
    known = {Path(name).stem: measured(loaded, name, aligner, text) for name in corpus}
    methods, published = list(METHODS), []
    if loaded.family == "whisper":
        compact = load_heads(None, model=loaded.name).compact
        published = [layer * loaded.num_heads + head for layer, head in compact]
        methods.append("published")
    print(f"{loaded.name}, {text}: word-time error, ms")
    differences = ("set minus hit rate", "set minus published", "hit rate minus published")
    print_cells(("chosen on", "judged on", "heads", *methods, *differences))
    print_cells(["---"] * (6 + len(methods)))
    for source, (even, odd) in known.items():
        for target, halves in known.items():
            whole = [(even + odd, halves[0] + halves[1])]
            pairs = [(even, odd), (odd, even)] if source == target else whole
            for count in map(int, counts.split(",")):
                errors = {one: judged(pairs, one, count, published) for one in methods}
                means = (f"{e[:, 0].sum() / e[:, 1].sum():.0f}" for e in errors.values())
                mask = errors.get("published")
                against = [difference(errors["set"], errors["hit_rate"])] + [
                    "-" if mask is None else difference(errors[one], mask)
                    for one in ("set", "hit_rate")
                ]
                print_cells((source, target, count, *means, *against))


if __name__ == "__main__":
    run(benchmark)
