"""How much of a hypothesis may be committed. Knows frames and words; no audio, no models."""
