"""A study that is interrupted, shared and damaged: exactly so many trials, and one-line errors."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
from optuna.trial import TrialState

from alignheads.calibrate.study import trials as study_module
from alignheads.calibrate.study.storage import mend_journal, open_storage, redacted
from alignheads.calibrate.study.trials import (
    LOST,
    REASON,
    RETRIES,
    RETRY_OF,
    SURPLUS,
    TWIN,
    WORKER,
    TrialsFailed,
    Watch,
    completed,
    open_study,
    run_trials,
    this_worker,
)
from alignheads.errors import InputError

PARTS = {"model": "tiny (1)", "corpus": "demo (2)"}
FIRST = {"base": ({"x": 0.25}, {"baseline": "base"})}


def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    y = trial.suggest_float("y", 0, 1)
    return x + y, (1 - x) ** 2 + y


def opened(journal=None, seed=0, parts=PARTS, first=FIRST, name="s"):
    return open_study(open_storage(None, journal), name, parts, seed, first)


def run(study, wanted, objective=objective):
    finished = []
    run_trials(study, wanted, objective, finished.append)
    return finished


def params_of(study):
    return [trial.params for trial in completed(study)]


# One process


def test_trials_are_the_total_and_running_again_goes_on(tmp_path):
    journal = tmp_path / "j"
    assert len(run(opened(journal), 5)) == 5
    assert len(run(opened(journal), 8)) == 3
    assert run(opened(journal), 8) == []
    assert len(completed(opened(journal))) == 8


def test_the_first_trials_are_the_ones_that_were_set():
    study = opened()
    run(study, 3)
    first = study.trials[0]
    assert first.params["x"] == 0.25
    assert first.user_attrs["baseline"] == "base"
    assert "baseline" not in study.trials[1].user_attrs


def test_the_same_seed_gives_the_same_trials_interrupted_or_not(tmp_path):
    whole = opened()
    run(whole, 16)
    for wanted in (4, 11, 16):
        run(opened(tmp_path / "j"), wanted)
    assert params_of(opened(tmp_path / "j")) == params_of(whole)
    other = opened(seed=1)
    run(other, 16)
    assert params_of(other) != params_of(whole)


THREE = {name: ({"x": x, "y": x}, {"baseline": name}) for name, x in zip("abc", (0.1, 0.2, 0.3),
                                                                         strict=True)}  # fmt: skip


class _Killed(BaseException):
    """Nothing more is written after it, as after a kill -9."""


def stopped(journal, number, *, killed, at=0):
    """A run that was stopped in the trial of that number, `at` parameters in."""

    def objective_that_stops(trial):
        if trial.number != number:
            return objective(trial)
        for name in ("x", "y")[:at]:
            trial.suggest_float(name, 0, 1)
        if killed:
            trial.set_user_attr(WORKER, gone())
            raise _Killed
        raise KeyboardInterrupt

    study = opened(journal, first=THREE)
    with pytest.raises((KeyboardInterrupt, _Killed)):
        run(study, 40, objective_that_stops)


@pytest.mark.parametrize("killed", [False, True])
def test_a_study_stopped_anywhere_is_the_same_in_the_end(tmp_path, killed):
    whole = opened(first=THREE)
    run(whole, 40)
    # In each of the trials to begin with, among the random ones, and late; half drawn, too.
    for number, at in ((0, 0), (1, 2), (3, 1), (7, 0), (9, 1), (17, 2), (36, 1), (37, 2)):
        stopped(tmp_path / "j", number, killed=killed, at=at)
    study = opened(tmp_path / "j", first=THREE)
    run(study, 40)
    assert len(study.trials) == 48
    assert params_of(study) == params_of(whole)


def test_a_trial_to_begin_with_is_run_however_often_it_is_stopped(tmp_path):
    for stop in range(6):
        left_running(tmp_path / "j", gone(), first=THREE)
        study = opened(tmp_path / "j", first=THREE)
        assert len(study.trials) == stop + 1
        study_module.retry(study, study.trials[-1], "gone")
    run(study, 4)
    assert [trial.user_attrs.get("baseline") for trial in completed(study)] == [*"abc", None]


def test_ctrl_c_uses_up_no_retries(tmp_path):
    for number in range(3, 9):
        stopped(tmp_path / "j", number, killed=False, at=2)
    study = opened(tmp_path / "j", first=THREE)
    assert study.trials[-1].user_attrs[RETRIES] == 0
    assert study.trials[-1].state is TrialState.WAITING


def test_a_trial_to_begin_with_that_two_processes_enqueue_is_run_once(tmp_path):
    study = opened(tmp_path / "j")
    study.enqueue_trial({"x": 0.25}, user_attrs={"baseline": "base", study_module.FIRST: "base"})
    run(study, 3)
    assert [trial.params["x"] for trial in completed(study)].count(0.25) == 1
    assert study.trials[1].user_attrs[REASON] == TWIN


def test_no_two_trials_start_from_the_same_point():
    study = opened()
    run(study, 10)
    assert len({tuple(params.items()) for params in params_of(study)}) == 10


def test_a_study_of_something_else_is_refused_with_what_differs(tmp_path):
    run(opened(tmp_path / "j"), 1)
    with pytest.raises(
        InputError, match=r"another corpus: demo \(2\), not demo \(3\).*name as study"
    ):
        opened(tmp_path / "j", parts={**PARTS, "corpus": "demo (3)"})
    with pytest.raises(InputError, match="another heads: none, not mine"):
        opened(tmp_path / "j", parts={**PARTS, "heads": "mine"})
    opened(tmp_path / "j", parts={**PARTS, "corpus": "demo (3)"}, name="another")


# Trials that fail


def test_a_failed_trial_says_why_and_another_takes_its_place():
    calls = []

    def second_fails(trial):
        calls.append(trial.number)
        if len(calls) == 2:
            raise RuntimeError("the engine\nfell over")
        return objective(trial)

    study = opened()
    finished = run(study, 4, second_fails)
    assert [trial.state for trial in finished].count(TrialState.FAIL) == 1
    assert len(completed(study)) == 4
    assert study.trials[1].user_attrs[REASON] == "RuntimeError: the engine fell over"


def test_three_failures_in_a_row_end_the_sweep():
    def fails(trial):
        if trial.number == 1:
            return objective(trial)
        raise InputError("no word is right")

    study = opened()
    with pytest.raises(TrialsFailed, match=r"3 trials in a row failed.*no word is right"):
        run(study, 50, fails)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE", *["FAIL"] * 3]


def test_values_that_are_no_numbers_do_not_complete_a_trial():
    study = opened()
    with pytest.raises(TrialsFailed), pytest.warns(UserWarning, match="not acceptable"):
        run(study, 2, lambda trial: (float("nan"), 1.0))
    assert completed(study) == []


def test_ctrl_c_keeps_what_is_done_and_tries_the_trial_again(tmp_path):
    def interrupted(trial):
        values = objective(trial)
        if trial.number == 3:
            raise KeyboardInterrupt
        return values

    study = opened(tmp_path / "j")
    with pytest.raises(KeyboardInterrupt):
        run(study, 6, interrupted)
    assert len(completed(study)) == 3
    again = opened(tmp_path / "j")
    run(again, 6)
    assert [trial.state.name for trial in again.trials].count("COMPLETE") == 6
    assert again.trials[4].params == again.trials[3].params
    assert again.trials[3].user_attrs[REASON] == "interrupted"


# Trials of processes that are gone


def left_running(journal, worker, first=FIRST):
    """A trial that has begun and is neither complete nor failed."""
    study = opened(journal, first=first)
    trial = study.ask()
    if worker is not None:
        trial.set_user_attr(WORKER, worker)
    objective(trial)
    return trial


def gone():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return {**this_worker(), "pid": process.pid}


def test_the_trial_of_a_process_that_is_gone_is_tried_again(tmp_path):
    lost = left_running(tmp_path / "j", gone())
    study = opened(tmp_path / "j")
    run(study, 3)
    assert study.trials[0].state is TrialState.FAIL
    assert "process ended" in study.trials[0].user_attrs[REASON]
    assert study.trials[1].params == lost.params
    assert study.trials[1].user_attrs["baseline"] == "base"
    assert study.trials[1].user_attrs[RETRIES] == 1
    assert len(completed(study)) == 3


def test_a_lost_trial_that_two_processes_retry_is_tried_again_once(tmp_path, monkeypatch):
    lost = left_running(tmp_path / "j", gone())
    storages = [open_storage(None, tmp_path / "j") for _ in range(2)]
    studies = [open_study(storage, "s", PARTS, 0, FIRST) for storage in storages]
    (seen,) = [trial for trial in studies[0].trials if trial.state is TrialState.RUNNING]
    study_module.retry(studies[0], seen, "gone")
    with monkeypatch.context() as patched:  # a storage that lets a trial fail twice
        patched.setattr(studies[1], "tell", lambda *_, **__: None)
        patched.setattr(storages[1], "set_trial_user_attr", lambda *_: None)
        study_module.retry(studies[1], seen, "gone")
    study = opened(tmp_path / "j")
    assert [trial.user_attrs.get(RETRY_OF) for trial in study.trials] == [None, 0, 0]
    run(study, 3)
    assert [trial.params for trial in completed(study)].count(lost.params) == 1
    assert study.trials[2].user_attrs[REASON] == TWIN
    assert len(completed(study)) == 3


def test_what_is_drawn_between_a_loss_and_its_retry_is_drawn_once(tmp_path):
    """Another process may see that a trial was lost before it sees that it is tried again."""
    study = opened(tmp_path / "j", first={})
    xs = [study.ask().suggest_float("x", 0, 1) for _ in range(3)]
    lost = study.trials[1]
    study._storage.set_trial_user_attr(lost._trial_id, LOST, True)
    xs.append(study.ask().suggest_float("x", 0, 1))
    study_module.retry(study, lost, "gone")
    again = study.ask()
    assert again.user_attrs[RETRY_OF] == 1
    assert again.suggest_float("x", 0, 1) == xs[1]
    xs.append(study.ask().suggest_float("x", 0, 1))
    assert len(set(xs)) == 5
    undisturbed = opened(tmp_path / "other", first={})
    assert xs == [undisturbed.ask().suggest_float("x", 0, 1) for _ in range(5)]


@pytest.mark.parametrize("reason", [SURPLUS, TWIN])
def test_what_is_drawn_before_another_trial_is_given_back_is_drawn_once(tmp_path, reason):
    """A trial that is not needed says so only after others may have drawn."""
    study = opened(tmp_path / "j", first={})
    study.ask()
    xs = [study.ask().suggest_float("x", 0, 1)]
    study._storage.set_trial_user_attr(study.trials[0]._trial_id, REASON, reason)
    study.tell(0, state=TrialState.FAIL)
    xs += [study.ask().suggest_float("x", 0, 1) for _ in range(2)]
    assert len(set(xs)) == 3


def test_a_first_trial_that_two_processes_begin_again_is_run_once(tmp_path):
    """Another process may see that it was lost, and not yet that it waits to be tried again."""
    lost = left_running(tmp_path / "j", gone())
    study = opened(tmp_path / "j")
    study._storage.set_trial_user_attr(study.trials[0]._trial_id, LOST, True)
    study.tell(0, state=TrialState.FAIL)
    (seen,) = study.trials
    study_module._enqueue_first(study)
    study_module._try_again(study, seen)
    run(study, 3)
    assert study.trials[1].params == lost.params
    assert study.trials[1].user_attrs[RETRIES] == 1
    assert study.trials[2].user_attrs[REASON] == TWIN
    assert [trial.params["x"] for trial in completed(study)].count(0.25) == 1
    assert len(completed(study)) == 3


def second_retry_waits(journal):
    left_running(journal, gone())
    study = opened(journal)
    seen = study.trials[0]
    study_module.retry(study, seen, "gone")
    study.enqueue_trial(seen.params, user_attrs={RETRY_OF: 0})
    return study, seen.params


def test_a_second_retry_whose_process_ends_is_not_tried_again(tmp_path):
    study, params = second_retry_waits(tmp_path / "j")
    study.ask()
    study.ask().set_user_attr(WORKER, gone())
    for trial in study.trials[1:]:
        study_module.retry(study, trial, "gone")
    again = [trial.user_attrs.get(RETRY_OF) for trial in study.trials]
    assert again == [None, 0, 0, 1]
    run(study, 3)
    assert [trial.params for trial in completed(study)].count(params) == 1


@pytest.mark.parametrize("is_twin", [True, False])
def test_a_trial_that_another_process_has_ended_costs_no_worker(tmp_path, is_twin, monkeypatch):
    study, _ = second_retry_waits(tmp_path / "j")
    ask = study.ask
    ended = 2 if is_twin else 1

    def asked_by_two():
        trial = ask()
        if trial.number == ended:
            study.tell(trial.number, state=TrialState.FAIL)
        return trial

    monkeypatch.setattr(study, "ask", asked_by_two)
    finished = run(study, 3)
    assert study.trials[ended].state is TrialState.FAIL
    assert len(completed(study)) == 3
    assert ended not in [trial.number for trial in finished]


def test_what_kills_its_process_is_not_tried_for_ever(tmp_path):
    journal = tmp_path / "j"
    for _ in range(1 + study_module.MOST_RETRIES):
        left_running(journal, gone(), first={})
        watch, study = Watch(), opened(journal, first={})
        for trial in study.trials:
            if trial.state is TrialState.RUNNING and watch.is_dead(trial):
                study_module.retry(study, trial, "gone")
    study = opened(journal, first={})
    assert [trial.state.name for trial in study.trials] == ["FAIL"] * 4


def test_a_trial_elsewhere_is_alive_while_it_shows_it(tmp_path, monkeypatch):
    trial = left_running(tmp_path / "j", {"host": "another/1", "pid": 1})
    study, watch = opened(tmp_path / "j"), Watch()
    now_s = 0.0
    monkeypatch.setattr(study_module, "time", SimpleNamespace(monotonic=lambda: now_s))
    assert not watch.is_dead(study.trials[0])
    now_s = 0.8 * study_module.STILL_S
    trial.set_user_attr("pulse", 1)
    assert not watch.is_dead(study.trials[0])
    now_s = 1.6 * study_module.STILL_S
    assert not watch.is_dead(study.trials[0])
    now_s = 2.4 * study_module.STILL_S
    assert watch.is_dead(study.trials[0])


def test_a_running_trial_shows_that_it_is(monkeypatch):
    monkeypatch.setattr(study_module, "PULSE_S", 0.02)
    study = opened()

    def until_it_has_shown_it_twice(trial):
        for _ in range(3000):
            if study.trials[0].user_attrs.get("pulse", 0) >= 2:
                break
            time.sleep(0.01)
        return objective(trial)

    run(study, 1, until_it_has_shown_it_twice)
    assert study.trials[0].user_attrs["pulse"] >= 2


def test_a_result_of_a_trial_that_was_taken_for_dead_does_not_count():
    study = opened()

    def slow(trial):
        if trial.number == 0:
            study_module.retry(study, study.trials[0], "taken for dead")
        return objective(trial)

    run(study, 3, slow)
    assert len(completed(study)) == 3
    assert study.trials[0].state is TrialState.FAIL
    assert study.trials[1].params["x"] == study.trials[0].params.get("x", 0.25)


def test_a_trial_too_many_is_given_back(monkeypatch):
    study = opened()
    run(study, 3)
    ask, others = study.ask, []

    def after_three_others():
        others.extend(ask() for _ in range(3))
        return ask()

    def end(running):
        assert running == 3
        study.tell(others.pop(), (1.0, 1.0))
        for trial in others:
            study.tell(trial, state=TrialState.FAIL)

    monkeypatch.setattr(study, "ask", after_three_others)
    finished = []
    run_trials(study, 4, objective, finished.append, end)
    assert finished == []
    assert len(study.trials) == 3 + 3 + 1
    assert study.trials[6].user_attrs[REASON] == SURPLUS
    assert [trial.number for trial in completed(study)] == [0, 1, 2, 5]


# The journal


def test_a_half_written_last_line_is_cut_off(tmp_path, caplog):
    journal = tmp_path / "j"
    run(opened(journal), 4)
    whole = journal.read_bytes()
    for cut in (b'{"op_code":6,"worker', b'{"op_code":6,"worker_id":"x"\n', b"\0\0\0\0"):
        journal.write_bytes(whole + cut)
        study = opened(journal)
        assert len(completed(study)) == 4
        assert "cut off" in caplog.text
        caplog.clear()
        assert journal.read_bytes() == whole
    run(opened(journal), 5)
    assert len(completed(opened(journal))) == 5


def test_a_damaged_line_in_the_middle_is_refused_with_its_number(tmp_path):
    journal = tmp_path / "j"
    run(opened(journal), 4)
    lines = journal.read_bytes().splitlines(keepends=True)
    damaged = b"".join([*lines[:6], lines[6][:10] + b"\n", *lines[7:]])
    journal.write_bytes(damaged)
    with pytest.raises(InputError, match=rf"line 7 of {len(lines)} is no record"):
        opened(journal)
    assert journal.read_bytes() == damaged


@pytest.mark.parametrize(
    "content", [b"{}", b'{"a": 1}\n', b"my notes", b"\x89PNG\r\n\x1a\n", b"[]"]
)
def test_a_file_that_is_no_journal_is_left_as_it_is(tmp_path, content):
    path = tmp_path / "notes"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"notes is damaged: line 1 .*another one as storage"):
        open_storage(str(path), None)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_or_missing_file_is_a_new_journal(tmp_path):
    (tmp_path / "empty").touch()
    assert opened(tmp_path / "empty").trials
    mend_journal(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


def test_a_journal_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        open_storage(str(tmp_path), None)
    with pytest.raises(InputError, match="there is no folder"):
        open_storage(str(tmp_path / "no" / "j"), None)


# Storage by URL


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://bob:secret@host/db", "postgresql://bob:***@host/db"),
        ("postgresql+psycopg://bob:se:cr%40et@h:1/d", "postgresql+psycopg://bob:***@h:1/d"),
        ("postgresql://host/db?user=bob&password=secret", "postgresql://host/db?user=bob&password=***"),
        ("see redis://:secret@host", "see redis://:***@host"),
        ("sqlite:///file.db", "sqlite:///file.db"),
        ("grpc://host:13000", "grpc://host:13000"),
    ],
)  # fmt: skip
def test_passwords_are_not_shown(url, shown):
    assert redacted(url) == shown


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(port):
    """Until someone listens there: a busy machine takes its time to start a server."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://bob:hunter2@127.0.0.1:{port}/x",
        "mysql://bob:hunter2@127.0.0.1:{port}/x",
        "nonsense://bob:hunter2@host",
        "redis://:hunter2@127.0.0.1:{port}",
        "sqlite:////nowhere/at/all/x.db",
        "grpc://nothing",
        "grpc://127.0.0.1:port",
    ],
)
def test_a_storage_that_cannot_be_reached_is_named_without_its_password(url):
    pytest.importorskip("psycopg")
    with pytest.raises(InputError) as error:
        open_storage(url.format(port=free_port()), None)
    assert "hunter2" not in str(error.value)
    assert url.split(":", 1)[0] in str(error.value)
    assert "\n" not in str(error.value)


