"""The Pareto figure: its data exact, its texts apart and inside, its file whole."""

from __future__ import annotations

import itertools

import pytest
from matplotlib.text import Text
from test_calibrate_result import content
from test_reports_figures import drawn_texts

from alignheads.calibrate.result import CalibrationFile
from alignheads.errors import InputError
from alignheads.reports.figures.calibration import pareto, pareto_info
from alignheads.reports.figures.style import save_figure


@pytest.fixture
def file():
    return CalibrationFile.model_validate(content())


def test_points_are_delay_and_percent(file):
    info = pareto_info(file)
    assert info.front == ((0.4, 5.0), (0.8, 2.0))
    assert info.trials == ((0.8, 2.0), (0.4, 5.0))
    assert info.baselines == {"published, border .25": (1.4, 2.0)}
    assert info.chosen == (0.8, 2.0)
    assert info.other == ((0.7, 1.0), (1.1, 0.0))
    assert info.volume.tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert info.held_out[0].delay_s == pytest.approx((0.8, 0.72, 0.88))
    assert info.held_out[1].wer == pytest.approx((3.0, 1.5, 6.0))
    assert "2.00\u00a0% WER at a mean delay of 0.80\u00a0s" in info.title
    assert "border 0.2, 2 heads, rewind 0.12" in info.subtitle


def test_without_an_error_the_interval_counts_words_once_and_not_in_each_phase():
    from alignheads.calibrate.cli import _rate_cell

    changed = content()
    chosen = changed["held_out"]["points"][0]
    chosen["wer"] = {"value": 0.0, "low": 0.0, "high": 0.0}
    chosen["sums"]["errors"] = [0, 0]
    file = CalibrationFile.model_validate(changed)
    # 100 words in four phases are 25 words.
    assert file.held_out.wer_bounds(file.held_out.points[0]) == pytest.approx((0, 3 / 25))
    assert pareto_info(file).held_out[0].wer == pytest.approx((0, 0, 12))
    assert _rate_cell(file.held_out.points[0].wer, (0, 0.12)) == "0.00 (below 12.00)"


@pytest.mark.parametrize(
    ("name", "title"), [("CER", "character error rate"), ("MER", "mixed error rate")]
)
def test_the_rate_is_called_what_it_is(name, title):
    from alignheads.calibrate.held_out import verdicts
    from alignheads.calibrate.report import trial_line

    changed = content()
    for speech in (changed["corpus"], changed["held_out"]["corpus"]):
        speech["error_name"] = name
    file = CalibrationFile.model_validate(changed)
    info = pareto_info(file)
    assert f"2.00\u00a0% {name} at a mean delay" in info.title
    texts = [text.get_text() for text in pareto(info).findobj(Text)]
    assert f"{title} (%)" in texts
    assert not any("WER" in text or "word error" in text for text in texts)
    lines = [*verdicts(file.held_out), trial_line(1, 2, file.trial(1), name)]
    assert all(name in line and "WER" not in line for line in lines)


def test_a_published_setting_is_named_once_and_the_one_with_fewest_errors():
    chosen = content(selected={"number": 0, "how": "within=1"})
    info = pareto_info(CalibrationFile.model_validate(chosen))
    assert info.chosen == info.baselines["published, border .25"]
    assert "published" not in info.title
    two = content()
    two["trials"][0]["wer"] = 0.01
    two["trials"].append({**two["trials"][0], "number": 4, "wer": 0.3, "baseline": "another"})
    assert "published, border .25: 1.00" in pareto_info(CalibrationFile.model_validate(two)).title


VARIANTS = [
    {},
    {"other_front": None},
    {"held_out": None, "other_front": None},
    {"selected": None, "held_out": None},
    {"selected": {"number": 0, "how": "within=1"}},
    {"hypervolume": [], "hypervolume_reference": None},
    {"model": "someone/a-model-with-a-name-that-is-much-longer-than-anything-sensible"},
]


@pytest.mark.parametrize("changed", VARIANTS)
def test_texts_are_inside_and_apart(changed, tmp_path):
    figure = pareto(pareto_info(CalibrationFile.model_validate(content(**changed))))
    boxes = drawn_texts(figure)
    width, height = figure.canvas.get_width_height()
    for text, box in boxes:
        assert box.x0 >= -1, text
        assert box.x1 <= width + 1, text
        assert box.y0 >= -1, text
        assert box.y1 <= height + 1, text
    for (one, box), (other, second) in itertools.combinations(boxes, 2):
        shared_x = min(box.x1, second.x1) - max(box.x0, second.x0)
        shared_y = min(box.y1, second.y1) - max(box.y0, second.y0)
        assert min(shared_x, shared_y) <= 1, f"{one!r} lies on {other!r}"
    save_figure(figure, tmp_path / "pareto.png")
    assert (tmp_path / "pareto.png").stat().st_size > 10_000


def test_trials_that_are_all_alike_can_be_drawn():
    same = content(other_front=None, held_out=None, hypervolume=[0.0, 0.0, 0.0])
    for trial in same["trials"][:3]:
        trial.update(wer=0.0, delay_s=0.5, on_front=True)
    same["front"] = [0, 1, 2]
    info = pareto_info(CalibrationFile.model_validate(same))
    assert {tuple(trial) for trial in info.trials} == {(0.5, 0.0)}
    axes = pareto(info).axes[0]
    for (low, high), value in ((axes.get_xlim(), 0.5), (axes.get_ylim(), 0.0)):
        assert low <= value <= high
        assert high - low > 1e-3


def test_without_a_complete_trial_there_is_nothing_to_draw():
    empty = content(trials=[], front=[], selected=None, held_out=None, hypervolume=[])
    with pytest.raises(InputError, match="no complete trial"):
        pareto_info(CalibrationFile.model_validate(empty))
