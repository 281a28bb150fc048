"""calibration.json: every trial of a sweep, its front, what was chosen, and what held elsewhere.

Knows the contract of the file. Word error rates are ratios (0.034 is 3.4 %), delays seconds of
audio from the true end of a word to its commit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from ..errors import InputError
from ..evaluate.intervals import Difference, Increase, Interval, Sums
from ..evaluate.normalise import ErrorName
from ..evaluate.record import Count, Fraction, Rate, Record
from ..files import check_version, first_fault, json_text, parse_json, read_text, shown, write_text

SCHEMA_VERSION = 2
CHOSEN = "chosen"
"""The point of the configuration that the study chose, among those on held-out speech."""

_KIND = "calibration"

Objective = Literal["wer", "delay_s", "gflop_per_s"]
OBJECTIVES: tuple[Objective, ...] = ("wer", "delay_s", "gflop_per_s")
Limited = Literal["rtf", "gflop_per_s"]
Border = Literal["fraction", "seconds"]
Setting = bool | float | int | str | None


class HeadsInfo(Record):
    """The heads file of the sweep: `source` as it was given, or its model; `listed` heads in it."""

    source: str
    sha256: str
    listed: Count


class SpeechInfo(Record):
    """A corpus that was streamed.

    `aligner`: where its word times come from. `phases`: how often each utterance was streamed,
    each time with more silence before it, so that steps fall at other places of the speech.
    `error_name`: what the rate of errors is called, which is the `wer` of this file all the same:
    of words, of characters where no spaces stand between them, of both in mixed text. `skipped`:
    utterances that could not be used.
    """

    name: str
    fingerprint: str
    utterances: Count
    audio_s: Rate
    aligner: str
    phases: Annotated[int, Field(ge=1)] = 1
    error_name: ErrorName = "WER"
    skipped: Count = 0


class Range(Record):
    """What one parameter may be: `low` to `high` (drawn by their logarithm if `log`), or `choices`.

    `step`: values are multiples of it, from `low` on.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    choices: list[bool | float | str] | None = None


class Measures(Record):
    """What else was measured in a trial; None where it is not defined.

    Counts and errors are of words (or characters). `_aware` has the time to compute in it. Under
    replay, times to compute are those of the decoding when it was done, added up; `gflop_per_s` and
    `weight_reads_per_s`, of a second of audio, are what a live stream would compute, and None in
    files of earlier versions.
    """

    reference_words: Count
    matched_words: Count
    substitutions: Count
    deletions: Count
    insertions: Count
    final_deletions: Count
    delay_p50_s: float | None
    delay_p90_s: float | None
    delay_p95_s: float | None
    delay_aware_s: float | None
    first_word_s: float | None
    finalisation_s: float | None
    laal_s: float | None
    start_error_p50_ms: float | None
    rtf: float | None
    gflop_per_s: Rate | None = None
    weight_reads_per_s: Rate | None = None


class UtteranceSums(Record):
    """Of each utterance, in order: all that rates and their intervals are computed from.

    Summed over the phases of the utterance.
    """

    errors: list[Count]
    reference_words: list[Count]
    delay_s: list[float]
    matched_words: list[Count]

    @model_validator(mode="after")
    def _check(self) -> UtteranceSums:
        lengths = {name: len(values) for name, values in self if isinstance(values, list)}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the sums are of different numbers of utterances: {lengths}")
        return self

    @property
    def word_errors(self) -> Sums:
        """Word errors over words of reference."""
        return Sums.of(self.errors, self.reference_words)

    @property
    def delays(self) -> Sums:
        """Seconds of emission delay over words matched."""
        return Sums.of(self.delay_s, self.matched_words)


class TrialInfo(Record):
    """One trial.

    Attributes:
        number: of the study.
        state: a "failed" one has a `reason`.
        border: whether it has a border_fraction or a border_s.
        params: what was tried, by the names of the decoder's configuration.
        wer: word error rate; None if it did not complete. As for the next four.
        delay_s: mean emission delay; None too where no word was right.
        measures: what else.
        sums: of each utterance, from which the choice is made; None too in files of schema 1.
        seconds: of wall time for the trial.
        on_front: nothing else of the study has all objectives lower or equal, and one lower.
        feasible: it met what was asked for (real time, compute).
        baseline: its name, of a trial that was not searched but set.
        reason: why it failed.
    """

    number: Count
    state: Literal["complete", "failed", "running", "waiting"]
    border: Border
    params: dict[str, Setting]
    wer: Rate | None = None
    delay_s: float | None = None
    measures: Measures | None = None
    sums: UtteranceSums | None = None
    seconds: Rate | None = None
    on_front: bool = False
    feasible: bool = True
    baseline: str | None = None
    reason: str | None = None


