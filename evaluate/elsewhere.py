"""Decoders run on the processes of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from ..cluster import Cluster, Task, Work
from ..corpora.sent import sent
from ..runtime.models import machine
from ..runtime.models.elsewhere import ModelElsewhere, load_elsewhere
from ..runtime.models.protocol import AlignmentModel
from .items import Item
from .measure import Decoder, observe, warm_up
from .result import Memory, Observation
from .trace_types import Trace

_BATCH_S = 30.0  # of audio, at least: seconds of work, beside which sending is nothing

Observed = tuple[Observation, Trace | None]


@dataclass
class _Prepared:
    """In a worker: the model, and the decoders that have been warmed up."""

    model: AlignmentModel
    warm: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Found:
    """What a worker found, and what it was found on."""

    observed: list[Observed]
    memory: Memory
    device: str


def run_elsewhere(
    cluster: Cluster,
    wanted: ModelElsewhere,
    decoder: Decoder,
    items: Sequence[Item],
    language: str | None,
    *,
    known: Mapping[str, Observation],
    traced: frozenset[str],
    on_observation: Callable[[Observation, Trace | None], None],
    on_worker: Callable[[Memory, str], object],
) -> None:
    """What `run_decoder` does, on `cluster`: results come in any order.

    Args:
        cluster: open.
        wanted: the model that its workers load.
        decoder, items, language, known, traced, on_observation: see `run_decoder`; the heads of
            the decoder's configuration are in it.
        on_worker: called with the peaks and the device of a worker, with each batch.

    Raises:
        InputError, ClusterError: see `Cluster.map`. What came before was handed over.
    """
    work = Work("benchmark-decoder", _prepared, (wanted,), _observed)

    def arguments(batch: Sequence[Item]) -> tuple[Decoder, tuple[Item, ...], str | None, frozenset]:
        here = tuple(
            replace(one, utterances=sent(one.utterances, with_audio=cluster.send_audio))
            for one in batch
        )
        return decoder, here, language, traced & {one.id for one in batch}

    tasks = [
        Task(batch[0].id, len(batch), audio_s, partial(arguments, batch))
        for batch, audio_s in _batches([item for item in items if item.id not in known])
    ]
    for _, found in cluster.map(work, tasks):
        on_worker(found.memory, found.device)
        for observation, trace in found.observed:
            on_observation(observation, trace)


def _batches(items: Sequence[Item]) -> Iterator[tuple[tuple[Item, ...], float]]:
    batch: list[Item] = []
    audio_s = 0.0
    for item in items:
        batch.append(item)
        audio_s += item.duration_s()
        if audio_s >= _BATCH_S:
            yield tuple(batch), audio_s
            batch, audio_s = [], 0.0
    if batch:
        yield tuple(batch), audio_s


def _prepared(wanted: ModelElsewhere) -> _Prepared:
    return _Prepared(load_elsewhere(wanted))


def _observed(
    prepared: _Prepared,
    decoder: Decoder,
    items: Sequence[Item],
    language: str | None,
    traced: frozenset[str],
) -> _Found:
    model = prepared.model
    if decoder.name not in prepared.warm:
        machine.reset_peak_array_bytes()
        warm_up(model, decoder, items[0], language)
        prepared.warm.add(decoder.name)
    observed = [observe(model, decoder, item, language, item.id in traced) for item in items]
    peaks = Memory(
        process_bytes=machine.peak_process_bytes(), array_bytes=machine.peak_array_bytes()
    )
    return _Found(observed, peaks, machine.device_name())
