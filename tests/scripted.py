"""A perfect model: it knows which text is spoken when, with the vocabulary of a real one.

A `HypothesisSource` for `StreamDecoder(source=…)`: after what was committed it says all that has
been heard, each token with the frame at which it is spoken. What is wrong in a stream of it is the
decoder's fault.
"""

from __future__ import annotations

import numpy as np

from alignheads.runtime.models.protocol import Hypothesis

RATE = 16_000


def evenly(model, text, seconds, start_s=0.5):
    """[(token, when)] of a text that is spoken in even time, by bytes."""
    ids = model.encode_text(text)
    ends = np.cumsum([len(model.token_bytes(i)) for i in ids])
    return list(zip(ids, (start_s + seconds * ends / ends[-1]).tolist(), strict=True))


class ScriptedSource:
    """Says `script`, tokens and when they are spoken.

    `language` is what it finds, where none is given; `probability` is that of each token; `ended`
    says whether it ends its text. `by_time`: the committed text of the buffer is taken to begin at
    the buffer's very start, so that a cut in the wrong place loses or doubles text.

    Attributes:
        asked: (committed, language, context) of each step.
    """

    def __init__(
        self, model, script, *, language="English", probability=0.9, ended=True, by_time=False
    ):
        self._model, self._script = model, list(script)
        self._ids = [token for token, _ in self._script]
        self._language, self._probability, self._ended = language, probability, ended
        self._by_time = by_time
        self.reset()

    def reset(self):
        self._start_s = 0.0
        self.asked = []

    def drop(self, samples):
        self._start_s += samples / RATE

    def hypothesis(self, samples, lead, committed_ids, language, context=""):
        self.asked.append((tuple(committed_ids), language, context))
        clock, size = self._model.clock, len(samples) - lead
        frames, end_s = clock.count(size), self._start_s + size / RATE
        place = self._place(list(committed_ids)) + len(committed_ids)
        said = [(token, at_s) for token, at_s in self._script[place:] if at_s < end_s]
        looks = [clock.frames(max(0.0, at_s - self._start_s)) for _, at_s in said]
        looks = [min(frames - 1, int(look)) for look in [*looks, *[frames - 1] * self._ended]]
        rows = np.array(looks, int)
        return Hypothesis(
            token_ids=tuple(token for token, _ in said),
            language=language or self._language,
            frames=rows.astype(float),
            head_frames=np.repeat(rows[:, None], 8, axis=1),
            probabilities=np.full(len(rows), self._probability),
            audio_frames=frames,
            ended=self._ended,
        )

    def _place(self, committed):
        """Where in the script the committed text of the buffer begins: near the buffer's start."""
        first, count = sum(at_s < self._start_s for _, at_s in self._script), len(committed)
        if self._by_time:
            return first
        for away in range(len(self._script)):
            for place in (first - away, first + away):
                if place >= 0 and self._ids[place : place + count] == committed:
                    return place
        raise AssertionError(f"{committed} is not in the script")
