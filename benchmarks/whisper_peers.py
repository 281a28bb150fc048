"""Streaming decoders of Whisper side by side: the same weights, the same speech, one run.

    python benchmarks/whisper_peers.py --model FOLDER --corpus CORPUS --out FOLDER

What each contestant gave out is kept in the folder, so that a run that was stopped goes on with the
next one. The table made of it is printed, and kept as table.md and table.json. docs/peers.md says
what the lines mean.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from alignheads.commandline import run, say
from alignheads.corpora import Utterance
from alignheads.discovery.discover import prepare_corpus
from alignheads.errors import InputError
from alignheads.files import json_text, replacing
from alignheads.heads.load import load_heads
from alignheads.options import AlignerOption, AlignmentsOption, ClipsOption, CorpusOption
from alignheads.runtime.models import cpu
from alignheads.runtime.models.backend import mx
from alignheads.runtime.models.model import SpeechModel
from alignheads.runtime.models.whisper.languages import code_of
from alignheads.runtime.stream.config import DecoderConfig
from alignheads.runtime.stream.decoder import StreamDecoder, Word

# After the package, which makes MLX ready for this machine.
from side_by_side.answers import Answer, Answers, Piece  # isort: skip
from side_by_side.environments import (  # isort: skip
    REQUIREMENTS, NotRun, commit_of, drive, python_of, simulstreaming,
)  # fmt: skip
from side_by_side.local_agreement import LocalAgreement  # isort: skip
from side_by_side.protocol import RATE, streamed  # isort: skip
from side_by_side.score import Row, rows, table  # isort: skip
from side_by_side.weights import convert  # isort: skip

KINDS = ("offline", "local-agreement", "ours", "mlx-audio", "simulstreaming")
FRAME_THRESHOLD = 25  # the default of both
CPU = Path(cpu.__file__).parent
Run = Callable[[], tuple[dict[str, Any], list[Answer]]]


@dataclass(frozen=True)
class Contestant:
    """A line of the table; `settings` are what its answers depend on, beside model and speech."""

    kind: str
    name: str
    settings: dict[str, Any]
    run: Run

    @property
    def file(self) -> str:
        """Where its answers are kept."""
        return "".join(c if c.isalnum() or c in "-." else "_" for c in self.name) + ".json"


@dataclass(frozen=True)
class Job:
    """What all contestants are given."""

    model: SpeechModel
    utterances: Sequence[Utterance]
    step_s: float
    heads: Sequence[tuple[int, int]]
    out: Path
    source: Path | None

    @property
    def settings(self) -> dict[str, Any]:
        """What every contestant's answers depend on."""
        ids = [utterance.id for utterance in self.utterances]
        return {"model": self.model.fingerprint, "step_s": self.step_s, "utterances": ids}

    @property
    def language(self) -> str | None:
        """The code of the speech's language.

        Raises:
            InputError: there are several.
        """
        found = {utterance.language for utterance in self.utterances}
        if len(found) > 1:
            raise InputError(f"the corpus is in several languages: {', '.join(map(str, found))}")
        (name,) = found
        return name and code_of(name)


def offline(job: Job) -> Contestant:
    """All of the audio at once."""

    def open_stream(language: str | None):
        return lambda samples, is_last: [_piece(job.model.transcribe(samples, language).text)], None

    return Contestant("offline", "offline", {}, partial(here, job, open_stream, np.inf))


def local_agreement(job: Job) -> Contestant:
    """Our model, decoded anew at each step."""

    def open_stream(language: str | None):
        stream = LocalAgreement(
            lambda samples: job.model.transcribe(samples, language).text, job.model.min_samples
        )
        return (
            lambda samples, is_last: list(map(_piece, stream.feed(samples))),
            lambda: list(map(_piece, stream.finish())),
        )

    run = partial(here, job, open_stream, job.step_s)
    return Contestant("local-agreement", "LocalAgreement-2", {}, run)


