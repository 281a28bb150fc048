"""The processor interface of streaming servers, over `StreamDecoder`.

Servers that drive Whisper-like decoders (whisper_streaming, simulstream and their kin) call
`insert_audio_chunk` as audio arrives, `process_iter` when they have time, and tell of silences
and speakers that they detect themselves. One processor is one session; sessions in any threads
share one loaded model, since each model decodes on a thread of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ...corpora.audio import SAMPLE_RATE
from ...errors import InputError
from ..models.protocol import AlignmentModel
from ..policy.words import space_between
from .audio_buffer import as_samples
from .config import DecoderConfig
from .decoder import StreamDecoder
from .word import Word

LONGEST_PAUSE_S = 2.0
"""A silence up to this long is a pause in one text; after a longer one a new text begins."""
LEAD_IN_S = 0.3
"""Of what was heard in a silence, a new text begins with this much: detectors cut into words."""


@dataclass(frozen=True)
class OnlineWord:
    """A word as servers take it: `text` with its white space before it, times in their clock.

    `language`: that it was heard in, None where it is not known.

    The buffer, in the same form, may be empty: then `start` and `end` are None.
    """

    start: float | None
    end: float | None
    text: str
    language: str | None = None


@dataclass(frozen=True)
class _Chunk:
    samples: np.ndarray
    start_s: float  # in the server's clock
    is_after_silence: bool  # a long one


class SessionClosed(Exception):
    """The session was closed while it decoded."""


class OnlineProcessor:
    """One session of a server.

    Audio may be inserted in one thread while another processes. Only what processes waits for
    the engine: to open a session, to insert audio, to look at the buffer and to tell of the end
    of a silence is safe in a server's event loop.
    """

    SAMPLING_RATE = SAMPLE_RATE

    def __init__(
        self,
        model: AlignmentModel,
        config: DecoderConfig | None = None,
        *,
        language: str | None = None,
        context: str = "",
    ) -> None:
        """Open a session.

        Args:
            model: a loaded checkpoint; other sessions may share it.
            config: None: the bundled configuration of that model.
            language: None: the configuration's, or detected, anew after each long pause.
            context: names and terms that may be said; see `StreamDecoder`.

        Raises:
            InputError: as `StreamDecoder`.
        """
        self._model, self._config, self._language = model, config, language
        self._stream = StreamDecoder(
            model, config, language=language, context=context, on_step=self._check_open
        )
        self._arriving = threading.Lock()  # held for moments: the server's loop must not wait
        self._processing = threading.RLock()
        self._chunks: list[_Chunk] = []
        self._has_heard = self._is_after_silence = False
        self._unclaimed: list[OnlineWord] = []
        self._offset_s: float | None = None  # where the segment starts in the server's clock
        self._last_text, self._is_new_segment = "", True
        self._detected: str | None = None
        self._is_ending = self._is_closed = False
        self.end = 0.0

    @property
    def language(self) -> str | None:
        """The language given, or the last one detected; None while it is not known."""
        return self._stream.language or self._detected

    def insert_audio_chunk(self, audio: np.ndarray, audio_stream_end_time: float) -> None:
        """Take a chunk [n] float, 16 kHz mono, that ends at this time in the server's clock.

        Raises:
            InputError: as `StreamDecoder.feed`; nothing of the chunk is taken.
        """
        samples = as_samples(audio)
        if not np.isfinite(audio_stream_end_time):
            raise InputError(f"the end of the audio is at {audio_stream_end_time} s")
        with self._arriving:
            self.end = float(audio_stream_end_time)
            self._arrive(samples, self.end - len(samples) / SAMPLE_RATE)

    def process_iter(self, is_last: bool = False) -> tuple[list[OnlineWord], float]:
        """Decode what came in: the words committed since the last call, and the time reached.

        `is_last` ends the segment, as `finish` does.

        Raises:
            Exception: whatever the engine raises; no audio is lost, and the next call goes on.
        """
        return self._process(self._end_segment if is_last else None)

    def get_buffer(self) -> OnlineWord:
        """The draft: text that is not committed, and may change."""
        stream = self._stream
        if not stream.draft:
            return OnlineWord(None, None, "")
        offset_s = self._offset_s or 0.0
        return OnlineWord(stream.committed_s + offset_s, stream.received_s + offset_s, stream.draft)

    def start_silence(self) -> tuple[list[OnlineWord], float]:
        """A silence begins: commit all that was said before it. The segment goes on."""
        return self._process(self._flush)

    def end_silence(
        self, silence_duration: float, offset: float = 0.0, *, audio: np.ndarray | None = None
    ) -> None:
        """A silence ended whose audio was not inserted: the clock moves on by its duration.

        Voice detectors cut at pauses of a tenth of a second, and into the word that ends one. So
        after a silence of up to `LONGEST_PAUSE_S` the text goes on, with the silence in its
        audio; what follows a longer one is a segment of its own, after `LEAD_IN_S` of it.

        Args:
            silence_duration: in seconds.
            offset: taken for compatibility: the clock is known from the end times of the chunks.
            audio: what was heard in the silence, or in its end; zeros stand for what is missing.
        """
        size = round(silence_duration * SAMPLE_RATE)
        heard = np.zeros(0, np.float32) if audio is None else as_samples(audio)
        heard = heard[max(0, len(heard) - size) :]
        with self._arriving:
            self.end += silence_duration
            if silence_duration > LONGEST_PAUSE_S or not self._has_heard:
                self._is_after_silence = self._has_heard
                heard = heard[-int(LEAD_IN_S * SAMPLE_RATE) :]
            else:
                heard = np.concatenate([np.zeros(size - len(heard), np.float32), heard])
            if len(heard):
                self._arrive(heard, self.end - len(heard) / SAMPLE_RATE)

    def new_speaker(self, change_speaker: object = None) -> tuple[list[OnlineWord], float]:
        """Another person speaks: a segment ends with what the one before said."""
        return self._process(self._end_segment)

    def warmup(self, audio: np.ndarray | None = None, init_prompt: str = "") -> None:
        """Decode `audio` (None: a second of silence) for nothing, so that the first step is fast.

        `init_prompt` is taken for compatibility.
        """
        samples = np.zeros(SAMPLE_RATE, np.float32) if audio is None else as_samples(audio)
        stream = StreamDecoder(self._model, self._config, language=self._language)
        stream.feed(samples)
        stream.finish()

    def finish(self) -> tuple[list[OnlineWord], float]:
        """No more audio comes: the last words. More audio would start another segment."""
        return self._process(self._end_segment)

    def close(self) -> None:
        """Nobody listens any more. A call under way ends, with `SessionClosed`, after its step."""
        self._is_closed = True

    def _check_open(self, _: object = None) -> None:
        if self._is_closed:
            raise SessionClosed("the session is closed")

    def _arrive(self, samples: np.ndarray, start_s: float) -> None:
        self._chunks.append(_Chunk(samples, start_s, self._is_after_silence))
        self._is_after_silence, self._has_heard = False, True

    def _process(self, ending: Callable[[], None] | None) -> tuple[list[OnlineWord], float]:
        with self._processing:
            self._check_open()
            with self._arriving:
                chunks, self._chunks, end_s = self._chunks, [], self.end
            self._feed(chunks)
            if ending is not None:
                ending()
            words, self._unclaimed = self._unclaimed, []
            return words, end_s

    def _feed(self, chunks: list[_Chunk]) -> None:
        rest = list(_runs(chunks))
        try:
            while rest:
                if rest[0][0].is_after_silence or self._is_ending:
                    self._end_segment()
                run = rest.pop(0)
                if self._offset_s is None:
                    self._offset_s = run[0].start_s
                self._claim(self._stream.feed(np.concatenate([chunk.samples for chunk in run])))
        except BaseException:
            with self._arriving:
                self._chunks[:0] = [chunk for run in rest for chunk in run]
            raise

    def _flush(self) -> None:
        if self._is_ending:
            self._end_segment()
        elif self._offset_s is not None:
            self._claim(self._stream.flush())

    def _end_segment(self) -> None:
        """Commit what is left; what comes after belongs to the next segment."""
        if self._offset_s is None:
            return
        self._is_ending = True  # until it is done: the engine may fail, and is asked again
        self._claim(self._stream.finish())
        self._stream.reset()
        self._offset_s, self._is_ending, self._is_new_segment = None, False, True

    def _claim(self, words: Iterable[Word]) -> None:
        offset_s = self._offset_s or 0.0
        for word in words:
            # The first word of a stream has no space before it; in a session it may need one.
            self._detected = self._stream.language
            text = word.spaced_text
            if text == word.text and self._is_new_segment:
                text = space_between(self._last_text, word.text) + word.text
            self._unclaimed.append(
                OnlineWord(word.start_s + offset_s, word.end_s + offset_s, text, word.language)
            )
            self._last_text, self._is_new_segment = word.text, False


def _runs(chunks: list[_Chunk]) -> Iterator[list[_Chunk]]:
    """Chunks that follow each other, cut where a long silence was."""
    run: list[_Chunk] = []
    for chunk in chunks:
        if chunk.is_after_silence and run:
            yield run
            run = []
        run.append(chunk)
    if run:
        yield run
