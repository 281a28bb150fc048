"""The commands on real worker processes, on loopback: the same results, whatever is killed."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="the extra cluster is not installed")

from alignheads.cluster import connect, open_cluster, run
from alignheads.commandline import show_log
from alignheads.discovery import measure
from alignheads.discovery.discover import heads_file, measure_corpus, prepare_corpus
from alignheads.journal import Journal, journal_path

OURS = """
import logging, sys
from distributed import LocalCluster

if __name__ == "__main__":
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", memory_limit=0,
                           dashboard_address=None, silence_logs=logging.CRITICAL)
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
"""
DISCOVER = ("--clips", 6, "--cuts", 0)


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """A scheduler with two workers: its address, and its process."""
    script = tmp_path_factory.mktemp("scheduler") / "ours.py"
    script.write_text(OURS)
    process = subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    address = process.stdout.readline().strip()
    assert address.startswith("tcp://127.0.0.1:")
    yield address, process
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def alone(tmp_path_factory, tiny):
    """The heads file of one process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "MAX_BATCH", 1)
        prepared = prepare_corpus(tiny, None, clips=6)
        found = measure_corpus(tiny, prepared, None, "hypothesis", 0)
    path = tmp_path_factory.mktemp("alone") / "heads.json"
    heads_file(found).save(path)
    return path.read_bytes()


@pytest.fixture
def small(monkeypatch):
    """Batches of one clip, so that there are some."""
    monkeypatch.setattr(measure, "MAX_BATCH", 1)


def when_there_are(lines, path, call):
    """Call `call` when the journal at `path` has so many lines; gives the thread that waits."""

    def watch():
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if path.exists() and path.read_bytes().count(b"\n") >= lines:
                call()
                return
            time.sleep(0.005)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def only_lines(err):
    """stderr, of which nothing is a traceback or of Dask's own log."""
    assert "Traceback" not in err
    assert "distributed." not in err
    return err.splitlines()


# One in the timed suite


def test_heads_found_by_a_process_of_their_own_are_the_same(tiny, small, tmp_path, capsys):
    show_log()
    prepared = prepare_corpus(tiny, None, clips=2)
    given = (tiny, prepared, None, "hypothesis", 0)
    here = heads_file(measure_corpus(*given)).model_dump_json()
    with Journal(tmp_path / "x.jsonl") as journal, open_cluster("local:1") as cluster:
        found = measure_corpus(*given, journal=journal, cluster=cluster)
        assert journal.count == 2
    assert heads_file(found).model_dump_json() == here
    assert re.fullmatch(
        r"127.0.0.1:\d+: 2 batches, 2 clips, .* clips/s", only_lines(capsys.readouterr().err)[-1]
    )


# On a scheduler's workers


@pytest.mark.slow
def test_a_worker_that_hangs_is_left_alone(
    discover_command, small, alone, scheduler, tmp_path, monkeypatch
):
    from distributed import Client

    monkeypatch.setattr(run, "LEAST_LIMIT_S", 1.0)
    monkeypatch.setattr(run, "EXPECTED_TIMES", 1.0)
    stopped = []
    with Client(scheduler[0], set_as_default=False) as client:
        pids = client.run(os.getpid)

        def stop():
            stopped.append(next(iter(pids.values())))
            os.kill(stopped[0], signal.SIGSTOP)

        path = journal_path(tmp_path / "x.json")
        watching = when_there_are(2, path, stop)
        code, _, err = discover_command(*DISCOVER, "--out", "x.json", "--dask", scheduler[0])
        watching.join()
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert code == 0, err
    assert (tmp_path / "x.json").read_bytes() == alone


@pytest.mark.slow
def test_a_benchmark_is_the_same_but_for_times_and_machine(in_process, scheduler, tmp_path):
    from alignheads.evaluate.cli import main

    call = in_process(main, "benchmark-decoder")
    given = ("--max-utterances", 3, "--mode", "simul", "--mode", "offline", "--traces", 1)
    assert call(*given, "--json", "a.json")[0] == 0
    code, _, err = call(*given, "--json", "b.json", "--dask", scheduler[0], "--send-audio")
    assert code == 0, err
    a, b = (json.loads((tmp_path / name).read_text()) for name in ("a.json", "b.json"))
    differ = sorted(
        {place for place in differences(a, b) if not re.search(r"wall|rtf|aware|lag|memory", place)}
    )
    assert differ in ([".machine.workers"], [])
    assert b["machine"]["workers"]