def ours(job: Job, name: str, config: DecoderConfig) -> Contestant:
    """This package's decoder."""
    config = config.changed(step_s=job.step_s)

    def pieces(words: Sequence[Word]) -> list[Piece]:
        return [(w.spaced_text, w.start_s, w.end_s) for w in words]

    def open_stream(language: str | None):
        stream = StreamDecoder(job.model, config, language=language)
        return lambda samples, is_last: pieces(stream.feed(samples)), lambda: pieces(
            stream.finish()
        )

    settings = {"config": config.resolved(job.model).model_dump(mode="json")}
    return Contestant("ours", name, settings, partial(here, job, open_stream, job.step_s))


def _piece(text: str) -> Piece:
    return f" {text}", None, None


def here(job: Job, open_stream: Callable, step_s: float) -> tuple[dict[str, Any], list[Answer]]:
    """Run a contestant in this process; the first utterance once more before, to warm up."""

    def answer(utterance: Utterance) -> Answer:
        samples = utterance.read()
        steps = streamed(samples, step_s, *open_stream(utterance.language))
        return Answer.model_validate(
            {"id": utterance.id, "audio_s": len(samples) / RATE, "steps": steps}
        )

    answer(job.utterances[0])
    answers = []
    for utterance in job.utterances:
        say(f"  {utterance.id}")
        answers.append(answer(utterance))
    return {"device": str(mx.default_device()), "dtype": job.model.dtype}, answers


def mlx_audio(job: Job) -> Contestant:
    """mlx-audio's streaming, in its own environment."""
    settings = {
        "heads": job.heads, "language": job.language, "frame_threshold": FRAME_THRESHOLD,
        "versions": REQUIREMENTS["mlx_audio"].all,
    }  # fmt: skip
    return Contestant(
        "mlx-audio", "mlx-audio", settings, partial(elsewhere, job, "mlx_audio", settings)
    )


def simul_streaming(job: Job, frames: int, *, never_fire: bool = False) -> Contestant:
    """SimulStreaming, in its own environment."""
    settings = {
        "heads": job.heads, "language": job.language, "frame_threshold": frames,
        "never_fire": never_fire, "versions": REQUIREMENTS["simulstreaming"].all,
    }  # fmt: skip
    name = f"SimulStreaming, {frames} frames" + (", last word held" if never_fire else "")
    run = partial(elsewhere, job, "simulstreaming", settings)
    return Contestant("simulstreaming", name, settings, run)


def elsewhere(
    job: Job, driver: str, settings: dict[str, Any]
) -> tuple[dict[str, Any], list[Answer]]:
    """Run a contestant in an environment of its own, made in the folder of the results.

    Raises:
        NotRun: it cannot be set up, or fails.
    """
    say(f"  environment of {driver}")
    folder = job.out / "environments"
    python = python_of(driver, folder / driver)
    weights = convert(job.model.folder, job.out / "weights")
    given = {**settings, "step_s": job.step_s, "weights": str(weights), "cpu": str(CPU)}
    more = {}
    if driver == "simulstreaming":
        source = job.source or simulstreaming(folder / "SimulStreaming")
        given["source"] = str(source)
        more["commit"] = commit_of(source)
    log = job.out / f"{driver}.log"
    about, answers = drive(driver, python, given, job.utterances, log, lambda id: say(f"  {id}"))
    return {**about, **more}, answers


def answers_of(job: Job, contestant: Contestant) -> Answers:
    """A contestant's answers: those in the folder if they are of the same settings, or new ones.

    Raises:
        NotRun: see `elsewhere`.
    """
    path = job.out / contestant.file
    settings = json.loads(json.dumps({**job.settings, **contestant.settings}))
    if path.is_file():
        kept = Answers.model_validate_json(path.read_text("utf-8"))
        if kept.settings == settings:
            say(f"{contestant.name}: kept from {path}")
            return kept
    say(contestant.name)
    load = os.getloadavg()[0]
    about, answers = contestant.run()
    machine = {"machine": platform.machine(), "cpus": os.cpu_count(), "load_before": load}
    found = Answers(
        name=contestant.name, settings=settings, about={**about, **machine}, answers=tuple(answers)
    )
    with replacing(path) as temporary:
        temporary.write_text(found.model_dump_json(), encoding="utf-8")
    return found


