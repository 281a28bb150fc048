"""How fast discovery is on a cluster's processes, what a task costs, what many would wait for.

    python benchmarks/cluster.py [--model NAME] [--corpus CORPUS] [--clips N] [--workers N …]

One process, then `local:N` for each N, over the same clips. The rest is by measured times and
sizes: what goes over the network, and how many workers one client keeps busy. docs/distributed.md
has the table.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer

from alignheads.cluster import Cluster, Task, Work, open_cluster
from alignheads.commandline import run, say
from alignheads.corpora.sent import sent
from alignheads.discovery import discover
from alignheads.discovery.discover import PreparedCorpus
from alignheads.discovery.elsewhere import measured_elsewhere
from alignheads.discovery.measure import plan_batches
from alignheads.discovery.statistics import ERROR_EDGES_S, LayerStatistics, distance_bins
from alignheads.discovery.totals import HeadTotals
from alignheads.journal import Journal
from alignheads.runtime.models.model import SpeechModel

_EMPTY_TASKS = 200
_MANY = 64
_LARGE = 28, 16
_MEGABYTE = 1e6


@dataclass
class Watch:
    """What a run on a cluster took.

    Attributes:
        ready_s: from the start until every worker had loaded the model.
        seconds: of the run after that.
        client_s: of the CPU for each batch, in the client: the journal and the sums.
        result_bytes: of each batch.
    """

    ready_s: float = 0.0
    seconds: float = 0.0
    client_s: list[float] = field(default_factory=list)
    result_bytes: list[int] = field(default_factory=list)


def nothing(given: int) -> int:
    """Prepares nothing."""
    return given


def given_back(given: int, number: int) -> int:
    """Does nothing."""
    return number


def cluster_benchmark(
    model: Annotated[str, typer.Option(help="as discover-heads takes it")] = "tiny",
    corpus: Annotated[str | None, typer.Option(help="as discover-heads takes it")] = None,
    clips: Annotated[int, typer.Option(help="how many to measure")] = 48,
    cuts: Annotated[int, typer.Option(help="cut versions of each")] = 3,
    batch: Annotated[int, typer.Option(help="clips in a batch, at most")] = 4,
    workers: Annotated[list[int] | None, typer.Option(help="how many; repeat it")] = None,
) -> None:
    """Print a table of clips a second, and what follows for many workers."""
    from alignheads.discovery import measure

    measure.MAX_BATCH = batch
    # Workers compute on one thread each, so the one process does, too.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    loaded = SpeechModel.load(model)
    prepared = discover.prepare_corpus(loaded, corpus, clips=clips)
    count = len(prepared.part.utterances)
    begin = time.perf_counter()
    alone = _measured(loaded, prepared, cuts)
    alone_s = time.perf_counter() - begin
    print(f"| {count} clips of {prepared.whole.name} on {loaded.name}, {cuts} cuts | |")
    print("| --- | --- |")
    load = os.getloadavg()[0]
    print(f"| one process | {count / alone_s:.2f} clips/s at a load of {load:.1f} |")
    worker_s, watch = None, Watch()
    for number in workers or [1, 2]:
        watch = Watch()
        with open_cluster(f"local:{number}") as cluster:
            assert cluster is not None
            _wait_until_ready(cluster, loaded, number, watch)
            same = _measured(loaded, prepared, cuts, cluster, watch) == alone
            empty_s = _empty_task_s(cluster)
        worker_s = worker_s or number * watch.seconds
        load = os.getloadavg()[0]
        print(
            f"| {number} workers | {count / watch.seconds:.2f} clips/s at a load of {load:.1f}, "
            f"{'the same' if same else 'ANOTHER'} heads file |"
        )
        print(f"| … ready after, a task that does nothing | {watch.ready_s:.1f} s, "
              f"{1000 * empty_s:.1f} ms |")  # fmt: skip
    _say_plan(loaded, prepared, worker_s or alone_s, watch)


def _measured(
    model: SpeechModel,
    prepared: PreparedCorpus,
    cuts: int,
    cluster: Cluster | None = None,
    watch: Watch | None = None,
) -> str:
    """The heads file, as text."""
    given = (model, prepared, None, "hypothesis", cuts)
    if cluster is None or watch is None:
        return discover.heads_file(discover.measure_corpus(*given)).model_dump_json()

    def watched(*arguments):
        inner = measured_elsewhere(*arguments)

        def batches(left) -> Iterator:
            for number, found in inner(left):
                watch.result_bytes.append(len(pickle.dumps(found, protocol=5)))
                begin = time.thread_time()
                yield number, found
                watch.client_s.append(time.thread_time() - begin)

        return batches

    discover.measured_elsewhere = watched
    with TemporaryDirectory() as folder, Journal(Path(folder) / "journal.jsonl") as journal:
        begin = time.perf_counter()
        found = discover.measure_corpus(*given, journal=journal, cluster=cluster)
        watch.seconds = time.perf_counter() - begin
        journal.remove()
    discover.measured_elsewhere = measured_elsewhere
    return discover.heads_file(found).model_dump_json()


def _wait_until_ready(cluster: Cluster, model: SpeechModel, count: int, watch: Watch) -> None:
    """Have every worker load the model: it is kept for the run that is timed."""
    from alignheads.runtime.models.elsewhere import ModelElsewhere, load_elsewhere

    begin = time.perf_counter()
    work = Work("cluster-benchmark", load_elsewhere, (ModelElsewhere.of(model),), _named)
    names: set[int] = set()
    while len(names) < count:
        tasks = [Task(f"load {n}", 1, 1.0, lambda n=n: (n,)) for n in range(2 * count)]
        names |= {name for _, name in cluster.map(work, tasks)}
    watch.ready_s = time.perf_counter() - begin


def _named(model: SpeechModel, number: int) -> int:
    time.sleep(0.2)  # so that the others get some
    return os.getpid()


def _empty_task_s(cluster: Cluster) -> float:
    work = Work("nothing", nothing, (1,), given_back)
    tasks = [Task(f"task {n}", 1, 1.0, lambda n=n: (n,)) for n in range(_EMPTY_TASKS)]
    list(cluster.map(work, tasks[:8]))
    begin = time.perf_counter()
    list(cluster.map(work, tasks))
    return (time.perf_counter() - begin) / _EMPTY_TASKS


def _say_plan(model: SpeechModel, prepared: PreparedCorpus, worker_s: float, watch: Watch) -> None:
    """What 64 workers would wait for, by what was measured."""
    plan = plan_batches(model, prepared.part.utterances)
    batch_s = worker_s / len(plan)
    client_s = sum(watch.client_s) / len(watch.client_s)
    result = sum(watch.result_bytes) / len(watch.result_bytes)
    sizes = [
        len(pickle.dumps(sent(batch, with_audio=with_audio), protocol=5))
        for with_audio in (False, True)
        for batch in plan[:1]
    ]
    clips = len(prepared.part.utterances) / len(plan)
    rate = _MANY / batch_s
    mb = [size / _MEGABYTE for size in (*sizes, result)]
    lines = {
        "a batch": f"{clips:.1f} clips, {batch_s:.2f} s in a worker",
        "… as it is sent": f"{1000 * mb[0]:.1f} kB, with its audio {mb[1]:.2f} MB",
        "… its result": f"{mb[2]:.2f} MB, {1000 * client_s:.0f} ms of the client's CPU",
        "workers that one client keeps busy": f"{batch_s / client_s:.0f}",
        f"{_MANY} workers at this pace": f"{rate:.1f} batches/s: {rate * mb[2]:.1f} MB/s of "
        f"results, {rate * mb[1]:.1f} MB/s of audio if it is sent, {100 * rate * client_s:.0f} % "
        "of the client",
    }
    shape = f"{_LARGE[0]} layers of {_LARGE[1]} heads"
    sums_s = _sums_s(*_LARGE)
    lines[f"the sums of a clip with {shape}, as 1.7B has"] = (
        f"{1000 * sums_s:.0f} ms of the client's CPU: {1 / sums_s:.0f} clips/s at most"
    )
    for name, value in lines.items():
        print(f"| {name} | {value} |")
    say("but for the client's CPU, times are of this machine as busy as it was")


def _sums_s(layers: int, heads: int, tokens: int = 25) -> float:
    """Seconds of the CPU to add one clip and its cuts, of any numbers, to the sums."""
    totals = HeadTotals(layers, heads, 13.0)
    per_head = np.ones(heads)
    statistics = LayerStatistics(
        **{one.name: per_head for one in fields(LayerStatistics)}
        | {
            "error_counts": np.ones((heads, len(ERROR_EDGES_S)), int),
            "frames": np.zeros((heads, tokens), int),
        }
    )
    targets = np.zeros(tokens)  # of which only the number counts
    counts = np.ones((heads, 2, distance_bins(13.0)), int)
    times = []
    for clip in range(4):
        begin = time.thread_time()
        totals.add(str(clip), targets, [statistics] * layers)  # type: ignore[arg-type]
        for layer in range(layers):
            totals.add_border(str(clip), layer, counts)
        times.append(time.thread_time() - begin)
    return min(times)


if __name__ == "__main__":
    run(cluster_benchmark)
