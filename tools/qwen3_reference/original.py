"""qwen-asr (transformers 4.57): its layouts and its numbers, of the tiny checkpoint."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from qwen_asr.core.transformers_backend import (
    Qwen3ASRConfig,
    Qwen3ASRForConditionalGeneration,
)
from transformers import Qwen2TokenizerFast, WhisperFeatureExtractor

from .kept import (
    LENGTHS,
    TINY,
    kept_embeddings,
    kept_logits,
    kept_mel,
    layout_of,
    speech,
    tiny_tensors,
)
from .prompts import prompt


def with_windows(tower) -> None:
    """Give the layers the mask of 8 s windows, which sdpa is not given (flash attention is)."""
    for layer in tower.layers:

        def forward(hidden, cu_seqlens, attention_mask=None, *, layer=layer, **more):
            size = hidden.shape[0]
            mask = torch.full((1, 1, size, size), torch.finfo(hidden.dtype).min)
            for start, stop in itertools.pairwise(cu_seqlens):
                mask[..., start:stop, start:stop] = 0
            return type(layer).forward(layer, hidden, cu_seqlens, mask, **more)

        layer.forward = forward


def model():
    """The tiny checkpoint in qwen-asr's classes."""
    config = json.loads((TINY / "config.json").read_text())
    text = config["thinker_config"]["text_config"]
    text["rope_scaling"] = {"mrope_section": [4, 4, 4], "rope_type": "default"}
    made = Qwen3ASRForConditionalGeneration(Qwen3ASRConfig(**config))
    state = {f"thinker.{name}": torch.tensor(a) for name, a in tiny_tensors().items()}
    state.setdefault("thinker.lm_head.weight", state["thinker.model.embed_tokens.weight"])
    lost = made.load_state_dict(state, strict=False)
    assert not lost.unexpected_keys, lost
    assert all("positional" in name or "inv_freq" in name for name in lost.missing_keys), lost
    return made.eval()


def main(out: Path, work: Path) -> None:
    """Write original.npz and original.json into `out`; the checkpoints stay in `work`."""
    made = model()
    extractor = WhisperFeatureExtractor(feature_size=128)
    tokenizer = Qwen2TokenizerFast(
        vocab_file=str(TINY / "vocab.json"), merges_file=str(TINY / "merges.txt")
    )
    added = json.loads((TINY / "tokenizer_config.json").read_text())["added_tokens_decoder"]
    tokenizer.add_tokens([entry["content"] for entry in added.values()], special_tokens=True)
    layouts = {}
    for name, part, size in (
        ("original", made, "5GB"), ("original, shards", made, "600KB"),
        ("thinker alone", made.thinker, "5GB"),
    ):  # fmt: skip
        folder = work / name.replace(", ", "-").replace(" ", "-")
        part.save_pretrained(folder, max_shard_size=size)
        for file in ("vocab.json", "merges.txt", "tokenizer_config.json"):
            shutil.copy(TINY / file, folder)
        layouts[name] = layout_of(folder)
    with_windows(made.thinker.audio_tower)
    token = {entry["content"]: int(i) for i, entry in added.items()}
    sound, found = speech(), {"mel": [], "embeddings": [], "logits": []}
    for length in LENGTHS:
        features = extractor(
            sound[:length], sampling_rate=16000, padding=True, truncation=False,
            return_attention_mask=True, return_tensors="pt",
        )  # fmt: skip
        mel, mask = features["input_features"], features["attention_mask"]
        with torch.no_grad():
            audio = made.thinker.get_audio_features(mel, feature_attention_mask=mask)
            ids = prompt(tokenizer, token, len(audio))
            logits = made.thinker(
                input_ids=ids[None], input_features=mel, feature_attention_mask=mask,
                attention_mask=torch.ones_like(ids)[None],
            ).logits[0, -1]  # fmt: skip
        found["mel"].append(kept_mel(mel[0, :, : int(mask.sum())].numpy()))
        found["embeddings"].append(kept_embeddings(audio.numpy()))
        found["logits"].append(kept_logits(logits.numpy()))
    np.savez_compressed(
        out / "original.npz", **{k: np.array(v, np.float32) for k, v in found.items()}
    )
    (out / "original.json").write_text(json.dumps({"layouts": layouts}, indent=1) + "\n")