def differences(a, b, place=""):
    """Where two values of JSON differ; numbers of a list without their index."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in {*a, *b}:
            yield from differences(a.get(key), b.get(key), f"{place}.{key}")
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for one, other in zip(a, b, strict=True):
            yield from differences(one, other, f"{place}.#")
    elif a != b:
        yield place


@pytest.mark.slow
def test_word_times_are_the_same_and_those_that_came_are_kept(in_process, scheduler, tmp_path):
    pytest.importorskip("pocketsphinx", reason="the extra pocketsphinx is not installed")
    from alignheads.corpora.cli import main

    call = in_process(main, "align-corpus")
    given = ("demo:test", "--clips", 3, "--aligner", "pocketsphinx")
    assert call(*given, "--out", "a")[0] == 0
    code, _, err = call(*given, "--out", "b", "--dask", scheduler[0])
    assert code == 0, err
    only_lines(err)
    grids = {p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.TextGrid")}
    assert len(grids) == 3
    for name in grids:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    kept = [(tmp_path / name / "alignments.jsonl").read_text().splitlines() for name in "ab"]
    assert sorted(kept[0]) == sorted(kept[1])


@pytest.mark.slow
def test_trials_are_the_same_and_their_states_come_into_the_store(in_process, scheduler, tmp_path):
    from alignheads.calibrate.cli import main

    call = in_process(main, "calibrate")
    given = ("--trials", 3, "--clips", 2, "--phases", 1)
    found = []
    for name, more in (("a", ()), ("b", ("--dask", scheduler[0]))):
        (tmp_path / name).mkdir()
        store = tmp_path / name / "store"
        code, _, err = call(*given, "--out", f"{name}/d.json", "--store", store, *more)
        assert code == 0, err
        found.append(json.loads((tmp_path / name / "calibration.json").read_text()))
    differ = {
        place for place in differences(*found) if not re.search(r"rtf|aware|seconds|stor", place)
    }
    assert differ == set()


@pytest.mark.slow
def test_a_corpus_that_a_worker_cannot_see_is_one_clear_line(
    discover_command, scheduler, tmp_path, demo, monkeypatch
):
    from alignheads.corpora import sent

    plain = sent.sent

    def elsewhere(utterances, *, with_audio):
        from dataclasses import replace

        found = plain(utterances, with_audio=with_audio)
        return tuple(replace(one, audio_path=Path("/away/x.flac")) for one in found)

    monkeypatch.setattr("alignheads.discovery.elsewhere.sent", elsewhere)
    code, _, err = discover_command(*DISCOVER, "--dask", scheduler[0])
    assert code == 2
    line = only_lines(err)[-1]
    assert line.startswith("discover-heads: no worker can do this; 127.0.0.1:")
    assert "it cannot see /away/x.flac (No such file or directory); mount" in line


@pytest.mark.slow
def test_a_process_may_open_one_cluster_after_another():
    code = """
from alignheads.cluster import connect, open_cluster
connect.CONNECT_S = 0.3
for _ in range(2):
    try:
        with open_cluster("tcp://127.0.0.1:9"):
            pass
    except ValueError as error:
        print(error)
