"""Decoding each state once, and from then on answering from memory.

What a model says next depends on the audio received and the tokens committed, and on neither
border, rewind nor head count: they only decide where to cut. So every state is decoded once, with
the attended frame of *every* ranked head, and the runtime's own stream and policy cut what the
store gives. What is replayed is what would have been decoded live, with one reservation: text
that is committed is read at once and not token by token, which differs in the last bits of a
float, so where two tokens or two frames all but tie, the other may win.

Knows the seam `HypothesisSource` and the store; not the policy.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import numpy as np

from ...runtime.models.protocol import Hypothesis, HypothesisSource
from .store import Decoded, DecodeStore


class ReplaySource:
    """Answers a stream from a store, and asks `live` for what is not in it.

    Before each stream: `play`. Not for several threads.

    Attributes:
        decoded: answers that were decoded.
        replayed: answers that came from the store.
        owed_s: seconds that decoding the replayed answers took, when they were decoded.
    """

    def __init__(self, live: HypothesisSource, store: DecodeStore) -> None:
        """Answer from `store` for `live`, which gives the frames of all ranked heads."""
        self._live = live
        self._store = store
        self.decoded = self.replayed = 0
        self.owed_s = 0.0
        self.play("", 1)

    def play(self, audio: str, head_count: int, aggregate: str = "median") -> None:
        """A stream of the recording with the hash `audio` comes next.

        Args:
            audio: identifies the samples.
            head_count: how many heads, best first, the stream's configuration uses.
            aggregate: as in the configuration.
        """
        self._audio = audio
        self._head_count = head_count
        self._needs_mean = aggregate == "mean"
        self.reset()

    def reset(self) -> None:
        """A new stream starts; the live decoder follows when it is needed."""
        self._dropped = 0
        self._live_is_here = False

    def drop(self, samples: int) -> None:
        """See `HypothesisSource`."""
        self._dropped += samples
        if self._live_is_here:
            self._live.drop(samples)

    def hypothesis(
        self,
        samples: np.ndarray,
        lead: int,
        committed_ids: Sequence[int],
        language: str | None,
        context: str = "",
    ) -> Hypothesis:
        """See `HypothesisSource`."""
        state = json.dumps([self._audio, self._dropped, len(samples), lead, language, context])
        committed = tuple(committed_ids)
        found = self._store.find(state, committed, needs_mean=self._needs_mean)
        if found is None:
            return self._answer(*self._decoded(state, samples, lead, committed, language, context))
        self.replayed += 1
        self.owed_s += found[0].seconds
        return self._answer(*found)

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

        So one decode answers for the trials that wait longer, too. Where the model would not
        say again what is committed, it is decoded from there.
        """
        for kept in dict.fromkeys((len(committed) // 2, len(committed))):
            if self._store.has(state, committed[:kept], needs_mean=self._needs_mean):
                continue
            self.decoded += 1
            record = self._decode(samples, lead, committed[:kept], language, context)
            self._store.put(state, record)
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
        if not self._live_is_here:
            self._live.reset()
            self._live_is_here = True
        begin = time.perf_counter()
        said = self._live.hypothesis(samples, lead, committed, language, context)
        seconds = time.perf_counter() - begin
        mean = None if said.weights is None else _mean_frames(said.weights).astype(np.uint16)
        frames = np.asarray(said.frames).astype(np.uint16)
        return Decoded(
            committed, said.token_ids, frames, mean, said.audio_frames, said.ended, seconds
        )

    def _answer(self, record: Decoded, done: int) -> Hypothesis:
        weights = None
        if self._needs_mean and record.mean_frames is not None:
            # A stream takes the frame of the greatest mean weight: this is where it is.
            at = record.mean_frames[done:, self._head_count - 1]
            weights = np.zeros((len(at), 1, record.audio_frames), np.float32)
            weights[np.arange(len(at)), 0, at] = 1
        frames = record.frames[done:, : self._head_count]
        return Hypothesis(record.ids[done:], frames, record.audio_frames, record.ended, weights)


def _mean_frames(weights: np.ndarray) -> np.ndarray:
    """[rows, heads]: in column k the frame of the greatest mean of the first k + 1 heads.

    Args:
        weights: [rows, heads, audio frames].
    """
    means = [weights[:, : count + 1].mean(axis=1) for count in range(weights.shape[1])]
    return np.stack([mean.argmax(axis=-1) for mean in means], axis=1)
