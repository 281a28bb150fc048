"""What WhisperLiveKit asks of a backend: a loaded model for all, and a processor for each session.

Spoken in that server's own types, so this module imports it. How the two come to be called is
`whisperlivekit.py`.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from whisperlivekit.timed_objects import (  # type: ignore[import-not-found]
    ASRToken,
    Transcript,
)

from ...corpora.audio import SAMPLE_RATE, read_audio
from ...errors import InputError
from ...heads.load import load_heads
from ..models.context import read_context
from ..models.languages import language_code
from ..models.model import SpeechModel
from ..stream.config import DecoderConfig, chosen_config
from ..stream.online import LONGEST_PAUSE_S, OnlineProcessor, OnlineWord, SessionClosed
from .backend import BACKEND, model_called

_SETTINGS = {  # of a configuration, by the server's name for it
    "border_fraction": "border_fraction",
    "border_s": "border_s",
    "step_s": "step_s",
    "decoder_vad": "vad",  # the server has a `vad` of its own
}
_AUTO = "auto"
_RECENT_S = 30.0  # a session may be this far behind, and a silence that ended is still known
# Fields of the server's configuration that other decoders use. Each is refused where it is set.
_WITHOUT_EFFECT = (
    "audio_max_len",
    "audio_min_len",
    "backend_policy",
    "beams",
    "buffer_trimming",
    "buffer_trimming_sec",
    "cif_ckpt_path",
    "confidence_validation",
    "decoder_model_path",
    "decoder_type",
    "disable_fast_encoder",
    "encoder_model_path",
    "frame_threshold",
    "init_prompt",
    "lora_path",
    "max_context_tokens",
    "model_cache_dir",
    "model_path",
    "never_fire",
    "static_init_prompt",
)

logger = logging.getLogger(__name__)


class Qwen3SimulASR:
    """The loaded model that all sessions of a server share.

    Attributes:
        model: the checkpoint.
        config: how every session decodes.
        language: the server's language; None: the configuration's, or detected.
        context: names and terms that every session is told.
        sep: what the server puts between the texts of tokens, which bring their own spaces.
    """

    sep = ""
    SAMPLING_RATE = SAMPLE_RATE
    backend_choice = BACKEND

    def __init__(self, server: Any) -> None:
        """Load what a server's configuration asks for, and decode once so that all is warm.

        Args:
            server: a `WhisperLiveKitConfig`.

        Raises:
            InputError: an option that has no effect here, an unknown model or language, a task
                that the model cannot do, a configuration or heads that are missing or for another
                model, a context that cannot be used, or a warm-up file that cannot be read.
        """
        _refuse_without_effect(server)
        # What is wrong in a small file is told before a large one is loaded.
        path, heads = getattr(server, "decoder_config", None), server.custom_alignment_heads
        given = DecoderConfig.load(path) if path else None
        self.context = read_context(getattr(server, "context", None))
        file = load_heads(heads) if heads else None
        audio = read_audio(Path(server.warmup_file)) if server.warmup_file else None
        settings = {name: getattr(server, theirs, None) for theirs, name in _SETTINGS.items()}
        settings = {name: value for name, value in settings.items() if value is not None}
        task = "translate" if server.direct_english_translation else "transcribe"
        name = server.model_dir or model_called(server.model_size)
        self.model = SpeechModel.load(name, task=task)
        self.config = chosen_config(self.model, given, file, settings)
        self.language = None if server.lan == _AUTO else server.lan
        session = Qwen3SimulOnlineProcessor(
            self
        )  # its faults are told now, not to the first client
        if server.warmup_file != "":
            session.warmup(audio)


def _refuse_without_effect(server: Any) -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(server)}
    for name in _WITHOUT_EFFECT:
        if getattr(server, name) != defaults[name]:
            raise InputError(
                f"{name} is {getattr(server, name)!r}, which has no effect on {BACKEND}; leave it "
                "out: how that backend decodes is in decoder_config",
                arguments=("decoder_config",),
            )


class RecentAudio:
    """The last seconds of a session's audio, by where in it they are."""

    def __init__(self, longest_s: float) -> None:
        self._longest = int(longest_s * SAMPLE_RATE)
        self._parts: deque[tuple[int, np.ndarray]] = deque()

    def add(self, samples: np.ndarray, start: int) -> None:
        """Samples [n] that begin at `start`, where the ones before ended."""
        self._parts.append((start, samples))
        while start - self._parts[0][0] > self._longest:
            self._parts.popleft()

    def between(self, start: int, stop: int) -> np.ndarray:
        """The samples from `start` up to `stop`; fewer, where the first of them are gone."""
        found = [
            samples[max(0, start - place) : max(0, stop - place)]
            for place, samples in self._parts
            if place < stop and place + len(samples) > start
        ]
        return np.concatenate([np.zeros(0, np.float32), *found])


