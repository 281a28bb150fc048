"""Streams decoded on the processes of a cluster, their states brought into the store of this one.

A stream whose states are all in the store is replayed here. The others go to workers, each with
what the store has of its recording, so that a worker decodes just what this process would have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ...cluster import Cluster, Task, Work, WorkerRefused
from ...corpora.audio import SAMPLE_RATE
from ...corpora.sent import sent
from ...evaluate.timed import TimedStream, timed_stream
from ...runtime.models.elsewhere import ModelElsewhere, load_elsewhere
from ...runtime.models.protocol import AlignmentModel
from ...runtime.stream.config import DecoderConfig
from ...runtime.stream.decoder import StreamDecoder
from ..speech import Recording
from .source import Replay, StateMissing
from .store import Decoded, DecodeStore

_BATCH_S = 30.0  # of audio, at least: seconds of work, beside which sending is nothing

Records = dict[str, list[Decoded]]
"""By state."""


@dataclass(frozen=True)
class Elsewhere:
    """Where streams are decoded: the cluster, and the model that its workers load."""

    cluster: Cluster
    model: ModelElsewhere

    def work(self, do: Callable) -> Work:
        """Work with that model."""
        return Work("calibrate", load_elsewhere, (self.model,), do)

    def tasks(
        self,
        places: Sequence[int],
        recordings: Sequence[Recording],
        arguments: Callable[[tuple[int, ...]], tuple],
    ) -> tuple[list[tuple[int, ...]], list[Task]]:
        """The recordings at `places` in batches: which places, and a task for each."""
        batches = list(_batches(places, recordings))
        tasks = []
        for batch in batches:
            label = f"{recordings[batch[0]].utterance.id}+{recordings[batch[0]].phase_s:g}"
            audio_s = sum(recordings[place].audio_s for place in batch)
            tasks.append(Task(label, len(batch), audio_s, partial(arguments, batch)))
        return batches, tasks

    def sent(self, recording: Recording) -> Recording:
        """A recording as a worker takes it."""
        (utterance,) = sent((recording.utterance,), with_audio=False)
        with_audio = self.cluster.send_audio
        samples = recording.samples if with_audio else np.zeros(0, np.float32)
        return replace(recording, utterance=utterance, samples=samples)


@dataclass(frozen=True)
class _Streamed:
    """What a worker brings: records that are new, and what its replay counted."""

    fresh: list[tuple[str, Decoded]]
    decoded: int
    replayed: int


def _batches(places: Sequence[int], recordings: Sequence[Recording]) -> Iterator[tuple[int, ...]]:
    batch: list[int] = []
    audio_s = 0.0
    for place in places:
        batch.append(place)
        audio_s += recordings[place].audio_s
        if audio_s >= _BATCH_S:
            yield tuple(batch)
            batch, audio_s = [], 0.0
    if batch:
        yield tuple(batch)


def replayed_elsewhere(
    elsewhere: Elsewhere,
    replay: Replay,
    config: DecoderConfig,
    recordings: Sequence[Recording],
    stream: Callable[[Recording], TimedStream],
    done: Callable[[], object] = lambda: None,
) -> list[TimedStream]:
    """`stream` of each of `recordings`, after the states that it lacks were decoded elsewhere.

    Args:
        elsewhere: see there.
        replay: of the streams; its store is added to.
        config: of the streams.
        recordings: in order.
        stream: replays one.
        done: called after each.

    Raises:
        InputError, ClusterError: see `Cluster.map`. What came before is in the store.
    """
    found: dict[int, TimedStream] = {}
    for place, recording in enumerate(recordings):
        counts = replay.decoded, replay.replayed
        replay.is_closed = True
        try:
            found[place] = stream(recording)
            done()
        except StateMissing:
            replay.decoded, replay.replayed = counts
        finally:
            replay.is_closed = False
    missing = [place for place in range(len(recordings)) if place not in found]
    settings = config.resolved(replay.model), replay.heads, replay.with_means

    def arguments(batch: tuple[int, ...]) -> tuple:
        chosen = [recordings[place] for place in batch]
        known = [replay.store.of(recording.key) for recording in chosen]
        return *settings, [elsewhere.sent(one) for one in chosen], known

    batches, tasks = elsewhere.tasks(missing, recordings, arguments)
    for number, streamed in elsewhere.cluster.map(elsewhere.work(_streamed), tasks):
        for place, one in zip(batches[number], streamed, strict=True):
            for state, record in one.fresh:
                replay.store.find(state, record.prefix)  # reads what others put there
                replay.store.put(state, record)
            counts = replay.decoded + one.decoded, replay.replayed + one.replayed
            found[place] = stream(recordings[place])
            replay.decoded, replay.replayed = counts
            done()
    return [found[place] for place in range(len(recordings))]


def live_elsewhere(
    elsewhere: Elsewhere, config: DecoderConfig, recordings: Sequence[Recording]
) -> list[TimedStream]:
    """Each of `recordings`, decoded as any stream is, on the cluster.

    Raises:
        InputError, ClusterError: see `Cluster.map`.
    """

    def arguments(batch: tuple[int, ...]) -> tuple:
        return config, [elsewhere.sent(recordings[place]) for place in batch]

    batches, tasks = elsewhere.tasks(range(len(recordings)), recordings, arguments)
    found: dict[int, TimedStream] = {}
    for number, streams in elsewhere.cluster.map(elsewhere.work(_live), tasks):
        found.update(zip(batches[number], streams, strict=True))
    return [found[place] for place in range(len(recordings))]


# In a worker


class _Collecting(DecodeStore):
    """A store in memory that notes what is put."""

    def __init__(self, known: Records) -> None:
        super().__init__()
        for state, records in known.items():
            for record in records:
                super().put(state, record)
        self.fresh: list[tuple[str, Decoded]] = []

    def put(self, state: str, record: Decoded) -> None:
        """See `DecodeStore`."""
        super().put(state, record)
        self.fresh.append((state, record))


def _streamed(
    model: AlignmentModel,
    config: DecoderConfig,
    heads: Sequence[tuple[int, int]],
    with_means: bool,
    recordings: Sequence[Recording],
    known: Sequence[Records],
) -> list[_Streamed]:
    found = []
    for recording, records in zip(recordings, known, strict=True):
        store = _Collecting(records)
        replay = Replay(model, heads, store, with_means=with_means)
        _stream(replay.recording(recording.key), config, recording)
        found.append(_Streamed(store.fresh, replay.decoded, replay.replayed))
    return found


def _live(
    model: AlignmentModel, config: DecoderConfig, recordings: Sequence[Recording]
) -> list[TimedStream]:
    return [_stream(model, config, recording) for recording in recordings]


def _stream(model: AlignmentModel, config: DecoderConfig, recording: Recording) -> TimedStream:
    language = config.language or recording.utterance.language
    return timed_stream(StreamDecoder(model, config, language=language), _samples(recording))


def _samples(recording: Recording) -> np.ndarray:
    if len(recording.samples):
        return recording.samples
    samples = recording.utterance.read()
    if hashlib.sha256(samples.tobytes()).hexdigest()[: len(recording.hash)] != recording.hash:
        raise WorkerRefused(f"{recording.utterance.audio_path} holds other samples there")
    return np.pad(samples, (round(recording.phase_s * SAMPLE_RATE), 0))
