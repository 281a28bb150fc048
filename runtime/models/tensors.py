"""The tensors of a checkpoint, and what MLX's quantisation has made of them.

A quantised matrix is three tensors, or two: `.weight`, packed into 32-bit numbers; `.scales`, one
for each group of columns; and `.biases`, which the mode "affine" alone has. Their shapes and the
width of the matrix give group size and bits, so that mixed quantisations need no list of what is
mixed. On a CPU a quantised product takes 20 to 60 times as long as one of float32: there they are
unpacked when they are read.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, TypedDict

import mlx.nn as nn
from mlx.utils import tree_flatten

from ...errors import InputError
from .backend import mx
from .weight_files import INDEX, WeightFiles, tensor_shapes

_log = logging.getLogger(__name__)

_WORD_BITS = 32
_BITS = (2, 3, 4, 5, 6, 8)
_GROUPS = (16, 32, 64, 128)
# (group size, bits): the modes of small floats, which differ in nothing else that is stored.
_FLOAT_MODES = {(32, 4): "mxfp4", (32, 8): "mxfp8", (16, 4): "nvfp4"}


class Packing(TypedDict):
    """How a matrix is quantised, as MLX's functions take it."""

    group_size: int
    bits: int
    mode: str


def read_tensors(files: WeightFiles) -> dict[str, mx.array]:
    """All tensors by the names that they were saved with.

    Raises:
        InputError: a file ends early, is of another kind, or lacks what the index says it has.
    """
    found: dict[str, mx.array] = {}
    for path in files.paths:
        if path.suffix == ".safetensors":
            tensor_shapes(path)
        try:
            loaded = mx.load(str(path))
        except (RuntimeError, ValueError, OSError) as error:
            raise InputError(
                f"cannot read {path}: {str(error).splitlines()[0][:200]}; fetch it again"
            ) from error
        assert isinstance(loaded, dict)
        if files.places is not None:
            for name, place in files.places.items():
                if place == path.name and name not in loaded:
                    raise InputError(
                        f"{INDEX} says that {name} is in {path.name}, which lacks it: they are "
                        "of different saves; fetch both again"
                    )
            loaded = {n: array for n, array in loaded.items() if files.places.get(n) == path.name}
        found.update(loaded)
    return found


def shapes_of(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """{name: shape} of a network's parameters."""
    parameters: list[tuple[str, mx.array]] = list(tree_flatten(network.parameters()))  # type: ignore[arg-type]
    return {name: tuple(array.shape) for name, array in parameters}


def packings(
    tensors: Mapping[str, mx.array],
    config: Mapping[str, Any],
    wanted: Mapping[str, tuple[int, ...]] | None = None,
) -> dict[str, Packing]:
    """How each quantised matrix among `tensors` is packed, by the path of its module.

    Args:
        tensors: by the network's names.
        config: config.json, whose `quantization` is believed where `wanted` does not say.
        wanted: {name: shape} of the network that is not quantised.

    Raises:
        InputError: a matrix that MLX cannot have packed so.
    """
    paths = [name.removesuffix(".scales") for name in tensors if name.endswith(".scales")]
    return {path: _packing(path, tensors, config, wanted or {}) for path in paths}


def _packing(
    path: str,
    tensors: Mapping[str, mx.array],
    config: Mapping[str, Any],
    wanted: Mapping[str, tuple[int, ...]],
) -> Packing:
    packed, scales = tensors.get(f"{path}.weight"), tensors[f"{path}.scales"]
    if packed is None or packed.dtype != mx.uint32 or packed.ndim != scales.ndim:
        raise InputError(f"{path}.scales has no packed {path}.weight beside it")
    groups, words = scales.shape[-1], packed.shape[-1]
    shape = wanted.get(f"{path}.weight")
    stated = _stated(path, config)
    columns = shape[-1] if shape else groups * int(stated.get("group_size") or 64)
    group_size, bits = columns // max(groups, 1), words * _WORD_BITS // max(columns, 1)
    is_float = f"{path}.biases" not in tensors
    mode = _FLOAT_MODES.get((group_size, bits)) if is_float else "affine"
    fits = group_size * groups == columns and bits * columns == words * _WORD_BITS
    if not fits or mode is None or bits not in _BITS or group_size not in _GROUPS:
        raise InputError(
            f"{path}.weight {tuple(packed.shape)} with scales {tuple(scales.shape)} is no "
            f"quantisation that MLX knows of a matrix with {columns} columns"
        )
    return Packing(group_size=group_size, bits=bits, mode=mode)


def _stated(path: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """What config.json says of a module: an entry of its own, or that of all."""
    given = config.get("quantization") or config.get("quantization_config") or {}
    own = given.get(path)
    return {**given, **own} if isinstance(own, dict) else given


def unpacked(tensors: Mapping[str, mx.array], packed: Mapping[str, Packing]) -> dict[str, mx.array]:
    """The tensors with each quantised matrix as the numbers that it stands for."""
    whole = {}
    for name, array in tensors.items():
        path, _, kind = name.rpartition(".")
        if path in packed:
            if kind in ("scales", "biases"):
                continue
            if kind == "weight":
                scales, biases = tensors[f"{path}.scales"], tensors.get(f"{path}.biases")
                if packed[path]["mode"] == "affine":
                    # In half precision the numbers would be rounded a second time.
                    scales = scales.astype(mx.float32)
                    biases = None if biases is None else biases.astype(mx.float32)
                array = mx.dequantize(array, scales, biases, **packed[path])
        whole[name] = array
    return whole


def say_unpacked(packed: Mapping[str, Packing], dtype: mx.Dtype) -> None:
    """Say that a quantised checkpoint is no smaller and no faster here."""
    bits = sorted({packing["bits"] for packing in packed.values()})
    name = str(dtype).removeprefix("mlx.core.")
    _log.info(
        f"quantised weights ({', '.join(map(str, bits))} bits) are unpacked to {name}: a CPU is "
        "20 to 60 times slower with packed ones"
    )


def pack_modules(network: nn.Module, packed: Mapping[str, Packing]) -> None:
    """Make the modules of a network those that take quantised matrices, each as it is packed."""

    def how(path: str, _: nn.Module) -> dict | bool:
        return {**packed[path]} if path in packed else False

    if packed:
        nn.quantize(network, class_predicate=how)
