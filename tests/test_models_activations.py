"""GELU, SiLU and attention against float64, and where MLX's own are used."""

import math

import mlx.nn as nn
import mlx_qwen3_asr  # noqa: F401  the engine's dtypes
import numpy as np
import pytest

from alignheads.runtime.models.backend import mx, on_gpu
from alignheads.runtime.models.cpu import activations
from alignheads.runtime.models.cpu.activations import (
    attention,
    gelu,
    largest_probability,
    mask_of,
    silu,
)

MANY = 200_001


def grid(low, high):
    return np.linspace(low, high, MANY).astype(np.float32)


def test_silu_far_out_is_nothing_or_what_it_was():
    far = np.float32([-1e9, -1e4, -200, 200, 1e9] * 2000)
    found = np.array(silu(mx.array(far)))
    assert np.abs(found - np.where(far < 0, 0, far)).max() < 1e-20


def test_gelu_far_out_is_nothing_or_what_it_was():
    far = np.float32([-1e30, -1e9, -200, -20, 0, 20, 200, 1e9, 1e30] * 2000)
    found = np.array(gelu(mx.array(far)))
    assert np.abs(found - np.where(far < 0, 0, far)).max() < 1e-20


def test_gelu_of_any_shape_and_layout():
    x = np.random.default_rng(0).normal(size=(3, 5, 41, 300)).astype(np.float32)
    flat = np.array(gelu(mx.array(x.reshape(-1))))
    assert np.array_equal(np.array(gelu(mx.array(x))).reshape(-1), flat)
    turned = np.array(gelu(mx.array(x).transpose(3, 0, 2, 1)))
    assert np.array_equal(turned, flat.reshape(x.shape).transpose(3, 0, 2, 1))


def test_gelu_and_silu_follow_the_exact_ones():
    x = grid(-12, 12)
    exact = x.astype(float)
    phi = 0.5 * (1 + np.vectorize(math.erf)(exact / math.sqrt(2)))
    assert np.abs(np.array(gelu(mx.array(x))) - exact * phi).max() < 1e-6
    sigmoid = 1 / (1 + np.exp(-exact))
    assert np.abs(np.array(silu(mx.array(x))) - exact * sigmoid).max() < 2e-6


