"""What a stream computes at the real models' sizes, counted while the tiny one speaks.

    python benchmarks/cost.py --size 0.6b [--sessions 8]

The bundled tiny model streams the demo speech, one clip after the other in one stream, with the
policy bundled for the size; each of its steps is counted by the formulas of the size's shapes
(`runtime/models/qwen3/cost.py`). Nothing of that size is loaded or computed: what a step costs
follows from how much audio and text it reads, and tiny writes some three tokens a second, as the
real models do. The numbers are the same on every machine. What `--sessions` adds is measured on
this one: see `sharing.py`.
"""

from __future__ import annotations

import alignheads.runtime.models  # isort: skip  # noqa: F401  OpenBLAS must come before MLX

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from unittest.mock import patch

import numpy as np
import typer
from full_size import shapes
from reused_words import compare, words_changed
from sharing import report_sharing

from alignheads import DecoderConfig, SpeechModel, StreamDecoder, load_corpus
from alignheads.commandline import run
from alignheads.corpora.audio import SAMPLE_RATE
from alignheads.evaluate.timed import pieces
from alignheads.runtime.models.qwen3 import cost, source, stream_encoder
from alignheads.runtime.models.work import Work

BARS = {"0.6b": 140.0}
"""GFLOP a second of audio with steps of 1 s, a buffer of 30 s, and no draft."""
REUSE_BARS = {"0.6b": 70.0}
"""Likewise, with reuse."""
_MODELS_OWN = ("model", "heads", "head_count", "calibration", "language", "schema_version")


@dataclass(frozen=True)
class Counted:
    """One stream. `words`: texts and times, as they were committed."""

    work: Work
    audio_s: float
    tokens: int
    words: list[tuple[str, float, float, float]]

    @property
    def gflops(self) -> float:
        """For a second of audio."""
        return self.work.flop / self.audio_s / 1e9


def counted(
    model: SpeechModel, size: str, samples: np.ndarray, config: DecoderConfig, *, draft: bool
) -> Counted:
    """Stream `samples` with tiny, and count at the shapes of `size`."""
    wanted = shapes(size)
    layers = wanted.text_config.num_hidden_layers
    heads = DecoderConfig.bundled(size).head_count
    looked_at = [(layer, 0) for layer in range(min(layers, heads))]  # at most so many layers
    encoder = cost.EncoderCost(wanted.audio_config)
    decoder = cost.DecoderCost(wanted.text_config, looked_at)
    with ExitStack() as stack:
        stack.enter_context(patch.object(stream_encoder, "EncoderCost", lambda _: encoder))
        stack.enter_context(patch.object(source, "DecoderCost", lambda *_: decoder))
        stream = StreamDecoder(model, config, language="en", draft=draft)
        for piece in pieces(samples, config.step_s):
            stream.feed(piece)
        stream.finish()
    assert stream.work is not None
    return Counted(
        stream.work,
        len(samples) / SAMPLE_RATE,
        sum(len(word.token_ids) for word in stream.words),
        [(word.text, word.start_s, word.end_s, word.emitted_s) for word in stream.words],
    )


def speech(seconds: float) -> np.ndarray:
    """Clips of the demo one after the other, so many seconds or all."""
    clips, total = [], 0.0
    for utterance in load_corpus("demo:all").utterances:
        if total >= seconds:
            break
        clips.append(utterance.read())
        total += len(clips[-1]) / SAMPLE_RATE
    return np.concatenate(clips)


def cost_command(
    size: Annotated[str, typer.Option(help="0.6b or 1.7b")] = "0.6b",
    seconds: Annotated[float, typer.Option(help="of the demo speech")] = 128.0,
    steps: Annotated[str, typer.Option(help="seconds between steps, by commas")] = "0.5,1,2",
    buffers: Annotated[str, typer.Option(help="seconds of the buffer, by commas")] = "12,16,24,30",
    refresh: Annotated[str, typer.Option(help="seconds read again with reuse, by commas")] = "1,2",
    words: Annotated[
        str, typer.Option(help="compare words with reuse, of demo, digits, noise and long")
    ] = "",
    digits_corpus: Annotated[Path | None, typer.Option(help="real digits, for words")] = None,
    minutes: Annotated[float, typer.Option(help="of a long stream, for words")] = 60.0,
    sessions: Annotated[int, typer.Option(help="at once, to measure what they share")] = 0,
    full_size: Annotated[Path | None, typer.Option(help="a checkpoint for these, too")] = None,
) -> None:
    """Count what a stream computes, by step, buffer and reuse, and compare with the bars."""
    model, samples = SpeechModel.load("tiny"), speech(seconds)
    bundled = DecoderConfig.bundled(size)
    policy = {k: v for k, v in dict(bundled).items() if k not in _MODELS_OWN}
    base = DecoderConfig.bundled("tiny").changed(**policy)
    print(f"{size} shapes, tiny's text, {len(samples) / SAMPLE_RATE:.0f} s of demo speech")
    print(
        "step  buffer  draft  reuse  GFLOP/s  encoder  decoder  attention  vocabulary  "
        "weight reads/s  words changed"
    )
    usual = bundled.step_s, bundled.max_audio_s
    settings = [(float(step), usual[1], True, 0.0) for step in numbers(steps)]
    settings += [(usual[0], float(buffer), True, 0.0) for buffer in numbers(buffers)]
    settings += [(*usual, False, float(refresh_s)) for refresh_s in ("0", *numbers(refresh))]
    exact: Counted | None = None
    for step_s, max_audio_s, draft, refresh_s in dict.fromkeys(settings):
        config = base.changed(step_s=step_s, max_audio_s=max_audio_s)
        if refresh_s:
            config = config.changed(reuse=True, refresh_s=refresh_s)
        found = counted(model, size, samples, config, draft=draft)
        exact = found if not (draft or refresh_s) else exact
        work, per_s = found.work, 1e9 * found.audio_s
        parts = (work.encoder_flop, work.decoder_flop, work.attention_flop, work.vocabulary_flop)
        print(
            f"{step_s:4g}  {max_audio_s:6g}  {'yes' if draft else 'no':>5}  "
            f"{refresh_s or 'no':>5}  {found.gflops:7.1f}  "
            + "  ".join(f"{part / per_s:7.1f}" for part in parts)
            + f"  {work.forward_passes / found.audio_s:14.2f}"
            + (f"  {changed(exact, found)} of {len(exact.words)}" if refresh_s and exact else ""),
            flush=True,
        )
        bars = REUSE_BARS if refresh_s else BARS
        if not draft and size in bars:
            verdict = "met" if found.gflops <= bars[size] else "missed"
            kind = f"with {refresh_s:g} s read again" if refresh_s else "exact"
            print(
                f"bar: at most {bars[size]:g} GFLOP a second, {kind}: {found.gflops:.1f}, {verdict}"
            )
    if sessions:
        report_sharing(sessions, 24, full_size)
    if words:
        compare(words, refresh, digits_corpus, minutes)


def numbers(text: str) -> list[str]:
    """What commas part."""
    return [part for part in text.split(",") if part.strip()]


def changed(exact: Counted, found: Counted) -> int:
    """Words of one that are other ones, missing or more in the other."""
    return words_changed(*([word[0] for word in one.words] for one in (exact, found)))


if __name__ == "__main__":
    run(cost_command)
