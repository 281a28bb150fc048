"""Whether probabilities say how often words are right: planted."""

import numpy as np
import pytest

from alignheads.evaluate.latency import CommittedWord
from alignheads.evaluate.reliability import judged, of_pairs, reliability
from alignheads.evaluate.result import Observation


def word(text, probability):
    return CommittedWord(
        text=text, start_s=0, end_s=1, emitted_s=1, lag_s=0, probability=probability
    )


def heard(reference, words):
    return Observation(
        id="a", reference=reference, hypothesis=" ".join(text for text, _ in words),
        duration_s=1, wall_s=1, words=[word(*one) for one in words],
    )  # fmt: skip


def test_nothing_to_judge():
    assert reliability([]) is None
    offline = Observation(id="a", reference="one", hypothesis="one", duration_s=1, wall_s=1)
    assert reliability([offline]) is None
    assert reliability([heard("one", [("one", None)])]) is None
    assert reliability([heard("", [("…", 0.5)])]) is None


def test_a_word_is_right_in_its_place_case_and_punctuation_aside():
    one = heard("The OLD river", [("the", 0.9), ("odd", 0.2), ("river,", 0.8), ("so", 0.1)])
    assert judged(one) == [(0.9, True), (0.2, False), (0.8, True), (0.1, False)]
    assert judged(heard("", [("the", 0.4)])) == [(0.4, False)]


def test_in_scripts_without_spaces_characters_are_judged():
    one = heard("我们用Python", [("我", 0.9), ("门", 0.3), ("用", 0.8), ("Python", 0.7)])
    assert [is_right for _, is_right in judged(one)] == [True, False, True, True]


def test_the_calibration_error_is_the_mean_distance_of_the_bins():
    pairs = [(0.9, i < 60) for i in range(100)] + [(0.5, i < 50) for i in range(100)]
    found = of_pairs(pairs)
    assert (found.words, found.right) == (200, 110)
    assert found.mean_probability == pytest.approx(0.7)
    # Words of one probability are in one bin, whatever the order in which they came.
    assert [(one.words, one.right) for one in found.bins] == [(100, 50), (100, 60)]
    assert [one.mean_probability for one in found.bins] == pytest.approx([0.5, 0.9])
    assert found.calibration_error == pytest.approx((0 + 0.3) / 2)


def test_words_that_are_right_as_often_as_they_say_are_calibrated():
    generator = np.random.default_rng(0)
    probabilities = generator.uniform(0.2, 1, 20_000)
    right = generator.uniform(size=20_000) < probabilities
    found = of_pairs(list(zip(probabilities.tolist(), right.tolist(), strict=True)))
    assert found.calibration_error < 0.01
    raised = np.minimum(1, probabilities + 0.2).tolist()
    sure = of_pairs(list(zip(raised, right.tolist(), strict=True)))
    assert sure.calibration_error == pytest.approx(0.18, abs=0.03)
    assert len(of_pairs([(0.5, True)] * 3).bins) == 1
