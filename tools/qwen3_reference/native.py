"""transformers 5, PEFT: their layouts, their numbers and their tokenizer.

Of the tiny checkpoint, and of Qwen3's real tokenizer where `--work` has its files (README.md).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    Qwen2Tokenizer,
    Qwen3ASRConfig,
    Qwen3ASRFeatureExtractor,
    Qwen3ASRForConditionalGeneration,
)

from .kept import (
    LENGTHS,
    TINY,
    adapter_tensors,
    kept_embeddings,
    kept_logits,
    kept_mel,
    layout_of,
    speech,
    tiny_tensors,
)
from .prompts import prompt

ADAPTERS = {
    "LoRA": {"target_modules": ["q_proj", "v_proj", "down_proj"]},
    "LoRA, ranks of its own": {
        "target_modules": ["q_proj", "k_proj", "fc1"],
        "use_rslora": True,
        "rank_pattern": {"k_proj": 2},
        "alpha_pattern": {"layers.1.self_attn.q_proj": 3},
    },
    "DoRA": {"target_modules": ["q_proj", "gate_proj"], "use_dora": True},
    "LoRA of the embedding": {"target_modules": ["embed_tokens", "o_proj"]},
    "LoRA, layers trained whole": {
        "target_modules": ["q_proj"],
        "modules_to_save": ["linear_2"],
    },
}


def native_name(name: str) -> str:
    """transformers' name of a tensor."""
    for ours, theirs in (
        ("audio_tower.proj1.", "model.multi_modal_projector.linear_1."),
        ("audio_tower.proj2.", "model.multi_modal_projector.linear_2."),
        ("audio_tower.", "model.audio_tower."),
        ("model.", "model.language_model."),
    ):
        if name.startswith(ours):
            return name.replace(ours, theirs, 1)
    return name


def model():
    """The tiny checkpoint in the classes of transformers."""
    thinker = json.loads((TINY / "config.json").read_text())["thinker_config"]
    text = {k: v for k, v in thinker["text_config"].items() if k not in ("rope_scaling",)}
    text["rope_parameters"] = {"rope_type": "default", "rope_theta": text.pop("rope_theta")}
    config = Qwen3ASRConfig(
        audio_config=thinker["audio_config"], text_config=text,
        audio_token_id=thinker["audio_token_id"], eos_token_id=[858, 856], pad_token_id=858,
    )  # fmt: skip
    made = Qwen3ASRForConditionalGeneration(config)
    state = {native_name(name): torch.tensor(a) for name, a in tiny_tensors().items()}
    state.setdefault("lm_head.weight", state["model.language_model.embed_tokens.weight"])
    lost = made.load_state_dict(state, strict=False)
    assert not lost.unexpected_keys, lost
    assert all("positional" in name or "inv_freq" in name for name in lost.missing_keys), lost
    return made.eval()


def last_logits(made, features, ids: torch.Tensor) -> torch.Tensor:
    """[vocabulary], of the first token after a prompt."""
    with torch.no_grad():
        return made(
            input_ids=ids[None], input_features=features["input_features"],
            input_features_mask=features["attention_mask"],
            attention_mask=torch.ones_like(ids)[None],
        ).logits[0, -1]  # fmt: skip


def main(out: Path, work: Path) -> None:
    """Write native.npz and native.json into `out`; the checkpoints stay in `work`."""
    made, layouts = model(), {}
    added = json.loads((TINY / "tokenizer_config.json").read_text())["added_tokens_decoder"]
    token = {entry["content"]: int(i) for i, entry in added.items()}
    tokenizer = Qwen2Tokenizer(
        vocab=json.loads((TINY / "vocab.json").read_text()),
        merges=[tuple(m.split(" ")) for m in merges(TINY)],
    )
    tokenizer.add_tokens([entry["content"] for entry in added.values()], special_tokens=True)
    for name, size in (("native", "5GB"), ("native, shards", "600KB")):
        folder = work / name.replace(", ", "-")
        made.save_pretrained(folder, max_shard_size=size)
        tokenizer.save_pretrained(folder)
        layouts[name] = layout_of(folder)
    extractor = Qwen3ASRFeatureExtractor()
    sound = speech()

    def inputs(length):
        features = extractor(
            sound[:length],
            sampling_rate=16000,
            padding="longest",
            return_tensors="pt",
            return_attention_mask=True,
        )
        frames = int(made.model.audio_tower._post_cnn_length(
            features["attention_mask"].view(-1, 100).sum(-1)
        ).sum())  # fmt: skip
        return features, frames, prompt(tokenizer, token, frames)

    found = {"mel": [], "embeddings": [], "logits": []}
    for length in LENGTHS:
        features, _, ids = inputs(length)
        mel, mask = features["input_features"], features["attention_mask"]
        with torch.no_grad():
            audio = made.model.get_audio_features(mel, mask)
        audio = getattr(audio, "pooler_output", audio)
        found["mel"].append(kept_mel(mel[0, :, : int(mask.sum())].numpy()))
        found["embeddings"].append(kept_embeddings(audio.reshape(-1, audio.shape[-1]).numpy()))
        found["logits"].append(kept_logits(last_logits(made, features, ids).numpy()))
    arrays = {key: np.array(value, np.float32) for key, value in found.items()}

    features, _, ids = inputs(80000)
    changed = []
    for name, settings in ADAPTERS.items():
        peft = get_peft_model(model(), LoraConfig(r=4, lora_alpha=8, **settings))
        folder = work / name.replace(", ", "-").replace(" ", "-")
        peft.save_pretrained(folder)
        from safetensors.numpy import load_file, save_file

        saved = load_file(folder / "adapter_model.safetensors")
        numbers = adapter_tensors({key: value.shape for key, value in saved.items()})
        save_file(numbers, folder / "adapter_model.safetensors")
        from peft import PeftModel

        changed.append(kept_logits(
            last_logits(PeftModel.from_pretrained(model(), folder).eval(), features, ids).numpy()
        ))  # fmt: skip
        layouts[name] = layout_of(folder)
    arrays["adapters"] = np.array(changed, np.float32)
    np.savez_compressed(out / "native.npz", **arrays)
    shutil.copy(work / "native" / "tokenizer.json", out / "tiny_tokenizer.json")
    (out / "native.json").write_text(json.dumps({"layouts": layouts}, indent=1) + "\n")


def merges(folder: Path) -> list[str]:
    """The lines of merges.txt but for its head."""
    lines = (folder / "merges.txt").read_text().splitlines()
    return [line for line in lines[lines[0].startswith("#version") :] if line]
