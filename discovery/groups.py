"""Heads as a group: what the runtime uses is the median of several heads' attended frames.

A head can be good alone and add nothing to others that miss the same tokens. Greedy forward
selection grows the group whose median has the least error, on half of the clips; the other
half says how good the choice is. It begins with the best candidate alone, and what the candidates
are keeps it from heads that help on these clips and nowhere else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from .statistics import border_counts, distance_bins
from .totals import COMMIT_BORDER_S, commit_accuracy, roc_auc

MAX_CLIPS = 256
MAX_GROUP = 20
MAX_CANDIDATES = 64
ERROR_CAP_S = 1.0
"""A lost head may point anywhere: errors are capped, so that one token cannot decide."""


@dataclass(frozen=True)
class ClipFrames:
    """Where the heads looked in one clip, and where they should have.

    Attributes:
        attended_s: [layers x heads, tokens] float32, the middle of each attended frame.
        centre_s: [tokens], the middle of the token's share of its gold word.
        cut_frames: [layers x heads, cut tokens] int16, attended frames in cut versions.
        cut_length: [cut tokens], frames of that version.
        heard: [cut tokens] bool, whether the token's word was fully heard.
    """

    attended_s: np.ndarray
    centre_s: np.ndarray
    cut_frames: np.ndarray
    cut_length: np.ndarray
    heard: np.ndarray


@dataclass
class FrameSample:
    """The frames of at most `MAX_CLIPS` clips, chosen by their ids: memory stays bounded.

    Shards keep the clips that one run over everything would have kept.
    """

    clips: dict[str, ClipFrames] = field(default_factory=dict)

    def add(self, clip_id: str, attended_s: np.ndarray, centre_s: np.ndarray) -> None:
        """Keep a clip, if it is among those to keep: [layers x heads, tokens] and [tokens]."""
        nothing = np.zeros(0, np.int16)
        self.keep(
            clip_id,
            ClipFrames(
                attended_s.astype(np.float32),
                centre_s,
                np.zeros((len(attended_s), 0), np.int16),
                nothing,
                nothing.astype(bool),
            ),
        )

    def keep(self, clip_id: str, clip: ClipFrames) -> None:
        """Keep a clip with its cut versions, if it is among those to keep."""
        self.clips[clip_id] = clip
        if len(self.clips) > MAX_CLIPS:
            del self.clips[max(self.clips, key=_order)]

    def add_cut(self, clip_id: str, frames: np.ndarray, length: int, heard: np.ndarray) -> None:
        """Add a cut version of a kept clip: frames [layers x heads, tokens] of `length` frames."""
        clip = self.clips.get(clip_id)
        if clip is None:
            return
        self.clips[clip_id] = replace(
            clip,
            cut_frames=np.concatenate([clip.cut_frames, frames.astype(np.int16)], axis=1),
            cut_length=np.concatenate([clip.cut_length, np.full(len(heard), length)]),
            heard=np.concatenate([clip.heard, heard]),
        )

    def halves(self) -> tuple[list[ClipFrames], list[ClipFrames]]:
        """The clips in two halves: to choose on, and to validate on."""
        kept = [self.clips[clip_id] for clip_id in sorted(self.clips, key=_order)]
        return kept[::2], kept[1::2]


def _order(clip_id: str) -> bytes:
    return hashlib.sha256(f"sample {clip_id}".encode()).digest()


@dataclass(frozen=True)
class GroupScore:
    """How well the median of a group follows the audio.

    `time_error_ms`: mean absolute distance from the token's gold centre, capped at 1 s.
    `commit_accuracy`, `border_auc`: as the scores of one head, for the median; NaN without cuts.
    """

    time_error_ms: float
    commit_accuracy: float
    border_auc: float


def score_group(
    clips: Sequence[ClipFrames], heads: Sequence[int], frames_per_s: float
) -> GroupScore:
    """Score the group of `heads` (indices layer x heads + head) over `clips`."""
    rows = list(heads)
    errors = [_errors_s(np.median(clip.attended_s[rows], axis=0), clip.centre_s) for clip in clips]
    bins = distance_bins(frames_per_s)
    counts = np.zeros((1, 2, bins))
    for clip in clips:
        distances = clip.cut_length - np.median(clip.cut_frames[rows], axis=0)
        counts += border_counts(np.round(distances[None]).astype(int), clip.heard, bins)
    guessed, heard = counts[0]
    with np.errstate(invalid="ignore"):
        accuracy = commit_accuracy(guessed, heard, COMMIT_BORDER_S * frames_per_s)
        auc = roc_auc(guessed, heard)
    return GroupScore(1000 * float(np.concatenate(errors).mean()), float(accuracy), float(auc))


def forward_selection(
    clips: Sequence[ClipFrames], candidates: Sequence[int], size: int = MAX_GROUP
) -> tuple[list[int], list[float]]:
    """Grow a group from the first candidate by the head that gives the median the least error.

    Returns:
        Heads in the order chosen, and the error in ms after each.
    """
    attended_s = np.concatenate([clip.attended_s for clip in clips], axis=1)
    centre_s = np.concatenate([clip.centre_s for clip in clips])
    left, chosen, curve = list(candidates)[:MAX_CANDIDATES], [], []
    while left and len(chosen) < size:
        errors = [
            _errors_s(np.median(attended_s[[*chosen, head]], axis=0), centre_s).mean()
            for head in (left if chosen else left[:1])
        ]
        best = int(np.argmin(errors))
        chosen.append(left.pop(best))
        curve.append(1000 * float(errors[best]))
    return chosen, curve


def _errors_s(attended_s: np.ndarray, centre_s: np.ndarray) -> np.ndarray:
    return np.minimum(np.abs(attended_s - centre_s), ERROR_CAP_S)
