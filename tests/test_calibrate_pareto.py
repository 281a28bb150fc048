"""The front, its hypervolume, the choice from it, and the space that is searched."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import optuna
import pytest

from alignheads import load_heads
from alignheads.calibrate.report import described, trial_line
from alignheads.calibrate.result import TrialInfo
from alignheads.calibrate.study.explain import head_counts
from alignheads.calibrate.study.pareto import (
    DEFAULT_RULE,
    Rule,
    front,
    hypervolume,
    hypervolumes,
    parse_rule,
    select,
)
from alignheads.calibrate.study.space import (
    BUNDLED,
    FEW,
    PUBLISHED,
    RANGES,
    USUAL,
    check_in_range,
    make_space,
)
from alignheads.calibrate.study.trials import SeededByPlace
from alignheads.errors import InputError
from alignheads.runtime.stream.config import DecoderConfig

KNEE = Rule("knee")
LISTED = len(load_heads("tiny").alignment_heads)


def test_the_front_is_what_nothing_dominates_by_rising_delay():
    points = [(0.3, 0.2), (0.1, 0.5), (0.1, 0.6), (0.2, 0.3), (0.25, 0.3), (0.0, 1.0), (0.5, 0.2)]
    assert front(points) == [0, 3, 1, 5]


def test_equal_points_are_on_the_front_together():
    assert front([(0.1, 0.5), (0.1, 0.5), (0.2, 0.5)]) == [0, 1]
    assert front([]) == []


def test_a_front_agrees_with_the_definition_on_random_points():
    rng = np.random.default_rng(1)
    points = [tuple(point) for point in rng.integers(0, 6, (40, 2)).tolist()]
    kept = {points[index] for index in front(points)}
    for point in points:
        beaten = any(o != point and o[0] <= point[0] and o[1] <= point[1] for o in points)
        assert beaten != (point in kept)


def test_the_hypervolume_is_the_area_between_front_and_reference():
    assert hypervolume([(0.5, 0.5)], (1, 1)) == pytest.approx(0.25)
    assert hypervolume([(0.5, 0.5), (0.25, 0.75)], (1, 1)) == pytest.approx(0.25 + 0.25 * 0.25)
    assert hypervolume([(0.5, 0.5), (0.6, 0.6)], (1, 1)) == pytest.approx(0.25)
    assert hypervolume([(2, 0.1), (0.1, 2)], (1, 1)) == 0
    assert hypervolume([], (1, 1)) == 0


def test_hypervolumes_never_fall():
    rng = np.random.default_rng(2)
    points = [tuple(point) for point in rng.random((30, 2)).tolist()]
    volumes = hypervolumes(points, (1.1, 1.1))
    assert all(before <= after for before, after in itertools.pairwise(volumes))
    cells = np.stack(np.meshgrid(*[np.linspace(0, 1.1, 400)] * 2), -1)
    covered = np.zeros(cells.shape[:2], bool)
    for wer, delay in points:
        covered |= (cells[..., 0] >= wer) & (cells[..., 1] >= delay)
    assert volumes[-1] == pytest.approx(covered.mean() * 1.21, abs=0.01)


def test_the_knee_is_where_the_front_bends():
    points = [(0.5, 0.2), (0.1, 0.3), (0.05, 0.6), (0.04, 1.0), (0.6, 0.25)]
    assert select(points, KNEE) == 1


@pytest.mark.parametrize(
    ("points", "chosen"),
    [
        ([(0.1, 0.5)], 0),
        ([(0.1, 0.5), (0.0, 0.9)], 1),  # two ends, no bend: fewest errors
        ([(0.0, 0.5), (0.0, 0.9), (0.0, 0.4)], 2),  # nothing is ever wrong
        ([(0.2, 0.5), (0.1, 0.5)], 1),
    ],
)
def test_a_front_without_a_bend_gives_the_fewest_errors(points, chosen):
    assert select(points, KNEE) == chosen


def test_the_knee_is_looked_for_under_the_ceiling_where_there_is_something():
    points = [(0.5, 0.2), (0.1, 0.3), (0.05, 0.6), (0.02, 0.8), (0.01, 1.0)]
    assert select(points, KNEE, (0.06, 2.0)) in (2, 3, 4)
    assert select(points, KNEE, (0.001, 0.1)) == select(points, KNEE)


def test_limits_choose_the_best_that_keeps_them():
    points = [(0.05, 0.4), (0.034, 0.6), (0.0325, 0.8), (0.03, 1.2)]
    assert select(points, parse_rule("max-wer-increase=0.3")) == 2
    assert select(points, parse_rule("max-wer-increase=0.4")) == 1
    assert select(points, parse_rule("max-wer-increase=0")) == 3
    assert select(points, parse_rule("max-delay=0.8")) == 2
    assert select(points, parse_rule("max-delay=0.79")) == 1


def test_a_delay_that_cannot_be_had_says_what_can():
    with pytest.raises(
        InputError, match=r"max-delay=0\.1', but no trial has less delay than 0\.400 s"
    ):
        select([(0.05, 0.4), (0.01, 0.9)], parse_rule("max-delay=0.1"))
    with pytest.raises(InputError, match="nothing to select"):
        select([], KNEE)


@pytest.mark.parametrize(
    "text",
    ["", "knob", "knee=1", "within", "within=-1", "max-delay", "max-delay=", "max-delay=soon",
     "max-delay=nan", "max-delay=-1", "max-wer-increase=inf", "wer=1"],
)  # fmt: skip
def test_a_rule_that_is_none_is_refused_with_what_is_one(text):
    with pytest.raises(InputError, match=r"^select is .*max-wer-increase"):
        parse_rule(text)


def test_a_rule_is_written_as_it_was_read():
    for text in (DEFAULT_RULE, "knee", "max-delay=0.8", "max-wer-increase=0.3"):
        assert str(parse_rule(text)) == text


# The space


@pytest.fixture(scope="module")
def heads():
    return load_heads("tiny")


def test_the_published_settings_are_inside_the_ranges(heads):
    for settings in PUBLISHED.values():
        for name in settings.keys() - {"head_count"}:
            check_in_range(name, settings[name], RANGES[name], "published")
    space = make_space("tiny", heads)
    baselines = space.baselines()
    assert {b["border_fraction"] for b in baselines.values() if "border_s" not in b} == {0.15, 0.25}
    assert [space.border_of(b) for b in baselines.values()] == [
        "fraction", "fraction", "seconds", "seconds",
    ]  # fmt: skip
    assert {baselines[name]["head_count"] for name in PUBLISHED} == {LISTED}


@pytest.mark.parametrize("border", ["seconds", "fraction"])
def test_the_bundled_configuration_is_a_baseline_as_it_is(heads, border):
    own = DecoderConfig.bundled("tiny")
    space = make_space("tiny", heads, border, tune=("step_s",))
    config = space.config(space.baselines()[BUNDLED])
    assert config.changed(heads=own.heads) == own.changed(calibration=None)
    few = make_space("tiny", heads, border, max_heads=own.head_count - 1)
    assert few.baselines()[BUNDLED]["head_count"] == own.head_count - 1


def test_without_a_bundled_configuration_the_usual_one_of_the_family_is_a_baseline(heads):
    space = make_space("my-model", heads)
    assert list(space.baselines()) == [*PUBLISHED, USUAL]
    usual = DecoderConfig.uncalibrated("my-model", heads)
    assert space.config(space.baselines()[USUAL]).changed(heads=usual.heads) == usual
    assert (usual.border_s, usual.unsure_s, usual.max_audio_s) == (0.4, 0.6, 30)
    cross = heads.model_copy(update={"attention": "cross"})
    whisper = DecoderConfig.bundled("whisper-base")
    found = make_space("my-whisper", cross).baselines()[USUAL]
    assert (found["border_s"], found["unsure_s"]) == (whisper.border_s, whisper.unsure_s)
    assert found["head_count"] == min(whisper.head_count, LISTED)


def test_fewer_heads_than_the_published_ones_are_said(heads):
    assert str(LISTED) in make_space("tiny", heads).notes()[0]
    assert make_space("1.7b", load_heads("1.7b")).notes() == []
    many = make_space("1.7b", load_heads("1.7b")).baselines()
    assert {b["head_count"] for b in many.values()} == {20}


def test_a_space_changes_only_what_it_searches(heads):
    space = make_space("tiny", heads, "seconds", 5, ("step_s",), "English")
    assert list(space.ranges) == [
        "border_s", "head_count", "rewind_fraction", "unsure_s", "step_s",
    ]  # fmt: skip
    assert space.ranges["head_count"].high == 5
    config = space.config({"border_s": 0.3, "head_count": 2, "step_s": 0.5})
    assert (config.border_s, config.border_fraction, config.head_count) == (0.3, None, 2)
    assert config.heads == tuple(heads.top(5))
    assert config.max_audio_s == space.base.max_audio_s
    assert "step_s" not in space.fixed
    fraction = space.config({"border_fraction": 0.2})
    assert (fraction.border_s, fraction.border_fraction) == (None, 0.2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"border": "inches"}, "fraction or seconds"),
        ({"max_heads": LISTED + 1}, rf"max_heads is {LISTED + 1}.*lists {LISTED}.*1 to {LISTED}"),
        ({"max_heads": 0}, f"1 to {LISTED}"),
        (
            {"tune": ("sink_s",)},
            "tune has 'sink_s', expected step_s, aggregate, max_audio_s, reuse or refresh_s",
        ),
    ],
)
def test_a_space_that_cannot_be_is_refused(heads, given, message):
    with pytest.raises(InputError, match=message):
        make_space("tiny", heads, **given)


def drawn(draw, trials=25):
    """The trials of a search with one seed for what `draw` gives; TPE's own from the 11th on."""
    study = optuna.create_study(directions=["minimize"] * 2, sampler=SeededByPlace(3))
    for _ in range(trials):
        trial = study.ask()
        params = draw(trial)
        border = params.get("border_s") or 4 * params["border_fraction"]
        study.tell(trial, (border + params["unsure_s"], 1 / border + params["head_count"]))
    return [(trial.params, trial.distributions) for trial in study.trials]


