"""Log-mel and encoder in pieces against the engine's own, and what is kept between calls."""

import numpy as np
import pytest
from mlx_qwen3_asr.audio import compute_features, mel_filters

from alignheads.runtime.models import protocol
from alignheads.runtime.models.backend import mx
from alignheads.runtime.models.log_mel import HOP_SAMPLES, LEAD_SAMPLES, LogMel
from alignheads.runtime.models.qwen3 import stream_encoder
from alignheads.runtime.models.qwen3.audio_encoder import encode
from alignheads.runtime.models.qwen3.stream_encoder import StreamEncoder
from alignheads.runtime.models.spectrogram import spectrogram

RATE = 16_000
FLOOR_STEP = 0.25  # in log10; a quarter of it on the scale of the spectrogram
LENGTHS = [201, 360, 3_000, RATE - 1, RATE, RATE + 100, 5 * RATE // 4, 8 * RATE, 8 * RATE + 200]


def noise(samples, loudness=0.1, seed=0):
    return (loudness * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def engine_mel(samples):
    return np.array(compute_features(samples)[0][0])


def assert_is_the_engines(found, samples):
    """All but what is at the floor, which is rounded to 2.5 dB."""
    expected = engine_mel(samples)
    above = expected > expected.min() + FLOOR_STEP / 8 + 1e-4
    assert np.abs(found - expected)[above].max() < 1e-4
    assert np.abs(found - expected).max() <= FLOOR_STEP / 8 + 1e-4


@pytest.fixture
def log_mel():
    return LogMel(np.array(mel_filters(128)))


@pytest.fixture
def encoder(tiny):
    return StreamEncoder(tiny.engine.audio_tower, tiny.engine_dtype)


def frames(log_mel, samples, lead=0):
    """[bands, frames], and how many of them are final."""
    count, final = log_mel.update(samples, lead)
    return log_mel.scaled(0, count, log_mel.floor(count)), final


def whole(encoder, samples, lead=0):
    windows, tail = encoder.encode(samples, lead)
    return np.array(mx.concatenate([*windows, tail]))


# Log-mel


def test_a_buffer_is_cut_between_frames_of_the_log_mel():
    assert protocol.CUT_SAMPLES == HOP_SAMPLES
    assert protocol.LEAD_SAMPLES == LEAD_SAMPLES


@pytest.mark.parametrize("length", [RATE // 2, 3 * RATE + 77])
def test_the_spectrogram_of_a_figure_is_the_engines(length):
    samples = noise(length)
    picture = spectrogram(samples)
    assert (picture.values.shape, picture.per_s) == ((128, length // 160), 100)
    assert_is_the_engines(picture.values, samples)


def test_audio_too_short_for_a_spectrogram_has_none():
    assert spectrogram(np.zeros(100)).values.shape == (128, 0)


@pytest.mark.parametrize("length", [*LENGTHS, 40 * RATE])
def test_log_mel_is_the_engines(log_mel, length):
    found, _ = frames(log_mel, noise(length))
    assert found.shape == (128, length // 160)
    assert_is_the_engines(found, noise(length))


@pytest.mark.parametrize("step", [1, 77, 160, 7_777, RATE])
def test_a_growing_buffer_gives_what_the_whole_gives(log_mel, step):
    samples = noise(3 * RATE if step > 100 else 700)
    for length in range(201, len(samples), step):
        found, _ = frames(log_mel, samples[:length])
        assert found.shape[1] == length // 160
    found, _ = frames(log_mel, samples)
    fresh, _ = frames(LogMel(np.array(mel_filters(128))), samples)
    assert np.abs(found - fresh).max() < 1e-5


def test_frames_called_final_do_not_change_with_more_audio(log_mel):
    samples = noise(2 * RATE)
    for length in (201, 359, 360, 361, 5_000, RATE):
        log_mel.reset()
        before, final = frames(log_mel, samples[:length])
        after, _ = frames(log_mel, samples)
        low = before.min()  # the floor, that only a louder passage moves
        changed = np.abs(before[:, :final] - after[:, :final])[before[:, :final] > low + 0.01]
        assert changed.max(initial=0) < 1e-5


def test_a_louder_passage_raises_the_floor_of_what_came_before(log_mel):
    samples = np.concatenate([noise(RATE, 1e-5), noise(RATE, 0.5)])
    quiet, _ = frames(log_mel, samples[:RATE])
    both, _ = frames(log_mel, samples)
    assert_is_the_engines(both, samples)
    assert both[:, :90].min() > quiet[:, :90].min() + 0.5


def test_what_is_heard_later_does_not_raise_the_floor_up_to_a_frame(log_mel):
    samples = np.concatenate([noise(RATE, 1e-5), noise(RATE, 0.5)])
    log_mel.update(samples[:RATE], 0)
    quiet = log_mel.floor(90)
    log_mel.update(samples, 0)
    assert log_mel.floor(90) == quiet < log_mel.floor(200) - 0.5
    # From frame 60 on it is another buffer, and what was heard before that counts no more.
    log_mel.drop(60)
    log_mel.update(samples[60 * 160 - LEAD_SAMPLES :], LEAD_SAMPLES)
    assert log_mel.floor(30) <= quiet < log_mel.floor(140) - 0.5


def test_a_front_that_was_dropped_is_seen_through_the_lead(log_mel):
    samples = noise(3 * RATE)
    before, _ = frames(log_mel, samples)
    log_mel.drop(100)
    after, _ = frames(log_mel, samples[RATE - LEAD_SAMPLES :], LEAD_SAMPLES)
    assert np.abs(after - before[:, 100:]).max() < 1e-5


def test_the_floor_moves_seldom_while_the_loudest_changes_little(log_mel):
    silence = np.zeros(RATE, np.float32)
    floors = []
    for loudness in np.geomspace(0.2, 0.4, 20):  # 6 dB
        log_mel.reset()
        found, _ = frames(log_mel, np.concatenate([noise(RATE, loudness), silence]))
        floors.append(found.min())
    assert floors == sorted(floors)
    assert 3 <= len(set(floors)) <= 4


# Encoder


@pytest.mark.parametrize("length", LENGTHS)
def test_the_encoder_in_pieces_is_the_engines(tiny, encoder, length):
    samples = noise(length)
    mel = mx.array(engine_mel(samples))
    expected = np.array(tiny.engine.audio_tower.encode_frames(mel))
    assert np.abs(np.array(encode(tiny.engine.audio_tower, mel)) - expected).max() < 1e-3
    assert np.abs(whole(encoder, samples) - expected).max() < 1e-3


@pytest.mark.parametrize("step", [RATE // 2, RATE, 3 * RATE, 9 * RATE])
def test_a_growing_buffer_is_encoded_as_in_one_piece(encoder, tiny, step):
    samples = noise(18 * RATE + 777)
    for length in range(step, len(samples), step):
        whole(encoder, samples[:length])
    fresh = StreamEncoder(tiny.engine.audio_tower, tiny.engine_dtype, caches=False)
    assert np.abs(whole(encoder, samples) - whole(fresh, samples)).max() < 1e-3


def test_a_chunk_that_is_begun_with_anywhere_is_encoded_as_in_one_piece(encoder, tiny):
    samples = noise(3 * RATE)
    for length in (333, 1111, 2500, 2560, 9000, 15_990, 16_000, 16_030, 17_280, 31_999, 45_000):
        fresh = StreamEncoder(tiny.engine.audio_tower, tiny.engine_dtype, caches=False)
        found = whole(encoder, samples[:length])
        assert np.abs(found - whole(fresh, samples[:length])).max() < 1e-3


@pytest.fixture
def embedded(monkeypatch):
    """How many mel frames went through the convolutions, and how many windows were transformed."""
    counts = {"mel_frames": 0, "transforms": 0}
    embed, transform = stream_encoder.embed, stream_encoder.transform

    def counting_embed(encoder, chunks, **places):
        counts["mel_frames"] += len(chunks[0]) * chunks[0].shape[2]
        return embed(encoder, chunks, **places)

    def counting_transform(encoder, hidden, seen=None):
        counts["transforms"] += 1
        return transform(encoder, hidden, seen)

    monkeypatch.setattr(stream_encoder, "embed", counting_embed)
    monkeypatch.setattr(stream_encoder, "transform", counting_transform)
    return counts


def test_each_finished_piece_is_computed_once(encoder, embedded):
    samples = noise(20 * RATE)
    for second in range(1, 21):
        encoder.encode(samples[: second * RATE], 0)
    # Each frame once; that of the last mel frame once more, with what it sees, when that is final.
    assert embedded["mel_frames"] <= 1.15 * 2000
    assert embedded["transforms"] == 20 + 2


def test_a_finished_window_is_kept_when_something_louder_follows(tiny, encoder, embedded):
    quiet, loud = noise(9 * RATE, 1e-4), noise(2 * RATE, 0.9)
    before, _ = encoder.encode(quiet, 0)
    embedded["transforms"] = 0
    after, tail = encoder.encode(np.concatenate([quiet, loud]), 0)
    assert embedded["transforms"] == 1  # what is not finished
    assert len(before) == len(after) == 1
    assert before[0] is after[0]
    # And it is no matter of when the buffer was looked at.
    fresh = StreamEncoder(tiny.engine.audio_tower, tiny.engine_dtype, caches=False)
    found = np.array(mx.concatenate([*after, tail]))
    assert np.abs(found - whole(fresh, np.concatenate([quiet, loud]))).max() < 1e-3


@pytest.mark.parametrize("until_s", [7, 8, 9])  # what is louder ends with the window, or does not
def test_chunks_that_a_louder_passage_changes_are_computed_anew(tiny, encoder, until_s):
    # The first second stays as it is under the higher floor; what comes after it does not.
    heard = [noise(RATE, 0.05), noise(4 * RATE, 3e-5, seed=1), noise((until_s - 5) * RATE, 0.9)]
    samples = np.concatenate([*heard, noise(3 * RATE, 1e-3, seed=2)])
    fresh = StreamEncoder(tiny.engine.audio_tower, tiny.engine_dtype, caches=False)
    for length in range(RATE, len(samples) + 1, RATE):
        found = whole(encoder, samples[:length])
        assert np.abs(found - whole(fresh, samples[:length])).max() < 1e-3


@pytest.mark.parametrize("dropped_s", [8.0, 5.37])
def test_a_buffer_with_another_front_is_encoded_as_if_it_had_begun_there(encoder, dropped_s):
    samples = noise(18 * RATE)
    before, _ = encoder.encode(samples, 0)
    dropped = int(dropped_s * RATE)
    encoder.drop(dropped // 160)
    rest = samples[dropped - LEAD_SAMPLES :]
    windows, tail = encoder.encode(rest, LEAD_SAMPLES)
    assert not any(window is old for window in windows for old in before)
    found = np.array(mx.concatenate([*windows, tail]))
    encoder.reset()
    windows, tail = encoder.encode(rest, LEAD_SAMPLES)
    expected = np.array(mx.concatenate([*windows, tail]))
    assert np.abs(found - expected).max() < 1e-3
