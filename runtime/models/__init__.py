"""The model edge: what a model is, and the families of models. Only this room imports MLX."""

from .cpu.openblas import prefer_openblas

# Before any other module of this room, and so before every import of MLX.
prefer_openblas()
