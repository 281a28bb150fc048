"""What the figures say of a heads file in words: names and units of scores, findings, origin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...wording import counted
from .style import shortened

if TYPE_CHECKING:
    from ...heads.schema import HeadsFile

Head = tuple[int, int]
"""(layer, head), both from 0."""

FOLLOWS = 0.8
"""The hit rate from which a head is said to follow the audio."""

_TOP = 20


class Metric(NamedTuple):
    """How a score is called and shown. `limits`: of the colour scale; None: from the data."""

    label: str
    unit: str
    lower_is_better: bool
    limits: tuple[float, float | None]


METRICS = {
    "hit_rate": Metric("hit rate", "share of tokens", False, (0, 1)),
    "commit_accuracy": Metric("commit accuracy", "0.5 is chance", False, (0.5, 1)),
    "border_auc": Metric("border AUC", "0.5 is chance", False, (0.5, 1)),
    "monotonicity": Metric("monotonicity", "share of steps", False, (0, 1)),
    "rho": Metric("Spearman's rho", "attended and gold frame", False, (0, 1)),
    "time_error_p50_ms": Metric("median time error", "ms", True, (0, 1000)),
    "time_error_p90_ms": Metric("time error, 90th percentile", "ms", True, (0, 2000)),
    "mass": Metric("attention inside the word", "share", False, (0, None)),
    "entropy_nats": Metric("entropy of the attention", "nats", True, (0, None)),
    "sink_share": Metric("sink share", "share of tokens", True, (0, 1)),
}
"""Every score by which a head is better or worse than another, in the order of presentation."""


def model_name(model: str) -> str:
    """The last part of a hub name or a path, cut to 40 characters."""
    return shortened(model.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1], 40)


def described(heads: HeadsFile) -> str:
    """Corpus, clips and tokens in one line."""
    if not heads.is_measured:
        return "not measured"
    clips = f"{counted(heads.num_samples, 'clip')}, {heads.total_alignable_tokens:,} tokens"
    return f"{shortened(heads.corpus.name, 40)}, {clips}" if heads.corpus else clips


def scores_present(heads: HeadsFile) -> list[str]:
    """The scores of the file that have a name here, in the order of presentation."""
    return [metric for metric in METRICS if metric in heads.metrics]


def top_heads(heads: HeadsFile, top: int | None) -> tuple[Head, ...]:
    """The best `top` heads of the file; by default 20, or a quarter of all where that is less.

    Where others published heads for the model, by default as many; of heads that were never
    measured, all that are listed.
    """
    quarter = -(-heads.num_layers * heads.num_heads // 4)
    usual = min(_TOP, quarter) if heads.is_measured else len(heads.compact)
    if top is None and heads.is_measured:
        usual = len(published_heads(heads)) or usual
    return tuple(heads.compact[: usual if top is None else top])


def published_heads(heads: HeadsFile) -> tuple[Head, ...]:
    """The heads that others published for the same model, to be compared with those of `heads`.

    As many as they use themselves: all where they gave no scores, else the best 20. None where
    nothing is bundled, or what is bundled was made here, or is the file itself.
    """
    from ...heads.load import bundled_name, load_heads

    name = bundled_name(heads.model)
    published = None if name is None else load_heads(name)
    if (
        published is None
        or published.created_with is not None
        or (published.num_layers, published.num_heads) != (heads.num_layers, heads.num_heads)
        or published.sha256 == heads.sha256
    ):
        return ()
    return tuple(published.compact[: _TOP if published.is_measured else None])


def the_best(heads: HeadsFile, count: int) -> str:
    """The first `count` heads in words, and how the file orders them."""
    if not heads.is_measured:
        return f"the {count} listed"
    if heads.ranking is None:
        return f"the best {count} by hit rate"
    if heads.ranking.method == "set":
        return f"the best {count} chosen as a set"
    return f"the best {count} by {metric_label(heads.ranking.metric)}"


def metric_label(metric: str) -> str:
    """What a reader is shown for a metric."""
    return METRICS[metric].label if metric in METRICS else metric


def finding(heads: HeadsFile, metric: str, values: np.ndarray) -> str:
    """What the score says about the model, in a sentence."""
    name, label = model_name(heads.model), METRICS[metric].label
    if not heads.is_measured:
        return f"{name}: {counted(len(heads.compact), 'head')} listed, without scores"
    if np.isnan(values).all():
        return f"{name}: {label} is undefined for every head"
    choose = np.nanargmin if METRICS[metric].lower_is_better else np.nanargmax
    layer, head = map(int, np.unravel_index(choose(values), values.shape))
    best = with_unit(metric, float(values[layer, head]))
    if metric == "hit_rate":
        count = int((values >= FOLLOWS).sum())
        if not count:
            return f"{name}: no head follows the audio (hit rate {FOLLOWS} or more), best {best}"
        verb = "follows" if count == 1 else "follow"
        of = f"{count} of {counted(values.size, 'head')} {verb} the audio"
        return f"{name}: {of} (hit rate {FOLLOWS} or more)"
    title = f"{name}: {label} is best in layer {layer}, head {head}: {best}"
    if interval := heads.intervals.get(metric):
        low, high = interval.low[layer][head], interval.high[layer][head]
        if low is not None and high is not None:
            title += f" (95 %: {formatted(metric, low)} to {formatted(metric, high)})"
    return title


_RATES = {"WER": "word error rate", "CER": "character error rate", "MER": "mixed error rate"}


def rate_title(names: Iterable[str]) -> str:
    """`word error rate`, or `error rate (CER, WER)` where figures of several kinds are shown."""
    found = sorted(set(names))
    return _RATES[found[0]] if len(found) == 1 else f"error rate ({', '.join(found)})"


def formatted(metric: str, value: float) -> str:
    """A score to the digits that mean something."""
    return f"{value:.0f}" if metric.endswith("_ms") else f"{value:.2f}"


def with_unit(metric: str, value: float) -> str:
    """A score with its unit, where it has one."""
    unit = METRICS[metric].unit
    return f"{formatted(metric, value)} {unit if unit in ('ms', 'nats') else ''}".strip()
