"""The differences of two runs over the same utterances, and whether they are significant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from .intervals import Difference, paired_difference
from .load import load_benchmark
from .normalise import NORMALISERS, ErrorName, Normaliser
from .record import Record
from .result import Run, Utterance
from .scores import delay_sums, per_second, word_sums


class TextDifference(Record):
    """Error rates of two runs under one normaliser; `difference` is first minus second.

    `better`, `worse`, `same`: utterances on which the first makes fewer, more, as many errors.
    """

    first: float | None
    second: float | None
    difference: Difference | None
    better: int
    worse: int
    same: int


class Comparison(Record):
    """Two runs compared; `delay_s` is None where a run has no emission times.

    Attributes:
        first, second: names of the runs.
        utterances: how many were compared.
        left_out: how many are in one run only.
        error_name: what their error rate is called.
        texts: error rates, by normaliser.
        delay_s: mean emission delay of each, and their difference.
        rtf: real-time factors. They depend on the machine, so their difference has no interval.
        gflop_per_s, weight_reads_per_s: see `Totals`.
    """

    first: str
    second: str
    utterances: int
    left_out: int
    error_name: ErrorName
    texts: dict[Normaliser, TextDifference]
    delay_s: tuple[float, float, Difference] | None
    rtf: tuple[float | None, float | None]
    gflop_per_s: tuple[float | None, float | None]
    weight_reads_per_s: tuple[float | None, float | None]

    def as_dict(self) -> dict[str, Any]:
        """The comparison as a JSON object."""
        return self.model_dump(mode="json")


def load_run(source: str) -> list[tuple[str, Run]]:
    """The runs of `FILE`, or the one of `FILE:RUN`, each with a name for the reader.

    Raises:
        InputError: no such file or run, or not a benchmark file.
    """
    path, _, wanted = source.rpartition(":") if not Path(source).exists() else (source, "", "")
    file = load_benchmark(Path(path or source))
    if wanted and path:
        return [(f"{Path(path).stem}: {wanted}", file.run(wanted))]
    return [(f"{Path(source).stem}: {run.settings.name}", run) for run in file.runs]


def compare_files(
    first: str, second: str, *, intersection: bool = False, seed: int = 0
) -> list[Comparison]:
    """Compare two files run by run.

    Every run of the first is compared with the run of the same name of the second; where each
    has one run only, these two, whatever their names.

    Args:
        first, second: `FILE` or `FILE:RUN`.
        intersection: compare the utterances that both have, where their utterances differ.
        seed: of the bootstrap.

    Raises:
        InputError: a file cannot be read, no two runs have the same name, they are not over the
            same utterances, or the seed is negative.
    """
    if seed < 0:
        raise InputError(f"seed is {seed}, expected 0 or more")
    ours, theirs = load_run(first), load_run(second)
    if len(ours) == len(theirs) == 1:
        pairs = [(ours[0], theirs[0])]
    else:
        by_name = {run.settings.name: (name, run) for name, run in theirs}
        pairs = [
            ((name, run), by_name[run.settings.name])
            for name, run in ours
            if run.settings.name in by_name
        ]
    if not pairs:
        names = [", ".join(run.settings.name for _, run in found) for found in (ours, theirs)]
        raise InputError(
            f"{first} has the runs {names[0]}, {second} has {names[1]}: none of the same name; "
            "name one of each, as FILE:RUN"
        )
    return [
        compare_runs(one, other, names=(name, other_name), intersection=intersection, seed=seed)
        for (name, one), (other_name, other) in pairs
    ]


def compare_runs(
    first: Run, second: Run, *, names: tuple[str, str], intersection: bool = False, seed: int = 0
) -> Comparison:
    """The differences of two runs, with the intervals of a paired bootstrap over utterances.

    Raises:
        InputError: they are not over the same utterances and texts.
    """
    ours, theirs, left_out = _paired(first, second, names, intersection)
    texts: dict[Normaliser, TextDifference] = {
        name: _text_difference(ours, theirs, name, seed) for name in NORMALISERS
    }
    return Comparison(
        first=names[0],
        second=names[1],
        utterances=len(ours),
        left_out=left_out,
        error_name=first.error_name,
        texts=texts,
        delay_s=_delay_difference(ours, theirs, seed),
        rtf=(_rtf(ours), _rtf(theirs)),
        gflop_per_s=(_per_second(ours, "gflop"), _per_second(theirs, "gflop")),
        weight_reads_per_s=(
            _per_second(ours, "forward_passes"),
            _per_second(theirs, "forward_passes"),
        ),
    )


def _paired(
    first: Run, second: Run, names: tuple[str, str], intersection: bool
) -> tuple[list[Utterance], list[Utterance], int]:
    ours = {one.id: one for one in first.utterances}
    theirs = {one.id: one for one in second.utterances}
    common = [id for id in ours if id in theirs]
    left_out = len(ours) + len(theirs) - 2 * len(common)
    if left_out and not intersection:
        only = next(id for id in (*ours, *theirs) if (id in ours) != (id in theirs))
        raise InputError(
            f"{names[0]} has {len(ours)} utterances, {names[1]} has {len(theirs)}, and "
            f"{len(common)} are in both ({only!r} is in one only); a paired comparison is over "
            "the same ones: give intersection=True to compare those",
            arguments=("intersection",),
        )
    if not common:
        raise InputError(f"{names[0]} and {names[1]} have no utterance in common")
    for id in common:
        texts = [one[id].scores["basic"].reference for one in (ours, theirs)]
        if texts[0] != texts[1]:
            raise InputError(
                f"the utterance {id!r} has other texts in {names[0]} than in {names[1]}: these "
                "are not the same utterances"
            )
    return [ours[id] for id in common], [theirs[id] for id in common], left_out


def _text_difference(
    ours: Sequence[Utterance], theirs: Sequence[Utterance], normaliser: Normaliser, seed: int
) -> TextDifference:
    one, other = word_sums(ours, normaliser), word_sums(theirs, normaliser)
    more = one.numerator - other.numerator
    return TextDifference(
        first=one.rate,
        second=other.rate,
        difference=paired_difference(one, other, seed=seed),
        better=int((more < 0).sum()),
        worse=int((more > 0).sum()),
        same=int((more == 0).sum()),
    )


def _delay_difference(
    ours: Sequence[Utterance], theirs: Sequence[Utterance], seed: int
) -> tuple[float, float, Difference] | None:
    one, other = delay_sums(ours), delay_sums(theirs)
    if one is None or other is None or one.rate is None or other.rate is None:
        return None
    difference = paired_difference(one, other, seed=seed)
    return (one.rate, other.rate, difference) if difference else None


def _rtf(utterances: Sequence[Utterance]) -> float | None:
    walls = [one.wall_s for one in utterances if one.wall_s is not None]
    audio_s = sum(one.duration_s for one in utterances)
    return sum(walls) / audio_s if len(walls) == len(utterances) and audio_s else None


def _per_second(utterances: Sequence[Utterance], name: str) -> float | None:
    counts = [getattr(one, name) for one in utterances]
    return per_second(counts, sum(one.duration_s for one in utterances))
