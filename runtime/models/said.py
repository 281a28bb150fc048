"""What was said of a buffer, for whoever asks of it again: no step reads twice what it has read.

And what is expected to be said of the buffer that it has grown into.

Greedy decoding is causal: what follows more of the committed text is the rest of what followed
less of it, as long as the two agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .protocol import Hypothesis


@dataclass(frozen=True)
class _Answer:
    committed: tuple[int, ...]
    language: str | None
    context: str
    said: Hypothesis


class Said:
    """Answers about one buffer, as it is now. Of one stream."""

    def __init__(self, keeps: bool = True) -> None:
        """`keeps` false: nothing is remembered."""
        self._keeps = keeps
        self.forget()

    def forget(self) -> None:
        """The buffer is another one."""
        self._answers: list[_Answer] = []
        self._size: tuple[int, int] | None = None

    def answer(
        self,
        size: tuple[int, int],
        committed: Sequence[int],
        language: str | None,
        context: str,
    ) -> Hypothesis | None:
        """What was said, for the arguments of `HypothesisSource.hypothesis`; None: not known.

        `size`: samples of the buffer, and of its lead; it only grows until it is forgotten.
        """
        if size != self._size:
            return None
        for one in self._answers:
            if (one.language, one.context) != (language, context):
                continue
            if (done := _done(one, tuple(committed))) is not None:
                return _rest(one.said, done)
        return None

    def keep(
        self,
        size: tuple[int, int],
        committed: Sequence[int],
        language: str | None,
        context: str,
        said: Hypothesis,
    ) -> None:
        """Remember what was said."""
        if not self._keeps:
            return
        if size != self._size:
            self._answers, self._size = [], size
        self._answers.append(_Answer(tuple(committed), language, context, said))


def _done(one: _Answer, committed: tuple[int, ...]) -> int | None:
    """How many tokens of an answer are committed by now; None: it is no answer.

    One that was cut says what comes next only where it was cut from the same place.
    """
    done = len(committed) - len(one.committed)
    if done and not one.said.ended:
        return None
    if not 0 <= done <= len(one.said.token_ids):
        return None
    return done if committed == one.committed + one.said.token_ids[:done] else None


def _rest(said: Hypothesis, done: int) -> Hypothesis:
    """A hypothesis without its first `done` tokens, which are committed."""
    if not done:
        return said
    rows = slice(done, None)
    return replace(
        said,
        token_ids=said.token_ids[done:],
        frames=said.frames[rows],
        head_frames=said.head_frames[rows],
        probabilities=said.probabilities[rows],
        no_speech=0.0,
        decoded=None if said.decoded is None else said.decoded - done,
        weights=None if said.weights is None else said.weights[rows],
    )


_MAX_DRAFT_TOKENS = 24


def draft_after(last: Sequence[int], committed: Sequence[int], *, is_cut: bool) -> list[int]:
    """What a model is expected to say after `committed`, as it said in the last step.

    Args:
        last: the text of that step, from the first committed token of its buffer on.
        committed: the tokens that are committed now, of those in the buffer.
        is_cut: of what was committed then the front may have gone.
    """
    last, committed = list(last), list(committed)
    start = 0
    if last[: len(committed)] != committed or (is_cut and not committed):
        # The last of it may be said twice; what is expected in vain costs a little.
        starts = range(len(last) - len(committed), 0, -1) if committed else ()
        found = (at for at in starts if last[at : at + len(committed)] == committed)
        start = next(found, len(last))
    after = start + len(committed)
    return last[after : after + _MAX_DRAFT_TOKENS]
