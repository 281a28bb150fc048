"""Reading the results that others have published: one JSON object with a `per_sample` list.

The layout is that of WhisperLiveKit's benchmark of March 2026. Only the texts and the times of
each sample are taken over; every total is computed again from them, and what the file states
itself is kept beside (`BenchmarkFile.stated`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import InputError
from ..files import first_fault
from .result import (
    BenchmarkFile,
    CorpusInfo,
    Machine,
    Mode,
    ModelInfo,
    Observation,
    Run,
    RunSettings,
)
from .scores import scored, totals

_STATED = {
    "wer": "wer",
    "cer": "cer",
    "rtf": "rtf",
    "median_wer": "median_wer",
    "p90_wer": "p90_wer",
    "p95_wer": "p95_wer",
    "total_audio_s": "audio_s",
    "total_inference_s": "wall_s",
}
_MODES: dict[str, Mode] = {
    "simul-streaming": "simul",
    "simul": "simul",
    "single-shot": "single-shot",
    "batch": "offline",
    "offline": "offline",
}


class _Sample(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    id: Annotated[str, Field(min_length=1)]
    ref: str
    hyp: str
    duration_s: Annotated[float, Field(gt=0)]
    infer_time_s: Annotated[float, Field(ge=0)] | None = None


class _Published(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    model: Annotated[str, Field(min_length=1)]
    backend: str | None = None
    mode: str = "simul"
    platform: str = "not stated"
    config: dict[str, Any] = {}
    per_sample: Annotated[list[_Sample], Field(min_length=1)]


def is_published(content: dict[str, Any]) -> bool:
    """Whether a JSON object has that layout."""
    return "per_sample" in content and "schema_version" not in content


def from_published(content: dict[str, Any], path: Path) -> BenchmarkFile:
    """The benchmark file that `content`, read from `path`, amounts to.

    Raises:
        InputError: a key is missing or a value is not what it must be.
    """
    try:
        file = _Published.model_validate(content, strict=True)
    except ValidationError as error:
        raise InputError(f"{path}: {first_fault(error, _Published.model_fields)}") from error
    mode = _MODES.get(file.mode)
    if mode is None:
        raise InputError(f"{path}: mode is {file.mode!r}, expected one of {', '.join(_MODES)}")
    try:
        utterances = [
            scored(
                Observation(
                    id=one.id,
                    reference=one.ref,
                    hypothesis=one.hyp,
                    duration_s=one.duration_s,
                    wall_s=one.infer_time_s,
                )
            )
            for one in file.per_sample
        ]
        chunk_s = file.config.get("chunk_seconds")
        settings = RunSettings(
            name=file.mode,
            mode=mode,
            config=file.config,
            step_s=float(chunk_s) if isinstance(chunk_s, int | float) else None,
        )
        stated = {ours: content[theirs] for theirs, ours in _STATED.items() if theirs in content}
        return BenchmarkFile(
            model=ModelInfo(name=file.model, fingerprint=None, dtype=None),
            corpus=CorpusInfo(
                name=str(file.config.get("dataset", "not stated")),
                fingerprint=None,
                utterances=len(utterances),
                group="chapter" if file.config.get("chapter_grouped") else "utterance",
            ),
            machine=Machine(platform=file.platform, device=None, backend=file.backend),
            runs=[
                Run(
                    settings=settings,
                    totals=totals(utterances, mode, 0),
                    memory=None,
                    utterances=utterances,
                )
            ],
            source=path.name,
            stated=stated,
        )
    except ValidationError as error:
        raise InputError(f"{path}: {first_fault(error, _Published.model_fields)}") from error
