"""`load_corpus`: finds out which kind of corpus is meant, and calls its loader."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import InputError
from .corpus import Corpus
from .storage import is_stored, path_of
from .utterance import Utterance

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
            folder called `demo`, write `./demo`. A file or folder may be an address in object
            storage that fsspec knows, as `s3://bucket/manifest.jsonl` (extra `storage`).
        strict: raise an error where an utterance would be skipped.
        cache_dir: where downloaded corpora and audio out of Parquet are kept (default: the user's
            cache folder). Copies from object storage are always in the latter.
        language: of utterances for which the corpus gives none, in the model's spelling
            ("English"). The LibriSpeech layout is English if this is None.

    Raises:
        InputError: an unknown name, an empty or malformed corpus, a failed download, or
            (`strict`) an utterance that would be skipped.
    """
    name = os.fspath(spec)
    if isinstance(spec, str) and name in KNOWN:
        return _load_known(name, strict, cache_dir)
    path = path_of(name).expanduser()
    if is_stored(path):
        return _load_stored(path, strict, language, cache_dir)
    if name and path.is_dir():
        return _folder_loader(path, strict, language, cache_dir)()
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


def _load_stored(path: Path, strict: bool, language: str | None, cache_dir: Path | None) -> Corpus:
    """The corpus at an address. Of a folder, all that lies below it is fetched."""
    from .storage import folder_view, is_folder

    if not is_folder(path):
        return _load_file(path, strict, language, cache_dir)
    with folder_view(path) as (view, fill):
        address = str(path).rstrip("/")

        def told(message: str) -> str:
            return message.replace(str(view), address)

        try:
            load = _folder_loader(view, strict, language, cache_dir)
            fill()
            found = load()
        except InputError as error:
            raise type(error)(told(str(error)), arguments=error.arguments) from error
        return replace(
            found,
            utterances=tuple(_as_stored(one, view, address) for one in found.utterances),
            skipped=tuple(replace(one, reason=told(one.reason)) for one in found.skipped),
        )


def _as_stored(utterance: Utterance, view: Path, address: str) -> Utterance:
    """An utterance of a view with the copy of its audio, and the address of that."""
    path = utterance.audio_path
    if not path.is_relative_to(view):
        return utterance  # unpacked from a table, or at an address of its own
    url = f"{address}/{path.relative_to(view).as_posix()}"
    return replace(utterance, audio_path=path.resolve(), audio_url=url)


def _folder_loader(
    folder: Path, strict: bool, language: str | None, cache_dir: Path | None
) -> Callable[[], Corpus]:
    """What loads a folder, by the names of the files in it."""
    from . import audiofolder, ctm, librispeech, parquet, textgrids
    from .gather import files_with

    given: dict[str, Any] = {"language": language, "strict": strict}
    loader: Callable[..., Corpus] | None = None
    if any(files_with(folder, ".trans.txt")):
        loader, given["language"] = librispeech.load_librispeech, language or "English"
    elif any(files_with(folder, ".ctm")):
        loader = ctm.load_ctm
    elif any(files_with(folder, ".textgrid")):
        loader = textgrids.load_textgrids
    elif audiofolder.metadata_files(folder):
        loader = audiofolder.load_audiofolder
    elif any(files_with(folder, *parquet.SUFFIXES)):
        loader, given["cache_dir"] = parquet.load_parquet, cache_dir
    if loader is not None:
        return partial(loader, folder, folder.resolve().name, **given)
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
            path, _folder_name(path), language=language, strict=strict
        )
    if suffix in (".jsonl", ".json", ".ndjson") or path.name.lower().endswith(".jsonl.gz"):
        from .lhotse import load_lhotse
        from .manifest import load_manifest

        name = path.name.partition(".")[0] if suffix == ".gz" else path.stem
        load = load_lhotse if suffix == ".gz" or _is_of_cuts(path) else load_manifest
        return load(path, name, language=language, strict=strict)
    if suffix == ".ctm" and is_stored(path):
        raise InputError(f"{path} needs the audio beside it; give the folder, {path.parent}/")
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


def _folder_name(path: Path) -> str:
    return (path if is_stored(path) else path.resolve()).parent.name


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
