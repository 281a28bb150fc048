"""The calibration benchmark: small runs end, and their bars say what they should."""

import subprocess
import sys
from pathlib import Path

import pytest

from alignheads import load_heads
from alignheads.calibrate.result import HeldOut

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def calibration():
    sys.path.insert(0, str(FOLDER))
    import calibration

    yield calibration
    sys.path.remove(str(FOLDER))
    for name in ("calibration", "published_decoder", "streaming", "streams", "streaming_speed",
                 "streaming_long"):  # fmt: skip
        sys.modules.pop(name, None)


def run(*arguments):
    done = subprocess.run(
        [sys.executable, "calibration.py", *map(str, arguments)],
        cwd=FOLDER, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.slow
def test_rankings_are_compared_at_each_number_of_heads(tmp_path):
    heads = load_heads("tiny")
    few = heads.model_copy(
        update={
            "alignment_heads": heads.alignment_heads[:3],
            "alignment_heads_compact": heads.alignment_heads_compact[:3],
        }
    )
    few.save(tmp_path / "few.json")
    done = run("--sections", "none", "--rankings", "tiny", "--rankings", tmp_path / "few.json",
               "--phases", 1)  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| tiny")]
    assert [row[1] for row in rows] == ["1", "2", "4", "7", "12"]
    same = [line for line in done.stdout.splitlines() if " less tiny, " in line]
    assert len(same) == 2
    assert all("WER 0.00 (0.00 to 0.00) points, delay 0.00 (0.00 to 0.00) s" in s for s in same)


def test_wrong_usage_is_one_line():
    for arguments, message in (
        (["--sections", "speed"], "expected some of cost,command,result"),
        (["--rankings", "nowhere.json", "--sections", "command"], "nowhere.json"),
    ):
        done = run(*arguments)
        assert done.returncode == 2
        assert message in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("wer", "delay_s", "significant", "met"),
    [(-0.01, -0.5, True, 2), (0.0, -0.5, True, 2), (0.01, -0.5, True, 2), (0.01, -0.5, False, 1),
     (-0.01, 0.5, False, 1), (0.01, 0.5, True, 0)],
)  # fmt: skip
def test_bars_ask_for_a_gain_and_against_a_loss_in_both(
    calibration, capsys, wer, delay_s, significant, met
):
    from test_calibrate_result import content

    held_out = content()["held_out"]
    compared = held_out["comparisons"][0]
    compared["wer"].update(value=wer, is_significant=False)
    compared["delay_s"].update(value=delay_s, is_significant=significant)
    (comparison, *_) = HeldOut.model_validate(held_out).comparisons
    bars = calibration.Bars()
    calibration.check_comparison(bars, "demo", comparison)
    assert bars.met == met
    assert capsys.readouterr().out.count("demo: ") == 2
