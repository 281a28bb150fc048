"""The weights of a Qwen3-ASR checkpoint of any layout, put into the engine's model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlx.nn as nn
from mlx_qwen3_asr.config import Qwen3ASRConfig
from mlx_qwen3_asr.model import Qwen3ASRModel

from ....errors import InputError
from ..backend import mx, on_gpu
from ..files import read_config
from ..tensors import (
    Packing,
    pack_modules,
    packings,
    read_tensors,
    say_unpacked,
    shapes_of,
    unpacked,
)
from ..weight_files import find_weights
from .adapter import EMBEDDING, OUTPUT, merged, read_adapter
from .faults import Faults
from .layout import engine_config, engine_tensors


def load_engine(folder: Path, dtype: mx.Dtype, adapters: Sequence[Path] = ()) -> Qwen3ASRModel:
    """The engine's model with the weights in `folder`, and `adapters` merged into them.

    Quantised weights are unpacked on a CPU, and where an adapter changes them.

    Raises:
        InputError: a file is damaged, or it is not a recogniser whose layout is known.
    """
    files = find_weights(folder)
    config = engine_config(read_config(folder))
    tensors = engine_tensors(read_tensors(files))
    network = _network(config, tensors, folder)
    changes = [read_adapter(path) for path in adapters]
    packed = packings(tensors, read_config(folder), shapes_of(network))
    if packed and (changes or not on_gpu()):
        tensors = unpacked(tensors, packed)
        say_unpacked(packed, dtype)
        packed = {}
    is_tied = _tie(network, tensors, packed)
    for adapter in changes:
        tensors = merged(tensors, adapter, is_tied=is_tied)
        is_tied = is_tied and not adapter.parts_output
    pack_modules(network, packed)
    Faults(shapes_of(network), tensors, folder).check()
    network.load_weights(list(tensors.items()))
    network.set_dtype(dtype)
    if is_tied:
        # The cast makes two arrays of what was one.
        network.lm_head.update(network.model.embed_tokens.parameters())
    _as_configured(network)
    mx.eval(network.parameters())
    network.eval()
    return network


def _network(
    config: Mapping[str, Any], tensors: Mapping[str, mx.array], folder: Path
) -> Qwen3ASRModel:
    """The engine's model of a configuration, without weights of its own."""
    try:
        settings = Qwen3ASRConfig.from_dict(dict(config))
        _check_sizes(settings)
        return Qwen3ASRModel(settings)
    except (TypeError, ValueError, ArithmeticError, AssertionError, RuntimeError) as error:
        raise InputError(
            f"{folder / 'config.json'} describes no model that can be built: "
            f"{str(error).splitlines()[0][:200] if str(error) else type(error).__name__}"
        ) from error


def _check_sizes(config: Qwen3ASRConfig) -> None:
    """Make sure that sizes are sizes before memory is asked for."""
    text, audio = config.text_config, config.audio_config
    for part, names in (
        (text, ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
                "num_attention_heads", "num_key_value_heads", "head_dim")),
        (audio, ("num_mel_bins", "encoder_layers", "encoder_attention_heads", "encoder_ffn_dim",
                 "d_model", "output_dim", "n_window", "downsample_hidden_size")),
    ):  # fmt: skip
        for name in names:
            value = getattr(part, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}, expected a whole number above 0")
    if text.num_attention_heads % text.num_key_value_heads:
        raise ValueError(
            f"num_key_value_heads is {text.num_key_value_heads}, expected a divisor of "
            f"num_attention_heads = {text.num_attention_heads}"
        )
    if text.head_dim % 2 or audio.d_model % audio.encoder_attention_heads:
        raise ValueError("the width of a head is no whole number, or odd")
    if not math.isfinite(text.rms_norm_eps) or not text.rope_theta > 0:
        raise ValueError("rms_norm_eps or rope_theta is no number above 0")


def _tie(network: Qwen3ASRModel, tensors: dict[str, mx.array], packed: dict[str, Packing]) -> bool:
    """Give the output layer the embedding's tensors where the checkpoint means it so.

    Where its config.json does not say, a checkpoint that lacks the output layer does.
    """
    stated = network.config.text_config.tie_word_embeddings
    is_tied = f"{OUTPUT}.weight" not in tensors if stated is None else stated
    if not is_tied or f"{EMBEDDING}.weight" not in tensors:
        return False
    for kind in ("weight", "scales", "biases"):
        tensors.pop(f"{OUTPUT}.{kind}", None)
        if f"{EMBEDDING}.{kind}" in tensors:
            tensors[f"{OUTPUT}.{kind}"] = tensors[f"{EMBEDDING}.{kind}"]
    packed.pop(OUTPUT, None)
    if EMBEDDING in packed:
        packed[OUTPUT] = packed[EMBEDDING]
    return True


def _as_configured(network: Qwen3ASRModel) -> None:
    """The engine leaves the norms of queries and keys at a default that no checkpoint has."""
    eps = float(network.config.text_config.rms_norm_eps)
    for layer in network.model.layers:
        norms: tuple[nn.RMSNorm, nn.RMSNorm] = layer.self_attn.q_norm, layer.self_attn.k_norm
        for norm in norms:
            norm.eps = eps
