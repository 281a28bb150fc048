"""A model that has lost its place: audio that was spent on words is not spent again."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alignheads.runtime.policy.policy import Policy, decide
from alignheads.runtime.policy.spent import JITTER_S, LEAST_WORD_S, least_s, least_seconds
from alignheads.runtime.policy.words import split_words
from alignheads.runtime.stream.draft import repeats

RATE = 13
POLICY = Policy(border_s=0.35)
LOOP = [("until", 87), *[("my", 89), ("lucky", 92), ("pilot", 94), ("we'll", 98)] * 3]


def decided(words, audio_frames=200, rate=RATE, policy=POLICY, **given_):
    """`words`: [(text, frame)]; all are tokens of their own."""
    given_.setdefault("least_s", [least_s(text) for text, _ in words])
    frames = np.array([frame for _, frame in words], float)
    return decide(frames, audio_frames, policy, rate, **given_)


def kept(words, **given_):
    decision = decided(words, **given_)
    return [text for text, _ in words[: decision.keep]], decision.reason


# Loops


@pytest.mark.parametrize("is_final", [False, True])
def test_what_is_read_twice_waits_to_be_heard_anew(is_final):
    assert kept(LOOP, is_final=is_final) == (["until"], "lost")
    assert kept(LOOP[1:], is_final=is_final, can_ask_anew=True) == ([], "lost")


@pytest.mark.parametrize("is_final", [False, True])
def test_one_round_of_a_loop_is_kept_if_the_model_cannot_be_asked_anew(is_final):
    assert kept(LOOP[1:], is_final=is_final) == (["my", "lucky", "pilot", "we'll"], "lost")


@pytest.mark.parametrize("length", [1, 2, 3, 6, 12, 25])
@pytest.mark.parametrize("audio_frames", [150, 390])
def test_a_loop_of_any_length_in_a_buffer_of_any_length(length, audio_frames):
    round_ = [("candle", 20 + 4 * index) for index in range(length)]
    expected = (["candle"] * length, "lost")
    assert kept(round_ * 3, audio_frames=audio_frames) == expected
    assert kept(round_ * 3, audio_frames=audio_frames, is_final=True) == expected


def test_words_in_no_time_are_no_words():
    # Nine words of .04 s each, one frame apart at 25 frames a second.
    run = [("three", 80 + index) for index in range(9)]
    assert len(kept(run, rate=25)[0]) < 4
    assert len(kept([("three", 80)] * 14)[0]) == 1


def test_it_is_not_settled_by_waiting():
    # For doubt_s, what jumps back is held, and then let go; not what was spent.
    old = decided(LOOP[1:5], audio_frames=101)
    spent = old.spent_after(3, None)
    assert spent == pytest.approx(94 + RATE * least_s("pilot"))
    again = LOOP[1:4]
    assert kept(again, audio_frames=400, last_frame=94, spent_frame=spent)[1] == "lost"
    assert kept(again, audio_frames=400, last_frame=94)[1] == "end"


def test_the_rule_needs_to_know_how_long_words_last():
    assert kept(LOOP, least_s=None) == ([text for text, _ in LOOP], "end")
    with pytest.raises(ValueError, match="least_s of 1 tokens was given for 2 tokens"):
        decided([("a", 50), ("b", 60)], least_s=[0.1])


# What passes over a word that it was sure of


def test_a_word_that_waited_is_not_passed_over():
    after = [("three", 60), ("four", 71)]
    assert kept(after, waited_frame=52, can_ask_anew=True) == ([], "lost")
    assert kept(after, waited_frame=52) == (["three", "four"], "end")
    assert kept(after, waited_frame=59, can_ask_anew=True) == (["three", "four"], "end")
    assert kept([("free", 50), *after], waited_frame=52, can_ask_anew=True)[1] == "end"


# What is no loop


def test_a_word_that_alone_looks_back_is_none():
    words = [("six", 50), ("gardens", 60), ("until", 40), ("my", 68), ("pilot", 74)]
    assert kept(words) == ([text for text, _ in words], "end")
    # It spends nothing, and the next is measured by the one before.
    assert decided(words).spent[2] == decided(words).spent[1]
    # Two may be the model starting over.
    assert kept([*words[:3], ("my", 44), ("pilot", 74)])[1] == "lost"


def test_a_word_in_the_sink_is_none():
    words = [("six", 50), ("gardens", 60), ("until", 0), ("my", 2), ("pilot", 74)]
    assert kept(words) == ([text for text, _ in words], "end")


def twice(words, before="", **given_):
    return kept(words, repeats=repeats(as_words(words), len(words), before), **given_)


def as_words(words):
    return split_words([f" {text}".encode() for text, *_ in words])


@pytest.mark.parametrize("is_final", [False, True])
@pytest.mark.parametrize("frame", [61, 60, 58])
def test_a_word_that_is_read_twice_in_one_place_waits(frame, is_final):
    # The next looks beyond, so by the time that they take it could be an inaccurate look.
    words = [("six", 50), ("one", 60), ("One,", frame), ("one", 70), ("two", 80)]
    assert kept(words, is_final=is_final)[1] != "lost"
    assert twice(words, is_final=is_final) == (["six"], "lost")
    assert twice(words, is_final=is_final, can_ask_anew=True) == (["six"], "lost")
    # Not one frame more than it takes, another word, or a letter.
    for other in ("one", 62), ("won", frame):
        assert twice([*words[:2], other, *words[3:]])[1] == "end"
    assert twice([("a", 50), ("a", 50), ("two", 60)])[1] == "end"


def test_words_that_differ_in_a_mark_are_other_words():
    """Of Hindi marks are the vowels."""
    assert repeats(as_words([("मेरी",), ("मेरा",), ("मेरा",)]), 3) == [False, False, True]
    # One letter with its mark may be a part of a sound.
    assert repeats(as_words([("का",), ("का",)]), 2) == [False, False]


def test_a_committed_word_that_is_read_again_waits():
    words = [("one", 60), ("one", 70)]
    assert twice(words, "One.", last_frame=60, can_ask_anew=True) == ([], "lost")
    assert twice(words, "won", last_frame=60, can_ask_anew=True) == (["one", "one"], "end")
    assert twice(words, "one", last_frame=48, can_ask_anew=True) == (["one", "one"], "end")
    with pytest.raises(ValueError, match="repeats of 1 tokens was given for 2 tokens"):
        kept(words, repeats=[True])


def test_short_words_may_share_a_frame():
    words = [("one", 50), ("of", 53), ("the", 53), ("a", 54), ("b", 55), ("candles", 56)]
    assert kept(words) == ([text for text, _ in words], "end")


repeated = st.sampled_from(["no", "very", "three", "a", "7", "了", "人", "ดี", "extraordinarily"])
pauses_s = st.lists(st.floats(0, 1), min_size=1, max_size=40)


@settings(deadline=None)
@given(repeated, pauses_s, st.sampled_from([12.5, 13, 50]), st.integers(0, 2**32 - 1))
def test_words_that_are_said_again_and_again_are_all_kept(text, pauses_s, rate, seed):
    # As fast as a word can be spoken, and looked at in frames that are right to half a frame.
    at_s = 1 + np.cumsum([pause_s + least_s(text) for pause_s in pauses_s])
    frames = np.floor(at_s * rate)
    size = int(frames[-1]) + 20 * int(rate)
    jitter_s = np.random.default_rng(seed).uniform(-0.01, 0.01, len(frames))
    frames = np.floor((at_s + jitter_s) * rate)
    words = [(text, frame) for frame in frames]
    # The same word over and over is said at most at the rate of syllables.
    again = min(pauses_s[1:], default=1.0) + least_s(text) >= 0.2
    told = repeats(as_words(words), len(words)) if again else None
    for is_final in (False, True):
        decision = decided(words, audio_frames=size, rate=rate, is_final=is_final, repeats=told)
        assert decision.keep == len(words)


@settings(deadline=None)
@example([("a", 9), ("a", 9), ("a", 9), ("a", 11)], False, None)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "the", "lucky", "gardens"]), st.integers(9, 199)),
             min_size=1, max_size=30),
    st.booleans(),
    st.none() | st.floats(-50, 199),
)  # fmt: skip
def test_what_is_kept_has_room_in_the_audio(words, is_final, spent):
    policy = replace(POLICY, rewind_fraction=None)
    decision = decided(words, policy=policy, is_final=is_final, spent_frame=spent)
    inside = [(text, frame) for text, frame in words[: decision.keep]]
    clock, placed = spent, []
    for index, (text, frame) in enumerate(inside):
        if clock is not None and frame < clock - JITTER_S * RATE:
            # It alone looks back, and does not say where it is.
            assert words[index + 1][1] >= clock
            continue
        placed.append((text, frame))
        clock = max(frame, frame if clock is None else clock) + RATE * least_s(text)
    assert clock is None or clock == pytest.approx(decision.spent_after(decision.keep, spent))
    # So no stretch of audio holds more words than can be spoken in it.
    spoken = [one for one in placed if one[1] >= (spent or 0)]
    for first in range(len(spoken) - 2):
        a, b, c = spoken[first : first + 3]
        if a[1] <= b[1] <= c[1]:
            needed = RATE * (least_s(a[0]) + least_s(b[0]) - JITTER_S)
            assert c[1] - a[1] >= needed - 1e-9


# How long a word lasts at least


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", 0.06), ("…", 0.06), ("a", 0.06), ("I", 0.06), ("好", 0.06), ("ที่", 0.06),
     ("three", 0.15), ("don't!", 0.12), ("1,000", 0.12)],
)  # fmt: skip
def test_the_least_that_a_word_lasts(text, seconds):
    assert least_s(text) == pytest.approx(seconds)
    assert least_s(text) >= LEAST_WORD_S


def test_words_that_start_in_one_token_last_as_long_as_both():
    words = split_words(["你好".encode(), b" Py", b"thon"])
    assert least_seconds(words, 3) == pytest.approx([0.12, 0.18, 0])
