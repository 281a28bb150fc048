"""Batches of a measurement on the processes of a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from ..cluster import Cluster, Task, Work
from ..corpora.sent import sent
from ..runtime.models.elsewhere import ModelElsewhere, load_elsewhere
from ..runtime.models.protocol import AlignmentModel
from .batches import Batch
from .measure import Elsewhere, Subject, Utterances, measure_batch


def measured_elsewhere(
    cluster: Cluster,
    model: AlignmentModel,
    given: str | Path | None,
    subject: Subject,
    language: str | None,
) -> Elsewhere:
    """What measures the batches of `measure` on `cluster`.

    Args:
        cluster: open.
        model: loaded here.
        given: what it was loaded by, and is loaded by there; None: its folder.
        subject, language: see `measure`.
    """
    wanted = ModelElsewhere.of(model, given)
    work = Work("discover-heads", load_elsewhere, (wanted,), _measured)

    def arguments(batch: Utterances) -> tuple[Subject, str | None, Utterances]:
        return subject, language, sent(batch, with_audio=cluster.send_audio)

    def measured(left: Sequence[tuple[int, Utterances]]) -> Iterator[tuple[int, Batch]]:
        tasks = [
            Task(batch[0].id, len(batch), _audio_s(batch), partial(arguments, batch))
            for _, batch in left
        ]
        for place, found in cluster.map(work, tasks):
            yield left[place][0], found

    return measured


def _measured(
    model: AlignmentModel, subject: Subject, language: str | None, utterances: Utterances
) -> Batch:
    return measure_batch(model, utterances, subject, language)


def _audio_s(batch: Utterances) -> float:
    """About: up to the last words, which need no look at the files."""
    return sum(one.words[-1].end_s for one in batch if one.words)
