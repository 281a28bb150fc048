"""calibration.json: what is written is read back, and what is wrong with one is one line."""

from __future__ import annotations

import json

import pytest

from alignheads.calibrate.result import CalibrationFile
from alignheads.errors import InputError


def content(**changed):
    """A small calibration: two trials on the front, a baseline, one that failed."""
    measures = {
        "reference_words": 100, "matched_words": 97, "substitutions": 1, "deletions": 1,
        "insertions": 1, "final_deletions": 0, "delay_p50_s": 0.5, "delay_p90_s": 0.9,
        "delay_p95_s": 1.0, "delay_aware_s": 0.6, "first_word_s": 0.7, "finalisation_s": 0.2,
        "laal_s": 0.5, "start_error_p50_ms": 60.0, "rtf": 0.1,
    }  # fmt: skip

    def trial(number, wer, delay_s, on_front=False, **more):
        return {
            "number": number, "state": "complete", "border": "fraction",
            "params": {"border_fraction": 0.1 * (number + 1), "head_count": number + 1,
                       "rewind_fraction": 0.12},
            "wer": wer, "delay_s": delay_s, "measures": measures, "seconds": 0.1,
            "on_front": on_front, **more,
        }  # fmt: skip

    def point(name, wer, delay_s):
        return {
            "name": name, "config": {"border_fraction": 0.2, "head_count": 2},
            "wer": {"value": wer, "low": wer / 2, "high": 2 * wer},
            "delay_s": {"value": delay_s, "low": 0.9 * delay_s, "high": 1.1 * delay_s},
            "measures": measures,
            "sums": {"errors": [1, 2], "reference_words": [50, 50], "delay_s": [20.0, 30.0],
                     "matched_words": [49, 48]},
        }  # fmt: skip

    speech = {"name": "demo:dev", "fingerprint": "0", "utterances": 2, "audio_s": 9.0,
              "aligner": "gold (1)", "phases": 4}  # fmt: skip
    failed = {"number": 3, "state": "failed", "border": "fraction", "params": {}, "reason": "no"}
    return {
        "schema_version": 1, "created_with": "alignheads 0.1.0", "model": "tiny",
        "heads": {"source": "tiny", "sha256": "0", "listed": 17}, "corpus": speech,
        "study": {"name": "tiny-fraction", "storage": "memory", "fingerprint": {"model": "tiny"}},
        "border": "fraction", "space": {"head_count": {"low": 1, "high": 17, "log": True}},
        "base": {"step_s": 1.0}, "seed": 0, "trials_wanted": 3,
        "trials": [
            trial(0, 0.02, 1.4, baseline="published, border .25"),
            trial(1, 0.02, 0.8, True), trial(2, 0.05, 0.4, True), failed,
        ],
        "front": [2, 1], "hypervolume_reference": [0.055, 1.54], "hypervolume": [0.01, 0.02, 0.03],
        "selected": {"number": 1, "how": "knee"},
        "held_out": {
            "corpus": {**speech, "name": "demo:test"}, "utterances": ["a", "b"],
            "points": [point("chosen", 0.02, 0.8), point("published, border .25", 0.03, 1.5)],
            "comparisons": [{
                "first": "chosen", "second": "published, border .25",
                "wer": {"value": -0.01, "low": -0.02, "high": 0.01, "p": 0.3,
                        "is_significant": False},
                "delay_s": {"value": -0.7, "low": -0.8, "high": -0.6, "p": 0.0,
                            "is_significant": True},
            }],
        },
        "other_front": {"border": "seconds", "trials": 3, "points": [
            {"wer": 0.01, "delay_s": 0.7, "params": {"border_s": 0.4}},
            {"wer": 0.0, "delay_s": 1.1, "params": {"border_s": 0.8}},
        ]},
        **changed,
    }  # fmt: skip


