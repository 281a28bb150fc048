"""Products for a few rows against a layer's own, and where the layer's own is used."""

import mlx.nn as nn
import numpy as np
import pytest
import whisper_checkpoints

from alignheads import SpeechModel
from alignheads.runtime.models.backend import mx
from alignheads.runtime.models.cpu import products
from alignheads.runtime.models.cpu.openblas import times_vector
from alignheads.runtime.models.cpu.products import Linear, as_linear, linear, linear_of_rows

pytestmark = pytest.mark.skipif(times_vector() is None, reason="no OpenBLAS is loaded")


@pytest.fixture(autouse=True)
def on_cpu(monkeypatch):
    monkeypatch.setattr(products, "on_gpu", lambda: False)


@pytest.fixture(params=[True, False], ids=["small kernels", "vectors"])
def small_kernels(request, monkeypatch):
    """With and without a library that multiplies small matrices where they lie."""
    if not request.param:
        monkeypatch.setattr(products, "times_small_matrix", lambda: None)
    elif products.times_small_matrix() is None:
        pytest.skip("no kernels for small matrices")
    return request.param


@pytest.fixture
def theirs(monkeypatch):
    """The shapes of what goes through a layer's own product."""
    calls = []
    real = nn.Linear.__call__
    monkeypatch.setattr(
        nn.Linear, "__call__", lambda self, x: (calls.append(x.shape), real(self, x))[1]
    )
    return calls


def normal(*shape):
    """Weights of about the size that a layer begins with: products are of size 1."""
    return mx.random.normal(shape) / 26


def expected(layer, x):
    weight, rows = (np.array(one.astype(mx.float32)) for one in (layer.weight, x))
    return rows @ weight.T + np.array(layer.get("bias", mx.array(0.0)).astype(mx.float32))


def is_ours(theirs, layer, *shape, dtype=mx.float32):
    """Whether `linear` has its own way for such rows; that it says the same is asserted."""
    x = mx.random.normal(shape, dtype=dtype)
    theirs.clear()
    found = linear(layer, x)
    ours = not theirs
    wanted = expected(layer, x)
    assert (found.shape, found.dtype) == (wanted.shape, dtype)
    tolerance = 1e-4 if dtype == mx.float32 else 0.1
    assert np.array(found.astype(mx.float32)) == pytest.approx(wanted, abs=tolerance)
    return ours


@pytest.mark.parametrize("bias", [False, True])
def test_a_few_rows_say_the_same_in_any_shape(theirs, bias, monkeypatch):
    layer = nn.Linear(700, 400, bias=bias)
    for block in (products._BLOCK, 700 * 37, 1):
        monkeypatch.setattr(products, "_BLOCK", block)
        for shape in ((8, 1, 700), (1, 5, 700), (2, 700), (1, 1, 700), (700,)):
            assert is_ours(theirs, layer, *shape)


def test_many_rows_and_none_are_left_to_the_layer(theirs):
    layer = nn.Linear(700, 400)
    for shape in ((9, 700), (3, 3, 700), (0, 700)):
        assert not is_ours(theirs, layer, *shape)


