"""What a machine, an installation and a checkpoint are, and how fast: one JSON for an issue."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from ..corpora import load_corpus
from ..corpora.audio import SAMPLE_RATE
from ..errors import InputError
from ..runtime.models import machine
from ..runtime.models.checkpoint import KNOWN_MODELS
from ..runtime.models.model import SpeechModel
from ..runtime.stream.config import DecoderConfig
from ..runtime.stream.decoder import StreamDecoder

SCHEMA_VERSION = 1
SPEECH_S = 10.0
_BLOCK_S = 0.1
_REPEATS = 3


def report_environment(model: str | Path = "tiny", dtype: str | None = None) -> dict[str, Any]:
    """Versions, device, checkpoint and three timings, over 10 s of the bundled speech.

    The timings, in seconds: `load`, of the weights and the tokenizer; `transcribe`, the median of
    three after one that is not counted; `stream`, of a whole stream with the bundled
    configuration, None where none is bundled. No path is in it, and a model's name only if it is
    that of a released one: folders and private repositories may be called after people.

    Args:
        model: what `SpeechModel.load` takes.
        dtype: likewise.

    Raises:
        InputError: a model that cannot be loaded.
    """
    started = time.perf_counter()
    loaded = SpeechModel.load(model, dtype)
    load_s = time.perf_counter() - started
    samples = _speech()
    text = loaded.transcribe(samples).text
    took_s = [_took_s(lambda: loaded.transcribe(samples)) for _ in range(_REPEATS)]
    config = _bundled(loaded)
    stream_s = None if config is None else _took_s(lambda: _stream(loaded, config, samples))
    return {
        "schema_version": SCHEMA_VERSION,
        "versions": machine.versions(),
        "platform": machine.platform_name(),
        "device": machine.device_name(),
        "memory_bytes": machine.memory_bytes(),
        "backend": machine.backend_name(),
        "model": {
            "name": _public_name(loaded.name),
            "family": loaded.family,
            "fingerprint": loaded.fingerprint,
            "dtype": loaded.dtype,
            "layers": loaded.num_layers,
            "heads": loaded.num_heads,
            "languages": len(loaded.languages),
        },
        "speech_s": SPEECH_S,
        "timings_s": {
            "load": round(load_s, 3),
            "transcribe": round(statistics.median(took_s), 3),
            "stream": None if stream_s is None else round(stream_s, 3),
        },
        "peak_array_bytes": machine.peak_array_bytes(),
        "peak_process_bytes": machine.peak_process_bytes(),
        "words": len(text.split()),
    }


def _public_name(name: str) -> str | None:
    released = {one.lower() for known in KNOWN_MODELS.items() for one in known}
    folders = {one.rpartition("/")[2] for one in released}  # as the hub's copies are called
    return name if name.lower() in released | folders else None


def _speech() -> np.ndarray:
    parts = [utterance.read() for utterance in load_corpus("demo:test").utterances[:4]]
    return np.concatenate(parts)[: int(SPEECH_S * SAMPLE_RATE)]


def _bundled(model: SpeechModel) -> DecoderConfig | None:
    try:
        return DecoderConfig.bundled(model.name)
    except InputError:
        return None


def _stream(model: SpeechModel, config: DecoderConfig, samples: np.ndarray) -> None:
    stream = StreamDecoder(model, config)
    step = int(_BLOCK_S * SAMPLE_RATE)
    for start in range(0, len(samples), step):
        stream.feed(samples[start : start + step])
    stream.finish()


def _took_s(call) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
