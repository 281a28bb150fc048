"""LoRA adapters (Hu et al. 2021; PEFT's folders), merged into the weights when these are loaded.

An adapter holds two thin matrices for each layer that it changes; merged, W + scale * B A takes
the place of W, and nothing is slower.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....errors import InputError
from ..backend import mx
from ..files import read_json
from ..tensors import read_tensors
from ..weight_files import WeightFiles, some
from .layout import engine_name

EMBEDDING, OUTPUT = "model.embed_tokens", "lm_head"
_WEIGHTS = "adapter_model.safetensors"
_PART = re.compile(r"\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector)\b")
_UNKNOWN = (
    "alora_invocation_tokens", "arrow_config", "kasa_config", "layer_replication", "lora_bias",
    "monteclora_config", "target_parameters", "trainable_token_indices", "use_bdlora",
    "use_qalora", "velora_config",
)  # fmt: skip
# Training that starts so changes the base, too, and the adapter fits that base alone.
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga", "mica")


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter.

    Attributes:
        folder: where it was read.
        config: adapter_config.json.
        parts: {module of the engine: {"A": …, "B": …, and with DoRA "magnitude"}}.
        modules: {module of the engine: PEFT's name of it}.
        whole: tensors that take the place of the model's, by the engine's names.
    """

    folder: Path
    config: Mapping[str, Any]
    parts: dict[str, dict[str, mx.array]]
    modules: dict[str, str]
    whole: dict[str, mx.array]

    @property
    def parts_output(self) -> bool:
        """Whether it changes the embedding or the output layer, and not both as one."""
        return bool({EMBEDDING, OUTPUT} & set(self.parts)) or f"{OUTPUT}.weight" in self.whole


def read_adapter(folder: Path) -> Adapter:
    """The adapter in a folder.

    Raises:
        InputError: a file is missing or damaged, or it is an adapter of another kind.
    """
    config = read_json(folder / "adapter_config.json")
    kind = config.get("peft_type")
    if kind != "LORA":
        raise InputError(f"{folder} holds an adapter of the type {kind}; expected LORA")
    unknown = [name for name in _UNKNOWN if config.get(name)]
    if unknown:
        raise InputError(f"the adapter in {folder} uses {unknown[0]}, which is not known here")
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.startswith(_CHANGES_BASE):
        raise InputError(
            f"the adapter in {folder} was trained on a base that init_lora_weights = {start!r} "
            "had changed; merge it where it was trained, or save it as plain LoRA"
        )
    if not (folder / _WEIGHTS).is_file():
        raise InputError(f"{folder} lacks {_WEIGHTS}, the weights of the adapter")
    parts: dict[str, dict[str, mx.array]] = {}
    modules: dict[str, str] = {}
    whole: dict[str, mx.array] = {}
    for name, array in read_tensors(WeightFiles((folder / _WEIGHTS,))).items():
        match = _PART.search(name)
        if match is None:
            whole[engine_name(name)] = array
            continue
        module = name[: match.start()].removeprefix("base_model.model.")
        path = engine_name(f"{module}.weight").removesuffix(".weight")
        modules[path] = module
        key = {"A": "A", "B": "B"}.get(match[1][-1], "magnitude")
        parts.setdefault(path, {})[key] = array.T if "embedding" in match[1] else array
    return Adapter(folder, config, parts, modules, whole)


def merged(
    tensors: Mapping[str, mx.array], adapter: Adapter, *, is_tied: bool
) -> dict[str, mx.array]:
    """The tensors of a model with an adapter in them.

    Args:
        tensors: by the engine's names, and not quantised.
        adapter: what to change.
        is_tied: the output layer is the embedding. LoRA of one of them leaves the other as it is.

    Raises:
        InputError: it was made for another model.
    """
    found = dict(tensors)
    lost = [name for name in adapter.whole if name not in found and name != f"{OUTPUT}.weight"]
    lost += [path for path in adapter.parts if f"{path}.weight" not in found]
    if lost:
        raise InputError(
            f"the adapter in {adapter.folder} changes {some(lost)}, which the model does not "
            "have: it was made for another one"
        )
    for name, array in adapter.whole.items():
        before = found.get(name)
        if before is not None and before.shape != array.shape:
            raise _does_not_fit(adapter, name, tuple(array.shape), tuple(before.shape))
        found[name] = array
    if is_tied and f"{OUTPUT}.weight" not in adapter.whole:
        found[f"{OUTPUT}.weight"] = found[f"{EMBEDDING}.weight"]
    for path, part in adapter.parts.items():
        name = f"{path}.weight"
        found[name] = _changed(found[name], path, part, adapter)
    return found


def _changed(
    weight: mx.array, path: str, part: Mapping[str, mx.array], adapter: Adapter
) -> mx.array:
    if "A" not in part or "B" not in part:
        raise InputError(f"the adapter in {adapter.folder} has half of the change of {path}")
    # rows * rank, rank * columns, in the order that multiplies to the weight's shape
    left, right = part["B"].astype(mx.float32), part["A"].astype(mx.float32)
    if path == EMBEDDING:
        left, right = right, left
    shape = (left.shape[0], right.shape[1]) if left.ndim == right.ndim == 2 else ()
    if shape != weight.shape or left.shape[1] != right.shape[0]:
        raise _does_not_fit(adapter, f"{path}.weight", shape, tuple(weight.shape))
    rank = left.shape[1]
    whole = weight.astype(mx.float32) + _scale(adapter.modules[path], rank, adapter.config) * (
        left @ right
    )
    if "magnitude" in part and path == EMBEDDING:
        raise InputError(f"the adapter in {adapter.folder} has DoRA of {path}, not known here")
    if "magnitude" in part:
        # DoRA (Liu et al. 2024): directions from the sum, lengths of the rows learnt apart.
        whole = whole * (part["magnitude"].reshape(-1, 1) / mx.linalg.norm(whole, axis=1)[:, None])
    return whole.astype(weight.dtype)


def _scale(module: str, rank: int, config: Mapping[str, Any]) -> float:
    alpha = config.get("lora_alpha") or rank
    for pattern, own in (config.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):  # as PEFT reads it
            alpha = own
            break
    return alpha / (rank**0.5 if config.get("use_rslora") else rank)


def _does_not_fit(
    adapter: Adapter, name: str, shape: tuple[int, ...], expected: tuple[int, ...]
) -> InputError:
    return InputError(
        f"the adapter in {adapter.folder} has a change of shape {shape} for {name}, expected "
        f"{expected}: it was made for another model"
    )
