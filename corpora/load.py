"""`load_corpus`: finds out which kind of corpus is meant, and calls its loader."""

from __future__ import annotations

import difflib
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
            `librispeech:dev-clean` and its siblings, which are downloaded once; a .jsonl manifest;
            a .ctm file; or a folder, recognised by its files: *.trans.txt (LibriSpeech layout),
            *.ctm, or *.TextGrid beside the audio. For a folder called `demo`, write `./demo`.
        strict: raise an error where an utterance would be skipped.
        cache_dir: where downloaded corpora are kept (default: the user's cache folder).
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
        return _load_folder(path, strict, language)
    if name and path.is_file():
        return _load_file(path, strict, language)
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


def _load_folder(folder: Path, strict: bool, language: str | None) -> Corpus:
    from . import ctm, librispeech, textgrids
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
    manifests = list(files_with(folder, ".jsonl"))
    if manifests:
        raise InputError(f"{folder} is a folder with a manifest in it; give {manifests[0]}")
    raise InputError(
        f"no corpus in {folder}: looked for *.trans.txt (LibriSpeech), *.ctm and *.TextGrid "
        "beside audio files; for a JSONL manifest give the file"
    )


def _load_file(path: Path, strict: bool, language: str | None) -> Corpus:
    if path.suffix.lower() in (".jsonl", ".json", ".ndjson"):
        from .manifest import load_manifest

        return load_manifest(path, path.stem, language=language, strict=strict)
    if path.suffix.lower() == ".ctm":
        from .ctm import load_ctm

        return load_ctm(path, path.stem, language=language, strict=strict)
    raise InputError(f"{path} is not a corpus; expected a .jsonl manifest, a .ctm or a folder")
