"""`alignheads.calibrate_decoder(…)`: a whole sweep in one call, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..cluster import check_address, open_cluster
from ..corpora import Corpus
from ..heads import HeadsFile
from ..runtime.models.aligners import AlignerName
from ..runtime.models.model import SpeechModel
from ..runtime.stream.config import DecoderConfig
from .outputs import Outputs
from .result import Border, CalibrationFile
from .setting_up import set_up
from .speech import SpeechOptions
from .study.pareto import DEFAULT_RULE
from .study.space import DEFAULT_BORDER, Tunable
from .study.storage import failing_as_input
from .sweep import Sweep, SweepOptions


@dataclass(frozen=True)
class Calibration:
    """What a sweep came to.

    Attributes:
        config: the decoder's configuration that was chosen.
        report: every trial, the front, the selection, and how it does on held-out speech.
    """

    config: DecoderConfig
    report: CalibrationFile


def calibrate_decoder(
    model: SpeechModel | str | Path = "tiny",
    corpus: Corpus | str | Path | None = None,
    *,
    trials: int = 50,
    heads: HeadsFile | str | Path | None = None,
    test_corpus: Corpus | str | Path | None = None,
    holdout: float = 0.5,
    clips: int | None = None,
    phases: int | None = None,
    language: str | None = None,
    border: Border = DEFAULT_BORDER,
    tune: Sequence[Tunable] = (),
    max_heads: int | None = None,
    select: str = DEFAULT_RULE,
    realtime: bool = False,
    max_rtf: float | None = None,
    max_gflops: float | None = None,
    cost: bool = False,
    explain: bool = False,
    seed: int = 0,
    storage: str | None = None,
    study: str | None = None,
    store: Path | str | None = None,
    aligner: AlignerName | None = None,
    strict: bool = False,
    dask: str | None = None,
    wait: bool = False,
    send_audio: bool = False,
    out: Path | str | None = None,
    report: Path | str | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Calibration:
    """Tune the streaming policy: word error rate against emission delay.

    Args:
        model: a `SpeechModel`, or what `SpeechModel.load` takes.
        corpus: to tune on: a `Corpus`, or what `load_corpus` takes; None: demo:dev for the tiny
            model, librispeech:dev-clean for others.
        trials: complete trials in all; a study that has some already goes on from there.
        heads: a `HeadsFile`, or what `load_heads` takes; None: the one bundled for the model.
        test_corpus: to score the result on; None: demo:test for demo:dev, else the part
            `holdout` of the corpus, which is then not tuned on.
        holdout: see there, more than 0 and less than 1.
        clips: at most so many utterances of each; None: 200.
        phases: how often each utterance is streamed, see `SpeechOptions`.
        language: given to the model; None: the utterances' own.
        border: what a border is measured in, "seconds" or "fraction" of the buffer.
        tune: what else to search: "step_s", "max_audio_s", "aggregate", "reuse",
            "refresh_s".
        max_heads: the most heads a trial may use; None: all ranked ones.
        select: "within=1" or "max-wer-increase=0.3" (percentage points), "max-delay=0.8"
            (seconds), "min-cost=0.5" (the least compute, percentage points), or "knee"; see
            `study.pareto.Rule`.
        realtime: choose only among trials that keep up with the audio.
        max_rtf: choose only among trials with at most this real-time factor.
        max_gflops: choose only among those that compute at most so many GFLOP a second of audio.
        cost: search compute as a third objective.
        explain: have what the study teaches in the report.
        seed: of the search, of the parts and of the clips.
        storage: an Optuna URL or the name of a journal file; None: memory.
        study: its name there; None: that of the model.
        store: folder for what was decoded, or "memory"; None: the user's cache folder.
        aligner: gold, qwen3 or pocketsphinx; None: gold where the corpus has it.
        strict: fail where an utterance would be skipped.
        dask: decode on a Dask cluster: the address of its scheduler, or "local:N" for N processes
            here. What is decoded comes into this process's store.
        wait: go on waiting while there are no workers.
        send_audio: send the audio to workers that cannot see its files.
        out: decoder_config.json, written after every improvement and at the end.
        report: calibration.json, written at the end.
        progress: called with complete trials and trials in all.

    Raises:
        InputError: bad input of any kind, or a study of something else.
        TrialsFailed: three trials in a row failed.
        ClusterError: the cluster has gone; the trials and what was decoded are kept.
    """
    check_address(dask, wait=wait, send_audio=send_audio)
    speech = SpeechOptions(corpus, test_corpus, holdout, clips, aligner, None, seed, phases, strict)
    options = SweepOptions(
        trials=trials,
        border=border,
        tune=tuple(tune),
        max_heads=max_heads,
        select=select,
        realtime=realtime,
        max_rtf=max_rtf,
        max_gflops=max_gflops,
        cost=cost,
        explain=explain,
        language=language,
        seed=seed,
        storage=storage,
        study=study,
        store=store,
    )
    options.check()
    with open_cluster(dask, wait=wait, send_audio=send_audio) as cluster:
        sweep = set_up(model, heads, speech, options, cluster=cluster)
        paths = [None if path is None else Path(path) for path in (out, report)]
        outputs = Outputs(sweep, *paths, force=True)
        sweep.run(lambda trial, standing: _after(outputs, standing, trials, progress))
        return conclude(sweep, outputs)


def _after(outputs: Outputs, standing, trials: int, progress) -> None:
    outputs.improved(standing)
    if progress is not None:
        progress(standing.complete, trials)


def conclude(
    sweep: Sweep, outputs: Outputs, progress: Callable[[int, int], object] | None = None
) -> Calibration:
    """Choose, score on held-out speech, and write the files.

    Args:
        sweep: whose trials have run.
        outputs: what to write.
        progress: called with held-out streams done, and in all.

    Raises:
        InputError: no trial meets the rule, or a file cannot be written.
    """
    with failing_as_input(sweep.options.storage_name):
        found = sweep.standing(strict=True)
        held_out = sweep.held_out(found, progress)
        report = sweep.file(found, held_out, sweep.replay_info(found))
        config = sweep.config(found, held_out)
    outputs.write(config, report)
    return Calibration(config, report)
