"""A study that many processes share: exactly so many trials, none lost with the process it ran in.

Optuna's storage is the only place where processes meet. A trial is a process's from when it asked
for it; while it runs, a count in it goes up now and then, and one that stands still, or whose
process is gone from this machine, is taken to be dead: its parameters are tried again.

Knows Optuna; not what a trial measures.
"""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from ...errors import ClusterError, InputError

FINGERPRINT = "fingerprint"
REASON = "reason"
WORKER = "worker"
RETRIES = "retries"
RETRY_OF = "retry_of"
LOST = "lost"
FIRST = "first"
_PULSE = "pulse"
_IS_READY = "ready"

PULSE_S = 15.0
"""How often a running trial shows that it is."""
STILL_S = 90.0
"""For how long it may not, before its process is taken to be dead."""
MOST_RETRIES = 3
"""Of one trial's parameters: what kills its process every time is not tried for ever."""
SURPLUS = "not needed: others had completed or were running enough"
TWIN = "not needed: another process had retried the same trial"
# What the storage raises about a trial that another process has ended.
_OVERTAKEN = (UpdateFinishedTrialError, ValueError, RuntimeError)
_POLL_S = 0.2
_READY_S = 10.0

optuna.logging.set_verbosity(optuna.logging.WARNING)


class SeededByPlace(BaseSampler):
    """TPE, seeded anew for each trial from `seed` and the trial's place in the study.

    So no two processes of one study draw the same start-up points, and a study that was
    interrupted goes on as it would have.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._sampler = self._of(0)

    def _of(self, place: int) -> TPESampler:
        (seed,) = np.random.SeedSequence([self._seed, place]).generate_state(1)
        return TPESampler(seed=int(seed))

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """A sampler of the trial's own."""
        self._sampler = self._of(_place(study.get_trials(deepcopy=False), trial.number))
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """See `BaseSampler`."""
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See `BaseSampler`."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """See `BaseSampler`."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """See `BaseSampler`."""
        self._sampler.after_trial(study, trial, state, values)


def _place(trials: Sequence[FrozenTrial], number: int) -> int:
    """How many trials were begun before: one that is tried again keeps the place it had.

    Told by what a trial has from its start alone. What has become of those before it another
    process may see a moment later: two trials would have one place, and draw the same.
    """
    while (original := trials[number].user_attrs.get(RETRY_OF)) is not None:
        number = original
    return sum(RETRY_OF not in one.user_attrs for one in trials[:number])


def open_study(
    storage: BaseStorage,
    name: str,
    fingerprint: Mapping[str, str],
    seed: int,
    first: Mapping[str, tuple[dict[str, Any], dict[str, Any]]],
    objectives: int = 2,
) -> optuna.Study:
    """The study `name`, made if there is none, whose first trials are those of `first`.

    Args:
        storage: where.
        name: of the study.
        fingerprint: what its results depend on, by name.
        seed: of the search.
        first: by name, the parameters and the attributes of trials to begin with. Each of them is
            run, however often its process ends.
        objectives: how many there are, all to be low.

    Raises:
        InputError: there is a study of that name with another fingerprint.
    """
    study, is_ours = _found_or_made(storage, name, SeededByPlace(seed), objectives)
    is_ours = is_ours or _was_left_unready(study)
    if is_ours:
        study.set_user_attr(FINGERPRINT, dict(fingerprint))
        study.set_user_attr(FIRST, [[name, *given] for name, given in first.items()])
        _enqueue_first(study)
        study.set_user_attr(_IS_READY, True)
    _check_fingerprint(study, fingerprint)
    return study


def _enqueue_first(study: optuna.Study) -> None:
    """Have the next of the trials to begin with wait, if it is not there.

    One at a time, so that one that is lost is tried again before the next one: by whoever sees
    first that its process ended before it had another one wait.
    """
    trials = study.get_trials(deepcopy=False)
    for name, params, attributes in study.user_attrs.get(FIRST, []):
        begun = [trial for trial in trials if trial.user_attrs.get(FIRST) == name]
        if any(
            trial.state is not TrialState.FAIL or LOST not in trial.user_attrs for trial in begun
        ):
            continue
        lost = [trial for trial in begun if trial.user_attrs.get(REASON) != TWIN]
        if lost:
            _try_again(study, lost[-1])
        else:
            study.enqueue_trial(params, user_attrs={**attributes, FIRST: name})
        return


def _found_or_made(
    storage: BaseStorage, name: str, sampler: BaseSampler, objectives: int
) -> tuple[optuna.Study, bool]:
    """The study, and whether this process made it."""
    with contextlib.suppress(KeyError):
        return optuna.load_study(storage=storage, study_name=name, sampler=sampler), False
    try:
        made = optuna.create_study(
            storage=storage,
            study_name=name,
            sampler=sampler,
            directions=list(repeat(StudyDirection.MINIMIZE, objectives)),
        )
    except DuplicatedStudyError:  # another process was faster
        return optuna.load_study(storage=storage, study_name=name, sampler=sampler), False
    return made, True


def _was_left_unready(study: optuna.Study) -> bool:
    """Whether the process that made the study seems to have died before it was done."""
    deadline = time.monotonic() + _READY_S
    while not study.user_attrs.get(_IS_READY):
        if time.monotonic() > deadline:
            return True
        time.sleep(_POLL_S)
    return False


def _check_fingerprint(study: optuna.Study, wanted: Mapping[str, str]) -> None:
    stored = study.user_attrs.get(FINGERPRINT, {})
    for part in dict.fromkeys([*wanted, *stored]):
        if stored.get(part) != wanted.get(part):
            raise InputError(
                f"the trials of {study.study_name!r} have another {part}: "
                f"{stored.get(part, 'none')}, not {wanted.get(part, 'none')}; results would not "
                "compare. Give another name as study, or another place as storage",
                arguments=("study", "storage"),
            )


def this_worker() -> dict[str, Any]:
    """Which process on which machine this is."""
    return {"host": f"{platform.node()}/{uuid.getnode():x}", "pid": os.getpid()}


@dataclass
class Watch:
    """Which running trials of others are alive, by this process's own clock."""

    _seen: dict[int, tuple[object, float]] = field(default_factory=dict)

    def is_dead(self, trial: FrozenTrial) -> bool:
        """Whether the process of a running `trial` has gone."""
        worker, us = trial.user_attrs.get(WORKER), this_worker()
        if worker and worker["host"] == us["host"] and worker["pid"] != us["pid"]:
            try:
                os.kill(worker["pid"], 0)
            except ProcessLookupError:
                return True
            except OSError:
                pass  # it is there, and another user's
        pulse = (worker and worker["pid"], trial.user_attrs.get(_PULSE))
        before, since = self._seen.get(trial.number, (None, 0.0))
        now = time.monotonic()
        if trial.number not in self._seen or before != pulse:
            self._seen[trial.number] = (pulse, now)
            return False
        return now - since > STILL_S


