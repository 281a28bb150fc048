"""Files as they are found: joined, without a length, of formats that only ffmpeg reads."""

import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from alignheads.corpora import sound
from alignheads.corpora.audio import as_mono_16k, audio_duration_s, read_audio
from alignheads.corpora.audio_file import AudioFile
from alignheads.corpora.audio_kinds import kind_of
from alignheads.corpora.sound import RateCheck, SoundCheck
from alignheads.errors import InputError

RATE = 16_000


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE))


def written(path: Path, samples: np.ndarray, rate: int = RATE, **settings) -> bytes:
    soundfile.write(path, samples, rate, **settings)
    return path.read_bytes()


def without_header(mp3: bytes) -> bytes:
    """An MP3 whose first frame, with the number of frames, is gone."""
    assert b"Xing" in mp3[:60] or b"Info" in mp3[:60]
    return mp3[mp3.index(b"\xff", 100) :] if mp3[:2] != b"\xff\xf3" else mp3[_first_frame(mp3) :]


def _first_frame(mp3: bytes) -> int:
    from alignheads.corpora.audio_parts import frame_bytes

    return frame_bytes(mp3, 0)


def put_ffmpeg(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """A program called ffmpeg, that does `body` in Python, first on the PATH."""
    program = folder / "bin" / "ffmpeg"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!{sys.executable}\nimport struct, sys\n{body}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


TELLS_A_SECOND = """
sys.stdout.buffer.write(struct.pack(">4sIIIII", b".snd", 28, 0xFFFFFFFF, 6, 8000, 2) + b"note")
sys.stdout.buffer.write(struct.pack(">2f", 0.25, 0.5) * 8000)
"""


def test_an_mp3_without_a_xing_header_is_whole(tmp_path: Path):
    # Loud after silence: its length cannot be guessed from its first frame.
    samples = np.concatenate([np.zeros(RATE), noise(4.0)])
    mp3 = written(tmp_path / "x.mp3", samples, bitrate_mode="VARIABLE")
    path = tmp_path / "bare.mp3"
    path.write_bytes(without_header(mp3))
    assert audio_duration_s(path) == pytest.approx(5.0, abs=0.12)
    assert len(read_audio(path)) / RATE == pytest.approx(5.0, abs=0.12)
    assert len(read_audio(path, 4.0)) / RATE == pytest.approx(1.0, abs=0.12)


def test_an_mp3_is_the_same_in_blocks(tmp_path: Path, capfd: pytest.CaptureFixture):
    written(tmp_path / "x.mp3", noise(2.0), bitrate_mode="CONSTANT", compression_level=0.9)
    blocks = list(AudioFile(tmp_path / "x.mp3").blocks(0.1))
    whole, _ = soundfile.read(tmp_path / "x.mp3", dtype="float32")
    assert np.array_equal(np.concatenate(blocks)[:, 0], whole)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".mp3", ".ogg", ".flac", ".wav"])
def test_joined_files_are_read_to_the_end(tmp_path: Path, suffix: str):
    first = written(tmp_path / f"a{suffix}", noise(1.5))
    second = written(tmp_path / f"b{suffix}", noise(2.5))
    path = tmp_path / f"both{suffix}"
    path.write_bytes(first + second)
    assert audio_duration_s(path) == pytest.approx(4.0, abs=0.01)
    assert len(read_audio(path)) == pytest.approx(4 * RATE, abs=100)
    part, alone = read_audio(path, 1.75, 0.5), read_audio(tmp_path / f"b{suffix}", 0.25, 0.5)
    assert np.abs(part - alone).max() < 1e-3


def test_a_joined_file_that_is_cut_off_is_told_of(tmp_path: Path):
    whole = written(tmp_path / "a.flac", noise(1.5))
    path = tmp_path / "both.flac"
    path.write_bytes(whole + whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"both\.flac is cut off"):
        read_audio(path)


def test_parts_of_different_rates_are_not_taken_for_one(tmp_path: Path):
    path = tmp_path / "both.wav"
    path.write_bytes(
        written(tmp_path / "a.wav", noise(1.0)) + written(tmp_path / "b.wav", noise(1.0), 8_000)
    )
    with pytest.raises(InputError, match="different sample rates"):
        read_audio(path)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_wav_that_was_never_told_its_size(tmp_path: Path, size: int):
    path = tmp_path / "piped.wav"
    wav = bytearray(written(path, noise(1.0)))
    at = wav.index(b"data") + 4
    wav[at : at + 4] = struct.pack("<I", size)
    path.write_bytes(wav)
    assert audio_duration_s(path) == 1.0
    assert len(read_audio(path)) == RATE


def test_a_wav_that_is_empty_stays_so_whatever_stands_behind(tmp_path: Path):
    path = tmp_path / "empty.wav"
    path.write_bytes(written(path, np.zeros(0)) + b"LIST" + struct.pack("<I", 4) + b"INFO")
    with pytest.raises(InputError, match="holds no samples"):
        read_audio(path)


def test_a_flac_that_does_not_know_its_length(tmp_path: Path):
    path = tmp_path / "piped.flac"
    flac = bytearray(written(path, noise(1.3)))
    flac[21] &= 0xF0
    flac[22:26] = bytes(4)
    path.write_bytes(flac)
    assert audio_duration_s(path) == 1.3
    assert len(read_audio(path)) == round(1.3 * RATE)


