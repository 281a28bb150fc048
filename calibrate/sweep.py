"""The sweep: from a model and speech to a study, a front, and a decoder's configuration.

Puts the rooms' parts together; each of them is in a module of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
from optuna.trial import FrozenTrial

from ..errors import InputError
from ..evaluate.scores import per_second
from ..evaluate.timed import TimedStream, timed_stream
from ..heads import HeadsFile
from ..runtime.models.protocol import AlignmentModel
from ..runtime.stream.config import DecoderConfig
from ..runtime.stream.decoder import StreamDecoder
from . import report
from .held_out import score_held_out
from .replay.elsewhere import Elsewhere, live_elsewhere, replayed_elsewhere
from .replay.identity import digest
from .replay.source import Replay
from .replay.store import DecodeStore
from .result import (
    CHOSEN,
    OBJECTIVES,
    CalibrationFile,
    HeadsInfo,
    HeldOut,
    Objective,
    OtherFront,
    ReplayInfo,
    StudyInfo,
)
from .scoring import Score, Streamer, score
from .speech import Progress, Recording, Speech
from .study.explain import explain
from .study.limits import Limits
from .study.pareto import DEFAULT_RULE, MIN_COST, Rule, parse_rule
from .study.space import BORDERS, DEFAULT_BORDER, Space, check_searched
from .study.storage import failing_as_input, redacted
from .study.trials import FINGERPRINT, completed, run_trials

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from .report import Standing

MEMORY = "memory"
RANGE = "range of "  # a part of the fingerprint for each parameter
SEED = "seed"  # another part


@dataclass(frozen=True)
class SweepOptions:
    """What to search, and how.

    Attributes:
        trials: complete trials in all, those of earlier runs and of other processes included.
        border: what a border is measured in: "seconds", or "fraction" of the buffer.
        tune: what else is searched, see `study.space.Tunable`.
        max_heads: the most heads a trial may use; None: all ranked ones.
        select: the rule by which a point of the front is chosen.
        realtime: trials that do not keep up with the audio cannot be chosen.
        max_rtf, max_gflops: nor can those with a larger real-time factor, or that compute more
            GFLOP a second of audio.
        cost: compute is an objective, too; so it is for the rule min-cost.
        explain: say what the study teaches.
        language: given to the model; None: the utterances' own.
        seed: of the search.
        storage: where the study is: an Optuna URL or a journal file; None: `journal`.
        journal: the journal file in that case; None: memory.
        study: its name; None: that of the model and the border.
        store: folder for what was decoded, or "memory"; None: the user's cache folder.
    """

    trials: int = 50
    border: str = DEFAULT_BORDER
    tune: tuple[str, ...] = ()
    max_heads: int | None = None
    select: str = DEFAULT_RULE
    realtime: bool = False
    max_rtf: float | None = None
    max_gflops: float | None = None
    cost: bool = False
    explain: bool = False
    language: str | None = None
    seed: int = 0
    storage: str | None = None
    journal: Path | None = None
    study: str | None = None
    store: Path | str | None = None

    @property
    def storage_name(self) -> str:
        """Where the study is, for people: its password is in it."""
        return str(self.storage or self.journal or MEMORY)

    @property
    def limits(self) -> Limits:
        """What a trial must keep to."""
        return Limits(self.max_rtf, self.max_gflops, self.realtime)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What is searched for."""
        return (
            OBJECTIVES if self.cost or parse_rule(self.select).name == MIN_COST else OBJECTIVES[:2]
        )

    def check(self) -> None:
        """Refuse what cannot work, before anything is loaded.

        Raises:
            InputError: which, and what is expected.
        """
        if self.trials < 1:
            raise InputError(f"trials is {self.trials}, expected 1 or more", arguments=("trials",))
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}, expected 0 or more", arguments=("seed",))
        parse_rule(self.select)
        self.limits.check()
        check_searched(self.border, self.tune)


