"""Audio that comes as bytes, from stdin or a named pipe: raw samples, or a file of any format.

Which it is, is seen by its first bytes. Samples come out mono, at one rate.
"""

from __future__ import annotations

import io
import select
import shutil
import struct
import tempfile
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...corpora.audio import SAMPLE_RATE
from ...corpora.audio_file import AudioFile
from ...corpora.audio_kinds import kind_of, may_be_frame
from ...corpora.ffmpeg import MISSING, decode_by_ffmpeg, has_ffmpeg
from ...corpora.mixing import Mixer
from ...errors import InputError
from .raw_check import RawCheck

_LEAST_BYTES = 12
_WHOLE_FIRST = ("MP4",)  # its index may stand at the end
_LIBSNDFILE = ("WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "W64")
_AHEAD_S = 12.0  # of raw samples that are there at once: enough to tell their rate
_AHEAD_SPEED = 8  # times as fast as speech: so it is no speech that comes as it is spoken
_AT_ONCE_S = 0.05
_WAV_INTEGERS, _WAV_FLOATS, _WAV_EXTENDED = 1, 3, 0xFFFE


def blocks_of_bytes(
    stream: BinaryIO, name: str, block_s: float, sample_rate: int | None = None
) -> Iterator[np.ndarray]:
    """Blocks [n] float32 at `sample_rate` (None: 16 kHz), no longer than `block_s`.

    Args:
        stream: of bytes; what is there is taken without waiting for more.
        name: for messages.
        block_s: the longest block.
        sample_rate: of raw samples: they are believed to be so. None: they are looked at.

    Raises:
        InputError: nothing comes, or it cannot be read, after all of it that can be.
    """
    source = _Bytes(stream)
    begun = source.peek(_LEAST_BYTES)
    while may_be_frame(begun) and len(more := source.peek(len(begun) + 1)) > len(begun):
        begun = more
    kind = kind_of(begun)
    if len(begun) < 2:
        raise InputError(f"{name} is empty; expected audio, or raw s16le samples, 16 kHz, mono")
    if kind is None:
        yield from _raw(source, name, block_s, sample_rate)
        return
    rate = SAMPLE_RATE if sample_rate is None else sample_rate
    blocks = None
    if kind == "WAV":
        blocks = _wav(source, block_s)
    if blocks is None:
        blocks = _decoded(source, kind, name, block_s)
    for rate_in, of_rate in groupby(blocks, key=lambda one: one[0]):
        yield from _resampled((block for _, block in of_rate), rate_in, rate, name)


def _resampled(
    blocks: Iterator[np.ndarray], rate_in: int, rate: int, name: str
) -> Iterator[np.ndarray]:
    """The blocks [n, channels] of one rate, mono at another."""
    mixer = Mixer(name)
    mono = (np.ascontiguousarray(mixer(block)) for block in blocks)
    if rate_in == rate:
        yield from mono
        return
    import soxr

    resampler = soxr.ResampleStream(rate_in, rate, 1, dtype="float32")
    for block in mono:
        if len(made := resampler.resample_chunk(block)):
            yield made
    if len(made := resampler.resample_chunk(np.zeros(0, np.float32), last=True)):
        yield made


class _Bytes(io.RawIOBase):
    """A stream whose beginning can be looked at before it is read."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        # What is there, without waiting for more.
        self._read = stream.read1 if isinstance(stream, io.BufferedReader) else stream.read
        self._begun = b""

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def peek(self, size: int) -> bytes:
        """The next `size` bytes or more; fewer where the stream ends."""
        while len(self._begun) < size and (data := self._read(size - len(self._begun))):
            self._begun += data
        return self._begun

    def peek_at_once(self, size: int, per_s: float) -> bytes:
        """What is there of the next `size` bytes, and what comes at `per_s` a second or more."""
        begin = time.monotonic()
        while len(self._begun) < size and self._is_ready():
            if not (data := self._read(size - len(self._begun))):
                break
            self._begun += data
            if len(self._begun) < per_s * (time.monotonic() - begin):
                break
        return self._begun

    def _is_ready(self) -> bool:
        if not hasattr(self._stream, "fileno"):
            return False
        try:
            return bool(select.select([self._stream], [], [], _AT_ONCE_S)[0])
        except (OSError, ValueError):  # no file at all, but bytes in memory
            return True

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, as soon as there are some; b"" at the end."""
        data, self._begun = self._begun[:size], self._begun[size:]
        # What was looked at is a part of the first block, and no block by itself.
        return data + (self._read(size - len(data)) or b"") if len(data) < size else data

    read1 = read


def _raw(
    source: _Bytes, name: str, block_s: float, sample_rate: int | None
) -> Iterator[np.ndarray]:
    """Samples of 16 bit. Half a one at the end is dropped."""
    rate = SAMPLE_RATE if sample_rate is None else sample_rate
    check = RawCheck(rate) if sample_rate is None else None
    # No more than a step at once, as of a file: a pipe that is ahead must not skip steps.
    size = 2 * max(1, int(block_s * rate))
    if sample_rate is None:
        _look_ahead(source, rate, size)
    rest = b""
    while data := source.read(size - len(rest)):
        data = rest + data
        whole = len(data) // 2 * 2
        rest = data[whole:]
        if whole:
            samples = np.frombuffer(data[:whole], "<i2").astype(np.float32) / 32768
            if check is not None:
                check.look(data[:whole], samples)
            yield samples


def _look_ahead(source: _Bytes, rate: int, size: int) -> None:
    """Refuse what is something else before a word of it is decoded, where it is there at once."""
    check = RawCheck(rate)
    begun = source.peek_at_once(int(2 * rate * _AHEAD_S), 2 * rate * _AHEAD_SPEED)
    for start in range(0, len(begun) // 2 * 2, size):
        data = begun[start : start + size]
        data = data[: len(data) // 2 * 2]
        check.look(data, np.frombuffer(data, "<i2").astype(np.float32) / 32768)


def _wav(source: _Bytes, block_s: float) -> Iterator[tuple[int, np.ndarray]] | None:
    """Blocks [n, channels] of a WAV as it comes, and their rate; None: not of PCM."""
    at, layout, begun = 12, None, source.peek(12)
    if begun[:4] != b"RIFF":
        return None
    while len(begun := source.peek(at + 8)) >= at + 8:
        chunk, size = struct.unpack("<4sI", begun[at : at + 8])
        if chunk == b"data":
            break
        if at + size > 1 << 20:
            return None
        begun = source.peek(at + 8 + size)
        if chunk == b"fmt " and size >= 16 and len(begun) >= at + 24:
            layout = struct.unpack("<HHIIHH", begun[at + 8 : at + 24])
            if layout[0] == _WAV_EXTENDED and size >= 26:
                layout = (struct.unpack("<H", begun[at + 32 : at + 34])[0], *layout[1:])
        at += 8 + size + size % 2
    if layout is None or len(begun) < at + 8:
        return None
    form, channels, rate, _, _, bits = layout
    kinds = {(_WAV_INTEGERS, 16): "<i2", (_WAV_INTEGERS, 32): "<i4", (_WAV_FLOATS, 32): "<f4"}
    kind = kinds.get((form, bits))
    if kind is None or not channels or not rate:
        return None
    size = struct.unpack("<I", begun[at + 4 : at + 8])[0]
    left = None if size == 0 or size >= 2**31 - 2**20 else size  # a pipe's writer does not know it
    return _wav_blocks(source, at + 8, left, kind, channels, rate, block_s)


def _wav_blocks(
    source: _Bytes,
    start: int,
    left: int | None,
    kind: str,
    channels: int,
    rate: int,
    block_s: float,
) -> Iterator[tuple[int, np.ndarray]]:
    _exactly(source, start)
    frame = channels * int(kind[-1])
    size, rest = frame * max(1, int(block_s * rate)), b""
    promised, done = left, 0
    while data := source.read(size - len(rest) if left is None else min(size - len(rest), left)):
        left = None if left is None else left - len(data)
        data = rest + data
        whole = len(data) // frame * frame
        rest, done = data[whole:], done + whole
        if whole:
            values = np.frombuffer(data[:whole], kind).reshape(-1, channels).astype(np.float32)
            yield rate, values / {"<i2": 2.0**15, "<i4": 2.0**31, "<f4": 1.0}[kind]
        if left == 0:
            break
    if left:
        raise InputError(
            f"stdin is cut off: {done / frame / rate:.2f} s can be read of "
            f"{(promised or 0) / frame / rate:.2f} s"
        )
    if not done:
        raise InputError("stdin is a WAV that is empty: it holds no samples")
    # Behind the samples there may be another file, or what its writer must get rid of.
    _exactly(source, (promised or 0) % 2)
    begun = source.peek(12)
    more = _wav(source, block_s) if begun[:4] == b"RIFF" and begun[8:12] == b"WAVE" else None
    if more is not None:
        yield from more
    while source.read(1 << 16):
        pass


def _exactly(source: _Bytes, size: int) -> None:
    while size and (data := source.read(size)):
        size -= len(data)


def _decoded(
    source: _Bytes, kind: str, name: str, block_s: float
) -> Iterator[tuple[int, np.ndarray]]:
    """Any other format, by ffmpeg as it comes, or as a file once all of it is there."""
    is_there = has_ffmpeg()
    if is_there and kind not in _WHOLE_FIRST:
        decoding = decode_by_ffmpeg(source, name, block_s)  # type: ignore[arg-type]
        for block in decoding.blocks:
            yield decoding.sample_rate, block
        return
    if not is_there and kind not in _LIBSNDFILE:
        raise InputError(f"{name} holds {kind}: {MISSING}")
    try:
        with tempfile.NamedTemporaryFile(prefix="alignheads-") as kept:
            shutil.copyfileobj(source, kept)
            kept.flush()
            try:
                file = AudioFile(Path(kept.name))
                for block in file.blocks(block_s):
                    yield file.sample_rate, block
            except InputError as error:
                raise InputError(str(error).replace(kept.name, name)) from error
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"{name} holds {kind}, which cannot be kept meanwhile: {reason}"
        ) from error
