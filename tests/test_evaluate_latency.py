"""Delays, word times and error rates: each number planted, and hostile input first."""

import math
from itertools import pairwise

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from alignheads.corpora import WordTime
from alignheads.evaluate.error_rates import (
    ErrorRate,
    character_errors,
    rate_increase,
    space_errors,
    word_errors,
)
from alignheads.evaluate.latency import (
    CommittedWord,
    Distribution,
    compute_lags,
    laal_s,
    real_time_factor,
    stream_times,
    summary,
)

GOLD = [
    WordTime("one", 0.5, 0.9),
    WordTime("two", 1.0, 1.4),
    WordTime("three", 1.5, 2.0),
    WordTime("four", 2.5, 3.0),
]


def emitted(*words):
    """(text, emitted_s, lag_s) as words that start 50 ms after GOLD's and end 20 ms before."""
    times = {word.text: word for word in GOLD}
    made = []
    for text, emitted_s, lag_s in words:
        gold = times.get(text.lower().strip(",."), WordTime(text, 0.0, 0.1))
        start_s, end_s = gold.start_s + 0.05, gold.end_s - 0.02
        made.append(
            CommittedWord(text=text, start_s=start_s, end_s=end_s, emitted_s=emitted_s, lag_s=lag_s)
        )
    return made


# Times that cannot be


