"""The encoder over one growing buffer: each finished piece of audio is encoded once.

A chunk of 1 s goes through the convolutions by itself, and a window of 8 s through the
transformer. A louder passage raises the floor of the log-mel of what came before it, and with it
all that was made of that. Here it does so within its window: a finished window is what it was
when it ended, whatever is heard later, and is kept; so are the finished chunks of the window that
is not, while the floor leaves them as they are. Knows MLX and one buffer, no text.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cache

import numpy as np
from mlx_qwen3_asr.audio import mel_filters
from mlx_qwen3_asr.encoder import AudioEncoder

from ..backend import mx
from ..log_mel import LogMel
from ..work import Work
from .audio_encoder import chunk_mel_frames, embed, split, transform
from .cost import EncoderCost


@dataclass(frozen=True)
class _Chunk:
    """What the convolutions made of a chunk's log-mel frames; `floor` is the one they had."""

    floor: float
    made: mx.array


@cache
def _log_mel(bands: int) -> LogMel:
    """To copy: taking the filterbank apart costs as much as a tenth of a second's decoding."""
    return LogMel(np.array(mel_filters(bands)))


class StreamEncoder:
    """Encodes one buffer. Without `caches`, all of it anew each time.

    Attributes:
        work: what was computed, since it was made.
    """

    def __init__(self, encoder: AudioEncoder, dtype: mx.Dtype, *, caches: bool = True) -> None:
        self._encoder, self._dtype, self._caches = encoder, dtype, caches
        self._cost = EncoderCost(encoder.config)
        self.work = Work()
        self._mel = copy(_log_mel(encoder.config.num_mel_bins))
        self._window_mel: int = encoder.attention_window_frames
        self.reset()

    def reset(self) -> None:
        """Forget everything that was kept."""
        self._mel.reset()
        self._windows: list[mx.array] = []
        self._chunks: list[_Chunk] = []  # finished ones of the window that is not
        self._encoded: tuple[tuple[int, int], mx.array] | None = None  # of the last call

    def drop(self, mel_frames: int) -> None:
        """The buffer's first `mel_frames` have left it: chunks and windows are other ones."""
        self._mel.drop(mel_frames)
        self._windows, self._chunks, self._encoded = [], [], None

    def encode(self, samples: np.ndarray, lead: int) -> tuple[list[mx.array], mx.array]:
        """Embeddings of the buffer.

        Args:
            samples: [lead + n] float32, n more than 200: see `LogMel.update`.
            lead: see there.

        Returns:
            Those of the finished windows, [frames, width] each, of which those given before are
            the same until the next `drop` or `reset`; and of the rest, which may be [0, width].
        """
        if not self._caches:
            self.reset()
        size = len(samples), lead
        if self._encoded is not None and self._encoded[0] == size:  # the same buffer again
            return list(self._windows), self._encoded[1]
        count, final = self._mel.update(samples, lead)
        finished = final // self._window_mel
        for index in range(len(self._windows), finished):
            start = index * self._window_mel
            hidden = self._embedded(start, start + self._window_mel, count, final)
            self._windows.append(self._transformed(hidden))
            self._chunks = []
        start = finished * self._window_mel
        if start == count:
            tail = self._windows[-1][:0]
        else:
            tail = self._transformed(self._embedded(start, count, count, final))
        self._encoded = size, tail
        return list(self._windows), tail

    def _transformed(self, hidden: mx.array) -> mx.array:
        self.work += self._cost.transformer(len(hidden))
        return self._transform(hidden)

    def _transform(self, hidden: mx.array) -> mx.array:
        return transform(self._encoder, hidden)

    def _embed(self, batch: tuple[mx.array, int]) -> mx.array:
        return embed(self._encoder, batch)

    def _embedded(self, start: int, stop: int, count: int, final: int) -> mx.array:
        """The frames of mel frames `start` to `stop`, of `count`, before the transformer."""
        size = chunk_mel_frames(self._encoder)
        floor = self._mel.floor(stop)
        for index, chunk in enumerate(self._chunks):
            first = start + index * size
            highest = max(floor, chunk.floor)
            if floor != chunk.floor and not self._mel.is_above(highest, first, first + size):
                del self._chunks[index:]
                break
        begin = start + len(self._chunks) * size
        parts = [chunk.made for chunk in self._chunks]
        rest = mx.array(self._mel.scaled(begin, stop, floor)).astype(self._dtype)
        for batch in split(self._encoder, rest, count) if begin < stop else []:
            chunks, _, mel_frames = batch[0].shape
            self.work += self._cost.convolutions(chunks, mel_frames, batch[1])
            parts.append(self._embed(batch))
            frames = len(parts[-1]) // chunks
            for index in range(chunks):
                if start + (len(self._chunks) + 1) * size > min(stop, final):
                    break
                made = parts[-1][index * frames : (index + 1) * frames]
                self._chunks.append(_Chunk(floor, made))
        return mx.concatenate(parts)