class Qwen3SimulOnlineProcessor:
    """One session: an `OnlineProcessor` whose words are the server's tokens.

    Only the calls that the server makes in threads wait for the engine.
    """

    SAMPLING_RATE = SAMPLE_RATE

    def __init__(self, asr: Qwen3SimulASR, language: str | None = None) -> None:
        """Open a session.

        Args:
            asr: what all sessions share.
            language: None: the server's; "auto": detected, whatever the server's is.

        Raises:
            InputError: a language that the model does not know.
        """
        self.asr = asr
        config, wanted = asr.config, asr.language if language is None else language
        if wanted == _AUTO:
            config, wanted = config.changed(language=None), None
        self._online = OnlineProcessor(asr.model, config, language=wanted, context=asr.context)
        self._processed_s = 0.0
        self._recent = RecentAudio(_RECENT_S)
        self._shown = Transcript()

    @property
    def end(self) -> float:
        """Seconds of the session received, silences included."""
        return self._online.end

    def insert_audio_chunk(self, audio: np.ndarray, audio_stream_end_time: float) -> None:
        """Take audio that ends at this time; see `OnlineProcessor`."""
        self._online.insert_audio_chunk(audio, audio_stream_end_time)

    def process_iter(self, is_last: bool = False) -> tuple[list[ASRToken], float]:
        """Decode what came in: the tokens committed since, and the time reached."""
        return self._goes_on(lambda: self._online.process_iter(is_last))

    def start_silence(self) -> tuple[list[ASRToken], float]:
        """A silence begins: all that was said before it."""
        return self._goes_on(self._online.start_silence)

    def end_silence(self, silence_duration: float, offset: float = 0.0) -> None:
        """A silence ended; see `OnlineProcessor`. What was heard in it is taken from `hear`."""
        stop = round((self.end + silence_duration) * SAMPLE_RATE)
        length = min(silence_duration, LONGEST_PAUSE_S)
        heard = self._recent.between(stop - round(length * SAMPLE_RATE), stop)
        self._online.end_silence(silence_duration, offset, audio=heard)

    def hear(self, samples: np.ndarray, start: int) -> None:
        """All audio of the session passes here, silences too, before it is known what it is.

        The server's detector reports the start of speech some 60 ms late, and would cut that much
        off each first word.
        """
        self._recent.add(samples, start)

    def new_speaker(self, change_speaker: object = None) -> tuple[list[ASRToken], float]:
        """Another person speaks: what the one before said."""
        return self._goes_on(lambda: self._online.new_speaker(change_speaker))

    def finish(self) -> tuple[list[ASRToken], float]:
        """No more audio comes: the last words.

        Raises:
            Exception: whatever the engine raises. The server tells of it in its log.
        """
        tokens = self._taken(self._online.finish)
        # The server takes the last buffer for words where none come; those that it showed are
        # committed by now, or were not said.
        self._shown.text = ""
        return tokens

    def get_buffer(self) -> Transcript:
        """The draft, which may change; a new object each time, since the server edits it."""
        draft = self._online.get_buffer()
        self._shown = Transcript(
            draft.start, draft.end, draft.text, detected_language=self._language_code()
        )
        return self._shown

    def warmup(self, audio: np.ndarray | None = None, init_prompt: str = "") -> None:
        """Decode something for nothing; see `OnlineProcessor`."""
        self._online.warmup(audio, init_prompt)

    def close(self) -> None:
        """The client has gone: a step under way is the last."""
        self._online.close()

    def _goes_on(
        self, call: Callable[[], tuple[list[OnlineWord], float]]
    ) -> tuple[list[ASRToken], float]:
        """As `_taken`; a fault is logged, since raising it would end the session in silence.

        WhisperLiveKit 0.2.26 marks a queue's task done a second time when a backend raises, and
        so loses the task that decodes. No audio is lost: the next call tries again.
        """
        try:
            return self._taken(call)
        except SessionClosed:
            pass
        except Exception:
            logger.exception("%s could not decode; the session goes on and tries again", BACKEND)
        return [], self._processed_s

    def _taken(
        self, call: Callable[[], tuple[list[OnlineWord], float]]
    ) -> tuple[list[ASRToken], float]:
        words, self._processed_s = call()
        tokens = [
            ASRToken(
                word.start, word.end, word.text, detected_language=language_code(word.language)
            )
            for word in words
        ]
        return tokens, self._processed_s

    def _language_code(self) -> str | None:
        """Of the language given or detected, as the server writes it: "en"."""
        return language_code(self._online.language)
