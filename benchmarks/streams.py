"""The decoders that `streaming.py` compares, each run over one utterance in steps and timed."""

from __future__ import annotations

import alignheads.runtime.models  # isort: skip  # noqa: F401  OpenBLAS must come before MLX

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from mlx_qwen3_asr import streaming as engine_streaming
from mlx_qwen3_asr.tokenizer import Tokenizer
from published_decoder import PublishedDecoder, PublishedSettings
from shown import rewrites, settled

from alignheads.corpora import Utterance
from alignheads.corpora.audio import SAMPLE_RATE
from alignheads.corpora.matching import plain_text
from alignheads.evaluate.error_rates import ErrorRate, SpaceErrors, space_errors, word_errors
from alignheads.evaluate.latency import (
    CommittedWord,
    Latency,
    compute_lags,
    stream_times,
    summary,
)
from alignheads.evaluate.timed import pieces
from alignheads.runtime.models.qwen3.model import Qwen3Model
from alignheads.runtime.stream.config import DecoderConfig
from alignheads.runtime.stream.decoder import StreamDecoder, Word

WHOLE_CONTEXT_TOKENS = 200
EAGER_BORDER_S = 0.2


@dataclass(frozen=True)
class Streamed:
    """One utterance as a decoder gave it out.

    Attributes:
        text: in the end.
        words: with when each of them was called final; None for offline decoding.
        shown: of a decoder that also shows what may change, when each word of the final text, and
            all before it, was shown and never changed again. Known only afterwards.
        rewrites: how often the text shown was not the one before it with more at its end.
    """

    text: str
    words: tuple[CommittedWord, ...] | None
    wall_s: float
    audio_s: float
    shown: tuple[CommittedWord, ...] | None = None
    rewrites: int = 0


@dataclass(frozen=True)
class Contestant:
    """A decoder of the table. `has_starts`: its words have start times."""

    name: str
    run: Callable[[np.ndarray, str | None], Streamed]
    has_starts: bool = True


@dataclass(frozen=True)
class Row:
    """What the table says of one decoder on one corpus."""

    name: str
    words: ErrorRate
    spaces: SpaceErrors
    times: Latency | None
    shown: Latency | None
    has_starts: bool
    rewrites: int
    wall_per_s: float

    @property
    def wer(self) -> float:
        """Word error rate in percent."""
        return 100 * (self.words.rate or 0.0)


@dataclass(frozen=True)
class _Step:
    """What came out when so much audio was there, and how long it took."""

    arrival_s: float
    wall_s: float
    out: Any


def _steps(
    samples: np.ndarray, step_s: float, feed: Callable[[np.ndarray], Any], finish: Callable[[], Any]
) -> list[_Step]:
    steps, received = [], 0
    for piece in pieces(samples, step_s):
        received += len(piece)
        begin = time.perf_counter()
        out = feed(piece)
        steps.append(_Step(received / SAMPLE_RATE, time.perf_counter() - begin, out))
    begin = time.perf_counter()
    out = finish()
    steps.append(_Step(received / SAMPLE_RATE, time.perf_counter() - begin, out))
    return steps


def _lags(steps: Sequence[_Step]) -> list[float]:
    return compute_lags([step.arrival_s for step in steps], [step.wall_s for step in steps])


def _word(text: str, start_s: float, end_s: float, emitted_s: float, lag_s: float) -> CommittedWord:
    return CommittedWord(text=text, start_s=start_s, end_s=end_s, emitted_s=emitted_s, lag_s=lag_s)


def _append_only(samples: np.ndarray, steps: Sequence[_Step]) -> Streamed:
    words, text = [], ""
    for step, lag_s in zip(steps, _lags(steps), strict=True):
        for word in step.out:
            words.append(_word(word.text, word.start_s, word.end_s, step.arrival_s, lag_s))
            text += word.spaced_text
    wall_s = sum(step.wall_s for step in steps)
    return Streamed(text.strip(), tuple(words), wall_s, len(samples) / SAMPLE_RATE)


def offline(model: Qwen3Model, samples: np.ndarray, language: str | None) -> Streamed:
    """All of the audio at once."""
    begin = time.perf_counter()
    text = model.transcribe(samples, language).text
    return Streamed(text, None, time.perf_counter() - begin, len(samples) / SAMPLE_RATE)


def ours(
    model: Qwen3Model, config: DecoderConfig, samples: np.ndarray, language: str | None
) -> Streamed:
    """This package's decoder, fed a step at a time; shown: its words and its draft."""
    stream = StreamDecoder(model, config, language=language)
    committed: list[str] = []

    def after(words: list[Word]) -> tuple[list[Word], str]:
        committed.extend(word.spaced_text for word in words)
        return words, f"{''.join(committed)} {stream.draft}".strip()

    steps = _steps(
        samples,
        config.step_s,
        lambda piece: after(stream.feed(piece)),
        lambda: after(stream.finish()),
    )
    texts = [step.out[1] for step in steps]
    alone = [replace(step, out=step.out[0]) for step in steps]
    return replace(
        _append_only(samples, alone), shown=_emitted(texts, steps), rewrites=rewrites(texts)
    )


