"""The encoder over one growing buffer: each finished piece of audio is encoded once.

A chunk of 1 s goes through the convolutions by itself, and a window of 8 s through the
transformer. A louder passage raises the floor of the log-mel of what came before it, and with it
all that was made of that. Here it does so within its window: a finished window is what it was
when it ended, whatever is heard later, and is kept; so are the finished chunks of the window that
is not, and of the chunk that is not the frames that see no further, while the floor leaves them as
they are. Knows MLX and one buffer, no text.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from mlx_qwen3_asr.audio import mel_filters
from mlx_qwen3_asr.encoder import AudioEncoder

from ..backend import mx
from ..log_mel import LogMel
from ..shared_steps import Pass, Passes, made_alone
from ..work import Work
from .audio_encoder import KeysAndValues, chunk_mel_frames, embed, transform
from .cost import EncoderCost
from .packed_encoder import Piece, Seeing, embed_packed, transform_packed

MEL_PER_FRAME = 8
CONVOLUTIONS, TRANSFORMER = 0, 1  # places of passes, and their kinds


@dataclass(frozen=True)
class _Chunk:
    """What the convolutions made of a chunk's log-mel frames, or of the first of them; `floor` is
    the one they had."""

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
        self._begun: _Chunk | None = None  # what is sure of the one after them
        self._encoded: tuple[tuple[int, int], mx.array] | None = None  # of the last call

    def drop(self, mel_frames: int) -> None:
        """The buffer's first `mel_frames` have left it: chunks and windows are other ones."""
        self._mel.drop(mel_frames)
        self._windows, self._chunks, self._begun, self._encoded = [], [], None, None

    def encode(self, samples: np.ndarray, lead: int) -> tuple[list[mx.array], mx.array]:
        """What `encoding` returns, without company."""
        return made_alone(self.encoding(samples, lead))

    def encoding(self, samples: np.ndarray, lead: int) -> Passes:
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
            hidden = yield from self._embedded(start, start + self._window_mel, count, final)
            self._windows.append((yield from self._transformed(hidden)))
            self._chunks, self._begun = [], None
        start = finished * self._window_mel
        if start == count:
            tail = self._windows[-1][:0]
        else:
            hidden = yield from self._embedded(start, count, count, final)
            tail = yield from self._transformed(hidden)
        self._encoded = size, tail
        return list(self._windows), tail

    def _transformed(self, hidden: mx.array) -> Passes:
        """The frames of a window, through the transformer."""
        made, _ = yield self._transforming(Seeing(hidden))
        return made

    def _transforming(self, what: Seeing, past: int = 0) -> Pass:
        """It gives what comes of it, and of each layer all keys and values; `past` were seen."""
        self.work += self._cost.transformer(len(what.hidden), past)
        return Pass(
            TRANSFORMER, what, self._transform, partial(transform_packed, self._encoder),
            TRANSFORMER,
        )  # fmt: skip

    def _transform(self, what: Seeing) -> tuple[mx.array, KeysAndValues | None]:
        seen = None if what.seen is None else list(what.seen)
        return transform(self._encoder, what.hidden, seen), seen

    def _embed(self, piece: Piece) -> mx.array:
        return embed(self._encoder, (piece.mel, piece.frames), first=piece.first, skip=piece.skip)

    def _embedded(self, start: int, stop: int, count: int, final: int) -> Passes:
        """The frames of mel frames `start` to `stop`, of `count`, before the transformer.

        Of a chunk that more audio comes to, the frames that see none of it are kept.
        """
        size = chunk_mel_frames(self._encoder)
        floor = self._mel.floor(stop)
        self._forget_changed(start, floor)
        begun, self._begun = self._begun, None
        parts = [chunk.made for chunk in self._chunks]
        begins = range(start + len(parts) * size, stop, size)
        pieces = list(self._pieces(begins, stop, count, floor, begun))
        for piece in pieces:
            chunks, _, mel_frames = piece.mel.shape
            self.work += self._cost.convolutions(chunks, mel_frames, piece.frames)
        made: list[mx.array] = []
        if pieces:
            made = yield Pass(
                CONVOLUTIONS, pieces, lambda given: [self._embed(one) for one in given],
                partial(embed_packed, self._encoder), CONVOLUTIONS,
            )  # fmt: skip
        fresh = [
            chunk
            for piece, frames in zip(pieces, made, strict=True)
            for chunk in mx.split(frames, len(piece.mel))
        ]
        for begin in begins:
            of_chunk = [] if begun is None else [begun.made]
            of_chunk += fresh[:1]
            parts.append(mx.concatenate(of_chunk) if len(of_chunk) > 1 else of_chunk[0])
            self._keep(parts[-1], begin, stop, final, floor)
            begun, fresh = None, fresh[1:]
        return mx.concatenate(parts)

    def _pieces(
        self, begins: range, stop: int, count: int, floor: float, begun: _Chunk | None
    ) -> Iterator[Piece]:
        """What is to go through the convolutions, of the chunks that begin there."""
        size = chunk_mel_frames(self._encoder)
        whole = 0 if begun is not None else (stop - begins.start) // size
        if whole:
            mel = self._scaled(begins.start, begins.start + whole * size, floor)
            chunks = mel.reshape(len(mel), whole, size).transpose(1, 0, 2)
            yield Piece(chunks, -(-size // MEL_PER_FRAME))
        for begin in begins[whole:]:
            piece = self._rest_of(begin, min(begin + size, stop), count, floor, begun)
            if piece is not None:
                yield piece
            begun = None

    def _forget_changed(self, start: int, floor: float) -> None:
        """Forget what another floor has changed."""
        size = chunk_mel_frames(self._encoder)
        kept = [*self._chunks, *([] if self._begun is None else [self._begun])]
        for index, chunk in enumerate(kept):
            first = start + index * size
            stop = first + min(size, len(chunk.made) * MEL_PER_FRAME)
            highest = max(floor, chunk.floor)
            if floor != chunk.floor and not self._mel.is_above(highest, first, stop):
                del self._chunks[index:]
                self._begun = None
                return

    def _rest_of(
        self, begin: int, end: int, count: int, floor: float, begun: _Chunk | None
    ) -> Piece | None:
        """Of a chunk, or of a part of one, what gives the frames after those begun with; None: it
        gives no more."""
        size, known = chunk_mel_frames(self._encoder), 0 if begun is None else len(begun.made)
        skip = min(known, 1)  # a frame sees the one before it, and no further
        frames = -(-(end - begin) // MEL_PER_FRAME)
        if begun is not None and frames == known:
            return None
        mel = self._scaled(begin + (known - skip) * MEL_PER_FRAME, end, floor)
        if end - begin < size <= count:  # the engine's padding, as far as it is seen
            mel = mx.pad(mel, [(0, 0), (0, frames * MEL_PER_FRAME - (end - begin))])
        return Piece(mel[None], frames - known, known, skip)

    def _scaled(self, begin: int, stop: int, floor: float) -> mx.array:
        return mx.array(self._mel.scaled(begin, stop, floor)).astype(self._dtype)

    def _keep(self, made: mx.array, begin: int, stop: int, final: int, floor: float) -> None:
        """Keep of a chunk what will not change."""
        size, sure = chunk_mel_frames(self._encoder), min(stop, final) - begin
        if sure >= size:
            self._chunks.append(_Chunk(floor, made))
        elif sure >= MEL_PER_FRAME:
            self._begun = _Chunk(floor, made[: sure // MEL_PER_FRAME])
