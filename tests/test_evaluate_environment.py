"""`report-environment`: what it says of a machine and a model, and what it does not."""

import json
import subprocess
import sys
from pathlib import Path

import qwen3_checkpoints as made

from alignheads.evaluate.environment import report_environment


def test_a_report_has_versions_device_checkpoint_and_three_timings(tmp_path):
    folder = made.make("native", tmp_path / "of-somebody" / "my-model")
    found = report_environment(folder)
    assert found == json.loads(json.dumps(found))
    assert {"python", "mlx", "mlx-qwen3-asr", "numpy"} <= set(found["versions"])
    assert found["backend"]
    assert found["device"]
    model = found["model"]
    assert (model["name"], model["family"], model["dtype"]) == ("my-model", "qwen3", "float32")
    assert (model["layers"], model["heads"], model["languages"]) == (4, 8, 30)
    assert len(model["fingerprint"]) == 16
    timings = found["timings_s"]
    assert timings["load"] > 0
    assert timings["transcribe"] > 0
    assert timings["stream"] is None  # no configuration is bundled for it
    assert found["words"] > 10
    assert "of-somebody" not in json.dumps(found)


def test_the_command_writes_one_json_to_stdout(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "alignheads", "report-environment"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["timings_s"]["stream"] > 0
    out = tmp_path / "report.json"
    out.write_text("mine")
    command = Path(sys.executable).parent / "alignheads"
    done = subprocess.run(
        [command, "report-environment", "--out", out], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert out.read_text() == "mine"
