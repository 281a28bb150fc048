"""The heads file: which (layer, head) pairs follow the audio, how well, and how we know.

Knows the contract of the file and nothing of models, corpora or how a score is made. The keys of
the published `alignment_heads_*.json` files are kept as they are; all that is ours is optional,
so that published files load.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ..errors import InputError
from ..files import json_text, write_text
from ..wording import counted
from .names import bundled_name, same_name
from .upgrade import as_schema_1

_log = logging.getLogger(__name__)

SCHEMA_VERSION = 4
HIT_RATE = "hit_rate"
LARGEST_SIZE = 1024

ScoredText = Literal["hypothesis", "reference"]
"""What heads were scored on: the model's own text, or the transcript forced on it."""

AttentionKind = Literal["self", "cross"]
"""Where a text decoder sees the audio: in its own sequence, or in the encoder's output."""

# Published files round `ts` to four digits and keep `ts_matrix` whole.
_TS_ROUNDING = 1e-3

_Count = Annotated[int, Field(ge=0)]
_Size = Annotated[int, Field(ge=1, le=LARGEST_SIZE)]
_Fraction = Annotated[float, Field(ge=0, le=1)]
_Matrix = list[list[float | None]]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class AlignmentHead(_Model):
    """One head. `ts` is its hit rate, 0 to 1; None where it was never measured."""

    layer: _Count
    head: _Count
    ts: _Fraction | None


class Interval(_Model):
    """The 95 % interval of a score of every head, both [layers][heads]; None where undefined."""

    low: _Matrix
    high: _Matrix


class HeadGroup(_Model):
    """What several heads come to together, scored on clips that were not used to choose them.

    Attributes:
        name: for people.
        is_own: whether these are the first `num_heads` heads of the file's own ranking; else it
            is a group to compare with.
        num_heads: how many heads are in it.
        scores: {metric: value}, as `time_error_ms` and `commit_accuracy`; what is undefined is
            left out.
    """

    name: str
    is_own: bool
    num_heads: Annotated[int, Field(ge=1)]
    scores: dict[str, float]


class Ranking(_Model):
    """How `alignment_heads` was ordered, and how sure that order is.

    `method` is "score" (by the score `metric`) or "set" (a group chosen together);
    `top_probability` [layers][heads] is the probability that a head is among the best `top`, over
    a bootstrap of the clips; `top_stability`, 0 to 1, the share of the best `top` that a new
    sample of clips would keep; `clips_needed` how many clips make it stable; `stability_curve`
    (clips, stability) as clips came in. `groups` are the first heads of this ranking and other
    groups to compare them with. `set_error_curve`, for the method "set", is the time error in ms
    of the first 1, 2, … heads on the clips they were chosen on. `validation` gives
    {metric: value}, what else was measured to check the ranking.
    """

    method: str
    metric: str
    top: Annotated[int, Field(ge=1)]
    top_probability: list[list[_Fraction]] | None = None
    top_stability: _Fraction | None = None
    clips_needed: _Count | None = None
    stability_curve: list[tuple[_Count, _Fraction]] = []
    groups: list[HeadGroup] = []
    set_error_curve: list[float] | None = None
    validation: dict[str, float] = {}


class CorpusInfo(_Model):
    """The corpus the scores were measured on: utterances scored, and those skipped."""

    name: str
    fingerprint: str
    utterances: _Count
    skipped: _Count = 0


