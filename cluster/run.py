"""One run of tasks: each worker is kept busy, and none that fails, hangs or goes loses anything."""

from __future__ import annotations

import contextlib
import logging
import queue
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import ClusterError, InputError
from ..wording import counted
from .tasks import Reply, Task, Work, answer, code_version, key_of

TICK_S = 0.5
LOOK_EVERY_S = 1.0
"""How often it is looked which workers there are."""
ANSWER_S = 20.0
"""How long a scheduler may take to say so, and a result to come over."""
LEAST_LIMIT_S = 120.0
"""A worker that says nothing for so long, and longer than expected, is left alone."""
FIRST_LIMIT_S = 900.0
"""The same before anything is known of how long a batch takes."""
PREPARE_LIMIT_S = 3600.0
"""For loading a model, which may have to be fetched."""
EXPECTED_TIMES = 10.0
"""How many times as long as the slowest so far, a second of audio, is longer than expected."""
ALONE_S = 60.0
"""How long a run goes on without any worker: one that was killed is started anew."""
ASLEEP_S = 30.0
"""Who has not looked for so long cannot say who was silent."""
MOST_TRIES = 3
TELL_EVERY_S = 30.0

_log = logging.getLogger(__name__)


class Cluster:
    """An open connection; see `open_cluster`.

    Attributes:
        name: its address.
        wait: whether to go on waiting where there are no workers.
        send_audio: whether samples are sent with the tasks.
    """

    def __init__(self, client: Any, name: str, *, wait: bool, send_audio: bool) -> None:
        self.client = client
        self.name = name
        self.wait = wait
        self.send_audio = send_audio
        self._tallies: dict[str, Tally] = {}

    def tally(self, worker: str) -> Tally:
        """What a worker has done, in all runs."""
        return self._tallies.setdefault(worker, Tally())

    def tell(self) -> None:
        """Say what each worker did."""
        for worker, tally in self._tallies.items():
            if tally.batches or tally.failures:
                _log.info("%s: %s", worker, tally)

    def addresses(self) -> set[str]:
        """Of all workers.

        Raises:
            ClusterError: the scheduler does not answer any more.
        """
        try:
            if self.client.status != "running":
                raise OSError("the connection was lost")
            return set(self.client.nthreads(callback_timeout=ANSWER_S))
        except (OSError, RuntimeError, TimeoutError) as error:
            raise ClusterError(f"the scheduler at {self.name} has gone away") from error

    def map(self, work: Work, tasks: Sequence[Task]) -> Iterator[tuple[int, Any]]:
        """Do all tasks; gives the number of each and its value as they come, each once.

        Raises:
            InputError: what a task raised, or no worker can do the work.
            ClusterError: the scheduler or all workers have gone, or a task failed too often.
        """
        if not tasks:
            return
        run = _Run(self, work, tasks)
        try:
            yield from run.results()
        finally:
            run.end()


@dataclass
class Tally:
    """What a worker did. `seconds`: from when it was ready to its last answer."""

    batches: int = 0
    clips: int = 0
    failures: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        rate = f", {self.clips / self.seconds:.3g} clips/s" if self.seconds and self.clips else ""
        failures = f", {counted(self.failures, 'failure')}" if self.failures else ""
        batches = counted(self.batches, "batch", "batches")
        return f"{batches}, {counted(self.clips, 'clip')}{rate}{failures}"


@dataclass(eq=False)
class _Sent:
    """A task that a worker has; a number of None: it prepares."""

    number: int | None
    worker: _Worker
    future: Any
    since_s: float


@dataclass(eq=False)
class _Worker:
    address: str
    tally: Tally
    state: Literal["preparing", "ready", "refused", "silent"] = "preparing"
    sent: list[_Sent] = field(default_factory=list)  # it works on the first
    heard_s: float = field(default_factory=time.monotonic)
    ready_s: float | None = None

    def __str__(self) -> str:
        return _shown(self.address)


def _shown(address: str) -> str:
    return address.removeprefix("tcp://")


