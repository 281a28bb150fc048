"""`AlignAttProcessor`: what simulstream calls with chunks of audio, over `StreamDecoder`.

Spoken in simulstream's own types, so this module imports it. It is named in that program's
configuration, which is YAML:

    type: alignheads.runtime.simulstream.processor.AlignAttProcessor
    model: whisper-base               # what --model of decode-stream takes
    decoder_config: decoder_config.json   # left out: the bundled one
    language: English                 # left out: --src-lang, or detected
    context: Anna Schmidt, Kubernetes # or @FILE
    step_s: 0.5                       # seconds of audio between two steps
    detokenizer_type: simuleval       # for simulstream's scorers
    latency_unit: word                # char where no spaces stand between words

What is committed is never taken back, so no output deletes tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from simulstream.server.speech_processors import (  # type: ignore[import-not-found]
    SpeechProcessor,
)
from simulstream.server.speech_processors.incremental_output import (  # type: ignore[import-not-found]
    IncrementalOutput,
)

from ...errors import InputError
from ...heads.load import load_heads
from ..models.context import read_context
from ..models.languages import language_code
from ..models.model import SpeechModel
from ..stream.config import DecoderConfig, chosen_config
from ..stream.decoder import StreamDecoder
from ..stream.word import Word, joined

_BY_CHARACTER = "char"


class AlignAttProcessor(SpeechProcessor):
    """One stream at a time; processors with the same `model` share its weights."""

    _models: dict[str, SpeechModel] = {}  # noqa: RUF012 - shared on purpose

    def __init__(self, config: SimpleNamespace) -> None:
        """Take simulstream's configuration.

        Raises:
            InputError: the model, the decoder's configuration or the language is not usable.
        """
        super().__init__(config)
        self.load_model(config)
        self._model = self._models[_named(config)]
        path, heads = getattr(config, "decoder_config", None), getattr(config, "heads", None)
        step_s = getattr(config, "step_s", None)
        self._config = chosen_config(
            self._model,
            None if path is None else DecoderConfig.load(Path(path)),
            None if heads is None else load_heads(heads),
            {} if step_s is None else {"step_s": float(step_s)},
        )
        self._context = read_context(getattr(config, "context", None))
        self._language = self._model.language_name(getattr(config, "language", None))
        self._given: str | None = None
        self._stream: StreamDecoder | None = None
        self._is_begun = False
        self._by_character = getattr(config, "latency_unit", "word") == _BY_CHARACTER

    @classmethod
    def load_model(cls, config: SimpleNamespace) -> None:
        """Load the model of this configuration, once.

        Raises:
            InputError: there is none of that name.
        """
        name = _named(config)
        if name not in cls._models:
            cls._models[name] = SpeechModel.load(name)

    @property
    def speech_chunk_size(self) -> float:
        """Seconds of audio that a chunk has: the decoder's step, unless the configuration says."""
        return float(getattr(self.config, "speech_chunk_size", None) or self._config.step_s)

    def process_chunk(self, waveform: np.ndarray) -> Any:
        """The words that are committed with these samples: [n] float32, 16 kHz, mono."""
        return self._output(self._open().feed(waveform))

    def end_of_stream(self) -> Any:
        """The words that are left."""
        return self._output(self._open().finish())

    def set_source_language(self, language: str) -> None:
        """The language that is spoken, for the streams to come: a name, a code or a locale.

        Raises:
            InputError: the model does not know it.
        """
        self._given = self._model.language_name(language)

    def set_target_language(self, language: str) -> None:
        """The language to write, which is the one that is spoken.

        Raises:
            InputError: it is another one: nothing is translated.
        """
        wanted, spoken = self._model.language_name(language), self._given or self._language
        if spoken is not None and wanted != spoken:
            raise InputError(
                f"the target language is {language_code(wanted)} and the source language "
                f"{language_code(spoken)}: this processor writes what is said; give the same"
            )
        self._given = wanted

    def tokens_to_string(self, tokens: Sequence[str]) -> str:
        """The text of words, as simulstream's detokeniser `simuleval` puts it together."""
        return ("" if self._by_character else " ").join(tokens)

    def clear(self) -> None:
        """Forget the stream; the next chunk begins another, in a language to be told anew."""
        self._stream = None
        self._given = None
        self._is_begun = False

    def _open(self) -> StreamDecoder:
        if self._stream is None:
            self._stream = StreamDecoder(
                self._model,
                self._config,
                language=self._given or self._language,
                context=self._context,
            )
        return self._stream

    def _output(self, words: Sequence[Word]) -> Any:
        text = joined(words)
        tokens = [word.text for word in words]
        if words and self._is_begun:
            text = words[0].spaced_text[: -len(words[0].text)] + text
        if self._by_character:
            # These are put together with nothing between, so each brings its white space.
            tokens = [word.spaced_text for word in words]
            if words and not self._is_begun:
                tokens[0] = words[0].text
        self._is_begun = self._is_begun or bool(words)
        return IncrementalOutput(tokens, text, [], "")


def _named(config: SimpleNamespace) -> str:
    return str(getattr(config, "model", "tiny"))
