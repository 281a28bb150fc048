"""Train the byte-level BPE and write it in the files of a Qwen3-ASR checkpoint.

The engine's own pre-tokenisation expression splits the text, so that the engine's
tokenizer gives the same tokens. Special tokens follow the merges, as in the real files.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from mlx_qwen3_asr.tokenizer import PRETOKENIZE_REGEX
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from . import grammar

SPECIAL_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>",
    "<|audio_start|>", "<|audio_end|>", "<|audio_pad|>",
)  # fmt: skip
TEXT_MARKER = "<asr_text>"


def train(out: Path, merges: int = 600, sentences: int = 20_000) -> int:
    """Write `vocab.json`, `merges.txt` and `tokenizer_config.json`; return the padded size."""
    random = Random("tokenizer")
    lines = [grammar.sentence(random, random.randint(1, 3)) for _ in range(sentences)]
    lines += [" " + word for word in grammar.WORDS for _ in range(30)]
    # The chat template's words must be single tokens: they cost a position in every prompt.
    lines += ["system\n", "user\n", "assistant\n", "language English", "language None"] * 3000

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=256 + merges,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.model.save(str(out))

    size = tokenizer.get_vocab_size()
    added = {
        str(size + i): {"content": token, "special": token != TEXT_MARKER}
        for i, token in enumerate((*SPECIAL_TOKENS, TEXT_MARKER))
    }
    config = {
        "added_tokens_decoder": added,
        "eos_token": "<|im_end|>",
        "unk_token": "<|endoftext|>",
    }
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
    return -(-(size + len(added)) // 64) * 64
