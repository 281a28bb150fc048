"""Runs of tasks on a cluster that does what a test says: kills, hangs, refusals, none lost.

tests/test_cluster_processes.py has the same on real processes.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

import pytest

from alignheads.cluster import (
    Cluster,
    Task,
    Work,
    WorkerRefused,
    check_address,
    connect,
    run,
    tasks,
)
from alignheads.commandline import show_log
from alignheads.corpora.elsewhere import _made, aligned_elsewhere
from alignheads.corpora.sent import sent
from alignheads.discovery import measure
from alignheads.discovery.discover import heads_file, measure_corpus, prepare_corpus
from alignheads.errors import ClusterError, InputError
from alignheads.journal import Journal
from alignheads.runtime.models.elsewhere import ModelElsewhere, check_same, load_elsewhere
from alignheads.runtime.models.qwen3.aligner import Qwen3Aligner

log = logging.getLogger("alignheads.cluster")


class Scheduled:
    """A future of `Scheduler`."""

    def __init__(self, work, key):
        self._work, self.key, self._called = work, key, []
        self.status = "pending"

    def finish(self):
        try:
            self._value, self.status = self._work(), "finished"
        except Exception as error:
            self._value, self.status = error, "error"
        for call in self._called:
            call(self)

    def cancel(self):
        self.status = "cancelled"
        for call in self._called:
            call(self)

    def add_done_callback(self, call):
        self._called.append(call)
        if self.status != "pending":
            call(self)

    def result(self, timeout):
        return self._value

    exception = result

    def release(self):
        pass


class Scheduler:
    """In place of Dask's client. `on_task(worker, future)` says what becomes of a task there."""

    def __init__(self, *workers, on_task=lambda worker, future: future.finish()):
        self.workers, self.on_task = set(workers), on_task
        self.status, self.keys, self.futures = "running", [], []

    def nthreads(self, callback_timeout):
        return dict.fromkeys(self.workers, 1)

    def submit(self, call, code, work, arguments, *, key, workers, pure):
        (worker,) = workers
        future = Scheduled(lambda: call(code, work, arguments), key)
        self.keys.append(key)
        self.futures.append(future)
        if arguments is None:
            future.finish()
        elif worker in self.workers:
            self.on_task(worker, future)
        return future


def prepared(factor):
    return factor


