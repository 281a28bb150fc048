"""Bytes on stdin: a file of any format by its first bytes, or raw samples, which are looked at."""

import io
import os
import struct
import threading

import numpy as np
import pytest
import soundfile
import soxr

from alignheads import InputError
from alignheads.runtime.stream import audio_input
from alignheads.runtime.stream.byte_stream import blocks_of_bytes
from alignheads.runtime.stream.raw_check import other_layout

RATE = 16_000


@pytest.fixture(scope="module")
def said(demo):
    return max((one.read() for one in demo.utterances), key=len)


def as_file(samples, rate=RATE, **settings):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **settings)
    return file.getvalue()


def heard(data, sample_rate=None):
    return np.concatenate(list(blocks_of_bytes(io.BytesIO(data), "stdin", 0.5, sample_rate)))


@pytest.fixture
def no_ffmpeg(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "W64", "RF64"])
def test_a_file_on_stdin_is_decoded(said, kind, no_ffmpeg):
    samples = heard(as_file(said, format=kind))
    assert len(samples) == pytest.approx(len(said), abs=10)
    assert np.corrcoef(samples[: len(said)], said[: len(samples)])[0, 1] > 0.9


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_32", "FLOAT", "PCM_24", "ULAW"])
@pytest.mark.parametrize("size", [None, 0, 0xFFFFFFFF])
def test_a_wav_on_stdin_is_decoded_as_it_comes(said, subtype, size, no_ffmpeg):
    wav = bytearray(as_file(np.stack([said, said], axis=1), format="WAV", subtype=subtype))
    at = wav.index(b"data") + 4
    if size is not None:
        wav[at : at + 4] = struct.pack("<I", size)
    samples = heard(bytes(wav))
    assert len(samples) == len(said)
    assert np.abs(samples - said).max() < 0.05


def test_a_wav_of_another_rate_is_resampled(said):
    samples = heard(as_file(soxr.resample(said, RATE, 48_000), 48_000, format="WAV"))
    assert len(samples) == pytest.approx(len(said), abs=2)
    assert np.abs(samples[500:-500] - said[500 : len(samples) - 500]).max() < 0.02


def test_joined_wavs_are_decoded_to_the_end(said):
    fast = as_file(soxr.resample(said, RATE, 48_000), 48_000, format="WAV")
    samples = heard(as_file(said, format="WAV") + fast + as_file(said, format="WAV"))
    assert len(samples) == pytest.approx(3 * len(said), abs=2)


def test_a_wav_that_is_cut_off_is_told_of(said):
    wav = as_file(said, format="WAV")
    with pytest.raises(InputError, match="stdin is cut off"):
        heard(wav[: len(wav) // 2])


@pytest.mark.parametrize("begun", [b"\0\0\0\x20ftypM4A ", b"\x1a\x45\xdf\xa3", b"#!AMR\n"])
def test_without_ffmpeg_one_line_says_so(begun, no_ffmpeg):
    with pytest.raises(InputError, match="install the program ffmpeg"):
        heard(begun + bytes(5_000))


@pytest.mark.parametrize("silence_s", [0.0, 1.23])
@pytest.mark.parametrize(
    ("kind", "name"),
    [("<f4", "32 bit floats"), ("<f8", "64 bit floats"), (">i2", "big-end"), ("<i4", "32 bit int")],
)
def test_samples_of_another_layout_are_refused(said, kind, name, silence_s):
    scale = {"i2": 2**15, "i4": 2**31}.get(kind[1:], 1)
    samples = np.r_[np.zeros(round(silence_s * RATE)), said * scale].astype(kind)
    with pytest.raises(InputError, match=f"stdin seems to hold {name}"):
        heard(samples.tobytes())


def test_compressed_bytes_without_a_beginning_are_refused(said):
    mp3 = as_file(np.random.default_rng(0).normal(0, 0.2, 30 * RATE), format="OGG")
    with pytest.raises(InputError, match="compressed audio"):
        heard(mp3[8_001:])


def test_48_khz_is_refused_unless_it_is_said_to_be(said):
    fast = (soxr.resample(said, RATE, 48_000) * 32_767).astype("<i2").tobytes()
    with pytest.raises(InputError, match=r"too slow.*sample_rate"):
        heard(fast)
    assert len(heard(fast, 48_000)) == 3 * len(said)
    assert len(heard(fast, 16_000)) == 3 * len(said)


def test_48_khz_that_is_there_at_once_gives_no_word_first(said):
    fast = (soxr.resample(said, RATE, 48_000) * 32_767).astype("<i2").tobytes()
    with pytest.raises(InputError, match="too slow"):
        next(iter(blocks_of_bytes(io.BytesIO(fast), "stdin", 0.5)))


def test_what_comes_as_it_is_spoken_does_not_wait(said):
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb", 0) as end:
        end.write((said[:1_600] * 32_767).astype("<i2").tobytes())
        first = next(iter(blocks_of_bytes(stream, "stdin", 0.1)))  # and no more comes
        assert len(first) == 1_600


def test_speech_is_what_it_is(demo):
    for one in demo.utterances:
        said = (one.read() * 32_768).astype("<i2").tobytes()
        assert other_layout(said) is None
        assert len(heard(said)) == len(said) // 2


def test_a_named_pipe_is_read_as_stdin_is(said, tmp_path):
    path = tmp_path / "talk"
    os.mkfifo(path)
    wav = as_file(said, format="WAV", subtype="FLOAT")
    writing = threading.Thread(target=path.write_bytes, args=(wav,))
    writing.start()
    blocks = list(audio_input.open_file(path, 1.0).blocks)
    writing.join()
    assert np.array_equal(np.concatenate(blocks), said)


def test_a_fault_of_the_sound_is_told_at_the_end(caplog):
    quiet = np.random.default_rng(0).normal(0, 1e-4, RATE)
    source = audio_input.open_stdin(0.1, io.BytesIO((quiet * 32_768).astype("<i2").tobytes()))
    assert len(list(source.blocks)) == 10
    (record,) = caplog.records
    assert record.getMessage().startswith("stdin is nearly silent")