def compare(job: Job, contestants: Sequence[Contestant]) -> dict[str, str]:
    """Print and write the table; returns why contestants were not run, by name."""
    lines: list[Row] = []
    about: dict[str, Any] = {}
    not_run: dict[str, str] = {}
    for contestant in contestants:
        try:
            found = answers_of(job, contestant)
        except NotRun as error:
            not_run[contestant.name] = str(error)
            say(f"NOT RUN: {contestant.name}: {error}")
            continue
        about[contestant.name] = {"settings": contestant.settings, **found.about}
        at_once = contestant.kind == "offline"
        lines += rows(found.name, found.answers, job.utterances, at_once=at_once)
    text = table(lines) + "".join(f"\n| {name} | NOT RUN: {why} |" for name, why in not_run.items())
    audio_s = sum(len(utterance.read()) for utterance in job.utterances) / RATE
    title = (
        f"{job.model.name}, {len(job.utterances)} utterances, {audio_s:.0f} s, "
        f"steps of {job.step_s:g} s"
    )
    print(f"\n{title}\n\n{text}")
    content = {
        "model": job.model.name, **job.settings, "heads": job.heads,
        "rows": [row.model_dump(mode="json") for row in lines], "about": about, "not_run": not_run,
    }  # fmt: skip
    for name, written in (("table.md", f"{title}\n\n{text}"), ("table.json", json_text(content))):
        with replacing(job.out / name) as temporary:
            temporary.write_text(written + "\n", encoding="utf-8")
    return not_run


def whisper_peers(
    out: Annotated[Path, typer.Option(help="folder for results and the peers' environments")],
    model: Annotated[str, typer.Option(help="folder of a Whisper model")] = "whisper-base",
    corpus: CorpusOption = "librispeech:test-other",
    aligner: AlignerOption = None,
    alignments: AlignmentsOption = None,
    clips: ClipsOption = None,
    only: Annotated[str, typer.Option(help="some of them, with commas")] = ",".join(KINDS),
    heads: Annotated[
        str | None, typer.Option(help="heads file for the peers; default: the model's bundled one")
    ] = None,
    config: Annotated[
        list[Path] | None, typer.Option(help="of ours; default: the bundled one; can be repeated")
    ] = None,
    step_s: Annotated[float, typer.Option(help="audio of a step")] = 1.0,
    checkout: Annotated[
        Path | None, typer.Option("--simulstreaming", help="a checkout of it; default: cloned")
    ] = None,
    frame_threshold: Annotated[
        list[int] | None, typer.Option(help="of SimulStreaming, default 25; can be repeated")
    ] = None,
    hold_last_word: Annotated[
        bool, typer.Option("--hold-last-word", help="SimulStreaming also with its --never_fire")
    ] = False,
) -> None:
    """Compare streaming decoders on the same weights and speech."""
    kinds = only.split(",")
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise InputError(f"unknown: {', '.join(unknown)}; expected some of {','.join(KINDS)}")
    if checkout and not (checkout / "simulstreaming_whisper.py").is_file():
        raise InputError(f"{checkout} is no checkout of SimulStreaming")
    loaded = SpeechModel.load(model)
    speech = prepare_corpus(
        loaded, corpus, clips=clips, aligner=aligner, alignments=alignments
    ).part
    apart = {"mlx-audio", "simulstreaming"} & set(kinds)
    pairs = load_heads(heads, loaded.name).compact if apart else []
    out.mkdir(parents=True, exist_ok=True)
    job = Job(loaded, speech.utterances, step_s, pairs, out.resolve(), checkout)
    configs = (
        {f"ours, {path.stem}": DecoderConfig.load(path) for path in config}
        if config
        else {"ours": DecoderConfig.bundled(loaded.name)} if "ours" in kinds else {}
    )  # fmt: skip
    thresholds = frame_threshold or [FRAME_THRESHOLD]
    contestants = [
        offline(job), local_agreement(job), *(ours(job, *pair) for pair in configs.items()),
    ]  # fmt: skip
    if apart:
        contestants += [mlx_audio(job), *(simul_streaming(job, frames) for frames in thresholds)]
        if hold_last_word:
            contestants += [simul_streaming(job, frames, never_fire=True) for frames in thresholds]
    if not_run := compare(job, [one for one in contestants if one.kind in kinds]):
        say(f"NOT RUN: {', '.join(not_run)}")
        raise typer.Exit(1)


if __name__ == "__main__":
    run(whisper_peers)