def done(factor, number):
    if number < 0:
        raise InputError("a clip that no worker can use")
    if number > 1000:
        raise OSError("the disk is away")
    log.info("a word about %d", number // 10)  # not of each
    return factor * number


def refusing(factor):
    raise WorkerRefused("checkpoint there is b, here it is a")


WORK = Work("double", prepared, (2,), done)


def numbered(*numbers):
    return [Task(f"clip {one}", 1, 2.0, lambda one=one: (one,)) for one in (numbers or range(7))]


def mapped(scheduler, work=WORK, numbers=(), wait=False):
    cluster = Cluster(scheduler, "tcp://x:1", wait=wait, send_audio=False)
    try:
        return list(cluster.map(work, numbered(*numbers)))
    finally:
        cluster.tell()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name in ("TICK_S", "LOOK_EVERY_S"):
        monkeypatch.setattr(run, name, 0.0)
    monkeypatch.setattr(run, "ALONE_S", 0.05)
    show_log()


EVERY = [(number, 2 * number) for number in range(7)]


# What goes wrong


@pytest.mark.parametrize("when", [1, 3, 6])
def test_a_worker_that_is_killed_costs_and_doubles_nothing(when, capsys):
    count = 0

    def on_task(worker, future):
        nonlocal count
        count += worker == "tcp://a"
        if worker == "tcp://a" and count == when:
            scheduler.workers.discard("tcp://a")
        elif worker in scheduler.workers:
            future.finish()

    scheduler = Scheduler("tcp://a", "tcp://b", on_task=on_task)
    assert sorted(mapped(scheduler)) == EVERY
    if when <= count:
        assert "a has gone" in capsys.readouterr().err


def test_a_batch_that_kills_every_worker_ends_the_run_and_is_named():
    names = iter(f"tcp://{number}" for number in range(100))

    def on_task(worker, future):
        if "clip-3" in future.key:
            scheduler.workers = {next(names)}
        else:
            future.finish()

    scheduler = Scheduler(next(names), on_task=on_task)
    with pytest.raises(ClusterError, match=r"the batch of clip 3 failed 3 times: each time its"):
        mapped(scheduler)


def test_workers_that_end_as_they_prepare_are_not_tried_for_ever():
    class Killing(Scheduler):
        def submit(self, call, code, work, arguments, *, key, workers, pure):
            self.workers = {f"tcp://{len(self.futures)}"}
            self.futures.append(Scheduled(None, key))
            return self.futures[-1]

    with pytest.raises(ClusterError, match="3 workers ended as they loaded the model"):
        mapped(Killing("tcp://a"))


def test_a_client_that_was_stopped_takes_no_worker_for_silent(monkeypatch, capsys):
    monkeypatch.setattr(run, "FIRST_LIMIT_S", 5.0)
    begin, ahead = run.time.monotonic(), 0.0
    monkeypatch.setattr(run.time, "monotonic", lambda: begin + ahead)
    looks = 0

    def on_task(worker, future):
        nonlocal ahead
        ahead += 100.0  # as after a laptop's sleep
        waiting.append(future)

    def nthreads(callback_timeout):
        nonlocal looks
        looks += 1
        if looks % 5 == 0 and waiting:
            waiting.pop(0).finish()
        return dict.fromkeys(scheduler.workers, 1)

    waiting = []
    scheduler = Scheduler("tcp://a", on_task=on_task)
    scheduler.nthreads = nthreads
    assert sorted(mapped(scheduler)) == EVERY
    assert "has not answered" not in capsys.readouterr().err


def test_what_a_worker_that_hangs_had_is_given_to_others_and_its_late_answer_counts_once(
    monkeypatch, capsys
):
    monkeypatch.setattr(run, "FIRST_LIMIT_S", 0.05)
    monkeypatch.setattr(run, "LEAST_LIMIT_S", 0.05)
    hung = []

    def on_task(worker, future):
        if worker == "tcp://a" and len(hung) < 2:
            hung.append(future)
        else:
            future.finish()
            if len(scheduler.futures) == 11:
                hung[0].finish()

    scheduler = Scheduler("tcp://a", "tcp://b", on_task=on_task)
    assert sorted(mapped(scheduler, numbers=range(12))) == [(n, 2 * n) for n in range(12)]
    assert "a has not answered for 0 s; 1 batch of it given to others" in capsys.readouterr().err


def test_when_every_worker_hangs_the_run_ends(monkeypatch):
    monkeypatch.setattr(run, "FIRST_LIMIT_S", 0.05)
    with pytest.raises(ClusterError, match="no worker answers any more"):
        mapped(Scheduler("tcp://a", on_task=lambda worker, future: None))


def test_a_worker_of_another_version_is_left_out(monkeypatch, capsys):
    versions = iter(["1", "1", *["2"] * 100])
    monkeypatch.setattr(run, "code_version", lambda: "1")
    monkeypatch.setattr(tasks, "code_version", lambda: next(versions))
    with pytest.raises(InputError, match="no worker can do this; a: alignheads there is 2, here"):
        mapped(Scheduler("tcp://a"))
    assert "a is left out: alignheads there is 2, here it is 1; 2 batches" in (
        capsys.readouterr().err
    )


def test_a_worker_with_another_checkpoint_is_refused_with_what_differs():
    with pytest.raises(InputError, match="no worker can do this; a: checkpoint there is b, here"):
        mapped(Scheduler("tcp://a"), Work("x", refusing, (1,), done))


def test_a_task_that_raises_is_given_again_and_in_the_end_told():
    with pytest.raises(ClusterError, match="clip 2000 failed 3 times: the last time on a: OSError"):
        mapped(Scheduler("tcp://a"), numbers=(1, 2000))


def test_bad_input_is_told_as_where_it_is_met_in_one_process():
    with pytest.raises(InputError, match=r"^a clip that no worker can use$"):
        mapped(Scheduler("tcp://a"), numbers=(1, -1))


@pytest.mark.parametrize("is_told", [True, False])
def test_a_scheduler_that_goes_away_is_one_line(is_told):
    def on_task(worker, future):
        scheduler.status = "connecting"
        if is_told:
            future.cancel()

    scheduler = Scheduler("tcp://a", on_task=on_task)
    with pytest.raises(ClusterError, match=r"^the scheduler at tcp://x:1 has gone away$"):
        mapped(scheduler)


def test_without_any_worker_left_it_ends_unless_it_is_to_wait(capsys):
    def on_task(worker, future):
        scheduler.workers.clear()

    scheduler = Scheduler("tcp://a", on_task=on_task)
    with pytest.raises(ClusterError, match="all workers have gone"):
        mapped(scheduler)

    scheduler = Scheduler("tcp://a", on_task=on_task)
    looked = scheduler.nthreads

    def nthreads(callback_timeout):
        if "waiting: all workers have gone" in capsys.readouterr().err:
            scheduler.workers.add("tcp://b")
            scheduler.on_task = lambda worker, future: future.finish()
        return looked(callback_timeout)

    scheduler.nthreads = nthreads
    assert sorted(mapped(scheduler, wait=True)) == EVERY


def test_a_cluster_without_workers_is_told_and_may_be_waited_for(monkeypatch, capsys):
    monkeypatch.setattr(connect, "NO_WORKER_S", 0.0)
    scheduler = Scheduler()
    with pytest.raises(InputError, match="the scheduler at tcp://x:1 has no workers; start some"):
        connect._await_workers(Cluster(scheduler, "tcp://x:1", wait=False, send_audio=False))
    monkeypatch.setattr(connect.time, "sleep", lambda _: scheduler.workers.add("tcp://a"))
    connect._await_workers(Cluster(scheduler, "tcp://x:1", wait=True, send_audio=False))
    assert "waiting: the scheduler at tcp://x:1 has no workers" in capsys.readouterr().err


# What goes right


def test_every_task_is_done_once_by_whoever_is_free_and_named_by_its_content(monkeypatch):
    said = []
    monkeypatch.setattr(run._log, "info", lambda line, *values: said.append(line % values))
    scheduler = Scheduler("tcp://a", "tcp://b")
    assert sorted(mapped(scheduler)) == EVERY
    assert said.count("a word about 0") == 1
    assert sorted(line.partition(",")[0] for line in said[-2:]) == ["a: 4 batches", "b: 3 batches"]
    names = [key.rpartition("-")[0] for key in scheduler.keys if "prepare" not in key]
    assert all(name.startswith("double-clip-") for name in names)
    assert len(set(names)) == 7
    again = Scheduler("tcp://c")
    mapped(again)
    assert {key.rpartition("-")[0] for key in again.keys if "prepare" not in key} == set(names)


def test_no_task_is_no_work():
    assert list(Cluster(None, "", wait=False, send_audio=False).map(WORK, [])) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"address": "local:0"}, "dask is 'local:0', expected local:N with N of 1"),
        ({"address": "local:two"}, "expected local:N"),
        ({"address": "somewhere"}, "expected the address of a scheduler, as tcp://HOST:8786"),
        ({"address": None, "wait": True}, "wait is for work on a cluster; give dask"),
        ({"address": None, "send_audio": True}, "send_audio is for work on a cluster"),
    ],
)
def test_addresses_that_cannot_be(given, message):
    with pytest.raises(InputError, match=message):
        check_address(given.pop("address"), **given)


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install '\.\[cluster\]'"):
        check_address("local:2")


