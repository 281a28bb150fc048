"""Whether heads chosen on one kind of speech serve another: word-time errors across corpora.

    discover-heads --model FOLDER --corpus A --cuts 0 --shard 1/2 --out A1.json  # and 2/2, and B
    python benchmarks/head_transfer.py --sums A1.sums.npz --sums A2.sums.npz --sums B1.sums.npz …

Heads are chosen on each corpus and judged on each: by the mean distance of the median of their
attended frames from the word, every token at most 1 s. On the corpus that they were chosen on, half
of the utterances choose and the other half judges, both ways. Differences are paired over
utterances, with 95 % intervals. See README.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from alignheads.commandline import run
from alignheads.discovery.groups import ClipFrames, FrameSample, score_group
from alignheads.discovery.ranking import rank_heads
from alignheads.discovery.shards import load_sums
from alignheads.discovery.totals import HeadTotals
from alignheads.heads import load_heads

from streaming import print_cells  # isort: skip

METHODS = ("hit_rate", "set", "time_error", "mass")
RESAMPLES = 2000


@dataclass(frozen=True)
class Part:
    """What was measured of some utterances: to choose on, and to judge on."""

    totals: HeadTotals
    sample: FrameSample

    def __add__(self, other: Part) -> Part:
        clips = {**self.sample.clips, **other.sample.clips}
        return Part(self.totals + other.totals, FrameSample(clips))

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
    sums: Annotated[list[Path], typer.Option(help="of discover-heads --shard 1/2 and 2/2")],
    counts: Annotated[str, typer.Option(help="how many heads, by commas")] = "4,8",
) -> None:
    """Print the word-time errors for every pair of corpora."""
    found = [load_sums(path)[1] for path in sums]
    known: dict[str, list[Part]] = {}
    for one in found:
        parts = known.setdefault(Path(one.subject.corpus).stem, [])
        parts.append(Part(one.totals, one.sample))
    subject, methods, published = found[0].subject, list[str](METHODS), []
    if subject.attention == "cross":
        compact = load_heads(None, model=subject.model).compact
        published = [layer * subject.num_heads + head for layer, head in compact]
        methods.append("published")
    print(f"{subject.label}: word-time error, ms")
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
