"""Decoding each state once, and from then on answering from memory.

What a model says next depends on the audio received and the tokens committed, and on neither
border, rewind nor head count: they only decide where to cut. So every state is decoded once, with
the attended frame of *every* ranked head, and the runtime's own stream and policy cut what the
store gives. What is replayed is what would have been decoded live, with one reservation: text
that is committed is read at once and not token by token, which differs in the last bits of a
float, so where two tokens or two frames all but tie, the other may win. With `reuse` an answer
depends on the stream's past as well: the states say where its audio was read, and an answer is
that of the first stream which asked for it, whenever that had committed its text.

Knows the seam (`AlignmentModel`, `HypothesisSource`) and the store; not the policy.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...runtime.models.protocol import (
    Aggregate,
    AlignmentModel,
    Hypothesis,
    HypothesisSource,
    Meter,
)
from ...runtime.models.work import Work
from .store import Decoded, DecodeStore

_FEW_TOKENS = 8  # decoding so many again costs less than another state


class StateMissing(Exception):
    """A state that is not in the store, of a replay that decodes nothing."""


class Replay:
    """A model with ranked heads, and what it once said.

    `recording` gives the model for one recording. One stream at a time; not for several threads.

    Attributes:
        decoded: answers that were decoded.
        replayed: answers that came from the store.
        owed_s: seconds that decoding the replayed answers took, when they were decoded.
        is_closed: nothing is decoded: a state that is not in the store raises `StateMissing`.
    """

    def __init__(
        self,
        model: AlignmentModel,
        heads: Sequence[tuple[int, int]],
        store: DecodeStore,
        *,
        with_means: bool = False,
    ) -> None:
        """Answer from `store` for `model`.

        Args:
            model: decodes what is not in the store.
            heads: all that a stream may use, best first.
            store: see there.
            with_means: keep what the aggregate "mean" needs, too.
        """
        self.model = model
        self.heads = list(heads)
        self.store = store
        self.with_means = with_means
        self.is_closed = False
        self._lives: dict[float | None, Live] = {}
        self.decoded = self.replayed = 0
        self.owed_s = 0.0

    def live(self, refresh_s: float | None = None) -> Live:
        """What decodes, exactly or with `reuse`."""
        if refresh_s not in self._lives:
            aggregate: Aggregate = "mean" if self.with_means else "median"
            source = self.model.open_source(self.heads, aggregate, **_options(refresh_s))
            self._lives[refresh_s] = Live(source)
        return self._lives[refresh_s]

    def recording(self, key: str) -> AlignmentModel:
        """The model, for streams of the recording that `key` tells from all others."""
        return _ReplayedModel(self, key)  # type: ignore[return-value]


@dataclass
class Live:
    """A source that decodes, and the stream that it is at."""

    source: HypothesisSource
    stream: object = None


def _options(refresh_s: float | None) -> dict[str, Any]:
    return {} if refresh_s is None else {"refresh_s": refresh_s}


class _ReplayedModel:
    """The model of a `Replay`, but that its sources answer from the store."""

    def __init__(self, replay: Replay, key: str) -> None:
        self._replay, self._key = replay, key

    def __getattr__(self, name: str):
        return getattr(self._replay.model, name)

    def open_source(
        self,
        heads: Sequence[tuple[int, int]],
        aggregate: Aggregate = "median",
        *,
        refresh_s: float | None = None,
    ) -> HypothesisSource:
        """See `AlignmentModel`; `heads` are some of the ranked ones, for "mean" the first."""
        known = self._replay.heads
        if unknown := set(heads) - set(known):
            raise ValueError(f"{sorted(unknown)} are not among the ranked heads")
        columns = [known.index(head) for head in heads]
        if aggregate == "mean" and columns != list(range(len(columns))):
            raise ValueError(f"{list(heads)} are not the first of the ranked heads")
        return ReplaySource(self._replay, self._key, columns, aggregate, refresh_s)


class ReplaySource:
    """Answers a stream from a store, and asks the live model for what is not in it."""

    def __init__(
        self,
        replay: Replay,
        recording: str,
        columns: Sequence[int],
        aggregate: Aggregate,
        refresh_s: float | None = None,
    ) -> None:
        """A source for one stream.

        Args:
            replay: what it is of.
            recording: identifies the samples.
            columns: which of the replay's heads the stream uses.
            aggregate: how they give one frame.
            refresh_s: see `DecoderConfig`; None: all is exact.
        """
        self._replay = replay
        self._live, self._refresh_s = replay.live(refresh_s), refresh_s
        self.cut_samples: int = getattr(self._live.source, "cut_samples", 0)
        self._recording = recording
        self._columns = list(columns)
        self._needs_mean = aggregate == "mean"
        heads = [replay.heads[column] for column in columns]
        can_count = hasattr(replay.model, "open_meter")
        self._meter: Meter | None = None
        if can_count:
            self._meter = replay.model.open_meter(heads, **_options(refresh_s))
        self.reset()

    @property
    def work(self) -> Work | None:
        """What a live source would have computed; None where the model does not count."""
        return None if self._meter is None else self._meter.work

    def reset(self) -> None:
        """See `HypothesisSource`; the live source follows when it is needed."""
        if self._meter is not None:
            self._meter.reset()
        self._dropped = 0
        self._anew = 0  # samples dropped before the buffer was last read anew
        self._heard = self._before = 0  # samples of the stream, at the last step and before it
        self._stream = object()

    def drop(self, samples: int, *, goes_on: bool = False) -> None:
        """See `HypothesisSource`."""
        self._dropped += samples
        told: list[Any] = [] if self._meter is None else [self._meter]
        if self._live.stream is self._stream:
            told.append(self._live.source)
        if goes_on:
            for one in told:
                one.drop(samples, goes_on=True)
            return
        self._anew = self._dropped
        for one in told:
            one.drop(samples)

    def hypothesis(
        self,
        samples: np.ndarray,
        lead: int,
        committed_ids: Sequence[int],
        language: str | None,
        context: str = "",
    ) -> Hypothesis:
        """See `HypothesisSource`."""
        replay = self._replay
        state = json.dumps(
            [
                *(self._recording, self._dropped, len(samples), lead, language, context),
                *self._history(len(samples) - lead),
            ]
        )
        committed = tuple(committed_ids)
        found = replay.store.find(state, committed, needs_mean=self._needs_mean)
        if found is None:
            found = self._decoded(state, samples, lead, committed, language, context)
        else:
            replay.replayed += 1
            replay.owed_s += found[0].seconds
        answer = self._answer(*found)
        if self._meter is not None:
            self._meter.note(samples, lead, committed, language, context, answer)
        return answer

    def _history(self, samples: int) -> list[float]:
        """What else an answer depends on where it is reused: where the audio was read, and how
        often. What was committed when is left out, or hardly one would be found."""
        if self._refresh_s is None:
            return []
        heard = self._dropped + samples
        if heard != self._heard:
            self._heard, self._before = heard, self._heard
        return [self._refresh_s, self._anew, self._before]

    def _decoded(
        self,
        state: str,
        samples: np.ndarray,
        lead: int,
        committed: tuple[int, ...],
        language: str | None,
        context: str,
    ) -> tuple[Decoded, int]:
        """Decode, from the first half of what is committed on: a wider border commits less.

        So one decode answers for the trials that wait longer, too; a few tokens are decoded from
        the start. Where it is known, or turns out, that the model would not say again what is
        committed, it is decoded from there.
        """
        if self._replay.is_closed:
            raise StateMissing(state)
        store = self._replay.store
        first = len(committed) // 2 if len(committed) > _FEW_TOKENS else 0
        for kept in dict.fromkeys((first, len(committed))):
            if store.find(state, committed[:kept], needs_mean=self._needs_mean):
                continue
            self._replay.decoded += 1
            record = self._decode(samples, lead, committed[:kept], language, context)
            store.put(state, record)
            if (done := record.tail(committed)) is not None:
                return record, done
        raise AssertionError("a decode from all that is committed answers for it")

    def _decode(
        self,
        samples: np.ndarray,
        lead: int,
        committed: tuple[int, ...],
        language: str | None,
        context: str,
    ) -> Decoded:
        live = self._live
        if live.stream is not self._stream:
            live.source.reset()
            live.stream = self._stream
        begin = time.perf_counter()
        said = live.source.hypothesis(samples, lead, committed, language, context)
        seconds = time.perf_counter() - begin
        mean = None if said.weights is None else _mean_frames(said.weights).astype(np.uint16)
        return Decoded(
            prefix=committed,
            ids=said.token_ids,
            language=said.language,
            frames=np.asarray(said.head_frames).astype(np.uint16),
            mean_frames=mean,
            probabilities=said.probabilities.astype(np.float32),
            audio_frames=said.audio_frames,
            ended=said.ended,
            no_speech=said.no_speech,
            seconds=seconds,
            rows=said.decoded,
        )

    def _answer(self, record: Decoded, done: int) -> Hypothesis:
        head_frames = record.frames[done:, self._columns].astype(int)
        if self._needs_mean and record.mean_frames is not None:
            frames = record.mean_frames[done:, len(self._columns) - 1].astype(float)
        else:
            frames = np.median(head_frames, axis=1) if len(head_frames) else np.zeros(0)
        return Hypothesis(
            token_ids=record.ids[done:],
            language=record.language,
            frames=frames,
            head_frames=head_frames,
            probabilities=record.probabilities[done:],
            audio_frames=record.audio_frames,
            ended=record.ended,
            no_speech=0.0 if done else record.no_speech,
            decoded=None if record.rows is None else record.rows - done,
        )


def _mean_frames(weights: np.ndarray) -> np.ndarray:
    """[rows, heads]: in column k the frame of the greatest mean of the first k + 1 heads.

    Args:
        weights: [rows, heads, audio frames].
    """
    means = [weights[:, : count + 1].mean(axis=1) for count in range(weights.shape[1])]
    return np.stack([mean.argmax(axis=-1) for mean in means], axis=1)
