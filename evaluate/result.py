"""The benchmark file: what was decoded, by what, on what machine, and how it scored.

Knows the contract of the file, nothing of models or of how a number is made. Rates are
fractions (0.033 is 3.3 %), times seconds unless a name says otherwise. What is not known or not
defined is null, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import InputError
from ..files import check_version, first_fault, json_text, parse_json, read_text, replacing, shown
from .normalise import NORMALISERS, Normaliser

SCHEMA_VERSION = 1
KIND = "benchmark file"
HINT = "make one with: benchmark-decoder --json FILE"

Mode = Literal["simul", "single-shot", "offline"]
Group = Literal["utterance", "chapter"]
MODES: tuple[Mode, ...] = ("simul", "single-shot", "offline")
GROUPS: tuple[Group, ...] = ("utterance", "chapter")

_Count = Annotated[int, Field(ge=0)]
_Seconds = Annotated[float, Field(ge=0)]
_Fraction = Annotated[float, Field(ge=0, le=1)]
_Rate = Annotated[float, Field(ge=0)]
_Name = Annotated[str, Field(min_length=1)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class GoldWord(_Model):
    """A word of the reference and when it is spoken, from the start of the utterance."""

    text: str
    start_s: float
    end_s: float


class CommittedWord(_Model):
    """A word as a stream gave it out: see `runtime.metrics.EmittedWord`; `lag_s` is wall time."""

    text: str
    start_s: float
    end_s: float
    emitted_s: float
    lag_s: float


class Times(_Model):
    """The latencies of one utterance: see `runtime.metrics.StreamTimes`, field by field."""

    gold_words: _Count
    emitted_words: _Count
    delays_s: list[float]
    delays_aware_s: list[float]
    start_errors_ms: list[float]
    end_errors_ms: list[float]
    first_word_s: float | None
    first_word_aware_s: float | None
    finalisation_s: float | None
    finalisation_aware_s: float | None
    laal_s: float | None
    laal_aware_s: float | None


class Observation(_Model):
    """One utterance (or chapter) as it was decoded, before anything is scored.

    `words` is None for offline decoding; `times` where word times are not known.
    """

    id: _Name
    language: str | None = None
    reference: str
    hypothesis: str
    duration_s: _Seconds
    wall_s: _Seconds | None
    words: list[CommittedWord] | None = None
    times: Times | None = None


class Scored(_Model):
    """One utterance under one normaliser. `wer` is None where the reference is empty."""

    reference: str
    hypothesis: str
    errors: _Count
    wer: _Rate | None


class Utterance(Observation):
    """One utterance, scored. `unit` says what an error is an error of."""

    rtf: _Rate | None
    unit: Literal["word", "character"]
    scores: dict[Normaliser, Scored]


class ErrorRate(_Model):
    """Counts over all utterances, their rate, and its 95 % bootstrap interval over utterances."""

    hits: _Count
    substitutions: _Count
    deletions: _Count
    insertions: _Count
    rate: _Rate | None
    low: _Rate | None
    high: _Rate | None

    @property
    def reference(self) -> int:
        """Words (or characters) of the references."""
        return self.hits + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The 95 % interval; None where the rate is not defined.

        Where no error was made the bootstrap knows of none: then it is the rule of three, up to
        3 / n (Hanley & Lippman-Hand 1983, "If nothing goes wrong, is everything all right?").
        """
        if self.low is None or self.high is None or not self.reference:
            return None
        return (self.low, self.high) if self.errors else (0.0, min(1.0, 3 / self.reference))


class SpaceOnly(_Model):
    """Errors in white space alone: see `runtime.error_rates.SpaceErrors`."""

    spans: _Count
    errors: _Count
    cut_words: _Count
    utterances_cut: _Count
    rate_without: float | None


class TextTotals(_Model):
    """How right the text is, under one normaliser.

    `median_wer`, `p90_wer`, `p95_wer`, `zero_wer_share` are over the word error rates of
    utterances; `worst` names up to ten, most errors for their length first.
    """

    words: ErrorRate
    characters: ErrorRate
    median_wer: _Rate | None
    p90_wer: _Rate | None
    p95_wer: _Rate | None
    zero_wer_share: _Fraction | None
    space_only: SpaceOnly
    worst: list[str]


class Spread(_Model):
    """Of `count` values; None where there are none."""

    count: _Count
    mean: float | None
    p50: float | None
    p90: float | None
    p95: float | None


class Latency(_Model):
    """Over all matched words, or over utterances: see `runtime.metrics.StreamSummary`.

    `delay_low_s` and `delay_high_s`: the 95 % bootstrap interval of the mean emission delay.
    """

    utterances: _Count
    gold_words: _Count
    matched_words: _Count
    delay_low_s: float | None
    delay_high_s: float | None
    delay_s: Spread
    delay_aware_s: Spread
    start_error_ms: Spread
    end_error_ms: Spread
    first_word_s: Spread
    first_word_aware_s: Spread
    finalisation_s: Spread
    finalisation_aware_s: Spread
    laal_s: Spread
    laal_aware_s: Spread


