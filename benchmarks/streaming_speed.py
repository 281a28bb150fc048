"""What a step costs: ours against the published algorithm with forced tokens, and by buffer."""

from __future__ import annotations

import alignheads.runtime.models  # isort: skip  # noqa: F401  OpenBLAS must come before MLX

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from statistics import mean, median
from unittest.mock import patch

import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten
from published_decoder import PublishedDecoder, PublishedSettings

from alignheads.corpora import Utterance
from alignheads.corpora.audio import SAMPLE_RATE
from alignheads.evaluate.timed import pieces
from alignheads.runtime.models import capture
from alignheads.runtime.models.backend import mx
from alignheads.runtime.models.cpu.products import linear
from alignheads.runtime.models.qwen3 import reading, source, step
from alignheads.runtime.models.qwen3.model import Qwen3Model
from alignheads.runtime.models.shared_steps import Passes, made_alone
from alignheads.runtime.stream.config import DecoderConfig
from alignheads.runtime.stream.decoder import StreamDecoder

Heads = Sequence[tuple[int, int]]

WINDOW_STEPS = 8
COMMITTED_PER_S = 3  # tokens of text in a second of speech
STAGES = ("encode", "prefill", "decode")
_TAKE_STEP = step.take_step


@dataclass(frozen=True)
class Cost:
    """Seconds of one step: `total` by itself; the stages in another run that waits after each."""

    total: float
    encode: float
    prefill: float
    decode: float
    capture: float


class _Watch:
    """Seconds by stage, the device being waited for after each."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        self.on = False

    def call(self, stage: str, work: Callable, *arguments):
        begin = time.perf_counter()
        result = work(*arguments)
        if self.on:
            mx.eval(result)
            self.seconds[stage] += time.perf_counter() - begin
        return result


@dataclass(frozen=True)
class _WatchedStep(capture.Step):
    """A step whose reading, with the probabilities, counts to its stage as well."""

    watch: _Watch
    stage: str

    def rows(self, columns: np.ndarray) -> list[capture.Row]:
        begin = time.perf_counter()
        found = super().rows(columns)
        self.watch.seconds[self.stage] += time.perf_counter() - begin
        return found


class ForcedOurs(source.Qwen3Source):
    """Ours, made to decode `script` and then the end token, whatever the model would say.

    Token by token, with no draft to read along: as many are decoded as by the published one.
    """

    def __init__(self, model: Qwen3Model, heads: Heads, script: Sequence[int]) -> None:
        super().__init__(model, heads)
        self.watch = _Watch()
        self._script = [*script, min(model.vocabulary.end_ids)]
        self._at = 0
        encoding = self._encoder.encoding

        def watched(*arguments) -> Passes:
            def parts() -> list:
                windows, tail = made_alone(encoding(*arguments))
                return [*windows, tail]

            yield from ()  # it has no company
            *windows, tail = self.watch.call("encode", parts)
            return windows, tail

        self._encoder.encoding = watched  # type: ignore[method-assign]

    def step(self, samples: np.ndarray, committed: Sequence[int], language: str | None) -> int:
        """One step; returns how many tokens it decoded."""
        self._at = 0
        # The step is a function of both modules: one reads the prompt, the other goes on from it.
        forced = [patch.object(module, "take_step", self._forced) for module in (reading, step)]
        with forced[0], forced[1]:
            return len(self.hypothesis(samples, 0, committed, language).token_ids)

    def _draft_after(self, committed_ids: list[int]) -> list[int]:
        return []

    def _forced(self, model: Qwen3Model, embedded: mx.array, *given, **options) -> capture.Step:
        """A step that says the script's next token, read from a step that says its own."""
        if self._at >= len(self._script):
            return _TAKE_STEP(model, embedded, *given, **options)  # begun ahead, and never run
        token = self._script[self._at]
        self._at += 1
        stage = "prefill" if embedded.shape[1] > 1 else "decode"

        def arrays() -> list[mx.array | None]:
            step = _TAKE_STEP(model, embedded, *given, **options)
            said = mx.concatenate([step.said[:, :1] * 0 + token, step.said[:, 1:]], axis=1)
            return [said, step.logits, step.weights]

        return _WatchedStep(*self.watch.call(stage, arrays), self.watch, stage)


class ForcedPublished(PublishedDecoder):
    """The published decoder, made to decode `script`."""

    def __init__(self, model: Qwen3Model, heads: Heads, script: Sequence[int]) -> None:
        super().__init__(model, PublishedSettings(tuple(heads)))
        self.watch = _Watch()
        self._script = script

    def step(self, samples: np.ndarray, committed: Sequence[int], language: str | None) -> int:
        """One step; returns how many tokens it decoded."""
        self.settings = replace(self.settings, language=language)
        return len(self.decode(samples, committed, 0, forced=self._script).ids)

    def _encode(self, *arguments):
        return self.watch.call("encode", super()._encode, *arguments)

    def _prefill(self, *arguments):
        begin = time.perf_counter()
        result = super()._prefill(*arguments)
        mx.eval(result[0].keys, result[0].values)
        self.watch.seconds["prefill"] += time.perf_counter() - begin
        return result

    def _next(self, *arguments):
        # Reads its results one by one: nothing is left to wait for.
        begin = time.perf_counter()
        result = super()._next(*arguments)
        self.watch.seconds["decode"] += time.perf_counter() - begin
        return result


