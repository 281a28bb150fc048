"""The layouts that Qwen3-ASR checkpoints are saved in, made one: the engine's.

- The original: `thinker.` before the names, config.json with a `thinker_config`.
- A thinker alone: the same without either.
- transformers 5: a flat config with `rope_parameters`, the names `model.audio_tower.`,
  `model.language_model.` and `model.multi_modal_projector.`.
- MLX conversions: the names of a thinker, convolutions with the channels last.

Any of them may have names that PEFT has put a `base_model.model.` before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ....errors import InputError

_PARTS = ("audio_config", "text_config")
_WRAPPERS = ("base_model.model.", "module.", "_orig_mod.", "thinker.")
_NAMES = (
    (r"^model\.audio_tower\.", "audio_tower."),
    (r"^model\.language_model\.", "model."),
    (r"^model\.multi_modal_projector\.linear_1\.", "audio_tower.proj1."),
    (r"^model\.multi_modal_projector\.linear_2\.", "audio_tower.proj2."),
    # A layer that PEFT trained whole, or has put a matrix of its own around.
    (r"\.modules_to_save(\.default)?\.", "."),
    (r"\.(original_module|base_layer)\.", "."),
)
_NOT_NEEDED = re.compile(r"rotary_emb\.inv_freq$|positional_embedding")
_KERNEL = 3


def thinker_of(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The part of a config.json that describes both halves of a recogniser; None: it has none."""
    for part in (config.get("thinker_config"), config):
        if isinstance(part, dict) and all(isinstance(part.get(name), dict) for name in _PARTS):
            return part
    return None


def is_native(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is one of transformers 5."""
    text = (thinker_of(config) or {}).get("text_config", {})
    return "thinker_config" not in config and "rope_parameters" in text


def engine_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config.json of any layout as the engine reads it.

    Raises:
        InputError: it asks for a rotary embedding that is not computed here.
    """
    thinker = thinker_of(config)
    assert thinker is not None
    text = dict(thinker["text_config"])
    scaling = text.get("rope_parameters") or text.get("rope_scaling") or {}
    if not isinstance(scaling, dict):
        scaling = {}
    kind = scaling.get("rope_type") or scaling.get("type") or "default"
    if kind not in ("default", "mrope"):
        raise InputError(
            f"its config.json asks for a rotary embedding of the type {kind!r}; expected 'default'"
        )
    theta = scaling.get("rope_theta", text.get("rope_theta"))
    if theta is not None:
        text["rope_theta"] = theta
    half = int(text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"]) // 2
    text["head_dim"] = text.get("head_dim") or 2 * half
    # Positions of audio and text are the same in all three directions, so that any sections do.
    text["rope_scaling"] = {"mrope_section": scaling.get("mrope_section") or [half, 0, 0]}
    # transformers 5 says it of the model; the same key of its text_config is not looked at.
    tied = [config, thinker] if is_native(config) else [thinker["text_config"], thinker]
    text["tie_word_embeddings"] = next(
        (part["tie_word_embeddings"] for part in tied if "tie_word_embeddings" in part), None
    )
    audio = dict(thinker["audio_config"])
    return {
        "thinker_config": {**thinker, "audio_config": audio, "text_config": text},
        "support_languages": config.get("support_languages") or thinker.get("support_languages"),
    }


def engine_name(name: str) -> str:
    """The engine's name of a tensor."""
    stripped = True
    while stripped:
        stripped = False
        for wrapper in _WRAPPERS:
            if name.startswith(wrapper):
                name, stripped = name.removeprefix(wrapper), True
    for pattern, ours in _NAMES:
        name = re.sub(pattern, ours, name)
    return name


def engine_tensors(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors of any layout by the engine's names, convolutions with the channels last.

    Raises:
        InputError: two tensors have one name there.
    """
    found: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, array in tensors.items():
        ours = engine_name(name)
        if _NOT_NEEDED.search(ours):
            continue
        if ours in found:
            both = sorted((name, sources[ours]), key=len)
            # A layer that was trained whole is saved beside what it was before.
            newer = next((n for n in both if "modules_to_save" in n), None)
            if newer is None:
                raise InputError(f"the weights have {ours} twice: as {both[0]} and as {both[1]}")
            if newer != name:
                continue
        # [out, in, height, width] of PyTorch, [out, height, width, in] of MLX.
        is_kernel = ".conv2d" in ours and ours.endswith(".weight") and array.ndim == 4
        if is_kernel and tuple(array.shape[1:3]) != (_KERNEL, _KERNEL):
            array = array.transpose(0, 2, 3, 1)
        found[ours], sources[ours] = array, name
    return found