@pytest.mark.parametrize("name", ["start_s", "end_s", "emitted_s", "lag_s"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_time_that_is_no_number_is_refused(name, bad):
    times = {"start_s": 0.5, "end_s": 0.9, "emitted_s": 1.0, "lag_s": 0.0, name: bad}
    with pytest.raises(ValidationError, match=rf"{name}\n.*finite number"):
        CommittedWord(text="one", **times)


def test_words_out_of_order_are_refused():
    with pytest.raises(ValueError, match=r"'two' was emitted before"):
        stream_times(emitted(("one", 2.0, 0), ("two", 1.0, 0)), GOLD, 4.0)


# Nothing is None, never 0


def test_of_nothing_there_is_no_mean():
    assert Distribution.of([]) == Distribution(count=0, mean=None, p50=None, p90=None, p95=None)
    assert Distribution.of([0.0]) == Distribution(count=1, mean=0.0, p50=0.0, p90=0.0, p95=0.0)


def test_silence_that_stays_silent_has_no_latency():
    times = stream_times([], [], 4.0)
    assert times.gold_words == times.emitted_words == 0
    assert times.delays_s == times.delays_aware_s == ()
    assert times.start_errors_ms == times.end_errors_ms == ()
    assert times.first_word_s is times.finalisation_s is times.laal_s is None
    found = summary([times])
    assert (found.utterances, found.gold_words, found.matched_words) == (1, 0, 0)
    assert found.delay_s == found.laal_s == found.first_word_s == Distribution(count=0)
    assert (found.delay_low_s, found.delay_high_s) == (None, None)
    assert summary([times], seed=0) == found
    assert summary([], seed=0).utterances == 0


def test_a_stream_that_emits_nothing_has_no_latency():
    times = stream_times([], GOLD, 4.0)
    assert (times.gold_words, times.emitted_words) == (4, 0)
    assert times.first_word_s is times.finalisation_s is times.laal_s is times.laal_aware_s is None


def test_words_where_none_were_said_have_no_delay():
    times = stream_times(emitted(("one", 1.0, 0.2)), [], 4.0)
    assert times.delays_s == ()
    assert times.first_word_s is times.finalisation_s is None
    assert times.laal_s == 1.0


def test_no_audio_has_no_real_time_factor():
    assert real_time_factor(1.0, 0.0) is None
    assert real_time_factor(1.0, 4.0) == 0.25


# Planted delays


def test_delays_are_from_the_gold_end_and_only_of_words_that_are_right():
    words = emitted(("One,", 1.0, 0.1), ("too", 2.0, 0.3), ("three", 2.0, 0.3), ("four.", 3.5, 0.2))
    times = stream_times(words, GOLD, 4.0)
    assert (times.gold_words, times.emitted_words) == (4, 4)
    assert times.delays_s == pytest.approx((0.1, 0.0, 0.5))
    assert times.delays_aware_s == pytest.approx((0.2, 0.3, 0.7))
    assert times.start_errors_ms == pytest.approx((50, 50, 50))
    assert times.end_errors_ms == pytest.approx((20, 20, 20))


def test_a_word_guessed_before_it_was_said_has_a_negative_delay():
    times = stream_times(emitted(("one", 0.7, 0.1)), GOLD, 4.0)
    assert times.delays_s == pytest.approx((-0.2,))
    assert times.delays_aware_s == pytest.approx((-0.1,))


def test_the_first_word_and_the_last_need_not_be_right():
    words = emitted(("uh", 1.0, 0.25), ("two", 2.0, 0.5), ("for", 4.0, 0.75))
    times = stream_times(words, GOLD, 4.0)
    assert (times.first_word_s, times.first_word_aware_s) == (0.5, 0.75)
    assert (times.finalisation_s, times.finalisation_aware_s) == (1.0, 1.75)


def test_a_doubled_word_is_matched_once():
    words = emitted(("one", 1.0, 0), ("two", 2.0, 0), ("two", 2.0, 0), ("three", 3.0, 0))
    times = stream_times(words, GOLD, 4.0)
    assert times.delays_s == pytest.approx((0.1, 0.6, 1.0))


def test_a_summary_is_over_all_words_and_over_utterances():
    first = stream_times(emitted(("one", 1.0, 0.1)), GOLD[:1], 2.0)
    second = stream_times(emitted(("three", 2.2, 0.1), ("four", 3.6, 0.2)), GOLD[2:], 4.0)
    nothing = stream_times([], GOLD, 4.0)
    found = summary([first, second, nothing])
    assert (found.utterances, found.gold_words, found.matched_words) == (3, 7, 3)
    assert found.delay_s.count == 3
    assert found.delay_s.mean == pytest.approx(0.3)
    assert found.delay_s.p50 == pytest.approx(0.2)
    assert found.delay_s.p90 == pytest.approx(0.52)
    assert found.delay_s.p95 == pytest.approx(0.56)
    assert found.delay_aware_s.p50 == pytest.approx(0.3)
    assert found.first_word_s.count == found.laal_s.count == 2
    assert found.first_word_s.mean == pytest.approx((0.5 + 0.7) / 2)
    assert found.first_word_aware_s.mean == pytest.approx((0.6 + 0.8) / 2)
    assert found.finalisation_s.mean == pytest.approx((0.1 + 0.6) / 2)
    assert found.finalisation_aware_s.mean == pytest.approx((0.2 + 0.8) / 2)
    assert found.start_error_ms.p90 == pytest.approx(50)
    assert found.end_error_ms.p50 == pytest.approx(20)


def test_the_interval_of_the_mean_delay_is_computed_for_a_seed():
    one = [stream_times(emitted(("one", 1.0 + late, 0.1)), GOLD, 4.0) for late in (0, 0.1, 0.6)]
    assert summary(one).delay_low_s is None
    found = summary(one, seed=3)
    assert found.delay_low_s < found.delay_s.mean < found.delay_high_s
    assert found.delay_low_s >= 0.1 - 1e-9
    assert found.delay_high_s <= 0.7 + 1e-9
    assert summary(one, seed=3) == found


def test_rounded_times_differ_in_nothing_but_decimals():
    words = emitted(("One,", 1.00004, 0.12341234), ("two", 2.0, 0.3))
    times = stream_times(words, GOLD, 4.0)
    found = times.rounded(2)
    assert found.delays_s == (0.1, 0.6)
    assert found.delays_aware_s == (0.22, 0.9)
    assert (found.gold_words, found.emitted_words) == (4, 2)
    assert found.first_word_s == 0.5
    assert stream_times([], [], 4.0).rounded(2) == stream_times([], [], 4.0)


# LAAL


@pytest.mark.parametrize(
    ("delays", "source_s", "reference_words", "expected"),
    [
        # By hand: (1 - 0) + (2 - 1) + (3 - 2) + (4 - 3) over 4.
        ([1, 2, 3, 4], 4, 4, 1.0),
        # All at the end: only the first word counts.
        ([4, 4, 4, 4], 4, 4, 4.0),
        # Too few words: the reference sets the pace, 1 s a word. (2 + (4 - 1)) / 2.
        ([2, 4], 4, 4, 2.5),
        # Too many words: their own number does, 0.5 s a word, and they are no reward.
        ([1, 1, 2, 2, 3, 3, 4, 4], 4, 4, (1 + 0.5 + 1 + 0.5 + 1 + 0.5 + 1) / 7),
        # The end is never reached: all words count.
        ([1, 2], 4, 2, (1 + 0) / 2),
        # After the end, as finishing takes time.
        ([5, 6], 4, 2, 5.0),
        ([1, 5, 6], 4, 2, (1 + 5 - 4 / 3) / 2),
        ([], 4, 4, None),
        ([1.0], 0, 4, None),
    ],
)
def test_laal_by_hand(delays, source_s, reference_words, expected):
    assert laal_s(delays, source_s, reference_words) == pytest.approx(expected)


def test_laal_of_a_stream_takes_the_clock_when_aware():
    words = emitted(("one", 1.0, 0.5), ("two", 2.0, 0.5), ("three", 3.0, 0.5), ("four", 4.0, 0.5))
    times = stream_times(words, GOLD, 4.0)
    assert times.laal_s == pytest.approx(1.0)
    assert times.laal_aware_s == pytest.approx(1.5)


@given(
    st.lists(st.floats(0, 10), min_size=1, max_size=8).map(sorted),
    st.floats(0.5, 10),
    st.integers(1, 8),
    st.floats(0.01, 2),
)
def test_later_words_never_lower_laal_before_the_end(delays, source_s, reference_words, more):
    before = [min(d, source_s * 0.4) for d in delays]
    later = [d + min(more, source_s * 0.4) for d in before]
    assert laal_s(later, source_s, reference_words) > laal_s(before, source_s, reference_words)


# Live steps


def test_a_fast_decoder_lags_by_its_own_step():
    assert compute_lags([1, 2, 3], [0.2, 0.9, 0.1]) == pytest.approx([0.2, 0.9, 0.1])


def test_a_slow_decoder_falls_behind_and_catches_up():
    assert compute_lags([1, 2, 3, 10], [1.5, 1.5, 1.5, 0.1]) == pytest.approx([1.5, 2, 2.5, 0.1])
    assert compute_lags([], []) == []
    with pytest.raises(ValueError, match="shorter"):
        compute_lags([1, 2], [1])


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), max_size=10))
def test_a_lag_is_never_less_than_the_step(steps):
    arrivals, clock = [], 0.0
    for gap, _ in steps:
        clock += gap
        arrivals.append(clock)
    lags = compute_lags(arrivals, [step for _, step in steps])
    ends = [arrival + lag for arrival, lag in zip(arrivals, lags, strict=True)]
    assert all(lag >= step for lag, (_, step) in zip(lags, steps, strict=True))
    # One thing at a time: a step ends at least its own time after the one before.
    for (before, end), (_, step) in zip(pairwise(ends), steps[1:], strict=True):
        assert end >= before + step - 1e-9


