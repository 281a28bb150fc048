"""The clock of Qwen3-ASR: 13 frames of 80 ms in each second, which restart with it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignheads.runtime.models.protocol import frame_edges_s
from alignheads.runtime.models.qwen3.clock import Qwen3Clock

CLOCK = Qwen3Clock()


@pytest.mark.parametrize(
    ("samples", "frames"),
    [(201, 1), (160 * 8, 1), (160 * 9, 2), (16_000, 13), (16_160, 14), (8 * 16_000, 104)],
)
def test_thirteen_frames_a_second_and_one_for_each_eight_mel_frames_of_the_rest(samples, frames):
    assert CLOCK.count(samples) == frames


@pytest.mark.parametrize("samples", [201, 1_281, 15_999, 16_000, 16_160, 40_000, 130_000])
def test_the_encoder_makes_the_frames_that_the_clock_says(tiny, samples):
    assert tiny.encode(np.zeros(samples, np.float32)).shape[0] == CLOCK.count(samples)


def test_the_thirteenth_frame_of_a_second_is_half_as_long():
    lengths = np.diff(frame_edges_s(CLOCK, 27))
    assert lengths == pytest.approx([*[0.08] * 12, 0.04, *[0.08] * 12, 0.04, 0.08])
    assert CLOCK.span_s(12) == pytest.approx((0.96, 1.0))
    assert CLOCK.span_s(13) == pytest.approx((1.0, 1.08))


def test_an_evenly_spaced_clock_would_be_up_to_37_ms_off():
    starts = frame_edges_s(CLOCK, 130)[:-1]
    assert np.abs(starts - np.arange(130) / 13).max() == pytest.approx(0.0369, abs=1e-4)


@given(st.integers(-200, 10_000))
def test_a_frame_starts_where_the_one_before_ends_and_frames_is_the_inverse(frame):
    start_s, end_s = CLOCK.span_s(frame)
    assert end_s == pytest.approx(CLOCK.span_s(frame + 1)[0])
    assert CLOCK.frames(start_s) == pytest.approx(frame, abs=1e-6)
    assert CLOCK.frames((start_s + end_s) / 2) == pytest.approx(frame + 0.5, abs=1e-6)


@given(st.floats(-5, 1000), st.floats(0, 2))
def test_later_is_never_an_earlier_frame(seconds, more_s):
    assert CLOCK.frames(seconds + more_s) >= CLOCK.frames(seconds) - 1e-6


def test_the_rate_is_thirteen():
    assert CLOCK.frames(1.0) == 13
