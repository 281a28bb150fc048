from pathlib import Path

import numpy as np
import pytest
import soundfile

from alignheads.corpora.audio import MIN_SAMPLES, as_mono_16k, audio_duration_s, read_audio
from alignheads.errors import InputError


def tone(seconds: float, rate: int = 16_000, hertz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def test_nan_samples_are_refused_by_name(tmp_path: Path):
    path = tmp_path / "broken.wav"
    samples = tone(0.5)
    samples[100] = np.nan
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    with pytest.raises(InputError, match=r"broken\.wav has NaN"):
        read_audio(path)


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_infinite_samples_are_refused(bad: float):
    samples = tone(0.5).astype(np.float32)
    samples[0] = bad
    with pytest.raises(InputError, match="infinite"):
        as_mono_16k(samples, 16_000)


def test_missing_file_and_folder(tmp_path: Path):
    with pytest.raises(InputError, match="not found"):
        read_audio(tmp_path / "none.flac")
    with pytest.raises(InputError, match="is a folder"):
        read_audio(tmp_path)


@pytest.mark.parametrize("content", [b"", b"fLaC", b"not audio at all", bytes(5000)])
def test_files_that_are_not_audio(tmp_path: Path, content: bytes):
    path = tmp_path / "x.flac"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.flac cannot be read as audio"):
        read_audio(path)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_flac_is_refused_not_cut_short(tmp_path: Path, share: float):
    path = tmp_path / "cut.flac"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 32_000), 16_000)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"cut\.flac is cut off"):
        read_audio(path)


def test_header_without_samples(tmp_path: Path):
    path = tmp_path / "empty.wav"
    soundfile.write(path, np.zeros(0), 16_000)
    with pytest.raises(InputError, match=r"empty\.wav is empty"):
        read_audio(path)


@pytest.mark.parametrize(
    ("samples", "rate"), [(200, 16_000), (100, 8_000), (1, 8_000), (0, 16_000)]
)
def test_as_short_as_the_engine_refuses(samples: int, rate: int):
    with pytest.raises(InputError, match="201 or more"):
        as_mono_16k(np.zeros(samples), rate)


def test_one_sample_more_is_taken():
    assert as_mono_16k(np.zeros(MIN_SAMPLES), 16_000).shape == (201,)


def test_8_khz_stereo_becomes_16_khz_mono(tmp_path: Path):
    path = tmp_path / "phone.wav"
    left = tone(1.0, 8_000)
    soundfile.write(path, np.stack([left, 0 * left], axis=1), 8_000)
    samples = read_audio(path)
    assert samples.dtype == np.float32
    assert samples.shape == (16_000,)
    expected = 0.5 * tone(1.0)
    # The filter rings at the ends; between them the tone must be the same, at half the height.
    assert np.abs(samples[500:-500] - expected[500:-500]).max() < 2e-3


def test_integers_are_scaled():
    samples = as_mono_16k(np.full(300, -32768, np.int16), 16_000)
    assert samples.min() == samples.max() == -1.0


@pytest.mark.parametrize("shape", [(2, 16_000), (10, 10, 10), ()])
def test_shapes_that_are_not_samples(shape: tuple[int, ...]):
    with pytest.raises(InputError, match="shape"):
        as_mono_16k(np.zeros(shape), 16_000)


@pytest.mark.parametrize("rate", [0, -16_000, float("nan")])
def test_sample_rates_that_are_none(rate: float):
    with pytest.raises(InputError, match="positive"):
        as_mono_16k(np.zeros(1000), rate)


def test_a_part_of_a_file(tmp_path: Path):
    path = tmp_path / "long.flac"
    samples = np.linspace(-0.9, 0.9, 32_000)
    soundfile.write(path, samples, 16_000)
    part = read_audio(path, 0.5, 0.25)
    assert np.abs(part - samples[8_000:12_000]).max() < 1e-4
    assert audio_duration_s(path) == 2.0
    assert len(read_audio(path, 1.5)) == 8_000
    assert len(read_audio(path, 1.5, 0.54)) == 8_000  # rounding of up to 50 ms is forgiven


@pytest.mark.parametrize(
    ("offset_s", "duration_s"),
    [(2.0, None), (-0.1, None), (1.0, 1.2), (0.0, 0.0), (0.0, -1.0), (float("nan"), None)],
)
def test_parts_outside_of_the_file(tmp_path: Path, offset_s: float, duration_s: float | None):
    path = tmp_path / "short.flac"
    soundfile.write(path, tone(2.0), 16_000)
    with pytest.raises(InputError, match=r"short\.flac"):
        read_audio(path, offset_s, duration_s)