class HeadsFile(_Model):
    """A heads file. Matrices are layers x heads; `alignment_heads` is best first.

    `ts` is the hit rate: the share of tokens whose attended frame lies near their word; it has
    the name "hit_rate" wherever a metric is named. `scores` and `intervals` are by metric name.
    `model_fingerprint` is that of the checkpoint they were found in (16 hexadecimal digits),
    `attention` says whether these are heads of self-attention or of cross-attention, `query`
    which position's attention was read ("predicting": that which predicts the token), `text`
    whether the tokens are the model's own or the reference; None where a file does not say.
    """

    schema_version: _Count = SCHEMA_VERSION
    model: Annotated[str, Field(min_length=1)]
    language: str | None
    num_layers: _Size
    num_heads: _Size
    num_kv_heads: _Size
    attention: AttentionKind | None = None
    model_fingerprint: str | None = None
    num_samples: _Count
    total_alignable_tokens: _Count
    ts_threshold: _Fraction | None
    ts_matrix: list[list[_Fraction | None]]
    alignment_heads: list[AlignmentHead]
    # Redundant, kept for existing tools; made from alignment_heads where it is not given.
    alignment_heads_compact: list[tuple[int, int]] = Field(
        default_factory=lambda: _not_given(), validate_default=True
    )
    scores: dict[str, _Matrix] = {}
    intervals: dict[str, Interval] = {}
    ranking: Ranking | None = None
    corpus: CorpusInfo | None = None
    aligner: str | None = None
    query: str | None = None
    text: ScoredText | None = None
    created_with: str | None = None
    source: str | None = None

    @field_validator("alignment_heads_compact", mode="before")
    @classmethod
    def _derive_compact(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None:
            return [(head.layer, head.head) for head in info.data.get("alignment_heads", [])]
        # Arrays of JSON have come as lists, which are no tuples where validation is strict.
        if isinstance(value, list):
            return [tuple(pair) if isinstance(pair, list) else pair for pair in value]
        return value

    @model_validator(mode="after")
    def _check(self) -> HeadsFile:
        if self.num_heads % self.num_kv_heads:
            raise ValueError(
                f"num_kv_heads is {self.num_kv_heads}, expected a divisor of num_heads = "
                f"{self.num_heads}"
            )
        for name, rows in self._matrices():
            self._check_shape(name, rows)
        if self.scores.get(HIT_RATE, self.ts_matrix) != self.ts_matrix:
            raise ValueError(f"scores.{HIT_RATE} differs from ts_matrix; they are the same score")
        self._check_heads()
        self._check_ranking()
        return self

    def _matrices(self) -> list[tuple[str, Sequence[Sequence[float | None]]]]:
        found: list[tuple[str, Sequence[Sequence[float | None]]]] = [("ts_matrix", self.ts_matrix)]
        found += [(f"scores.{name}", rows) for name, rows in self.scores.items()]
        for name, interval in self.intervals.items():
            found.append((f"intervals.{name}.low", interval.low))
            found.append((f"intervals.{name}.high", interval.high))
        if self.ranking is not None and self.ranking.top_probability is not None:
            found.append(("ranking.top_probability", self.ranking.top_probability))
        return found

    def _check_shape(self, name: str, rows: Sequence[Sequence[float | None]]) -> None:
        if len(rows) != self.num_layers:
            raise ValueError(
                f"{name} has {len(rows)} rows, expected num_layers = {self.num_layers}"
            )
        for layer, row in enumerate(rows):
            if len(row) != self.num_heads:
                raise ValueError(
                    f"{name}[{layer}] has {len(row)} values, expected num_heads = {self.num_heads}"
                )

    def _check_heads(self) -> None:
        seen: dict[tuple[int, int], int] = {}
        for index, head in enumerate(self.alignment_heads):
            name = f"alignment_heads[{index}]"
            for key, value, size in (
                ("layer", head.layer, self.num_layers),
                ("head", head.head, self.num_heads),
            ):
                if value >= size:
                    raise ValueError(f"{name}.{key} is {value}, expected 0 to {size - 1}")
            pair = (head.layer, head.head)
            if pair in seen:
                raise ValueError(
                    f"{name} is layer {pair[0]} head {pair[1]}, "
                    f"as alignment_heads[{seen[pair]}] is; list each head once"
                )
            seen[pair] = index
            score = self.ts_matrix[head.layer][head.head]
            if (score is None) != (head.ts is None) or (
                score is not None and head.ts is not None and abs(score - head.ts) > _TS_ROUNDING
            ):
                raise ValueError(
                    f"{name}.ts is {head.ts}, but ts_matrix[{head.layer}][{head.head}] is {score}"
                )
        if self.alignment_heads_compact != list(seen):
            raise ValueError(
                "alignment_heads_compact is not the list of alignment_heads in the same order; "
                "correct it, or leave it out"
            )

    def _check_ranking(self) -> None:
        total = self.num_layers * self.num_heads
        if self.ranking is not None:
            if self.ranking.top > total:
                raise ValueError(f"ranking.top is {self.ranking.top}, but there are {total} heads")
            for index, group in enumerate(self.ranking.groups):
                if group.num_heads > total:
                    raise ValueError(
                        f"ranking.groups[{index}].num_heads is {group.num_heads}, but there are "
                        f"{total} heads"
                    )
            return
        # Without a ranking of its own the list is by hit rate, and top(n) relies on the order.
        for index in range(1, len(self.alignment_heads)):
            before, after = self.alignment_heads[index - 1].ts, self.alignment_heads[index].ts
            if before is not None and after is not None and after > before:
                raise ValueError(
                    f"alignment_heads[{index}].ts is {after}, more than the {before} before it; "
                    "list the best head first"
                )

    @property
    def compact(self) -> list[tuple[int, int]]:
        """The (layer, head) pairs of `alignment_heads`, best first."""
        return list(self.alignment_heads_compact)

    @property
    def metrics(self) -> list[str]:
        """The names `matrix` knows, the hit rate first."""
        return [HIT_RATE, *(name for name in self.scores if name != HIT_RATE)]

    @property
    def is_measured(self) -> bool:
        """Whether anything was scored. Heads that nobody scored may be listed in no order."""
        rows = (row for _, matrix in self._matrices() for row in matrix)
        return self.num_samples > 0 or any(value is not None for row in rows for value in row)

    @property
    def sha256(self) -> str:
        """Hash of the content, 64 hexadecimal digits.

        It depends neither on the layout of the file nor on its schema: it is the same before and
        after an upgrade.
        """
        content = as_schema_1(self.model_dump(mode="json"))
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def top(self, count: int) -> list[tuple[int, int]]:
        """The best `count` heads as (layer, head), best first.

        Raises:
            InputError: fewer heads are listed or none, or `count` is below 1.
        """
        listed = len(self.alignment_heads)
        self._check_lists_any(self.model)
        if count < 1:
            raise InputError(f"{counted(count, 'head')} asked for; ask for 1 or more")
        if count > listed:
            raise InputError(
                f"{counted(count, 'head')} asked for, but the heads file of {self.model} lists "
                f"{listed}; ask for {listed} or fewer, or run: discover-heads --top {count}"
            )
        return self.compact[:count]

    def matrix(self, metric: str) -> np.ndarray:
        """The score `metric` of every head, [layers, heads] float64, NaN where undefined.

        Raises:
            InputError: the file has no such score.
        """
        if metric not in self.metrics:
            raise InputError(
                f"the heads file of {self.model} has no score {metric!r}; "
                f"it has {', '.join(self.metrics)}"
            )
        return np.array(self.ts_matrix if metric == HIT_RATE else self.scores[metric], dtype=float)

    def check_model(
        self,
        model_name: str,
        num_layers: int,
        num_heads: int,
        attention: AttentionKind | None = None,
    ) -> None:
        """Make sure that these heads can be those of a model of `num_layers` x `num_heads`.

        The kind of attention is compared where both the file and the caller say it.

        Raises:
            InputError: the shapes or the kinds of attention differ.
        """
        if None not in (attention, self.attention) and attention != self.attention:
            raise InputError(
                f"the heads file is for {self.model}, heads of {self.attention}-attention, and "
                f"does not fit {model_name}, whose alignment heads are of {attention}-attention; "
                f"make one with: discover-heads --model {model_name}"
            )
        if (num_layers, num_heads) != (self.num_layers, self.num_heads):
            raise InputError(
                f"the heads file is for {self.model}, {self.num_layers} layers x {self.num_heads} "
                f"heads, and does not fit {model_name}, {num_layers} x {num_heads}; "
                f"make one with: discover-heads --model {model_name}"
            )

    def check_checkpoint(self, model_name: str, fingerprint: Callable[[], str]) -> None:
        """Make sure that a checkpoint is the one whose heads these are, as far as can be told.

        Another one of the same shape may have other heads. Where it may be a kin of the one in
        the file, a fine-tune as it were, that is said and not refused.

        Args:
            model_name: of the checkpoint.
            fingerprint: gives its fingerprint; called where the file has one to compare it with.

        Raises:
            InputError: no head is listed, or both are released models and not the same one.
        """
        self._check_lists_any(model_name)
        if self.model_fingerprint is not None and self.model_fingerprint == fingerprint():
            return
        ours, theirs = bundled_name(self.model), bundled_name(model_name)
        if ours and theirs and ours != theirs:
            raise InputError(
                f"the heads file is for {self.model} and not for {model_name}, which has other "
                f"heads; make one with: discover-heads --model {model_name}"
            )
        if (ours and ours == theirs) or same_name(self.model, model_name):
            # Its conversions have their own files and the same heads.
            if self.model_fingerprint is not None and self.model == model_name:
                _warn_once(
                    f"the heads file for {self.model} was made with other files of that name "
                    f"(fingerprint {self.model_fingerprint}, these have {fingerprint()}); "
                    "discover-heads tells whether the heads are still the same"
                )
            return
        _warn_once(
            f"the heads file is for {self.model} and is used with {model_name}, whose heads may be "
            f"others; find them with: discover-heads --model {model_name}"
        )

    def _check_lists_any(self, model_name: str) -> None:
        if not self.alignment_heads:
            raise InputError(
                f"the heads file for {self.model} lists no head; make one that does with: "
                f"discover-heads --model {model_name}"
            )

    def save(self, path: Path | str, *, overwrite: bool = True) -> None:
        """Write JSON to `path`, one matrix row a line; a failure leaves what was there.

        `overwrite`: see `replacing`.

        Raises:
            InputError: the file cannot be written.
        """
        write_text(path, json_text(self.model_dump(mode="json")) + "\n", overwrite=overwrite)


def _not_given() -> Any:
    """The default of the compact list, told apart from an empty list."""
    return None


@functools.cache
def _warn_once(message: str) -> None:
    _log.warning(message)