@pytest.mark.parametrize(
    ("border", "name", "low", "high", "step"),
    [("seconds", "border_s", 0.05, 2.0, 0.05), ("fraction", "border_fraction", 0.02, 0.5, 0.01)],
)
@pytest.mark.parametrize("tune", [(), ("step_s", "max_audio_s")])
def test_without_compute_all_is_drawn_as_ever(heads, border, name, low, high, step, tune):
    def as_ever(trial):
        found = {
            name: trial.suggest_float(name, low, high, step=step),
            "head_count": trial.suggest_int("head_count", 1, LISTED, log=True),
            "rewind_fraction": trial.suggest_float("rewind_fraction", 0.02, 0.5, step=0.01),
            "unsure_s": trial.suggest_float("unsure_s", 0.0, 1.0, step=0.1),
        }
        if tune:
            trial.suggest_categorical("step_s", [0.5, 1.0, 2.0])
            trial.suggest_categorical("max_audio_s", [8.0, 12.0, 16.0, 20.0, 24.0, 30.0])
        return found

    assert drawn(make_space("tiny", heads, border, tune=tune).draw) == drawn(as_ever)


@pytest.mark.parametrize(
    ("border", "name"), [("seconds", "border_s"), ("fraction", "border_fraction")]
)
def test_with_compute_the_border_is_one_of_a_few(heads, border, name):
    space = make_space("tiny", heads, border, has_few=True)
    assert {params[name] for params, _ in drawn(space.draw)} <= set(FEW[name].choices)
    every = make_space("tiny", heads, border)
    assert {**space.ranges, name: every.ranges[name]} == every.ranges
    assert space.baselines() == every.baselines()


