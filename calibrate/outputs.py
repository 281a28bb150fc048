"""The files of a sweep: what may be overwritten, and when they are written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..commandline import output_path
from ..runtime.config import DecoderConfig
from .report import Standing
from .result import CalibrationFile
from .sweep import Sweep


class Outputs:
    """decoder_config.json and calibration.json of one sweep; None: not written.

    A file of the same study may be overwritten, so that running a command again resumes.
    """

    def __init__(
        self,
        sweep: Sweep,
        config: Path | None,
        report: Path | None,
        figure: Path | None = None,
        *,
        force: bool = False,
    ) -> None:
        """Check that the files can be written.

        Raises:
            InputError: one is in the way and not of this study, or cannot be written.
        """
        self._sweep = sweep
        self._config, self._report = config, report
        self._front: list[int] = []
        ours = sweep.study.user_attrs
        is_ours = False
        if config is not None:
            is_ours = _said_in(config, "calibration", "fingerprint") == sweep.fingerprint
            output_path(config, force or is_ours)
        if report is not None:
            mine = _said_in(report, "study", "fingerprint") == ours.get("fingerprint")
            output_path(report, force or mine)
            is_ours = is_ours or mine
        if figure is not None:
            output_path(figure, force or is_ours)

    def improved(self, found: Standing) -> None:
        """Write the configuration, if the front has changed.

        Raises:
            InputError: it cannot be written.
        """
        if self._config is None or found.selected is None or found.front == self._front:
            return
        self._front = found.front
        self._sweep.config(found).save(self._config)

    def write(self, config: DecoderConfig, report: CalibrationFile) -> None:
        """Write both.

        Raises:
            InputError: one cannot be written.
        """
        if self._report is not None:
            report.save(self._report)
        if self._config is not None:
            config.save(self._config)

    def interrupted(self) -> None:
        """Write the report as far as the study has come, without held-out speech."""
        if self._report is not None:
            found = self._sweep.standing()
            self._sweep.file(found, None, self._sweep.replay_info()).save(self._report)


def _said_in(path: Path, *keys: str) -> Any:
    """What the JSON file `path` has under `keys`; None where it has not, or is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for key in keys:
            content = content[key]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return content
