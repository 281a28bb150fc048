"""`AudioFile`: an audio file of any format, opened by what is in it, and read in blocks.

libsndfile reads it, part by part where it was joined; what it does not know, ffmpeg does.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from .audio_kinds import LEAST_BYTES, kind_of
from .audio_parts import Part, Window, find_parts
from .ffmpeg import MISSING, decode_by_ffmpeg, has_ffmpeg

if TYPE_CHECKING:
    import soundfile

_UNKNOWN_BYTES = 2**31 - 2**20  # what a WAV that was written to a pipe gives as its size, at least
_UNKNOWN_FRAMES = 2**62
_BLOCK_S = 10.0
_LIBSNDFILE = ("WAV", "FLAC", "OGG", "MP3", "AIFF")  # what a user has most likely


def check_audio_path(path: Path) -> None:
    """Refuse what no audio can be read from.

    Raises:
        InputError: there is nothing, or what there is.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"audio file not found: {path}") from error
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be opened: {reason}") from error
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
        (stat.S_ISSOCK, "a socket"),
    )
    for is_kind, kind in kinds:
        if is_kind(mode):
            raise InputError(f"{path} is {kind}; expected an audio file")


def is_pipe(path: Path) -> bool:
    """Whether `path` is a named pipe, which is read once and from its beginning."""
    with contextlib.suppress(OSError, ValueError):
        return stat.S_ISFIFO(path.stat().st_mode)
    return False


class AudioFile:
    """One audio file.

    Attributes:
        path: of the file.
        sample_rate: in Hz.
        channels: how many.
    """

    def __init__(self, path: Path) -> None:
        """Open `path`; nothing is decoded yet.

        Raises:
            InputError: it is missing or no audio, or ffmpeg is needed and not there.
        """
        check_audio_path(path)
        if is_pipe(path):
            raise InputError(f"{path} is a pipe; expected an audio file")
        self.path = path
        try:
            self._parts = find_parts(path) or [None]
            with self._opened(self._parts[0]) as first:
                self.sample_rate, self.channels = first.samplerate, first.channels
            self._is_decoded = False
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
        except _sound_errors() as error:
            if not has_ffmpeg():
                raise _no_audio(path, error) from error
            self._is_decoded = True
            self.sample_rate, self.channels, self._frames = _probed(path, *_identity(path))

    @cached_property
    def frames(self) -> int:
        """Samples of each channel: as the header tells, or counted where it does not."""
        if self._is_decoded:
            return self._frames
        total = 0
        for part in self._parts:
            with self._opened(part) as file:
                if part is not None and part.frames is not None:
                    total += part.frames
                elif file.frames < _UNKNOWN_FRAMES:
                    total += file.frames
                else:
                    total += sum(map(len, self._read(file, part, file.samplerate)))
        return total

    @property
    def duration_s(self) -> float:
        """Its length in seconds."""
        return self.frames / self.sample_rate

    def blocks(self, block_s: float = _BLOCK_S, start: int = 0) -> Iterator[np.ndarray]:
        """Blocks [n, channels] float32 of up to `block_s` seconds, from the frame `start`.

        Raises:
            InputError: it is empty, or cut off or corrupt: after everything that can be read.
        """
        size = max(1, round(block_s * self.sample_rate))
        if self._is_decoded:
            yield from _from(decode_by_ffmpeg(self.path, str(self.path), block_s).blocks, start)
            return
        is_empty = True
        for part in self._parts:
            with self._opened(part) as file:
                if (file.samplerate, file.channels) != (self.sample_rate, self.channels):
                    raise InputError(
                        f"{self.path} is joined of parts with different sample rates or channels; "
                        "convert it with ffmpeg"
                    )
                known = part.frames if part is not None else None
                known = file.frames if known is None else known
                if start >= known and part is not self._parts[-1]:
                    start, is_empty = start - known, False
                    continue
                for block in self._read(file, part, size, start):
                    is_empty = False
                    yield block
                start = 0
        if is_empty:
            raise InputError(f"{self.path} is empty: it holds no samples")

    def _read(
        self, file: soundfile.SoundFile, part: Part | None, size: int, start: int = 0
    ) -> Iterator[np.ndarray]:
        """Blocks of one part.

        Raises:
            InputError: it has less than its header tells.
        """
        is_told = (part is None or part.frames is None) and file.frames < _UNKNOWN_FRAMES
        done, fault = start, ""
        try:
            if start:
                file.seek(start)
        except _sound_errors() as error:
            fault = f" ({reason(error)})"
        # Or each block would end with a seek, at which an MP3 loses what its frames share.
        file.seekable = lambda: False  # type: ignore[method-assign]
        while not fault:
            block = np.full((size, file.channels), np.nan, np.float32)
            try:
                block = file.read(out=block)
            except _sound_errors() as error:
                fault = f" ({reason(error)})"
                # Of a length that is not told, the last samples come with an error.
                block = block[: 0 if is_told else int(np.isfinite(block[:, 0]).sum())]
            if not len(block):
                break
            done += len(block)
            yield block
        promised = max(file.frames, _promised_frames(file)) if is_told else 0
        if done < promised or (is_told and fault):
            rate = file.samplerate
            raise InputError(
                f"{self.path} is cut off or corrupt{fault}: {done / rate:.2f} s can be read of "
                f"{promised / rate:.2f} s"
            )

    @contextlib.contextmanager
    def _opened(self, part: Part | None) -> Iterator[soundfile.SoundFile]:
        import soundfile

        with contextlib.ExitStack() as stack:
            target: Any = os.fsencode(self.path)  # a name need not be UTF-8
            if part is not None:
                target = Window(stack.enter_context(self.path.open("rb")), part)
            yield stack.enter_context(soundfile.SoundFile(target))


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=4096)
def _probed(path: Path, mtime_ns: int, size: int) -> tuple[int, int, int]:
    """Rate, channels and frames of what ffmpeg decodes; its containers' own lengths are guesses."""
    decoding = decode_by_ffmpeg(path, str(path), _BLOCK_S)
    frames = 0
    with contextlib.suppress(InputError):  # a file that is cut off is told of when it is read
        for block in decoding.blocks:
            frames += len(block)
    return decoding.sample_rate, decoding.channels, frames