# Speech and models elsewhere


def test_audio_that_a_worker_cannot_see_or_sees_another_of(demo, tmp_path):
    (one,) = sent(demo.utterances[:1], with_audio=False)
    assert (one.read() == demo.utterances[0].read()).all()
    away = dataclasses.replace(one, audio_path=tmp_path / "away.flac")
    with pytest.raises(WorkerRefused, match=r"it cannot see .*away.flac \(No such file"):
        away.read()
    away.audio_path.write_bytes(b"another")
    with pytest.raises(WorkerRefused, match=r"away.flac is another file there, of 7 bytes and not"):
        away.read()


def test_audio_that_is_sent_needs_no_file(demo, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    both = (demo.utterances[0], dataclasses.replace(demo.utterances[1], audio_path=broken))
    good, bad = sent(both, with_audio=True)
    elsewhere = dataclasses.replace(good, audio_path=Path("/nowhere/x.flac"))
    assert (elsewhere.read() == demo.utterances[0].read()).all()
    with pytest.raises(InputError) as here:
        both[1].read()
    with pytest.raises(InputError) as there:
        bad.read()
    assert str(here.value) == str(there.value)


def test_a_model_elsewhere_is_the_same_or_refused(tiny):
    wanted = ModelElsewhere.of(tiny, "tiny")
    assert load_elsewhere(wanted).fingerprint == tiny.fingerprint
    other = {**wanted.traits, "checkpoint": "tiny (other)"}
    with pytest.raises(WorkerRefused, match=r"checkpoint there is tiny \(.*, here it is tiny \(o"):
        check_same(wanted.traits, other)
    with pytest.raises(WorkerRefused, match="backend there is none, here it is CPU"):
        check_same({}, {"backend": "CPU"})


def aligner_there(name):
    """As `make_aligner` is in a worker whose cache of the hub has another revision."""
    aligner = Qwen3Aligner(str(aligner_there.folder))
    aligner.version = aligner_there.version
    return aligner


def test_an_aligner_with_other_weights_is_left_out_before_it_aligns(tmp_path, demo):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "model.safetensors").write_bytes(name.encode())
    here = Qwen3Aligner(str(tmp_path / "here"))
    aligner_there.folder, aligner_there.version = tmp_path / "there", here.version
    scheduler = Scheduler("tcp://a")
    cluster = Cluster(scheduler, "tcp://x:1", wait=False, send_audio=False)
    ask = aligned_elsewhere(cluster, here, aligner_there)
    theirs = Qwen3Aligner(str(tmp_path / "there")).fingerprint()
    line = f"a: the checkpoint of qwen3 there is {theirs}, here it is {here.fingerprint()}; give"
    with pytest.raises(InputError, match=line):
        list(ask(demo.utterances[:2]))
    assert all("prepare" in key for key in scheduler.keys)
    (tmp_path / "there" / "model.safetensors").write_bytes(b"here")  # the same, elsewhere
    assert _made(aligner_there, "qwen3", here.version, here.fingerprint()).name == "qwen3"


