"""How much of a hypothesis may be committed, from where its tokens looked in the audio.

AlignAtt (Papi et al. 2023, "AlignAtt: Using Attention-based Audio-Translation Alignments as a
Guide for Simultaneous Speech Translation"): a token whose attended frame lies within the last
frames received may still change, so it waits, with all that follows it. Numpy only; knows
frames and words, nothing of models or of audio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...errors import InputError
from .spent import JITTER_S, LEAST_AGAIN_S
from .words import TokenWord

Reason = Literal[
    "border", "unsure", "rewind", "sink", "lost", "end", "final", "too short", "no speech"
]  # fmt: skip

_NOT_NEGATIVE = (
    "min_audio_s", "sink_s", "opening_s", "doubt_s", "pause_s", "unsure_s", "unseen_nats",
)  # fmt: skip
_MOST_NATS = 3.0  # of surprise: what is less probable than 5 % is not held any longer
_LEAST_LOG_PROBABILITY = -1.0  # of a text where there may be no speech: Whisper's own threshold
_LEAST_FRAMES = 2.0  # of a border or a rewind given as a fraction, as the published decoder has it


@dataclass(frozen=True, kw_only=True)
class Policy:
    """When a token may be committed.

    Attributes:
        border_fraction: the border, as a fraction of the frames in the buffer (at least 2
            frames); or
        border_s: the border in seconds. Exactly one of the two is given. A fraction grows with
            the buffer, and with it the delay.
        rewind_fraction: the largest jump back that is no rewind, as a fraction of the frames in
            the buffer (at least 2 frames); None: no such rule.
        min_audio_s: nothing is committed before this much audio is in the buffer.
        sink_s: heads that have nothing to attend to often attend to the start of the buffer
            (an attention sink). Frames in this much audio at its start do not tell where a token
            is spoken, with one exception:
        opening_s: while the buffer holds no more audio than this, the first words of a stream may
            be spoken in the sink. They count as if they were spoken at its end.
        doubt_s: a rewind or a sink holds a stream back until this much audio, on top of the
            border, has come since the last committed word.
        unsure_s: how much wider the border is for each nat of a word's surprisal, -ln of the
            probability of its least probable token, up to 3 nats: what is said next often changes
            a word that the model is not sure of.
        unseen_nats: so much more surprising is a word that the step before did not have there.
        no_speech_probability: while the model thinks it more probable than this that nothing is
            said in the buffer, what it says all the same waits.
        pause_s: an end token inside the border is believed once the silence after the last word
            is longer than the border by half of the border, or by this if that is less.

    Raises:
        InputError: none or both of the borders, or a value out of range.
    """

    border_fraction: float | None = None
    border_s: float | None = None
    rewind_fraction: float | None = 0.12
    min_audio_s: float = 0.5
    sink_s: float = 0.6
    opening_s: float = 3.0
    doubt_s: float = 4.0
    no_speech_probability: float = 0.6
    pause_s: float = 1.0
    unsure_s: float = 0.0
    unseen_nats: float = 0.0

    def __post_init__(self) -> None:
        if (self.border_fraction is None) == (self.border_s is None):
            given = "both are" if self.border_s is not None else "neither is"
            raise InputError(f"expected border_fraction or border_s, and {given} given")
        for name in ("border_fraction", "rewind_fraction"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise InputError(f"{name} is {value}, expected more than 0 and less than 1")
        if self.border_s is not None and not 0 < self.border_s < math.inf:
            raise InputError(f"border_s is {self.border_s}, expected more than 0 seconds")
        if not 0 <= self.no_speech_probability <= 1:
            raise InputError(
                f"no_speech_probability is {self.no_speech_probability}, expected 0 to 1"
            )
        for name in _NOT_NEGATIVE:
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name)}, expected 0 or more")

    def border_frames(self, audio_frames: int, frames_per_s: float) -> float:
        """The width of the border in a buffer of `audio_frames`."""
        if self.border_s is not None:
            return self.border_s * frames_per_s
        return max(_LEAST_FRAMES, (self.border_fraction or 0) * audio_frames)

    def rewind_frames(self, audio_frames: int) -> float:
        """The largest jump back that is no rewind in a buffer of `audio_frames`."""
        if self.rewind_fraction is None:
            return math.inf
        return max(_LEAST_FRAMES, self.rewind_fraction * audio_frames)


@dataclass(frozen=True)
class Decision:
    """What may be committed of a hypothesis.

    Attributes:
        keep: tokens, from the first on.
        reason: why not more. "border": the next token is too near the end of the audio; "unsure":
            it is so for a word that the model is not sure of; "rewind": it jumped back; "sink": it
            attends to the sink; "lost": the model has lost its place; "too short": too little
            audio; "no speech": the model thinks that nothing is said; "end": there are no more;
            "final": no more audio comes, all are kept.
        frames: the aggregated frame of each row that came in.
        complete: the text ends with the last token: its last word is not the start of a longer
            one.
        references: after each kept token, the frame that the next is compared to.
        spent: after each kept token, up to which frame the audio is spent on words.
    """

    keep: int
    reason: Reason
    frames: tuple[float, ...]
    complete: bool
    references: tuple[float | None, ...]
    spent: tuple[float | None, ...] = ()

    def reference_after(self, tokens: int, before: float | None) -> float | None:
        """The `last_frame` of the next decision once `tokens` tokens were committed.

        `before` is the `last_frame` of this one.
        """
        return self.references[tokens - 1] if tokens else before

    def spent_after(self, tokens: int, before: float | None) -> float | None:
        """The `spent_frame` of the next decision, likewise."""
        return self.spent[tokens - 1] if tokens else before


def decide(
    frames: np.ndarray | Sequence[float],
    audio_frames: int,
    policy: Policy,
    frames_per_s: float,
    *,
    last_frame: float | None = None,
    spent_frame: float | None = None,
    waited_frame: float | None = None,
    least_s: Sequence[float] | None = None,
    repeats: Sequence[bool] | None = None,
    can_ask_anew: bool = False,
    starts: Sequence[bool] | np.ndarray | None = None,
    probabilities: Sequence[float] | np.ndarray | None = None,
    is_unseen: Sequence[bool] | np.ndarray | None = None,
    no_speech: float = 0.0,
    has_end: bool = False,
    leaving_frames: int = 0,
    is_pause: bool = False,
    is_final: bool = False,
) -> Decision:
    """How many tokens of a hypothesis may be committed.

    Tokens are taken from the first on, until one must wait:

    - border (AlignAtt): a token whose frame is within the border of the end of the audio. For a
      word that the model is not sure of the border is wider.
    - rewind (the published decoder): a token whose frame is behind that of the word before it
      by more than the threshold. The model may have started over.
    - sink: a token that attends to the buffer's first frames may be spoken anywhere; at a
      stream's opening, it may be spoken there.

    - lost: a word looks at audio which the words before it have used up, and the next does not
      look beyond; or the first one looks beyond a word that waited. The model has lost its place.
      What it reads twice waits from the first time on, to be heard anew.

    What makes the first three hold for words and not only for tokens:

    - Only a token that starts a word can rewind, sink, or be rewound from. The rest of a word
      may follow from its start with no need of audio, and attend anywhere.
    - Text runs in the order of the audio. So once the next word has plainly been heard, outside
      of the border and no rewind, what waited before it need not: a rewind or a sink of a
      single word, or the rest of a word inside the border.
    - A rewind or a sink does not hold for ever, as border and `doubt_s` of audio without a word
      say that the audio will not settle it; the stream then goes on from where it looks. The
      border holds, until it has moved on with the audio.
    - What was spoken in audio that is about to leave the buffer will not be heard again: no border
      holds it.
    - A model that is asked about silence or noise often says what people say when they begin or
      end. So nothing is committed while the model thinks that nothing is said; at the end, only
      what it is sure of all the same, as Whisper's own transcription has it.
    - The end token, too, is predicted from audio. Outside of the border it completes the text;
      inside, a pause after the last word does.
    - A pause that was heard shows that the words before it are over: no border holds them.

    Args:
        frames: [rows], the frame that each token attends to, of those that follow the committed
            ones. Frames count from the buffer's start.
        audio_frames: frames in the buffer.
        policy: the rules.
        frames_per_s: of the model's clock.
        last_frame: the frame to compare the first token to, from `Decision.reference_after`,
            shifted with the buffer (it may be negative); None: nothing was committed.
        spent_frame: up to where the audio is spent, from `Decision.spent_after`, shifted
            likewise; None: none is.
        waited_frame: up to where a sure word was spoken that waited first in the step before;
            None: there was none.
        least_s: [tokens], how many seconds the word that starts in a token lasts at least (see
            `spent.least_seconds`); None: no audio is ever spent.
        repeats: [tokens], whether the word that starts in a token is the one before it again (see
            `spent.repeats`); None: none is.
        can_ask_anew: the buffer holds committed words, after which the model can be asked anew.
        starts: [tokens], whether a token starts a word (see `word_starts`); None: all do.
        probabilities: [rows], the model's, of each token; None: it is sure of all.
        is_unseen: [tokens], whether the step before did not have a token's word there; None: none.
        no_speech: the model's probability that nothing is said in the buffer.
        has_end: the last row is the end token's. It is no token to commit.
        leaving_frames: the buffer's first frames, which go before the next decision.
        is_pause: the buffer ends in a pause, of which no text is.
        is_final: no more audio comes.

    Raises:
        ValueError: frames that are NaN, not in the buffer, or of a wrong shape.
    """
    values = _checked(frames, audio_frames)
    if last_frame is not None and not math.isfinite(last_frame):
        raise ValueError(f"the last frame is {last_frame}, expected a finite number")
    tokens = len(values) - has_end
    if tokens < 0:
        raise ValueError("has_end, but there is no row for the end token")
    begins = [True] * tokens if starts is None else [bool(start) for start in starts]
    if len(begins) != tokens:
        raise ValueError(f"starts of {len(begins)} tokens were given for {tokens} tokens")
    if repeats is not None and len(repeats) != tokens:
        raise ValueError(f"repeats of {len(repeats)} tokens was given for {tokens} tokens")
    if is_unseen is not None and len(is_unseen) != tokens:
        raise ValueError(f"is_unseen of {len(is_unseen)} tokens was given for {tokens} tokens")
    if least_s is not None and len(least_s) != tokens:
        raise ValueError(f"least_s of {len(least_s)} tokens was given for {tokens} tokens")
    begins = [*begins, True][: len(values)]
    evidence = _Evidence(
        values,
        begins,
        _surprisals(begins, probabilities, is_unseen, policy.unseen_nats),
        audio_frames,
        policy,
        frames_per_s,
        leaving_frames,
        least_s,
        repeats,
        is_pause,
    )

    references: list[float | None] = []
    spents: list[float | None] = []
    reference, spent, reason = last_frame, spent_frame, "end"
    is_short = audio_frames < int(policy.min_audio_s * frames_per_s)
    if last_frame is None and is_short and not is_final:
        return Decision(0, "too short", values, False, ())
    if no_speech > policy.no_speech_probability and not (is_final and is_likely(probabilities)):
        return Decision(0, "no speech", values, False, ())
    for row in range(tokens):
        fault = None if is_final else evidence.fault(row, reference)
        passed = row == 0 and can_ask_anew and evidence.is_beyond(row, waited_frame)
        twice = evidence.is_read_twice(row, reference)
        if passed or twice or evidence.is_spent(row, spent):
            fault = "lost"
        if fault is not None:
            reason = fault
            break
        reference = evidence.reference_after(row, reference)
        references.append(reference)
        spent = evidence.spent_after(row, spent)
        spents.append(spent)
    keep = len(references)
    if reason == "lost":
        once = evidence.before_sinks(keep)
        anew = evidence.before_again(keep)
        keep = anew if anew or can_ask_anew else once
    elif is_final:
        reason = "final"
    complete = is_final if reason != "end" else has_end and evidence.ended(tokens, reference)
    complete = complete and keep == tokens
    return Decision(keep, reason, values, complete, tuple(references[:keep]), tuple(spents[:keep]))


def decides(words: Sequence[TokenWord], decision: Decision, sink_frames: float) -> bool:
    """Whether a `decision` on the start of a hypothesis is the one on all of it.

    So it is where a whole word waits for the border, or for want of sureness: all after it waits
    with it, and no rule for what comes before looks further than to the next word. The word is
    whole once another one follows it. One in the sink says nothing of what comes before.

    Args:
        words: those of the start.
        decision: on them.
        sink_frames: of the sink.
    """
    row = decision.keep
    if decision.reason not in ("border", "unsure") or decision.frames[row] < sink_frames:
        return False
    starts = [word.tokens.start for word in words]
    return row in starts and starts[-1] > row


@dataclass(frozen=True)
class _Evidence:
    """What rows of frames say.

    `begins` tells which start a word (the end token's does), `nats` how surprising the
    word of each row is.
    """

    values: tuple[float, ...]
    begins: list[bool]
    nats: list[float]
    audio_frames: int
    policy: Policy
    frames_per_s: float
    leaving_frames: int = 0
    least_s: Sequence[float] | None = None
    repeats: Sequence[bool] | None = None
    is_pause: bool = False

    @property
    def sink_frames(self) -> int:
        """The frames of the sink."""
        return round(self.policy.sink_s * self.frames_per_s)

    def credible(self, row: int, reference: float | None) -> bool:
        """The row says where its token was spoken: neither a sink nor a rewind."""
        if self._is_sink(row):
            opening = self.audio_frames <= self.policy.opening_s * self.frames_per_s
            return opening and self._or_start(reference) <= self.sink_frames
        rewind = self.policy.rewind_frames(self.audio_frames)
        return reference is None or self.values[row] >= reference - rewind

    def outside(self, row: int) -> bool:
        """The token of `row` was spoken before the border, if its row can be believed."""
        if self.is_pause or self.sink_frames <= self.values[row] < self.leaving_frames:
            return True
        return self._past_border(self._place(row), self.policy.unsure_s * self.nats[row])

    def fault(
        self, row: int, reference: float | None
    ) -> Literal["border", "unsure", "rewind", "sink"] | None:
        """Why the token of `row` must wait, or None."""
        credible = self.credible(row, reference)
        if credible:
            if self.outside(row):
                return None
            if self.begins[row]:
                return self._too_near(row)
        elif not self.begins[row]:
            return None
        if self._next_word_heard(row, reference) or (
            not credible and self._doubt_is_over(reference)
        ):
            return None
        if credible:
            return self._too_near(row)
        return "sink" if self._is_sink(row) else "rewind"

    def is_spent(self, row: int, spent: float | None) -> bool:
        """The word that starts in `row` looks at audio that is spent.

        One that alone does so, and is followed by one that looks beyond, says nothing.
        """
        if spent is None or not self.begins[row] or self._is_sink(row):
            return False
        if self.values[row] >= spent - JITTER_S * self.frames_per_s:
            return False
        for later in range(row + 1, len(self.least_s or ())):
            if self.begins[later] and not self._is_sink(later):
                return self.values[later] < spent
        return True

    def is_read_twice(self, row: int, reference: float | None) -> bool:
        """The word that starts in `row` is the one before it again, and looks where that one did.

        Saying a word a second time takes time; other words may share a frame.
        """
        if self.repeats is None or reference is None or self._is_sink(row):
            return False
        least = LEAST_AGAIN_S * self.frames_per_s
        return self.repeats[row] and self.values[row] < reference + least

    def is_beyond(self, row: int, waited: float | None) -> bool:
        """The word that starts in `row` was spoken after one that waited, and not in its place."""
        if waited is None or self._is_sink(row):
            return False
        return self.values[row] > waited + JITTER_S * self.frames_per_s

    def spent_after(self, row: int, spent: float | None) -> float | None:
        """Up to where the audio is spent once the token of `row` is kept."""
        if self.least_s is None or not self.begins[row] or self._is_sink(row):
            return spent
        if spent is None:
            spent = self.values[row]
        elif self.values[row] < spent - JITTER_S * self.frames_per_s:
            return spent  # it alone looks back, and does not say where it is
        return max(self.values[row], spent) + self.least_s[row] * self.frames_per_s

    def before_sinks(self, row: int) -> int:
        """How many of the tokens before `row` stand before the words that lead to it from a sink:
        those were spoken anywhere, and so where the word after them was."""
        keep = row
        for earlier in reversed(range(row)):
            if self.begins[earlier]:
                if not self._is_sink(earlier):
                    break
                keep = earlier
        return keep

    def before_again(self, row: int) -> int:
        """How many of the tokens before `row` were spoken before what is read again from it on."""
        keep = self.before_sinks(row)
        for earlier in reversed(range(keep)):
            if self.begins[earlier]:
                if self._is_sink(earlier) or self.values[earlier] < self.values[row] - 1:
                    break
                keep = earlier
        return keep

    def _too_near(self, row: int) -> Literal["border", "unsure"]:
        """Whether a word that waits would, if the model were sure of it."""
        return "unsure" if self._past_border(self._place(row)) else "border"

    def reference_after(self, row: int, reference: float | None) -> float | None:
        """What the token after that of `row`, which was kept, is compared to."""
        if not self.begins[row]:
            return reference
        if self.credible(row, reference):
            return self.values[row]
        settled = self._next_word_heard(row, reference) or not self._doubt_is_over(reference)
        return reference if settled or self._is_sink(row) else self.values[row]

    def ended(self, tokens: int, reference: float | None) -> bool:
        """The end token, in the row after `tokens` kept ones, can be believed."""
        if self.is_pause or (self.credible(tokens, reference) and self.outside(tokens)):
            return True
        last = max([self._or_start(reference), *self.values[:tokens]])
        border_frames = self.policy.border_frames(self.audio_frames, self.frames_per_s)
        pause_s = min(self.policy.pause_s, border_frames / self.frames_per_s / 2)
        return self._past_border(last, pause_s)

    def _next_word_heard(self, row: int, reference: float | None) -> bool:
        """The next word that is no sink is credible and outside of the border."""
        for later in range(row + 1, len(self.values)):
            if self.begins[later] and not self._is_sink(later):
                return self.credible(later, reference) and self.outside(later)
        return False

    def _doubt_is_over(self, reference: float | None) -> bool:
        return self._past_border(self._or_start(reference), self.policy.doubt_s)

    def _past_border(self, frame: float, more_s: float = 0.0) -> bool:
        margin = self.policy.border_frames(self.audio_frames, self.frames_per_s)
        return self.audio_frames - frame > margin + more_s * self.frames_per_s

    def _place(self, row: int) -> float:
        """A token that attends to the sink may be spoken anywhere up to the sink's end."""
        return max(self.values[row], self.sink_frames - 1)

    def _is_sink(self, row: int) -> bool:
        return self.values[row] < self.sink_frames

    def _or_start(self, reference: float | None) -> float:
        return self.sink_frames if reference is None else reference


def _surprisals(
    begins: Sequence[bool],
    probabilities: Sequence[float] | np.ndarray | None,
    is_unseen: Sequence[bool] | np.ndarray | None,
    unseen_nats: float,
) -> list[float]:
    """For each row, how surprising its word is, in nats: as its most surprising token."""
    rows = len(begins)
    nats = np.zeros(rows)
    if probabilities is not None:
        if len(probabilities) != rows or not np.isfinite(probabilities).all():
            raise ValueError(f"{list(probabilities)} are no probabilities of {rows} rows")
        nats -= np.log(np.clip(probabilities, math.exp(-_MOST_NATS), 1))
    if is_unseen is not None:
        nats[: len(is_unseen)] += unseen_nats * np.asarray(is_unseen, float)
    word_of = np.cumsum(begins, dtype=int)
    most = np.zeros(rows + 1)
    np.maximum.at(most, word_of, np.minimum(nats, _MOST_NATS))
    return most[word_of].tolist()


def _checked(frames: np.ndarray | Sequence[float], audio_frames: int) -> tuple[float, ...]:
    """One frame a row, in the buffer."""
    array = np.asarray(frames, dtype=float)
    if array.ndim != 1:
        raise ValueError(f"frames have the shape {array.shape}, expected [tokens]")
    outside = array[~((array >= 0) & (array < audio_frames))]
    if outside.size:
        raise ValueError(f"frame {outside[0]} is not in a buffer of {audio_frames} frames")
    return tuple(array.tolist())


def is_likely(probabilities: Sequence[float] | np.ndarray | None) -> bool:
    """A text of tokens with these probabilities may be right: Whisper's own rule for silence."""
    if probabilities is None or not len(probabilities):
        return True
    return float(np.mean(np.log(np.maximum(probabilities, 1e-9)))) >= _LEAST_LOG_PROBABILITY


def word_starts(words: Sequence[TokenWord], tokens: int) -> np.ndarray:
    """[tokens] bool, whether a word starts in each of `tokens` tokens."""
    starts = np.zeros(tokens, bool)
    starts[[word.tokens.start for word in words]] = True
    return starts


def whole_words(words: Sequence[TokenWord], keep: int, text_is_complete: bool) -> int:
    """How many words, from the first on, can be committed whole.

    A word is whole if all its tokens are among the first `keep`, and if a token that starts
    another word follows it, so that no more can be added to it, be it a letter, an apostrophe
    or a comma. After the last word of all, `text_is_complete` says so. The tokens of the words
    committed are `words[n - 1].tokens.stop`: a token of two words is not cut.

    Args:
        words: those of the whole hypothesis, kept or not, from `words.split_words`.
        keep: tokens that may be committed, from `decide`.
        text_is_complete: `Decision.complete`.
    """
    count = 0
    for index, word in enumerate(words):
        if word.tokens.stop > keep:
            break
        is_last = index + 1 == len(words)
        if text_is_complete if is_last else words[index + 1].tokens.start >= word.tokens.stop:
            count = index + 1
    return count
