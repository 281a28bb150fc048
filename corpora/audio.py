"""Audio files and arrays, converted to what the models take: mono, 16 kHz, float32."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ..errors import InputError
from .audio_file import AudioFile
from .mixing import Mixer
from .sound import LOUDEST, warn_of_sound

SAMPLE_RATE = 16_000
MIN_SAMPLES = 201  # the engine's feature extraction refuses 200 samples or fewer
ROUNDING_S = 0.05  # tolerated, because text files round durations and word times
AUDIO_SUFFIXES = (
    ".flac",
    ".wav",
    ".ogg",
    ".opus",
    ".mp3",
    ".aiff",
    ".aif",
    ".m4a",
    ".aac",
    ".webm",
)


def read_audio(path: Path, offset_s: float = 0.0, duration_s: float | None = None) -> np.ndarray:
    """The samples of an audio file, or of `duration_s` seconds of it from `offset_s`.

    Returns:
        [n] float32, mono (channels averaged), 16 kHz (resampled by soxr).

    Raises:
        InputError: the file is missing, unreadable, cut off, shorter than the part asked for,
            or its samples are refused by `as_mono_16k`.
    """
    file = AudioFile(path)
    start, wanted = _part(file, offset_s, duration_s)
    pieces: list[np.ndarray] = []
    left = wanted
    try:
        for block in file.blocks(start=start):
            pieces.append(block[:left])
            left = max(0, left - len(block))
            if not left and start + wanted < file.frames:
                break  # at its end, what is wrong there is still to be told
    except InputError as error:
        raise InputError(f"{error}; fetch or convert it again") from error
    if not pieces:
        raise InputError(f"{path} is cut off: nothing can be read from {offset_s:.2f} s on")
    samples = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    mono = as_mono_16k(samples, file.sample_rate, name=str(path))
    warn_of_sound(mono, SAMPLE_RATE, str(path))
    return mono


def audio_duration_s(path: Path) -> float:
    """Length of an audio file in seconds, from its header, or counted where that does not tell.

    Raises:
        InputError: the file is missing or is not audio.
    """
    return AudioFile(path).duration_s


def part_duration_s(path: Path, offset_s: float, duration_s: float | None) -> float:
    """Length of a part of an audio file in seconds, at most what the file has after `offset_s`.

    Raises:
        InputError: the file is missing or is not audio.
    """
    left_s = audio_duration_s(path) - offset_s
    return min(left_s, duration_s or left_s)


def as_mono_16k(samples: np.ndarray, sample_rate: float, name: str = "the audio") -> np.ndarray:
    """Convert an array of samples to mono, 16 kHz, float32.

    Args:
        samples: [n] or [n, channels]; integers are scaled by their type to -1 to 1. Channels are
            averaged; of those that cancel each other the louder one is taken.
        sample_rate: in Hz.
        name: the name of the audio in error messages.

    Returns:
        [n] float32, mono, 16 kHz.

    Raises:
        InputError: another shape or type, NaN or infinite samples, floats far outside of -1 to 1,
            a sample rate that is not a positive number, or 200 samples or fewer at 16 kHz.
    """
    samples = np.asarray(samples)
    if not (math.isfinite(sample_rate) and sample_rate > 0):
        raise InputError(f"{name}: a sample rate of {sample_rate} Hz; expected a positive number")
    if samples.ndim not in (1, 2):
        raise InputError(f"{name} has shape {samples.shape}; expected [n] or [n, channels]")
    if samples.ndim == 2 and samples.shape[1] > max(1, samples.shape[0]):
        raise InputError(f"{name} has shape {samples.shape}; expected [n, channels]: transpose it")
    mono = _as_float(samples, name)
    if mono.ndim == 2:
        mono = Mixer(name)(mono)
    peak = float(np.abs(mono).max(initial=0.0))
    if not math.isfinite(peak):
        raise InputError(f"{name} has NaN or infinite samples; convert it again from its source")
    if peak > LOUDEST:
        raise InputError(
            f"{name} has a sample of {peak:.6g}; expected floats in -1 to 1: divide by 32768 what "
            "was 16 bit integers"
        )
    mono = np.ascontiguousarray(mono, dtype=np.float32)
    if len(mono) and sample_rate != SAMPLE_RATE:
        import soxr

        mono = soxr.resample(mono, sample_rate, SAMPLE_RATE)
    if len(mono) < MIN_SAMPLES:
        raise InputError(
            f"{name} has {len(mono)} samples at 16 kHz; the engine needs {MIN_SAMPLES} or more"
        )
    return mono


def _as_float(samples: np.ndarray, name: str) -> np.ndarray:
    if samples.dtype.kind == "f":
        return samples
    if samples.dtype.kind == "i":
        return samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
    raise InputError(f"{name} has samples of type {samples.dtype}; expected floats or integers")


def _part(file: AudioFile, offset_s: float, duration_s: float | None) -> tuple[int, int]:
    """First frame and number of frames of the part asked for."""
    path, total_s = file.path, file.duration_s
    if file.frames == 0:
        raise InputError(f"{path} is empty: it holds no samples")
    if not 0 <= offset_s < total_s:
        raise InputError(f"{path}: offset {offset_s} s is outside of its {total_s:.2f} s of audio")
    start = round(offset_s * file.sample_rate)
    left = file.frames - start
    if duration_s is None:
        return start, left
    if not duration_s > 0 or offset_s + duration_s > total_s + ROUNDING_S:
        raise InputError(
            f"{path}: {duration_s} s from {offset_s} s were asked for, of {total_s:.2f} s of audio"
        )
    return start, min(left, round(duration_s * file.sample_rate))
