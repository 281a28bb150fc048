"""What a benchmark has done so far, on disk: one JSON line an utterance, so that it can go on.

The first line says what is being measured; a run that is resumed must be measuring the same. A
process that is killed loses the utterance it was at, and at most a torn last line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TextIO

from pydantic import ValidationError

from ..errors import InputError
from ..files import first_fault, shown
from .result import BenchmarkFile, Memory, Observation
from .trace_types import Trace

JOURNAL_VERSION = 1

_OF_RUN = "run "


def journal_path(out: Path) -> Path:
    """Where the journal of the benchmark file `out` lies while it is not finished."""
    return out.with_name(f"{out.name}.partial.jsonl")


class Done:
    """Observations and traces by run name and utterance id; memory by run name."""

    def __init__(self) -> None:
        self.memory: dict[str, Memory] = {}
        self.observations: dict[str, dict[str, Observation]] = {}
        self.traces: dict[str, dict[str, Trace]] = {}

    def add(self, run: str, observation: Observation, trace: Trace | None) -> None:
        """Keep one result."""
        self.observations.setdefault(run, {})[observation.id] = observation
        if trace is not None:
            self.traces.setdefault(run, {})[trace.id] = trace

    def of(self, run: str) -> dict[str, Observation]:
        """The observations of one run, by id."""
        return self.observations.get(run, {})

    @classmethod
    def from_file(cls, file: BenchmarkFile) -> Done:
        """What a finished file holds."""
        done = cls()
        for run in file.runs:
            if run.memory is not None:
                done.memory[run.settings.name] = run.memory
            traces = {trace.id: trace for trace in run.traces}
            for one in run.utterances:
                raw = {name: getattr(one, name) for name in Observation.model_fields}
                done.add(run.settings.name, Observation(**raw), traces.get(one.id))
        return done


class Journal:
    """An open journal; each result is handed to the system as it comes."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    @classmethod
    def create(cls, path: Path, subject: dict[str, Any]) -> Journal:
        """A new one. `subject`: see `check_subject`.

        Raises:
            InputError: it cannot be written.
        """
        journal = cls(_opened(path, "w"))
        journal._write({"journal_version": JOURNAL_VERSION, "subject": subject})
        return journal

    @classmethod
    def resume(cls, path: Path) -> Journal:
        """One that is there already, to be gone on with. A torn last line is cut off.

        Raises:
            InputError: it cannot be written.
        """
        whole = path.read_bytes()
        whole = whole[: whole.rfind(b"\n") + 1]
        file = _opened(path, "r+")
        file.truncate(len(whole))
        file.seek(0, 2)
        return cls(file)

    def add(self, run: str, observation: Observation, trace: Trace | None) -> None:
        """Write one result down.

        Raises:
            InputError: the disk is full, or the like.
        """
        line: dict[str, Any] = {"run": run, "observation": observation.model_dump(mode="json")}
        if trace is not None:
            line["trace"] = trace.model_dump(mode="json")
        self._write(line)

    def _write(self, line: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise InputError(f"cannot write {self._file.name}: {error.strerror}") from error

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _opened(path: Path, mode: Literal["w", "r+"]) -> TextIO:
    try:
        return path.open(mode, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def read_journal(path: Path, subject: dict[str, Any]) -> Done:
    """What a journal holds, if it is of `subject`.

    Raises:
        InputError: it is of another model, corpus, …, or a line other than the last is damaged.
    """
    lines = _lines(path)
    first = next(lines, (0, None))[1]
    if not isinstance(first, dict) or first.get("journal_version") != JOURNAL_VERSION:
        raise InputError(
            f"{path} is no journal of a benchmark that this version can go on with; "
            "delete it, or give force=True to start anew",
            arguments=("force",),
        )
    check_subject(first.get("subject"), subject, path)
    done = Done()
    for number, line in lines:
        try:
            trace = Trace.model_validate(line["trace"]) if line.get("trace") else None
            done.add(str(line["run"]), Observation.model_validate(line["observation"]), trace)
        except ValidationError as error:
            fault = first_fault(error, Observation.model_fields)
            raise InputError(f"{path}:{number}: {fault}") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path}:{number}: not a line of a journal: {error}") from error
    return done


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    parts = path.read_bytes().split(b"\n")
    for number, part in enumerate(parts[:-1], 1):  # what follows the last newline is torn
        try:
            yield number, json.loads(part)
        except ValueError as error:
            raise InputError(
                f"{path}:{number} is damaged ({error}); give force=True to start anew",
                arguments=("force",),
            ) from error


def check_subject(found: Any, wanted: dict[str, Any], path: Path) -> None:
    """Make sure that what was measured before is what is measured now.

    Both are {what: value}, such as {"corpus": fingerprint}; under "runs" {name: {what: value}}.
    Runs may be added, all else must be the same.

    Raises:
        InputError: something differs; it is named.
    """
    found = found if isinstance(found, dict) else {}
    before, now = _flat(found), _flat(wanted)
    for key in (*now, *(key for key in before if key not in now)):
        is_new_run = key.startswith(_OF_RUN) and key not in before
        if before.get(key) != now.get(key) and not is_new_run:
            raise InputError(
                f"cannot resume {path}: {key} was {shown(before.get(key))}, now it is "
                f"{shown(now.get(key))}; resume with the same, or give force=True to start anew",
                arguments=("force",),
            )


def _flat(subject: dict[str, Any]) -> dict[str, Any]:
    runs = subject.get("runs")
    named = {key: value for key, value in subject.items() if key != "runs"}
    for name, values in (runs if isinstance(runs, dict) else {}).items():
        for key, value in (values if isinstance(values, dict) else {}).items():
            named[f"{_OF_RUN}{name!r}, {key}"] = value
    return named