class Missed(Record):
    """A trial with less delay that may be as good, and about how many utterances would tell."""

    number: Count
    increase: Increase
    utterances: Count


class Selected(Record):
    """The trial chosen, by its number, and by which rule, as it was asked for.

    A rule that goes by intervals says more: `reference` is the trial whose errors are compared
    with, `increase` that of the word error rate over it, and `missed` what more speech might have
    chosen.
    """

    number: Count
    how: str
    reference: Count | None = None
    increase: Increase | None = None
    missed: Missed | None = None

    @property
    def numbers(self) -> list[int]:
        """Of all the trials that it names."""
        named = [self.number, self.reference, self.missed and self.missed.number]
        return [number for number in named if number is not None]


class Point(Record):
    """One configuration on the held-out speech."""

    name: str
    config: dict[str, Setting]
    wer: Interval | None
    delay_s: Interval | None
    measures: Measures
    sums: UtteranceSums


class Comparison(Record):
    """Two points by name; below 0 the first is better."""

    first: str
    second: str
    wer: Difference | None
    delay_s: Difference | None


class HeldOut(Record):
    """The chosen configuration and the baselines on speech that no trial saw."""

    corpus: SpeechInfo
    utterances: list[str]
    points: list[Point]
    comparisons: list[Comparison]

    def wer_bounds(self, point: Point) -> tuple[float, float] | None:
        """The 95 % interval of a point's error rate; without errors by the rule of three, 3 / n.

        n is words of reference, each once: a phase is the same speech again.
        """
        if point.wer is None:
            return None
        words = sum(point.sums.reference_words) / self.corpus.phases
        if sum(point.sums.errors) or not words:
            return point.wer.low, point.wer.high
        return 0.0, min(1.0, 3 / words)

    @model_validator(mode="after")
    def _check(self) -> HeldOut:
        names = [point.name for point in self.points]
        for point in self.points:
            if len(point.sums.errors) != len(self.utterances):
                raise ValueError(
                    f"the point {point.name!r} has sums of {len(point.sums.errors)} utterances, "
                    f"expected {len(self.utterances)}"
                )
        for comparison in self.comparisons:
            for name in (comparison.first, comparison.second):
                if name not in names:
                    raise ValueError(f"a comparison names {name!r}, which is no held-out point")
        return self


class FrontPoint(Record):
    """One point of a front; `gflop_per_s` where compute was an objective."""

    wer: Rate
    delay_s: float
    gflop_per_s: Rate | None = None
    params: dict[str, Setting]


class OtherFront(Record):
    """The front of the study of the other kind of border, over the same speech."""

    border: Border
    trials: Count
    points: list[FrontPoint]


class ReplayInfo(Record):
    """What replay did in this run.

    `states`: decodings in the store; `decoded` of them in this run; `replayed`: answers that came
    from the store; `hit_rate`: their share of all answers. `live_utterances` of the held-out
    speech were decoded live too with the chosen configuration, `live_identical` of them gave the
    same words at the same times, at a real-time factor of `live_rtf`, and computed
    `live_gflop_per_s`.
    """

    states: Count
    decoded: Count
    replayed: Count
    hit_rate: Fraction | None
    live_utterances: Count = 0
    live_identical: Count = 0
    live_rtf: Rate | None = None
    live_gflop_per_s: Rate | None = None


class HeadCountPoint(Record):
    """All else at the chosen values."""

    head_count: Annotated[int, Field(ge=1)]
    wer: Rate
    delay_s: float | None


class Explanation(Record):
    """What the study teaches.

    Attributes:
        importance: {"wer", "delay_s" or "gflop_per_s": {parameter: share}}, 0 to 1.
        by_head_count: the development corpus by head count, all else at the chosen values.
        best_head_count: the one with the lowest word error rate, then delay.
        fewest_heads: the smallest count not significantly worse than that in either.
    """

    importance: dict[str, dict[str, Fraction]]
    by_head_count: list[HeadCountPoint]
    best_head_count: Annotated[int, Field(ge=1)]
    fewest_heads: Annotated[int, Field(ge=1)]