def test_what_libsndfile_cannot_read_is_read_by_ffmpeg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    put_ffmpeg(tmp_path, monkeypatch, TELLS_A_SECOND)
    path = tmp_path / "-talk.m4a"
    path.write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
    file = AudioFile(path)
    assert (file.sample_rate, file.channels, file.frames) == (8_000, 2, 8_000)
    samples = read_audio(path, 0.25, 0.5)
    assert len(samples) == RATE // 2
    assert samples[1000:-1000] == pytest.approx(0.375, abs=0.01)


def test_without_ffmpeg_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "talk.webm"
    path.write_bytes(b"\x1a\x45\xdf\xa3" + bytes(100))
    with pytest.raises(InputError, match=r"it is WebM.*install the program ffmpeg"):
        read_audio(path)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("sys.exit('[in#0 @ 0x55] [error] no such thing')", r"ffmpeg: no such thing\)"),
        (TELLS_A_SECOND + "sys.exit('[mov] [error] partial file')", r"cut off.*1\.00 s can"),
        ("sys.stderr.write('x' * 200_000); sys.exit(1)", "cannot be read as audio"),
    ],
)
def test_what_ffmpeg_cannot_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, fault: str
):
    put_ffmpeg(tmp_path, monkeypatch, body)
    path = tmp_path / "bad.mp4"
    path.write_bytes(b"\0\0\0\x20ftypisom" + bytes(100))
    with pytest.raises(InputError, match=fault):
        read_audio(path)


@pytest.mark.parametrize(
    ("begun", "kind"),
    [
        (b"\0\0\0\x20ftypM4A ", "MP4"),
        (b"RIFF\0\0\0\0WAVEfmt ", "WAV"),
        (np.array([-3585, 20_000, 7, 9] * 999, "<i2").tobytes(), None),  # begins as an AAC does
        (np.array([-1025, -28_000, 7, 9] * 999, "<i2").tobytes(), None),  # as an MP3
        (b"", None),
    ],
)
def test_kinds(begun: bytes, kind: str | None):
    assert kind_of(begun) == kind


def test_kinds_of_mp3s(tmp_path: Path):
    mp3 = written(tmp_path / "x.mp3", noise(1.0))
    assert kind_of(mp3) == kind_of(without_header(mp3)) == "MP3"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.symlink_to(path), "cannot be opened"),
        (lambda path: path.symlink_to("/dev/null"), "is a device"),
        (lambda path: os.mkfifo(path), "is a pipe"),
    ],
)
def test_what_is_no_file_is_called_what_it_is(tmp_path: Path, make, words: str):
    path = tmp_path / "x.wav"
    make(path)
    with pytest.raises(InputError, match=words):
        read_audio(path)


def test_int16_cast_to_float_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="divide by 32768"):
        as_mono_16k(noise(1.0).astype(np.float32) * 32768, RATE)
    path = tmp_path / "loud.wav"
    soundfile.write(path, noise(1.0) * 32768, RATE, subtype="FLOAT")
    with pytest.raises(InputError, match=r"loud\.wav has a sample of"):
        read_audio(path)
    assert as_mono_16k(noise(1.0) * 10, RATE).max() > 1  # overshoot of a decoder


def test_channels_in_opposite_phase_are_not_silence(caplog: pytest.LogCaptureFixture):
    voice = noise(1.0)
    mono = as_mono_16k(np.stack([0.9 * voice, -voice], axis=1), RATE, "call.wav")
    assert np.allclose(mono, -voice, atol=1e-6)
    (record,) = caplog.records
    assert "call.wav: its channels cancel" in record.getMessage()
    assert "channel 2" in record.getMessage()


@pytest.mark.parametrize("other", [0.0, 1.0, -0.5])
def test_other_channels_are_averaged(other: float, caplog: pytest.LogCaptureFixture):
    voice = noise(1.0)
    mono = as_mono_16k(np.stack([voice, other * voice], axis=1), RATE)
    assert np.allclose(mono, (1 + other) / 2 * voice, atol=1e-6)
    assert not caplog.records


def test_faults_of_sound_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(sound, "_told", set())
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", noise(1.0) / 1000, RATE, subtype="FLOAT")
        read_audio(tmp_path / f"{name}.wav")
    (record,) = caplog.records
    assert "a.wav is nearly silent" in record.getMessage()


def test_clipped_sound_is_told_of():
    check = SoundCheck(RATE)
    check.hear(np.clip(noise(1.0) * 30, -1, 1).astype(np.float32))
    assert [kind for kind, _ in check.faults()] == ["clipped"]
    check.hear(np.full(RATE, 21_359, np.float32))  # int16, which is refused: no word more
    assert list(check.faults()) == []


def test_speech_of_48_khz_taken_for_16_sounds_too_slow():
    from alignheads import load_corpus

    clips = [one.read() for one in load_corpus("demo:dev").utterances]
    said = max(clips, key=len)
    for samples, is_slow in ((said, False), (soxr.resample(said, RATE, 3 * RATE), True)):
        check = RateCheck(RATE)
        for start in range(0, len(samples), 4_000):
            check.hear(samples[start : start + 4_000])
        assert bool(check.fault) is is_slow


def test_a_tone_is_no_voice_that_is_too_low():
    check = RateCheck(RATE)
    check.hear(0.5 * np.sin(2 * np.pi * 50 * np.arange(10 * RATE) / RATE))
    assert not check.fault
