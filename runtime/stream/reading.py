"""How far a model has read its buffer: the frames that the next decision starts from."""

from __future__ import annotations

from ..policy.policy import Decision
from .places import Places


class Reading:
    """Of one stream. Frames count from the buffer's start, and may lie before it.

    Attributes:
        last_frame: that of the last committed word.
        spent_frame: up to where audio is spent on words.
        waited_frame: up to where a sure word was spoken that waits first.
        is_lost: the model has lost its place.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Another buffer begins."""
        self.last_frame: float | None = None
        self.forget_spent()
        self.is_lost = False

    def forget_spent(self) -> None:
        """What was spent has gone."""
        self.spent_frame: float | None = None
        self.waited_frame: float | None = None

    def go_on(self, decision: Decision, tokens: int, leaving: int | None) -> None:
        """So many `tokens` were committed.

        Args:
            decision: on the hypothesis.
            tokens: from the first on.
            leaving: the first token of the last word, if that went only because its audio does,
                whatever was decided; or None.
        """
        if leaving is not None:
            self.last_frame = self.spent_frame = decision.frames[leaving]
        else:
            self.spent_frame = decision.spent_after(tokens, self.spent_frame)
            self.last_frame = decision.reference_after(tokens, self.last_frame)

    def shift(self, places: Places, gone: int) -> None:
        """So many samples of the buffer's front have gone."""
        self.last_frame = places.shifted(self.last_frame, gone)
        self.spent_frame = places.shifted(self.spent_frame, gone)
        self.waited_frame = places.shifted(self.waited_frame, gone)
