"""Compute as a third objective and as a limit: fronts, volumes, rules, and what is said."""

import math

import pytest

from alignheads import InputError
from alignheads.calibrate.result import Measures
from alignheads.calibrate.study.limits import Limits
from alignheads.calibrate.study.pareto import front, hypervolume, parse_rule, select

POINTS = [(0.10, 0.5, 40.0), (0.05, 1.0, 40.0), (0.05, 1.0, 80.0), (0.10, 0.5, 20.0), (0.2, 2.0, 5)]


def measures(**values):
    counts = ("reference_words", "matched_words", "substitutions", "deletions", "insertions",
              "final_deletions")  # fmt: skip
    times = ("delay_p50_s", "delay_p90_s", "delay_p95_s", "delay_aware_s", "first_word_s",
             "finalisation_s", "laal_s", "start_error_p50_ms")  # fmt: skip
    known = {**dict.fromkeys(counts, 1), **dict.fromkeys(times, 0.5), "rtf": 0.5, **values}
    return Measures(**known)


def test_on_a_front_of_three_is_what_nothing_beats_in_all():
    assert front(POINTS) == [3, 1, 4]
    assert front([point[:2] for point in POINTS]) == [0, 3, 1, 2]


def test_a_volume_of_boxes_is_their_union():
    assert hypervolume([(1, 1, 1)], (2, 3, 4)) == 1 * 2 * 3
    assert hypervolume([(1, 1, 1), (1, 1, 1)], (2, 3, 4)) == 6
    assert hypervolume([(1, 2, 1), (1, 1, 3)], (2, 3, 4)) == 1 * 1 * 3 + 1 * 2 * 1 - 1 * 1 * 1
    assert hypervolume([(2, 1, 1), (1, 1, 5)], (2, 3, 4)) == 0


def test_a_volume_of_three_is_that_of_two_where_the_third_is_the_same():
    flat = [(0.1, 0.5), (0.05, 1.0), (0.2, 0.4)]
    cubes = [(*point, 3.0) for point in flat]
    assert hypervolume(cubes, (1, 2, 5.0)) == pytest.approx(2 * hypervolume(flat, (1, 2)))


def test_the_least_compute_is_chosen_among_those_with_few_errors():
    assert select(POINTS, parse_rule("min-cost=0")) == 1
    assert select(POINTS, parse_rule("min-cost=5")) == 3
    assert select(POINTS, parse_rule("min-cost=50")) == 4


@pytest.mark.parametrize("text", ["min-cost", "min-cost=", "min-cost=-1", "min-cost=nan", "cost=1"])
def test_a_rule_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="min-cost=PERCENTAGE_POINTS"):
        parse_rule(text)


def test_a_knee_of_three_is_below_the_plane_of_its_ends():
    ends = [(0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0)]
    assert select([*ends, (0.2, 0.2, 0.2)], parse_rule("knee")) == 3
    # Where compute is the same everywhere it has no say.
    flat = [(0.0, 1.0, 7.0), (1.0, 0.0, 7.0), (0.1, 0.1, 7.0)]
    assert select(flat, parse_rule("knee")) == 2


def test_a_ceiling_of_errors_and_delay_holds_with_compute_too():
    ends = [(0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0), (0.4, 0.3, 0.2)]
    assert select(ends, parse_rule("knee"), (0.1, 1.0)) == 0


def test_what_is_within_all_limits_is_not_beyond():
    limits = Limits(max_rtf=0.5, max_gflops=100)
    assert limits.excess(measures(rtf=0.5, gflop_per_s=100.0)) == 0
    assert limits.excess(measures(rtf=0.1, gflop_per_s=150.0)) == pytest.approx(0.5)
    assert limits.excess(measures(rtf=1.5, gflop_per_s=150.0)) == pytest.approx(2)
    assert Limits().excess(measures(rtf=9.0, gflop_per_s=1e9)) == 0
    assert Limits(max_gflops=1).excess(measures()) == 0  # of an older file, which says nothing


