"""A whole benchmark: decoders over a corpus into a benchmark file, resumable."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..cluster import Cluster, check_address, open_cluster
from ..corpora import Corpus, Utterance, load_corpus
from ..corpora.corpus import Skipped
from ..corpora.readable import unreadable
from ..errors import InputError
from ..files import output_path
from ..heads import HeadsFile, load_heads
from ..journal import Journal, check_subject, has_lines, is_in_use, journal_path
from ..runtime.models import machine
from ..runtime.models.context import checked_context
from ..runtime.models.elsewhere import ModelElsewhere
from ..runtime.models.model import Dtype, SpeechModel
from ..runtime.models.protocol import AlignmentModel
from ..runtime.stream.config import LEAST_STEP_S, DecoderConfig, chosen_config
from ..runtime.stream.voice import check_installed
from .elsewhere import run_elsewhere
from .error_rates import word_errors
from .items import Item, make_items, shown_items
from .journal import Done, add_to, done_in
from .load import load_benchmark
from .measure import DETECT, Decoder, decoders, run_decoder, with_heads
from .normalise import ErrorName, Unit, error_name, normalise, unit_of
from .result import (
    GROUPS,
    MODES,
    BenchmarkFile,
    CorpusInfo,
    Group,
    Machine,
    Memory,
    Mode,
    ModelInfo,
    Observation,
    Run,
    Trace,
)
from .scores import scored, totals

_log = logging.getLogger(__name__)

_LONGEST_SHOWN_S = 15.0  # a longer timeline is hard to read


@dataclass
class Running:
    """Where a run stands: what a progress line shows. `rate` and `rtf` are None at first.

    `kinds`: an example of each kind of reference: with letters or not, and its unit.
    """

    run: str
    total: int
    done: int = 0
    errors: int = 0
    words: int = 0
    wall_s: float = 0.0
    audio_s: float = 0.0
    kinds: dict[tuple[bool, Unit], str] = field(default_factory=dict)

    def add(self, one: Observation) -> None:
        """Count one more, by the basic normaliser."""
        said, language = one.reference, one.language
        pair = [normalise(text, "basic", language, said) for text in (said, one.hypothesis)]
        counts = word_errors([pair[0]], [pair[1]])
        self.kinds.setdefault((any(map(str.isalpha, said)), unit_of(said, language)), said)
        self.done += 1
        self.errors += counts.errors
        self.words += counts.reference
        self.wall_s += one.wall_s or 0.0
        self.audio_s += one.duration_s

    @property
    def error_name(self) -> ErrorName:
        """What `rate` is called."""
        return error_name((text, unit) for (_, unit), text in self.kinds.items())

    @property
    def rate(self) -> float | None:
        """Errors over words of reference so far (or characters: see `error_name`)."""
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
        skipped: utterances of the corpus that cannot be decoded.
        cluster: decodes in place of this process.
        elsewhere: the model, as its workers load it.
    """

    model: AlignmentModel
    corpus: Corpus
    decoders: Sequence[Decoder]
    group: Group = "utterance"
    limit: int | None = None
    language: str | None = None
    seed: int = 0
    traces: int = 3
    skipped: tuple[Skipped, ...] = ()
    cluster: Cluster | None = None
    elsewhere: ModelElsewhere | None = None

    def items(self) -> list[Item]:
        """See `make_items`; of what can be decoded."""
        asked = replace(self.corpus, utterances=self.corpus.utterances[: self.limit])
        return make_items(asked.without(self.skipped), self.group)


