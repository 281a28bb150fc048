"""Measurements on disk, so that several machines can measure one corpus.

A shard's sums lie beside its heads file, as `<name>.sums.npz`. Pooled, they give the heads
file that one run over all clips would have written.
"""

from __future__ import annotations

import json
import logging
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import replacing
from .groups import ClipFrames, FrameSample
from .measure import Measurement, Subject
from .totals import HeadTotals, HitCounts

_log = logging.getLogger(__name__)

FORMAT = 3
# What reading a file that was cut off, overwritten or never was one may raise.
_DAMAGE = (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error)


def sums_path(heads_path: Path) -> Path:
    """Where the sums behind a heads file lie."""
    return heads_path.with_suffix(".sums.npz")


def parse_shard(shard: str) -> tuple[int, int]:
    """`2/8` -> (2, 8).

    Raises:
        InputError: not K/N with 1 <= K <= N.
    """
    left, _, right = shard.partition("/")
    if not (left.isdigit() and right.isdigit() and 1 <= int(left) <= int(right)):
        raise InputError(
            f"shard is {shard!r}; expected K/N with K from 1 to N, as 2/8", arguments=("shard",)
        )
    return int(left), int(right)


def save_sums(
    found: Measurement, shard: tuple[int, int], path: Path, *, overwrite: bool = True
) -> None:
    """Write the sums of a shard. `overwrite`: see `replacing`.

    Raises:
        InputError: the file cannot be written.
    """
    header = {
        "format": FORMAT,
        "shard": shard,
        "subject": asdict(found.subject),
        "skipped": found.skipped,
        "clips": list(found.sample.clips),
        "other_tokens": found.other_hits.tokens,
    }
    arrays = {f"totals.{name}": a for name, a in found.totals.arrays.items()}
    arrays["other.hits"] = found.other_hits.hits
    for i, clip in enumerate(found.sample.clips.values()):
        arrays |= {f"clip.{i}.{f.name}": getattr(clip, f.name) for f in fields(clip)}
    with replacing(path, overwrite=overwrite) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays, header=np.array(json.dumps(header)))  # pyright: ignore[reportArgumentType]


def load_sums(path: Path) -> tuple[tuple[int, int], Measurement]:
    """The shard (K, N) and the sums that `save_sums` wrote.

    Raises:
        InputError: no such file, a damaged one, or one of another format.
    """
    try:
        # Opened here: numpy leaves a file open that it finds to be damaged.
        with path.open("rb") as stream, np.load(stream) as file:
            header = json.loads(str(file["header"]))
            arrays = {name: file[name] for name in file.files if name != "header"}
        if header["format"] != FORMAT:
            raise InputError(f"{path} has format {header['format']}, expected {FORMAT}")
        subject = Subject(**header["subject"])
        shape = subject.num_layers, subject.num_heads
        other = HitCounts(arrays["other.hits"], header["other_tokens"])
        found = Measurement(subject, HeadTotals(*shape, subject.frames_per_s), other)
        found.totals.arrays = {name: arrays[f"totals.{name}"] for name in found.totals.arrays}
        for i, clip_id in enumerate(header["clips"]):
            parts = {f.name: arrays[f"clip.{i}.{f.name}"] for f in fields(ClipFrames)}
            found.sample.keep(clip_id, ClipFrames(**parts))
        found.skipped = header["skipped"]
        shard = header["shard"]
        return (int(shard[0]), int(shard[1])), found
    except FileNotFoundError as error:
        raise InputError(
            f"there are no sums {path}: only heads files that discover-heads --shard K/N wrote "
            "can be pooled"
        ) from error
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(f"{path} is damaged ({error}); run that shard again") from error


def merge(heads_paths: Sequence[Path]) -> Measurement:
    """Pool the shards whose heads files these are.

    Raises:
        InputError: sums missing or damaged, of different subjects, or a shard twice.
    """
    if len(heads_paths) < 2:
        raise InputError(
            f"heads_paths has {len(heads_paths)} file, expected two or more to pool",
            arguments=("heads_paths",),
        )
    loaded = [(path, *load_sums(sums_path(path))) for path in heads_paths]
    first_path, first_shard, pooled = loaded[0]
    seen = {first_shard: first_path}
    pooled = Measurement(pooled.subject, pooled.totals, pooled.other_hits,
                         FrameSample(dict(pooled.sample.clips)), dict(pooled.skipped))  # fmt: skip
    for path, shard, found in loaded[1:]:
        _check_same(first_path, pooled.subject, path, found.subject)
        if shard in seen or shard[1] != first_shard[1]:
            raise InputError(
                f"{path} is shard {shard[0]}/{shard[1]}, which does not go with "
                f"{seen.get(shard, first_path)}, shard {first_shard[0]}/{first_shard[1]}"
            )
        seen[shard] = path
        pooled.totals = pooled.totals + found.totals
        pooled.other_hits = pooled.other_hits + found.other_hits
        for clip_id, clip in found.sample.clips.items():
            pooled.sample.keep(clip_id, clip)
        pooled.skipped |= found.skipped
    if len(seen) < first_shard[1]:
        missing = sorted(set(range(1, first_shard[1] + 1)) - {k for k, _ in seen})
        _log.warning(f"pooled {len(seen)} of {first_shard[1]} shards; not there: {missing}")
    return pooled


def _check_same(path: Path, subject: Subject, other_path: Path, other: Subject) -> None:
    for f in fields(Subject):
        ours, theirs = getattr(subject, f.name), getattr(other, f.name)
        if ours != theirs:
            raise InputError(
                f"cannot pool {path} and {other_path}: {f.name} is {ours!r} in one and "
                f"{theirs!r} in the other"
            )