class Totals(_Model):
    """Over all utterances of a run. `latency_note` says why there is no latency, or of how few."""

    utterances: _Count
    audio_s: _Seconds
    wall_s: _Seconds | None
    rtf: _Rate | None
    utterance_rtf: Spread
    texts: dict[Normaliser, TextTotals]
    latency: Latency | None
    latency_note: str | None


class TokenStep(_Model):
    """A token of a traced step. `attended_s`: the middle of its frame, from the start of audio."""

    text: str
    attended_s: float
    committed: bool
    reason: str


class DecodingStep(_Model):
    """A traced step: audio decoded, where the buffer starts, the border, and the new tokens."""

    audio_s: _Seconds
    buffer_start_s: _Seconds
    border_s: _Seconds | None
    reason: str
    tokens: list[TokenStep]


class Mel(_Model):
    """A log-mel spectrogram, `channels` x `frames` bytes (0 to 255), zlib and base64."""

    channels: Annotated[int, Field(ge=1, le=128)]
    frames: Annotated[int, Field(ge=1, le=100_000)]
    per_second: Annotated[float, Field(gt=0)]
    data: str


class AudioPart(_Model):
    """A part of an audio file, from `offset_s`; silence of `gap_s` stands before it."""

    path: str
    offset_s: _Seconds = 0.0
    duration_s: _Seconds | None = None
    gap_s: _Seconds = 0.0


class Trace(_Model):
    """What the decoder saw and did in the first `seconds` of one utterance."""

    id: _Name
    seconds: _Seconds
    audio: list[AudioPart]
    gold: list[GoldWord] | None
    mel: Mel | None
    steps: list[DecodingStep]


class RunSettings(_Model):
    """What was run. `config` is the decoder's; heads are (layer, head), best first.

    All of these are None where they do not apply (offline decoding) or are not known.
    """

    name: _Name
    mode: Mode
    config: dict[str, object] | None = None
    config_sha256: str | None = None
    heads: list[tuple[_Count, _Count]] | None = None
    heads_sha256: str | None = None
    step_s: _Seconds | None = None


class Memory(_Model):
    """Peaks up to the end of a run: of the process since it started, of the arrays in the run.

    Of a run that was killed and resumed, those of the process that ended it.
    """

    process_bytes: _Count | None
    array_bytes: _Count | None


class Run(_Model):
    """One decoder over the corpus."""

    settings: RunSettings
    totals: Totals
    memory: Memory | None
    utterances: list[Utterance]
    traces: list[Trace] = []


class ModelInfo(_Model):
    """The checkpoint. `fingerprint` is over its files; None where a file of others does not say."""

    name: _Name
    fingerprint: str | None
    dtype: str | None


class CorpusInfo(_Model):
    """What was decoded. `utterances` counts those that were taken, before they were grouped."""

    name: _Name
    fingerprint: str | None
    utterances: _Count
    group: Group
    language: str | None = None


class Machine(_Model):
    """Where it ran."""

    platform: str
    device: str | None
    backend: str | None
    versions: dict[str, str] = {}


class BenchmarkFile(_Model):
    """A benchmark file: one model on one corpus, in one or more runs.

    `stated`: totals that a file of others carried itself, by name, beside which ours stand.
    """

    schema_version: Annotated[int, Field(ge=1, le=SCHEMA_VERSION)] = SCHEMA_VERSION
    model: ModelInfo
    corpus: CorpusInfo
    machine: Machine
    seed: _Count = 0
    runs: Annotated[list[Run], Field(min_length=1)]
    source: str | None = None
    stated: dict[str, float] = {}

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

    def save(self, path: Path) -> None:
        """Write JSON to `path`; a failure leaves what was there.

        Raises:
            InputError: the file cannot be written.
        """
        content = self.model_dump(mode="json")
        with replacing(path) as temporary:
            temporary.write_text(json_text(content) + "\n", encoding="utf-8")


def _each_once(names: Sequence[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{what}: {name!r} stands twice")
        seen.add(name)


def load_benchmark(path: Path) -> BenchmarkFile:
    """The benchmark file at `path`, ours or in the published layout (see `published.py`).

    Raises:
        InputError: no such file, not a benchmark file, cut off, or of another schema version.
    """
    from .published import from_published, is_published

    text = read_text(path, KIND, HINT)
    content = parse_json(text, path, KIND)
    if not isinstance(content, dict):
        raise InputError(f"{path} holds {shown(content)}, expected a {KIND}: a JSON object")
    if is_published(content):
        return from_published(content, path)
    if "schema_version" not in content or "runs" not in content:
        raise InputError(f"{path} is no {KIND}: it has no schema_version or no runs; {HINT}")
    check_version(content, SCHEMA_VERSION, path)
    try:
        # JSON mode: strict, so that "3" and true are no numbers.
        return BenchmarkFile.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise InputError(f"{path}: {first_fault(error, BenchmarkFile.model_fields)}") from error