def benchmark_decoder(
    model: AlignmentModel | str | Path = "tiny",
    corpus: Corpus | str | Path = "demo:test",
    *,
    configs: Sequence[DecoderConfig | str | Path] = (),
    heads: HeadsFile | str | Path | None = None,
    modes: Sequence[Mode] = ("simul",),
    group: Group = "utterance",
    steps_s: Sequence[float] = (),
    max_utterances: int | None = None,
    language: str | None = None,
    context: str = "",
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    traces: int = 0,
    seed: int = 0,
    vad: bool = False,
    dtype: Dtype | None = None,
    strict: bool = False,
    dask: str | None = None,
    wait: bool = False,
    send_audio: bool = False,
    progress: Callable[[Running], None] | None = None,
) -> BenchmarkFile:
    """Measure decoders on a corpus: word error rate, latency, real-time factor.

    Args:
        model: a loaded model, or what `SpeechModel.load` takes.
        corpus: a `Corpus`, or what `load_corpus` takes.
        configs: configurations or their files; empty: the one bundled for the model.
        heads: a heads file in place of the configurations' own, or what `load_heads` takes.
        modes: "simul": as a live stream; "single-shot": all audio at once through the streaming
            decoder; "offline": plain decoding.
        group: "utterance", or "chapter": utterances of a chapter put together.
        steps_s: seconds of audio between the steps of simul, in place of the configurations' own.
        max_utterances: only the first so many of the corpus; None: all.
        language: given to the model; "detect": none is; None: the corpus's own.
        context: names and terms that may be said: the model is told them all along.
        out: the benchmark file to write; None: nothing is written.
        resume: go on where an earlier run with the same `out` was stopped.
        force: overwrite `out`, and start anew.
        traces: how many utterances of each simul run to keep step by step, for a report.
        seed: of the bootstrap.
        vad: decode only what is speech, whatever the configurations say.
        dtype: of a model that is loaded here.
        strict: fail where an utterance would be skipped.
        dask: decode on a Dask cluster: the address of its scheduler, or "local:N" for N processes
            here. Results are the same but for times and memory, which are those of the workers.
        wait: go on waiting while there are no workers.
        send_audio: send the audio to workers that cannot see its files.
        progress: called after each utterance.

    Raises:
        InputError: bad input of any kind. Nothing was written then.
        ClusterError: the cluster has gone; the journal has what it did.
    """
    check_options(modes, group, steps_s, max_utterances, traces, seed)
    check_address(dask, wait=wait, send_audio=send_audio)
    path = None if out is None else Path(out)
    if path is not None:
        given = [one for one in (model, corpus, heads, *configs) if isinstance(one, str | Path)]
        check_output(path, resume=resume, force=force, reads=given)
    elif resume:
        raise InputError("resume needs out, the file to go on with", arguments=("resume", "out"))
    # What is wrong in a small file is told before a large one is loaded.
    given = _named_configs(configs)
    file = load_heads(heads) if isinstance(heads, str | Path) else heads
    settings = {"vad": True} if vad else {}
    if vad:
        check_installed()
    if not isinstance(corpus, Corpus):
        corpus = load_corpus(corpus, strict=strict)
    for skipped in corpus.skipped:
        _log.warning("skipped %s: %s", skipped.id, skipped.reason)
    with open_cluster(dask, wait=wait, send_audio=send_audio) as cluster:
        source = None
        if isinstance(model, str | Path):
            source, model = model, SpeechModel.load(model, dtype)
        elsewhere = cluster and ModelElsewhere.of(model, source)
        if language not in (None, DETECT):
            model.language_name(language)
        context = checked_context(model, context)
        resolved = [(name, chosen_config(model, one, file, settings)) for name, one in given]
        skipped = unreadable(corpus.utterances[:max_utterances], strict=strict)
        if language is None:
            readable = corpus.utterances[:max_utterances]
            skipped += _in_unknown_languages(model, readable, skipped, strict=strict)
        for one in skipped:
            _log.warning("skipped %s: %s", one.id, one.reason)
        job = Job(
            model=model,
            corpus=corpus,
            skipped=skipped,
            decoders=decoders(modes, resolved, steps_s, context),
            group=group,
            limit=max_utterances,
            language=language,
            seed=seed,
            traces=traces,
            cluster=cluster,
            elsewhere=elsewhere,
        )
        return benchmark(job, path, resume=resume, force=force, progress=progress)


