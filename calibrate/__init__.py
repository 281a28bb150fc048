"""The sweep of the streaming policy, and benchmarks of decoders. Knows no engine."""
