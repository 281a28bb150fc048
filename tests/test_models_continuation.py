"""When a text that is decoded greedily ends: its end token, the budget, or a loop."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_qwen3_asr.generate import detect_repetition

from alignheads.runtime.models.continuation import (
    Continuation,
    ends_in_loop,
    token_budget,
    without_loop,
    without_rounds,
)

END, OTHER_END = 98, 99


def taken(tokens, budget=100):
    """The text of `tokens`, and how many of them were asked for."""
    text = Continuation(budget, {END, OTHER_END})
    for count, token in enumerate(tokens, start=1):
        if not text.take(token):
            return text, count
    return text, len(tokens)


@pytest.mark.parametrize("end", [END, OTHER_END])
def test_an_end_token_ends_the_text_and_is_none_of_it(end):
    text, asked = taken([1, 2, 3, end, 4])
    assert text.ended
    assert (text.token_ids, asked) == ([1, 2, 3], 4)


def test_a_text_may_be_empty():
    text, asked = taken([END])
    assert text.ended
    assert (text.token_ids, asked) == ([], 1)


def test_the_budget_ends_the_text_which_did_not_end_itself():
    text, asked = taken(range(50), budget=7)
    assert not text.ended
    assert (text.token_ids, asked) == (list(range(7)), 8)


def test_an_end_token_is_taken_when_the_budget_is_spent():
    text, _ = taken([*range(7), END], budget=7)
    assert text.ended
    assert text.token_ids == list(range(7))


def test_a_budget_of_nothing():
    text, asked = taken([1, 2], budget=0)
    assert not text.ended
    assert (text.token_ids, asked) == ([], 1)


def test_a_loop_ends_the_text_and_one_round_of_it_is_left():
    text, asked = taken([5] * 60)
    assert not text.ended
    assert (text.token_ids, asked) == ([5], 21)
    text, _ = taken([*range(10, 30), *[5, 6, 7, 8] * 60])
    assert not text.ended
    said = text.token_ids
    assert said[: 20 + 4] == [*range(10, 30), 5, 6, 7, 8]
    # Eight tokens twice are a loop as well, and one round of them holds two of these four.
    assert said[20:] in ([5, 6, 7, 8], [5, 6, 7, 8] * 2)


@pytest.mark.parametrize("length", [11, 17, 30, 50])
@pytest.mark.parametrize("rest", [0, 1, 7])
def test_a_loop_of_any_length_that_fills_the_budget_is_left_at_one_round(length, rest):
    said, round_ = [70, 71, 72], list(range(length))
    text, _ = taken([*said, *round_ * 20], budget=3 + 2 * length + rest)
    assert not text.ended
    assert text.token_ids == said + round_


def test_a_sentence_that_was_said_twice_is_said_twice():
    twice = [*range(15), *range(15)]
    assert taken([*twice, END], budget=40)[0].token_ids == twice
    assert taken([*twice, 80, 81], budget=32)[0].token_ids == [*twice, 80, 81]


def test_a_loop_that_the_model_ended_itself_is_what_it_said():
    text, _ = taken([*[5] * 20, END])
    assert text.ended
    assert text.token_ids == [5] * 20


def test_the_budget_grows_with_the_audio():
    assert token_budget(0) == 16
    assert token_budget(16_000) == 16 + 12
    assert token_budget(60 * 16_000) == 16 + 60 * 12


@given(st.lists(st.integers(0, 3), max_size=80), st.integers(0, 60))
def test_a_text_is_what_came_up_to_where_it_stopped(tokens, budget):
    text, asked = taken(tokens, budget)
    assert len(text.token_ids) <= min(budget, asked)
    assert text.token_ids == tokens[: len(text.token_ids)]
    assert not ends_in_loop(text.token_ids)


# Loops are cut to one round; what is no loop stays.


@pytest.mark.parametrize(
    ("tokens", "kept"),
    [
        ([5] * 20, [5]),
        ([1, 2, 3] + [5] * 25, [1, 2, 3, 5]),
        ([9] + [1, 2] * 10, [9, 1, 2]),
        (list(range(40)) + [7, 8, 9, 4] * 5, [*range(40), 7, 8, 9, 4]),
        (list(range(10)) * 2, list(range(10))),
    ],
)
def test_one_round_is_left(tokens, kept):
    assert without_loop(tokens) == kept


@given(st.lists(st.integers(0, 2), max_size=45))
def test_a_round_is_what_comes_again(tokens):
    kept = without_rounds(tokens)
    assert tokens[: len(kept)] == kept
    gone = len(tokens) - len(kept)
    if gone:
        assert any(
            all(tokens[i] == tokens[i - n] for i in range(len(kept), len(tokens)))
            for n in range(1, gone + 1)
        )


@pytest.mark.parametrize("tokens", [[], [5], [5] * 19, list(range(50)), [1, 2] * 9 + [1]])
def test_what_is_no_loop_stays(tokens):
    assert without_loop(tokens) == tokens
    assert not ends_in_loop(tokens)


@given(st.lists(st.integers(0, 2), max_size=45))
def test_a_loop_is_what_the_engine_takes_for_one(tokens):
    assert ends_in_loop(tokens) == detect_repetition(tokens)
    assert tokens[: len(without_loop(tokens))] == without_loop(tokens)
