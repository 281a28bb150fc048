"""The trace of a hypothesis's tokens: what was decided on each."""

from __future__ import annotations

from collections.abc import Sequence

from ..models.protocol import Hypothesis
from ..policy.policy import Decision
from .places import Places
from .trace import TokenTrace


def token_traces(
    hypothesis: Hypothesis,
    parts: Sequence[bytes],
    decision: Decision,
    committed: int,
    places: Places,
) -> tuple[TokenTrace, ...]:
    """Of all tokens.

    Args:
        hypothesis: theirs.
        parts: the bytes of each.
        decision: on them.
        committed: so many, from the first on, were committed.
        places: of the buffer's frames.
    """

    def trace(index: int) -> TokenTrace:
        is_committed = index < committed
        waits = "word" if index < decision.keep else decision.reason
        return TokenTrace(
            id=hypothesis.token_ids[index],
            text=parts[index].decode("utf-8", errors="replace"),
            frames=tuple(int(frame) for frame in hypothesis.head_frames[index]),
            frame=decision.frames[index],
            attended_s=places.middle_s(decision.frames[index]),
            probability=float(hypothesis.probabilities[index]),
            decision="commit" if is_committed else "wait",
            reason="" if is_committed else waits,
        )

    return tuple(map(trace, range(len(hypothesis.token_ids))))
