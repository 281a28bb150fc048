"""The exact clock of Qwen3-ASR: which frames there are, and where each of them lies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignheads.runtime.models.protocol import frame_edges_s
from alignheads.runtime.models.qwen3.clock import Qwen3Clock

RATE = 16_000
CLOCK = Qwen3Clock()
MANY = 20 * 60 * 13  # frames of the longest recording that the model takes


@pytest.mark.parametrize(
    ("samples", "frames"),
    [
        (0, 0),
        (159, 0),
        (160, 1),
        (201, 1),
        (160 * 8, 1),
        (160 * 9 - 1, 1),
        (160 * 9, 2),
        (160 * 96, 12),
        (160 * 97, 13),
        (RATE - 1, 13),
        (RATE, 13),
        (RATE + 159, 13),
        (RATE + 160, 14),
        (8 * RATE, 104),
        (20 * 60 * RATE, MANY),
    ],
)
def test_thirteen_frames_a_second_and_one_for_each_eight_mel_frames_of_the_rest(samples, frames):
    assert CLOCK.count(samples) == frames


# Around the edges of a mel frame, an audio frame, a second and a window of 8 s.
LENGTHS = sorted(
    {201, 1_281, 40_000, 130_000}
    | {edge + more for edge in (1_280, 15_360, RATE, 2 * RATE) for more in (-1, 0, 159, 160, 1_440)}
    | {8 * RATE + more for more in (-160, -1, 0, 160, 1_280, 1_440)}
)


@pytest.mark.parametrize("samples", LENGTHS)
def test_the_encoder_makes_as_many_frames_as_the_clock_counts(tiny, samples):
    assert tiny.encode(np.zeros(samples, np.float32)).shape[0] == CLOCK.count(samples)
    assert tiny.prefill(np.zeros(samples, np.float32)).frames == tiny.clock.count(samples)


def test_all_frames_of_a_second_are_80_ms_but_the_last_which_is_40():
    for second in (0, 1, 59, 1199):
        spans_s = [CLOCK.span_s(13 * second + place) for place in range(13)]
        lengths_s = [end_s - start_s for start_s, end_s in spans_s]
        assert lengths_s == pytest.approx([0.08] * 12 + [0.04])
        assert spans_s[0][0] == second
        assert spans_s[-1][1] == second + 1


def test_a_frame_starts_where_the_one_before_ends():
    edges_s = frame_edges_s(CLOCK, MANY)
    spans_s = np.array([CLOCK.span_s(frame) for frame in range(MANY)])
    assert len(edges_s) == MANY + 1
    assert spans_s[:, 1] == pytest.approx(edges_s[1:], abs=1e-9)
    assert (np.diff(edges_s) > 0.039).all()
    assert edges_s[-1] == 20 * 60
    assert frame_edges_s(CLOCK, 0).tolist() == [0.0]


def test_an_evenly_spaced_clock_would_be_up_to_37_ms_off():
    starts_s = frame_edges_s(CLOCK, 130)[:-1]
    assert np.abs(starts_s - np.arange(130) / 13).max() == pytest.approx(0.0369, abs=1e-4)


def test_frames_is_the_inverse_of_span_s():
    for frame in range(MANY):
        start_s, end_s = CLOCK.span_s(frame)
        assert CLOCK.frames(start_s) == pytest.approx(frame, abs=1e-7)
        assert CLOCK.frames(end_s) == pytest.approx(frame + 1, abs=1e-7)
        assert CLOCK.frames((start_s + end_s) / 2) == pytest.approx(frame + 0.5, abs=1e-7)


@given(st.floats(-30, 1200), st.floats(-30, 1200))
def test_a_later_time_is_a_later_frame(first_s, second_s):
    earlier, later = sorted([first_s, second_s])
    assert CLOCK.frames(earlier) <= CLOCK.frames(later)


@given(st.floats(-30, 1200))
def test_a_time_lies_in_the_frame_that_it_is_said_to_be_in(at_s):
    frame = CLOCK.frames(at_s)
    start_s, end_s = CLOCK.span_s(int(np.floor(frame)))
    assert start_s - 1e-9 <= at_s <= end_s + 1e-9


@given(st.integers(0, 60 * RATE))
def test_there_is_a_frame_for_all_of_the_audio_and_none_beyond_it(samples):
    count = CLOCK.count(samples)
    whole_mel_s = samples // 160 / 100
    assert count == 0 or CLOCK.span_s(count - 1)[0] < whole_mel_s
    assert CLOCK.span_s(count)[0] >= whole_mel_s - 1e-9


def test_the_rate_and_times_before_the_start():
    assert CLOCK.frames(0.0) == 0
    assert CLOCK.frames(1.0) == 13
    assert CLOCK.frames(-1.0) == -13
    assert CLOCK.frames(-0.04) == pytest.approx(-1)
    assert CLOCK.span_s(-1) == pytest.approx((-0.04, 0.0))
