"""What is counted per head, and how counts become scores. numpy only.

Everything is a sum over clips, so that memory does not grow with the clips and shards
measured on several machines add up to what one machine would have measured. Uncertainty
comes with it: beside the plain sums there are `REPLICATES` sums in which each clip weighs a
Poisson(1) number drawn from its own id: the Poisson bootstrap (Hanley & MacGibbon 2006;
Chamandy et al. 2012), the online form of resampling clips with replacement.

Frames: 13 a second; frame f covers [f/13, (f+1)/13) s.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from ..runtime.models.qwen3.clock import FRAMES_PER_SECOND
from .mapping import TokenTargets

REPLICATES = 200
SINK_FRAMES = 8
MIN_TOLERANCE_FRAMES = 3
ERROR_EDGES_S = np.concatenate([np.arange(0, 1, 0.02), np.geomspace(1, 60, 31)])
MAX_DISTANCE_FRAMES = 40
"""Distances from the end of the audio are counted up to this; farther ones fall into it."""


@dataclass(frozen=True)
class LayerStatistics:
    """Sums over the tokens of one clip for the heads of one layer; arrays are [heads, …].

    `error_counts` is [heads, bins] over `ERROR_EDGES_S`; `rho` is Spearman's rho of the clip,
    counted `tokens` times. `frames` is [heads, tokens], the attended frames themselves.
    """

    hits: np.ndarray
    forward: np.ndarray
    rho: np.ndarray
    mass: np.ndarray
    entropy: np.ndarray
    sinks: np.ndarray
    error_counts: np.ndarray
    frames: np.ndarray


def layer_statistics(weights: np.ndarray, targets: TokenTargets) -> LayerStatistics:
    """Count what `Scores` needs, for the heads of one layer on one clip.

    Args:
        weights: [heads, tokens, frames], softmax attention of each token over the audio.
        targets: the alignable ones of these tokens.
    """
    weights = weights[:, targets.token]
    frames = weights.argmax(axis=-1)
    first, last = gold_frames(targets, weights.shape[-1])
    middle = (targets.start_s + targets.end_s) / 2 * FRAMES_PER_SECOND
    half_word = (targets.end_s - targets.start_s) / 2 * FRAMES_PER_SECOND
    hit = np.abs(frames + 0.5 - middle) <= np.maximum(MIN_TOLERANCE_FRAMES, half_word)
    errors_s = np.abs((frames + 0.5) / FRAMES_PER_SECOND - targets.centre_s)

    running = np.concatenate([np.zeros((*weights.shape[:2], 1)), weights.cumsum(-1)], axis=-1)
    tokens = np.arange(len(targets))
    inside = running[:, tokens, last + 1] - running[:, tokens, first]
    total = running[..., -1:]
    share = weights / np.maximum(total, 1e-30)
    entropy = -(share * np.log(np.maximum(share, 1e-30))).sum(-1)
    return LayerStatistics(
        hits=hit.sum(-1),
        forward=(np.diff(frames, axis=-1) >= 0).sum(-1),
        rho=_spearman(frames, targets.centre_s) * len(targets),
        mass=inside.sum(-1),
        entropy=entropy.sum(-1),
        sinks=(frames < SINK_FRAMES).sum(-1),
        error_counts=_histograms(np.digitize(errors_s, ERROR_EDGES_S) - 1, len(ERROR_EDGES_S)),
        frames=frames,
    )


def gold_frames(targets: TokenTargets, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """First and last frame [n] of each token's gold word, inside the audio."""
    first = np.floor(targets.start_s * FRAMES_PER_SECOND).astype(int)
    last = np.ceil(targets.end_s * FRAMES_PER_SECOND).astype(int) - 1
    first = np.clip(first, 0, frames - 1)
    return first, np.clip(last, first, frames - 1)


def border_counts(distances: np.ndarray, heard: np.ndarray) -> np.ndarray:
    """Histograms of the distance to the end of the audio, [heads, 2, distances].

    Args:
        distances: [heads, tokens], frames from the attended one to the end of the audio.
        heard: [tokens] bool, whether the token's word was fully heard; row 1 counts these.
    """
    clipped = np.clip(distances, 0, MAX_DISTANCE_FRAMES - 1)
    return np.stack(
        [_histograms(clipped[:, heard == side], MAX_DISTANCE_FRAMES) for side in (False, True)],
        axis=1,
    )


def _histograms(values: np.ndarray, bins: int) -> np.ndarray:
    """[heads, n] of bin indices -> [heads, bins] of counts."""
    heads = len(values)
    flat = values + bins * np.arange(heads)[:, None]
    return np.bincount(flat.ravel(), minlength=heads * bins).reshape(heads, bins)


def _spearman(frames: np.ndarray, gold_s: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of [heads, n] with [n]; 0 where a head never moves."""
    x, y = _ranks(frames), _ranks(gold_s[None])
    x, y = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)
    scale = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    return np.where(scale > 0, (x * y).sum(-1) / np.maximum(scale, 1e-12), 0.0)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks along the last axis, ties at their mean."""
    below = (values[..., None, :] < values[..., None]).sum(-1)
    equal = (values[..., None, :] == values[..., None]).sum(-1)
    return below + (equal - 1) / 2


def replicate_weights(clip_id: str) -> np.ndarray:
    """[1 + REPLICATES]: 1 for the plain sum, then a Poisson(1) weight for each replicate."""
    seed = int.from_bytes(hashlib.sha256(clip_id.encode()).digest()[:8], "big")
    drawn = np.random.default_rng(seed).poisson(1.0, REPLICATES)
    return np.concatenate([[1], drawn]).astype(np.float32)