def retry(study: optuna.Study, trial: FrozenTrial, reason: str, *, is_counted: bool = True) -> None:
    """Fail a running `trial` and try its parameters again, if that was not done too often.

    Not every storage lets one process alone fail it: of several retries the first is run.

    Args:
        study: the study.
        trial: which is running.
        reason: why it is tried again.
        is_counted: False: its own process was stopped by someone, which says nothing about it.
    """
    try:
        study._storage.set_trial_user_attr(trial._trial_id, REASON, reason)
        study._storage.set_trial_user_attr(trial._trial_id, LOST, True)
        study.tell(trial.number, state=TrialState.FAIL)
    except _OVERTAKEN:
        return
    if _is_second_retry(study, trial):
        return
    _try_again(study, trial, is_counted=is_counted)


def _try_again(study: optuna.Study, trial: FrozenTrial, *, is_counted: bool = True) -> None:
    """Have the parameters of a lost `trial` wait, if they were not lost too often."""
    retries = trial.user_attrs.get(RETRIES, 0) + is_counted
    if retries > MOST_RETRIES and FIRST not in trial.user_attrs:
        return
    # Of parameters that were half drawn all are drawn again: the same ones, by its place.
    whole = max((len(one.params) for one in completed(study)), default=0)
    drawn = trial.params if len(trial.params) >= whole else {}
    params = {**trial.system_attrs.get("fixed_params", {}), **drawn}
    kept = {
        key: value
        for key, value in trial.user_attrs.items()
        if key not in (WORKER, _PULSE, REASON, LOST)
    }
    study.enqueue_trial(params, user_attrs={**kept, RETRIES: retries, RETRY_OF: trial.number})


