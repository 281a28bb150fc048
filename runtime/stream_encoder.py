"""The encoder over one growing buffer: each finished piece of audio is encoded once.

A chunk of 1 s goes through the convolutions by itself, and a window of 8 s through the
transformer: what is finished is kept, while its log-mel stays what it was. Knows MLX and one
buffer, no text.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cache

import numpy as np
from mlx_qwen3_asr.audio import mel_filters
from mlx_qwen3_asr.encoder import AudioEncoder

from .audio_encoder import chunk_mel_frames, embed, split, transform
from .backend import mx
from .log_mel import LogMel


@dataclass(frozen=True)
class _Kept:
    """What was made of some log-mel frames; `floor` is the one they had."""

    floor: float
    made: mx.array


@cache
def _log_mel(bands: int) -> LogMel:
    """To copy: taking the filterbank apart costs as much as a tenth of a second's decoding."""
    return LogMel(np.array(mel_filters(bands)))


class StreamEncoder:
    """Encodes one buffer. Without `caches`, all of it anew each time."""

    def __init__(self, encoder: AudioEncoder, dtype: mx.Dtype, *, caches: bool = True) -> None:
        self._encoder, self._dtype, self._caches = encoder, dtype, caches
        self._mel = copy(_log_mel(encoder.config.num_mel_bins))
        self._window_mel: int = encoder.attention_window_frames
        self.reset()

    def reset(self) -> None:
        """Forget everything that was kept."""
        self._mel.reset()
        self._windows: list[_Kept] = []
        self._chunks: list[_Kept] = []  # finished ones of the window that is not

    def drop(self, mel_frames: int) -> None:
        """The buffer's first `mel_frames` have left it: chunks and windows are other ones."""
        self._mel.drop(mel_frames)
        self._windows, self._chunks = [], []

    def encode(self, samples: np.ndarray, lead: int) -> tuple[list[mx.array], mx.array, int]:
        """Embeddings of the buffer.

        Args:
            samples: [lead + n] float32, n more than 200: see `LogMel.frames`.
            lead: see there.

        Returns:
            Those of the finished windows, [frames, width] each; of the rest, which may be
            [0, width]; and how many windows, from the first on, are what they were.
        """
        if not self._caches:
            self.reset()
        count, final = self._mel.update(samples, lead)
        finished = final // self._window_mel
        had = len(self._windows)
        same = self._keep_true(self._windows, 0, self._window_mel)
        if same < had:
            self._chunks = []  # of a window after those to be made anew
        for index in range(same, finished):
            start = index * self._window_mel
            hidden = self._embedded(start, start + self._window_mel, count, final)
            window = _Kept(self._mel.floor, transform(self._encoder, hidden))
            self._windows.append(window)
            self._chunks = []
        start = finished * self._window_mel
        windows = [window.made for window in self._windows]
        if start == count:
            return windows, windows[-1][:0], same
        hidden = self._embedded(start, count, count, final)
        return windows, transform(self._encoder, hidden), same

    def _keep_true(self, kept: list[_Kept], start: int, size: int) -> int:
        """Forget pieces that are no more what they were, and all after them; how many are.

        A louder passage raises the floor of the log-mel of all that came before.

        Args:
            kept: made of `size` mel frames each, the first from mel frame `start` on.
        """
        for index, piece in enumerate(kept):
            first = start + index * size
            if not self._mel.is_as_under(piece.floor, first, first + size):
                del kept[index:]
                break
        return len(kept)

    def _embedded(self, start: int, stop: int, count: int, final: int) -> mx.array:
        """The frames of mel frames `start` to `stop`, of `count`, before the transformer."""
        size = chunk_mel_frames(self._encoder)
        begin = start + size * self._keep_true(self._chunks, start, size)
        parts = [chunk.made for chunk in self._chunks]
        rest = mx.array(self._mel.scaled(begin, stop)).astype(self._dtype)
        for batch in split(self._encoder, rest, count) if begin < stop else []:
            parts.append(embed(self._encoder, batch))
            chunks = len(batch[0])
            frames = len(parts[-1]) // chunks
            for index in range(chunks):
                if start + (len(self._chunks) + 1) * size > min(stop, final):
                    break
                made = parts[-1][index * frames : (index + 1) * frames]
                self._chunks.append(_Kept(self._mel.floor, made))
        return mx.concatenate(parts)