MISSED = {"number": 2, "increase": {"value": 0.003, "high": 0.014}, "utterances": 70}
INTERVALS = {
    "number": 1, "how": "within=1", "reference": 0, "increase": {"value": 0.0, "high": 0.005},
    "missed": MISSED,
}  # fmt: skip


def write(tmp_path, value):
    path = tmp_path / "calibration.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def test_what_is_saved_is_loaded(tmp_path):
    file = CalibrationFile.load(write(tmp_path, content()))
    file.save(tmp_path / "again.json")
    assert CalibrationFile.load(tmp_path / "again.json") == file
    assert file.trial(2).delay_s == 0.4
    with pytest.raises(KeyError):
        file.trial(9)


def test_a_choice_by_intervals_and_the_sums_of_trials_are_kept(tmp_path):
    whole = content(schema_version=2, selected=INTERVALS)
    sums = whole["held_out"]["points"][0]["sums"]
    whole["trials"][0]["sums"] = sums
    file = CalibrationFile.load(write(tmp_path, whole))
    assert file.selected.numbers == [1, 0, 2]
    assert file.trial(0).sums.word_errors.rate == pytest.approx(0.03)
    assert file.trial(0).sums.delays.rate == pytest.approx(50 / 97)
    assert file.trial(1).sums is None
    file.save(tmp_path / "again.json")
    assert CalibrationFile.load(tmp_path / "again.json") == file


def changed_at(path, value):
    """The content with one place changed: "held_out.points.0.name"."""
    whole = content()
    place = whole
    *way, last = path.split(".")
    for key in way:
        place = place[int(key)] if isinstance(place, list) else place[key]
    place[int(last) if isinstance(place, list) else last] = value
    return whole


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "is empty"),
        ("[]", r"holds \[\]"),
        (json.dumps(content())[:-40], "cut off|not JSON"),
        (content(front=[1]), r"front is \[1\], but the trials say \[1, 2\]"),
        (content(selected={"number": 3, "how": "knee"}), "trial 3, which did not complete"),
        (content(selected={"number": 9, "how": "knee"}), "trial 9, which did not complete"),
        (
            content(selected={"number": 1, "how": "within=1", "reference": 3}),
            "names trial 3, which",
        ),
        (
            content(selected={**INTERVALS, "missed": {**MISSED, "number": 8}}),
            "names trial 8, which",
        ),
        (content(selected={**INTERVALS, "increase": {"value": 0.0}}), "increase.high"),
        (content(nonsense=1), "unknown key 'nonsense'"),
        (content(schema_version=99), "newer alignheads"),
        (content(border="inches"), "border is 'inches'"),
        (changed_at("trials.1.wer", None), "trial 1 is complete, its wer None"),
        (changed_at("trials.1.wer", "0.02"), r"trials\[1\]\.wer is '0\.02'"),
        (changed_at("trials.1.wer", -0.5), r"trials\[1\]\.wer is -0\.5"),
        (changed_at("trials.1.number", 2), "two trials have the same number"),
        (changed_at("trials.1.measures.rtf", "fast"), r"measures\.rtf is 'fast'"),
        (changed_at("held_out.utterances", ["a"]), "sums of 2 utterances, expected 1"),
        (changed_at("held_out.points.0.sums.errors", [1]), "different numbers of utterances"),
        (changed_at("held_out.points.0.name", "winner"), "names 'chosen', which is no held-out"),
    ],
)
def test_a_file_that_is_wrong_is_refused_on_one_line(tmp_path, value, message):
    path = write(tmp_path, value)
    with pytest.raises(InputError, match=message) as error:
        CalibrationFile.load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_not_a_number_is_neither_written_nor_read(tmp_path):
    text = json.dumps(content()).replace('"rtf": 0.1', '"rtf": NaN', 1)
    with pytest.raises(InputError, match=r"rtf|NaN|JSON"):
        CalibrationFile.load(write(tmp_path, text))


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match="make one with calibrate"):
        CalibrationFile.load(tmp_path / "none.json")
