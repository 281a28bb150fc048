"""The command `discover-heads`: parse, call, print."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..commandline import progress_bar, run, say
from ..errors import ClusterError, InputError
from ..files import output_folder, output_path
from ..journal import Journal, journal_path
from ..options import (
    AlignerOption,
    AlignmentsOption,
    ClipsOption,
    CorpusLanguageOption,
    DaskOption,
    DtypeOption,
    FiguresOption,
    ForceOption,
    ModelOption,
    ModelsCorpusOption,
    SeedOption,
    SendAudioOption,
    StrictOption,
    WaitOption,
)
from ..tables import print_table
from ..wording import counted

if TYPE_CHECKING:
    from ..cluster import Cluster
    from ..corpora import Utterance
    from ..heads import HeadsFile
    from ..runtime.models.model import SpeechModel
    from .discover import PreparedCorpus
    from .measure import Measurement


_FIGURES = (
    "heads_scores",
    "heads_stability",
    "heads_hit_rate_against_bias",
    "heads_set_error",
    "heads_attention",
)
_SUFFIXES = (".png", ".svg")


def discover_heads_command(
    model: ModelOption = "tiny",
    corpus: ModelsCorpusOption = None,
    clips: ClipsOption = None,
    language: CorpusLanguageOption = None,
    text: Annotated[
        str, typer.Option(help="score the model's own hypothesis, or the forced reference")
    ] = "hypothesis",
    rank_by: Annotated[
        str,
        typer.Option(
            help="hit_rate, monotonicity, time_error, mass, commit_accuracy, border_auc or set"
        ),
    ] = "hit_rate",
    cuts: Annotated[
        int, typer.Option(help="cut versions of each clip, for the border scores; 0: none")
    ] = 3,
    aligner: AlignerOption = None,
    alignments: AlignmentsOption = None,
    top: Annotated[int, typer.Option(help="how many of the best heads to print")] = 20,
    seed: SeedOption = 0,
    shard: Annotated[
        str | None,
        typer.Option(help="K/N: score only the K-th of N parts, and keep the sums for --merge"),
    ] = None,
    merge: Annotated[
        list[Path] | None,
        typer.Option(help="heads files of shards to pool, instead of scoring; repeat it"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="default: alignment_heads_<model>.json")] = None,
    figure: Annotated[
        Path | None, typer.Option(help="the heatmap; default: alignment_heads_<model>.png")
    ] = None,
    figures: FiguresOption = None,
    dtype: DtypeOption = None,
    dask: DaskOption = None,
    wait: WaitOption = False,
    send_audio: SendAudioOption = False,
    strict: StrictOption = False,
    force: ForceOption = False,
) -> None:
    """Find the attention heads of a Qwen3-ASR model that follow the audio.

    Scores every (layer, head) of the text decoder against word times and writes a heads file
    (JSON) and a heatmap (PNG). Without options: the bundled tiny model on the bundled speech.
    """
    from ..cluster import check_address, open_cluster
    from . import discover, shards

    discover.check_options(text, rank_by, top, cuts, seed)
    part = shards.parse_shard(shard) if shard else None
    if part and merge:
        raise InputError("--merge pools shards that were scored before; leave --shard out")
    if dask and merge:
        raise InputError("--merge pools shards that were scored before; leave --dask out")
    check_address(dask, wait=wait, send_audio=send_audio)
    if out is not None:
        output_path(out, force)
    with contextlib.ExitStack() as stack:
        # Who does not answer is told before a model is loaded.
        cluster = stack.enter_context(open_cluster(dask, wait=wait, send_audio=send_audio))
        found, example = shards.merge(merge) if merge else None, None
        if found is None:
            from ..runtime.models.model import SpeechModel

            loaded = SpeechModel.load(model, dtype)
            label = loaded.label + (f"_{part[0]}of{part[1]}" if part else "")
        else:
            loaded, label = None, found.subject.label
        reads = [model, corpus, alignments, *(merge or ()), *map(shards.sums_path, merge or ())]
        out = output_path(out or Path(f"alignment_heads_{label}.json"), force, reads)
        figure = _figure_path(figure or out.with_suffix(".png"), out, force, reads)
        if figures is not None:
            names = (f"{name}{end}" for name in _FIGURES for end in _SUFFIXES)
            output_folder(figures, names, force, reads)
        if part:
            output_path(shards.sums_path(out), force, reads)
        journal = None
        if found is None:
            assert loaded is not None
            journal = stack.enter_context(Journal(journal_path(out)))
            with progress_bar("word times") as progress:
                prepared = discover.prepare_corpus(
                    loaded, corpus, clips=clips, seed=seed, aligner=aligner, alignments=alignments,
                    shard=part, strict=strict, progress=progress,
                )  # fmt: skip
            found = _score(
                loaded, prepared, language, text, cuts, top, strict, journal, force, cluster, model
            )
            example = prepared.part.utterances[0]
        heads = discover.heads_file(found, rank_by, top)
        heads.save(out, overwrite=force)
        if part:
            shards.save_sums(found, part, shards.sums_path(out), overwrite=force)
        if journal is not None:
            journal.remove()
    _draw(heads, figure, figures)
    if loaded is not None and example is not None and figures is not None:
        _draw_attention(heads, loaded, example, language, figures)
    _report(heads, found, top)
    say(f"wrote {out} and {figure}")


def _score(
    model: SpeechModel,
    prepared: PreparedCorpus,
    language: str | None,
    text: str,
    cuts: int,
    top: int,
    strict: bool,
    journal: Journal,
    anew: bool,
    cluster: Cluster | None,
    given: str,
) -> Measurement:
    """Score every head, with progress; with `strict`, a skipped utterance is an InputError."""
    from .discover import measure_corpus

    for line in prepared.part.counts.lines():
        say(line)
    with progress_bar("discovering heads") as progress:
        try:
            found = measure_corpus(
                model, prepared, language, text, cuts, top=top, progress=progress,
                journal=journal, anew=anew, cluster=cluster, given=given,
            )  # fmt: skip
        except (KeyboardInterrupt, ClusterError):
            if journal.count > 0:
                say(f"stopped; what is done is kept in {journal.path}: run the same command again")
            raise
    if strict and found.skipped:
        name, reason = next(iter(found.skipped.items()))
        raise InputError(f"{found.subject.corpus}: {name}: {reason}; mend it, or drop --strict")
    return found


def _figure_path(figure: Path, out: Path, force: bool, reads: list[str | Path | None]) -> Path:
    """`figure`, if it can be drawn there: checked before the work, not after it."""
    if figure.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise InputError(f"cannot write the figure {figure}: its name must end in .png, .svg, .pdf")
    if figure.resolve() == out.resolve():
        raise InputError(f"{out} would be both heads file and figure; give --figure another name")
    return output_path(figure, force, reads)


def _draw(heads: HeadsFile, figure: Path, folder: Path | None) -> None:
    """The heatmap of the ranking's score, and every other figure into `folder`."""
    from ..reports.figures.drawing import save_drawings
    from ..reports.figures.heads import score_heatmap, score_heatmap_info
    from ..reports.figures.registry import heads_figures
    from ..reports.figures.style import save_figure

    metric = heads.ranking.metric if heads.ranking else "hit_rate"
    save_figure(score_heatmap(score_heatmap_info(heads, metric)), figure)
    if folder is not None:
        save_drawings((one for one in heads_figures(heads) if one.name in _FIGURES), folder)