def test_a_proxy_that_is_not_there_is_waited_for_only_so_long(monkeypatch):
    pytest.importorskip("grpc")
    monkeypatch.setattr("alignheads.calibrate.study.storage._CONNECT_S", 0.3)
    with pytest.raises(InputError, match=r"cannot use the storage grpc://127\.0\.0\.1"):
        open_storage(f"grpc://127.0.0.1:{free_port()}", None)


def test_what_is_not_installed_is_said_with_how_to_install_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs the package psycopg.*\[postgres\]"):
        open_storage("postgresql://host/db", None)
    with pytest.raises(InputError, match=r"\[grpc\]"):
        open_storage("grpc://host:1", None)


# Several processes

WORK = textwrap.dedent(
    """
    import sys, time
    from alignheads.calibrate.study.storage import open_storage
    from alignheads.calibrate.study.trials import open_study, run_trials

    storage, wanted, pause_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])

    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        print(trial.number, flush=True)
        time.sleep(pause_s)
        return x, 1 - x

    study = open_study(open_storage(storage, None), "s", {"model": "tiny (1)", "corpus":
                       "demo (2)"}, 0, {"base": ({"x": 0.25}, {"baseline": "base"})})
    print("open", flush=True)
    sys.stdin.readline()
    run_trials(study, wanted, objective, lambda trial: None)
    """
)


