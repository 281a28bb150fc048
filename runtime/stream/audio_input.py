"""Audio that comes in pieces: files read in blocks, raw samples on stdin, the microphone.

A source yields blocks float32, mono or by channel, at its own `sample_rate`; the decoder
resamples.
"""

from __future__ import annotations

import contextlib
import io
import queue
import re
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...corpora.audio import SAMPLE_RATE
from ...errors import InputError

_MIC_EXTRA = "install it with: pip install 'alignheads[mic]'"
_UNKNOWN_SIZE = 2**31 - 2**20  # what a WAV that was written to a pipe gives as its size, at least


@dataclass
class AudioSource:
    """Blocks of one stream.

    Attributes:
        name: of the file, or "stdin", "microphone".
        sample_rate: of the blocks, in Hz.
        blocks: [n] each, or [n, channels]; to iterate over once. It raises an InputError where no
            more can be read, after everything that can be.
        channels: how many a block has; None: it is [n].
        is_live: it comes at the speed of speech by itself.
    """

    name: str
    sample_rate: int
    blocks: Iterable[np.ndarray] = field(repr=False)
    channels: int | None = None
    is_live: bool = False


def open_file(path: Path, block_s: float, *, by_channel: bool = False) -> AudioSource:
    """A file of any format that libsndfile reads; its channels are averaged, or `by_channel`.

    Raises:
        InputError: it is missing or is not audio. While reading: it is empty, or cut off.
    """
    import soundfile

    if not path.is_file():
        raise InputError(f"audio file not found: {path}")
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(
            f"{path} cannot be read as audio ({_reason(error)}); expected FLAC, WAV, OGG or MP3"
        ) from error

    def blocks() -> Iterator[np.ndarray]:
        size, done, fault = max(1, round(block_s * file.samplerate)), 0, ""
        with file:
            if file.frames == 0:
                raise InputError(f"{path} is empty: it holds no samples")
            while True:
                try:
                    block = file.read(size, dtype="float32", always_2d=True)
                except (soundfile.LibsndfileError, RuntimeError) as error:
                    fault = f" ({_reason(error)})"
                    break
                if not len(block):
                    break
                done += len(block)
                yield block if by_channel else block.mean(axis=1)
            promised = max(file.frames, _promised_frames(file))
        if done < promised or fault:
            rate = file.samplerate
            raise InputError(
                f"{path} is cut off or corrupt{fault}: {done / rate:.2f} s can be read of "
                f"{promised / rate:.2f} s; what can be read was decoded"
            )

    channels = file.channels if by_channel else None
    return AudioSource(str(path), file.samplerate, blocks(), channels)


def _promised_frames(file) -> int:
    """Frames that a WAV's header promises; libsndfile itself trusts the length of the file."""
    found = re.search(r"^data : (\d+) \(should be \d+\)", file.extra_info, re.MULTILINE)
    sizes = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
    if found is None or file.subtype not in sizes or int(found[1]) >= _UNKNOWN_SIZE:
        return 0
    return int(found[1]) // (sizes[file.subtype] * file.channels)


def open_stdin(block_s: float, stream: BinaryIO | None = None) -> AudioSource:
    """Raw samples, 16 bit little-endian, mono, 16 kHz. Half a sample at the end is dropped.

    Raises:
        InputError: stdin is a terminal. While reading: nothing comes, or a file with a header.
    """
    if stream is None and sys.stdin.isatty():
        raise InputError(
            "stdin is a terminal; pipe raw 16 kHz mono s16le into it, as in: "
            "ffmpeg -i talk.mp3 -f s16le -ac 1 -ar 16000 - | decode-stream -"
        )
    piped: BinaryIO = sys.stdin.buffer if stream is None else stream
    # What is there, without waiting for more.
    read = piped.read1 if isinstance(piped, io.BufferedReader) else piped.read
    # No more than a step at once, as of a file: a pipe that is ahead must not skip steps.
    size = 2 * max(1, int(block_s * SAMPLE_RATE))

    def blocks() -> Iterator[np.ndarray]:
        rest, total = b"", 0
        while data := read(size - len(rest)):
            if total == 0 and (rest + data)[:4] in (b"RIFF", b"fLaC", b"OggS", b"caff"):
                raise InputError(
                    "stdin holds an audio file with a header; expected raw s16le at 16 kHz: "
                    "give the file's name, or convert with ffmpeg … -f s16le -ac 1 -ar 16000 -"
                )
            data = rest + data
            whole = len(data) // 2 * 2
            rest, total = data[whole:], total + whole
            if whole:
                yield np.frombuffer(data[:whole], "<i2").astype(np.float32) / 32768
        if total == 0:
            raise InputError("stdin is empty; expected raw s16le samples, 16 kHz, mono")

    return AudioSource("stdin", SAMPLE_RATE, blocks(), is_live=True)


def open_microphone() -> AudioSource:
    """The default input device, at 16 kHz.

    Raises:
        InputError: sounddevice, its library or a device is missing.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise InputError(f"the microphone needs the package sounddevice; {_MIC_EXTRA}") from error
    except OSError as error:
        raise InputError(
            f"the microphone needs the PortAudio library ({_reason(error)}); "
            "on Debian and Ubuntu: apt install libportaudio2"
        ) from error
    heard: queue.Queue[np.ndarray] = queue.Queue()
    try:
        device = sounddevice.InputStream(
            samplerate=SAMPLE_RATE,
            channels=1,
            dtype="float32",
            callback=lambda data, *_: heard.put(data[:, 0].copy()),
        )
    except (sounddevice.PortAudioError, ValueError) as error:
        raise InputError(f"no microphone can be opened: {_reason(error)}") from error

    def blocks() -> Iterator[np.ndarray]:
        with device:
            while True:
                # Not for ever: a Ctrl-C must come through on every system.
                parts = [np.zeros(0, np.float32)]
                with contextlib.suppress(queue.Empty):
                    parts.append(heard.get(timeout=0.2))
                    while True:  # all there is, so that a slow decoder catches up
                        parts.append(heard.get_nowait())
                yield np.concatenate(parts)

    return AudioSource("microphone", SAMPLE_RATE, blocks(), is_live=True)


def paced(source: AudioSource) -> Iterator[np.ndarray]:
    """The blocks of `source`, each when the wall clock says that it would have been spoken."""
    start, samples = time.monotonic(), 0
    for block in source.blocks:
        samples += len(block)
        wait_s = start + samples / source.sample_rate - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        yield block


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or str(error)
    return text.removeprefix("Error : ").strip(" .") or type(error).__name__
