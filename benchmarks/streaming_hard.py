"""What `streaming.py` streams besides clean speech: noise, pauses, and text without spaces."""

from __future__ import annotations

import alignheads.runtime.models  # isort: skip  # noqa: F401  OpenBLAS must come before MLX

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from alignheads.corpora import Utterance
from alignheads.corpora.audio import SAMPLE_RATE
from alignheads.runtime.models.qwen3.model import Qwen3Model
from alignheads.runtime.stream.config import DecoderConfig
from alignheads.runtime.stream.decoder import StreamDecoder

sys.path.append(str(Path(__file__).parent.parent / "tests"))

from scripted import ScriptedSource, evenly  # isort: skip

NOISE = 0.018  # the standard deviation of white noise, some 10 dB below the demo's speech
_UNSPACED = (
    ("Thai", "Thai", "สวัสดีครับวันนี้อากาศดีมากเราจะไปเที่ยวทะเลกันไหมผมคิดว่าน่าจะสนุกมาก", 8.3),
    ("Chinese", "Chinese", "今天天气很好，我们一起去公园散步。然后吃午饭，再回家看电影！", 4.0),
    ("Chinese, given as English", "English", "今天天气很好，我们一起去公园散步。", 4.0),
    ("Khmer", "Khmer", "ជំរាបសួរថ្ងៃនេះអាកាសធាតុល្អណាស់យើងនឹងទៅលេងជាមួយគ្នា", 9.0),
)  # fmt: skip


@dataclass(frozen=True)
class Noisy(Utterance):
    """An utterance in white noise."""

    seed: int = 0

    def read(self) -> np.ndarray:
        """See `Utterance`."""
        clean = super().read()
        noise = np.random.default_rng(self.seed).standard_normal(len(clean))
        return (clean + NOISE * noise).astype(np.float32)


def in_noise(utterances: Sequence[Utterance], seeds: int) -> list[Noisy]:
    """Each of `utterances` in the noise of each seed."""
    return [
        Noisy(**{field.name: getattr(one, field.name) for field in fields(Utterance)}, seed=seed)
        for one in utterances
        for seed in range(seeds)
    ]


@dataclass(frozen=True)
class Paused(Utterance):
    """An utterance, a pause of zeros, and another utterance."""

    second: Utterance | None = None
    pause_s: float = 0.0

    def read(self) -> np.ndarray:
        """See `Utterance`."""
        assert self.second is not None
        pause = np.zeros(round(self.pause_s * SAMPLE_RATE), np.float32)
        return np.concatenate([super().read(), pause, self.second.read()])


def with_pauses(utterances: Sequence[Utterance], pause_s: float) -> list[Paused]:
    """Each of `utterances` with the next one after a pause, and their words' times."""
    made = []
    for first, second in zip(utterances[::2], utterances[1::2], strict=False):
        assert first.words is not None
        assert second.words is not None
        begin_s = len(first.read()) / SAMPLE_RATE + pause_s
        later = [
            replace(word, start_s=word.start_s + begin_s, end_s=word.end_s + begin_s)
            for word in second.words
        ]
        of_first = {field.name: getattr(first, field.name) for field in fields(Utterance)}
        joined = {"text": f"{first.text} {second.text}", "words": (*first.words, *later)}
        made.append(Paused(**of_first | joined, second=second, pause_s=pause_s))
    return made


@dataclass(frozen=True)
class Unspaced:
    """A text without spaces as it came out of a stream.

    Attributes:
        name: of the text.
        said, out: its characters, and how many of them came out in their place.
        first_s: from when its first token had been spoken until it was committed; None: never.
        late_s: the longest time from a word's end until it was committed.
    """

    name: str
    said: int
    out: int
    first_s: float | None
    late_s: float | None


def unspaced(model: Qwen3Model, config: DecoderConfig, seconds: int) -> Iterator[Unspaced]:
    """Streams of a perfect model (see tests/scripted.py), which finds the faults of a decoder."""
    for name, language, text, characters_per_s in _UNSPACED:
        count = int(seconds * characters_per_s)
        said = (text * (count // len(text) + 1))[:count]
        script = evenly(model, said, seconds)
        source = ScriptedSource(model, script, language=language)
        # Where the language is right, it is one that the source found: tiny knows but English.
        given = "English" if language == "English" else None
        stream = StreamDecoder(model, config, language=given, source=source)
        for _ in range(seconds + 1):
            stream.feed(np.zeros(SAMPLE_RATE, np.float32))
        stream.finish()
        out = sum(one == other for one, other in zip(stream.text, said, strict=False))
        words = stream.words
        first_s = words[0].emitted_s - script[0][1] if words else None
        late_s = max((word.emitted_s - word.end_s for word in words), default=None)
        yield Unspaced(name, len(said), out, first_s, late_s)
