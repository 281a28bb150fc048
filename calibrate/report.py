"""From a study to calibration.json and decoder_config.json. Knows results, decodes nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from ..errors import InputError
from ..evaluate.intervals import Increase, rate_interval
from ..evaluate.normalise import ErrorName
from .result import (
    Border,
    FrontPoint,
    Measures,
    Missed,
    OtherFront,
    Selected,
    Setting,
    TrialInfo,
    UtteranceSums,
)
from .study.choice import Candidate, choose
from .study.limits import Limits
from .study.pareto import MIN_COST, Point, Rule, front, hypervolumes, select
from .study.space import BASELINE, BORDERS, SEARCHED
from .study.trials import REASON, completed

RESULT = "result"
"""The attribute of a trial: its `Measures`, the sums of each utterance, and its seconds."""

_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.FAIL: "failed",
    TrialState.PRUNED: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
_MARGIN = 1.1  # of the reference of the hypervolume over the worst seen
_LEAST_WER = 0.001  # so that there is an area where nothing is ever wrong


@dataclass(frozen=True)
class Standing:
    """How a study stands.

    Attributes:
        trials: all, by number.
        front: numbers of the trials on the front, by rising delay.
        selected: the trial chosen; None while there is none that meets the rule.
    """

    trials: list[TrialInfo]
    front: list[int]
    selected: Selected | None

    @property
    def complete(self) -> int:
        """How many trials are complete."""
        return sum(trial.state == "complete" for trial in self.trials)

    def trial(self, number: int) -> TrialInfo:
        """The trial of that number."""
        return next(trial for trial in self.trials if trial.number == number)

    @property
    def chosen(self) -> TrialInfo:
        """The trial chosen.

        Raises:
            InputError: none is.
        """
        if self.selected is None:
            raise InputError("no trial is chosen, so there is no configuration to write")
        return self.trial(self.selected.number)


def standing(
    study: optuna.Study,
    border: Border,
    rule: Rule,
    limits: Limits | None = None,
    *,
    phases: int = 1,
    strict: bool = False,
) -> Standing:
    """How `study` stands, and what `rule` chooses of its front.

    On the front are trials with a border of the kind searched that keep to the limits. A baseline
    that does can be chosen whatever its border. In what chance may do, each utterance
    counts once: its `phases` are the same speech again.

    Raises:
        InputError: `strict`, and no trial meets the rule or the limits.
    """
    limits = limits or Limits()
    frozen = study.get_trials(deepcopy=False)
    can = [trial for trial in completed(study) if _keeps(trial, limits)]
    of_kind = [trial for trial in can if _border(trial, border) == border]
    numbers = [of_kind[index].number for index in front([_point(trial) for trial in of_kind])]
    selected = None
    try:
        rivals = [trial for trial in can if trial in of_kind or BASELINE in trial.user_attrs]
        selected = _selected(rivals, rule, phases)
    except InputError:
        if strict and completed(study) and not can:
            raise limits.missed([_named(trial, border) for trial in completed(study)]) from None
        if strict:
            raise
    trials = [_info(trial, border, trial.number in numbers, limits) for trial in frozen]
    return Standing(trials, numbers, selected)


def _selected(trials: Sequence[FrozenTrial], rule: Rule, phases: int) -> Selected:
    """What `rule` chooses of `trials`.

    Raises:
        InputError: none meets it.
    """
    if rule.name != "within":
        point = _point_with_cost if rule.name == MIN_COST else _point
        index = select([point(trial) for trial in trials], rule, _ceiling(trials, phases))
        return Selected(number=trials[index].number, how=str(rule))
    assert rule.limit is not None
    found = choose([_candidate(trial, phases) for trial in trials], rule.limit / 100)
    missed = found.missed and Missed(
        number=trials[found.missed.index].number,
        increase=found.missed.increase,
        utterances=found.missed.utterances,
    )
    return Selected(
        number=trials[found.index].number,
        how=str(rule),
        reference=trials[found.reference].number,
        increase=found.increase,
        missed=missed,
    )


def _candidate(trial: FrozenTrial, phases: int) -> Candidate:
    sums = trial.user_attrs[RESULT].get("sums")
    if sums is None:
        raise InputError(
            "select is 'within=…', which needs what each utterance came to, and these trials are "
            "of a version that did not keep it; give another name as study, or take "
            "max-wer-increase, max-delay or knee",
            arguments=("select", "study"),
        )
    found = UtteranceSums(**sums)
    errors, delays = found.word_errors.over(phases), found.delays.over(phases)
    return Candidate(errors, delays, BASELINE in trial.user_attrs)


def _ceiling(trials: Sequence[FrozenTrial], phases: int) -> Point:
    """What the knee may not exceed: the best baseline, and the errors that chance adds to it.

    The best is the one with fewest errors. Chance is two standard deviations of a count of
    errors (Poisson), of one error where there was none, among the words of one phase.
    """
    baselines = [trial for trial in trials if BASELINE in trial.user_attrs]
    if not baselines:
        return ()
    wer, delay_s, words = min(
        (*_point(trial)[:2], trial.user_attrs[RESULT]["measures"]["reference_words"] / phases)
        for trial in baselines
    )
    return wer + 2 * math.sqrt(max(wer * words, 1)) / words, delay_s


def _keeps(trial: FrozenTrial, limits: Limits) -> bool:
    return limits.excess(_measures(trial)) <= 0


def _border(trial: FrozenTrial, searched: Border) -> Border:
    return trial.user_attrs.get(SEARCHED, searched)


def _point(trial: FrozenTrial) -> Point:
    return tuple(trial.values)


def _point_with_cost(trial: FrozenTrial) -> Point:
    """Where compute was no objective it was measured all the same."""
    cost = _measures(trial).gflop_per_s
    if cost is None:
        raise InputError(
            "select is 'min-cost=…', and these trials say nothing of their compute: give another "
            "name as study, or take another rule",
            arguments=("select", "study"),
        )
    return *trial.values[:2], cost


def _measures(trial: FrozenTrial) -> Measures:
    return Measures(**trial.user_attrs[RESULT]["measures"])


def _named(trial: FrozenTrial, border: Border) -> tuple[str, Measures]:
    return described_trial(_info(trial, border, False, Limits())), _measures(trial)


def trial_params(trial: FrozenTrial) -> dict[str, Setting]:
    """Its parameters, without the last bits of a float."""
    drawn = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    return {k: round(v, 6) if isinstance(v, float) else v for k, v in drawn.items()}


def _info(trial: FrozenTrial, border: Border, on_front: bool, limits: Limits) -> TrialInfo:
    is_complete = trial.state is TrialState.COMPLETE
    result = trial.user_attrs.get(RESULT, {}) if is_complete else {}
    return TrialInfo(
        number=trial.number,
        state=_STATES[trial.state],  # type: ignore[arg-type]
        border=_border(trial, border),
        params=trial_params(trial),
        wer=trial.values[0] if is_complete else None,
        delay_s=trial.values[1] if is_complete else None,
        measures=Measures(**result["measures"]) if result else None,
        sums=UtteranceSums(**result["sums"]) if "sums" in result else None,
        seconds=result.get("seconds"),
        on_front=on_front,
        feasible=not is_complete or _keeps(trial, limits),
        baseline=trial.user_attrs.get(BASELINE),
        reason=trial.user_attrs.get(REASON) if trial.state is TrialState.FAIL else None,
    )


def volumes(
    trials: Sequence[TrialInfo], *, with_cost: bool = False
) -> tuple[Point | None, list[float]]:
    """The reference of the hypervolume, beyond the worst seen, and its value after each trial."""
    known = [t for t in trials if t.wer is not None and t.delay_s is not None]
    points: list[Point] = [(trial.wer or 0.0, trial.delay_s or 0.0) for trial in known]
    costs = [trial.measures and trial.measures.gflop_per_s for trial in known]
    if with_cost:
        points = [(*point, cost or 0.0) for point, cost in zip(points, costs, strict=True)]
    if not points:
        return None, []
    worst_wer, *worst = (max(axis) for axis in zip(*points, strict=True))
    reference = (_MARGIN * max(worst_wer, _LEAST_WER), *(_MARGIN * value for value in worst))
    return reference, [round(volume, 9) for volume in hypervolumes(points, reference)]


def other_front(study: optuna.Study, border: Border) -> OtherFront:
    """The front of a study of the other kind of border, for the report of this one."""
    found = standing(study, border, Rule("knee"))
    points = [
        FrontPoint(
            wer=trial.wer or 0.0,
            delay_s=trial.delay_s or 0.0,
            gflop_per_s=trial.measures and trial.measures.gflop_per_s,
            params=trial.params,
        )
        for trial in map(found.trial, found.front)
    ]
    return OtherFront(border=border, trials=len(completed(study)), points=points)


def evidence(name: str, fingerprint: str, sums: UtteranceSums) -> dict[str, Any]:
    """What decoder_config.json says of how a trial did on the corpus `name`."""
    wer, delay_s = rate_interval(sums.word_errors), rate_interval(sums.delays)
    return {
        "corpus": name,
        "fingerprint": fingerprint,
        "wer": wer and wer.model_dump(),
        "delay_s": delay_s and delay_s.model_dump(),
    }


def reasons(found: Standing, utterances: int, rate: ErrorName = "WER") -> list[str]:
    """Why the trial was chosen, and whether more speech than `utterances` would do, for people.

    `rate` is what the rate of errors is called.
    """
    chosen = found.selected
    if chosen is None or chosen.reference is None or chosen.increase is None:
        return []
    name = described_trial(found.trial(chosen.number))
    if chosen.number == chosen.reference:
        lines = [f"chosen: {name}; nothing with less delay is known to be as good"]
    else:
        reference = described_trial(found.trial(chosen.reference))
        lines = [f"chosen: {name}, {_points(chosen.increase, rate)} over {reference}"]
    missed = chosen.missed
    if missed is not None:
        lines.append(
            f"too little speech: {described_trial(found.trial(missed.number))} may be as good "
            f"({_points(missed.increase, rate)}); to know, about {missed.utterances} utterances "
            f"like these {utterances} are needed"
        )
    return lines


def described_trial(trial: TrialInfo) -> str:
    """`trial 12, 10.31 % at 0.84 s`, or the name of a baseline instead of the number."""
    name = trial.baseline or f"trial {trial.number}"
    return f"{name} ({100 * (trial.wer or 0):.2f} % at {trial.delay_s:.2f} s)"


def _points(increase: Increase, rate: ErrorName) -> str:
    """`+0.30 points of WER (at most +0.91)`."""
    return f"{100 * increase.value:+.2f} points of {rate} (at most {100 * increase.high:+.2f})"


def trial_line(done: int, wanted: int, trial: TrialInfo, rate: ErrorName = "WER") -> str:
    """One trial for a person: `12/50  WER 3.41 %  delay 0.84 s  border .13  … *front*`."""
    if trial.wer is None or trial.delay_s is None:
        return f"{done}/{wanted}  trial {trial.number} failed: {trial.reason}"
    cells = [f"{done}/{wanted}", f"{rate} {100 * trial.wer:.2f} %", f"delay {trial.delay_s:.2f} s"]
    cost = trial.measures and trial.measures.gflop_per_s
    cells += [] if cost is None else [f"{cost:.3g} GFLOP/s"]
    cells += described(trial.params)
    cells += [trial.baseline] if trial.baseline else []
    cells += [] if trial.feasible else ["beyond the limits"]
    cells += ["*front*"] if trial.on_front else []
    return "  ".join(cells)


def described(params: dict[str, Setting]) -> list[str]:
    """Parameters for a person: `border .13`, `rewind .10`, `heads 8`."""
    names = {
        "border_fraction": "border",
        "border_s": "border",
        "rewind_fraction": "rewind",
        "unsure_s": "unsure",
        "head_count": "heads",
        "step_s": "step",
        "max_audio_s": "buffer",
        "refresh_s": "refresh",
    }
    order = (
        *BORDERS.values(), "rewind_fraction", "unsure_s", "head_count", "step_s", "max_audio_s",
        "aggregate", "reuse", "refresh_s",
    )  # fmt: skip
    cells = []
    for key in order:
        if params.get(key) is None or (key == "refresh_s" and not params.get("reuse")):
            continue
        value = params[key]
        if key.endswith("_fraction") and isinstance(value, float):
            text = f"{value:.2f}".lstrip("0")
        else:
            text = f"{value} s" if key.endswith("_s") else str(value)
            text = ("no", "yes")[value] if isinstance(value, bool) else text
        cells.append(f"{names.get(key, key)} {text}")
    return cells
