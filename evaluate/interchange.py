"""One run of a benchmark in the files of other projects' scorers: SimulEval, simulstream, NIST.

Texts are written by the basic normaliser (`normalise.py`), reference and hypothesis alike, one unit
of the error rate between two spaces: what those scorers call a word is then what is counted here,
in scripts without spaces, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from ..corpora.nist import ctm_line, field, stm_line
from ..errors import InputError
from ..files import output_path, replacing
from .items import Item
from .latency import CommittedWord
from .normalise import normalise
from .result import BenchmarkFile, Run, Utterance

SIMULEVAL_SUFFIX, SIMULSTREAM_SUFFIX = ".log", ".jsonl"
_BESIDE = (".config.yaml", ".segments.yaml", ".reference.txt")
_SIMULEVAL_CONFIG = "config.yaml"
"""Beside its log: what SimulEval reads, under this name, before it scores a log."""


@dataclass(frozen=True)
class Unit:
    """A unit of a hypothesis, as it is scored, with the word that it was committed in."""

    text: str
    word: CommittedWord


@dataclass(frozen=True)
class Interchange:
    """The files to write for other projects' scorers; None: not that one.

    Attributes:
        log: `instances.log` of SimulEval, or with the suffix `.jsonl` the log of simulstream.
        ctm: NIST CTM, the words of the hypothesis with their times.
        stm: NIST STM, the references.
    """

    log: Path | None = None
    ctm: Path | None = None
    stm: Path | None = None

    @property
    def is_asked(self) -> bool:
        """Whether there is a file to write at all."""
        return any((self.log, self.ctm, self.stm))

    @property
    def needs_stream(self) -> bool:
        """Whether words with times are needed, which offline decoding has not."""
        return bool(self.log or self.ctm)

    def check(self, *, force: bool, reads: Iterable[str | Path | None] = ()) -> None:
        """Make sure that all of the files can be written, each in a place of its own.

        Args:
            force: files that are there may be overwritten.
            reads: see `output_path`.

        Raises:
            InputError: which cannot, and why.
        """
        logs = log_paths(self.log) if self.log else []
        paths = [path for path in (*logs, self.ctm, self.stm) if path is not None]
        reads = list(reads)
        for path in paths:
            output_path(path, force, reads)
        if len({path.resolve() for path in paths}) < len(paths):
            names = ", ".join(map(str, paths))
            raise InputError(f"{names} must be different files; give each its own name")

    def write(self, file: BenchmarkFile, items: Sequence[Item] | None = None) -> list[Path]:
        """Write the files of the one run of a benchmark; returns their paths.

        Args:
            file: with one run.
            items: of the corpus; needed where chapters were decoded.

        Raises:
            InputError: there are several runs, the run has no stream, or it is of other items.
        """
        if len(file.runs) > 1:
            names = ", ".join(repr(run.settings.name) for run in file.runs)
            raise InputError(f"there are {len(file.runs)} runs, {names}; a log is of one alone")
        run = file.runs[0]
        written: list[Path] = []
        if self.log is not None:
            write_log(run, self.log, items)
            written += log_paths(self.log)
        if self.ctm is not None:
            write_ctm(run, self.ctm)
            written.append(self.ctm)
        if self.stm is not None:
            write_stm(run, self.stm, items)
            written.append(self.stm)
        return written


def log_paths(log: Path) -> list[Path]:
    """The files that `write_log` writes for `log`: itself, and those beside that its scorer needs.

    Raises:
        InputError: the name does not say for which scorer it is.
    """
    if log.suffix == SIMULEVAL_SUFFIX:
        return [log, log.with_name(_SIMULEVAL_CONFIG)]
    if log.suffix == SIMULSTREAM_SUFFIX:
        return [log, *(log.with_name(log.stem + end) for end in _BESIDE)]
    raise InputError(
        f"{log} does not say which log it is: name it instances{SIMULEVAL_SUFFIX} for SimulEval, "
        f"or with the suffix {SIMULSTREAM_SUFFIX} for simulstream"
    )


def write_log(run: Run, log: Path, items: Sequence[Item] | None = None) -> None:
    """Write a run as SimulEval's or simulstream's log, by the suffix of `log` (see `log_paths`).

    SimulEval's `instances.log` has an object for each utterance: the units, and for each in
    milliseconds the audio received when it was committed (`delays`) and the same with the wall time
    from then until it was out (`elapsed`). SimulEval asks for a config.yaml beside it.

    simulstream's log has, for each recording, its name and an object for each commit, in seconds.
    Beside it lie what its scorer asks for: the configuration, the segments, which are the
    utterances of each recording, and their references, one a line.

    Raises:
        InputError: the run has no stream, it is of other items, or a file cannot be written.
    """
    for one in run.utterances:
        _words(run, one)
    rows = list(enumerate(run.utterances))
    if log.suffix == SIMULEVAL_SUFFIX:
        contents = [
            [_json(_instance(*row)) for row in rows],
            ["source_type: speech", "target_type: text"],
        ]
    else:
        segments = list(_segments(run, items))
        contents = [
            [_json(line) for row in rows for line in _commits(*row)],
            ["detokenizer_type: simuleval", "latency_unit: word"],
            # A line of JSON is YAML, too.
            ["- " + _json(one.as_definition()) for one in segments],
            [one.reference for one in segments],
        ]
    for path, lines in zip(log_paths(log), contents, strict=True):
        _write(path, lines)


def write_ctm(run: Run, path: Path) -> None:
    """Write the words of a run with their times, as a NIST CTM file.

    Raises:
        InputError: the run has no word times, or the file cannot be written.
    """
    lines = []
    for one in sorted(run.utterances, key=lambda one: field(one.id)):
        for word in sorted(_words(run, one), key=lambda word: word.start_s):
            for unit in _units(one, word):
                lines.append(ctm_line(one.id, word.start_s, word.end_s, unit, word.probability))
    _write(path, lines)


def write_stm(run: Run, path: Path, items: Sequence[Item] | None = None) -> None:
    """Write the references of a run, as a NIST STM file: one segment for each utterance.

    Raises:
        InputError: the run is of other items, or the file cannot be written.
    """
    segments = sorted(_segments(run, items), key=lambda one: (field(one.recording), one.start_s))
    ends = [one.start_s + one.duration_s for one in segments]
    _write(
        path,
        [
            stm_line(one.recording, one.start_s, end_s, one.reference, one.speaker)
            for one, end_s in zip(segments, ends, strict=True)
        ],
    )


@dataclass(frozen=True)
class Segment:
    """An utterance as a part of a recording: where it is in it, in seconds, and its reference."""

    recording: str
    start_s: float
    duration_s: float
    reference: str
    speaker: str | None = None

    def as_definition(self) -> dict[str, object]:
        """As simulstream defines a part of a recording."""
        return {
            "wav": _wav_name(self.recording),
            "offset": round(self.start_s, 6),
            "duration": round(self.duration_s, 6),
        }


def _segments(run: Run, items: Sequence[Item] | None) -> Iterator[Segment]:
    by_id = {item.id: item for item in items or ()}
    for one in run.utterances:
        if items is None:
            yield Segment(one.id, 0.0, one.duration_s, _normalised(one.reference, one))
            continue
        item = by_id.get(one.id)
        if item is None or item.reference != one.reference:
            raise InputError(
                f"{one.id} of the run {run.settings.name} is not what stands under that name now; "
                "give the corpus and max_utterances that it was measured with",
                arguments=("corpus", "max_utterances"),
            )
        for start_s, length_s, part in item.parts():
            text = _normalised(part.text, one)
            yield Segment(one.id, start_s, length_s, text, part.speaker)


def _instance(index: int, one: Utterance) -> dict[str, object]:
    units = [Unit(text, word) for word in one.words or () for text in _units(one, word)]
    return {
        "index": index,
        "prediction": " ".join(unit.text for unit in units),
        "delays": [_ms(_received_s(one, unit.word)) for unit in units],
        "elapsed": [_ms(_received_s(one, unit.word) + unit.word.lag_s) for unit in units],
        "prediction_length": len(units),
        "reference": _normalised(one.reference, one),
        "source": [one.id],
        "source_length": _ms(one.duration_s),
    }


def _commits(number: int, one: Utterance) -> Iterator[dict[str, object]]:
    yield {"id": number, "metadata": {"wav_name": _wav_name(one.id)}}
    commits = groupby(one.words or (), key=lambda word: (_received_s(one, word), word.lag_s))
    made = [
        (audio_s, lag_s, [unit for word in words for unit in _units(one, word)])
        for (audio_s, lag_s), words in commits
    ]
    # A recording without a commit would have no place in the log.
    for audio_s, lag_s, tokens in made or [(one.duration_s, 0.0, [])]:
        yield {
            "id": number,
            "total_audio_processed": audio_s,
            "computation_time": lag_s,
            "generated_tokens": tokens,
            "deleted_tokens": [],
        }


def _received_s(one: Utterance, word: CommittedWord) -> float:
    """The audio received when a word was committed. All of it is no less than the whole.

    A benchmark file rounds to milliseconds, and scorers compare with the length.
    """
    is_all = word.emitted_s > one.duration_s - 0.001
    return one.duration_s if is_all else word.emitted_s


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 4)


def _wav_name(id: str) -> str:
    """What simulstream takes for the name of `id`'s audio: it leaves out folders and the suffix."""
    return id.replace("/", "_") + ".wav"


def _units(one: Utterance, word: CommittedWord) -> list[str]:
    """A committed word as it is scored: usually one unit, none where it is all punctuation."""
    return _normalised(word.text, one).split()


def _normalised(text: str, one: Utterance) -> str:
    return normalise(text, "basic", one.language, one.reference)


def _words(run: Run, one: Utterance) -> list[CommittedWord]:
    if one.words is None:
        raise InputError(
            f"the run {run.settings.name} has no words with times: it did not stream; "
            "measure it with modes=['simul']",
            arguments=("modes",),
        )
    return one.words


def _json(value: dict[str, object]) -> str:
    return json.dumps(value, ensure_ascii=False)


def _write(path: Path, lines: Iterable[str]) -> None:
    with replacing(path) as temporary:
        temporary.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
