"""The sounds that the tiny model's training and its evaluation make, and the batches of them."""

import json

import numpy as np
import pytest

pytest.importorskip("espeakng_loader", reason="the dependency group tiny-model is not installed")
pytest.importorskip("torch", reason="the dependency group tiny-model is not installed")

import torch

from tools.tiny_model import augment, field
from tools.tiny_model.batches import (
    LATE_MIX,
    PAUSED_LONGEST_S,
    Batch,
    Pool,
    compose,
)
from tools.tiny_model.feeding import fed
from tools.tiny_model.held_out import HeldOut

RATE = 16_000


def tone(hz: float, seconds: float = 1.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def level(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("seed", range(8))
def test_a_telephone_passes_1_kHz_and_stops_6_kHz(seed):
    through = augment.telephone(np.random.default_rng(seed), tone(1000))
    assert level(through) == pytest.approx(level(tone(1000)), rel=0.05)
    assert level(augment.telephone(np.random.default_rng(seed), tone(6000))) < 0.01


def test_most_telephones_stop_100_Hz():
    low = [level(augment.telephone(np.random.default_rng(s), tone(100))) for s in range(20)]
    assert 12 <= sum(one < 0.5 * level(tone(100)) for one in low) < 20


def test_mu_law_has_255_levels_and_errs_by_a_part_of_the_level():
    ramp = np.linspace(-1, 1, 20_001)
    coded = augment.mu_law(ramp)
    assert len(np.unique(coded)) == 255
    assert np.abs(coded - ramp)[np.abs(ramp) > 0.01] == pytest.approx(0, abs=0.025)
    assert augment.mu_law(np.array([0.0, 3.0, -3.0])) == pytest.approx([0, 1, -1])


def test_noise_is_mixed_at_its_distance_whatever_pauses_the_speech_has(rng):
    speech = np.concatenate([tone(300), np.zeros(9 * RATE, np.float32)])
    noise = augment.coloured_noise(rng, len(speech), 0.0)
    added = augment.mixed(speech, noise, 10.0) - speech
    assert 20 * np.log10(level(tone(300)) / level(added)) == pytest.approx(10, abs=0.3)


def test_silence_stays_silence_in_noise_that_is_relative_to_it(rng):
    silence = np.zeros(RATE, np.float32)
    assert not augment.mixed(silence, augment.coloured_noise(rng, RATE, 0.5), 10.0).any()
    assert not augment.telephone(rng, silence).any()
    assert not augment.equalised(rng, silence).any()


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_coloured_noise_falls_as_its_exponent_says(rng, exponent):
    power = np.abs(np.fft.rfft(augment.coloured_noise(rng, 10 * RATE, exponent))) ** 2
    low, high = power[2_000:4_000].mean(), power[20_000:40_000].mean()  # a decade apart
    assert 10 * np.log10(low / high) == pytest.approx(20 * exponent, abs=1.5)


def test_babble_is_the_sum_of_its_voices(rng):
    speech = (10_000 * np.tile(tone(200), 20)).astype(np.int16)
    assert level(augment.babble(rng, speech, RATE, 9)) > level(augment.babble(rng, speech, RATE, 1))


def test_babble_longer_than_all_speech_there_is(rng):
    assert len(augment.babble(rng, np.ones(100, np.int16), 5000, 3)) == 5000


@pytest.mark.parametrize("kind", augment._SOUNDS)
@pytest.mark.parametrize("count", [800, 8_000, 48_000])
def test_every_sound_is_finite_and_as_long_as_wished(kind, count):
    for seed in range(4):
        made = kind(np.random.default_rng(seed), count)
        assert made.shape == (count,)
        assert np.isfinite(made).all()


def test_sounds_have_a_peak_of_one_and_differ(rng):
    some = [augment.non_speech(rng, RATE) for _ in range(30)]
    peaks = np.array([np.abs(one).max() for one in some])
    assert ((peaks > 0.99) | (peaks == 0)).all()
    assert (peaks > 0).sum() >= 27
    assert len({one.tobytes() for one in some}) >= 28


def held_out(hz: float = 1000.0) -> HeldOut:
    samples = (32767 * np.pad(tone(hz), (RATE, RATE))).astype(np.int16)
    return HeldOut(samples, [("word", 1.0, 2.0)], "someone")


def test_the_measured_telephone_band_is_300_to_3400():
    for mu_law in (False, True):
        kept = level(field.by_telephone(held_out(1000), mu_law).samples)
        assert kept == pytest.approx(level(held_out().samples), rel=0.06)
        for hz in (100, 3700, 5000):
            assert level(field.by_telephone(held_out(hz), mu_law).samples) < 0.1 * kept


def test_the_measured_noise_is_relative_to_the_words(rng):
    clean = held_out()
    noisy = field.in_white_noise(rng, clean, 10.0)
    added = noisy.samples.astype(float) - clean.samples
    speech = clean.samples[RATE : 2 * RATE]
    assert 20 * np.log10(level(speech) / level(added)) == pytest.approx(10, abs=0.1)
    babble = field.in_babble(rng, clean, [held_out(300), held_out(500)], 10.0)
    added = babble.samples.astype(float) - clean.samples
    assert 20 * np.log10(level(speech) / level(added)) == pytest.approx(10, abs=0.1)


def test_a_measured_pause_moves_the_words():
    later = field.after_pause(held_out(), 30.0)
    assert later.words == [("word", 31.0, 32.0)]
    assert not later.samples[: 31 * RATE].any()
    both = field.with_pause_inside(held_out(), held_out(500), 12.0)
    assert both.words == [("word", 1.0, 2.0), ("word", 16.0, 17.0)]
    assert len(both.samples) == (3 + 12 + 3) * RATE
    assert (both.samples[: 3 * RATE] == held_out().samples).all()


def test_the_measured_sounds_fit_16_bits(rng):
    clips = field.non_speech_clips(rng, 3)
    assert sum(map(len, clips.values())) == 18
    for some in clips.values():
        assert all(clip.dtype == np.int16 and np.abs(clip).max() > 100 for clip in some)


@pytest.fixture(scope="module")
def pool(tmp_path_factory) -> Pool:
    """Ten utterances of two tones, for "words", and three recorded digits."""
    folder, lines, parts, position = tmp_path_factory.mktemp("pool"), [], [], 0
    for i in range(13):
        digit = i >= 10
        samples = (32767 * tone(150 + 40 * i, 0.5 if digit else 2.0)).astype(np.int16)
        words = (
            [("nine", 0.0, 0.5)]
            if digit
            else [(w, j / 2, j / 2 + 0.5) for j, w in enumerate(["the", "cat", "slept", "today"])]
        )
        lines.append(json.dumps({
            "kind": "digit" if digit else "synthetic", "speaker": f"s{i % 2}",
            "words": words, "offset": position, "length": len(samples),
        }))  # fmt: skip
        parts.append(samples)
        position += len(samples)
    np.save(folder / "samples.npy", np.concatenate(parts))
    (folder / "index.jsonl").write_text("\n".join(lines))
    return Pool(folder)


def test_utterances_as_users_record_them(pool):
    rng = np.random.default_rng(1)
    some = [compose(pool, rng, 12.0, LATE_MIX) for _ in range(200)]
    assert all(np.isfinite(e.samples).all() and np.abs(e.samples).max() <= 1 for e in some)
    assert all(e.samples.dtype == np.float32 for e in some)
    spoken = [e for e in some if e.text]
    assert 2 <= len(some) - len(spoken) <= 30
    assert all(e.language == "English" for e in spoken)
    peaks_db = 20 * np.log10([np.abs(e.samples).max() for e in spoken])
    assert peaks_db.max() - peaks_db.min() > 30
    lead_s = [int(np.argmax(np.abs(e.samples) > 1e-6)) / RATE for e in spoken]
    assert max(lead_s) > 8
    assert max(len(e.samples) for e in some) / RATE <= 12 + 2 * 30 + 1 < 2 * PAUSED_LONGEST_S


def counted(worker: int):
    """Three batches that say which process made them."""
    for i in range(3):
        made = torch.tensor([worker, i])
        yield Batch(made.float(), *[made] * 7)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_every_batch_of_every_process_comes_once(workers):
    found = [tuple(batch.targets.tolist()) for batch in fed(counted, workers, pinned=False)]
    assert sorted(found) == [(w, i) for w in range(max(1, workers)) for i in range(3)]


def test_a_process_that_fails_is_heard_of():
    def failing(worker: int):
        yield from counted(worker)
        raise ValueError("no such speaker")

    with pytest.raises(ValueError, match="no such speaker"):
        list(fed(failing, 1, pinned=False))


def test_a_batch_goes_to_a_device_whole():
    moved = next(counted(3)).to(torch.device("cpu"))
    assert [value.tolist() for value in vars(moved).values()] == [[3, 0]] * 8
