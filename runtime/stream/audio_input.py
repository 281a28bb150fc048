"""Audio that comes in pieces: files read in blocks, bytes on stdin, the microphone.

A source yields blocks float32, mono or by channel, at its own `sample_rate`; the decoder
resamples.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...corpora.audio import SAMPLE_RATE
from ...corpora.audio_file import AudioFile, check_audio_path, is_pipe
from ...corpora.mixing import Mixer
from ...corpora.sound import SoundCheck
from ...errors import InputError
from .byte_stream import blocks_of_bytes

_log = logging.getLogger(__name__)

_MIC_EXTRA = "install it with: pip install '.[mic]', in the checkout of alignheads"


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


def open_file(
    path: Path, block_s: float, *, by_channel: bool = False, sample_rate: int | None = None
) -> AudioSource:
    """A file of any format that libsndfile or ffmpeg reads, or a named pipe, which is as stdin.

    Its channels are averaged, or `by_channel`.

    Raises:
        InputError: it is missing or is not audio. While reading: it is empty, or cut off.
    """
    check_audio_path(path)
    if is_pipe(path):
        if by_channel:
            raise InputError(f"{path} is a pipe, which is one channel")

        def piped() -> Iterator[np.ndarray]:
            with path.open("rb") as stream:
                yield from blocks_of_bytes(stream, str(path), block_s, sample_rate)

        rate = sample_rate or SAMPLE_RATE
        return AudioSource(str(path), rate, _heard(str(path), rate, piped()), is_live=True)
    file = AudioFile(path)

    def blocks() -> Iterator[np.ndarray]:
        mixer = Mixer(str(path))
        try:
            for block in file.blocks(block_s):
                yield block if by_channel else mixer(block)
        except InputError as error:
            if "can be read" not in str(error):
                raise
            raise InputError(f"{error}; what can be read was decoded") from error

    channels = file.channels if by_channel else None
    heard = _heard(str(path), file.sample_rate, blocks())
    return AudioSource(str(path), file.sample_rate, heard, channels)


def open_stdin(
    block_s: float, stream: BinaryIO | None = None, sample_rate: int | None = None
) -> AudioSource:
    """Audio of any format, or raw samples, 16 bit little-endian, mono, at `sample_rate`.

    `sample_rate` None: 16 kHz, and the samples are looked at to find out whether they are.

    Raises:
        InputError: stdin is a terminal. While reading: nothing comes, or what cannot be read.
    """
    if stream is None and sys.stdin.isatty():
        raise InputError(
            "stdin is a terminal; pipe audio into it, or raw 16 kHz mono s16le, as in: "
            "ffmpeg -i talk.mp3 -f s16le -ac 1 -ar 16000 - | decode-stream -"
        )
    piped: BinaryIO = sys.stdin.buffer if stream is None else stream
    rate = sample_rate or SAMPLE_RATE
    blocks = blocks_of_bytes(piped, "stdin", block_s, sample_rate)
    return AudioSource("stdin", rate, _heard("stdin", rate, blocks), is_live=True)


def _heard(name: str, sample_rate: int, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The same blocks; after the last one, what is wrong with them is logged."""
    check = SoundCheck(sample_rate)
    try:
        for block in blocks:
            check.hear(block if block.ndim == 1 else block[:, np.abs(block).sum(axis=0).argmax()])
            yield block
    finally:
        for _, words in check.faults():
            _log.warning("%s %s", name, words)


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
