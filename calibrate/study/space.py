"""What a sweep searches: the parameters, their ranges, the baselines, and the way to a config.

Knows the decoder's configuration and the calls of an Optuna trial; not how a trial is scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from ...errors import InputError
from ...heads import HeadsFile
from ...heads.load import bundled_name
from ...runtime.stream.config import DecoderConfig
from ..result import Border, Range, Setting

if TYPE_CHECKING:
    import optuna

BORDERS: dict[Border, str] = {"fraction": "border_fraction", "seconds": "border_s"}
RANGES = {
    "border_fraction": Range(low=0.02, high=0.5, step=0.01),
    "border_s": Range(low=0.05, high=2.0, step=0.05),
    "rewind_fraction": Range(low=0.02, high=0.5, step=0.01),
    "unsure_s": Range(low=0.0, high=1.0, step=0.1),
    "step_s": Range(choices=[0.5, 1.0, 2.0]),
    "max_audio_s": Range(choices=[8.0, 12.0, 16.0, 20.0, 24.0, 30.0]),
    "aggregate": Range(choices=["median", "mean"]),
    "reuse": Range(choices=[False, True]),
    "refresh_s": Range(choices=[1.0, 2.0, 4.0]),
}
FEW = {
    "border_fraction": Range(choices=[0.02, 0.03, 0.05, 0.08, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5]),
    "border_s": Range(choices=[0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 0.8, 1.25, 2.0]),
}
"""Where compute is an objective, a border is one of a few, as step and buffer are: each border in
seconds over 0.3 has a step of its own in every pause, and with it a decode of its own."""
Tunable = Literal["step_s", "aggregate", "max_audio_s", "reuse", "refresh_s"]
TUNABLE: tuple[str, ...] = get_args(Tunable)
PUBLISHED = {
    "published, border .15": {
        "border_fraction": 0.15, "rewind_fraction": 0.12, "unsure_s": 0.0, "head_count": 20,
    },
    "published, border .25": {
        "border_fraction": 0.25, "rewind_fraction": 0.12, "unsure_s": 0.0, "head_count": 20,
    },
    "SimulStreaming, border .5 s": {
        "border_s": 0.5, "rewind_fraction": 0.5, "unsure_s": 0.0, "head_count": 20,
    },
}  # fmt: skip
"""The settings published for this policy, to be beaten: by WhisperLiveKit for Qwen3-ASR, and by
SimulStreaming for Whisper, which has 25 frames, every listed head, and next to no rewind. Neither
asks how sure the model is."""
BUNDLED, USUAL = "the bundled configuration", "the usual configuration"
"""The baseline with the settings that a model is decoded with as long as nothing is tuned: those
bundled for it, or the usual ones of its family."""
DEFAULT_BORDER: Border = "seconds"

_NOT_SETTINGS = ("schema_version", "model", "heads", "calibration")

SEARCHED = "border"
BASELINE = "baseline"
"""Attributes of a trial that was set and not searched."""


@dataclass(frozen=True)
class Space:
    """The parameters of one study.

    Attributes:
        base: the configuration that they are changes of; its heads are all ranked ones.
        border: what a border is measured in.
        max_heads: the most heads a trial may use.
        tuned: which of `TUNABLE` are searched too.
        has_few: the border is one of `FEW`.
        untuned: by name, the baseline with what a model that is not tuned has for what is searched.
    """

    base: DecoderConfig
    border: Border
    max_heads: int
    tuned: tuple[str, ...] = ()
    has_few: bool = False
    untuned: Mapping[str, Mapping[str, Setting]] = field(default_factory=dict)

    @property
    def ranges(self) -> dict[str, Range]:
        """By parameter, in the order in which they are drawn."""
        heads = Range(low=1, high=self.max_heads, log=True)
        names = (BORDERS[self.border], "rewind_fraction", "unsure_s", *self.tuned)
        found = {name: self._with_own(name) for name in names}
        return {BORDERS[self.border]: found.pop(BORDERS[self.border]), "head_count": heads, **found}

    def _with_own(self, name: str) -> Range:
        """A range; of choices, with the configuration's own value among them."""
        values, own = RANGES[name], getattr(self.base, name)
        values = FEW.get(name, values) if self.has_few else values
        if values.choices is None or own is None or own in values.choices:
            return values
        numbers = sorted(float(choice) for choice in [*values.choices, own])
        return Range(choices=list(numbers))

    @property
    def fixed(self) -> dict[str, Setting]:
        """What every trial has in common."""
        searched = {*self.ranges, *BORDERS.values(), *_NOT_SETTINGS}
        return {name: value for name, value in dict(self.base).items() if name not in searched}

    def baselines(self) -> dict[str, dict[str, Setting]]:
        """The published settings and the untuned ones, with as many heads as there are.

        Raises:
            InputError: one of them is outside of the ranges.
        """
        found = {}
        for name, settings in {**PUBLISHED, **self.untuned}.items():
            heads = min(int(settings["head_count"]), self.max_heads)
            found[name] = {**settings, "head_count": heads}
            found[name].update({key: getattr(self.base, key) for key in self.tuned})
            for key, value in found[name].items():
                if key in TUNABLE:  # the configuration's own, which `ranges` has
                    continue
                check_in_range(key, value, self._range(key), name)
        return found

    @staticmethod
    def border_of(params: dict[str, Setting]) -> Border:
        """What the border of those parameters is measured in."""
        return next(border for border, name in BORDERS.items() if name in params)

    def notes(self) -> list[str]:
        """What was changed of the published settings."""
        most = max(int(settings["head_count"]) for settings in PUBLISHED.values())
        if self.max_heads >= most:
            return []
        return [
            f"the published settings use {most} heads; here they have the {self.max_heads} "
            "that are ranked or allowed"
        ]

    def draw(self, trial: optuna.Trial) -> dict[str, Setting]:
        """The parameters of `trial`. One that was set to the other kind of border keeps it."""
        border = BORDERS[trial.user_attrs.get(SEARCHED, self.border)]
        names = [border, *list(self.ranges)[1:]]
        return {name: _drawn(trial, name, self._range(name)) for name in names}

    def config(self, params: dict[str, Any]) -> DecoderConfig:
        """The configuration of those parameters."""
        return self.base.changed(**params)

    def _range(self, name: str) -> Range:
        return self.ranges.get(name) or RANGES[name]