@dataclass
class Sweep:
    """A sweep that is set up: see `set_up`."""

    model: AlignmentModel
    heads: HeadsFile
    heads_source: str
    space: Space
    dev: Speech
    test: Speech
    options: SweepOptions
    storage: BaseStorage
    study: optuna.Study
    store: DecodeStore
    replay: Replay
    rule: Rule
    notes: list[str] = field(default_factory=list)
    streamed: Callable[[float], object] | None = None  # told the share of a trial that is done
    elsewhere: Elsewhere | None = None  # decodes in place of this process

    # Streams

    def replayed(self, config: DecoderConfig, recording: Recording) -> TimedStream:
        """One recording, from the store where it can be."""
        model = self.replay.recording(recording.key)
        return self._stream(config, recording, model, self._owed_clock)

    def live(self, config: DecoderConfig, recording: Recording) -> TimedStream:
        """One recording, decoded as any stream is."""
        return self._stream(config, recording, self.model, time.perf_counter)

    def _owed_clock(self) -> float:
        # So a replayed step takes as long as decoding it once did.
        return time.perf_counter() + self.replay.owed_s

    def _stream(
        self,
        config: DecoderConfig,
        recording: Recording,
        model: AlignmentModel,
        clock: Callable[[], float],
    ) -> TimedStream:
        language = config.language or recording.utterance.language
        stream = StreamDecoder(model, config, language=language)
        return timed_stream(stream, recording.samples, clock=clock)

    def score(self, config: DecoderConfig) -> Score:
        """A configuration on the development speech, replayed."""
        done, total = 0, len(self.dev.recordings)

        def count() -> None:
            nonlocal done
            done += 1
            # The first trial decodes what the others replay: it takes minutes.
            if self.streamed is not None:
                self.streamed(done / total)

        return score(self.dev.recordings, self.streamer(config, self.dev.recordings, count))

    def streamer(
        self, config: DecoderConfig, recordings: Sequence[Recording], count: Callable[[], object]
    ) -> Streamer:
        """Gives the streams of `recordings`, one after another; `count` is called for each."""
        if self.elsewhere is not None:
            streams = iter(
                replayed_elsewhere(
                    self.elsewhere, self.replay, config, recordings,
                    lambda recording: self.replayed(config, recording), count,
                )
            )  # fmt: skip
            return lambda recording: next(streams)

        def stream(recording: Recording) -> TimedStream:
            found = self.replayed(config, recording)
            count()
            return found

        return stream

    # Trials

    def objective(self, trial: optuna.Trial) -> tuple[float, ...]:
        """Word error rate and mean emission delay of a trial, and compute where it is searched."""
        begin = time.perf_counter()
        config = self.space.config(_rounded(self.space.draw(trial)))
        found = self.score(config)
        measures = found.measures
        seconds = round(time.perf_counter() - begin, 4)
        values = (found.wer, found.delay_s, measures.gflop_per_s or 0.0)
        trial.set_user_attr(
            report.RESULT,
            {
                "measures": measures.model_dump(),
                "sums": found.sums.model_dump(),
                "seconds": seconds,
            },
        )
        if self.options.limits.most:
            trial.set_constraint("limits", self.options.limits.excess(measures))
        return values[: len(self.options.objectives)]

    def run(
        self,
        after: Callable[[FrozenTrial, Standing], object] = lambda trial, standing: None,
        waiting: Callable[[int], object] = lambda running: None,
    ) -> None:
        """Run what is left of the trials.

        Args:
            after: called after each trial of this process, with how the study then stands.
            waiting: called with the number of others' running trials, when only they are left.

        Raises:
            TrialsFailed: three trials in a row failed.
            InputError: the storage cannot be used any more.
        """
        with failing_as_input(self.options.storage_name):
            run_trials(
                self.study,
                self.options.trials,
                self.objective,
                lambda trial: after(trial, self.standing()),
                waiting,
            )

    def standing(self, *, strict: bool = False) -> Standing:
        """How the study stands; see `report.standing`."""
        limits = self.options.limits
        return report.standing(
            self.study, self.space.border, self.rule, limits, phases=self.dev.phases, strict=strict
        )

    def reasons(self, found: Standing) -> list[str]:
        """Why that trial was chosen, for people."""
        return report.reasons(found, len(self.dev.corpus), self.dev.error_name)

    # Results

    def config(self, found: Standing, held_out: HeldOut | None = None) -> DecoderConfig:
        """The configuration of the trial chosen, with where it comes from.

        Raises:
            InputError: none is chosen.
        """
        config = self.space.config(found.chosen.params)
        sums = found.chosen.sums or self.score(config).sums
        dev = report.evidence(self.dev.corpus.name, self.dev.corpus.fingerprint, sums)
        calibration: dict[str, object] = {
            "study": self.study.study_name,
            "fingerprint": self.fingerprint,
            "trial": found.chosen.number,
            "select": str(self.rule),
            "created_with": f"alignheads {version('alignheads')}",
            "heads_sha256": self.heads.sha256,
            "dev": dev,
        }
        if held_out is not None:
            point = next(point for point in held_out.points if point.name == CHOSEN)
            calibration["held_out"] = {
                "corpus": held_out.corpus.name,
                "fingerprint": held_out.corpus.fingerprint,
                "wer": point.wer and point.wer.model_dump(),
                "delay_s": point.delay_s and point.delay_s.model_dump(),
            }
        heads = tuple(self.heads.top(config.head_count))
        return config.changed(heads=heads, calibration=calibration)

    @property
    def fingerprint(self) -> str:
        """What the study's results depend on, in 16 digits."""
        return digest(sorted(self.study.user_attrs[FINGERPRINT].items()))

    def held_out(self, found: Standing, progress: Progress | None = None) -> HeldOut:
        """The chosen configuration and the baselines on the test speech, replayed."""
        configs = {CHOSEN: self.config(found)}
        for name, params in self.space.baselines().items():
            configs[name] = self.space.config(params)
        return score_held_out(configs, self.test, self.streamer, progress)

    def replay_info(self, found: Standing | None = None) -> ReplayInfo:
        """What replay did; with `found`, how the chosen configuration compares with live."""
        live: list[TimedStream] = []
        identical = 0
        if found is not None and found.selected is not None:
            config = self.space.config(found.chosen.params)
            first = self.test.first_phase
            if self.elsewhere is not None:
                live += live_elsewhere(self.elsewhere, config.resolved(self.model), first)
            for place, recording in enumerate(first):
                if self.elsewhere is None:
                    live.append(self.live(config, recording))
                identical += said(live[place]) == said(self.replayed(config, recording))
        audio_s = sum(stream.audio_s for stream in live)
        answers = self.replay.decoded + self.replay.replayed
        gflop = [stream.work and stream.work.flop / 1e9 for stream in live]
        return ReplayInfo(
            states=len(self.store),
            decoded=self.replay.decoded,
            replayed=self.replay.replayed,
            hit_rate=self.replay.replayed / answers if answers else None,
            live_utterances=len(live),
            live_identical=identical,
            live_rtf=sum(stream.wall_s for stream in live) / audio_s if live else None,
            live_gflop_per_s=per_second(gflop, audio_s) if live else None,
        )

    def file(
        self,
        found: Standing,
        held_out: HeldOut | None = None,
        replay: ReplayInfo | None = None,
    ) -> CalibrationFile:
        """calibration.json as the study stands."""
        objectives = self.options.objectives
        reference, volumes = report.volumes(found.trials, with_cost=len(objectives) > 2)
        explanation = None
        if self.options.explain and found.selected is not None:
            params = found.chosen.params
            explanation = explain(
                self.study, self.space, params, lambda values: self.score(self.space.config(values))
            )
        return CalibrationFile(
            created_with=f"alignheads {version('alignheads')}",
            model=self.model.name,
            language=self.space.base.language,
            heads=HeadsInfo(
                source=self.heads_source,
                sha256=self.heads.sha256,
                listed=len(self.heads.compact),
            ),
            corpus=self.dev.info,
            study=StudyInfo(
                name=self.study.study_name,
                storage=redacted(self.options.storage_name),
                fingerprint=self.study.user_attrs[FINGERPRINT],
            ),
            border=self.space.border,
            space=self.space.ranges,
            base=self.space.fixed,
            seed=self.options.seed,
            trials_wanted=self.options.trials,
            trials=found.trials,
            front=found.front,
            objectives=list(objectives),
            limits=self.options.limits.most,
            hypervolume_reference=None if reference is None else list(reference),
            hypervolume=volumes,
            selected=found.selected,
            held_out=held_out,
            other_front=self._other_front(),
            replay=replay,
            explanation=explanation,
            notes=[*self.space.notes(), *self.notes, *self.reasons(found)],
        )

    def _other_front(self) -> OtherFront | None:
        """That of the study of the other kind of border, if the storage has it."""
        border = "seconds" if self.space.border == "fraction" else "fraction"
        name = study_name(self.options.study or self.model.label, border, self.options.objectives)
        try:
            other = optuna.load_study(study_name=name, storage=self.storage)
        except KeyError:
            return None
        ours, theirs = self.study.user_attrs[FINGERPRINT], other.user_attrs.get(FINGERPRINT, {})
        kinds = {SEED, *(RANGE + name for name in BORDERS.values())}
        if _without(ours, kinds) != _without(theirs, kinds) or not completed(other):
            return None
        return report.other_front(other, border)


def said(stream: TimedStream) -> list[tuple[str, float, float, float]]:
    """The words of a stream and their times, without what the clock says."""
    return [(word.text, word.start_s, word.end_s, word.emitted_s) for word in stream.words]


def _rounded(params: dict) -> dict:
    return {k: round(v, 6) if isinstance(v, float) else v for k, v in params.items()}


def study_name(name: str, border: str, objectives: Sequence[str]) -> str:
    """The name of a study: one for each kind of border, and with compute as an objective."""
    return f"{name}-{border}" + ("-cost" if len(objectives) > 2 else "")


def _without(parts: dict[str, str], names: set[str]) -> dict[str, str]:
    return {name: value for name, value in parts.items() if name not in names}