def plain_attention(q, k, v, seen=None):
    groups = q.shape[1] // k.shape[1]
    k, v = (np.repeat(a.astype(float), groups, axis=1) for a in (k, v))
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    if seen is not None:
        scores = np.where(seen, scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ v


@pytest.mark.parametrize(("new", "past"), [(90, 0), (60, 200), (1, 300), (1, 3000), (2, 3)])
def test_causal_attention_of_grouped_heads(new, past):
    dice = np.random.default_rng(new)
    q = dice.normal(size=(1, 8, new, 24)) * 3
    k, v = dice.normal(size=(2, 1, 4, past + new, 24))
    seen = np.arange(past + new)[None] <= np.arange(past, past + new)[:, None]
    arrays = (mx.array(a.astype(np.float32)) for a in (q, k, v))
    found = attention(*arrays, "causal")
    assert np.abs(np.array(found) - plain_attention(q, k, v, seen)).max() < 1e-4


@pytest.mark.parametrize("size", [1.0, 63.9, 65.0, 1e4])
def test_scores_of_any_size_with_and_without_a_bound(size):
    dice = np.random.default_rng(1)
    q, k = dice.normal(size=(2, 1, 8, 80, 24))
    v = dice.normal(size=(1, 8, 80, 24))
    q, k = (a / np.linalg.norm(a, axis=-1, keepdims=True) for a in (q, k))
    q = q * size * math.sqrt(24)
    seen = np.arange(80)[None] <= np.arange(80)[:, None]
    arrays = [mx.array(a.astype(np.float32)) for a in (q, k, v)]
    exact = plain_attention(q, k, v, seen)
    for bound in (math.inf, size):
        found = attention(*arrays, "causal", bound)
        assert np.abs(np.array(found) - exact).max() < 1e-4 * max(1, size / 40)


@pytest.mark.parametrize("mask", [None, "causal"])
@pytest.mark.parametrize("kv_heads", [2, 6])
def test_heads_with_small_and_with_large_scores(kv_heads, mask):
    """Told by their norms, head by head; blocks of rows end in the midst of a head."""
    dice = np.random.default_rng(2)
    count = 290
    q, k = dice.normal(size=(2, 1, 6, count, 32))
    q, k = (a / np.linalg.norm(a, axis=-1, keepdims=True) for a in (q, k[:, :kv_heads]))
    q = q * math.sqrt(32) * np.array([1, 63.9, 300, 63.9, 65, 0])[None, :, None, None]
    v = dice.normal(size=(1, kv_heads, count, 32)) * 1e4
    seen = np.arange(count)[None] <= np.arange(count)[:, None] if mask else None
    arrays = [mx.array(a.astype(np.float32)) for a in (q, k, v)]
    found = np.array(attention(*arrays, mask))
    assert np.abs(found - plain_attention(q, k, v, seen)).max() < 1e-4 * 1e4 * 300 / 40


def test_the_largest_score_is_bounded_by_the_norms():
    dice = np.random.default_rng(3)
    q = dice.normal(size=(2, 4, 50, 16)) * np.array([1, 2, 3, 4])[None, :, None, None]
    k = dice.normal(size=(2, 2, 60, 16))
    arrays = [mx.array(a.astype(np.float32)) for a in (q, k)]
    bounds = activations._largest_scores(*arrays).reshape(2, 4)
    scores = np.abs(q @ np.repeat(k, 2, axis=1).swapaxes(-1, -2)).max((-1, -2)) / 4
    assert (scores <= bounds * 1.000001).all()
    assert (bounds < 3 * scores).all()


def test_a_batch_with_padding_at_the_left():
    dice = np.random.default_rng(0)
    q, k, v = dice.normal(size=(3, 2, 4, 64, 16))
    seen = (np.arange(64)[None] <= np.arange(64)[:, None])[None] & (
        np.arange(64) >= np.array([0, 7])[:, None]
    )[:, None]
    seen[:, np.arange(64), np.arange(64)] = True
    arrays = (mx.array(a.astype(np.float32)) for a in (q, k, v))
    found = attention(*arrays, mask_of(mx.array(seen[:, None]), mx.float32))
    assert np.abs(np.array(found) - plain_attention(q, k, v, seen[:, None])).max() < 1e-4


def test_what_attention_is_given_stays_as_it_was():
    arrays = [mx.array(noise) for noise in np.random.default_rng(0).normal(size=(3, 1, 8, 90, 24))]
    arrays = [array.astype(mx.float32) for array in arrays]
    before = [np.array(array) for array in arrays]
    attention(*arrays, "causal")
    x = arrays[0] + 0
    silu(x)
    gelu(x)
    for array, was in zip([*arrays, x], [*before, before[0]], strict=True):
        assert (np.array(array) == was).all()


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_half_precision_is_left_to_mlx(dtype):
    dice = np.random.default_rng(0)
    x = dice.normal(size=(1, 8, 90, 24))
    half = mx.array(x.astype(np.float32)).astype(dtype)
    scale = 24**-0.5
    expected = mx.fast.scaled_dot_product_attention(half, half, half, scale=scale, mask="causal")
    assert attention(half, half, half, "causal").dtype == dtype
    assert mx.array_equal(attention(half, half, half, "causal"), expected)
    assert mx.array_equal(silu(half), nn.silu(half))
    assert mx.array_equal(gelu(half), nn.gelu(half))


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 3000.0])
def test_the_largest_probability_is_that_of_the_softmax(dtype, scale):
    """From one in a thousand to certainty."""
    logits = mx.array(np.random.default_rng(0).normal(0, scale, (7, 1000)).astype(np.float32))
    logits = logits.astype(dtype)
    exact = np.array(logits.astype(mx.float32)).astype(float)
    weights = np.exp(exact - exact.max(-1, keepdims=True))
    before = mx.array(logits)
    found = largest_probability(logits)
    assert found == pytest.approx(weights.max(-1) / weights.sum(-1), rel=1e-5)
    assert mx.array_equal(logits, before)


def test_few_numbers_are_left_to_mlx(monkeypatch):
    monkeypatch.setattr(activations, "_gelu", lambda *_: pytest.fail("not MLX's own"))
    gelu(mx.zeros((10,)))
    if not on_gpu():
        with pytest.raises(pytest.fail.Exception):
            gelu(mx.zeros((MANY,)))