def _in_unknown_languages(
    model: AlignmentModel,
    utterances: Sequence[Utterance],
    skipped: Sequence[Skipped],
    *,
    strict: bool,
) -> tuple[Skipped, ...]:
    """Those in a language that the model lacks, but for `skipped` ones.

    Raises:
        InputError: `strict`, and there is one.
    """
    found: list[Skipped] = []
    known = {one.id for one in skipped}
    for utterance in utterances:
        try:
            model.language_name(utterance.language)
        except InputError as error:
            if strict:
                raise InputError(
                    f"{utterance.id}: {error}; mend it, or load without strict",
                    arguments=("strict",),
                ) from error
            if utterance.id not in known:
                found.append(Skipped(utterance.id, str(error)))
    return tuple(found)


def _named_configs(
    configs: Sequence[DecoderConfig | str | Path],
) -> list[tuple[str, DecoderConfig | None]]:
    """Each configuration with a name of its own: that of its file, or its number."""
    named: list[tuple[str, DecoderConfig | None]] = []
    for number, one in enumerate(configs, 1):
        if isinstance(one, DecoderConfig):
            named.append((f"configuration {number}", one))
        else:
            named.append((Path(one).stem, DecoderConfig.load(one)))
    names = [name for name, _ in named]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two configurations are called {name}.json; give each its own name")
    return named or [("", None)]


def check_options(
    modes: Sequence[str],
    group: str,
    steps_s: Sequence[float],
    max_utterances: int | None,
    traces: int,
    seed: int,
) -> None:
    """Refuse options that cannot work, before anything is loaded.

    Raises:
        InputError: which, and what is expected.
    """
    if not modes:
        raise InputError(f"no mode is given, expected some of {', '.join(MODES)}")
    for mode in modes:
        if mode not in MODES:
            message = f"modes has {mode!r}, expected {', '.join(MODES)}"
            raise InputError(message, arguments=("modes",))
    if group not in GROUPS:
        message = f"group is {group!r}, expected one of {', '.join(GROUPS)}"
        raise InputError(message, arguments=("group",))
    for step_s in steps_s:
        if not LEAST_STEP_S <= step_s < math.inf:
            message = f"steps_s has {step_s}, expected {LEAST_STEP_S} seconds or more"
            raise InputError(message, arguments=("steps_s",))
    if len(steps_s) and "simul" not in modes:
        message = "steps_s is for the mode simul: the others take all audio at once"
        raise InputError(message, arguments=("steps_s",))
    if max_utterances is not None and max_utterances < 1:
        message = f"max_utterances is {max_utterances}, expected 1 or more"
        raise InputError(message, arguments=("max_utterances",))
    for name, value in (("traces", traces), ("seed", seed)):
        if value < 0:
            raise InputError(f"{name} is {value}, expected 0 or more", arguments=(name,))


def check_output(out: Path, *, resume: bool, force: bool, reads: Sequence[str | Path] = ()) -> None:
    """Make sure that `out` may be written, and that no stopped run is lost.

    Raises:
        InputError: why not.
    """
    if resume and force:
        message = "give resume=True to go on or force=True to start anew, not both"
        raise InputError(message, arguments=("resume", "force"))
    output_path(out, resume or force, reads)
    journal = journal_path(out)
    if journal.exists() and is_in_use(journal):
        raise InputError(f"another process is writing {out}; wait for it, or give another name")
    if has_lines(journal) and not (resume or force):
        raise InputError(
            f"{journal} is of a benchmark that was stopped; give resume=True to go on with it, or "
            "force=True to start anew",
            arguments=("resume", "force"),
        )


def benchmark(
    job: Job,
    out: Path | None,
    *,
    resume: bool = False,
    force: bool = False,
    progress: Callable[[Running], None] | None = None,
) -> BenchmarkFile:
    """Measure, and write the benchmark file `out` (None: nothing is written).

    While it runs, a journal lies beside `out`. With `resume`, what the journal or a finished
    `out` holds already is taken over, if it is of the same model, corpus, configuration, ….

    Raises:
        InputError: the corpus has no transcripts or cannot be grouped, audio cannot be used, or
            what is there is of something else.
        Exception: what the engine raises. The journal stays.
    """
    items = job.items()
    file = _frame(job, items)
    runs: list[Run] = []
    workers = _Workers()
    with contextlib.ExitStack() as stack:
        done, journal = Done(), None
        if out is not None:
            journal = stack.enter_context(Journal(journal_path(out)))
            done = _begun(job, file, items, out, journal, resume)
        for decoder in job.decoders:
            runs.append(_run(job, decoder, items, done, journal, workers, progress))
        fields = {name: getattr(file, name) for name in ("model", "corpus", "machine", "seed")}
        if workers.devices:
            names = sorted(workers.devices)
            fields["machine"] = file.machine.model_copy(update={"workers": names})
        finished = BenchmarkFile(**fields, runs=runs)
        if out is not None and journal is not None:
            finished.save(out, overwrite=resume or force)
            journal.remove()
    return finished


