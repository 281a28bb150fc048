"""The chat template that Qwen3-ASR publishes, as token ids."""

from __future__ import annotations

import torch


def prompt(tokenizer, token, frames: int, context: str = "", head: str = "") -> torch.Tensor:
    """Token ids, given `token` {special token: id} and the number of audio frames."""

    def plain(text):
        return tokenizer(text)["input_ids"] if text else []

    start, end, line = token["<|im_start|>"], token["<|im_end|>"], plain("\n")
    ids = [start, *plain("system\n"), *plain(context), end, *line, start, *plain("user\n")]
    ids += [token["<|audio_start|>"], *[token["<|audio_pad|>"]] * frames, token["<|audio_end|>"]]
    return torch.tensor([*ids, end, *line, start, *plain("assistant\n"), *plain(head)])
