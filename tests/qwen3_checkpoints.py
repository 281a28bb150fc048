"""The tiny checkpoint in every layout that people have, as the tools that make them save it.

What those tools save is in qwen3_reference/*.json (tools/qwen3_reference made them): the files, the
configs, and a digest of the names, types and shapes of the tensors. Here the same is made without
the tools; a test compares the digests.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from functools import cache
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from alignheads.runtime.models.checkpoint import TINY_FOLDER

REFERENCE = Path(__file__).parent / "qwen3_reference"
TOKENIZER = ("vocab.json", "merges.txt", "tokenizer_config.json")
SHARD_BYTES = 600_000
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
BASE = "native"


@cache
def references():
    """{layout: what the tool that makes it has saved}."""
    names = ("original", "native", "mlx")
    read = [json.loads((REFERENCE / f"{name}.json").read_text())["layouts"] for name in names]
    return {name: layout for each in read for name, layout in each.items()}


LAYOUTS = tuple(references())
ADAPTERS = tuple(name for name in LAYOUTS if "LoRA" in name or "DoRA" in name)
QUANTISED = tuple(name for name in LAYOUTS if name.startswith("MLX "))
WHOLE = tuple(name for name in LAYOUTS if name not in (*ADAPTERS, *QUANTISED))


@cache
def speech():
    """41 s of the demo's speech, as tools/qwen3_reference has it."""
    import soundfile

    folder = TINY_FOLDER.parents[2] / "corpora" / "demo" / "test"
    parts = [soundfile.read(path, dtype="float32")[0] for path in sorted(folder.rglob("*.flac"))]
    return np.concatenate(parts)[:656_000]


@cache
def tensors():
    """The tiny checkpoint by the engine's names, float32, convolutions with the channels last."""
    found = load_file(TINY_FOLDER / WEIGHTS)
    return {name: array.astype(np.float32) for name, array in found.items()}


def torch_order(name, array):
    """A convolution as PyTorch has it."""
    is_kernel = "conv2d" in name and array.ndim == 4
    return np.ascontiguousarray(array.transpose(0, 3, 1, 2)) if is_kernel else array


def native_name(name):
    for ours, theirs in (
        ("audio_tower.proj1.", "model.multi_modal_projector.linear_1."),
        ("audio_tower.proj2.", "model.multi_modal_projector.linear_2."),
        ("audio_tower.", "model.audio_tower."),
        ("model.", "model.language_model."),
    ):
        if name.startswith(ours):
            return name.replace(ours, theirs, 1)
    return name


def original_tensors(prefix="thinker.", output=False):
    named = {prefix + name: torch_order(name, array) for name, array in tensors().items()}
    if output:
        named[f"{prefix}lm_head.weight"] = tensors()["model.embed_tokens.weight"].copy()
    return named


def native_tensors():
    return {native_name(name): torch_order(name, array) for name, array in tensors().items()}


def quantised_tensors(quantization):
    """As mlx-audio saves them: the decoder's matrices packed, the audio tower whole."""
    import mlx.core as mx

    import alignheads.runtime.models  # noqa: F401, the BLAS comes before MLX

    found = {}
    for name, array in tensors().items():
        array = mx.array(array.astype(np.float16))
        path = name.removesuffix(".weight")
        is_matrix = name.endswith(".weight") and array.ndim == 2
        if not is_matrix or path.startswith("audio_tower"):
            found[name] = array
            continue
        how = {**quantization, **quantization.get(path, {})}
        how = {key: how[key] for key in ("group_size", "bits", "mode")}
        found[name], *rest = mx.quantize(array, **how)
        for kind, part in zip(("scales", "biases"), rest, strict=False):
            found[f"{path}.{kind}"] = part
    return found


def numbers_of_adapter(shapes):
    """As tools/qwen3_reference fills an adapter: by the names alone."""
    found = {}
    for name, shape in shapes.items():
        seed = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
        numbers = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
        found[name] = 1 + 0.1 * np.abs(numbers) if "magnitude" in name else 0.05 * numbers
    return found


