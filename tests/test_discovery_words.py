"""Which tokens are scored against which gold words: whole clips and clips cut short."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignheads.corpora import WordTime
from alignheads.discovery.borders import MIN_CUT_S, cut_points_s, heard_tokens
from alignheads.discovery.mapping import match_words, normalised, token_targets
from alignheads.runtime.policy.words import split_words


def gold(text, start_s=0.0, each_s=0.5):
    """Words one after another, `each_s` long."""
    return [
        WordTime(word, start_s + i * each_s, start_s + (i + 1) * each_s)
        for i, word in enumerate(text.split())
    ]


def spoken(*tokens):
    return split_words([token.encode() for token in tokens])


def pairs(hypothesis, reference):
    found = match_words(hypothesis.split(), reference.split())
    return [(m.hypothesis, m.reference, m.equal) for m in found]


# Matching


def test_nothing_matches_nothing():
    assert match_words([], []) == []
    assert match_words(["a"], []) == []
    assert match_words([], ["a"]) == []
    assert match_words(["--", "..."], ["—"]) == []


def test_case_and_punctuation_do_not_matter():
    assert pairs('"Hello, WORLD!"', "hello world") == [(0, 0, True), (1, 1, True)]
    assert normalised("Don’t") == normalised("don't") == "dont"
    assert normalised("ﬁve_") == "five"


def test_a_word_of_punctuation_takes_no_part_and_moves_no_index():
    assert pairs("a — b", "a b") == [(0, 0, True), (2, 1, True)]
    assert pairs("a b", "a ... b") == [(0, 0, True), (1, 2, True)]


def test_substitutions_are_pairs_that_are_not_equal():
    assert pairs("the cot sat", "the cat sat") == [(0, 0, True), (1, 1, False), (2, 2, True)]


def test_insertions_and_deletions_stand_for_nothing():
    assert pairs("a x b", "a b") == [(0, 0, True), (2, 1, True)]
    assert pairs("a b", "a x b") == [(0, 0, True), (1, 2, True)]


def test_inner_white_space_of_a_word_cannot_shift_the_others():
    # A corpus may time two words as one; normalising takes the space out.
    found = match_words(["ice", "cream", "now"], ["ice cream", "now"])
    assert [(m.hypothesis, m.reference) for m in found if m.equal] == [(2, 1)]


# Whole clips


def test_only_equal_words_are_scored():
    words = spoken("the", " c", "ot", " sat")
    goal = token_targets(words, gold("the cat sat"))
    assert goal.token.tolist() == [0, 3]
    assert goal.start_s.tolist() == [0, 1]
    assert goal.end_s.tolist() == [0.5, 1.5]


def test_a_repeated_word_is_matched_in_its_place():
    words = spoken("no", " no", " yes", " no")
    goal = token_targets(words, gold("no no no yes no"))
    # Whichever of the first three "no" was dropped, the order stays and no word is used twice.
    assert goal.token.tolist() == [0, 1, 2, 3]
    assert goal.start_s.tolist()[2:] == [1.5, 2.0]
    assert (np.diff(goal.start_s) > 0).all()


def test_tokens_share_the_word_by_their_bytes():
    goal = token_targets(spoken("a", "bcd"), [WordTime("abcd", 1.0, 1.8)])
    assert goal.centre_s == pytest.approx([1.1, 1.5])
    assert goal.start_s.tolist() == [1.0, 1.0]


def test_nothing_in_common_gives_no_targets():
    assert len(token_targets(spoken("x", " y"), gold("a b c"))) == 0
    assert len(token_targets([], gold("a"))) == 0


words_of = st.lists(st.sampled_from(["a", "b", "c", "A,", "-"]), max_size=8)


@given(words_of, words_of)
def test_targets_are_in_order_within_their_words_and_equal(hypothesis, reference):
    words = split_words([(" " + word).encode() for word in hypothesis])
    goal = token_targets(words, gold(" ".join(reference)))
    assert (np.diff(goal.token) > 0).all()
    assert (np.diff(goal.start_s) > 0).all()
    assert ((goal.start_s <= goal.centre_s) & (goal.centre_s <= goal.end_s)).all()
    for token, start in zip(goal.token, goal.start_s, strict=True):
        assert normalised(hypothesis[token]) == normalised(reference[int(start / 0.5)])


# Where clips are cut


SPEECH = gold("one two three four five six seven eight nine ten", each_s=0.45)


@pytest.mark.parametrize(("words", "cuts"), [([], 3), (SPEECH, 0), (SPEECH[:1], 3), (SPEECH, -1)])
def test_nothing_to_cut(words, cuts):
    assert cut_points_s("id", words, cuts) == []


def test_a_clip_of_a_second_is_not_cut():
    assert cut_points_s("id", gold("a b"), 3) == []


def test_cuts_depend_on_the_id_alone():
    assert cut_points_s("id", SPEECH, 3) == cut_points_s("id", SPEECH, 3)
    assert cut_points_s("id", SPEECH, 3) != cut_points_s("di", SPEECH, 3)


@pytest.mark.parametrize("clip_id", [f"clip {i}" for i in range(20)])
def test_cuts_alternate_between_inside_a_word_and_the_gap_after_one(clip_id):
    spaced = [WordTime(w.text, w.start_s, w.end_s - 0.1) for w in SPEECH]
    points = cut_points_s(clip_id, spaced, 4)
    assert len(points) == 4
    assert points == sorted(points)
    assert points[0] >= MIN_CUT_S
    assert points[-1] <= spaced[-1].start_s
    inside = [any(w.start_s < point < w.end_s for w in spaced) for point in points]
    assert inside in ([True, False, True, False], [False, True, False, True])
    for point, within in zip(points, inside, strict=True):
        for word in spaced:
            share = (point - word.start_s) / (word.end_s - word.start_s)
            assert not 0 < share < 1 or (within and 0.3 <= share <= 0.7)


def test_more_cuts_than_words_are_as_many_as_there_are_words():
    points = cut_points_s("id", SPEECH, 99)
    assert len(points) == sum(w.start_s >= MIN_CUT_S for w in SPEECH[:-1])
    assert len(set(points)) == len(points)


def test_words_that_overlap_are_cut_at_the_end_of_the_first():
    words = [WordTime("a", 0, 1.2), WordTime("b", 1.1, 2.0), WordTime("c", 1.9, 2.4)]
    for clip_id in "uvwxyz":
        (point,) = cut_points_s(clip_id, words, 1)
        assert 1.1 < point <= 2.0


# What was heard of a cut clip


def labels(tokens, reference, cut_s):
    """{token text: heard} of the tokens that can be judged."""
    found, heard = heard_tokens(spoken(*tokens), reference, cut_s)
    assert found.dtype.kind == "i"
    assert heard.dtype == bool
    return [(tokens[i].strip(), bool(h)) for i, h in zip(found, heard, strict=True)]


REFERENCE = gold("one two three four five", each_s=0.5)


def test_heard_and_guessed_by_hand():
    # Cut at 1.2 s: "three" (1.0 to 1.5) is half heard, "four" is guessed.
    tokens = ["one", " two", " th", "ree", " four"]
    expected = [("one", True), ("two", True), ("th", False), ("ree", False), ("four", False)]
    assert labels(tokens, REFERENCE, 1.2) == expected


def test_a_word_that_ends_at_the_cut_was_heard():
    assert labels(["one", " two"], REFERENCE, 1.0) == [("one", True), ("two", True)]
    assert labels(["one", " two"], REFERENCE, 0.99) == [("one", True), ("two", False)]


def test_a_wrong_guess_beyond_the_cut_is_a_guess():
    tokens = ["one", " two", " sugar", " salt", " oil", " tea"]
    heard = dict(labels(tokens, REFERENCE, 1.0))
    assert heard == {"one": 1, "two": 1, "sugar": 0, "salt": 0, "oil": 0, "tea": 0}


def test_a_misheard_word_was_heard_all_the_same():
    assert labels(["won", " two"], REFERENCE, 1.0) == [("won", True), ("two", True)]


def test_an_insertion_before_heard_words_is_left_out():
    assert labels(["one", " er", " two"], REFERENCE, 1.0) == [("one", True), ("two", True)]


def test_a_repeated_word_beyond_the_cut_is_a_guess():
    reference = gold("no no yes stop", each_s=0.5)
    assert labels(["no", " no"], reference, 0.6) == [("no", True), ("no", False)]


def test_a_word_far_beyond_the_cut_is_not_taken_for_one_heard():
    reference = gold("one two three four five six seven one", each_s=0.5)
    assert labels(["one"], reference, 0.6) == [("one", True)]


def test_no_text_no_labels():
    found, heard = heard_tokens([], REFERENCE, 1.0)
    assert len(found) == len(heard) == 0


def test_text_of_a_clip_that_ends_before_any_word_is_all_guessed():
    reference = gold("one two", start_s=2.0)
    assert labels(["one", " two"], reference, 1.0) == [("one", False), ("two", False)]
