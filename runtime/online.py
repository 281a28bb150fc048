"""The processor interface of streaming servers, over `StreamDecoder`.

Servers that drive Whisper-like decoders (whisper_streaming, simulstream and their kin) call
`insert_audio_chunk` as audio arrives, `process_iter` when they have time, and tell of silences
and speakers that they detect themselves. One processor is one session; sessions in any threads
share one loaded model, since each model decodes on a thread of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .config import DecoderConfig
from .model import SAMPLE_RATE, SpeechModel
from .stream import StreamDecoder, Word, as_samples


@dataclass(frozen=True)
class OnlineWord:
    """A word as servers take it: `text` with the space before it, times in the server's clock.

    The buffer, in the same form, may be empty: then `start` and `end` are None.
    """

    start: float | None
    end: float | None
    text: str


class OnlineProcessor:
    """One session of a server.

    Audio may be inserted in one thread while another processes.
    """

    SAMPLING_RATE = SAMPLE_RATE

    def __init__(
        self,
        model: SpeechModel,
        config: DecoderConfig | None = None,
        *,
        language: str | None = None,
    ) -> None:
        """Open a session.

        Args:
            model: a loaded checkpoint; other sessions may share it.
            config: None: the bundled configuration of that model.
            language: None: the configuration's, or detected once a segment.

        Raises:
            InputError: as `StreamDecoder`.
        """
        self._model, self._config, self._language = model, config, language
        self._stream = StreamDecoder(model, config, language=language)
        self._arriving = threading.Lock()  # held for moments: the server's loop must not wait
        self._processing = threading.RLock()
        self._chunks: list[np.ndarray] = []
        self._unclaimed: list[OnlineWord] = []
        self._offset_s: float | None = None  # where the segment starts in the server's clock
        self.end = 0.0

    def insert_audio_chunk(self, audio: np.ndarray, audio_stream_end_time: float) -> None:
        """Take a chunk [n] float, 16 kHz mono, that ends at this time in the server's clock.

        Raises:
            InputError: as `StreamDecoder.feed`; nothing of the chunk is taken.
        """
        samples = as_samples(audio)
        if not np.isfinite(audio_stream_end_time):
            raise InputError(f"the end of the audio is at {audio_stream_end_time} s")
        with self._arriving:
            if self._offset_s is None:
                self._offset_s = audio_stream_end_time - len(samples) / SAMPLE_RATE
            self._chunks.append(samples)
            self.end = float(audio_stream_end_time)

    def process_iter(self, is_last: bool = False) -> tuple[list[OnlineWord], float]:
        """Decode what came in: the words committed since the last call, and the time reached.

        `is_last` ends the segment, as `finish` does.

        Raises:
            Exception: whatever the engine raises; no audio is lost, and the next call goes on.
        """
        with self._processing:
            with self._arriving:
                chunks, self._chunks = self._chunks, []
            if chunks:
                self._claim(self._stream.feed(np.concatenate(chunks)))
            if is_last:
                self._end_segment()
            words, self._unclaimed = self._unclaimed, []
            return words, self.end

    def get_buffer(self) -> OnlineWord:
        """The draft: text that is not committed, and may change."""
        stream = self._stream
        if not stream.draft:
            return OnlineWord(None, None, "")
        offset_s = self._offset_s or 0.0
        return OnlineWord(stream.committed_s + offset_s, stream.received_s + offset_s, stream.draft)

    def start_silence(self) -> tuple[list[OnlineWord], float]:
        """A silence begins: commit all that was said before it."""
        return self.process_iter(is_last=True)

    def end_silence(self, silence_duration: float, offset: float = 0.0) -> None:
        """A silence ended whose audio was not inserted: the clock moves on by its duration.

        `offset` is taken for compatibility: where a segment starts is known from the end time
        of its first chunk.
        """
        with self._arriving:
            self.end += silence_duration

    def new_speaker(self, change_speaker: object = None) -> None:
        """Another person speaks: commit what the one before said.

        Servers do not look at what this returns: the words come with the next call that
        returns words.
        """
        with self._processing:
            words, _ = self.process_iter(is_last=True)
            self._unclaimed = words + self._unclaimed

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
        return self.process_iter(is_last=True)

    def _end_segment(self) -> None:
        """Commit what is left; chunks that came meanwhile belong to the next segment."""
        self._claim(self._stream.finish())
        self._stream.reset()
        with self._arriving:
            waiting = sum(map(len, self._chunks)) / SAMPLE_RATE
            self._offset_s = self.end - waiting if self._chunks else None

    def _claim(self, words: Sequence[Word]) -> None:
        offset_s = self._offset_s or 0.0
        self._unclaimed += [
            OnlineWord(w.start_s + offset_s, w.end_s + offset_s, _spaced(w)) for w in words
        ]


def _spaced(word: Word) -> str:
    return (" " if word.space_before else "") + word.text