def _from(blocks: Iterator[np.ndarray], start: int) -> Iterator[np.ndarray]:
    for block in blocks:
        if start < len(block):
            yield block[start:]
        start = max(0, start - len(block))


def _no_audio(path: Path, error: Exception) -> InputError:
    with path.open("rb") as file:
        kind = kind_of(file.read(LEAST_BYTES))
    if kind is not None and kind not in _LIBSNDFILE:
        return InputError(f"{path} cannot be read as audio: it is {kind}; {MISSING}")
    return InputError(
        f"{path} cannot be read as audio ({reason(error)}); expected FLAC, WAV, OGG or MP3, or, "
        "with ffmpeg installed, what that reads"
    )


def _promised_frames(file: soundfile.SoundFile) -> int:
    """Frames that a WAV's header promises; libsndfile itself trusts the length of the file."""
    found = re.search(r"^data : (\d+) \(should be \d+\)", file.extra_info, re.MULTILINE)
    sizes = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
    if found is None or file.subtype not in sizes or int(found[1]) >= _UNKNOWN_BYTES:
        return 0
    return int(found[1]) // (sizes[file.subtype] * file.channels)


def _sound_errors() -> tuple[type[Exception], ...]:
    import soundfile

    return soundfile.LibsndfileError, RuntimeError


def reason(error: Exception) -> str:
    """What libsndfile says, as a part of a sentence."""
    text = getattr(error, "error_string", None) or str(error)
    return text.removeprefix("Error : ").strip(" .") or type(error).__name__