class StudyInfo(Record):
    """The study: its name, where it is kept (without a password), and what it belongs to."""

    name: str
    storage: str
    fingerprint: dict[str, str]


class CalibrationFile(Record):
    """A calibration.

    Attributes:
        schema_version: of the file.
        created_with: program and version.
        model: the checkpoint.
        language: given to the model; None: each utterance's own, or detected.
        heads, corpus: what was calibrated, on what.
        study: see `StudyInfo`.
        border: the kind of border searched.
        space: {parameter: `Range`}.
        base: what every trial had in common, by the names of the decoder's configuration.
        seed: of the search.
        trials_wanted: complete trials asked for.
        trials: all, by number.
        front: numbers of the trials on the front, by rising delay.
        objectives: what was searched for: errors, delay, and compute where that was asked for.
        limits: what a trial must keep to be chosen: {"rtf" or "gflop_per_s": the most}.
        hypervolume_reference: the point from which it is measured: the worst seen.
        hypervolume: after each complete trial, by number.
        selected: None while no trial could be chosen.
        held_out: None until the sweep is done.
        other_front: where the same storage has a study of the other kind of border.
        replay: see `ReplayInfo`.
        explanation: where it was asked for.
        notes: what a reader should know, for people.
    """

    schema_version: Annotated[int, Field(ge=1, le=SCHEMA_VERSION)] = SCHEMA_VERSION
    created_with: str
    model: Annotated[str, Field(min_length=1)]
    language: str | None = None
    heads: HeadsInfo
    corpus: SpeechInfo
    study: StudyInfo
    border: Border
    space: dict[str, Range]
    base: dict[str, Setting]
    seed: int
    trials_wanted: Count
    trials: list[TrialInfo]
    front: list[Count]
    objectives: list[Objective] = Field(default_factory=lambda: list(OBJECTIVES[:2]))
    limits: dict[Limited, Rate] = Field(default_factory=dict)
    hypervolume_reference: list[float] | None = None
    hypervolume: list[Rate] = Field(default_factory=list)
    selected: Selected | None = None
    held_out: HeldOut | None = None
    other_front: OtherFront | None = None
    replay: ReplayInfo | None = None
    explanation: Explanation | None = None
    notes: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _check(self) -> CalibrationFile:
        by_number = {trial.number: trial for trial in self.trials}
        if len(by_number) < len(self.trials):
            raise ValueError("two trials have the same number")
        marked = {trial.number for trial in self.trials if trial.on_front}
        if marked != set(self.front):
            raise ValueError(
                f"front is {shown(self.front)}, but the trials say {shown(sorted(marked))}"
            )
        for trial in self.trials:
            if (trial.wer is None) == (trial.state == "complete"):
                raise ValueError(f"trial {trial.number} is {trial.state}, its wer {trial.wer}")
        for number in self.selected.numbers if self.selected else ():
            trial = by_number.get(number)
            if trial is None or trial.state != "complete":
                raise ValueError(f"selected names trial {number}, which did not complete")
        return self

    @classmethod
    def load(cls, path: Path | str) -> CalibrationFile:
        """The calibration in the file `path`.

        Raises:
            InputError: no such file, or not a valid calibration.
        """
        path = Path(path)
        text = read_text(path, _KIND, "make one with calibrate")
        content = parse_json(text, path, _KIND)
        if not isinstance(content, dict):
            raise InputError(f"{path} holds {shown(content)}, expected a {_KIND}: a JSON object")
        check_version(content, SCHEMA_VERSION, path)
        try:
            # JSON mode: strict, so that "3" and true are no numbers.
            return cls.model_validate_json(text, strict=True)
        except ValidationError as error:
            raise InputError(f"{path}: {first_fault(error, cls.model_fields)}") from error

    def save(self, path: Path | str, *, overwrite: bool = True) -> None:
        """Write JSON to `path`; a failure leaves what was there. `overwrite`: see `replacing`.

        Raises:
            InputError: the file cannot be written.
        """
        write_text(path, json_text(self.model_dump(mode="json")) + "\n", overwrite=overwrite)

    def trial(self, number: int) -> TrialInfo:
        """The trial of that number.

        Raises:
            KeyError: there is none.
        """
        return {trial.number: trial for trial in self.trials}[number]
