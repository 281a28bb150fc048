"""The Whisper family: tokenizer, prompt, encoder, decoder with cross-attention, capture."""
