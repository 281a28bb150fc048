"""Ranks and Spearman's rho: by hand, against their definition, and bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from alignheads.heads.rank_correlation import ranks, spearman


def test_ranks_start_at_zero_and_ties_share_the_mean():
    values = np.array([[30, 10, 20, 10], [5, 5, 5, 5]])
    np.testing.assert_array_equal(ranks(values), [[3, 0.5, 2, 0.5], [1.5] * 4])
    assert ranks(np.zeros((2, 0))).shape == (2, 0)


small = arrays(np.int64, array_shapes(max_dims=3, max_side=9), elements=st.integers(-4, 4))


@given(small)
@settings(max_examples=60, deadline=None)
def test_a_rank_is_how_many_are_less_and_half_of_those_that_are_equal(values):
    below = (values[..., None, :] < values[..., None]).sum(-1)
    equal = (values[..., None, :] == values[..., None]).sum(-1)
    np.testing.assert_array_equal(ranks(values), below + (equal - 1) / 2)


def test_heads_by_tokens_against_one_row_of_tokens():
    gold_s = np.array([0.1, 0.4, 0.9, 1.3])
    frames = np.array([[1, 4, 6, 9], [9, 6, 4, 1], [5, 5, 5, 5], [1, 1, 2, 2]])
    tied = np.corrcoef([0.5, 0.5, 2.5, 2.5], [0, 1, 2, 3])[0, 1]
    np.testing.assert_allclose(spearman(frames, gold_s), [1, -1, np.nan, tied])
    np.testing.assert_array_equal(np.isnan(spearman(frames, np.ones(4))), True)


def test_each_head_of_many_has_what_it_has_alone_to_the_last_bit():
    rng = np.random.default_rng(0)
    for count in (2, 3, 17, 200):
        frames = rng.integers(0, 40, (16, count))
        gold_s = np.sort(rng.uniform(0, 20, count))
        together = spearman(frames, gold_s)
        alone = [spearman(row, gold_s) for row in frames]
        assert together.tolist() == [float(rho) for rho in alone]


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_values_have_no_correlation(count):
    assert np.isnan(spearman(np.zeros((3, count)), np.zeros(count))).tolist() == [True] * 3