class _Run:
    def __init__(self, cluster: Cluster, work: Work, tasks: Sequence[Task]) -> None:
        self._cluster, self._work, self._tasks = cluster, work, tasks
        self._todo = deque(range(len(tasks)))
        self._done: set[int] = set()
        self._workers: dict[str, _Worker] = {}
        self._gone: list[_Worker] = []
        self._events: queue.SimpleQueue[_Sent] = queue.SimpleQueue()
        self._tries: Counter[int] = Counter()
        self._sendings = self._clips = self._failures = self._unprepared = 0
        self._was_any_ready = False
        self._slowest: float | None = None  # seconds a second of audio
        self._told: set[str] = set()
        self._refusal = ""
        self._begin_s = self._alone_since_s = time.monotonic()
        self._checked_s = self._awake_s = self._begin_s
        self._look_s, self._tell_s = 0.0, self._begin_s + TELL_EVERY_S
        self._is_waiting_told = False

    def results(self) -> Iterator[tuple[int, Any]]:
        while len(self._done) < len(self._tasks):
            self._look()
            self._send()
            self._tell()
            try:
                sent = self._events.get(timeout=TICK_S)
            except queue.Empty:
                self._check_times()  # what is there to be taken is no silence
                continue
            found = self._take(sent)
            if found is not None:
                yield found

    def end(self) -> None:
        """Forget what is still out."""
        for worker in self._workers.values():
            for sent in worker.sent:
                with contextlib.suppress(Exception):  # the scheduler may be gone
                    sent.future.release()
        for worker in [*self._gone, *self._workers.values()]:
            if worker.ready_s is not None:
                worker.tally.seconds += worker.heard_s - worker.ready_s

    # Workers

    def _look(self, *, now: bool = False) -> None:
        """See which workers there are: new ones prepare, what others had is given again."""
        if not now and time.monotonic() < self._look_s:
            return
        there = self._cluster.addresses()
        self._look_s = time.monotonic() + LOOK_EVERY_S
        for address in set(self._workers) - there:
            self._lose(self._workers.pop(address))
        for address in sorted(there - set(self._workers)):
            worker = self._workers[address] = _Worker(address, self._cluster.tally(_shown(address)))
            self._submit(worker, None, None)

    def _lose(self, worker: _Worker) -> None:
        self._gone.append(worker)
        if worker.state == "refused" or not worker.sent:
            return
        first = worker.sent[0].number
        self._count_failure(worker)
        _log.warning("%s has gone; %s", worker, self._given_again(worker))
        for sent in worker.sent:
            sent.future.release()
        worker.sent.clear()
        if first is None:
            self._unprepared += 1
            if self._unprepared >= MOST_TRIES and not self._was_any_ready:
                raise ClusterError(f"{self._unprepared} workers ended as they loaded the model")
        elif worker.state != "silent":
            # Of what it had, only the first can have been its end.
            self._fail(first, f"each time its worker ended, the last time {worker}")

    def _given_again(self, worker: _Worker) -> str:
        """Let others do what `worker` has; says so."""
        numbers = [one.number for one in worker.sent if one.number is not None]
        others = (one for one in self._workers.values() if one is not worker)
        at_others = {sent.number for one in others for sent in one.sent}
        taken = self._done | at_others | set(self._todo)
        numbers = [one for one in numbers if one not in taken]
        self._todo.extendleft(reversed(numbers))
        if not numbers:
            return "it had no batch"
        return f"{counted(len(numbers), 'batch', 'batches')} of it given to others"

    def _count_failure(self, worker: _Worker) -> None:
        worker.tally.failures += 1
        self._failures += 1

    def _fail(self, number: int, how: str) -> None:
        self._tries[number] += 1
        if self._tries[number] >= MOST_TRIES:
            label = self._tasks[number].label
            raise ClusterError(f"the batch of {label} failed {MOST_TRIES} times: {how}")

    def _refuse(self, worker: _Worker, reason: str) -> None:
        worker.state = "refused"
        self._refusal = f"{worker}: {reason}"
        again = self._given_again(worker)
        worker.sent.clear()
        _log.warning("%s is left out: %s; %s", worker, reason, again)

    # Tasks

    def _send(self) -> None:
        """Give each worker that is ready a batch, and one more that waits for it there."""
        ready = [one for one in self._workers.values() if one.state == "ready"]
        for depth in (1, 2):
            for worker in ready:
                is_scarce = depth > 1 and len(self._todo) <= len(ready)
                if len(worker.sent) >= depth or is_scarce:
                    continue
                number = self._next()
                if number is None:
                    return
                self._submit(worker, number, self._tasks[number].arguments())

    def _next(self) -> int | None:
        while self._todo:
            number = self._todo.popleft()
            if number not in self._done:
                return number
        return None

    def _submit(
        self, worker: _Worker, number: int | None, arguments: tuple[Any, ...] | None
    ) -> None:
        label = worker.address if number is None else self._tasks[number].label
        key = key_of(self._work, f"prepare-{label}" if number is None else label, arguments)
        self._sendings += 1
        try:
            future = self._cluster.client.submit(
                answer, code_version(), self._work, arguments,
                key=f"{key}-{self._sendings}", workers=[worker.address], pure=False,
            )  # fmt: skip
        except (OSError, RuntimeError) as error:
            raise ClusterError(f"the scheduler at {self._cluster.name} has gone away") from error
        sent = _Sent(number, worker, future, time.monotonic())
        worker.sent.append(sent)
        future.add_done_callback(lambda _: self._events.put(sent))

    def _take(self, sent: _Sent) -> tuple[int, Any] | None:
        """What a worker answered, if it is a result and the first one of its task."""
        worker = sent.worker
        if sent not in worker.sent:
            return None  # it was refused in the meantime
        reply = self._reply(sent)
        if sent in worker.sent:  # looking for workers may have found that this one has gone
            worker.sent.remove(sent)
        sent.future.release()
        if reply is None:
            return None
        worker.heard_s = time.monotonic()
        if reply.refused is not None:
            worker.sent.insert(0, sent)
            self._refuse(worker, reply.refused)
            return None
        if reply.error is not None:
            raise reply.error
        for line in reply.told:
            if line not in self._told:
                _log.info("%s", line)
            self._told.add(line)
        if worker.state != "ready":
            worker.state, self._was_any_ready = "ready", True
            worker.ready_s = worker.ready_s or worker.heard_s
        if sent.number is None or sent.number in self._done:
            return None
        return self._count(sent.number, worker, reply)

    def _count(self, number: int, worker: _Worker, reply: Reply) -> tuple[int, Any]:
        task = self._tasks[number]
        self._done.add(number)
        worker.tally.batches += 1
        worker.tally.clips += task.clips
        self._clips += task.clips
        pace = reply.seconds / max(task.audio_s, 1.0)
        self._slowest = max(self._slowest or 0.0, pace)
        return number, reply.value

    def _reply(self, sent: _Sent) -> Reply | None:
        """None where there is none: what was sent is then given again, or the worker refused."""
        worker, future = sent.worker, sent.future
        try:
            if future.status == "finished":
                return future.result(timeout=ANSWER_S)
            if future.status == "error":
                raise future.exception(timeout=ANSWER_S)
        except TimeoutError:
            how = "its result did not come over"
            self._look(now=True)  # from a worker that has gone
        except Exception as error:  # of whatever kind a task, or Dask, raises
            how = f"{type(error).__name__}: {error}"
        else:
            how = "it was given up"
            self._look(now=True)  # by a scheduler that has gone
        if worker.address not in self._workers:
            return None  # what it had was given again
        self._count_failure(worker)
        if sent.number is None:
            self._refuse(worker, f"it cannot prepare: {how}")
            return None
        label = self._tasks[sent.number].label
        _log.warning("%s: the batch of %s failed and is given again: %s", worker, label, how)
        self._give_again(sent)
        self._fail(sent.number, f"the last time on {worker}: {how}")
        return None

    def _give_again(self, sent: _Sent) -> None:
        if sent.number is not None and sent.number not in self._done:
            self._todo.appendleft(sent.number)

    # Time

    def _limit_s(self, sent: _Sent) -> float:
        if sent.number is None:
            return PREPARE_LIMIT_S
        if self._slowest is None:
            return FIRST_LIMIT_S
        audio_s = max(self._tasks[sent.number].audio_s, 1.0)
        return max(LEAST_LIMIT_S, EXPECTED_TIMES * self._slowest * audio_s)

    def _check_times(self) -> None:
        now = time.monotonic()
        if now - self._checked_s > ASLEEP_S:
            self._awake_s = now  # this process was stopped, or busy with what it was given
        self._checked_s = now
        for worker in self._workers.values():
            if worker.state not in ("ready", "preparing") or not worker.sent:
                continue
            silent_s = now - max(worker.sent[0].since_s, worker.heard_s, self._awake_s)
            if silent_s > self._limit_s(worker.sent[0]):
                worker.state = "silent"
                self._count_failure(worker)
                again = self._given_again(worker)
                _log.warning("%s has not answered for %.0f s; %s", worker, silent_s, again)
        states = Counter(worker.state for worker in self._workers.values())
        if states["ready"] or states["preparing"]:
            self._alone_since_s = now
        elif states["refused"] and not states["silent"]:
            raise InputError(f"no worker can do this; {self._refusal}")
        elif now - self._alone_since_s > ALONE_S:
            self._alone(states)

    def _alone(self, states: Counter[str]) -> None:
        if states["silent"]:
            raise ClusterError("no worker answers any more")
        if not self._cluster.wait:
            raise ClusterError("all workers have gone")
        if not self._is_waiting_told:
            _log.info("waiting: all workers have gone")
        self._is_waiting_told = True

    def _tell(self) -> None:
        if time.monotonic() < self._tell_s:
            return
        self._tell_s = time.monotonic() + TELL_EVERY_S
        total = sum(one.clips for one in self._tasks)
        at_work = sum(bool(one.sent) for one in self._workers.values())
        rate = self._clips / (time.monotonic() - self._begin_s)
        _log.info(
            "%d of %d clips, %s at work, %.3g clips/s, %s",
            self._clips, total, counted(at_work, "worker"), rate,
            counted(self._failures, "failure"),
        )  # fmt: skip
