"""What is counted per head, and how counts become scores. numpy only.

Everything is a sum over clips, so that memory does not grow with the clips and shards
measured on several machines add up to what one machine would have measured. Uncertainty
comes with it: beside the plain sums there are `REPLICATES` sums in which each clip weighs a
Poisson(1) number drawn from its own id: the Poisson bootstrap (Hanley & MacGibbon 2006;
Chamandy et al. 2012), the online form of resampling clips with replacement.

Windows and distances are counted in frames at the rate of the model's clock, as the published
scores are; time errors follow the clock exactly.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from ..heads.rank_correlation import spearman
from ..runtime.models.protocol import FrameClock, frame_edges_s
from .mapping import TokenTargets

REPLICATES = 200
SINK_S = 0.6
"""The start of the audio, which heads attend to that have nothing to attend to."""
TOLERANCE_S = 0.23
"""A hit is at most so far from the middle of its word, or half the word if that is more."""
ERROR_EDGES_S = np.concatenate([np.arange(0, 1, 0.02), np.geomspace(1, 60, 31)])
BIAS_CAP_S = 1.0
"""A lost head may point anywhere: a signed error counts no more than this."""
MAX_DISTANCE_S = 3.1
"""Distances from the end of the audio are counted up to this; farther ones fall into it."""


@dataclass(frozen=True)
class FrameTimes:
    """The frames of one clip in time, as a model's clock has them.

    Attributes:
        per_s: frames in a second.
        centres_s: [frames], the middle of each.
    """

    per_s: float
    centres_s: np.ndarray

    @classmethod
    def of(cls, clock: FrameClock, frames: int) -> FrameTimes:
        """Of a clip of so many frames."""
        edges_s = frame_edges_s(clock, frames)
        # A frame ends where the next one starts.
        return cls(clock.frames(1.0), (edges_s[:-1] + edges_s[1:]) / 2)

    @property
    def sink_frames(self) -> int:
        """Frames of `SINK_S`."""
        return round(SINK_S * self.per_s)

    @property
    def tolerance_frames(self) -> int:
        """Frames of `TOLERANCE_S`."""
        return round(TOLERANCE_S * self.per_s)


def distance_bins(frames_per_s: float) -> int:
    """How many distances from the end of the audio are told apart."""
    return round(MAX_DISTANCE_S * frames_per_s)


@dataclass(frozen=True)
class LayerStatistics:
    """Sums over the tokens of one clip for the heads of one layer; arrays are [heads, …].

    `error_counts` is [heads, bins] over `ERROR_EDGES_S`; `bias_s` the sum of the signed errors,
    each capped at `BIAS_CAP_S`; `rho` is Spearman's rho of the clip, counted `tokens` times.
    `frames` is [heads, tokens], the attended frames themselves.
    """

    hits: np.ndarray
    forward: np.ndarray
    rho: np.ndarray
    mass: np.ndarray
    entropy: np.ndarray
    sinks: np.ndarray
    bias_s: np.ndarray
    error_counts: np.ndarray
    frames: np.ndarray


def layer_statistics(
    weights: np.ndarray, targets: TokenTargets, times: FrameTimes
) -> LayerStatistics:
    """Count what the scores need, for the heads of one layer on one clip.

    Args:
        weights: [heads, tokens, frames], softmax attention of each token over the audio.
        targets: the alignable ones of these tokens.
        times: where the frames lie in time.
    """
    weights = weights[:, targets.token]
    frames = weights.argmax(axis=-1)
    first, last = gold_frames(targets, times)
    middle = (targets.start_s + targets.end_s) / 2 * times.per_s
    half_word = (targets.end_s - targets.start_s) / 2 * times.per_s
    hit = np.abs(frames + 0.5 - middle) <= np.maximum(times.tolerance_frames, half_word)
    signed_s = times.centres_s[frames] - targets.centre_s
    errors_s = np.abs(signed_s)

    running = np.concatenate([np.zeros((*weights.shape[:2], 1)), weights.cumsum(-1)], axis=-1)
    tokens = np.arange(len(targets))
    inside = running[:, tokens, last + 1] - running[:, tokens, first]
    total = running[..., -1:]
    share = weights / np.maximum(total, 1e-30)
    entropy = -(share * np.log(np.maximum(share, 1e-30))).sum(-1)
    return LayerStatistics(
        hits=hit.sum(-1),
        forward=(np.diff(frames, axis=-1) >= 0).sum(-1),
        # A head that never moves follows nothing.
        rho=np.nan_to_num(spearman(frames, targets.centre_s)) * len(targets),
        mass=inside.sum(-1),
        entropy=entropy.sum(-1),
        sinks=(frames < times.sink_frames).sum(-1),
        bias_s=np.clip(signed_s, -BIAS_CAP_S, BIAS_CAP_S).sum(-1),
        error_counts=_histograms(np.digitize(errors_s, ERROR_EDGES_S) - 1, len(ERROR_EDGES_S)),
        frames=frames,
    )


def gold_frames(targets: TokenTargets, times: FrameTimes) -> tuple[np.ndarray, np.ndarray]:
    """First and last frame [n] of each token's gold word, inside the audio."""
    frames = len(times.centres_s)
    first = np.floor(targets.start_s * times.per_s).astype(int)
    last = np.ceil(targets.end_s * times.per_s).astype(int) - 1
    first = np.clip(first, 0, frames - 1)
    return first, np.clip(last, first, frames - 1)


def border_counts(distances: np.ndarray, heard: np.ndarray, bins: int) -> np.ndarray:
    """Histograms of the distance to the end of the audio, [heads, 2, distances].

    Args:
        distances: [heads, tokens], frames from the attended one to the end of the audio.
        heard: [tokens] bool, whether the token's word was fully heard; row 1 counts these.
        bins: how many distances are told apart; the last one is all that are further.
    """
    clipped = np.clip(distances, 0, bins - 1)
    return np.stack(
        [_histograms(clipped[:, heard == side], bins) for side in (False, True)],
        axis=1,
    )


def _histograms(values: np.ndarray, bins: int) -> np.ndarray:
    """[heads, n] of bin indices -> [heads, bins] of counts."""
    heads = len(values)
    flat = values + bins * np.arange(heads)[:, None]
    return np.bincount(flat.ravel(), minlength=heads * bins).reshape(heads, bins)


def replicate_weights(clip_id: str) -> np.ndarray:
    """[1 + REPLICATES]: 1 for the plain sum, then a Poisson(1) weight for each replicate."""
    seed = int.from_bytes(hashlib.sha256(clip_id.encode()).digest()[:8], "big")
    drawn = np.random.default_rng(seed).poisson(1.0, REPLICATES)
    return np.concatenate([[1], drawn]).astype(np.float32)
