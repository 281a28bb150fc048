"""The lines of a benchmark's journal: one an utterance. See `alignheads.journal`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from ..errors import InputError
from ..files import first_fault
from ..journal import Journal
from .result import BenchmarkFile, Memory, Observation
from .trace_types import Trace


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


def add_to(journal: Journal, run: str, observation: Observation, trace: Trace | None) -> None:
    """Write one result down.

    Raises:
        OutputError: the disk is full, or the like.
    """
    line: dict[str, Any] = {"run": run, "observation": observation.model_dump(mode="json")}
    if trace is not None:
        line["trace"] = trace.model_dump(mode="json")
    journal.add(line)


def done_in(lines: Iterable[tuple[int, Any]], journal: Journal) -> Done:
    """What the lines of a journal hold.

    Raises:
        InputError: one is damaged.
    """
    done = Done()
    for number, line in lines:
        place = f"{journal.path}:{number}"
        try:
            trace = Trace.model_validate(line["trace"]) if line.get("trace") else None
            done.add(str(line["run"]), Observation.model_validate(line["observation"]), trace)
        except ValidationError as error:
            fault = first_fault(error, Observation.model_fields)
            raise InputError(f"{place}: {fault}") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{place}: not a line of a journal: {error}") from error
    return done
