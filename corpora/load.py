"""`load_corpus`: finds out which kind of corpus is meant, and calls its loader."""

from __future__ import annotations

import difflib
import json
import os
from pathlib import Path

from ..errors import InputError
from .corpus import Corpus

DEMO_SPLITS = ("discover", "dev", "test", "all")
LIBRISPEECH_SPLITS = ("dev-clean", "dev-other", "test-clean", "test-other")
KNOWN = (
    "demo",
    *(f"demo:{split}" for split in DEMO_SPLITS),
    *(f"librispeech:{split}" for split in LIBRISPEECH_SPLITS),
)


def load_corpus(
    spec: str | Path,
    *,
    strict: bool = False,
    cache_dir: Path | None = None,
    language: str | None = None,
) -> Corpus:
    """Load the corpus that a name, a file or a folder stands for.

    Args:
        spec: `demo` (the same as `demo:discover`), `demo:dev`, `demo:test`, `demo:all`;
            `librispeech:dev-clean` and its siblings, which are downloaded once; a .jsonl manifest,
            of ours or of Lhotse's cuts (.jsonl.gz, too); a .ctm or .parquet file; or a folder,
            recognised by its files: *.trans.txt (LibriSpeech layout), *.ctm, *.TextGrid beside the
            audio, metadata.csv or metadata.jsonl (`audiofolder` of `datasets`), or *.parquet. For a
            folder called `demo`, write `./demo`.
        strict: raise an error where an utterance would be skipped.
        cache_dir: where downloaded corpora and audio out of Parquet are kept (default: the user's
            cache folder).
        language: of utterances for which the corpus gives none, in the model's spelling
            ("English"). The LibriSpeech layout is English if this is None.

    Raises:
        InputError: an unknown name, an empty or malformed corpus, a failed download, or
            (`strict`) an utterance that would be skipped.
    """
    name = os.fspath(spec)
    if isinstance(spec, str) and name in KNOWN:
        return _load_known(name, strict, cache_dir)
    path = Path(name).expanduser()
    if name and path.is_dir():
        return _load_folder(path, strict, language, cache_dir)
    if name and path.is_file():
        return _load_file(path, strict, language, cache_dir)
    nearest = sorted(
        KNOWN, key=lambda known: -difflib.SequenceMatcher(None, known, name.lower()).ratio()
    )
    raise InputError(
        f"no corpus {name!r}: no such file or folder, and the known names are {', '.join(nearest)}"
    )


def _load_known(name: str, strict: bool, cache_dir: Path | None) -> Corpus:
    family, _, split = name.partition(":")
    if family == "demo":
        from .demo import load_demo

        return load_demo(split or "discover", strict=strict)
    from .download import fetch_librispeech
    from .librispeech import load_librispeech

    return load_librispeech(fetch_librispeech(split, cache_dir), name, strict=strict)


def _load_folder(
    folder: Path, strict: bool, language: str | None, cache_dir: Path | None
) -> Corpus:
    from . import audiofolder, ctm, librispeech, parquet, textgrids
    from .gather import files_with

    name = folder.resolve().name
    if any(files_with(folder, ".trans.txt")):
        return librispeech.load_librispeech(
            folder, name, language=language or "English", strict=strict
        )
    if any(files_with(folder, ".ctm")):
        return ctm.load_ctm(folder, name, language=language, strict=strict)
    if any(files_with(folder, ".textgrid")):
        return textgrids.load_textgrids(folder, name, language=language, strict=strict)
    if audiofolder.metadata_files(folder):
        return audiofolder.load_audiofolder(folder, name, language=language, strict=strict)
    if any(files_with(folder, *parquet.SUFFIXES)):
        return parquet.load_parquet(
            folder, name, language=language, strict=strict, cache_dir=cache_dir
        )
    manifests = list(files_with(folder, ".jsonl", ".jsonl.gz"))
    if manifests:
        raise InputError(f"{folder} is a folder with a manifest in it; give {manifests[0]}")
    raise InputError(
        f"no corpus in {folder}: looked for *.trans.txt (LibriSpeech), *.ctm and *.TextGrid "
        "beside audio files, metadata.csv or metadata.jsonl (audiofolder), and *.parquet; for a "
        "JSONL manifest give the file"
    )


def _load_file(path: Path, strict: bool, language: str | None, cache_dir: Path | None) -> Corpus:
    from . import audiofolder, parquet

    suffix = path.suffix.lower()
    if path.name.lower() in audiofolder.NAMES:
        return audiofolder.load_audiofolder(
            path, path.resolve().parent.name, language=language, strict=strict
        )
    if suffix in (".jsonl", ".json", ".ndjson") or path.name.lower().endswith(".jsonl.gz"):
        from .lhotse import load_lhotse
        from .manifest import load_manifest

        name = path.name.partition(".")[0] if suffix == ".gz" else path.stem
        load = load_lhotse if suffix == ".gz" or _is_of_cuts(path) else load_manifest
        return load(path, name, language=language, strict=strict)
    if suffix == ".ctm":
        from .ctm import load_ctm

        return load_ctm(path, path.stem, language=language, strict=strict)
    if suffix in parquet.SUFFIXES:
        return parquet.load_parquet(
            path, path.stem, language=language, strict=strict, cache_dir=cache_dir
        )
    raise InputError(
        f"{path} is not a corpus; expected a .jsonl manifest, a .ctm or .parquet file, or a folder"
    )


def _is_of_cuts(path: Path) -> bool:
    """Whether the first line of a manifest is one of Lhotse's."""
    from .gather import numbered_lines
    from .lhotse import is_cut

    for _, line in numbered_lines(path):
        try:
            first = json.loads(line)
        except ValueError:
            return False
        return isinstance(first, dict) and is_cut(first)
    return False
