"""Benchmarks: decoders run over a corpus, scored, written down, and compared."""