def test_what_is_no_large_matrix_of_float32_on_a_cpu_is_left_to_the_layer(theirs, monkeypatch):
    layer = nn.Linear(700, 400, bias=False)
    for name, value in (
        ("on_gpu", lambda: True),
        ("LARGE", layer.weight.size + 1),
        ("times_vector", lambda: None),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(products, name, value)
            assert not is_ours(theirs, layer, 8, 1, 700)
    layer.weight = layer.weight.astype(mx.float16)
    assert not is_ours(theirs, layer, 8, 1, 700, dtype=mx.float16)


def test_rows_and_weights_may_lie_in_any_order():
    """A view of a larger array, turned, or with steps in it."""
    layer = nn.Linear(700, 400)
    grid = mx.random.normal((1400, 8))
    for x in (grid[:700].T, grid.T[:, ::2], mx.broadcast_to(grid[:700, 0], (3, 700))):
        assert np.array(linear(layer, x)) == pytest.approx(expected(layer, x), abs=1e-4)
    for weight in (normal(700, 400).T, normal(800, 700)[::2]):
        layer.weight = weight
        for x in (grid[:700].T, grid[:700, :1].T):
            assert np.array(linear(layer, x)) == pytest.approx(expected(layer, x), abs=1e-4)


def test_rows_that_do_not_fit_are_refused():
    """And nothing beside them is read."""
    layer, embedding = Linear(700, 400), nn.Embedding(400, 700)
    for width in (300, 701):
        x = mx.ones((1, width))
        for product in (layer, lambda x: linear(layer, x), lambda x: as_linear(embedding, x)):
            with pytest.raises(ValueError, match="shape"):
                mx.eval(product(x))


def test_nan_and_infinity_stay_where_they_are():
    layer = nn.Linear(700, 400)
    x = np.ones((3, 700), np.float32)
    x[0, 5], x[1, 5] = np.nan, np.inf
    found = np.array(linear(layer, mx.array(x)))
    assert np.isnan(found[0]).all()
    assert not np.isfinite(found[1]).any()
    assert np.isfinite(found[2]).all()


def test_another_kind_of_layer_is_heeded():
    x = mx.random.normal((8, 1024))
    layer = nn.Linear(1024, 512).to_quantized()
    assert np.array_equal(np.array(linear(layer, x)), np.array(layer(x)))


def test_a_layer_and_an_embedding_of_ours_say_the_same(theirs, monkeypatch):
    layer, embedding = Linear(700, 400), nn.Embedding(400, 700)
    monkeypatch.setattr(
        nn.Embedding, "as_linear", lambda self, x: (theirs.append(x.shape), x @ self.weight.T)[1]
    )
    for rows in (1, 8, 9):
        theirs.clear()
        x = mx.random.normal((rows, 1, 700))
        assert np.array(layer(x)) == pytest.approx(expected(layer, x), abs=1e-4)
        assert np.array(as_linear(embedding, x)) == pytest.approx(expected(embedding, x), abs=1e-3)
        assert len(theirs) == (2 if rows > 8 else 0)


@pytest.mark.parametrize("family", ["qwen3", "whisper"])
def test_a_model_of_large_matrices_decodes_the_same(family, tiny, demo, tmp_path, monkeypatch):
    """And no token is computed ahead, which perhaps nobody wants."""
    model, samples = tiny, demo.utterances[2].read()[: 3 * 16_000]
    if family == "whisper":
        model = SpeechModel.load(whisper_checkpoints.mlx_folder(tmp_path / "small"))
    multiply, heights, streamed = times_vector(), [], []

    def noted(*of):
        heights.append(of[2])
        multiply(*of)

    monkeypatch.setattr(products, "times_vector", lambda: noted)

    def said():
        found = model.open_source([(1, 1), (1, 0)]).hypothesis(samples, 0, [], "English")
        streamed.append(heights.count(max(heights, default=0)))
        heights.clear()
        (answer,) = model.generate([model.prefill(samples, "English")])
        return found.token_ids, found.frames.tolist(), answer.text_ids

    monkeypatch.setattr(products, "LARGE", 1 << 40)
    assert not model.is_waited_for(10)
    by_layers = said()
    assert not heights
    monkeypatch.setattr(products, "LARGE", 1)
    assert model.is_waited_for(10)
    assert said() == by_layers
    assert heights
    if family == "qwen3":  # whose text holds all tokens that it says, and the end is another one
        assert len(by_layers[2]) > 2
        assert streamed == [0, len(by_layers[0]) + 1]
        assert heights.count(max(heights)) == len(by_layers[2]) + 1


@pytest.mark.parametrize("bias", [False, True])
def test_rows_of_numpy_go_through_any_layer(bias, small_kernels):
    """Large or small, in float32 or not, in any order, with any number of rows."""
    layers = [nn.Linear(700, 400, bias=bias), nn.Linear(40, 30, bias=bias)]
    layers.append(nn.Linear(700, 400, bias=bias))
    layers[-1].weight = normal(700, 400).T
    layers.append(nn.Linear(700, 400, bias=bias))
    layers[-1].weight = layers[-1].weight.astype(mx.float16)
    quantized = nn.Linear(1024, 512, bias=bias).to_quantized()
    for layer in (*layers, quantized):
        width = 1024 if layer is quantized else layer.weight.shape[1]
        for count in (1, 2, 8, 40):
            rows = np.random.default_rng(count).normal(size=(width, count)).astype(np.float32).T
            (found,) = linear_of_rows((layer,), rows)
            wanted = np.array(layer(mx.array(rows)).astype(mx.float32))
            assert found.dtype == np.float32
            assert found == pytest.approx(wanted, abs=2e-2 if layer is layers[3] else 1e-4)


def test_rows_of_numpy_are_taken_by_blocks_of_any_size(small_kernels, monkeypatch):
    layer = nn.Linear(700, 400)
    rows = np.random.default_rng(0).normal(size=(5, 700)).astype(np.float32)
    rows[3, 7] = np.nan
    for block in (1, 700 * 37, 1 << 30):
        monkeypatch.setattr(products, "_SMALL_BLOCK", block)
        (found,) = linear_of_rows((layer,), rows)
        wanted = expected(layer, mx.array(rows))
        assert found == pytest.approx(wanted, abs=1e-4, nan_ok=True)
        assert np.isnan(found).any(axis=1).tolist() == [False, False, False, True, False]


def test_rows_of_numpy_that_do_not_fit_are_refused():
    for layer in (nn.Linear(700, 400), nn.Linear(40, 30)):
        with pytest.raises(ValueError, match="shape"):
            linear_of_rows((layer,), np.ones((3, layer.weight.shape[1] + 1), np.float32))


def test_several_layers_of_one_width_take_the_same_rows(small_kernels):
    layers = [nn.Linear(700, 400), nn.Linear(700, 37, bias=False), nn.Linear(700, 1200)]
    rows = np.random.default_rng(0).normal(size=(5, 700)).astype(np.float32)
    half = nn.Linear(700, 64)
    half.weight = half.weight.astype(mx.float16)
    for some in (layers, [*layers, half]):
        for layer, found in zip(some, linear_of_rows(some, rows), strict=True):
            wanted = np.array(layer(mx.array(rows)).astype(mx.float32))
            assert found == pytest.approx(wanted, abs=2e-2 if layer is half else 1e-4)
