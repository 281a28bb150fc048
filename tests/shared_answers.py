"""Answers of steps that were taken together, against those of streams that were alone."""

import pytest

from alignheads.runtime.models.protocol import Hypothesis


def assert_same(found: Hypothesis, expected: Hypothesis):
    assert found.token_ids == expected.token_ids
    assert (found.head_frames == expected.head_frames).all()
    assert (found.frames == expected.frames).all()
    assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-4)
    assert found.no_speech == pytest.approx(expected.no_speech, abs=1e-4)
    assert (found.ended, found.language) == (expected.ended, expected.language)
    assert (found.decoded, found.audio_frames) == (expected.decoded, expected.audio_frames)
    assert (found.weights is None) == (expected.weights is None)
    if found.weights is not None:
        assert found.weights == pytest.approx(expected.weights, abs=1e-4)


def answers_of(steps):
    assert all(step.future.done() for step in steps)
    return [step.future.result() for step in steps]
