"""The sweep that tunes the streaming policy: word error rate against delay.

The room is called like the one thing it does: `alignheads.calibrate(…)` runs a sweep, and
`alignheads.calibrate.cli` and the other modules are imported as those of any package.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .calibration import Calibration, calibrate
    from .result import CalibrationFile

_MODULE_OF_NAME = {"Calibration": ".calibration", "CalibrationFile": ".result"}

__all__ = ["Calibration", "CalibrationFile", "calibrate"]


class _Room(ModuleType):
    """A package that can be called."""

    def __call__(self, *arguments: Any, **options: Any) -> Calibration:
        """See `calibration.calibrate`."""
        from .calibration import calibrate

        return calibrate(*arguments, **options)


sys.modules[__name__].__class__ = _Room


def __getattr__(name: str):
    """Import Optuna and the engine when they are first needed."""
    if name == "calibrate":
        return sys.modules[__name__]
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF_NAME[name], __name__), name)
