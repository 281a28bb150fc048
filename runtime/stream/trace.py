"""What a decoding step saw and decided, for the people who tune it. Plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class TokenTrace:
    """One token of a hypothesis.

    Attributes:
        id, text: the token.
        frames: the frame that each chosen head attended to, best head first.
        frame: their aggregate, which the policy judged.
        attended_s: the middle of that frame, in seconds from the start of the stream.
        probability: the model's, of this token.
        decision: "commit" or "wait".
        reason: why it waits: the policy's (see `policy.Decision`), "word" if only its word is
            not whole, "" for a token committed.
    """

    id: int
    text: str
    frames: tuple[int, ...]
    frame: float
    attended_s: float
    probability: float
    decision: str
    reason: str


@dataclass(frozen=True)
class WordTrace:
    """A word that a step committed; see `word.Word`."""

    text: str
    start_s: float
    end_s: float
    probability: float | None
    border_distance_s: float | None
    language: str | None = None


@dataclass(frozen=True)
class StepTrace:
    """One decoding step.

    Attributes:
        step: counted from 0 in a stream.
        audio_s: audio decoded, from the start of the stream.
        buffer_start_s: where the buffer starts in the stream; frames count from there.
        audio_frames: frames in the buffer.
        border_s: width of the border in this step.
        language: None: not known.
        reason: why no more was committed, or "no language" where no speech was found.
        ended: the model wrote its end token.
        committed_tokens: of the prompt, committed by steps before.
        tokens: the new ones.
        words: those that the step committed.
        gflop: what it computed, in 10^9 operations (see `models.work`); None: not counted.
        forward_passes: how often the text decoder ran for it, likewise.
        reuse: whether the stream keeps what is nearly what it would be, see `DecoderConfig`.
    """

    step: int
    audio_s: float
    buffer_start_s: float
    audio_frames: int
    border_s: float
    language: str | None
    reason: str
    ended: bool
    committed_tokens: int
    tokens: tuple[TokenTrace, ...]
    words: tuple[WordTrace, ...] = ()
    gflop: float | None = None
    forward_passes: int | None = None
    reuse: bool = False

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)
