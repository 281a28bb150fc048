"""Loops are cut to one round; what is no loop stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_qwen3_asr.generate import detect_repetition

from alignheads.runtime.models.continuation import ends_in_loop, without_loop


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


@pytest.mark.parametrize("tokens", [[], [5], [5] * 19, list(range(50)), [1, 2] * 9 + [1]])
def test_what_is_no_loop_stays(tokens):
    assert without_loop(tokens) == tokens
    assert not ends_in_loop(tokens)


@given(st.lists(st.integers(0, 2), max_size=45))
def test_a_loop_is_what_the_engine_takes_for_one(tokens):
    assert ends_in_loop(tokens) == detect_repetition(tokens)
    assert tokens[: len(without_loop(tokens))] == without_loop(tokens)