def test_the_few_borders_hold_the_published_ones_and_the_bundled_configurations_own(heads):
    for settings in PUBLISHED.values():
        for name in settings.keys() & FEW.keys():
            check_in_range(name, settings[name], FEW[name], "published")
    odd = dataclasses.replace(
        make_space("tiny", heads, has_few=True),
        base=DecoderConfig.bundled("tiny").changed(border_s=0.33),
    )
    assert odd.ranges["border_s"].choices == sorted([*FEW["border_s"].choices, 0.33])


def test_head_counts_are_all_or_spread():
    assert head_counts(17) == list(range(1, 18))
    assert head_counts(1) == [1]
    many = head_counts(300)
    assert many[0] == 1
    assert many[-1] == 300
    assert len(many) <= 26
    assert many == sorted(set(many))


# For a person


def test_a_trial_is_one_line():
    trial = TrialInfo(
        number=11, state="complete", border="fraction", wer=0.0341, delay_s=0.84, on_front=True,
        params={"border_fraction": 0.13, "rewind_fraction": 0.1, "head_count": 8},
    )  # fmt: skip
    assert trial_line(12, 50, trial) == (
        "12/50  WER 3.41 %  delay 0.84 s  border .13  rewind .10  heads 8  *front*"
    )
    failed = TrialInfo(number=3, state="failed", border="fraction", params={}, reason="no luck")
    assert trial_line(2, 50, failed) == "2/50  trial 3 failed: no luck"


def test_settings_are_short():
    params = {"border_s": 0.35, "rewind_fraction": None, "head_count": 4, "step_s": 0.5,
              "aggregate": "mean"}  # fmt: skip
    assert described(params) == [
        "border 0.35 s", "heads 4", "step 0.5 s", "aggregate mean"
    ]  # fmt: skip
