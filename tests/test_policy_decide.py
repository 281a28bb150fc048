"""What may be committed: planted frames first, then properties that hold for all."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignheads import InputError
from alignheads.runtime.policy.policy import (
    Decision,
    Policy,
    decide,
    decides,
    whole_words,
    word_starts,
)
from alignheads.runtime.policy.spent import least_seconds
from alignheads.runtime.policy.words import split_words

BORDER = 5
RATE = 13
POLICY = Policy(border_s=BORDER / RATE, rewind_fraction=0.1, min_audio_s=1)


def decided(frames, audio_frames=100, policy=POLICY, **given_):
    return decide(np.array(frames, float), audio_frames, policy, RATE, **given_)


def kept(frames, audio_frames=100, **given_):
    decision = decided(frames, audio_frames, **given_)
    return decision.keep, decision.reason


# Bad input


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "border_fraction or border_s, and neither is given"),
        ({"border_s": 1, "border_fraction": 0.2}, "both are given"),
        ({"border_s": 0}, "border_s is 0"),
        ({"border_s": math.nan}, "border_s is nan"),
        ({"border_s": math.inf}, "border_s is inf"),
        ({"border_fraction": 1}, "border_fraction is 1"),
        ({"border_fraction": math.nan}, "border_fraction is nan"),
        ({"border_s": 1, "rewind_fraction": 0}, "rewind_fraction is 0"),
        ({"border_s": 1, "sink_s": -1}, "sink_s is -1"),
        ({"border_s": 1, "min_audio_s": math.nan}, "min_audio_s is nan"),
        ({"border_s": 1, "doubt_s": -1}, "doubt_s is -1"),
        ({"border_s": 1, "opening_s": math.inf}, "opening_s is inf"),
        ({"border_s": 1, "pause_s": -0.5}, "pause_s is -0.5"),
        ({"border_s": 1, "unsure_s": -0.5}, "unsure_s is -0.5"),
        ({"border_s": 1, "unseen_nats": math.nan}, "unseen_nats is nan"),
        ({"border_s": 1, "no_speech_probability": 1.1}, "no_speech_probability is 1.1"),
    ],
)
def test_impossible_policies_are_refused(values, expected):
    with pytest.raises(InputError, match=expected):
        Policy(**values)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1, 100])
def test_frames_that_are_not_in_the_buffer_are_refused(bad):
    with pytest.raises(ValueError, match="not in a buffer of 100 frames"):
        decided([50, bad])
    with pytest.raises(ValueError, match="not in a buffer"):
        decided([50, bad], is_final=True)
    with pytest.raises(ValueError, match="not in a buffer of 0 frames"):
        decided([0], 0)


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
def test_a_last_frame_that_is_no_number_is_refused(bad):
    with pytest.raises(ValueError, match="the last frame is"):
        decided([50], last_frame=bad)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="shape"):
        decided(50)
    with pytest.raises(ValueError, match="shape"):
        decided([[50, 60]])
    with pytest.raises(ValueError, match="starts of 1 tokens"):
        decided([50, 60], starts=[True])
    with pytest.raises(ValueError, match="starts of 2 tokens were given for 1"):
        decided([50, 60], starts=[True, True], has_end=True)
    with pytest.raises(ValueError, match="no row for the end token"):
        decided([], has_end=True)
    with pytest.raises(ValueError, match=r"\[0.5\] are no probabilities of 2 rows"):
        decided([50, 60], probabilities=[0.5])
    with pytest.raises(ValueError, match="no probabilities"):
        decided([50, 60], probabilities=[0.5, math.nan])
    with pytest.raises(ValueError, match="is_unseen of 1 tokens"):
        decided([50, 60], is_unseen=[True])


def test_nothing_decoded_is_nothing_to_commit():
    assert decided([]) == Decision(0, "end", (), False, ())
    assert decided([], 0, is_final=True) == Decision(0, "final", (), True, ())
    assert decided([], 0).reason == "too short"


# The border


def test_the_first_token_inside_the_border_stops():
    assert kept([50, 60, 94, 95, 96]) == (3, "border")
    assert kept([50, 60, 94, 95, 60]) == (3, "border")
    assert kept([95, 60]) == (0, "border")
    assert kept([50, 60, 94]) == (3, "end")


def test_a_fraction_of_the_buffer_is_at_least_two_frames():
    policy = Policy(border_fraction=0.25, rewind_fraction=None)
    assert kept([50, 74, 75], policy=policy) == (2, "border")
    assert kept([34, 35, 36], 40, policy=Policy(border_fraction=0.01)) == (3, "end")
    assert kept([36, 37, 38], 40, policy=Policy(border_fraction=0.01)) == (2, "border")


def test_frames_between_two_are_judged_as_they_are():
    assert kept([50.5, 94.9, 95.0]) == (2, "border")


@pytest.mark.parametrize("frames_per_s", [13.0, 50.0])
def test_seconds_are_those_of_the_models_clock(frames_per_s):
    policy = Policy(border_s=1.0, rewind_fraction=None, sink_s=0.0)
    frames = np.arange(100) / 10 * frames_per_s  # a token each 0.1 s, in 10 s of audio
    decision = decide(frames, int(10 * frames_per_s), policy, frames_per_s)
    assert (decision.keep, decision.reason) == (90, "border")


def test_too_little_audio_decides_nothing_but_only_at_first():
    assert kept([1, 2], 12) == (0, "too short")
    assert kept([1, 2], 13) == (2, "end")
    assert kept([8, 9], 12, is_final=True) == (2, "final")
    policy = Policy(border_s=BORDER / RATE, sink_s=0, min_audio_s=1)
    assert kept([1, 2], 12, policy=policy) == (0, "too short")
    assert kept([1, 2], 12, policy=policy, last_frame=0) == (2, "end")


# Words that the model is not sure of


UNSURE = Policy(border_s=BORDER / RATE, rewind_fraction=None, unsure_s=5 / RATE)


@pytest.mark.parametrize(("probability", "frames"), [(1, 0), (1 / math.e, 5), (0.049, 15), (0, 15)])
def test_an_unsure_word_waits_longer_the_less_probable_it_is(probability, frames):
    before = 99.5 - BORDER - frames
    given_ = {"policy": UNSURE, "probabilities": [probability]}
    assert kept([before], **given_) == (1, "end")
    assert kept([before + 1], **given_) == (0, "unsure" if frames else "border")
    assert kept([100 - BORDER], **given_) == (0, "border")


def test_a_word_is_as_sure_as_the_least_probable_of_its_tokens():
    rest = [90, 90, 91]
    given_ = {"policy": UNSURE, "starts": [True, False, True], "has_end": False}
    assert kept(rest, probabilities=[1, 1, 1], **given_) == (3, "end")
    assert kept(rest, probabilities=[1, 0.1, 1], **given_) == (0, "unsure")
    assert kept(rest, probabilities=[1, 1, 0.1], **given_) == (2, "unsure")


def test_an_end_token_that_the_model_is_not_sure_of_ends_nothing():
    given_ = {"policy": UNSURE, "has_end": True}
    assert decided([93, 94], probabilities=[1, 1], **given_).complete
    assert not decided([93, 94], probabilities=[1, 0.1], **given_).complete


def test_a_word_that_was_not_there_before_is_less_sure():
    policy = replace(UNSURE, unseen_nats=1.0)
    given_ = {"policy": policy, "probabilities": [1, 1]}
    assert kept([80, 91], is_unseen=[False, False], **given_) == (2, "end")
    assert kept([80, 91], is_unseen=[False, True], **given_) == (1, "unsure")
    assert kept([80, 89], is_unseen=[True, True], **given_) == (2, "end")
    assert kept([80, 91], is_unseen=[False, True], policy=policy) == (1, "unsure")


def test_unsure_words_are_no_matter_at_the_end_or_where_the_audio_leaves():
    given_ = {"policy": UNSURE, "probabilities": [0, 0]}
    assert kept([50, 90], is_final=True, **given_) == (2, "final")
    assert kept([50, 90], leaving_frames=95, **given_) == (2, "end")


# No speech


def test_nothing_is_committed_while_the_model_thinks_that_nothing_is_said():
    assert kept([50, 60], no_speech=0.6) == (2, "end")
    assert kept([50, 60], no_speech=0.61) == (0, "no speech")
    assert not decided([50, 60], no_speech=0.61, has_end=True).complete


def test_at_the_end_what_is_likely_all_the_same_is_committed():
    sure, unsure = [0.5, 0.4], [0.5, 0.2]  # the mean of ln: -0.8 and -1.15
    assert kept([50, 60], no_speech=0.9, is_final=True, probabilities=sure) == (2, "final")
    assert kept([50, 60], no_speech=0.9, is_final=True, probabilities=unsure) == (0, "no speech")
    assert kept([50, 60], no_speech=0.5, is_final=True, probabilities=unsure) == (2, "final")
    assert kept([50, 60], no_speech=0.9, is_final=True) == (2, "final")
    assert kept([], no_speech=0.9, is_final=True, probabilities=[]) == (0, "final")


# The end of the text


@pytest.mark.parametrize(
    ("end", "audio_frames", "complete"),
    [(61, 67, True), (62, 67, False), (66, 67, False), (67, 68, True), (99, 100, True)],
)
def test_the_end_token_completes_outside_of_the_border_or_after_a_pause(
    end, audio_frames, complete
):
    # A pause is half of the border, over the border, after the last word, which is at 60.
    decision = decided([50, 60, end], audio_frames, has_end=True)
    assert (decision.keep, decision.reason) == (2, "end")
    assert decision.complete == complete


def test_a_text_without_its_end_token_or_cut_is_not_complete():
    assert not decided([50, 60]).complete
    assert not decided([50, 96, 60], has_end=True).complete
    assert decided([50, 96], is_final=True).complete


def test_an_end_token_that_attends_anywhere_needs_the_pause():
    assert not decided([50, 93, 2], has_end=True).complete
    assert not decided([50, 93, 55], has_end=True).complete
    assert decided([50, 92, 2], has_end=True).complete


def test_the_pause_of_a_wide_border_is_no_longer_than_asked():
    wide = Policy(border_s=3, pause_s=0.5)  # 39 frames, and 6.5
    assert not decided([20, 55, 99], has_end=True, policy=wide).complete
    assert decided([20, 54, 99], has_end=True, policy=wide).complete


def test_no_border_holds_what_is_spoken_in_audio_that_leaves():
    wide = Policy(border_s=6)  # 78 frames of 100
    assert kept([20, 30, 60], policy=wide) == (1, "border")
    assert kept([20, 30, 60], policy=wide, leaving_frames=52) == (2, "border")
    assert kept([20, 30, 52], policy=wide, leaving_frames=52) == (2, "border")
    # What attends to a sink may be spoken anywhere.
    assert kept([20, 3, 60], policy=wide, leaving_frames=52)[0] == 1


# Rewinds


def test_a_jump_back_stops():
    assert kept([50, 60, 30, 34]) == (2, "rewind")
    assert kept([50, 60, 50, 54]) == (4, "end")
    assert kept([50, 60, 49, 48]) == (2, "rewind")
    assert kept([30, 34], last_frame=60) == (0, "rewind")
    assert kept([30, 34], last_frame=None) == (2, "end")


def test_without_the_rule_a_jump_back_is_nothing():
    policy = Policy(border_s=BORDER / 13, rewind_fraction=None)
    assert kept([50, 60, 30, 34], policy=policy) == (4, "end")


def test_the_rest_of_a_word_may_attend_anywhere():
    starts = [True, False, True, False]
    assert kept([50, 20, 60, 3], starts=starts) == (4, "end")
    # Nor is the next word compared to it.
    assert kept([50, 90, 60, 65], starts=starts) == (4, "end")
    assert kept([50, 90, 60, 65]) == (2, "rewind")


def test_the_rest_of_a_word_inside_the_border_waits_for_the_next_word():
    assert kept([50, 97], starts=[True, False]) == (1, "border")
    assert kept([50, 97, 96], starts=[True, False, True]) == (1, "border")
    assert kept([50, 97, 60], starts=[True, False, True]) == (3, "end")
    # However long ago the word began.
    assert kept([20, 97], starts=[True, False]) == (1, "border")
    # Unless that one rewinds, and says nothing.
    assert kept([70, 97, 30], starts=[True, False, True]) == (1, "border")


def test_a_word_that_alone_looks_back_does_not_stop():
    assert kept([50, 60, 30, 64, 70]) == (5, "end")
    # Two in a row may be the model starting over, and so may the last.
    assert kept([50, 60, 30, 34, 70]) == (2, "rewind")
    assert kept([50, 60, 30]) == (2, "rewind")
    # It is not what the next is compared to, however long it would have been held.
    assert decided([60, 30, 64], 130).references == (60, 60, 64)
    # A next word inside the border was not plainly heard.
    assert kept([50, 60, 30, 97]) == (2, "rewind")


def stream(frames_of_words, seconds, policy=POLICY, spike=None):
    """How many words are committed after each second; a spike moves the first reference."""
    committed, last_frame, counts = 0, spike, []
    for second in range(1, seconds + 1):
        audio_frames = 13 * second
        heard = [f for f in frames_of_words[committed:] if f < audio_frames]
        decision = decided(heard, audio_frames, policy, last_frame=last_frame)
        last_frame = decision.reference_after(decision.keep, last_frame)
        committed += decision.keep
        counts.append(committed)
    return counts


def test_no_wrong_frame_holds_a_stream_for_ever():
    words = list(range(10, 390, 5))
    counts = stream(words, 30, spike=80.0)
    # Held until four seconds and the border after frame 80, then as if nothing had been.
    assert counts[9] == 0
    assert counts[10] == len([w for w in words if 11 * 13 - w > BORDER])
    assert counts[11:] == [len([w for w in words if s * 13 - w > BORDER]) for s in range(12, 31)]


def test_a_steady_stream_commits_all_that_is_outside_of_the_border():
    words = list(range(9, 390, 4))
    expected = [len([w for w in words if s * 13 - w > BORDER]) for s in range(1, 31)]
    assert stream(words, 30) == expected


# Sinks


def test_a_sink_is_no_rewind_and_no_evidence():
    # Followed by a word that was heard, it was spoken before that.
    assert kept([50, 0, 60]) == (3, "end")
    assert kept([50, 0, 7, 3, 60]) == (5, "end")
    # Last, it may have been spoken anywhere, and only audio without a word says otherwise.
    assert kept([50, 0], 100) == (1, "sink")
    assert kept([50, 0, 97], 100) == (1, "sink")
    assert kept([0], 100, last_frame=60) == (0, "sink")
    assert kept([0], 100, last_frame=42) == (1, "end")


def test_after_a_sink_words_are_compared_to_the_word_before_it():
    decision = decided([50, 0, 60, 45])
    assert (decision.keep, decision.reason) == (3, "rewind")
    assert decision.references == (50, 50, 60)


def test_a_stream_may_open_in_the_first_frames():
    # As if at their end: 7 + the border.
    assert kept([3], 13) == (1, "end")
    assert kept([3], 12, policy=Policy(border_s=BORDER / 13, min_audio_s=5 / 13)) == (0, "border")
    assert kept([3, 5, 9], 39) == (3, "end")
    # But not if it has been silent for long, nor once a word was later.
    assert kept([3], 40) == (0, "sink")
    assert kept([3], 39, last_frame=20) == (0, "sink")
    assert kept([3], 39, policy=Policy(border_s=BORDER / 13, opening_s=0)) == (0, "sink")


def test_a_lone_sink_is_let_go_in_the_end():
    # 8 + the border + 4 s.
    assert kept([0], 8 + BORDER + 52) == (0, "sink")
    assert kept([0], 8 + BORDER + 53) == (1, "end")


def test_a_sink_is_never_the_reference():
    assert decided([0], 100).references == (None,)
    assert decided([50, 0], 120).references == (50, 50)


def test_what_is_committed_moves_the_reference():
    decision = decided([50, 60, 70])
    assert decision.reference_after(0, 40) == 40
    assert decision.reference_after(2, 40) == 60
    decision = decided([50, 80, 60], starts=[True, False, True])
    assert decision.references == (50, 50, 60)


# Whole words


def spoken(*tokens, language=None):
    return split_words([token.encode() for token in tokens], language)


@pytest.mark.parametrize(
    ("tokens", "keep", "complete", "whole"),
    [
        (["the", " night", "fall", " came"], 0, False, 0),
        (["the", " night", "fall", " came"], 1, False, 1),
        (["the", " night", "fall", " came"], 2, False, 1),
        (["the", " night", "fall", " came"], 3, False, 2),
        (["the", " night", "fall", " came"], 4, False, 2),
        (["the", " night", "fall", " came"], 4, True, 3),
        (["the", " night", "fall", " came"], 3, True, 2),
        (["don", "'t", " go"], 1, False, 0),
        (["don", "'t", " go"], 2, False, 1),
        (["yes", ",", " no"], 1, False, 0),
        (["yes", ",", " no"], 2, False, 1),
        (["yes"], 1, False, 0),
        (["yes"], 1, True, 1),
        # A space of its own token proves nothing before the next word.
        (["yes", " "], 2, False, 0),
        (["yes", " ", "5"], 1, False, 1),
        # A token that ends one word and starts another is not cut.
        (["ye", "s n", "o", " go"], 2, False, 0),
        (["ye", "s n", "o", " go"], 3, False, 2),
        ([], 0, True, 0),
    ],
)
def test_only_whole_words_are_cut_off(tokens, keep, complete, whole):
    assert whole_words(spoken(*tokens), keep, complete) == whole


def test_languages_without_spaces_are_cut_by_character():
    words = spoken("你", "好吗", "我", language="Chinese")
    assert [whole_words(words, keep, False) for keep in range(4)] == [0, 1, 3, 3]
    assert whole_words(words, 3, True) == 4
    # The bytes of a character: 我 in two tokens is not cut between them.
    parts = ["你".encode(), *(bytes([b]) for b in "我".encode()), "好".encode()]
    cut = split_words(parts, "Chinese")
    assert [whole_words(cut, keep, False) for keep in range(6)] == [0, 1, 1, 1, 2, 2]


def test_where_words_start():
    tokens = ["yes", " ", "5", "6", " ab", "c d"]
    starts = word_starts(spoken(*tokens), len(tokens))
    assert starts.tolist() == [True, False, True, False, True, True]
    assert word_starts([], 2).tolist() == [False, False]


# For all frames


@st.composite
def hypotheses(draw, least_frame=0):
    """(frames [rows], keyword arguments of `decide`)."""
    audio_frames = draw(st.integers(least_frame + 1, 250))
    rows = draw(st.integers(0, 9))
    one = st.integers(2 * least_frame, 2 * (audio_frames - 1)).map(lambda halves: halves / 2)
    frames = draw(st.lists(one, min_size=rows, max_size=rows))
    if draw(st.booleans()):
        frames.sort()
    has_end = bool(rows) and draw(st.booleans())
    starts = draw(st.lists(st.booleans(), min_size=rows - has_end, max_size=rows - has_end))
    sure = st.lists(st.floats(0, 1), min_size=rows, max_size=rows)
    flags = st.lists(st.booleans(), min_size=rows - has_end, max_size=rows - has_end)
    return np.array(frames, float), {
        "probabilities": draw(st.none() | sure),
        "is_unseen": draw(st.none() | flags),
        "audio_frames": audio_frames,
        "last_frame": draw(st.none() | st.integers(-50, audio_frames)),
        "starts": starts,
        "has_end": has_end,
    }


policies = st.fixed_dictionaries(
    {
        "rewind_fraction": st.none() | st.floats(0.01, 0.5),
        "min_audio_s": st.floats(0, 2.3),
        "sink_s": st.floats(0, 1.5),
        "opening_s": st.floats(0, 5),
        "doubt_s": st.floats(0, 5),
        "pause_s": st.floats(0, 2),
        "unsure_s": st.floats(0, 1),
        "unseen_nats": st.floats(0, 4),
    }
)
borders = st.tuples(
    st.sampled_from(["border_s", "border_fraction"]), st.floats(0.01, 0.99), st.floats(0.01, 0.99)
)


@given(hypotheses(), policies, borders)
def test_a_wider_border_never_commits_more(hypothesis, values, border):
    frames, given_ = hypothesis
    name, *widths = border
    narrow, wide = (
        decide(frames, frames_per_s=RATE, policy=Policy(**values, **{name: width}), **given_)
        for width in sorted(widths)
    )
    assert wide.keep <= narrow.keep
    assert (wide.complete, wide.keep) <= (narrow.complete, narrow.keep)
    assert wide.references[: wide.keep] == wide.references


@given(hypotheses(), policies, borders)
def test_never_more_than_there_is_and_the_reason_fits(hypothesis, values, border):
    frames, given_ = hypothesis
    decision = decide(
        frames, frames_per_s=RATE, policy=Policy(**values, **{border[0]: border[1]}), **given_
    )
    tokens = len(frames) - given_["has_end"]
    assert 0 <= decision.keep <= tokens
    assert len(decision.frames) == len(frames)
    assert len(decision.references) == decision.keep
    assert (decision.reason == "end") <= (decision.keep == tokens)
    assert (decision.reason in ("border", "unsure", "rewind", "sink")) <= (decision.keep < tokens)
    assert decision.complete <= (decision.reason == "end" and given_["has_end"])
    assert decision.reason != "final"


@given(hypotheses(), policies, borders)
def test_a_final_call_commits_all(hypothesis, values, border):
    frames, given_ = hypothesis
    policy = Policy(**values, **{border[0]: border[1]})
    decision = decide(frames, frames_per_s=RATE, policy=policy, **given_, is_final=True)
    assert decision.keep == len(frames) - given_["has_end"]
    assert decision.reason == "final"
    assert decision.complete


@given(hypotheses(least_frame=20), policies, st.floats(0.01, 3), st.integers(0, 200))
def test_more_audio_before_all_that_was_said_changes_nothing(hypothesis, values, border_s, shift):
    frames, given_ = hypothesis
    # A rewind is measured by the whole buffer, and only a start knows the first frames.
    values = {**values, "rewind_fraction": None, "min_audio_s": 0}
    given_ = {**given_, "last_frame": given_["last_frame"] or 30}
    policy = Policy(**values, border_s=border_s)
    before = decide(frames, frames_per_s=RATE, policy=policy, **given_)
    moved = {
        **given_,
        "audio_frames": given_["audio_frames"] + shift,
        "last_frame": given_["last_frame"] + shift,
    }
    after = decide(frames + shift, frames_per_s=RATE, policy=policy, **moved)
    assert (after.keep, after.reason) == (before.keep, before.reason)
    assert after.complete == before.complete
    assert [r - shift for r in after.references] == list(before.references)


@given(hypotheses(), policies, borders)
def test_the_first_token_is_committed_once_enough_audio_has_come(hypothesis, values, border):
    frames, given_ = hypothesis
    # A rewind or a sink waits doubt_s after the last frame, a border for itself to pass.
    policy = Policy(**values, border_s=border[1])
    given_ = {**given_, "audio_frames": given_["audio_frames"] + 400}
    assert (
        decide(frames, frames_per_s=RATE, policy=policy, **given_).keep
        == len(frames) - given_["has_end"]
    )


pieces = st.lists(st.sampled_from(["a", " b", " ", "c d", "'", "e f ", "é"]), max_size=8)


@given(pieces, st.integers(0, 8), st.booleans())
def test_no_word_is_cut_in_two(tokens, keep, complete):
    words = spoken(*tokens)
    count = whole_words(words, keep, complete)
    stop = words[count - 1].tokens.stop if count else 0
    assert stop <= keep
    # The committed tokens are those words and nothing else, and the rest starts a new one.
    assert "".join(tokens[:stop]).split() == [word.text for word in words[:count]]
    assert all(word.tokens.start >= stop for word in words[count:])
    assert count < len(words) or complete or not words


# The start of a hypothesis

TEXTS = (b" word", b" a", b"long", b"er", b"'s", b",", b" so")


def decided_on(parts, rows, policy, state, *, has_end=False):
    """The words of `parts` and the decision on them; `rows` are (frame, probability)."""
    words = split_words(parts)
    frames, probabilities = np.array(rows[: len(parts) + has_end], float).T
    return words, decide(
        frames, 40, policy, 13.0, **state, least_s=least_seconds(words, len(parts)),
        starts=word_starts(words, len(parts)), probabilities=probabilities, has_end=has_end,
    )  # fmt: skip


def test_what_is_decided_on_the_start_is_decided_on_all():
    """Whatever comes after: random hypotheses, most of them in the order of the audio."""
    rng, stopped = np.random.default_rng(0), 0
    for case in range(1200):
        parts = [TEXTS[i] for i in rng.integers(0, len(TEXTS), rng.integers(2, 14))]
        frames = np.sort(rng.integers(0, 40, len(parts)))
        odd = rng.random(len(parts)) < 0.2
        frames[odd] = rng.integers(0, 40, odd.sum())
        rows = [*zip(frames, rng.uniform(0.05, 1, len(parts)), strict=True), (39.0, 0.9)]
        policy = Policy(border_s=0.4, unsure_s=float(rng.choice([0.0, 0.6])), doubt_s=1.0)
        state = {
            "last_frame": rng.choice([None, 3.0, 20.0]),
            "spent_frame": rng.choice([None, 4.0, 18.0]),
            "waited_frame": rng.choice([None, 12.0]),
            "can_ask_anew": bool(rng.integers(2)),
            "leaving_frames": int(rng.choice([0, 12])),
        }
        words, whole = decided_on(parts, rows, policy, state, has_end=True)
        for count in range(1, len(parts)):
            known, start = decided_on(parts[:count], rows, policy, state)
            if not decides(known, start, 0.6 * 13 + 1):
                continue
            stopped += 1
            assert (start.keep, start.reason) == (whole.keep, whole.reason), case
            assert (start.references, start.spent) == (whole.references, whole.spent), case
            done = whole_words(known, start.keep, start.complete)
            assert done == whole_words(words, whole.keep, whole.complete), case
            assert known[done] == words[done], case  # the first that waits is known to its end
            break
    assert stopped > 100
