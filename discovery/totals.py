"""Running sums over clips, with bootstrap replicates, and the scores they give.

Every array has the replicates on its first axis: index 0 is the plain sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .mapping import TokenTargets
from .statistics import (
    ERROR_EDGES_S,
    REPLICATES,
    LayerStatistics,
    distance_bins,
    replicate_weights,
)

_PER_HEAD = ("hits", "forward", "rho", "mass", "entropy", "sinks", "bias_s", "error_counts")
METRICS = (
    "hit_rate", "monotonicity", "rho", "time_error_p50_ms", "time_error_p90_ms", "time_bias_ms",
    "mass", "entropy_nats", "sink_share", "commit_accuracy", "border_auc",
)  # fmt: skip
LOWER_IS_BETTER = frozenset(
    {"time_error_p50_ms", "time_error_p90_ms", "entropy_nats", "sink_share"}
)

COMMIT_BORDER_S = 0.3
"""The border of `commit_accuracy`: a narrow one, which asks most of a head."""


class HeadTotals:
    """Additive statistics of every head. `add` clips, `+` shards, read scores."""

    def __init__(self, num_layers: int, num_heads: int, frames_per_s: float) -> None:
        """`frames_per_s`: of the model's clock."""
        self.shape = (num_layers, num_heads)
        self.frames_per_s = frames_per_s
        bins = distance_bins(frames_per_s)
        runs = 1 + REPLICATES
        self.arrays: dict[str, np.ndarray] = {
            name: np.zeros(runs) for name in ("clips", "tokens", "pairs")
        }
        for name in _PER_HEAD[:-1]:
            self.arrays[name] = np.zeros((runs, *self.shape))
        self.arrays["error_counts"] = np.zeros((runs, *self.shape, len(ERROR_EDGES_S)), np.float32)
        self.arrays["border"] = np.zeros((runs, *self.shape, 2, bins), np.float32)

    def add(self, clip_id: str, targets: TokenTargets, layers: Sequence[LayerStatistics]) -> None:
        """Add one clip, whose id decides its weight in each replicate."""
        weights = replicate_weights(clip_id)
        self.arrays["clips"] += weights
        self.arrays["tokens"] += weights * len(targets)
        self.arrays["pairs"] += weights * (len(targets) - 1)
        for layer, statistics in enumerate(layers):
            for name in _PER_HEAD:
                self._add(name, layer, weights, getattr(statistics, name))

    def add_border(self, clip_id: str, layer: int, counts: np.ndarray) -> None:
        """Add a cut of a clip: [heads, 2, distances] of `border_counts`, for one layer."""
        self._add("border", layer, replicate_weights(clip_id), counts)

    def _add(self, name: str, layer: int, weights: np.ndarray, counts: np.ndarray) -> None:
        target = self.arrays[name]
        weights = weights.astype(target.dtype).reshape(-1, *(1,) * counts.ndim)
        target[:, layer] += weights * counts.astype(target.dtype)

    def __add__(self, other: HeadTotals) -> HeadTotals:
        """The totals of both, as if one run had seen all clips."""
        if self.shape != other.shape:
            raise InputError(
                f"cannot add scores of {self.shape} (layers, heads) and {other.shape}: "
                "they are of different models"
            )
        if self.frames_per_s != other.frames_per_s:
            raise InputError(
                f"cannot add scores counted at {self.frames_per_s:g} and "
                f"{other.frames_per_s:g} frames a second: they are of different models"
            )
        both = HeadTotals(*self.shape, self.frames_per_s)
        both.arrays = {name: array + other.arrays[name] for name, array in self.arrays.items()}
        return both

    @property
    def clips(self) -> int:
        """Clips added."""
        return int(self.arrays["clips"][0])

    @property
    def tokens(self) -> int:
        """Alignable tokens scored."""
        return int(self.arrays["tokens"][0])

    def scores(self) -> dict[str, np.ndarray]:
        """Every metric, [1 + replicates, layers, heads]; NaN where a metric is undefined.

        - hit_rate: share of tokens whose attended frame lies within max(0.23 s, half the word)
          of the middle of the gold word, in whole frames: 3 of 13 a second. The window of the
          published `ts`.
        - monotonicity: share of consecutive tokens whose attended frame does not go back.
        - rho: Spearman's rank correlation of attended frame and gold time, mean over clips by
          their tokens.
        - time_error_p50_ms, time_error_p90_ms: absolute distance of the attended frame's centre
          from the token's own share of the gold word (its bytes' share of the span).
        - time_bias_ms: mean signed distance, each at most 1 s; negative: the head looks too
          early, at the audio before the word.
        - mass: attention inside the gold span, of all attention the token pays (0 to 1).
        - entropy_nats: entropy of the attention over the audio, renormalised to 1.
        - sink_share: share of tokens whose attended frame is in the first 0.6 s, 8 frames of 13.
        - commit_accuracy: what AlignAtt would make of the head in clips that were cut short, at a
          border of `COMMIT_BORDER_S`: the share of tokens guessed beyond the end that wait, and
          the share of tokens of words fully heard that do not, on average.
        - border_auc: area under the ROC curve of the distance from the attended frame to the
          end of the audio, separating tokens of words fully heard from tokens guessed beyond
          the end, over clips that were cut short (Mann-Whitney U; ties count one half).
        """
        a = self.arrays
        with np.errstate(invalid="ignore", divide="ignore"):
            tokens = a["tokens"][:, None, None]
            scores = {
                "hit_rate": a["hits"] / tokens,
                "monotonicity": a["forward"] / a["pairs"][:, None, None],
                "rho": a["rho"] / tokens,
                "time_error_p50_ms": 1000 * histogram_quantile(a["error_counts"], 0.5),
                "time_error_p90_ms": 1000 * histogram_quantile(a["error_counts"], 0.9),
                "time_bias_ms": 1000 * a["bias_s"] / tokens,
                "mass": a["mass"] / tokens,
                "entropy_nats": a["entropy"] / tokens,
                "sink_share": a["sinks"] / tokens,
            }
            if a["border"][0, 0, 0].any(-1).all():  # both kinds of token were seen
                guessed, heard = a["border"][..., 0, :], a["border"][..., 1, :]
                border_frames = COMMIT_BORDER_S * self.frames_per_s
                scores["commit_accuracy"] = commit_accuracy(guessed, heard, border_frames)
                scores["border_auc"] = roc_auc(guessed, heard)
        return scores


