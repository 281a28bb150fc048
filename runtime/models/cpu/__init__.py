"""What makes MLX fast on a Linux CPU: the BLAS, exp, and the C heap. Knows no model."""