def test_as_fast_as_the_audio_is_not_faster():
    assert Limits(realtime=True).excess(measures(rtf=1.0)) > 0
    assert Limits(max_rtf=1.0).excess(measures(rtf=1.0)) == 0


def test_where_no_trial_meets_a_limit_the_nearest_is_named():
    trials = [
        ("trial 3 (1.00 % at 0.50 s)", measures(rtf=0.2, gflop_per_s=80.0)),
        ("trial 7 (2.00 % at 0.90 s)", measures(rtf=0.3, gflop_per_s=44.0)),
    ]
    error = Limits(max_gflops=40).missed(trials)
    assert "max_gflops is 40, but no trial has at most 40 GFLOP a second of audio" in str(error)
    assert "the nearest is trial 7 (2.00 % at 0.90 s) with 44 GFLOP" in str(error)
    assert error.arguments == ("max_gflops", "tune")


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
@pytest.mark.parametrize("name", ["max_rtf", "max_gflops"])
def test_a_limit_that_nothing_can_meet_is_refused(name, value):
    with pytest.raises(InputError, match=name):
        Limits(**{name: value}).check()


@pytest.fixture
def command(in_process):
    from alignheads.calibrate.cli import main

    return in_process(main, "calibrate")


SMALL = ("--clips", 2, "--phases", 1, "--store", "memory")


def test_a_sweep_may_reuse(command, tmp_path):
    from alignheads import CalibrationFile, DecoderConfig

    code, out, err = command(
        *SMALL, "--trials", 6, "--cost", "--tune", "reuse,refresh_s", "--select", "min-cost=100"
    )
    assert (code, err.count("Traceback")) == (0, 0), err
    file = CalibrationFile.load(tmp_path / "calibration.json")
    costs = {kind: [] for kind in (False, True)}
    for trial in file.trials:
        costs[trial.params["reuse"]].append(trial.measures.gflop_per_s)
    assert costs[True]
    assert min(costs[True]) < min(costs[False])
    config = DecoderConfig.load(tmp_path / "decoder_config.json")
    assert config.reuse
    assert "reuse yes" in err
    assert "reuse" in out


def test_reuse_is_not_searched_for_a_family_that_cannot(command, monkeypatch):
    from alignheads.runtime.models.qwen3.model import Qwen3Model

    monkeypatch.setattr(Qwen3Model, "can_reuse", False)
    code, _, err = command(*SMALL, "--trials", 4, "--tune", "reuse")
    assert code == 2
    assert "--tune has 'reuse', but tiny keeps nothing from one step to the next" in err


def test_a_sweep_with_compute_as_an_objective(command, tmp_path):
    from alignheads import CalibrationFile, DecoderConfig

    code, out, err = command(
        *SMALL, "--trials", 6, "--cost", "--tune", "step_s,max_audio_s", "--select", "min-cost=100"
    )
    assert (code, err.count("Traceback")) == (0, 0), err
    assert "GFLOP/s" in out
    file = CalibrationFile.load(tmp_path / "calibration.json")
    assert file.objectives == ["wer", "delay_s", "gflop_per_s"]
    assert len(file.hypervolume_reference) == 3
    few = file.space["border_s"].choices
    assert {t.params["border_s"] for t in file.trials if t.border == "seconds"} <= set(few)
    costs = {t.number: t.measures.gflop_per_s for t in file.trials}
    assert all(cost > 0 for cost in costs.values())
    assert costs[file.selected.number] == min(costs.values())
    # What replay says a stream would compute is what it computes.
    chosen = file.held_out.points[0].measures.gflop_per_s
    assert file.replay.live_gflop_per_s == pytest.approx(chosen, rel=1e-9)
    params = file.trial(file.selected.number).params
    assert DecoderConfig.load(tmp_path / "decoder_config.json").step_s == params["step_s"]
    assert (tmp_path / "pareto.png").stat().st_size > 10_000


def test_a_limit_that_no_trial_meets(command):
    code, _, err = command(*SMALL, "--trials", 3, "--max-gflops", "0.0001")
    assert code == 2
    assert "0.0001 GFLOP a second of audio; the nearest is " in err
    assert "--max-gflops" in err