def adapter_tensors(config):
    """The tensors of an adapter of the native layout, as PEFT names them."""
    shapes, wanted = {}, config["target_modules"]
    for name, array in native_tensors().items():
        module = name.removesuffix(".weight")
        last = module.split(".")[-1]
        path = f"base_model.model.{module}"
        if last in config.get("modules_to_save", ()) or any(
            f".{whole}." in name for whole in config.get("modules_to_save", ())
        ):
            shapes[f"base_model.model.{name}"] = array.shape
        if last not in wanted or not name.endswith(".weight"):
            continue
        rank = next(
            (r for key, r in config.get("rank_pattern", {}).items() if module.endswith(key)),
            config["r"],
        )
        rows, columns = array.shape
        if last == "embed_tokens":
            shapes[f"{path}.lora_embedding_A"] = (rank, rows)
            shapes[f"{path}.lora_embedding_B"] = (columns, rank)
            shapes[f"{path}.base_layer.weight"] = array.shape
            continue
        shapes[f"{path}.lora_A.weight"] = (rank, columns)
        shapes[f"{path}.lora_B.weight"] = (rows, rank)
        if config.get("use_dora"):
            shapes[f"{path}.lora_magnitude_vector"] = (rows,)
    return numbers_of_adapter(shapes)


def write(folder, config, named, *, tokenizer=TOKENIZER, shard_bytes=None):
    """A folder with a config.json, weights in one file or in shards, and a tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    for name in tokenizer:
        if name == "tokenizer.json":
            shutil.copy(REFERENCE / "tiny_tokenizer.json", folder / name)
        else:
            shutil.copy(TINY_FOLDER / name, folder)
    if shard_bytes is None:
        save(named, folder / WEIGHTS)
        return folder
    shards, size = [{}], 0
    for name, array in named.items():
        if size + array.nbytes > shard_bytes and shards[-1]:
            shards.append({})
            size = 0
        shards[-1][name] = array
        size += array.nbytes
    places = {}
    for number, shard in enumerate(shards, start=1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        save(shard, folder / file)
        places |= dict.fromkeys(shard, file)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder


def read(path):
    """The tensors of a file by name, evaluated: the file may be written over."""
    import mlx.core as mx

    named = dict(mx.load(str(path)))
    mx.eval(named)
    return named


def save(named, path):
    if any(not isinstance(array, np.ndarray) for array in named.values()):
        import mlx.core as mx

        mx.save_safetensors(str(path), named)
    else:
        save_file(named, path)


def make(layout, folder):
    """The tiny checkpoint in a layout of `LAYOUTS`; that of an adapter needs its base beside it."""
    reference = references()[layout]
    shard_bytes = SHARD_BYTES if layout.endswith("shards") else None
    if layout in ADAPTERS:
        if not (folder.parent / BASE).is_dir():
            make(BASE, folder.parent / BASE)
        config = {**reference["configs"]["adapter_config.json"], "base_model_name_or_path": BASE}
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text(json.dumps(config))
        save_file(adapter_tensors(config), folder / "adapter_model.safetensors")
        return folder
    if layout.startswith("MLX"):
        config = references()["original"]["configs"]["config.json"]
        quantization = reference["configs"]["quantization"]
        if quantization is None:
            whole = {name: array.astype(np.float16) for name, array in tensors().items()}
            return write(folder, config, whole)
        config = {**config, "quantization": quantization, "quantization_config": quantization}
        return write(folder, config, quantised_tensors(quantization))
    config = reference["configs"]["config.json"]
    if layout.startswith("native"):
        return write(
            folder, config, native_tensors(), tokenizer=["tokenizer.json"], shard_bytes=shard_bytes
        )
    prefix = "" if layout == "thinker alone" else "thinker."
    return write(folder, config, original_tensors(prefix), shard_bytes=shard_bytes)


def digest_of(folder):
    """As tools/qwen3_reference has it: of the names, types and shapes of all tensors."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "np") as file:
            for name in file.keys():  # noqa: SIM118
                part = file.get_slice(name)
                found[name] = f"{part.get_dtype()} {part.get_shape()}"
    text = json.dumps(dict(sorted(found.items())))
    return f"{len(found)} {hashlib.sha256(text.encode()).hexdigest()[:16]}"
