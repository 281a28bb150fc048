"""A committed word, as a stream gives it out. Plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .trace import WordTrace


@dataclass(frozen=True)
class Word:
    """A committed word.

    Attributes:
        text: the word, without spaces around it.
        start_s, end_s: when it was spoken, in seconds from the start of the stream, from the
            frames its own tokens attended to.
        emitted_s: seconds of audio received when it was committed; more than was decoded if the
            chunk that brought the step was longer than the step needed.
        token_ids: its tokens.
        space_before: whether white space stands between it and the word before.
        space: that white space, character for character: a space, a no-break space, a newline, ….
            None: what `space_before` says.
        probability: the geometric mean of its tokens'; None: not known.
        border_distance_s: how far before the end of the audio the frame begins that its first
            token attended to, when it was committed: what the policy compares with the border.
            None: not known.
        attended_s: from where to where its tokens looked: start of the first one's frame, end of
            that of the last. None: not known.
        language: it was heard in, the model's own name of it. None: not known.
    """

    text: str
    start_s: float
    end_s: float
    emitted_s: float
    token_ids: tuple[int, ...]
    space_before: bool = True
    space: str | None = None
    probability: float | None = None
    border_distance_s: float | None = None
    attended_s: tuple[float, float] | None = None
    language: str | None = None

    @property
    def spaced_text(self) -> str:
        """The word with the white space before it."""
        space = " " if self.space_before else ""
        return (space if self.space is None else self.space) + self.text


def joined(words: Sequence[Word]) -> str:
    """The text of `words`, with the white space that the tokens have; none before the first."""
    return "".join([*(w.text for w in words[:1]), *(w.spaced_text for w in words[1:])])


def word_trace(word: Word) -> WordTrace:
    """The word as a trace has it."""
    return WordTrace(
        word.text, word.start_s, word.end_s, word.probability, word.border_distance_s, word.language
    )