def _draw_attention(
    heads: HeadsFile, model: SpeechModel, utterance: Utterance, language: str | None, folder: Path
) -> None:
    """The best head over one utterance."""
    from ..reports.figures.attention import attention_over_mel_info
    from ..reports.figures.drawing import save_drawings
    from ..reports.figures.registry import attention_figure
    from .example import head_example

    if not heads.compact:
        return
    layer, head = heads.compact[0]
    seen = head_example(model, utterance, layer, head, language)
    info = attention_over_mel_info(
        seen.mel, seen.mel_per_s, seen.attention, seen.frame_edges_s, seen.tokens, seen.spans,
        [(word.text, word.start_s, word.end_s) for word in seen.words],
        f"{model.label}: where layer {layer} head {head} looks as it writes", utterance.id,
    )  # fmt: skip
    save_drawings([attention_figure(info)], folder)


def _say_if_apart(heads: HeadsFile) -> None:
    """Say whether the heads differ from those bundled for the model beyond what chance allows.

    A quantised model, or a fine-tune, may look elsewhere than the one whose heads are known.
    """
    from ..heads.compare import compare_heads
    from ..heads.load import bundled_name, load_heads

    name = bundled_name(heads.model)
    known = None if name is None else load_heads(name)
    if known is None or not known.compact or not heads.compact:
        return
    shapes = {(one.attention, one.num_layers, one.num_heads) for one in (heads, known)}
    if len(shapes) > 1:
        return  # of that name, and another model
    metric = heads.ranking.metric if heads.ranking else "hit_rate"
    count = min(20, len(heads.compact), len(known.compact))
    found = compare_heads(heads, known, [count])
    best = counted(count, "head")
    shared = f"{found.overlaps[count]} of the best {best} are those of the bundled file"
    apart = found.apart.get(metric)
    if apart is None:
        say(f"{shared} {name}, which has no intervals to compare")
        return
    if not apart[1]:
        say(f"{shared} {name}; these clips are too few for intervals to compare")
        return
    say(
        f"{shared} {name}; the intervals of {apart[0]} of {apart[1]} do not meet"
        + (": the rankings differ by more than chance" if apart[0] > 0.05 * apart[1] else "")
    )


