"""A model that another process is to load, and the proof that it is the same one there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...cluster.tasks import WorkerRefused
from ...errors import InputError
from .machine import backend_name, versions
from .model import SpeechModel
from .protocol import AlignmentModel

_NOT_COMPARED = ("alignheads", "jiwer", "python")
"""The first is, by its code; the others decide nothing that a worker computes."""


@dataclass(frozen=True)
class ModelElsewhere:
    """What to load, and what it must then be.

    Attributes:
        model: as `SpeechModel.load` takes it.
        dtype: of the loaded model.
        traits: by name, all that a result depends on.
    """

    model: str
    dtype: str
    traits: dict[str, str]

    @classmethod
    def of(cls, model: AlignmentModel, given: str | Path | None = None) -> ModelElsewhere:
        """Of a loaded `model`, which was `given` so; None: its folder is taken.

        Raises:
            InputError: it has none.
        """
        given = given or getattr(model, "folder", None)
        if given is None:
            raise InputError(f"{model.name} was not loaded from files, so no other process can")
        path = Path(given)
        name = str(path.absolute()) if path.is_dir() else str(given)
        return cls(name, model.dtype, _traits(model))


def _traits(model: AlignmentModel) -> dict[str, str]:
    libraries = {k: v for k, v in versions().items() if k not in _NOT_COMPARED}
    return {
        "checkpoint": f"{model.name} ({model.fingerprint})",
        "dtype": model.dtype,
        "backend": backend_name(),
        **libraries,
    }


def load_elsewhere(wanted: ModelElsewhere) -> SpeechModel:
    """Load it in this process.

    Raises:
        WorkerRefused: it is something else here.
        InputError: it cannot be loaded.
    """
    model = SpeechModel.load(wanted.model, wanted.dtype)
    check_same(_traits(model), wanted.traits)
    return model


def check_same(found: dict[str, str], wanted: dict[str, str]) -> None:
    """Make sure that two processes give the same results.

    Raises:
        WorkerRefused: what differs.
    """
    for name in dict.fromkeys([*wanted, *found]):
        if found.get(name) != wanted.get(name):
            raise WorkerRefused(
                f"{name} there is {found.get(name, 'none')}, here it is {wanted.get(name, 'none')}"
            )
