"""What a model is by the names of its tensors, for messages about models that are not ours."""

from __future__ import annotations

from collections.abc import Iterable


def likely_layout(names: Iterable[str]) -> str | None:
    """What a model is whose tensors have these names, as "these look like …"; None: not known."""
    names = list(names)

    def has(*parts: str) -> bool:
        return any(part in name for name in names for part in parts)

    has_text = has("embed_tokens", "self_attn.q_norm")
    has_audio = has("conv2d1", "audio_tower.layers.")
    if has("encoder_attn.", "cross_attn.", "decoder.token_embedding"):
        return "these look like the weights of Whisper"
    if has("lora_A", "lora_B"):
        return "these look like a LoRA adapter: its folder needs adapter_config.json"
    if has_audio and not has_text:
        return (
            "these look like an audio tower alone, as a streaming tower is published: it hears, "
            "but has no text decoder that writes"
        )
    if has_audio and has("score.", "classifier.", "classify"):
        return "these look like a forced aligner, not a speech recogniser"
    if has("talker.", "code2wav.", "visual."):
        return "these look like Qwen-Omni, or another model with more parts"
    if has_text and not has_audio and not has("encoder", "whisper"):
        return "these look like a text model: they have no audio tower"
    return None
