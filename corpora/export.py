"""Writes word times: one TextGrid for each utterance, and a manifest that is a corpus."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ..errors import InputError
from ..files import output_path, shown, write_text
from .alignment import AlignedCorpus
from .audio import part_duration_s
from .corpus import Corpus
from .textgrids import textgrid_beside, write_words
from .utterance import Utterance

_LONGEST_NAME_BYTES = 255 - len(".TextGrid")


def export_plan(
    corpus: Corpus,
    out: Path,
    root: str | Path,
    force: bool = False,
    reads: Sequence[str | Path | None] = (),
) -> dict[str, Path]:
    """The path of each utterance's TextGrid, by utterance id. Their folders are created.

    Audio below `root`, a folder or the address of one, keeps its relative path, so with `out` =
    `root` each TextGrid is written beside its audio. For other audio, and for parts of a file, the
    id is the file name.

    `reads`: see `files.output_path`.

    Raises:
        InputError: a TextGrid or manifest exists and `force` is off, or is what the word times of
            the corpus are from, `out` cannot be written, or an id is not a valid file name.
    """
    plan = {u.id: out / _relative(u, root).with_suffix(".TextGrid") for u in corpus.utterances}
    for utterance in corpus.utterances:
        gold = None if utterance.words is None else textgrid_beside(utterance.audio_path)
        _check(plan[utterance.id], force, [gold])
    _check(out / "manifest.jsonl", force, reads)
    try:
        for folder in {out, *(path.parent for path in plan.values())}:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror or error}") from error
    return plan


def _check(path: Path, force: bool, reads: Sequence[str | Path | None]) -> None:
    try:
        if not path.exists():
            return
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    if not force:
        raise InputError(
            f"{path} exists; give force=True to overwrite it, or another folder as out",
            arguments=("force", "out"),
        )
    output_path(path, force, [one for one in reads if one and not Path(one).is_dir()])


def write_alignment(
    corpus: AlignedCorpus, plan: dict[str, Path], out: Path, strict: bool = False
) -> Path:
    """Write the TextGrids of `plan` and `out`/manifest.jsonl; return the path of the manifest.

    Raises:
        InputError: a file cannot be written, or (`strict`) utterances were skipped.
    """
    if strict and corpus.skipped:
        first = corpus.skipped[0]
        raise InputError(
            f"{len(corpus.skipped)} utterances cannot be aligned, the first one ({first.id}): "
            f"{first.reason}; mend it, or do without strict",
            arguments=("strict",),
        )
    manifest = out / "manifest.jsonl"
    rows = []
    for utterance in corpus.utterances:
        duration_s = part_duration_s(utterance.audio_path, utterance.offset_s, utterance.duration_s)
        write_words(plan[utterance.id], utterance.words or (), duration_s)
        rows.append(_row(utterance, out, duration_s))
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_text(manifest, lines)
    return manifest


def _row(utterance: Utterance, out: Path, duration_s: float) -> dict[str, object]:
    row = {
        "id": utterance.id,
        "audio_filepath": utterance.audio_url
        or os.path.relpath(utterance.audio_path.resolve(), out.resolve()),
        "text": utterance.text,
        "offset": utterance.offset_s,
        "duration": duration_s,
        "language": utterance.language,
        "speaker": utterance.speaker,
        "words": [
            [word.text, round(word.start_s, 4), round(word.end_s, 4)]
            for word in utterance.words or ()
        ],
    }
    return {key: value for key, value in row.items() if value is not None}


def _relative(utterance: Utterance, root: str | Path) -> PurePosixPath:
    whole = utterance.offset_s == 0 and utterance.duration_s is None
    address = f"{root}".rstrip("/") + "/"
    if whole and (utterance.audio_url or "").startswith(address):
        return PurePosixPath((utterance.audio_url or "").removeprefix(address))
    root = Path(root)
    if whole and root.is_dir() and utterance.audio_path.is_relative_to(root):
        return PurePosixPath(utterance.audio_path.relative_to(root).as_posix())
    name = PurePosixPath(utterance.id + ".x")
    if name.is_absolute() or ".." in name.parts or "\\" in utterance.id or "\0" in utterance.id:
        raise InputError(f"the id {utterance.id!r} is no file name; give the utterance another")
    if max(len(os.fsencode(part)) for part in name.parts) > _LONGEST_NAME_BYTES:
        raise InputError(
            f"the id {shown(utterance.id)} is too long for a file name; give the utterance another"
        )
    return name
