"""Products for a few rows against a layer's own, and where the layer's own is used."""

import mlx.nn as nn
import numpy as np
import pytest

from alignheads.runtime.models.backend import mx
from alignheads.runtime.models.cpu import products
from alignheads.runtime.models.cpu.products import linear


@pytest.fixture
def layer(monkeypatch):
    """Counts what goes through it as it is."""
    calls = []
    real = nn.Linear.__call__
    monkeypatch.setattr(
        nn.Linear, "__call__", lambda self, x: (calls.append(x.shape), real(self, x))[1]
    )
    made = nn.Linear(700, 400, bias=False)
    made.calls = calls
    return made


def ours(layer, *shape, dtype=mx.float32):
    """Whether `linear` has its own way for such rows; that it says the same is asserted."""
    x = mx.random.normal(shape, dtype=dtype)
    layer.calls.clear()
    found = linear(layer, x)
    is_ours = not layer.calls
    expected = np.array(x.astype(mx.float32)) @ np.array(layer.weight.astype(mx.float32)).T
    assert found.shape == expected.shape
    assert found.dtype == dtype
    tolerance = 1e-4 if dtype == mx.float32 else 0.1
    assert np.array(found.astype(mx.float32)) == pytest.approx(expected, abs=tolerance)
    return is_ours


def test_a_few_rows_say_the_same_in_any_shape(layer, monkeypatch):
    monkeypatch.setattr(products, "on_gpu", lambda: False)
    assert ours(layer, 8, 1, 700)
    assert ours(layer, 1, 5, 700)
    assert ours(layer, 2, 700)
    assert ours(layer, 32, 700)


def test_one_row_and_many_are_left_to_the_layer(layer, monkeypatch):
    monkeypatch.setattr(products, "on_gpu", lambda: False)
    assert not ours(layer, 1, 1, 700)
    assert not ours(layer, 700)
    assert not ours(layer, 33, 700)


def test_what_is_no_large_matrix_of_float32_on_a_cpu_is_left_to_the_layer(layer, monkeypatch):
    monkeypatch.setattr(products, "on_gpu", lambda: True)
    assert not ours(layer, 8, 1, 700)
    monkeypatch.setattr(products, "on_gpu", lambda: False)
    with monkeypatch.context() as patch:
        patch.setattr(products, "_LARGE", layer.weight.size + 1)
        assert not ours(layer, 8, 1, 700)
    layer.weight = layer.weight.astype(mx.float16)
    assert not ours(layer, 8, 1, 700, dtype=mx.float16)


def test_a_bias_or_another_kind_of_layer_is_heeded(monkeypatch):
    monkeypatch.setattr(products, "on_gpu", lambda: False)
    x = mx.random.normal((8, 1024))
    for layer in (nn.Linear(1024, 512), nn.Linear(1024, 512).to_quantized()):
        assert np.array_equal(np.array(linear(layer, x)), np.array(layer(x)))
