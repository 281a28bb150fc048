"""What a decoding step says of each position: the next token, and where wanted heads look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .backend import mx
from .continuation import Continuation
from .cpu.activations import largest_probability
from .protocol import Aggregate, Hypothesis


@dataclass(frozen=True)
class Row:
    """What one position says: the token after it, its probability, and where the heads looked."""

    token: int
    probability: float
    frames: np.ndarray  # [heads]
    weights: np.ndarray | None  # [heads, audio frames]


class Capture:
    """Which heads are looked at, over which positions of the cache: those of the audio.

    Attributes:
        with_weights: whether the heads' weights are kept, not only their frames.
        kind: the same of captures that look at the same heads.
        audio: the positions.
    """

    def __init__(self, heads: Sequence[tuple[int, int]], aggregate: Aggregate) -> None:
        """Look at `heads`, (layer, head) pairs; with the aggregate "mean", at their weights."""
        self.with_weights = aggregate == "mean"
        self.kind = tuple(heads), self.with_weights
        self.audio = slice(0)
        self._heads_of_layer: dict[int, list[int]] = {}
        for layer, head in heads:
            self._heads_of_layer.setdefault(layer, []).append(head)
        in_layers = [
            (layer, head)
            for layer in sorted(self._heads_of_layer)
            for head in self._heads_of_layer[layer]
        ]
        # Capture goes layer by layer; its columns are put into the caller's order.
        self.columns = np.array([in_layers.index(pair) for pair in heads], int)

    @property
    def num_heads(self) -> int:
        """How many heads are looked at."""
        return len(self.columns)

    def wanted(self, layer: int) -> list[int]:
        """The heads of a layer that are looked at."""
        return self._heads_of_layer.get(layer, [])

    def observe(
        self, layer: int, queries: mx.array, keys: mx.array, rows: int
    ) -> tuple[mx.array, mx.array | None] | None:
        """Where the wanted heads of a layer look at the last `rows` positions.

        Returns:
            [rows, heads] the frame of the most attention; and, with weights, [heads, rows, frames].
            None where no head of this layer is wanted.
        """
        wanted = self.wanted(layer)
        if not wanted:
            return None
        kv_heads, dim = keys.shape[1], keys.shape[3]
        grouped = queries[0, :, -rows:].reshape(kv_heads, -1, rows, dim)
        scores = grouped @ keys[0, :, None, self.audio].swapaxes(-1, -2)
        scores = scores.reshape(-1, rows, scores.shape[-1])[mx.array(wanted)]
        frames = mx.argmax(scores, axis=-1).T
        if not self.with_weights:
            return frames, None
        return frames, mx.softmax(scores.astype(mx.float32) * dim**-0.5, axis=-1)


@dataclass(frozen=True)
class Step:
    """What a step computes, perhaps not evaluated yet.

    Attributes:
        said: [positions, 1 + heads] int32, the next token and each head's attended frame.
        logits: [positions, vocabulary]; None where no probability is wanted.
        weights: [heads, positions, audio frames], if they are captured.
    """

    said: mx.array
    logits: mx.array | None
    weights: mx.array | None

    @property
    def arrays(self) -> list[mx.array]:
        """All of it, to be evaluated."""
        return [array for array in (self.said, self.logits, self.weights) if array is not None]

    @property
    def tokens(self) -> mx.array:
        """[positions], the next tokens."""
        return self.said[:, 0]

    def rows(self, columns: np.ndarray) -> list[Row]:
        """What it says, evaluated; `columns` are those of its `Capture`."""
        values = np.array(self.said)
        frames = values[:, 1:][:, columns]
        assert self.logits is not None
        likely = largest_probability(self.logits)
        seen = [None] * len(values)
        if self.weights is not None:
            seen = list(np.array(self.weights)[columns].swapaxes(0, 1))
        return [
            Row(int(row[0]), float(probability), at, weights)
            for row, probability, at, weights in zip(values, likely, frames, seen, strict=True)
        ]


@dataclass
class Look:
    """Where the heads of a `capture` look, at the `last` positions: layer by layer, unevaluated."""

    capture: Capture | None
    last: int
    attended: list[mx.array] = field(default_factory=list)
    weights: list[mx.array] = field(default_factory=list)

    def observe(self, layer: int, queries: mx.array, keys: mx.array) -> None:
        """See the `Observer` of the family."""
        assert self.capture is not None
        seen = self.capture.observe(layer, queries, keys, self.last)
        if seen is not None:
            self.attended.append(seen[0])
            self.weights.extend([] if seen[1] is None else [seen[1]])


def said_by(logits: mx.array, look: Look) -> Step:
    """What positions say by their logits [positions, vocabulary], and where they were seen to
    look."""
    tokens = mx.argmax(logits, axis=-1)
    said = mx.concatenate([tokens[:, None], *look.attended], axis=1).astype(mx.int32)
    return Step(
        said,
        logits if look.capture is not None else None,
        mx.concatenate(look.weights) if look.weights else None,
    )


def group_frames(head_frames: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """[rows], the frame that a group of heads attends to: see `protocol.Aggregate`.

    Args:
        head_frames: [rows, heads], of which the median is taken, unless there are
        weights: [rows, heads, audio frames], whose mean decides.
    """
    if not head_frames.size:  # no rows, or no heads were asked for
        return np.zeros(len(head_frames))
    if weights is None:
        return np.median(head_frames, axis=1)
    return weights.mean(axis=1).argmax(axis=-1).astype(float)


def as_hypothesis(
    capture: Capture,
    text: Continuation,
    rows: Sequence[Row],
    audio_frames: int,
    language: str | None,
    head: int = 0,
) -> Hypothesis:
    """A text and the rows that its tokens were read from.

    Args:
        capture: what the rows were made with.
        text: it took the rows' tokens.
        rows: one for each token, and one more if the text refused it.
        audio_frames: in the buffer.
        language: given or found.
        head: so many tokens at its start are no text.
    """
    ids = text.token_ids
    kept = rows[head : len(ids) + text.ended]
    head_frames = np.array([row.frames for row in kept], int).reshape(len(kept), capture.num_heads)
    weights = None
    if capture.with_weights:
        seen = np.array([row.weights for row in kept], np.float32)
        weights = seen.reshape(len(kept), capture.num_heads, audio_frames)
    return Hypothesis(
        token_ids=tuple(ids[head:]),
        language=language,
        frames=group_frames(head_frames, weights),
        head_frames=head_frames,
        probabilities=np.array([row.probability for row in kept]),
        audio_frames=audio_frames,
        ended=text.ended,
        weights=weights,
        decoded=len(rows) - head,
    )


def agreed_rows(rows: Sequence[Row], draft: Sequence[int]) -> list[Row]:
    """Of the rows for the token after a prompt and for each of a draft read with it: those up to
    the first in which the model says something else."""
    agreed = 0
    while agreed < len(draft) and rows[agreed].token == draft[agreed]:
        agreed += 1
    return list(rows[: agreed + 1])