def test_nothing_to_align_needs_no_weights(tmp_path):
    cluster = Cluster(Scheduler(), "tcp://x:1", wait=False, send_audio=False)
    missing = Qwen3Aligner(str(tmp_path / "nothing"))
    assert list(aligned_elsewhere(cluster, missing, aligner_there)([])) == []


# Sums in one order


def test_batches_in_any_order_are_one_run_also_when_it_goes_on(tiny, demo, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "MAX_BATCH", 1)
    prepared = prepare_corpus(tiny, demo, clips=3)

    def heads(journal=None, backwards=None):
        if backwards is not None:
            monkeypatch.setattr(
                "alignheads.discovery.discover.measured_elsewhere", lambda *_: backwards
            )
        cluster = Cluster(None, "", wait=False, send_audio=False) if backwards else None
        found = measure_corpus(
            tiny, prepared, None, "hypothesis", 0, journal=journal, cluster=cluster
        )
        return heads_file(found).model_dump_json()

    kept, done = [], []
    plain = measure.measure_batch

    def measured(*arguments):
        kept.append(plain(*arguments))
        return kept[-1]

    monkeypatch.setattr(measure, "measure_batch", measured)
    one = heads()
    assert [len(batch.utterances) for batch in kept] == [1, 1, 1]

    def backwards(left):
        done.append([number for number, _ in left])
        for number, _ in reversed(left):
            yield number, kept[number]

    def stopped(left):
        yield from list(backwards(left))[:2]
        raise ClusterError("gone")

    path = tmp_path / "x.json.partial.jsonl"
    with Journal(path) as journal, pytest.raises(ClusterError):
        heads(journal, stopped)
    assert len(path.read_text().splitlines()) == 3
    assert [json.loads(line)["utterances"] for line in path.read_text().splitlines()[1:]] == [
        kept[2].utterances, kept[1].utterances
    ]  # fmt: skip
    with Journal(path) as journal:
        assert heads(journal, backwards) == one
    assert done == [[0, 1, 2], [0]]
