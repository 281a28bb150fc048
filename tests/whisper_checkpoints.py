"""Small random Whisper checkpoints in every layout that people have."""

from __future__ import annotations

import json

import numpy as np
from safetensors.numpy import save_file

from alignheads.corpora.audio import SAMPLE_RATE

WIDTH, HEADS, LAYERS, MELS, TEXT_POSITIONS = 32, 2, 2, 80, 448
MULTILINGUAL, ENGLISH, LARGE_V3 = 51865, 51864, 51866
ALIGNED = ((1, 0), (1, 1))

_TRANSFORMERS = (
    ("blocks.", "layers."),
    (".cross_attn_ln", ".encoder_attn_layer_norm"),
    (".attn_ln", ".self_attn_layer_norm"),
    (".mlp_ln", ".final_layer_norm"),
    (".cross_attn.query", ".encoder_attn.q_proj"),
    (".cross_attn.key", ".encoder_attn.k_proj"),
    (".cross_attn.value", ".encoder_attn.v_proj"),
    (".cross_attn.out", ".encoder_attn.out_proj"),
    (".attn.query", ".self_attn.q_proj"),
    (".attn.key", ".self_attn.k_proj"),
    (".attn.value", ".self_attn.v_proj"),
    (".attn.out", ".self_attn.out_proj"),
    (".mlp1", ".fc1"),
    (".mlp2", ".fc2"),
    ("encoder.ln_post", "encoder.layer_norm"),
    ("decoder.ln.", "decoder.layer_norm."),
    ("decoder.token_embedding", "decoder.embed_tokens"),
    ("decoder.positional_embedding", "decoder.embed_positions.weight"),
)


def noise(seconds, seed=0):
    """Audio without a word."""
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal(int(seconds * SAMPLE_RATE))).astype(np.float32)


def tensors(vocabulary=MULTILINGUAL, mels=MELS, seed=0):
    """{name of mlx-whisper: float32 array}."""
    rng = np.random.default_rng(seed)
    found = {}

    def put(name, *shape, scale=0.3):
        found[name] = (rng.standard_normal(shape) * scale).astype(np.float32)

    def norm(name):
        put(f"{name}.bias", WIDTH, scale=0.1)
        found[f"{name}.weight"] = np.ones(WIDTH, np.float32)

    def attention(name):
        for part in ("query", "key", "value", "out"):
            put(f"{name}.{part}.weight", WIDTH, WIDTH)
            if part != "key":
                put(f"{name}.{part}.bias", WIDTH, scale=0.1)

    for side in ("encoder", "decoder"):
        for layer in range(LAYERS):
            block = f"{side}.blocks.{layer}"
            attention(f"{block}.attn")
            norm(f"{block}.attn_ln")
            if side == "decoder":
                attention(f"{block}.cross_attn")
                norm(f"{block}.cross_attn_ln")
            norm(f"{block}.mlp_ln")
            put(f"{block}.mlp1.weight", 4 * WIDTH, WIDTH)
            put(f"{block}.mlp1.bias", 4 * WIDTH, scale=0.1)
            put(f"{block}.mlp2.weight", WIDTH, 4 * WIDTH)
            put(f"{block}.mlp2.bias", WIDTH, scale=0.1)
    put("encoder.conv1.weight", WIDTH, 3, mels)
    put("encoder.conv1.bias", WIDTH, scale=0.1)
    put("encoder.conv2.weight", WIDTH, 3, WIDTH)
    put("encoder.conv2.bias", WIDTH, scale=0.1)
    norm("encoder.ln_post")
    norm("decoder.ln")
    put("decoder.token_embedding.weight", vocabulary, WIDTH)
    put("decoder.positional_embedding", TEXT_POSITIONS, WIDTH)
    return found


def mlx_config(vocabulary=MULTILINGUAL, mels=MELS):
    return {
        "model_type": "whisper", "n_mels": mels, "n_audio_ctx": 1500, "n_audio_state": WIDTH,
        "n_audio_head": HEADS, "n_audio_layer": LAYERS, "n_vocab": vocabulary,
        "n_text_ctx": TEXT_POSITIONS, "n_text_state": WIDTH, "n_text_head": HEADS,
        "n_text_layer": LAYERS,
    }  # fmt: skip


def transformers_config(vocabulary=MULTILINGUAL, mels=MELS):
    return {
        "model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"],
        "d_model": WIDTH, "encoder_layers": LAYERS, "decoder_layers": LAYERS,
        "encoder_attention_heads": HEADS, "decoder_attention_heads": HEADS,
        "encoder_ffn_dim": 4 * WIDTH, "decoder_ffn_dim": 4 * WIDTH, "num_mel_bins": mels,
        "max_source_positions": 1500, "max_target_positions": TEXT_POSITIONS,
        "vocab_size": vocabulary,
    }  # fmt: skip


def as_transformers(named, prefix="model."):
    """The same tensors by the names of transformers, convolutions as PyTorch has them."""
    found = {}
    for name, array in named.items():
        if ".conv" in name and name.endswith("weight"):
            array = np.ascontiguousarray(array.transpose(0, 2, 1))
        for ours, theirs in _TRANSFORMERS:
            name = name.replace(ours, theirs)
        found[prefix + name] = array
    found[f"{prefix}encoder.embed_positions.weight"] = np.zeros((1500, WIDTH), np.float32)
    return found


def write(folder, config, files):
    """A folder with config.json and {file name: tensors}."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    for name, content in files.items():
        if name.endswith(".npz"):
            np.savez(folder / name, **content)
        else:
            save_file(content, folder / name)
    return folder


def mlx_folder(folder, vocabulary=MULTILINGUAL, mels=MELS):
    """A checkpoint in the layout of mlx-community."""
    named = tensors(vocabulary, mels)
    return write(folder, mlx_config(vocabulary, mels), {"weights.safetensors": named})


def quantised_folder(folder, bits=8, group_size=32, names=None):
    """A checkpoint that MLX has quantised; and the tensors that it stands for."""
    import mlx.core as mx

    import alignheads.runtime.models  # noqa: F401, the BLAS comes before MLX

    whole, stored = {}, {}
    for name, array in tensors().items():
        is_matrix = name.endswith(".weight") and array.ndim == 2
        if not is_matrix:
            whole[name] = stored[name] = array
            continue
        packed, scales, biases = mx.quantize(mx.array(array), group_size, bits)
        base = name.removesuffix(".weight")
        stored |= {
            name: np.array(packed), f"{base}.scales": np.array(scales),
            f"{base}.biases": np.array(biases),
        }  # fmt: skip
        whole[name] = np.array(mx.dequantize(packed, scales, biases, group_size, bits))
    config = {**mlx_config(), "quantization": {"group_size": group_size, "bits": bits}}
    return write(folder, config, {"weights.safetensors": stored}), whole
