"""Decoders run over a corpus, one utterance after another, and timed. Scores nothing."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from ..corpora import WordTime
from ..corpora.audio import SAMPLE_RATE
from ..errors import InputError
from ..runtime.models.model import transcribe
from ..runtime.models.protocol import AlignmentModel
from ..runtime.models.spectrogram import spectrogram
from ..runtime.stream.config import DecoderConfig
from ..runtime.stream.decoder import StreamDecoder
from ..runtime.stream.trace import StepTrace
from .items import Item
from .latency import CommittedWord, Times, stream_times
from .result import Mode, Observation, RunSettings
from .timed import TimedStream, timed_stream
from .trace_types import Trace
from .traces import TRACED_S, make_trace

DETECT, AUTO = "detect", "auto"
"""As a language: none is given to the decoder."""

Audio = tuple[np.ndarray, tuple[WordTime, ...] | None]
"""As `Item.read` gives it: samples, and the words spoken in them."""

_WARM_UP_S = 10.0


@dataclass(frozen=True)
class Decoder:
    """One decoder of a benchmark. `config` is None for offline decoding.

    `context`: names and terms that it is told.
    """

    name: str
    mode: Mode
    config: DecoderConfig | None
    context: str = ""

    def settings(self, model: AlignmentModel) -> RunSettings:
        """As the file holds it."""
        told = self.context or None
        if self.config is None:
            return RunSettings(name=self.name, mode=self.mode, context=told)
        heads = list(self.config.resolved(model).pairs)
        config = self.config.model_dump(mode="json", exclude={"calibration", "heads"})
        return RunSettings(
            name=self.name,
            mode=self.mode,
            config=config,
            config_sha256=_hash(config),
            heads=heads,
            heads_sha256=_hash(heads),
            step_s=self.config.step_s if self.mode == "simul" else None,
            context=told,
        )


def decoders(
    modes: Sequence[Mode],
    configs: Sequence[tuple[str, DecoderConfig]],
    steps_s: Sequence[float] = (),
    context: str = "",
) -> list[Decoder]:
    """Every mode with every configuration; the step matters in simul only, neither in offline.

    Args:
        modes: in order.
        configs: (label, configuration); labels stand in names where there are several.
        steps_s: in place of the configurations' own.
        context: of all of them.
    """
    found: list[Decoder] = []
    for mode in dict.fromkeys(modes):
        if mode == "offline":
            found.append(Decoder(mode, mode, None, context))
            continue
        for label, config in configs:
            name = f"{mode} {label}" if len(configs) > 1 else mode
            if mode == "single-shot" or not steps_s:
                found.append(Decoder(name, mode, config, context))
                continue
            for step_s in dict.fromkeys(steps_s):
                suffix = f", {step_s:g} s" if len(set(steps_s)) > 1 else ""
                found.append(Decoder(name + suffix, mode, config.changed(step_s=step_s), context))
    return found


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def warm_up(model: AlignmentModel, decoder: Decoder, item: Item, language: str | None) -> None:
    """Decode the first seconds of `item` for nothing: the first step of all is slow.

    Raises:
        InputError: the audio cannot be used.
    """
    samples, _ = item.read()
    _decode(model, decoder, samples[: int(_WARM_UP_S * SAMPLE_RATE)], _given(item, language), None)


def observe(
    model: AlignmentModel,
    decoder: Decoder,
    item: Item,
    language: str | None,
    is_traced: bool = False,
    read: Callable[[], Audio] | None = None,
) -> tuple[Observation, Trace | None]:
    """Decode one item, and trace its steps where that is asked for and there are any.

    Args:
        model: loaded.
        decoder: what to decode with.
        item: what to decode.
        language: given to the decoder: a name, `DETECT` or `AUTO` for none, None: the corpus's own.
        is_traced: whether to keep what each step saw.
        read: gives the item's audio; None: `item.read`.

    Raises:
        InputError: the audio cannot be used, or the model lacks the language.
        Exception: what the engine raises, with the item's id as a note.
    """
    samples, gold = (read or item.read)()
    steps: list[StepTrace] = []
    try:
        found = _decode(
            model, decoder, samples, _given(item, language), steps.append if is_traced else None
        )
    except InputError as error:
        raise InputError(f"{item.id}: {error}", arguments=error.arguments) from error
    except Exception as error:
        error.add_note(f"while decoding {item.id} ({decoder.name})")
        raise
    observation = Observation(
        id=item.id,
        language=item.language if language in (None, DETECT, AUTO) else language,
        reference=item.reference,
        hypothesis=found.text,
        duration_s=found.audio_s,
        wall_s=found.wall_s,
        words=None if decoder.mode == "offline" else _committed(found),
        times=_times(found, gold) if decoder.mode != "offline" and gold is not None else None,
        gflop=found.work and round(found.work.flop / 1e9, 6),
        forward_passes=found.work and found.work.forward_passes,
    )
    if not (is_traced and steps and decoder.config is not None):
        return observation, None
    picture = spectrogram(samples[: int(TRACED_S * SAMPLE_RATE)])
    return observation, make_trace(item, steps, gold, picture, found.audio_s)


def _given(item: Item, language: str | None) -> str | None:
    return None if language in (DETECT, AUTO) else language or item.language


def _decode(
    model: AlignmentModel,
    decoder: Decoder,
    samples: np.ndarray,
    language: str | None,
    on_step: Callable[[StepTrace], None] | None,
) -> TimedStream:
    if decoder.mode == "offline":
        begin = time.perf_counter()
        text = transcribe(model, samples, language, decoder.context).text
        wall_s = time.perf_counter() - begin
        return TimedStream((), text, wall_s, len(samples) / SAMPLE_RATE)
    stream = StreamDecoder(
        model, decoder.config, language=language, context=decoder.context, on_step=on_step
    )
    piece_s = math.inf if decoder.mode == "single-shot" else None
    return timed_stream(stream, samples, piece_s=piece_s)


def _committed(found: TimedStream) -> list[CommittedWord]:
    return [
        CommittedWord(
            text=word.text,
            start_s=round(word.start_s, 3),
            end_s=round(word.end_s, 3),
            emitted_s=round(word.emitted_s, 3),
            lag_s=round(word.lag_s, 4),
            probability=_rounded(word.probability, 4),
            border_distance_s=_rounded(word.border_distance_s, 3),
        )
        for word in found.words
    ]


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _times(found: TimedStream, gold: Sequence[WordTime]) -> Times:
    return stream_times(found.words, gold, found.audio_s).rounded(4)


def with_heads(decoder: Decoder, model: AlignmentModel) -> Decoder:
    """A decoder whose configuration holds its heads, or every stream would read their file."""
    if decoder.config is None:
        return decoder
    return replace(decoder, config=decoder.config.resolved(model))


def run_decoder(
    model: AlignmentModel,
    decoder: Decoder,
    items: Sequence[Item],
    language: str | None,
    *,
    known: Mapping[str, Observation],
    traced: frozenset[str],
    on_observation: Callable[[Observation, Trace | None], None],
) -> None:
    """Run one decoder over all of `items` that are not `known` by id, after a warm-up.

    `traced` are ids; `on_observation` gets each result as it comes.

    Raises:
        Exception: as `observe`. What came before was handed over.
    """
    decoder = with_heads(decoder, model)
    left = [item for item in items if item.id not in known]
    if left:
        warm_up(model, decoder, left[0], language)
    for item, read in _read_ahead(left):
        on_observation(*observe(model, decoder, item, language, item.id in traced, read))


def _read_ahead(items: Sequence[Item]) -> Iterator[tuple[Item, Callable[[], Audio]]]:
    """Each item with what gives its audio, which was read while the one before was decoded."""
    with ThreadPoolExecutor(1) as reader:
        coming = [reader.submit(item.read) for item in items[:1]]
        for index, item in enumerate(items):
            coming += [reader.submit(one.read) for one in items[index + 1 : index + 2]]
            yield item, coming.pop(0).result
