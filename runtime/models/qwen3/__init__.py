"""The Qwen3-ASR family: tokenizer, prompt, encoder, decoder, attention capture, caches."""
