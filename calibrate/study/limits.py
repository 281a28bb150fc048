"""What a trial may cost to be chosen: its speed on this machine, or its compute on any."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import InputError
from ..result import Limited, Measures


def _said(name: Limited, before: str, value: float | None) -> str:
    """`a real-time factor of at most 0.5`, `at most 40 GFLOP a second of audio`."""
    number = "unknown" if value is None else f"{value:.3g}"
    if name == "rtf":
        return f"a real-time factor of {before}{number}"
    return f"{before}{number} GFLOP a second of audio"


@dataclass(frozen=True)
class Limits:
    """The most of each; None: any.

    Attributes:
        max_rtf: real-time factor.
        max_gflops: GFLOP for a second of audio.
        realtime: the real-time factor is below 1.
    """

    max_rtf: float | None = None
    max_gflops: float | None = None
    realtime: bool = False

    def check(self) -> None:
        """Refuse what no trial can meet.

        Raises:
            InputError: a limit that is not above 0.
        """
        for name in ("max_rtf", "max_gflops"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"{name} is {value}, expected more than 0", arguments=(name,))

    @property
    def most(self) -> dict[Limited, float]:
        """The limits that there are, by what they limit."""
        rtf = min((self.max_rtf or math.inf), 1.0 if self.realtime else math.inf)
        found: dict[Limited, float] = {} if rtf == math.inf else {"rtf": rtf}
        return found if self.max_gflops is None else {**found, "gflop_per_s": self.max_gflops}

    def excess(self, measures: Measures) -> float:
        """How far a trial is beyond the limits: 0 if it meets them all, else a share of one.

        What was not measured does not count.
        """
        shares = [0.0]
        for name, most in self.most.items():
            value = getattr(measures, name)
            if value is None:
                continue
            over = value / most - 1
            if name == "rtf" and self.realtime and value >= 1:
                over = max(over, 1e-9)  # as fast as the audio is not faster
            shares.append(over)
        return max(shares)

    def missed(self, trials: Sequence[tuple[str, Measures]]) -> InputError:
        """What to say where none of the trials (what to call it, its measures) meets them."""
        name, measures = min(trials, key=lambda trial: self.excess(trial[1]))
        wanted = " and ".join(_said(key, "at most ", most) for key, most in self.most.items())
        found = " and ".join(_said(key, "", getattr(measures, key)) for key in self.most)
        values = {"realtime": self.realtime, "max_rtf": self.max_rtf, "max_gflops": self.max_gflops}
        given = {key: value for key, value in values.items() if value}
        stated = " and ".join(f"{key} is {value}" for key, value in given.items())
        return InputError(
            f"{stated}, but no trial has {wanted}; the nearest is {name} with {found}; search "
            "longer steps and smaller buffers too (add step_s and max_audio_s to tune), or take a "
            "smaller model",
            arguments=(*given, "tune"),
        )
