"""A whole benchmark: decoders over a corpus into a benchmark file, resumable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..corpora import Corpus
from ..errors import InputError
from ..runtime.models import machine
from ..runtime.models.protocol import AlignmentModel
from .error_rates import word_errors
from .items import Item, make_items, shown_items
from .journal import Done, Journal, check_subject, journal_path, read_journal
from .measure import Decoder, run_decoder
from .normalise import normalise, scoring_language
from .result import (
    BenchmarkFile,
    CorpusInfo,
    Group,
    Machine,
    Memory,
    ModelInfo,
    Observation,
    Run,
    Trace,
    load_benchmark,
)
from .scores import scored, totals

_LONGEST_SHOWN_S = 15.0  # a longer timeline is hard to read


@dataclass
class Running:
    """Where a run stands: what a progress line shows. `rate` and `rtf` are None at first."""

    run: str
    total: int
    done: int = 0
    errors: int = 0
    words: int = 0
    wall_s: float = 0.0
    audio_s: float = 0.0

    def add(self, one: Observation) -> None:
        """Count one more, by the basic normaliser."""
        language = scoring_language(one.reference, one.language)
        pair = [normalise(text, "basic", language) for text in (one.reference, one.hypothesis)]
        counts = word_errors([pair[0]], [pair[1]])
        self.done += 1
        self.errors += counts.errors
        self.words += counts.reference
        self.wall_s += one.wall_s or 0.0
        self.audio_s += one.duration_s

    @property
    def rate(self) -> float | None:
        """Word error rate so far."""
        return self.errors / self.words if self.words else None

    @property
    def rtf(self) -> float | None:
        """Real-time factor so far."""
        return self.wall_s / self.audio_s if self.audio_s else None


@dataclass(frozen=True)
class Job:
    """What is to be measured.

    Attributes:
        model: loaded.
        corpus: all of it.
        decoders: with names of their own.
        group: utterances or chapters.
        limit: only so many utterances; None: all.
        language: see `measure.observe`.
        seed: of the bootstrap.
        traces: how many utterances of each simul run are watched step by step.
    """

    model: AlignmentModel
    corpus: Corpus
    decoders: Sequence[Decoder]
    group: Group = "utterance"
    limit: int | None = None
    language: str | None = None
    seed: int = 0
    traces: int = 3

    def items(self) -> list[Item]:
        """See `make_items`."""
        return make_items(self.corpus, self.group, self.limit)


def benchmark(
    job: Job,
    out: Path,
    *,
    resume: bool = False,
    progress: Callable[[Running], None] | None = None,
) -> BenchmarkFile:
    """Measure, and write the benchmark file `out`.

    While it runs, a journal lies beside `out`. With `resume`, what the journal or a finished
    `out` holds already is taken over, if it is of the same model, corpus, configuration, ….

    Raises:
        InputError: the corpus has no transcripts or cannot be grouped, audio cannot be used, or
            what is there is of something else.
        Exception: what the engine raises. The journal stays.
    """
    items = job.items()
    file = _frame(job, items)
    subject = _subject(job, file)
    path = journal_path(out)
    is_begun = resume and path.exists() and b"\n" in path.read_bytes()
    if is_begun:
        done = read_journal(path, subject)
    elif resume and out.exists():
        done = _finished(out, subject)
    else:
        done = Done()
    _check_items(done, items, out)
    runs: list[Run] = []
    with Journal.resume(path) if is_begun else Journal.create(path, subject) as journal:
        if not is_begun:
            for run, observations in done.observations.items():
                for id, one in observations.items():
                    journal.add(run, one, done.traces.get(run, {}).get(id))
        for decoder in job.decoders:
            runs.append(_run(job, decoder, items, done, journal, progress))
    fields = {name: getattr(file, name) for name in ("model", "corpus", "machine", "seed")}
    finished = BenchmarkFile(**fields, runs=runs)
    finished.save(out)
    path.unlink(missing_ok=True)
    return finished


def _frame(job: Job, items: Sequence[Item]) -> BenchmarkFile:
    """The file without its runs."""
    return BenchmarkFile.model_construct(
        model=ModelInfo(
            name=job.model.name,
            fingerprint=job.model.fingerprint,
            dtype=job.model.dtype,
        ),
        corpus=CorpusInfo(
            name=job.corpus.name,
            fingerprint=job.corpus.fingerprint,
            utterances=sum(len(item.utterances) for item in items),
            group=job.group,
            language=job.language,
        ),
        machine=Machine(
            platform=machine.platform_name(),
            device=machine.device_name(),
            backend=machine.backend_name(),
            versions=machine.versions(),
        ),
        seed=job.seed,
        runs=[],
    )


def _subject(job: Job, file: BenchmarkFile) -> dict[str, Any]:
    """What must be the same for a benchmark to go on."""
    runs = {}
    for decoder in job.decoders:
        settings = decoder.settings(job.model)
        runs[decoder.name] = {
            "mode": settings.mode,
            "config": settings.config_sha256,
            "heads": settings.heads_sha256,
        }
    return _subject_of(file, runs)


def _subject_of(file: BenchmarkFile, runs: dict[str, dict[str, str | None]]) -> dict[str, Any]:
    return {
        "model": file.model.name,
        "model files": file.model.fingerprint,
        "dtype": file.model.dtype,
        "backend": file.machine.backend,
        "device": file.machine.device,
        "corpus": file.corpus.fingerprint,
        "group": file.corpus.group,
        "language": file.corpus.language,
        "runs": runs,
    }


def _finished(out: Path, subject: dict[str, Any]) -> Done:
    """What the finished file at `out` holds, if it is of `subject`."""
    before = load_benchmark(out)
    runs = {
        run.settings.name: {
            "mode": run.settings.mode,
            "config": run.settings.config_sha256,
            "heads": run.settings.heads_sha256,
        }
        for run in before.runs
    }
    check_subject(_subject_of(before, runs), subject, out)
    return Done.from_file(before)


def _check_items(done: Done, items: Sequence[Item], out: Path) -> None:
    """What was decoded before must be asked for now; a chapter that has grown is forgotten."""
    wanted = {item.id: item.reference for item in items}
    for observations in done.observations.values():
        for id in list(observations):
            if id not in wanted:
                raise InputError(
                    f"cannot resume {out}: it holds {id!r}, which is not asked for now; "
                    "give no smaller limit than before, or force=True to start anew",
                    arguments=("limit", "force"),
                )
            if observations[id].reference != wanted[id]:
                del observations[id]


def _run(
    job: Job,
    decoder: Decoder,
    items: Sequence[Item],
    done: Done,
    journal: Journal,
    progress: Callable[[Running], None] | None,
) -> Run:
    running = Running(decoder.name, len(items))
    for one in done.of(decoder.name).values():
        running.add(one)

    def keep(one: Observation, trace: Trace | None) -> None:
        done.add(decoder.name, one, trace)
        journal.add(decoder.name, one, trace)
        running.add(one)
        if progress is not None:
            progress(running)

    watched = shown_items(items, job.traces, _LONGEST_SHOWN_S) if decoder.mode == "simul" else []
    machine.reset_peak_array_bytes()
    run_decoder(
        job.model, decoder, items, job.language,
        known=dict(done.of(decoder.name)),
        traced=frozenset(item.id for item in watched),
        on_observation=keep,
    )  # fmt: skip
    found = done.of(decoder.name)
    utterances = [scored(found[item.id]) for item in items]
    traces = done.traces.get(decoder.name, {})
    return Run(
        settings=decoder.settings(job.model),
        totals=totals(utterances, decoder.mode, job.seed),
        memory=_memory(done.memory.get(decoder.name)),
        utterances=utterances,
        traces=[traces[item.id] for item in items if item.id in traces],
    )


def _memory(before: Memory | None) -> Memory:
    """The peaks of this process, or of one before that did a part of the run."""
    peaks = (machine.peak_process_bytes(), machine.peak_array_bytes())
    if before is not None:
        peaks = (
            max(peaks[0], before.process_bytes or 0),
            max(peaks[1], before.array_bytes or 0),
        )
    return Memory(process_bytes=peaks[0], array_bytes=peaks[1])
