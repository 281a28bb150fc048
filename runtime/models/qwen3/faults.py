"""What is wrong with weights that do not fit, in words: which tensors, and what they look like."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ....errors import InputError
from ..layouts import likely_layout
from ..weight_files import some

_MOST = 2


class Faults:
    """The differences between the tensors that a model has and those that a file has."""

    def __init__(
        self, wanted: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Any], folder: Path
    ) -> None:
        """Compare.

        Args:
            wanted: {name: shape} of the model.
            tensors: {name: array} of the checkpoint, by the engine's names.
            folder: where they were read.
        """
        self.folder = folder
        self.missing = sorted(set(wanted) - set(tensors))
        self.unknown = sorted(set(tensors) - set(wanted))
        self.shapes = {
            name: (tuple(tensors[name].shape), wanted[name])
            for name in wanted
            if name in tensors and tuple(tensors[name].shape) != wanted[name]
        }
        self._names, self._wanted = list(tensors), list(wanted)

    def check(self) -> None:
        """Make sure that there are no differences.

        Raises:
            InputError: which there are, and what the tensors are likely of.
        """
        if not (self.missing or self.unknown or self.shapes):
            return
        parts = []
        if self.missing:
            parts.append(f"they lack {some(self.missing, _MOST)}")
        if self.unknown:
            parts.append(f"they have {some(self.unknown, _MOST)}")
        for name, (shape, wanted) in sorted(self.shapes.items())[:_MOST]:
            parts.append(f"{name} is {shape}, expected {wanted} by config.json")
        likely = likely_layout(self._names) or self._likely()
        raise InputError(
            f"the weights in {self.folder} do not fit Qwen3-ASR: {'; '.join(parts)}"
            f"{f'; {likely}' if likely else ''}"
        )

    def _likely(self) -> str | None:
        if self.shapes and not self.missing and not self.unknown:
            return "config.json is of another model, or of another size of it"
        layers = _layers(self._names), _layers(self._wanted)
        for side, (has, wanted) in zip(
            ("audio encoder", "text decoder"), zip(*layers, strict=True), strict=True
        ):
            if has and has != wanted:
                return f"they have {has} layers of the {side}, config.json says {wanted}"
        if not self.shapes and not self.unknown:
            return "the save is incomplete, or one of its files is missing"
        return None


def _layers(names: Iterable[str]) -> tuple[int, int]:
    """How many layers of the encoder and of the decoder there are, by the engine's names."""
    names = list(names)
    encoder, decoder = (
        {match[1] for name in names if (match := re.match(rf"{part}layers\.(\d+)\.", name))}
        for part in (r"audio_tower\.", r"model\.")
    )
    return len(encoder), len(decoder)
