"""What a batch of clips adds to a measurement, in memory and as a line of a journal.

A measurement that was killed takes the finished batches from its journal and goes on. They are
added up in the order of the corpus, number by number, whatever the order in which they came: so it
ends as one that was never stopped, and on many processes as on one.
"""

from __future__ import annotations

import base64
import binascii
import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from ..errors import InputError
from ..journal import Journal
from .mapping import TokenTargets
from .statistics import LayerStatistics

_DAMAGE = (
    KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, binascii.Error,
)  # fmt: skip


@dataclass(frozen=True)
class ScoredClip:
    """One clip.

    Attributes:
        id: of its utterance.
        targets: its alignable tokens.
        layers: what each layer's heads did.
        centres_s: [frames], the middle of each audio frame.
        other: hits [layers, heads] and tokens of the text that is only compared, if any matched.
    """

    id: str
    targets: TokenTargets
    layers: Sequence[LayerStatistics]
    centres_s: np.ndarray
    other: tuple[np.ndarray, int] | None


@dataclass(frozen=True)
class ScoredCut:
    """One cut version of a clip.

    Attributes:
        id: of its utterance.
        frames: [layers, heads, tokens], the attended ones.
        length: frames of audio.
        heard: [tokens] bool, whether the token's word was fully heard.
    """

    id: str
    frames: np.ndarray
    length: int
    heard: np.ndarray


@dataclass
class Batch:
    """Clips that were decoded together, and their cut versions.

    Attributes:
        utterances: ids of the clips, in the order of the corpus.
        clips: those that could be scored.
        cuts: their cut versions.
        skipped: {utterance: reason}, of the others.
    """

    utterances: list[str]
    clips: list[ScoredClip] = field(default_factory=list)
    cuts: list[ScoredCut] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def as_line(self) -> dict[str, Any]:
        """As a journal holds it: every number as it is."""
        arrays: dict[str, np.ndarray] = {}
        for i, clip in enumerate(self.clips):
            arrays[f"{i}.centres_s"] = clip.centres_s
            for one in fields(TokenTargets):
                arrays[f"{i}.targets.{one.name}"] = getattr(clip.targets, one.name)
            for one in fields(LayerStatistics):
                of_layers = [getattr(layer, one.name) for layer in clip.layers]
                arrays[f"{i}.layers.{one.name}"] = np.stack(of_layers)
            if clip.other is not None:
                arrays[f"{i}.other"] = clip.other[0]
        for i, cut in enumerate(self.cuts):
            arrays[f"cut.{i}.frames"], arrays[f"cut.{i}.heard"] = cut.frames, cut.heard
        packed = io.BytesIO()
        np.savez_compressed(packed, **arrays)  # pyright: ignore[reportArgumentType]
        return {
            "utterances": self.utterances,
            "skipped": self.skipped,
            "clips": [[clip.id, None if clip.other is None else clip.other[1]]
                      for clip in self.clips],
            "cuts": [[cut.id, cut.length] for cut in self.cuts],
            "arrays": base64.b64encode(packed.getvalue()).decode("ascii"),
        }  # fmt: skip

    @classmethod
    def from_line(cls, line: Any) -> Batch:
        """What `as_line` gave.

        Raises:
            KeyError, TypeError, ValueError and others: it is damaged.
        """
        with np.load(io.BytesIO(base64.b64decode(line["arrays"], validate=True))) as file:
            arrays = {name: file[name] for name in file.files}
        clips = []
        for i, (id, other_tokens) in enumerate(line["clips"]):
            targets = {f.name: arrays[f"{i}.targets.{f.name}"] for f in fields(TokenTargets)}
            stacked = {f.name: arrays[f"{i}.layers.{f.name}"] for f in fields(LayerStatistics)}
            layers = [
                LayerStatistics(**{name: values[layer] for name, values in stacked.items()})
                for layer in range(len(stacked["hits"]))
            ]
            other = None if other_tokens is None else (arrays[f"{i}.other"], int(other_tokens))
            clips.append(
                ScoredClip(id, TokenTargets(**targets), layers, arrays[f"{i}.centres_s"], other)
            )
        cuts = [
            ScoredCut(id, arrays[f"cut.{i}.frames"], int(length), arrays[f"cut.{i}.heard"])
            for i, (id, length) in enumerate(line["cuts"])
        ]
        return cls(list(line["utterances"]), clips, cuts, dict(line["skipped"]))


def batches_in(journal: Journal, subject: dict[str, Any], *, anew: bool) -> Iterator[Batch]:
    """The finished batches that a journal holds, if it is of `subject`; it is then added to.

    Args:
        journal: open.
        subject: see `journal.check_subject`.
        anew: there is nothing to go on with, whatever it holds.

    Raises:
        InputError: it is of something else, or damaged.
    """
    if anew or not journal.is_begun:
        journal.start(subject)
        return
    for number, line in journal.go_on(subject):
        try:
            yield Batch.from_line(line)
        except _DAMAGE as error:
            raise InputError(
                f"{journal.path}:{number} is damaged ({error}); give force=True to start anew",
                arguments=("force",),
            ) from error