def published(
    model: Qwen3Model, settings: PublishedSettings, samples: np.ndarray, language: str | None
) -> Streamed:
    """The published algorithm, fed a step at a time."""
    given = PublishedSettings(**{**vars(settings), "language": model.language_name(language)})
    stream = PublishedDecoder(model, given)
    return _append_only(samples, _steps(samples, settings.step_s, stream.feed, stream.finish))


def engines_own(
    model: Qwen3Model, chunk_s: float, samples: np.ndarray, language: str | None
) -> Streamed:
    """mlx_qwen3_asr's streaming, its settings as they come but for the chunk."""
    state = engine_streaming.init_streaming(chunk_size_sec=chunk_s, language=language)
    state._tokenizer = _engine_tokenizer(model)

    def feed(piece: np.ndarray) -> tuple[str, str]:
        after = engine_streaming.feed_audio(piece, state, model.engine)
        return after.text, after.stable_text

    def finish() -> tuple[str, str]:
        after = engine_streaming.finish_streaming(state, model.engine)
        return after.text, after.text

    steps = _steps(samples, chunk_s, feed, finish)
    texts, stable = ([step.out[which] for step in steps] for which in (0, 1))
    wall_s, audio_s = sum(step.wall_s for step in steps), len(samples) / SAMPLE_RATE
    return Streamed(
        texts[-1],
        _emitted(stable, steps),
        wall_s,
        audio_s,
        _emitted(texts, steps),
        rewrites(texts),
    )


def _emitted(texts: Sequence[str], steps: Sequence[_Step]) -> tuple[CommittedWord, ...]:
    """The words of the last text, each from the step on from which it stays."""
    lags = _lags(steps)
    return tuple(
        _word(word, 0.0, 0.0, steps[at].arrival_s, lags[at])
        for word, at in zip(texts[-1].split(), settled(texts), strict=True)
    )


def _engine_tokenizer(model: Qwen3Model) -> Tokenizer:
    """The engine's, with this checkpoint's special ids for its constants."""
    tokenizer = Tokenizer(str(model.folder))
    ids = tokenizer._tokenizer.get_vocab()
    tokenizer.IM_START_ID, tokenizer.IM_END_ID = ids["<|im_start|>"], ids["<|im_end|>"]
    tokenizer.EOS_TOKEN_IDS = tuple(sorted(model.vocabulary.end_ids))  # type: ignore[attr-defined]
    return tokenizer


def contestants(
    model: Qwen3Model, config: DecoderConfig, heads: tuple[tuple[int, int], ...]
) -> list[Contestant]:
    """The rows of the table, in order. `heads` are the published decoder's."""
    settings = PublishedSettings(heads)
    low = PublishedSettings(heads, border_fraction=0.15)
    whole = PublishedSettings(heads, context_tokens=WHOLE_CONTEXT_TOKENS)
    eager = {"border_s": EAGER_BORDER_S}
    half, one = (config.changed(step_s=step_s) for step_s in (0.5, 1.0))
    return [
        Contestant("offline", partial(offline, model), False),
        Contestant("ours, 1 s", partial(ours, model, one)),
        Contestant("ours, 0.5 s", partial(ours, model, half)),
        Contestant("ours, 1 s, eager", partial(ours, model, one.changed(**eager))),
        Contestant("ours, 0.5 s, eager", partial(ours, model, half.changed(**eager))),
        Contestant("published, border .25", partial(published, model, settings)),
        Contestant("published, border .15", partial(published, model, low)),
        Contestant("published, border .25, whole context", partial(published, model, whole)),
        Contestant("engine's streaming, 1 s", partial(engines_own, model, 1.0), False),
        Contestant("engine's streaming, 2 s", partial(engines_own, model, 2.0), False),
    ]


def measure(contestant: Contestant, utterances: Sequence[Utterance], detect: bool) -> Row:
    """Run one decoder over a corpus. The first utterance is run once before, untimed."""

    def run(utterance: Utterance) -> Streamed:
        return contestant.run(utterance.read(), None if detect else utterance.language)

    run(utterances[0])
    found = [run(utterance) for utterance in utterances]
    texts = [plain_text(u.text) for u in utterances], [plain_text(f.text) for f in found]
    words = word_errors(*texts)

    def times(name: str) -> Latency | None:
        lists = [getattr(one, name) for one in found]
        known = [
            stream_times(emitted, utterance.words, one.audio_s)
            for emitted, one, utterance in zip(lists, found, utterances, strict=True)
            if emitted is not None and utterance.words is not None
        ]
        return summary(known) if known else None

    audio_s = sum(one.audio_s for one in found)
    return Row(
        contestant.name,
        words,
        space_errors(*texts, words),
        times("words"),
        times("shown"),
        contestant.has_starts,
        sum(one.rewrites for one in found),
        sum(one.wall_s for one in found) / audio_s,
    )
