"""The names of models, and of the heads files that are bundled for them."""

from __future__ import annotations

import re

_QWEN3 = ("0.6b", "1.7b")
_WHISPER = (
    *("whisper-tiny", "whisper-tiny.en", "whisper-base", "whisper-base.en"),
    *("whisper-small", "whisper-small.en", "whisper-medium", "whisper-medium.en"),
    *("whisper-large-v1", "whisper-large-v2", "whisper-large-v3", "whisper-large-v3-turbo"),
)
BUNDLED = ("tiny", *_QWEN3, *_WHISPER)
BUNDLED_SHOWN = "tiny, 0.6b, 1.7b, whisper-tiny to whisper-large-v3-turbo"

# As OpenAI's own package means them.
_ALIASES = {"whisper-large": "whisper-large-v3", "whisper-turbo": "whisper-large-v3-turbo"}
# Checkpoints by the last part of their name. "whisper-large" is left out: it is the first one in
# OpenAI's own repository, and any of three in others.
_RELEASED = {
    **{f"qwen3-asr-{size}": size for size in _QWEN3},
    **{name: name for name in _WHISPER},
    "whisper-turbo": "whisper-large-v3-turbo",
    "openai/whisper-large": "whisper-large-v1",
}
# "Qwen/Qwen3-ASR-0.6B", a folder of that name, and its conversions ("…-4bit", "…-bf16"): the same
# heads. A fine-tune carries another name, and may have other heads.
_CONVERSIONS = re.compile(
    r"(-hf|-mlx|-asr|-q\d|-\d+bit|-int\d|-bf16|-fp16|-fp32|-mxfp\d|-nvfp\d|-gs\d+"
    r"|[-_]mixed[-_]\d[-_]\d)+$"
)


def bundled_file(source: str) -> str | None:
    """The bundled heads file that is asked for by its own name, or None: `source` is a path."""
    name = source.lower()
    name = _ALIASES.get(name, name)
    return name if name in BUNDLED else None


def bundled_name(model: str | None) -> str | None:
    """The name of the bundled heads file for `model`, or None if there is none."""
    if model is None:
        return None
    name = model.lower().rstrip("/\\")
    last = _CONVERSIONS.sub("", re.split(r"[/\\]", name)[-1])
    return bundled_file(name) or _RELEASED.get(name) or _RELEASED.get(last)


def same_name(first: str, second: str) -> bool:
    """Whether two names are of one model: `models/mine/` and its folder, one and its conversion."""
    ours, theirs = (
        _CONVERSIONS.sub("", re.split(r"[/\\]", name.lower().rstrip("/\\"))[-1])
        for name in (first, second)
    )
    return ours == theirs
