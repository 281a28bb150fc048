"""`report-environment`: what it says of a machine and a model, and what it does not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import qwen3_checkpoints as made

from alignheads.evaluate.environment import _public_name, report_environment
from alignheads.evaluate.environment_cli import main


def test_a_report_has_versions_device_checkpoint_and_three_timings(tmp_path):
    folder = made.make("native", tmp_path / "of-somebody" / "called-after-jane")
    found = report_environment(folder)
    assert found == json.loads(json.dumps(found))
    assert {"python", "mlx", "mlx-qwen3-asr", "numpy"} <= set(found["versions"])
    assert found["backend"]
    assert found["device"]
    model = found["model"]
    assert (model["name"], model["family"], model["dtype"]) == (None, "qwen3", "float32")
    assert (model["layers"], model["heads"], model["languages"]) == (4, 8, 30)
    assert len(model["fingerprint"]) == 16
    timings = found["timings_s"]
    assert timings["load"] > 0
    assert timings["transcribe"] > 0
    assert timings["stream"] is None  # no configuration is bundled for it
    assert found["words"] > 10
    told = json.dumps(found)
    assert not [name for name in ("of-somebody", "jane", tmp_path.name, "/") if name in told]


def test_released_names_are_told_wherever_the_files_lie():
    assert _public_name("tiny") == "tiny"
    assert _public_name("Qwen/Qwen3-ASR-0.6B") == "Qwen/Qwen3-ASR-0.6B"
    assert _public_name("Qwen3-ASR-1.7B") == "Qwen3-ASR-1.7B"  # a folder with the hub's name
    assert _public_name("jane/Qwen3-ASR-0.6B") is None
    assert _public_name("our-customers-voice") is None


def test_the_command_writes_one_json_to_stdout(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "alignheads", "report-environment"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["timings_s"]["stream"] > 0
    out = tmp_path / "report.json"
    out.write_text("mine")
    command = Path(sys.executable).parent / "report-environment"
    done = subprocess.run([command, "--out", out], capture_output=True, text=True)
    assert done.returncode == 2
    assert out.read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "./jane"], "./jane"),
        (["--model", ""], "--model is empty"),
        (["--model", "EMPTY"], "config.json"),
        (["--dtype", "float8"], "float8"),
        (["--out", "EMPTY"], "EMPTY"),
        (["--out", "gone/report.json"], "gone"),
        (["tiny"], "tiny"),
    ],
)
def test_what_cannot_be_reported_is_one_line_and_no_json(in_process, tmp_path, arguments, says):
    (tmp_path / "EMPTY").mkdir()
    code, out, err = in_process(main, "report-environment")(*arguments)
    assert code == 2
    assert out == ""
    assert says in err
    assert err.count("\n") == 1


def test_a_file_is_written_whole_and_named(in_process, tmp_path):
    code, out, err = in_process(main, "report-environment")("--out", "report.json")
    assert (code, out) == (0, "")
    assert "report.json" in err
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["model"]["name"] == "tiny"
    assert found["memory_bytes"] > 2**28
    assert min(found["timings_s"].values()) > 0
