"""The files of a sweep: what may be overwritten, and when they are written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import output_path
from ..runtime.stream.config import DecoderConfig
from .report import Standing
from .result import CalibrationFile
from .study.trials import FINGERPRINT
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
        self._sweep, self._force = sweep, force
        self._config, self._report = config, report
        self._written: tuple[list[int], int] | None = None
        study, is_ours = sweep.study, False
        if config is not None:
            said = _said_in(config, "calibration")
            is_ours = said == (study.study_name, sweep.fingerprint)
            output_path(config, force or is_ours)
        if report is not None:
            said = _said_in(report, "study", "name")
            is_mine = said == (study.study_name, study.user_attrs[FINGERPRINT])
            output_path(report, force or is_mine)
            is_ours = is_ours or is_mine
        if figure is not None:
            output_path(figure, force or is_ours)

    def improved(self, found: Standing) -> None:
        """Write the configuration, if the front or the choice has changed.

        Raises:
            InputError: it cannot be written.
        """
        if self._config is None or found.selected is None:
            return
        now = found.front, found.selected.number
        if now != self._written:
            self._written = now
            self._save_config(self._sweep.config(found))

    def write(self, config: DecoderConfig, report: CalibrationFile) -> None:
        """Write both.

        Raises:
            InputError: one cannot be written.
        """
        if self._report is not None:
            self._save_report(report)
        if self._config is not None:
            self._save_config(config)

    def interrupted(self) -> None:
        """Write the report as far as the study has come, without held-out speech."""
        if self._report is not None:
            found = self._sweep.standing()
            self._save_report(self._sweep.file(found, None, self._sweep.replay_info()))

    def _save_config(self, config: DecoderConfig) -> None:
        assert self._config is not None
        study = self._sweep.study.study_name, self._sweep.fingerprint
        self._check_ours(self._config, _said_in(self._config, "calibration") == study)
        config.save(self._config)

    def _save_report(self, report: CalibrationFile) -> None:
        assert self._report is not None
        study = self._sweep.study
        ours = study.study_name, study.user_attrs[FINGERPRINT]
        self._check_ours(self._report, _said_in(self._report, "study", "name") == ours)
        report.save(self._report)

    def _check_ours(self, path: Path, is_ours: bool) -> None:
        """Another study may have written it since the sweep began."""
        if path.is_file() and not (is_ours or self._force):
            raise InputError(
                f"{path} was written by another process in the meantime; the trials are kept: run "
                "the command again with another name"
            )


def check_paths(
    config: Path,
    report: Path,
    figure: Path,
    *,
    force: bool,
    reads: Sequence[str | Path | None] = (),
) -> None:
    """Refuse what cannot be written whatever the study is, before anything is loaded.

    Raises:
        InputError: a file is in the way that is of no study at all, or cannot be written.
    """
    may_be_ours = False
    for path, part, name in ((config, "calibration", "study"), (report, "study", "name")):
        is_of_a_study = _said_in(path, part, name) is not None
        may_be_ours = may_be_ours or is_of_a_study
        output_path(path, force or is_of_a_study, reads)
    output_path(figure, force or may_be_ours, reads)


def _said_in(path: Path, part: str, name: str = "study") -> tuple[Any, Any] | None:
    """The name and the fingerprint of the study that a JSON file is of; None: it is of none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))[part]
        return content[name], content["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
