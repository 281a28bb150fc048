"""The benchmark file: what was decoded, by what, on what machine, and how it scored.

Knows the contract of the file, nothing of models or of how a number is made. Rates are
fractions (0.033 is 3.3 %), times seconds unless a name says otherwise. What is not known or not
defined is null, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..errors import InputError
from ..files import json_text, write_text
from .error_rates import ErrorRate, SpaceErrors
from .latency import CommittedWord, Distribution, Latency, Times
from .normalise import NORMALISERS, ErrorName, Normaliser, Unit, error_name
from .record import Count, Fraction, Name, Rate, Record, Seconds
from .reliability import Reliability
from .trace_types import Trace

SCHEMA_VERSION = 1
KIND = "benchmark file"
HINT = "make one with: benchmark-decoder --json FILE"

Mode = Literal["simul", "single-shot", "offline"]
Group = Literal["utterance", "chapter"]
MODES: tuple[Mode, ...] = ("simul", "single-shot", "offline")
GROUPS: tuple[Group, ...] = ("utterance", "chapter")


class Observation(Record):
    """One utterance (or chapter) as it was decoded, before anything is scored.

    `words` is None for offline decoding; `times` where word times are not known. `gflop` and
    `forward_passes` are what it computed (see `runtime.models.work`); None where that is not
    counted, as offline.
    """

    id: Name
    language: str | None = None
    reference: str
    hypothesis: str
    duration_s: Seconds
    wall_s: Seconds | None
    words: list[CommittedWord] | None = None
    times: Times | None = None
    gflop: Rate | None = None
    forward_passes: Count | None = None


class Scored(Record):
    """One utterance under one normaliser. `wer` is None where the reference is empty."""

    reference: str
    hypothesis: str
    errors: Count
    wer: Rate | None


class Utterance(Observation):
    """One utterance, scored. `unit` says what an error is an error of: see `normalise`."""

    rtf: Rate | None
    unit: Unit
    scores: dict[Normaliser, Scored]


class TextTotals(Record):
    """How right the text is, under one normaliser.

    `median_wer`, `p90_wer`, `p95_wer`, `zero_wer_share` are over the word error rates of
    utterances; `worst` names up to ten, most errors for their length first.
    """

    words: ErrorRate
    characters: ErrorRate
    median_wer: Rate | None
    p90_wer: Rate | None
    p95_wer: Rate | None
    zero_wer_share: Fraction | None
    space_only: SpaceErrors
    worst: list[str]


class Totals(Record):
    """Over all utterances of a run. `latency_note` says why there is no latency, or of how few.

    `gflop_per_s`: computed for a second of audio, in 10^9 operations; `weight_reads_per_s`: how
    often all weights of the text decoder were read for it. Unlike `rtf` both are the same on every
    machine.

    `reliability` is None where the probabilities of words are not known, as of offline decoding.
    """

    utterances: Count
    audio_s: Seconds
    wall_s: Seconds | None
    rtf: Rate | None
    utterance_rtf: Distribution
    texts: dict[Normaliser, TextTotals]
    latency: Latency | None
    latency_note: str | None
    reliability: Reliability | None = None
    gflop_per_s: Rate | None = None
    weight_reads_per_s: Rate | None = None


class RunSettings(Record):
    """What was run. `config` is the decoder's; heads are (layer, head), best first; `context` is
    what the model was told.

    All of these are None where they do not apply (offline decoding) or are not known.
    """

    name: Name
    mode: Mode
    config: dict[str, object] | None = None
    config_sha256: str | None = None
    heads: list[tuple[Count, Count]] | None = None
    heads_sha256: str | None = None
    step_s: Seconds | None = None
    context: str | None = None


class Memory(Record):
    """Peaks up to the end of a run: of the process since it started, of the arrays in the run.

    Of a run that was killed and resumed, those of the process that ended it.
    """

    process_bytes: Count | None
    array_bytes: Count | None


class Run(Record):
    """One decoder over the corpus."""

    settings: RunSettings
    totals: Totals
    memory: Memory | None
    utterances: list[Utterance]
    traces: list[Trace] = Field(default_factory=list)

    @property
    def error_name(self) -> ErrorName:
        """What its error rate is called: of words, of characters, or of both."""
        return error_name((one.reference, one.unit) for one in self.utterances)


class ModelInfo(Record):
    """The checkpoint. `fingerprint` is over its files; None where a file of others does not say."""

    name: Name
    fingerprint: str | None
    dtype: str | None


class CorpusInfo(Record):
    """What was decoded. `utterances` counts those that were taken, before they were grouped;
    `skipped` those that could not be."""

    name: Name
    fingerprint: str | None
    utterances: Count
    group: Group
    language: str | None = None
    skipped: Count = 0


class Machine(Record):
    """Where it ran. `workers`: the devices of a cluster's, where one decoded."""

    platform: str
    device: str | None
    backend: str | None
    versions: dict[str, str] = Field(default_factory=dict)
    workers: list[str] | None = None


class BenchmarkFile(Record):
    """A benchmark file: one model on one corpus, in one or more runs.

    `stated`: totals that a file of others carried itself, by name, beside which ours stand.
    """

    schema_version: Annotated[int, Field(ge=1, le=SCHEMA_VERSION)] = SCHEMA_VERSION
    model: ModelInfo
    corpus: CorpusInfo
    machine: Machine
    seed: Count = 0
    runs: Annotated[list[Run], Field(min_length=1)]
    source: str | None = None
    stated: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> BenchmarkFile:
        _each_once([run.settings.name for run in self.runs], "runs")
        for run in self.runs:
            name = f"the utterances of {run.settings.name}"
            _each_once([utterance.id for utterance in run.utterances], name)
            if not run.utterances:
                raise ValueError(f"the run {run.settings.name} has no utterance")
            for utterance in run.utterances:
                if set(utterance.scores) != set(NORMALISERS):
                    raise ValueError(
                        f"{utterance.id} is scored by {sorted(utterance.scores)}, expected "
                        f"{', '.join(NORMALISERS)}"
                    )
        return self

    def run(self, name: str) -> Run:
        """The run of that name.

        Raises:
            InputError: there is none.
        """
        for run in self.runs:
            if run.settings.name == name:
                return run
        names = ", ".join(repr(run.settings.name) for run in self.runs)
        raise InputError(f"there is no run {name!r}; the file has {names}")

    def save(self, path: Path, *, overwrite: bool = True) -> None:
        """Write JSON to `path`; a failure leaves what was there. `overwrite`: see `replacing`.

        Raises:
            InputError: the file cannot be written.
        """
        content = self.model_dump(mode="json")
        write_text(path, json_text(content) + "\n", overwrite=overwrite)


def _each_once(names: Sequence[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{what}: {name!r} stands twice")
        seen.add(name)