def _drawn(trial: optuna.Trial, name: str, values: Range) -> Setting:
    if values.choices is not None:
        return trial.suggest_categorical(name, values.choices)
    assert values.low is not None
    assert values.high is not None
    if name == "head_count":
        return trial.suggest_int(name, int(values.low), int(values.high), log=values.log)
    return trial.suggest_float(name, values.low, values.high, step=values.step, log=values.log)


def check_in_range(name: str, value: Any, values: Range, what: str) -> None:
    """Make sure that `value` can be drawn.

    Raises:
        InputError: it cannot.
    """
    if values.choices is not None:
        if value not in values.choices:
            listed = ", ".join(map(str, values.choices))
            raise InputError(f"{what}: {name} is {value}, expected one of {listed}")
    elif not (values.low or 0) <= value <= (values.high or 0):
        raise InputError(f"{what}: {name} is {value}, expected {values.low:g} to {values.high:g}")


def check_searched(border: str, tune: Sequence[str]) -> None:
    """Refuse names of what cannot be searched.

    Raises:
        InputError: an unknown border or parameter.
    """
    if border not in BORDERS:
        message = f"border is {border!r}, expected {' or '.join(BORDERS)}"
        raise InputError(message, arguments=("border",))
    for name in tune:
        if name not in TUNABLE:
            message = f"tune has {name!r}, expected {', '.join(TUNABLE[:-1])} or {TUNABLE[-1]}"
            raise InputError(message, arguments=("tune",))
    if "refresh_s" in tune and "reuse" not in tune:
        message = "tune has 'refresh_s', which does nothing without reuse; give reuse, too"
        raise InputError(message, arguments=("tune",))


def make_space(
    model: str,
    heads: HeadsFile,
    border: str = DEFAULT_BORDER,
    max_heads: int | None = None,
    tune: tuple[str, ...] = (),
    language: str | None = None,
    *,
    has_few: bool = False,
) -> Space:
    """The space of a sweep of the checkpoint `model` with its ranked `heads`.

    What is not searched is as in the model's bundled configuration, or the usual one.

    Raises:
        InputError: an unknown border or parameter, or more heads than are ranked.
    """
    check_searched(border, tune)
    listed = len(heads.compact)
    if not listed:
        heads.top(1)  # which says what to do
    if max_heads is not None and not 1 <= max_heads <= listed:
        raise InputError(
            f"max_heads is {max_heads}, but the heads file of {heads.model} lists {listed}; "
            f"expected 1 to {listed}",
            arguments=("max_heads",),
        )
    count = max_heads or listed
    chosen = heads.top(count)
    is_bundled = bundled_name(model) is not None
    base = DecoderConfig.bundled(model) if is_bundled else DecoderConfig.uncalibrated(model, heads)
    names = (*BORDERS.values(), "rewind_fraction", "unsure_s", "head_count")
    untuned = {name: getattr(base, name) for name in names if getattr(base, name) is not None}
    base = base.changed(
        heads=chosen, head_count=count, model=model, calibration=None, language=language
    )
    baseline = {BUNDLED if is_bundled else USUAL: untuned}
    return Space(base, border, count, tuple(dict.fromkeys(tune)), has_few, baseline)  # type: ignore[arg-type]
