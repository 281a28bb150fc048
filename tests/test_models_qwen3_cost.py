"""What a model costs, against a count of our own over the shapes of its weights."""

import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_qwen3_asr.decoder import KVCache

from alignheads.runtime.models.backend import mx
from alignheads.runtime.models.qwen3.text_decoder import decode


@pytest.fixture(scope="module")
def shapes(tiny):
    """{name: shape} of all weights."""
    return {name: array.shape for name, array in tree_flatten(tiny.engine.parameters())}


def numbers(shapes, *, within, ends=".weight"):
    """In all matrices of a part of the model."""
    return sum(
        int(np.prod(shape))
        for name, shape in shapes.items()
        if name.startswith(within) and name.endswith(ends) and len(shape) > 1
    )


def test_a_position_costs_two_operations_for_each_weight_of_the_decoders_layers(tiny, shapes):
    dense = numbers(shapes, within="model.layers.")
    per_layer = 7  # queries, keys, values, output; gate, up, down
    names = [n for n, s in shapes.items() if n.startswith("model.layers.") and len(s) == 2]
    assert len(names) == per_layer * tiny.num_layers
    assert tiny.cost().decoder_flop_per_position == 2 * dense


def test_a_predicted_token_costs_the_vocabulary_once(tiny, shapes):
    (rows, width) = shapes["model.embed_tokens.weight"]
    assert tiny.cost().vocabulary_flop_per_row == 2 * rows * width


def test_a_pair_costs_a_product_of_its_query_and_key_and_one_with_its_value(tiny, shapes):
    queries, _ = shapes["model.layers.0.self_attn.q_proj.weight"]
    assert tiny.cost().decoder_flop_per_pair == tiny.num_layers * 2 * (queries + queries)


def test_a_frame_costs_the_convolutions_of_its_second_and_the_encoders_layers(tiny, shapes):
    # Outputs of the convolutions for 100 mel frames of 128 bands, halved each time.
    outputs = {"conv2d1": 64 * 50, "conv2d2": 32 * 25, "conv2d3": 16 * 13}
    convolutions = sum(
        count * numbers(shapes, within=f"audio_tower.{name}") for name, count in outputs.items()
    )
    dense = sum(
        numbers(shapes, within=f"audio_tower.{part}")
        for part in ("conv_out", "layers.", "proj1", "proj2")
    )
    assert tiny.cost().encoder_flop_per_frame == pytest.approx(2 * (convolutions / 13 + dense))


def test_a_pair_of_frames_costs_two_products_in_each_layer_of_the_encoder(tiny, shapes):
    width, _ = shapes["audio_tower.layers.0.self_attn.q_proj.weight"]
    layers = len({name.split(".")[2] for name in shapes if name.startswith("audio_tower.layers.")})
    assert tiny.cost().encoder_flop_per_pair == layers * 2 * (width + width)


def test_a_position_takes_the_memory_that_its_keys_and_values_have(tiny):
    cache = KVCache(tiny.num_layers)
    decode(tiny.engine.model, mx.zeros((1, 10, 128), tiny.engine_dtype), cache)
    held = sum(a[:, :, :10].nbytes for a in [*cache.keys, *cache.values])
    assert tiny.cost().cache_bytes_per_position * 10 == held
