"""The name of the backend, as the server and its sessions give it."""

BACKEND = "qwen3-mlx-simul"