"""  # Dask is imported by the first
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.count("nobody answers at tcp://127.0.0.1:9") == 2
    assert done.stderr == ""


@pytest.mark.slow
def test_nobody_there_and_a_result_that_exists(discover_command, tmp_path, monkeypatch):
    monkeypatch.setattr(connect, "CONNECT_S", 0.5)
    code, _, err = discover_command(*DISCOVER, "--dask", "tcp://127.0.0.1:9")
    assert code == 2
    (line,) = only_lines(err)
    assert line.startswith("discover-heads: nobody answers at tcp://127.0.0.1:9 (")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("room", "given", "made"),
    [
        ("discovery", (*DISCOVER, "--out", "x.json"), "x.json"),
        ("corpora", ("demo:test", "--clips", 3, "--out", "."), "manifest.jsonl"),
        ("evaluate", ("--json", "x.json"), "x.json"),
        ("calibrate", ("--trials", 2, "--out", "x.json"), "x.json"),
    ],
)
def test_a_result_that_exists_is_refused_as_without_a_cluster(
    in_process, tmp_path, monkeypatch, room, given, made
):
    """Before the scheduler is asked: nobody answers there, which would be another line."""
    monkeypatch.setattr(connect, "CONNECT_S", 0.5)
    call = in_process(importlib.import_module(f"alignheads.{room}.cli").main, room)
    (tmp_path / made).write_text("a result")
    alone = call(*given)
    code, _, err = call(*given, "--dask", "tcp://127.0.0.1:9")
    assert (code, err) == (2, alone[2])
    (line,) = only_lines(err)
    assert line.startswith(f"{room}: {made} exists; give --force")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(made, "a result")]


@pytest.fixture
def deserted(tmp_path):
    """The address of a scheduler without workers."""
    (tmp_path / "ours.py").write_text(OURS.replace("n_workers=2", "n_workers=0"))
    process = subprocess.Popen(
        [sys.executable, tmp_path / "ours.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    yield process.stdout.readline().strip()
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_a_scheduler_without_workers_is_told_after_ten_seconds(
    discover_command, deserted, tmp_path
):
    begin_s = time.monotonic()
    code, _, err = discover_command(*DISCOVER, "--out", "x.json", "--dask", deserted)
    assert code == 2
    assert 10 <= time.monotonic() - begin_s < 20
    (line,) = only_lines(err)
    assert line == (
        f"discover-heads: the scheduler at {deserted} has no workers; start some with dask worker "
        f"{deserted}, or give --wait until there are some"
    )
    assert not (tmp_path / "x.json").exists()


@pytest.mark.slow
def test_with_wait_the_command_goes_on_when_a_worker_comes(
    discover_command, small, alone, deserted, tmp_path, monkeypatch
):
    monkeypatch.setattr(connect, "NO_WORKER_S", 0.5)
    workers = []

    def come():
        command = (sys.executable, "-m", "distributed.cli.dask_worker", deserted, "--nthreads", "1")
        workers.append(
            subprocess.Popen(
                [*command, "--no-nanny", "--no-dashboard", "--local-directory", tmp_path / "w"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
        )  # fmt: skip

    timer = threading.Timer(3.0, come)
    timer.start()
    try:
        given = ("--out", "x.json", "--dask", deserted, "--wait")
        code, _, err = discover_command(*DISCOVER, *given)
    finally:
        timer.join()
        for worker in workers:
            worker.kill()
            worker.wait()
    assert code == 0, err
    assert only_lines(err)[0] == f"waiting: the scheduler at {deserted} has no workers"
    assert (tmp_path / "x.json").read_bytes() == alone


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_loses_and_doubles_nothing(
    discover_command, small, alone, scheduler, tmp_path
):
    from distributed import Client

    path = journal_path(tmp_path / "x.json")
    with Client(scheduler[0], set_as_default=False) as client:
        pids = client.run(os.getpid)

        def kill():
            os.kill(next(iter(pids.values())), signal.SIGKILL)

        watching = when_there_are(2, path, kill)
        code, _, err = discover_command(*DISCOVER, "--out", "x.json", "--dask", scheduler[0])
        watching.join()
    assert code == 0, err
    assert (tmp_path / "x.json").read_bytes() == alone
    only_lines(err)


@pytest.mark.slow
def test_a_scheduler_that_goes_away_is_one_line_and_the_same_command_goes_on(
    discover_command, small, alone, scheduler, tmp_path
):
    address, process = scheduler  # the last test that uses it
    path = journal_path(tmp_path / "x.json")
    watching = when_there_are(2, path, process.kill)
    code, _, err = discover_command(*DISCOVER, "--out", "x.json", "--dask", address)
    watching.join()
    assert code == 1, err
    assert only_lines(err)[-1] == f"discover-heads: the scheduler at {address} has gone away"
    assert f"kept in {path.name}: run the same command again" in err.replace(f"{tmp_path}/", "")
    kept = len(path.read_text().splitlines()) - 1
    assert kept > 0
    code, _, err = discover_command(*DISCOVER, "--out", "x.json")
    assert code == 0, err
    assert f"going on: {kept} of 6 clips are done" in err
    assert (tmp_path / "x.json").read_bytes() == alone
