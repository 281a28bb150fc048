"""Word times made by the processes of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from ..cluster import Cluster, Task, Work, WorkerRefused
from .aligners import Aligner, AlignmentFailed
from .alignment import Elsewhere, Entry, ask_all
from .audio import part_duration_s
from .sent import sent
from .utterance import Utterance

_BATCH_S = 120.0  # of audio: seconds of work, beside which sending is nothing


def aligned_elsewhere(
    cluster: Cluster, aligner: Aligner, make: Callable[[str], Aligner]
) -> Elsewhere:
    """What asks aligners on `cluster`.

    Args:
        cluster: open.
        aligner: as it is here.
        make: makes one by its name, there.
    """

    def arguments(batch: Sequence[Utterance]) -> tuple[tuple[Utterance, ...]]:
        return (sent(batch, with_audio=cluster.send_audio),)

    def asked(utterances: Sequence[Utterance]) -> Iterator[tuple[int, Entry | AlignmentFailed]]:
        if not utterances:
            return  # and no weights are needed
        given = (make, aligner.name, aligner.version, _fingerprint(aligner))
        work = Work("align-corpus", _made, given, ask_all)
        starts, tasks = [], []
        for start, batch, audio_s in _batches(utterances):
            starts.append(start)
            tasks.append(Task(batch[0].id, len(batch), audio_s, partial(arguments, batch)))
        for number, answers in cluster.map(work, tasks):
            yield from enumerate(answers, starts[number])

    return asked


def _batches(
    utterances: Sequence[Utterance],
) -> Iterator[tuple[int, tuple[Utterance, ...], float]]:
    """Neighbours, with the place of the first and their seconds."""
    start, audio_s = 0, 0.0
    for place, one in enumerate(utterances):
        audio_s += part_duration_s(one.audio_path, one.offset_s, one.duration_s)
        if audio_s >= _BATCH_S or place == len(utterances) - 1:
            yield start, tuple(utterances[start : place + 1]), audio_s
            start, audio_s = place + 1, 0.0


def _fingerprint(aligner: Aligner) -> str | None:
    # Only aligners with a checkpoint, which their version does not tell, have this method.
    return getattr(aligner, "fingerprint", lambda: None)()


def _made(
    make: Callable[[str], Aligner], name: str, version: str, fingerprint: str | None
) -> Aligner:
    """The aligner `name`, in a worker.

    Raises:
        WorkerRefused: it is of another version there, or has other weights.
        InputError: it cannot be used there.
    """
    aligner = make(name)
    if aligner.version != version:
        raise WorkerRefused(f"{name} there is {aligner.version}, here it is {version}")
    found = _fingerprint(aligner)
    if found != fingerprint:
        raise WorkerRefused(
            f"the checkpoint of {name} there is {found}, here it is {fingerprint}; give both the "
            "same files"
        )
    return aligner
