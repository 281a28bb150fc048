"""One stream: its buffer, steps, commits, word times, outputs and sessions. Knows no MLX."""
