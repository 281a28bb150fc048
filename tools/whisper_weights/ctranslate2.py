"""CTranslate2's file format, version 6, and the names that it gives Whisper's tensors.

Little-endian: u32 version; spec; u32 revision; u32 count; for each variable its name, u8 rank,
u32 dims, u8 type, u32 bytes, data; then u32 aliases, each an alias and what it stands for. A string
is a u16 length, with the final zero, and its bytes.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

_VERSION = 6
_TYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = memoryview(data), 0

    def number(self, kind: str) -> int:
        (value,) = struct.unpack_from(f"<{kind}", self._data, self._at)
        self._at += struct.calcsize(f"<{kind}")
        return value

    def take(self, count: int) -> memoryview:
        part = self._data[self._at : self._at + count]
        self._at += count
        return part

    def text(self) -> str:
        return bytes(self.take(self.number("H"))).rstrip(b"\0").decode()


def read_variables(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a `model.bin`, by CTranslate2's own names, aliases among them."""
    reader = _Reader(path.read_bytes())
    version, spec = reader.number("I"), reader.text()
    if version != _VERSION or spec != "WhisperSpec":
        raise SystemExit(f"{path} is {spec} of version {version}; expected WhisperSpec, {_VERSION}")
    reader.number("I")  # the revision of the spec
    found = {}
    for _ in range(reader.number("I")):
        name, rank = reader.text(), reader.number("B")
        shape = [reader.number("I") for _ in range(rank)]
        kind = _TYPES[reader.number("B")]
        found[name] = np.frombuffer(reader.take(reader.number("I")), kind).reshape(shape)
    for _ in range(reader.number("I")):
        alias, target = reader.text(), reader.text()
        found[alias] = found[target]
    return found


def as_mlx_whisper(variables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors by the names that mlx-whisper gives them, convolutions [out, kernel, in]."""
    named: dict[str, np.ndarray] = {}
    for side in ("encoder", "decoder"):
        layer = 0
        while f"{side}/layer_{layer}/ffn/linear_0/weight" in variables:
            _add_layer(variables, f"{side}/layer_{layer}", f"{side}.blocks.{layer}", named)
            layer += 1
    for name in ("conv1", "conv2"):
        named[f"encoder.{name}.weight"] = variables[f"encoder/{name}/weight"].transpose(0, 2, 1)
        named[f"encoder.{name}.bias"] = variables[f"encoder/{name}/bias"]
    _add_norm(variables, "encoder/layer_norm", "encoder.ln_post", named)
    _add_norm(variables, "decoder/layer_norm", "decoder.ln", named)
    named["decoder.token_embedding.weight"] = variables["decoder/embeddings/weight"]
    named["decoder.positional_embedding"] = variables["decoder/position_encodings/encodings"]
    return named


def _add_layer(
    variables: dict[str, np.ndarray], old: str, new: str, named: dict[str, np.ndarray]
) -> None:
    _add_norm(variables, f"{old}/self_attention/layer_norm", f"{new}.attn_ln", named)
    _split(variables, f"{old}/self_attention/linear_0", [f"{new}.attn.{n}" for n in _QKV], named)
    _split(variables, f"{old}/self_attention/linear_1", [f"{new}.attn.out"], named)
    if f"{old}/attention/linear_0/weight" in variables:
        _add_norm(variables, f"{old}/attention/layer_norm", f"{new}.cross_attn_ln", named)
        for index, names in enumerate((("query",), ("key", "value"), ("out",))):
            targets = [f"{new}.cross_attn.{name}" for name in names]
            _split(variables, f"{old}/attention/linear_{index}", targets, named)
    _add_norm(variables, f"{old}/ffn/layer_norm", f"{new}.mlp_ln", named)
    _split(variables, f"{old}/ffn/linear_0", [f"{new}.mlp1"], named)
    _split(variables, f"{old}/ffn/linear_1", [f"{new}.mlp2"], named)


_QKV = ("query", "key", "value")


def _split(
    variables: dict[str, np.ndarray], old: str, names: list[str], named: dict[str, np.ndarray]
) -> None:
    """A linear layer, which CTranslate2 fuses by rows of several."""
    for part in ("weight", "bias"):
        pieces = np.split(variables[f"{old}/{part}"], len(names))
        for name, piece in zip(names, pieces, strict=True):
            if not (part == "bias" and name.endswith(".key")):  # Whisper's keys have no bias
                named[f"{name}.{part}"] = piece


def _add_norm(
    variables: dict[str, np.ndarray], old: str, new: str, named: dict[str, np.ndarray]
) -> None:
    named[f"{new}.weight"] = variables[f"{old}/gamma"]
    named[f"{new}.bias"] = variables[f"{old}/beta"]