def _begun(
    job: Job, file: BenchmarkFile, items: Sequence[Item], out: Path, journal: Journal, resume: bool
) -> Done:
    """What was done before, if that is asked for; the journal is ready to be added to."""
    subject = _subject(job, file)
    is_begun = resume and journal.is_begun
    if is_begun:
        done = done_in(journal.go_on(subject), journal)
    elif resume and out.exists():
        done = _finished(out, subject)
    else:
        done = Done()
    _check_items(done, items, out)
    if not is_begun:
        journal.start(subject)
        for run, observations in done.observations.items():
            for id, one in observations.items():
                add_to(journal, run, one, done.traces.get(run, {}).get(id))
    return done


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
            skipped=len(job.corpus.skipped) + len(job.skipped),
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
            "context": settings.context,
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
            "context": run.settings.context,
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
                    "give no smaller max_utterances than before, or force=True to start anew",
                    arguments=("max_utterances", "force"),
                )
            if observations[id].reference != wanted[id]:
                del observations[id]


def _run(
    job: Job,
    decoder: Decoder,
    items: Sequence[Item],
    done: Done,
    journal: Journal | None,
    workers: _Workers,
    progress: Callable[[Running], None] | None,
) -> Run:
    workers.memory = None
    running = Running(decoder.name, len(items))
    for one in done.of(decoder.name).values():
        running.add(one)

    def keep(one: Observation, trace: Trace | None) -> None:
        done.add(decoder.name, one, trace)
        if journal is not None:
            add_to(journal, decoder.name, one, trace)
        running.add(one)
        if progress is not None:
            progress(running)

    watched = shown_items(items, job.traces, _LONGEST_SHOWN_S) if decoder.mode == "simul" else []
    known, traced = dict(done.of(decoder.name)), frozenset(item.id for item in watched)
    if job.cluster is None or job.elsewhere is None:
        machine.reset_peak_array_bytes()
        run_decoder(
            job.model, decoder, items, job.language,
            known=known, traced=traced, on_observation=keep,
        )  # fmt: skip
    else:
        run_elsewhere(
            job.cluster, job.elsewhere, with_heads(decoder, job.model), items, job.language,
            known=known, traced=traced, on_observation=keep, on_worker=workers.add,
        )  # fmt: skip
    found = done.of(decoder.name)
    utterances = [scored(found[item.id]) for item in items]
    traces = done.traces.get(decoder.name, {})
    return Run(
        settings=decoder.settings(job.model),
        totals=totals(utterances, decoder.mode, job.seed),
        memory=_peaks(workers.memory or _own_memory(), done.memory.get(decoder.name)),
        utterances=utterances,
        traces=[traces[item.id] for item in items if item.id in traces],
    )


@dataclass
class _Workers:
    """What the workers of a cluster are; none: this process decodes.

    Attributes:
        memory: their peaks in the run at hand.
        devices: of all of them.
    """

    memory: Memory | None = None
    devices: set[str] = field(default_factory=set)

    def add(self, memory: Memory, device: str) -> None:
        """Note one more."""
        self.memory = _peaks(memory, self.memory)
        self.devices.add(device)


def _own_memory() -> Memory:
    return Memory(
        process_bytes=machine.peak_process_bytes(), array_bytes=machine.peak_array_bytes()
    )


def _peaks(memory: Memory, before: Memory | None) -> Memory:
    """The peaks of both: of processes that each did a part of the run."""
    if before is None:
        return memory
    return Memory(
        process_bytes=max(memory.process_bytes or 0, before.process_bytes or 0),
        array_bytes=max(memory.array_bytes or 0, before.array_bytes or 0),
    )
