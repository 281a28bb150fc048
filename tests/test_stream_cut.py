"""Where the front of a full buffer is cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignheads.runtime.stream.cut import quietest_cut, speech_s

RATE = 16_000


def speech(*pauses_s, seconds=10.0, loud=0.3):
    """Noise with silence at `pauses_s`."""
    samples = loud * np.random.default_rng(0).standard_normal(int(seconds * RATE))
    for begin, end in pauses_s:
        samples[int(begin * RATE) : int(end * RATE)] = 0
    return samples.astype(np.float32)


def test_of_two_gaps_the_quiet_one_is_cut():
    gaps = [(2.9, 3.1), (4.9, 5.1), (6.9, 7.1)]
    index, at_s = quietest_cut(speech((4.94, 5.06)), gaps, 2.0, 8.0)
    assert index == 1
    assert at_s == pytest.approx(5.0, abs=0.011)


def test_a_stop_within_a_word_is_not_a_pause():
    gaps = [(2.8, 3.2), (4.8, 5.2)]
    index, at_s = quietest_cut(speech((2.99, 3.01), (4.95, 5.05)), gaps, 2.0, 8.0)
    assert index == 1
    assert at_s == pytest.approx(5.0, abs=0.011)


def test_a_long_pause_is_left_before_the_next_word_but_not_all_of_it():
    _, at_s = quietest_cut(speech((2.0, 6.0)), [(2.1, 5.9)], 1.0, 9.0)
    assert 4.9 <= at_s <= 5.9


def test_gaps_before_and_after_what_may_go_are_not_cut():
    quiet_at = speech((1.0, 1.2), (9.0, 9.2))
    gaps = [(1.05, 1.1), (5.0, 5.0), (9.05, 9.1)]
    assert quietest_cut(quiet_at, gaps, 2.5, 7.5) == (1, 5.0)
    assert quietest_cut(quiet_at, [gaps[0], gaps[2]], 2.5, 7.5) is None
    assert quietest_cut(quiet_at, [], 2.5, 7.5) is None


def test_after_the_last_word_the_silence_may_be_without_end():
    index, at_s = quietest_cut(speech((3.0, 10.0)), [(3.1, np.inf)], 2.5, 7.5)
    assert index == 0
    assert 6.5 <= at_s <= 7.5


@settings(deadline=None)
@given(
    gaps=st.lists(st.tuples(st.floats(-3, 12), st.floats(-3, 12)), max_size=6),
    least_s=st.floats(0.1, 5.0),
    more_s=st.floats(0.0, 5.0),
    seconds=st.floats(0.3, 10.0),
)
def test_a_cut_is_a_whole_10_ms_of_the_buffer_from_least_to_most(gaps, least_s, more_s, seconds):
    samples = speech(seconds=seconds)
    cut = quietest_cut(samples, gaps, least_s, least_s + more_s)
    if cut is not None:
        index, at_s = cut
        assert 0 <= index < len(gaps)
        assert abs(at_s * 100 - round(at_s * 100)) < 1e-6
        assert least_s - 0.006 <= at_s <= min(least_s + more_s + 0.006, seconds)
        assert at_s >= gaps[index][0] - 0.006


# Speech that was not heard


def test_speech_is_what_is_loud_and_not_level():
    talking = [(i + 0.6, i + 1.0) for i in range(10)]
    assert speech_s(speech(*talking), 4.0) == pytest.approx(6 * 0.7, abs=0.15)
    assert speech_s(speech(*talking), 9.9) == 0
    assert speech_s(speech((4, 10)), 4.2) == 0
    quiet = speech(*talking)
    quiet[4 * RATE :] *= 0.1
    assert speech_s(quiet, 4.1) == 0


@pytest.mark.parametrize("level", [1.0, 0.3, 3.0])
def test_noise_and_tones_are_level(level):
    before = speech(*[(i + 0.6, i + 1.0) for i in range(4)], seconds=4)
    tone = np.sin(2 * np.pi * 440 * np.arange(6 * RATE) / RATE).astype(np.float32)
    for after in (tone, speech(seconds=6)):
        assert speech_s(np.concatenate([before, level * after]), 4.05) == 0


def test_nothing_before_or_after_is_no_speech():
    assert speech_s(speech(), 0.0) == 0
    assert speech_s(speech(), 10.0) == 0
    assert speech_s(speech(), 11.0) == 0
    assert speech_s(np.zeros(0, np.float32), 0.0) == 0
