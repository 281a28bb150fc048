"""What a study teaches: which parameter matters, and how few heads are enough."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from ...evaluate.intervals import paired_difference
from ...evaluate.normalise import ErrorName
from ...wording import counted
from ..result import Explanation, HeadCountPoint, Setting
from ..scoring import Score
from .space import SEARCHED, Space
from .trials import completed

_OBJECTIVES = ("wer", "delay_s", "gflop_per_s")
_MOST_COUNTS = 24  # of heads, all up to there; above, spread by their logarithm


def explain(
    study: optuna.Study,
    space: Space,
    chosen: dict[str, Setting],
    score: Callable[[dict[str, Setting]], Score],
) -> Explanation:
    """What `study` teaches.

    The importance is that of PED-ANOVA (Watanabe et al. 2023, "PED-ANOVA: Efficiently
    Quantifying Hyperparameter Importance in Arbitrary Subspaces") for being among the best tenth
    in one objective.

    Args:
        study: with complete trials.
        space: of the study.
        chosen: the parameters of the trial chosen.
        score: scores parameters on the development speech.
    """
    counts = head_counts(space.max_heads)
    scores = {count: score({**chosen, "head_count": count}) for count in counts}
    best = min(counts, key=lambda count: (scores[count].wer, scores[count].delay_s, count))
    return Explanation(
        importance={
            name: _importance(study, space, index)
            for index, name in enumerate(_OBJECTIVES[: len(study.directions)])
        },
        by_head_count=[
            HeadCountPoint(
                head_count=count, wer=scores[count].wer, delay_s=scores[count].delays.rate
            )
            for count in counts
        ],
        best_head_count=best,
        fewest_heads=next(c for c in counts if _as_good(scores[c], scores[best])),
    )


def head_counts(most: int) -> list[int]:
    """Which head counts to try: all, or some where there are many."""
    if most <= _MOST_COUNTS:
        return list(range(1, most + 1))
    ratio = most ** (1 / (_MOST_COUNTS - 1))
    return sorted({min(most, round(ratio**i)) for i in range(_MOST_COUNTS)} | {most})


def _as_good(one: Score, best: Score) -> bool:
    """Not significantly worse in either."""
    pairs = ((one.errors, best.errors), (one.delays, best.delays))
    found = [paired_difference(first, second) for first, second in pairs]
    return all(difference is not None and difference.low <= 0 for difference in found)


def _importance(study: optuna.Study, space: Space, objective: int) -> dict[str, float]:
    """By parameter, over the trials of the kind of border searched."""
    of_kind = [
        trial
        for trial in completed(study)
        if trial.user_attrs.get(SEARCHED, space.border) == space.border
    ]
    varied = [name for name in space.ranges if len({trial.params[name] for trial in of_kind}) > 1]
    if len(of_kind) < 2 or not varied:
        return {}
    with warnings.catch_warnings():
        # Few trials are told to the reader by the trials themselves.
        warnings.simplefilter("ignore")
        found = optuna.importance.get_param_importances(
            _study_of(of_kind),
            params=varied,
            target=lambda trial: trial.values[objective],
        )
    return {name: round(float(found[name]), 4) for name in varied}


def _study_of(trials: Sequence[FrozenTrial]) -> optuna.Study:
    study = optuna.create_study(directions=[StudyDirection.MINIMIZE for _ in trials[0].values])
    study.add_trials(trials)
    return study


def lines(found: Explanation, rate: ErrorName = "WER") -> list[str]:
    """For a person, who knows the rate of errors by the name `rate`."""
    texts = []
    for objective, title in zip(_OBJECTIVES, (rate, "delay", "compute"), strict=True):
        shares = sorted(found.importance.get(objective, {}).items(), key=lambda item: -item[1])
        if shares:
            listed = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares)
            texts.append(f"what matters for the {title}: {listed}")
    texts.append("all else at the chosen values:")
    for point in found.by_head_count:
        delay = "" if point.delay_s is None else f"  delay {point.delay_s:.2f} s"
        marks = [
            mark
            for mark, count in (("best", found.best_head_count), ("fewest", found.fewest_heads))
            if count == point.head_count
        ]
        note = f"  {', '.join(marks)}" if marks else ""
        texts.append(
            f"  {counted(point.head_count, 'head'):>8}  {rate} {100 * point.wer:.2f} %{delay}{note}"
        )
    texts.append(
        f"fewest heads not significantly worse than the best ({found.best_head_count}): "
        f"{found.fewest_heads}"
    )
    return texts
