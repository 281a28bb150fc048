"""`align-corpus`: word times for a corpus, as TextGrids and a manifest."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

import typer

from ..commandline import progress_bar, run, say
from ..errors import ClusterError, InputError
from ..options import (
    AlignerOption,
    ClipsOption,
    CorpusArgument,
    DaskOption,
    ForceOption,
    SeedOption,
    SendAudioOption,
    StrictOption,
    WaitOption,
)
from ..wording import counted


def align_corpus(
    corpus: CorpusArgument,
    out: Annotated[Path, typer.Option(help="folder for the TextGrids and manifest.jsonl")],
    aligner: AlignerOption = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="JSONL file of word times to reuse and to add to; default: in OUT"),
    ] = None,
    language: Annotated[
        str | None, typer.Option(help='of utterances without a language, as in "English"')
    ] = None,
    clips: ClipsOption = None,
    seed: SeedOption = 0,
    dask: DaskOption = None,
    wait: WaitOption = False,
    send_audio: SendAudioOption = False,
    strict: StrictOption = False,
    force: ForceOption = False,
) -> None:
    """Give every utterance of a corpus word times.

    Writes one TextGrid for each utterance (tier "words"), in the same folders as the audio, and
    manifest.jsonl, which can be used as a corpus: discover-heads --corpus OUT/manifest.jsonl.
    """
    from importlib.metadata import version

    from ..cluster import check_address, open_cluster
    from ..journal import Journal, has_lines, journal_path
    from ..runtime.models.aligners import make_aligner
    from .alignment import align_utterances, default_aligner
    from .elsewhere import aligned_elsewhere
    from .export import export_plan, write_alignment
    from .load import load_corpus
    from .readable import unreadable

    if seed < 0:
        raise InputError(f"--seed is {seed}, expected 0 or more")
    check_address(dask, wait=wait, send_audio=send_audio)
    loaded = load_corpus(corpus, strict=strict, language=language)
    if clips is not None:
        loaded = loaded.sample(clips, seed)
    name = aligner or default_aligner(loaded)
    worker = make_aligner(name)
    if name == "gold":  # the others read the audio, and skip what cannot be
        loaded = loaded.without(unreadable(loaded.utterances, strict=strict))
    journal_file = journal_path(out / "manifest.jsonl")
    # Of a run that was stopped, the files that are there are its own.
    is_begun = not force and has_lines(journal_file)
    cache = cache or out / "alignments.jsonl"
    plan = export_plan(loaded, out, corpus, force or is_begun, [corpus, cache])
    subject = {
        "corpus": loaded.fingerprint,
        "aligner": f"{worker.name} ({worker.version})",
        "version": version("alignheads"),
    }
    with (
        Journal(journal_file) as journal,
        open_cluster(dask, wait=wait, send_audio=send_audio) as cluster,
    ):
        elsewhere = cluster and aligned_elsewhere(cluster, worker, make_aligner)
        if is_begun:
            list(journal.go_on(subject))
        else:
            journal.start(subject)
        say(f"aligning {counted(len(loaded), 'utterance')} of {loaded.name} with {name}")
        with progress_bar("aligning") as progress:
            done = itertools.count(1)
            try:
                aligned = align_utterances(
                    loaded, worker, cache, lambda: progress(next(done), len(loaded)), elsewhere
                )
            except ClusterError:
                say(f"stopped; what is done is kept in {cache}: run the same command again")
                raise
        journal.add({"files": len(plan)})
        manifest = write_alignment(aligned, plan, out, strict=strict)
        journal.remove()
    for line in aligned.counts.lines():
        say(line)
    if aligned.skipped:
        say(f"{counted(len(aligned.skipped), 'utterance')} skipped:")
        for one in aligned.skipped:
            say(f"  {one.id}: {one.reason}")
    print(manifest)


def main() -> None:
    """Entry point of `align-corpus`."""
    run(align_corpus)