@dataclass
class HitCounts:
    """Hits [layers, heads] over `tokens`, and nothing else: for a text that is only compared."""

    hits: np.ndarray
    tokens: int

    def add(self, targets: TokenTargets, layers: Sequence[LayerStatistics]) -> None:
        """Add one clip."""
        self.hits = self.hits + np.stack([layer.hits for layer in layers])
        self.tokens += len(targets)

    def __add__(self, other: HitCounts) -> HitCounts:
        return HitCounts(self.hits + other.hits, self.tokens + other.tokens)

    @property
    def hit_rate(self) -> np.ndarray:
        """[layers, heads]."""
        return self.hits / self.tokens


def roc_auc(negatives: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """Area under the ROC curve from histograms over the same values, [..., values] -> [...]."""
    below = negatives.cumsum(-1) - negatives
    wins = (positives * (below + negatives / 2)).sum(-1)
    return wins / (positives.sum(-1) * negatives.sum(-1))


def commit_accuracy(guessed: np.ndarray, heard: np.ndarray, border_frames: float) -> np.ndarray:
    """Mean of the shares that are decided rightly, from histograms of distances, [...].

    `guessed` and `heard` [..., distances] as `border_counts` has them: the first should be within
    the border and wait, the second beyond it.
    """
    waits = np.arange(guessed.shape[-1]) <= border_frames
    held, let_go = guessed[..., waits].sum(-1), heard[..., ~waits].sum(-1)
    return (held / guessed.sum(-1) + let_go / heard.sum(-1)) / 2


def histogram_quantile(counts: np.ndarray, share: float) -> np.ndarray:
    """A quantile in seconds from [..., bins] counts over `ERROR_EDGES_S`, linear in its bin."""
    running = counts.cumsum(-1, dtype=np.float64)
    total = running[..., -1:]
    wanted = share * total
    index = np.minimum((running < wanted).sum(-1), counts.shape[-1] - 2)
    at = index[..., None]
    before = np.take_along_axis(running, at, -1) - np.take_along_axis(counts, at, -1)
    inside = (wanted - before) / np.maximum(np.take_along_axis(counts, at, -1), 1e-12)
    low, high = ERROR_EDGES_S[index], ERROR_EDGES_S[index + 1]
    value = low + np.clip(inside[..., 0], 0, 1) * (high - low)
    return np.where(total[..., 0] > 0, value, np.nan)
