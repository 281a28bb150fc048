"""The Qwen3-ASR family: tokenizer, prompt, encoder, decoder, attention capture, caches."""

from .. import backend as backend  # before the engine, which loads MLX
