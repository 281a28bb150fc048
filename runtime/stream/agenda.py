"""What falls due in a stream, and where: decoding steps, pauses, and rests between speech.

Knows places in samples and turns between silence and voice; nothing of models, words or what a
step does.
"""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ...corpora.audio import SAMPLE_RATE
from .voice import Turn

LONG_PAUSE_S = 1.0
"""After so much silence a stretch of speech is over, and the next one is decoded by itself."""
SHORTEST_PAUSE_S = 0.15
"""The stops inside of words are as silent, and shorter."""
_NEVER = sys.maxsize


@dataclass(frozen=True)
class Due:
    """What is due at a `place` in the stream, in samples.

    "step": decode up to there. "pause": likewise, and the words before the pause are over. "rest":
    the stretch of speech is over. "begin": in a rest, another one begins there.
    """

    kind: Literal["step", "pause", "rest", "begin"]
    place: int


class Agenda:
    """What one stream does when.

    A step falls at each multiple of `step` while something is said; one more where a pause has
    been as long as it takes to know that the words before it are over, and none from there on
    until something is said again. Of the steps that a longer piece of audio brings at once, only
    the last that the buffer has room for is due, and short pauses before it are passed over.

    Attributes:
        is_quiet: a pause, or a rest: all that was said has been decoded.
        is_resting: no stretch of speech is going on.
        resumed_at: where the last pause ended, in samples; 0: there was none.
    """

    def __init__(self, step: int, room: int, least: int = 0, *, asks: bool = False) -> None:
        """Of a stream of which nothing has come.

        Args:
            step: samples between two steps.
            room: of a buffer, in samples.
            least: samples that a buffer is decoded with.
            asks: the source may know more than the samples tell: the silence that a stream opens
                with is not believed.
        """
        self._step, self._room, self._least, self._asks = step, room, least, asks
        self._turns: deque[Turn] = deque()
        self._silence: Turn | None = None
        self._noticed = 0  # where the pause is due that is in this silence
        self._resumed = self.resumed_at = 0  # no step is due before the first
        self._has_trust = True
        self.is_quiet = self.is_resting = False

    @property
    def opens_silent(self) -> bool:
        """Nothing but silence has come yet, and it is not believed."""
        return self._asks and bool(self._turns) and self._turns[0].at == 0

    def note(self, turns: Iterable[Turn]) -> None:
        """Take what the audio received tells, in order."""
        for turn in turns if self._has_trust else ():
            if self._asks and turn.is_silence and turn.at == 0:
                turn = Turn(0, _NEVER, True)
            self._turns.append(turn)

    def trust_no_silence(self) -> None:
        """The source has words where the samples are silent: a step falls due all the time."""
        self._has_trust = False
        self._turns.clear()

    def next(self, received: int, start: int, decoded: int, pause: int) -> Due | None:
        """What is due next; None: nothing until more is received. `done` when it is done.

        Args:
            received: samples of the stream.
            start: where the buffer starts.
            decoded: up to where it was decoded.
            pause: samples of silence that end a word.
        """
        while True:
            if self._silence is None:
                noticed = self._next_pause(start, pause)
                due = self._step_due(received, start, decoded, noticed)
                if due is not None or noticed > received:
                    return due
                self._silence, self._noticed = self._turns.popleft(), int(noticed)
                self.is_quiet = self._silence.at <= start  # nothing was said
            due = self._silence_due(received, start, decoded)
            if due is not None or not self._turns:
                return due
            self._resume()

    def done(self, due: Due) -> None:
        """What `next` gave has been done."""
        if due.kind == "pause":
            self.is_quiet = True
        elif due.kind == "rest":
            self.is_resting = True
        elif due.kind == "begin":
            self._resume()

    def _resume(self) -> None:
        turn = self._turns.popleft()
        self._resumed, self.resumed_at, self._silence = turn.known, turn.at, None
        self.is_quiet = self.is_resting = False

    def _next_pause(self, start: int, pause: int) -> float:
        """Where the next pause is noticed; infinity: none is known. Shorter ones are forgotten."""
        pause = max(pause, int(SHORTEST_PAUSE_S * SAMPLE_RATE))
        while self._turns:
            silence = self._turns[0]
            noticed = max(silence.at + pause, silence.known, start + self._least)
            if len(self._turns) == 1 or self._turns[1].known > noticed:
                return noticed
            self._turns.popleft()
            self._turns.popleft()
        return math.inf

    def _step_due(self, received: int, start: int, decoded: int, before: float) -> Due | None:
        step = self._step
        following = max(decoded // step + 1, -(-self._resumed // step)) * step
        place = min(received // step * step, max(following, (start + self._room) // step * step))
        if following > place or place >= before:
            return None
        return Due("step", self._fitting(place, start, decoded))

    def _silence_due(self, received: int, start: int, decoded: int) -> Due | None:
        assert self._silence is not None
        over = self._turns[0].known if self._turns else math.inf
        rest = max(self._silence.at + int(LONG_PAUSE_S * SAMPLE_RATE), self._noticed)
        is_long = rest < over
        if not self.is_quiet and (is_long or not self._is_behind(received)):
            place = self._fitting(self._noticed, start, decoded)
            return Due("pause" if place == self._noticed else "step", place)
        if self.is_resting:
            return None if over > received else Due("begin", self._turns[0].at)
        return Due("rest", rest) if is_long and rest <= received else None

    def _is_behind(self, received: int) -> bool:
        """More has come at once since the pause than a step."""
        return received // self._step * self._step - self._noticed >= self._step

    def _fitting(self, place: int, start: int, decoded: int) -> int:
        """The place, or the last one before it up to where the buffer has room."""
        last = start + self._room
        if place <= last or last <= decoded:
            return place
        at_step = last // self._step * self._step
        return at_step if at_step > decoded else last