Forced = type[ForcedOurs] | type[ForcedPublished]


def script_of(model: Qwen3Model, count: int) -> list[int]:
    """`count` tokens of text, no two in a row the same and nothing repeated."""
    ids = [i for i in range(256) if model.vocabulary.token_bytes(i).isalpha()]
    return np.random.default_rng(0).choice(ids, count).tolist()


def forced_cost(
    kind: Forced,
    model: Qwen3Model,
    heads: Heads,
    samples: np.ndarray,
    *,
    tokens: int,
    language: str | None,
    repeats: int,
) -> Cost:
    """Medians of a step at `samples`, after the step one second before it."""
    script = script_of(model, tokens)
    committed = script_of(model, COMMITTED_PER_S * len(samples) // SAMPLE_RATE)
    before = samples[:-SAMPLE_RATE]

    def once(heads: Heads, watched: bool) -> tuple[float, dict[str, float]]:
        decoder = kind(model, heads, script)
        decoder.step(before, committed[:-COMMITTED_PER_S], language)
        decoder.watch = _Watch()
        decoder.watch.on = watched
        begin = time.perf_counter()
        done = decoder.step(samples, committed, language)
        if done != tokens:
            raise RuntimeError(f"{done} tokens were decoded, not {tokens}")
        return time.perf_counter() - begin, decoder.watch.seconds

    once(heads, False)
    total = median(once(heads, False)[0] for _ in range(repeats))
    stages = [once(heads, True)[1] for _ in range(repeats)]
    encode, prefill, decode = (median(s[stage] for s in stages) for stage in STAGES)
    blind = median(once((), True)[1]["decode"] for _ in range(repeats))
    return Cost(total, encode, prefill, decode, decode - blind)


def window_mean(
    model: Qwen3Model, heads: Heads, samples: np.ndarray, tokens: int, language: str | None
) -> float:
    """Mean seconds of our last eight steps of `samples`, during which one window is finished."""
    decoder = ForcedOurs(model, heads, script_of(model, tokens))
    committed = script_of(model, COMMITTED_PER_S * len(samples) // SAMPLE_RATE)
    last = len(samples) // SAMPLE_RATE
    spent = []
    for second in range(last - WINDOW_STEPS, last + 1):
        begin = time.perf_counter()
        text = committed[: COMMITTED_PER_S * second]
        decoder.step(samples[: second * SAMPLE_RATE], text, language)
        spent.append(time.perf_counter() - begin)
    return mean(spent[1:])


def weight_bytes(model: Qwen3Model) -> int:
    """Bytes of the weights that one decoded token reads: the layers and the output's."""
    layers = [tree_flatten(layer.parameters()) for layer in model.engine.model.layers]
    return sum(array.nbytes for layer in layers for _, array in layer) + (
        model.engine.lm_head.weight.nbytes
    )


def memory_bandwidth(megabytes: int = 512) -> float:
    """Bytes a second: the fastest of a sum and a product with a vector, by MLX and by the package,
    over `megabytes`."""
    width = 4096
    layer = nn.Linear(width, megabytes * 1_000_000 // 4 // width, bias=False)
    matrix, vector = layer.weight, mx.ones((width,), mx.float32)
    mx.eval(matrix, vector)

    def seconds(work: Callable[[], mx.array]) -> float:
        begin = time.perf_counter()
        mx.eval(work())
        return time.perf_counter() - begin

    works = (lambda: mx.sum(matrix), lambda: matrix @ vector, lambda: linear(layer, vector))
    return matrix.nbytes / min(seconds(work) for _ in range(8) for work in works)


def speech(utterances: Sequence[Utterance], seconds: float, first: int = 0) -> np.ndarray:
    """`seconds` of the utterances in turn, from the one numbered `first` on."""
    wanted = round(seconds * SAMPLE_RATE)
    parts: list[np.ndarray] = []
    have = 0
    while have < wanted:
        parts.append(utterances[first % len(utterances)].read())
        have += len(parts[-1])
        first += 1
    return np.concatenate(parts)[:wanted]


def stream_steps(
    model: Qwen3Model, config: DecoderConfig, samples: np.ndarray, language: str | None
) -> list[float]:
    """Seconds of each of our steps over `samples`."""
    stream = StreamDecoder(model, config, language=language)
    return _seconds(stream.feed, samples, config.step_s)


def published_steps(
    model: Qwen3Model, settings: PublishedSettings, samples: np.ndarray
) -> list[float]:
    """Seconds of each of the published decoder's steps over `samples`."""
    return _seconds(PublishedDecoder(model, settings).feed, samples, settings.step_s)


def _seconds(feed: Callable, samples: np.ndarray, step_s: float) -> list[float]:
    spent = []
    for piece in pieces(samples, step_s):
        begin = time.perf_counter()
        feed(piece)
        spent.append(time.perf_counter() - begin)
    return spent


@dataclass(frozen=True)
class Step:
    """Seconds of a step at a shorter and a longer buffer, and whether a bar is for these."""

    what: str
    short: float
    long: float
    is_judged: bool

    @property
    def ratio(self) -> float:
        """Longer over shorter."""
        return self.long / self.short


def by_buffer(
    model: Qwen3Model,
    config: DecoderConfig,
    utterances: Sequence[Utterance],
    language: str | None,
    streams: int,
) -> list[Step]:
    """Steps at buffers of 10 and 30 s.

    Both end in the same 10 s of audio, so that as much is new to say. A step costs more the more of
    the buffer is in no finished window: 2 s of 10, but 6 s of 30, as of 14. So the bar is for the
    steps of eight seconds in a row, one for each length of that part, by medians over the streams
    and by plain means. Steps of one length, and of others with as much unfinished, show how much of
    their difference comes from that. Last, the mean step of streams that are cut at 10 and at 30 s
    and read anew what each cut leaves: there the buffer's mean length is 6 and 24 s.
    """
    lengths = 10, 14, 26, 30
    spent = []  # [streams, lengths, 8 steps]
    for first in range(streams + 1):
        samples = speech(utterances, 30, first)
        ends = [samples[len(samples) - seconds * SAMPLE_RATE :] for seconds in lengths]
        configs = [config.changed(max_audio_s=31.0, step_s=1.0)] * len(lengths)
        spent.append(_in_turns(model, configs, ends, language, WINDOW_STEPS))
    uncut = dict(zip(lengths, np.stack(spent[1:], axis=1), strict=True))  # the first warms up
    spent = []
    for first in range(0, len(utterances), 5):
        configs = [config.changed(max_audio_s=at, step_s=1.0) for at in (10.0, 30.0)]
        samples = speech(utterances, 120, first)
        spent.append(_in_turns(model, configs, [samples] * 2, language, 90))
    cut = np.mean(spent, axis=(0, 2))

    def step(what: str, short: int, long: int, steps: int, middle: Callable, judged: bool) -> Step:
        found = (middle(uncut[at][:, -steps:], axis=0).mean() for at in (short, long))
        return Step(what, *map(float, found), judged)

    return [
        step("eight steps up to 10 and 30 s, medians", 10, 30, 8, np.median, True),
        step("eight steps up to 10 and 30 s, means", 10, 30, 8, np.mean, True),
        step("one step, 2 and 6 s unfinished of 10 and 30, medians", 10, 30, 1, np.median, False),
        step("one step, 6 s unfinished of 14 and 30, medians", 14, 30, 1, np.median, False),
        step("one step, 2 s unfinished of 10 and 26, medians", 10, 26, 1, np.median, False),
        step("one step, 2 and 6 s unfinished of 10 and 14, medians", 10, 14, 1, np.median, False),
        Step("streams cut at 10 and 30 s, means", float(cut[0]), float(cut[1]), False),
    ]


def _in_turns(
    model: Qwen3Model,
    configs: Sequence[DecoderConfig],
    samples: Sequence[np.ndarray],
    language: str | None,
    last: int,
) -> np.ndarray:
    """[streams, last]: seconds of the last steps of 1 s of streams that end together.

    One step of each in turn, so that what else the machine does falls on all alike.
    """
    streams = [StreamDecoder(model, config, language=language) for config in configs]
    parts = [list(pieces(part, 1.0)) for part in samples]
    for stream, part in zip(streams, parts, strict=True):
        for piece in part[:-last]:
            stream.feed(piece)
    spent = np.zeros((len(streams), last))
    for index in range(last):
        for number, stream in enumerate(streams):
            begin = time.perf_counter()
            stream.feed(parts[number][index - last])
            spent[number, index] = time.perf_counter() - begin
    return spent


def at_most_15_s(
    model: Qwen3Model,
    config: DecoderConfig,
    heads: tuple[tuple[int, int], ...],
    samples: np.ndarray,
    language: str | None,
) -> tuple[float, float]:
    """Seconds per second of audio, ours and published, after the first 15 s of `samples`."""
    config = config.changed(max_audio_s=15.0, step_s=1.0)
    settings = PublishedSettings(heads, language=model.language_name(language))
    ours = stream_steps(model, config, samples, language)
    theirs = published_steps(model, settings, samples)
    return mean(islice(ours, 15, None)), mean(islice(theirs, 15, None))
