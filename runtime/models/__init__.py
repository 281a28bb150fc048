"""The model edge: what a model is, and the families of models. Only this room imports MLX."""
