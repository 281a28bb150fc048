"""A speech model in numpy, of a family of its own: words are tones, and a frame is 20 ms.

It implements `AlignmentModel` with another clock than Qwen3-ASR's, and no engine. Each word of its
vocabulary is a tone of its own pitch; it writes a word once two thirds of it were heard. Its heads
in `PLANTED` look at the word that they predict, all others anywhere.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from alignheads.errors import InputError
from alignheads.runtime.models.protocol import Answer, CostModel, Hypothesis

RATE = 16_000
FRAME = 320
WORDS = ("amber", "birch", "cedar", "delta", "ember", "flint", "grove", "heron", "inlet", "junco")
WORD_S = 0.3
GAP_S = 0.1
PLANTED = ((1, 2), (2, 0), (2, 3))
_HEARD = 10  # frames of a word's 15, after which it is written


@dataclass(frozen=True)
class EvenClock:
    """50 frames a second, evenly."""

    def count(self, samples):
        return samples // FRAME

    def span_s(self, frame):
        return frame / 50, (frame + 1) / 50

    def frames(self, seconds):
        return 50.0 * seconds


def spoken(words):
    """[n] float32 samples of `words`, and (word, start_s, end_s) of each."""
    time = np.arange(int(WORD_S * RATE)) / RATE
    gap = np.zeros(int(GAP_S * RATE), np.float32)
    parts, times, at_s = [gap], [], GAP_S
    for word in words:
        pitch = 500 + 100 * WORDS.index(word)
        parts += [0.3 * np.sin(2 * np.pi * pitch * time).astype(np.float32), gap]
        times.append((word, at_s, at_s + WORD_S))
        at_s += WORD_S + GAP_S
    return np.concatenate(parts), times


def runs_of(samples):
    """(word, first frame, last frame) of each tone in `samples`, by the pitch of each frame."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    power = np.abs(np.fft.rfft(frames))
    loudest = power.argmax(axis=1) * 50
    words = [
        (hertz - 500) // 100 if loud > 1 else -1
        for hertz, loud in zip(loudest.tolist(), power.max(axis=1, initial=0), strict=True)
    ]
    runs = []
    for frame, word in enumerate(words):
        if word < 0:
            continue
        if runs and runs[-1][0] == word and runs[-1][2] == frame - 1:
            runs[-1][2] = frame
        else:
            runs.append([word, frame, frame])
    return [tuple(run) for run in runs if run[2] - run[1] + 1 >= _HEARD]


@dataclass
class TonePrefix:
    runs: list
    frames: int
    language: str | None


class NumpyModel:
    name = label = "tones"
    family = "tones"
    attention_kind = "cross"
    num_layers, num_heads, num_kv_heads = 3, 4, 4
    languages = ("English",)
    clock = EvenClock()
    min_samples = FRAME
    max_audio_s = 60.0
    longest_piece_s = 60.0
    dtype = "float32"
    task = "transcribe"
    fingerprint = "0123456789abcdef"

    def __init__(self):
        self.decoded = 0  # hypotheses that sources were asked for

    def language_name(self, language):
        if language not in (None, "English", "en"):
            raise InputError(f"{self.name} does not know the language {language!r}")
        return language and "English"

    def encode_text(self, text):
        return [WORDS.index(word) for word in text.lower().split() if word in WORDS]

    def context_room(self, committed):
        return 8

    def token_bytes(self, token_id):
        return f" {WORDS[token_id]}".encode()

    def prefill(self, samples, language=None, context="", *, as_stream=False):
        given = self.language_name(language)
        return TonePrefix(runs_of(samples), self.clock.count(len(samples)), given)

    def generate(self, prefixes):
        return [
            Answer(tuple(word for word, _, _ in prefix.runs), prefix.language or "English")
            for prefix in prefixes
        ]

    def attention(self, prefix, text_ids, on_layer):
        if not len(text_ids):
            return
        middles = self._middles(prefix.runs, text_ids)
        for layer in range(self.num_layers):
            weights = np.empty((self.num_heads, len(text_ids), prefix.frames), np.float32)
            for head in range(self.num_heads):
                for token, middle in enumerate(middles):
                    at = self._looks(layer, head, token, middle, prefix.frames)
                    row = np.full(prefix.frames, 0.1 / prefix.frames)
                    row[at] += 0.5
                    weights[head, token] = row
            on_layer(layer, weights)

    @staticmethod
    def _middles(runs, text_ids):
        """The middle frame of the run that each token stands for, in order; of the last, beyond."""
        middles, after = [], 0
        for token in text_ids:
            found = next((i for i in range(after, len(runs)) if runs[i][0] == token), None)
            if found is not None:
                after = found + 1
            place = runs[min(found if found is not None else after, len(runs) - 1)]
            middles.append((place[1] + place[2]) // 2)
        return middles

    def _looks(self, layer, head, token, middle, frames):
        if (layer, head) in PLANTED:
            return middle
        drawn = hashlib.sha256(f"{layer} {head} {token} {frames}".encode()).digest()
        return int.from_bytes(drawn[:4], "big") % frames

    def open_source(self, heads, aggregate="median"):
        return ToneSource(self, list(heads), aggregate)

    def cost(self):
        return CostModel(1.0, 1.0, 1.0, 1.0, 1.0, 64)


class ToneSource:
    """Says all words that are heard in the buffer, after those committed."""

    def __init__(self, model, heads, aggregate):
        self._model, self._heads, self._aggregate = model, heads, aggregate

    def reset(self):
        pass

    def drop(self, samples):
        pass

    def hypothesis(self, samples, lead, committed_ids, language, context=""):
        self._model.decoded += 1
        runs = runs_of(samples[lead:])
        assert [run[0] for run in runs][: len(committed_ids)] == list(committed_ids)
        rest, frames = runs[len(committed_ids) :], self._model.clock.count(len(samples) - lead)
        looks = [(first + last) // 2 for _, first, last in rest] + [frames - 1]
        head_frames = np.array(
            [
                [self._model._looks(*pair, row, middle, frames) for pair in self._heads]
                for row, middle in enumerate(looks)
            ]
        )
        weights = None
        if self._aggregate == "mean":
            weights = np.zeros((*head_frames.shape, frames), np.float32)
            np.put_along_axis(weights, head_frames[..., None], 1.0, axis=-1)
        is_speech = bool(runs) or language is not None
        return Hypothesis(
            token_ids=tuple(word for word, _, _ in rest),
            language=(language or "English") if is_speech else None,
            frames=np.median(head_frames, axis=1),
            head_frames=head_frames,
            probabilities=np.full(len(looks), 0.9),
            audio_frames=frames,
            ended=True,
            weights=weights,
        )
