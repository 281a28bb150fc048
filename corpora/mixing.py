"""Channels made one: averaged, unless they would cancel each other."""

from __future__ import annotations

import logging

import numpy as np

_log = logging.getLogger(__name__)

_CANCELLED = 0.01
"""Share of the louder channel's power below which the average is taken for cancelled."""


class Mixer:
    """Averages the channels of one recording, block by block.

    Of channels in opposite phase the average is silence: then the louder one is taken, from there
    on, and a warning is logged.
    """

    def __init__(self, name: str) -> None:
        """`name` is that of the recording, for the warning."""
        self._name = name
        self._chosen: int | None = None

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """[n, channels] to [n]."""
        if samples.shape[1] == 1:
            return samples[:, 0]
        if self._chosen is None:
            mixed = samples.mean(axis=1)
            powers = np.square(samples, dtype=np.float64).mean(axis=0) if len(samples) else [0.0]
            power = np.square(mixed, dtype=np.float64).mean() if len(samples) else 0.0
            if not power < _CANCELLED * np.max(powers):
                return mixed
            self._chosen = int(np.argmax(powers))
            _log.warning(
                "%s: its channels cancel each other (opposite phase); channel %d, the louder one, "
                "is taken in place of their average",
                self._name,
                self._chosen + 1,
            )
        return samples[:, self._chosen]