# Error rates


def test_texts_without_partners_are_refused():
    for count in (word_errors, character_errors, space_errors):
        with pytest.raises(ValueError, match="2 references, but 1 hypotheses"):
            count(["a", "b"], ["a"])


def test_counts_of_words():
    counts = word_errors(["the cat sat", "on it"], ["the cot sat down", "it"])
    assert counts == ErrorRate.of(hits=3, substitutions=1, deletions=1, insertions=1)
    assert (counts.errors, counts.reference, counts.rate) == (3, 5, 0.6)


def test_counts_of_characters_have_spaces():
    counts = character_errors(["ab c"], ["abc"])
    assert counts == ErrorRate.of(hits=3, substitutions=0, deletions=1, insertions=0)
    assert counts.rate == 0.25


@pytest.mark.parametrize("count", [word_errors, character_errors])
def test_words_out_of_silence_are_counted_and_have_no_rate_alone(count):
    assert count([], []) == ErrorRate.of(0, 0, 0, 0)
    assert count([""], [""]).rate is None
    alone = count(["", " "], ["a", ""])
    assert alone == ErrorRate.of(0, 0, 0, 1)
    assert alone.rate is None
    assert count(["", "b"], ["a", "b"]).rate == 1.0


def test_streaming_against_offline():
    streaming, offline = ErrorRate.of(90, 8, 2, 5), ErrorRate.of(97, 2, 1, 0)
    assert rate_increase(streaming, offline) == pytest.approx(0.12)
    assert rate_increase(offline, streaming) == pytest.approx(-0.12)
    nothing = ErrorRate.of(0, 0, 0, 3)
    assert rate_increase(nothing, nothing) is None
    with pytest.raises(ValueError, match="not the same utterances"):
        rate_increase(streaming, ErrorRate.of(96, 2, 1, 0))


