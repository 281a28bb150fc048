"""Audio that libsndfile cannot read, by the program ffmpeg, where it is installed.

Its output is taken as AU, whose header is short and says rate and channels.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from ..errors import InputError

_AU_HEAD = struct.Struct(">4sIIIII")  # magic, where samples begin, size, encoding, rate, channels
_AU_FLOAT = 6
_PIECE = 1 << 16
MISSING = "install the program ffmpeg, which reads it, or convert it to FLAC or WAV"


def has_ffmpeg() -> bool:
    """Whether the program is on the PATH."""
    return shutil.which("ffmpeg") is not None


@dataclass
class Decoding:
    """What ffmpeg decodes.

    Attributes:
        sample_rate: in Hz, of the source.
        channels: of the source.
        blocks: [n, channels] float32, to iterate over once. It raises an InputError where the
            source ends too early, after everything that can be read.
    """

    sample_rate: int
    channels: int
    blocks: Iterator[np.ndarray] = field(repr=False)


def decode_by_ffmpeg(
    source: Path | BinaryIO, name: str, block_s: float, begun: bytes = b""
) -> Decoding:
    """Decode the first audio track of a file, or of a stream that began with `begun`.

    Raises:
        InputError: ffmpeg is not there, finds no audio, or cannot be run.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        raise InputError(f"{name} cannot be read as audio: {MISSING}")
    is_file = isinstance(source, Path)
    # As a file whatever its name looks like; and a playlist must not fetch from elsewhere.
    given = f"file:{source.resolve()}" if is_file else "pipe:0"
    command = [
        program, "-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+error",
        "-protocol_whitelist", "file,pipe", "-i", given,
        "-map", "0:a:0", "-c:a", "pcm_f32be", "-f", "au", "pipe:1",
    ]  # fmt: skip
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if is_file else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise InputError(f"{program} cannot be run: {error.strerror or error}") from error
    said = _Said(process.stderr)
    if not is_file:
        threading.Thread(target=_pass_on, args=(source, process.stdin, begun), daemon=True).start()
    assert process.stdout is not None
    head = process.stdout.read(_AU_HEAD.size)
    magic, start, _, encoding, rate, channels = _AU_HEAD.unpack(head.ljust(_AU_HEAD.size, b"\0"))
    if magic != b".snd" or encoding != _AU_FLOAT or not rate or not channels:
        process.kill()
        process.stdout.close()
        process.wait()
        raise InputError(f"{name} cannot be read as audio (ffmpeg: {said.reason()})")
    process.stdout.read(start - _AU_HEAD.size)
    blocks = _blocks(process, said, name, max(1, round(block_s * rate)), rate, channels)
    return Decoding(rate, channels, blocks)


def _blocks(
    process: subprocess.Popen[bytes], said: _Said, name: str, size: int, rate: int, channels: int
) -> Iterator[np.ndarray]:
    assert process.stdout is not None
    frame, done, rest = 4 * channels, 0, b""
    try:
        # What is there, without waiting for more: a stream must not be held up.
        while data := process.stdout.read1(size * frame):  # type: ignore[attr-defined]
            rest += data
            whole = len(rest) // frame * frame
            if whole:
                samples = np.frombuffer(rest[:whole], ">f4").reshape(-1, channels)
                rest, done = rest[whole:], done + len(samples)
                yield samples.astype(np.float32)
        if process.wait() or said.is_cut():
            raise InputError(
                f"{name} is cut off or corrupt (ffmpeg: {said.reason()}): "
                f"{done / rate:.2f} s can be read"
            )
        if not done:
            raise InputError(f"{name} is empty: it holds no samples")
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


class _Said:
    """What a program writes on stderr, read as it comes, so that it never waits for that."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        self._pipe, self._lines = pipe, list[str]()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self._pipe is not None
        for line in self._pipe:
            if len(self._lines) < 100:
                self._lines.append(line.decode(errors="replace").strip())
        self._pipe.close()

    def reason(self) -> str:
        """The first line, without what was written for programmers."""
        self._thread.join(timeout=5)
        lines = [re.sub(r"\[[^]]*\] *", "", line) for line in self._lines]
        return next(filter(None, lines), "it says nothing").rstrip(".")[:200]

    def is_cut(self) -> bool:
        """Whether the source ended before it should have."""
        self._thread.join(timeout=5)
        ends = ("ended prematurely", "partial file", "Truncat", "truncat")
        return any(end in line for line in self._lines for end in ends)


def _pass_on(source: BinaryIO, target: IO[bytes] | None, begun: bytes) -> None:
    assert target is not None
    read = getattr(source, "read1", source.read)
    try:
        with target:
            target.write(begun)
            target.flush()
            while data := read(_PIECE):
                target.write(data)
                target.flush()
    except (OSError, ValueError):
        return  # ffmpeg has ended, and says why