def worker(storage, wanted, pause_s):
    return subprocess.Popen(
        [sys.executable, "-c", WORK, str(storage), str(wanted), str(pause_s)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def go(*workers):
    """Have workers begin once all of them have opened the study, however slow they start."""
    for one in workers:
        assert one.stdout.readline() == "open\n", one.communicate()
    for one in workers:
        one.stdin.write("\n")
        one.stdin.flush()


def share(storage, wanted, *, pause_s=0.05):
    """Three workers on one study; the first is killed in the middle of a trial."""
    victim = worker(storage, wanted, 60)
    go(victim)
    victim.stdout.readline()
    others = [worker(storage, wanted, pause_s) for _ in range(2)]
    go(*others)
    time.sleep(0.3)
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    for one in others:
        _, errors = one.communicate(timeout=120)
        assert one.returncode == 0, errors


def check_shared(storage, wanted):
    opened_storage = open_storage(str(storage), None)
    study = open_study(opened_storage, "s", PARTS, 0, FIRST)
    states = [trial.state for trial in study.trials]
    assert states.count(TrialState.COMPLETE) == wanted
    assert TrialState.RUNNING not in states
    (lost,) = [t for t in study.trials if "process ended" in t.user_attrs.get(REASON, "")]
    retried = [t for t in completed(study) if t.user_attrs.get(RETRIES)]
    assert [trial.params for trial in retried] == [lost.params]
    workers = {trial.user_attrs[WORKER]["pid"] for trial in completed(study)}
    assert len(workers) == 2
    searched = [trial.params["x"] for trial in completed(study)]
    assert len(set(searched)) == wanted
    engine = getattr(getattr(opened_storage, "_backend", None), "engine", None)
    if engine is not None:
        engine.dispose()


def test_processes_that_share_a_journal_run_exactly_the_trials(tmp_path):
    share(tmp_path / "j", 12)
    check_shared(tmp_path / "j", 12)


@pytest.fixture(scope="module")
def postgres():
    """The URL of a PostgreSQL on loopback, for this module."""
    pytest.importorskip("psycopg")
    found = shutil.which("initdb") or next(
        iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)), None
    )
    if found is None:
        pytest.skip("no PostgreSQL on this machine: apt-get install postgresql")
    binaries = Path(found).resolve().parent
    # Not in pytest's own folder, which only its user may enter.
    folder = Path(tempfile.mkdtemp(prefix="alignheads-postgres-"))
    as_user = []
    if os.geteuid() == 0:  # which PostgreSQL refuses to run as
        if shutil.which("runuser") is None:
            pytest.skip("PostgreSQL does not run as root, and there is no runuser")
        user = "postgres" if _exists("postgres") else "nobody"
        as_user = ["runuser", "-u", user, "--"]
        shutil.chown(folder, user)
    data, port = folder / "data", free_port()

    def call(*command):
        done = subprocess.run(
            [*as_user, *map(str, command)], capture_output=True, text=True, cwd="/", timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr

    call(binaries / "initdb", "-D", data, "-U", "tester", "--auth=trust", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -k {folder}"
    call(binaries / "pg_ctl", "-D", data, "-o", options, "-l", folder / "log", "-w", "start")
    try:
        yield f"postgresql://tester:pw@127.0.0.1:{port}/postgres"
    finally:
        call(binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)


def _exists(user):
    import pwd

    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


@pytest.mark.postgres
def test_processes_that_share_a_postgresql_run_exactly_the_trials(postgres):
    share(postgres, 12)
    check_shared(postgres, 12)


def test_processes_behind_a_storage_proxy_share_it_likewise(tmp_path):
    pytest.importorskip("grpc")
    port = free_port()
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "from optuna.storages import run_grpc_proxy_server, get_storage\n"
        f"run_grpc_proxy_server(get_storage('sqlite:///{tmp_path}/s.db'), host='127.0.0.1', "
        f"port={port})"
    )
    server = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        share(f"grpc://127.0.0.1:{port}", 6)
        check_shared(f"grpc://127.0.0.1:{port}", 6)
    finally:
        server.kill()
        server.wait()


def test_optuna_itself_reads_the_study(tmp_path):
    run(opened(tmp_path / "j"), 3)
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / "j"))
    )
    assert len(optuna.load_study(study_name="s", storage=storage).trials) == 3
