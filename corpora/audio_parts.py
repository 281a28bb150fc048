"""The parts of an audio file: one, or several that were joined byte by byte, as `cat` does.

libsndfile stops at the end of the first of them, trusts a WAV that says it is empty, and guesses
the length of an MP3 that does not tell it. Knows bytes of WAV, FLAC, OGG and MP3; decodes nothing.
"""

from __future__ import annotations

import io
import mmap
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_BYTE_RATES = {  # thousands of bytes a second in layer III, by index
    True: (0, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40),  # MPEG 1
    False: (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20),  # MPEG 2 and 2.5
}
_RATES = (44_100, 48_000, 32_000)  # Hz of MPEG 1; halves and quarters of the others
_FLAC = b"fLaC\x00\x00\x00\x22"  # with the head of the block that must come first
_FLAC_LAST = b"fLaC\x80\x00\x00\x22"


@dataclass(frozen=True)
class Part:
    """A stretch of the file that is an audio file by itself.

    Attributes:
        start: its first byte.
        end: the byte after its last.
        head: what stands in place of its first bytes.
        frames: counted; None: what libsndfile reads in its header is right.
    """

    start: int
    end: int
    head: bytes = b""
    frames: int | None = None


def find_parts(path: Path) -> list[Part]:
    """The parts of a file, or none where it is to be taken as it is.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if not file.read(1):
            return []
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
                return list(_wav_parts(content))
            if content[:8] in (_FLAC, _FLAC_LAST):
                found = re.finditer(rb"fLaC[\0\x80]\0\0\x22", content)
                return _parts_at([one.start() for one in found], len(content))
            if content[:4] == b"OggS":
                return _parts_at(list(_ogg_starts(content)), len(content))
            if content[:3] == b"ID3" or frame_bytes(content, 0):
                return _mp3_parts(content)
    return []


def _parts_at(starts: list[int], end: int) -> list[Part]:
    if len(starts) < 2:
        return []
    return [Part(start, stop) for start, stop in zip(starts, [*starts[1:], end], strict=True)]


def _wav_parts(content: mmap.mmap) -> Iterator[Part]:
    """Nothing for a usual file."""
    start, found = 0, []
    while content[start : start + 4] == b"RIFF" and content[start + 8 : start + 12] == b"WAVE":
        data, size = _wav_data(content, start)
        if data is None:
            break
        left = len(content) - data
        is_empty = size == 0 and left > 0 and not _are_chunks(content, data)
        if is_empty:
            # Its writer never came back to fill it in.
            head = bytearray(content[start:data])
            head[-4:] = struct.pack("<I", min(left, 0xFFFFFFFF))
            found.append(Part(start, len(content), bytes(head)))
            break
        after = data + size + size % 2
        found.append(Part(start, min(after, len(content))))
        # Other chunks may stand behind the samples, before the next file.
        while content[after : after + 4] not in (b"RIFF", b"") and after + 8 <= len(content):
            chunk = struct.unpack("<I", content[after + 4 : after + 8])[0]
            after += 8 + chunk + chunk % 2
        start = after
    if len(found) > 1 or (found and found[0].head):
        yield from found


def _wav_data(content: mmap.mmap, start: int) -> tuple[int | None, int]:
    """Where the samples of the WAV at `start` begin, and how many bytes it says they are."""
    at = start + 12
    while at + 8 <= len(content):
        name, size = struct.unpack("<4sI", content[at : at + 8])
        if name == b"data":
            return at + 8, size
        at += 8 + size + size % 2
    return None, 0


def _are_chunks(content: mmap.mmap, at: int) -> bool:
    """Whether what stands from `at` to the end is other chunks, and no samples."""
    while at + 8 <= len(content):
        if not re.fullmatch(rb"[A-Za-z][\w -]{3}", content[at : at + 4]):
            return False
        size = struct.unpack("<I", content[at + 4 : at + 8])[0]
        at += 8 + size + size % 2
    return at >= len(content)


def _ogg_starts(content: mmap.mmap) -> Iterator[int]:
    """Where the links of a chained OGG begin: pages that open a stream, after others."""
    at, is_opening = 0, False
    while content[at : at + 4] == b"OggS" and at + 27 <= len(content):
        opens = bool(content[at + 5] & 2)
        if opens and not is_opening:
            yield at
        is_opening = opens
        segments = content[at + 26]
        at += 27 + segments + sum(content[at + 27 : at + 27 + segments])


def _mp3_parts(content: mmap.mmap) -> list[Part]:
    """One for each header of Xing or VBRI, and for what has none, whose frames are counted."""
    parts: list[Part] = []
    at = begun = frames = samples = 0
    told: int | None = None  # frames that the part's header tells; None: it has no header
    has_begun, told_end = False, 0
    while at < len(content):
        size = frame_bytes(content, at)
        if not size:
            skipped = _tag_bytes(content, at) or _to_next_frame(content, at)
            if skipped is None:
                break
            at += skipped
            continue
        tells = _told_frames(content[at : at + min(size, 60)])
        # Two more than were told: encoders do not agree on what they count.
        is_past = told is not None and told and frames > told + 2
        if has_begun and (tells is not None or is_past):
            end = told_end if is_past else at
            parts.append(Part(begun, end, frames=samples if told is None else None))
            frames = frames - told if is_past and told else 0
            samples = frames * _frame_samples(content, at)
            begun, told = end, tells
        if not has_begun:
            told, has_begun = tells, True
        if tells is None:
            frames += 1
            samples += _frame_samples(content, at)
        at += size
        if frames == told:
            told_end = at
    if has_begun:
        parts.append(Part(begun, len(content), frames=samples if told is None else None))
    return [] if len(parts) == 1 and parts[0].frames is None else parts


def _told_frames(head: bytes) -> int | None:
    """Frames that a header of Xing or VBRI tells, 0 where it does not; None: it is no header."""
    found = re.search(rb"(?:Xing|Info)(...)(.)(....)", head[:60], re.DOTALL)
    if found is not None:
        return int.from_bytes(found[3], "big") if found[2][0] & 1 else 0
    return int.from_bytes(head[50:54], "big") if head[36:40] == b"VBRI" else None


def _frame_samples(content: mmap.mmap, at: int) -> int:
    return 1152 if content[at + 1] >> 3 & 3 == 3 else 576


def frame_bytes(content: mmap.mmap | bytes, at: int) -> int:
    """Bytes of the layer III frame at `at`; 0: there is none."""
    if at + 4 > len(content):
        return 0
    first, second, third = content[at], content[at + 1], content[at + 2]
    if first != 0xFF or second & 0xE6 != 0xE2:
        return 0
    version, bitrate, rate = second >> 3 & 3, third >> 4, third >> 2 & 3
    if version == 1 or bitrate in (0, 15) or rate == 3:
        return 0
    hertz = _RATES[rate] // {3: 1, 2: 2, 0: 4}[version]
    samples = 1152 if version == 3 else 576
    return samples * 1000 * _BYTE_RATES[version == 3][bitrate] // hertz + (third >> 1 & 1)


def _tag_bytes(content: mmap.mmap, at: int) -> int:
    """Bytes of an ID3 tag at `at`; 0: there is none."""
    if content[at : at + 3] == b"TAG":
        return 128
    if content[at : at + 3] != b"ID3" or at + 10 > len(content):
        return 0
    size = 0
    for byte in content[at + 6 : at + 10]:
        size = size << 7 | byte & 0x7F
    return 10 + size


def _to_next_frame(content: mmap.mmap, at: int) -> int | None:
    """Bytes to the next frame that another follows; None: there is none."""
    place = at
    while (place := content.find(b"\xff", place + 1)) >= 0:
        size = frame_bytes(content, place)
        if size and (frame_bytes(content, place + size) or place + size >= len(content)):
            return place - at
    return None


class Window(io.RawIOBase):
    """One part of an open file, as a file of its own."""

    def __init__(self, file: BinaryIO, part: Part) -> None:
        super().__init__()
        self._file, self._part, self._at = file, part, 0

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def seekable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def tell(self) -> int:
        """See `io.RawIOBase`."""
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """See `io.RawIOBase`."""
        base = {0: 0, 1: self._at, 2: self._part.end - self._part.start}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer) -> int:  # type: ignore[override]
        """See `io.RawIOBase`."""
        wanted = min(len(buffer), self._part.end - self._part.start - self._at)
        if wanted <= 0:
            return 0
        head = self._part.head[self._at : self._at + wanted]
        if head:
            data = head
        else:
            self._file.seek(self._part.start + self._at)
            data = self._file.read(wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