# Words cut in two


def test_a_word_cut_in_two_is_found():
    found = space_errors(["AT NIGHTFALL HE SAT"], ["AT NIGHT FALL HE SAT"])
    assert (found.spans, found.errors, found.cut_words) == (1, 2, 1)
    assert found.utterances_cut == 1
    assert found.rate_without == 0.0


def test_two_words_in_one_are_white_space_but_no_cut():
    found = space_errors(["THE S QUALID ROOM"], ["THE SQUALID ROOM"])
    assert (found.spans, found.errors, found.cut_words, found.utterances_cut) == (1, 2, 0, 0)
    assert found.rate_without == 0.0


@pytest.mark.parametrize(
    ("reference", "hypothesis"),
    [
        ("a b c", "a b c"),
        ("a nightfall c", "a night full c"),
        ("a b c", "a c"),
        ("a c", "a b c"),
        ("", "a"),
        ("a", ""),
        ("", ""),
    ],
)
def test_other_errors_are_not_white_space(reference, hypothesis):
    found = space_errors([reference], [hypothesis])
    assert (found.spans, found.errors, found.cut_words, found.utterances_cut) == (0, 0, 0, 0)
    assert found.rate_without == word_errors([reference], [hypothesis]).rate


def test_a_span_is_judged_as_a_whole():
    # A substitution beside the cut: the span is not equal without its spaces.
    assert space_errors(["a nightfall came"], ["a night fall cane"]).spans == 0
    both = space_errors(["nightfall came undone"], ["night fall came un done"])
    assert (both.spans, both.errors, both.cut_words, both.utterances_cut) == (2, 4, 2, 1)


def test_cut_utterances_are_counted_and_other_errors_stay_in_the_rate():
    texts = ["nightfall", "b", "", "undone so"], ["night fall", "c", "", "un done so"]
    found = space_errors(*texts)
    assert (found.errors, found.utterances_cut) == (4, 2)
    assert found.rate_without == pytest.approx(1 / 4)
    assert space_errors(*texts, word_errors(*texts)) == found
    assert space_errors([], []).rate_without is None


words = st.lists(st.sampled_from(["ab", "cde", "fg", "hijk"]), min_size=1, max_size=6)


@given(words, st.data())
def test_cutting_one_planted_word_is_found_and_cost_two_errors(reference, data):
    at = data.draw(st.integers(0, len(reference) - 1))
    cut = data.draw(st.integers(1, len(reference[at]) - 1))
    heard = [*reference[:at], reference[at][:cut], reference[at][cut:], *reference[at + 1 :]]
    found = space_errors([" ".join(reference)], [" ".join(heard)])
    assert (found.spans, found.errors, found.cut_words) == (1, 2, 1)
    assert found.rate_without == 0.0


@given(
    st.lists(
        st.tuples(st.text("ab \t", max_size=8), st.text("ab \t", max_size=8), st.booleans()),
        min_size=1,
        max_size=6,
    )
)
def test_texts_that_are_right_are_counted_as_the_alignment_would(rows):
    references = [reference for reference, *_ in rows]
    hypotheses = [one if same else other for one, other, same in rows]
    for ours, theirs in (
        (word_errors, jiwer.process_words),
        (character_errors, jiwer.process_characters),
    ):
        counts, out = ours(references, hypotheses), theirs(references, hypotheses)
        found = (counts.hits, counts.substitutions, counts.deletions, counts.insertions)
        assert found == (out.hits, out.substitutions, out.deletions, out.insertions)