def _report(heads: HeadsFile, found: Measurement, top: int) -> None:
    from rich.console import Console

    columns = {
        "hit_rate": ("hit\nrate", "{:.3f}"),
        "commit_accuracy": ("commits\nright", "{:.3f}"),
        "monotonicity": ("mono-\ntone", "{:.3f}"),
        "time_error_p50_ms": ("error\np50, ms", "{:.0f}"),
        "time_bias_ms": ("bias\nms", "{:+.0f}"),
        "mass": ("mass", "{:.2f}"),
    }
    present = [metric for metric in columns if metric in heads.scores]
    rows = []
    for rank, (layer, head) in enumerate(heads.compact[:top], start=1):
        scores = (heads.scores[metric][layer][head] for metric in present)
        cells = [
            "-" if score is None else columns[metric][1].format(score)
            for metric, score in zip(present, scores, strict=True)
        ]
        sure = heads.ranking.top_probability[layer][head]  # type: ignore[union-attr, index]
        rows.append([str(rank), str(layer), str(head), *cells, f"{100 * sure:.0f} %"])
    heads_of = ["rank", "layer", "head", *(columns[metric][0] for metric in present), "in top"]
    print_table(Console(), heads_of, rows, keys=3)
    for clip_id, reason in found.skipped.items():
        say(f"skipped {clip_id}: {reason}")
    ranking = heads.ranking
    assert ranking is not None
    assert ranking.top_stability is not None
    say(
        f"{counted(heads.num_samples, 'clip')} scored, {len(found.skipped)} skipped, "
        f"{heads.total_alignable_tokens} tokens; another sample of clips would keep "
        f"{100 * ranking.top_stability:.0f} % of the best {ranking.top}"
    )
    if ranking.clips_needed:
        say(f"for a stable best {ranking.top} score about {ranking.clips_needed} clips")
    rho = ranking.validation.get("hit_rate_rho_hypothesis_reference")
    if rho is not None:
        say(f"hit rates over the model's own text and the reference agree by rank: rho {rho:.3f}")
    _say_if_apart(heads)
    for group in ranking.groups:
        values = ", ".join(f"{key} {value:.3g}" for key, value in group.scores.items())
        say(f"  {group.name}: {values}")


def main() -> None:
    """Entry point of `discover-heads`."""
    run(discover_heads_command, options={"heads_paths": "--merge", "cache": "--alignments"})