@contextlib.contextmanager
def _pulse(study: optuna.Study, trial_id: int) -> Iterator[None]:
    """Show that a trial is running, while the block runs."""
    done = threading.Event()

    def beat() -> None:
        count = 0
        while not done.wait(PULSE_S):
            count += 1
            # What is wrong with the storage shows in the trial's own thread.
            with contextlib.suppress(Exception):
                study._storage.set_trial_user_attr(trial_id, _PULSE, count)

    thread = threading.Thread(target=beat, name="pulse", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class TrialsFailed(Exception):
    """Too many trials in a row failed; the message says why the last one did."""


MOST_FAILURES = 3
"""Trials in a row that may fail in one process."""


def completed(study: optuna.Study) -> list[FrozenTrial]:
    """The complete trials, by number."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def run_trials(
    study: optuna.Study,
    wanted: int,
    objective: Callable[[optuna.Trial], tuple[float, ...]],
    after: Callable[[FrozenTrial], object],
    waiting: Callable[[int], object] = lambda running: None,
) -> None:
    """Run trials until `wanted` are complete, this process's and others' together, and no more.

    A trial may run if fewer than `wanted` trials with a lower number are complete, running or
    waiting. Of the complete trials in the end, the one with the highest number was let run with
    all others counted, so there are at most `wanted`.

    Args:
        study: the study.
        wanted: complete trials in all.
        objective: gives word error rate and delay of a trial, and compute where that is searched.
        after: called after each trial of this process, complete or failed.
        waiting: called with the number of others' trials while there is nothing to do but wait.

    Raises:
        TrialsFailed: three in a row did.
    """
    watch, failures = Watch(), 0
    while True:
        trials = study.get_trials(deepcopy=False)
        for trial in trials:
            if trial.state is TrialState.RUNNING and watch.is_dead(trial):
                retry(study, trial, "its process ended while it was running")
        states = [trial.state for trial in study.get_trials(deepcopy=False)]
        complete, running = states.count(TrialState.COMPLETE), states.count(TrialState.RUNNING)
        if complete >= wanted:
            return
        if complete + running >= wanted:
            waiting(running)
            time.sleep(_POLL_S)
            continue
        _enqueue_first(study)
        finished = _run_one(study, wanted, objective)
        if finished is None:
            continue
        failures = failures + 1 if finished.state is TrialState.FAIL else 0
        after(finished)
        if failures >= MOST_FAILURES:
            raise TrialsFailed(
                f"{failures} trials in a row failed, the last one: "
                f"{finished.user_attrs.get(REASON, 'unknown')}"
            )


def _run_one(
    study: optuna.Study,
    wanted: int,
    objective: Callable[[optuna.Trial], tuple[float, ...]],
) -> FrozenTrial | None:
    """One trial, complete or failed; None where it was not ours to run in the end."""
    trial = study.ask()
    try:
        # Nor does every storage give a waiting trial to one process alone.
        trial.set_user_attr(WORKER, this_worker())
        if _is_second_retry(study, _frozen(study, trial.number)):
            trial.set_user_attr(REASON, TWIN)
            trial.set_user_attr(LOST, True)
            study.tell(trial, state=TrialState.FAIL)
            return None
        if _rank(study, trial.number) >= wanted:
            _surrender(study, trial)
            return None
    except _OVERTAKEN:
        return None
    values, reason = None, ""
    try:
        with _pulse(study, trial._trial_id), warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            values = objective(trial)
    except (KeyboardInterrupt, SystemExit, ClusterError):
        retry(study, _frozen(study, trial.number), "interrupted", is_counted=False)
        raise
    except Exception as error:  # whatever decoding raises: the trial failed, and says why
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        if isinstance(error, InputError):
            reason = str(error)
    try:
        if values is None:
            trial.set_user_attr(REASON, reason)
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, list(values))
    except _OVERTAKEN:
        return None  # taken for dead, and tried again by another
    return _frozen(study, trial.number)


def _frozen(study: optuna.Study, number: int) -> FrozenTrial:
    return study.get_trials(deepcopy=False)[number]


def _is_second_retry(study: optuna.Study, trial: FrozenTrial) -> bool:
    """Whether another process retried the same trial, or began with it, before."""
    lost, first = trial.user_attrs.get(RETRY_OF), trial.user_attrs.get(FIRST)
    earlier = study.get_trials(deepcopy=False)[: trial.number]
    if lost is not None:
        return any(other.user_attrs.get(RETRY_OF) == lost for other in earlier)
    return first is not None and any(
        other.user_attrs.get(FIRST) == first and LOST not in other.user_attrs for other in earlier
    )


def _rank(study: optuna.Study, number: int) -> int:
    counted = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING)
    trials = study.get_trials(deepcopy=False, states=counted)
    return sum(trial.number < number for trial in trials)


def _surrender(study: optuna.Study, trial: optuna.Trial) -> None:
    """Give a trial back: another process took the last place first."""
    found = _frozen(study, trial.number)
    if found.system_attrs.get("fixed_params"):
        retry(study, found, SURPLUS)
        return
    trial.set_user_attr(REASON, SURPLUS)
    trial.set_user_attr(LOST, True)
    study.tell(trial, state=TrialState.FAIL)
