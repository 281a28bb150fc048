"""The encoder over one growing buffer, of whose unfinished window only the end is read again.

Frames that are older than `refresh_s` stay what they were made with the audio that had come by
then; when their window of 8 s is finished, all of it is encoded anew. At a cut on a whole second
the frames that are left stay, too, and windows end where they would have.
"""

from __future__ import annotations

import numpy as np
from mlx_qwen3_asr.encoder import AudioEncoder

from ..backend import mx
from ..shared_steps import Passes
from .audio_encoder import KeysAndValues, chunk_mel_frames
from .packed_encoder import Seeing
from .stream_encoder import MEL_PER_FRAME, StreamEncoder


class RefreshedEncoder(StreamEncoder):
    """Encodes one buffer.

    Attributes:
        fresh_from: the first frame that is another one than the last `encode` gave.
        windows_done: so many have been finished.
    """

    def __init__(self, encoder: AudioEncoder, dtype: mx.Dtype, refresh_s: float) -> None:
        """`refresh_s`: the end of the audio that is encoded again at each step."""
        self._refresh_mel = round(refresh_s * 100)
        self.windows_done = 0
        super().__init__(encoder, dtype)

    def reset(self) -> None:
        """See `StreamEncoder`."""
        super().reset()
        self._begin()

    def drop(self, mel_frames: int) -> None:
        """See `StreamEncoder`: all is encoded anew."""
        super().drop(mel_frames)
        self._begin()

    def _begin(self) -> None:
        self._start, self._stop = 0, self._window_mel  # of the window that is not finished
        self._clear_tail()
        self.fresh_from = 0

    def _clear_tail(self) -> None:
        self._seen: KeysAndValues = []  # by layer, of the frames that were made of it
        self._made: mx.array | None = None
        self._sure = 0  # so many of these no more audio changes

    def cut(self, mel_frames: int) -> int | None:
        """The buffer's first `mel_frames` have left it, and what is made of the others stays.

        Returns:
            How many frames went; None, and nothing is done: it is no place for that.
        """
        size = chunk_mel_frames(self._encoder)
        known = self._start + len(self._chunks) * size
        if mel_frames % size or mel_frames > known:
            return None
        gone = left = mel_frames // size * -(-size // MEL_PER_FRAME)
        self._mel.drop(mel_frames)
        while left and self._windows:
            first = self._windows.pop(0)
            if len(first) > left:
                self._windows.insert(0, first[left:])
            left = max(0, left - len(first))
        if left:
            del self._chunks[: (mel_frames - self._start) // size]
            self._seen = [(k[:, :, left:], v[:, :, left:]) for k, v in self._seen]
            self._made = None if self._made is None else self._made[left:]
            self._sure -= left
        self._start, self._stop = max(0, self._start - mel_frames), self._stop - mel_frames
        self._encoded = None
        return gone

    def encoding(self, samples: np.ndarray, lead: int) -> Passes:
        """See `StreamEncoder`; but a cut on a whole second leaves of a finished window a part."""
        size = len(samples), lead
        if self._encoded is not None and self._encoded[0] == size:
            self.fresh_from = sum(map(len, self._windows)) + len(self._encoded[1])
            return list(self._windows), self._encoded[1]
        count, final = self._mel.update(samples, lead)
        settled, is_done = sum(map(len, self._windows)), False
        while final >= self._stop:
            hidden = yield from self._embedded(self._start, self._stop, count, final)
            self._windows.append((yield from self._transformed(hidden)))
            self._chunks, self._begun = [], None
            self._start, self._stop = self._stop, self._stop + self._window_mel
            self._clear_tail()
            self.windows_done += 1
            is_done = True
        self.fresh_from = settled
        if self._start == count:
            tail = self._windows[-1][:0]
        else:
            hidden = yield from self._embedded(self._start, count, count, final)
            first = min(self._frame(count - self._start - self._refresh_mel), self._sure)
            tail = yield from self._refreshed(hidden, first)
            self.fresh_from += 0 if is_done else first
        kept = [*self._chunks, *([] if self._begun is None else [self._begun])]
        self._sure = sum(len(chunk.made) for chunk in kept)
        self._encoded = size, tail
        return list(self._windows), tail

    def _frame(self, mel_frame: int) -> int:
        """The frame of the unfinished window that a mel frame lies in."""
        size = chunk_mel_frames(self._encoder)
        chunks, rest = divmod(max(0, mel_frame), size)
        return chunks * -(-size // MEL_PER_FRAME) + rest // MEL_PER_FRAME

    def _refreshed(self, hidden: mx.array, first: int) -> Passes:
        """The frames of the unfinished window, of which those before `first` are kept."""
        seen = [(k[:, :, :first], v[:, :, :first]) for k, v in self._seen]
        new, self._seen = yield self._transforming(Seeing(hidden[first:], seen), first)
        self._made = new if not first else mx.concatenate([self._tail(first), new])
        return self._made

    def _tail(self, frames: int) -> mx.array:
        assert self._made is not None
        return self._made[:frames]
