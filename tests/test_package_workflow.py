"""The workflow of the forge: it is YAML that says what CONTRIBUTING.md and README promise."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import alignheads

yaml = pytest.importorskip("yaml")
ROOT = Path(alignheads.__file__).parent
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
JOBS = WORKFLOW["jobs"]
README = (ROOT / "README.md").read_text()


def commands(job):
    return "\n".join(step.get("run", "") for step in JOBS[job]["steps"])


def test_linux_has_every_python_that_the_package_says():
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    versions = [one.rpartition(" ")[2] for one in wanted if re.search(r":: 3\.\d+$", one)]
    assert JOBS["linux"]["strategy"]["matrix"]["python"] == versions
    assert JOBS["linux"]["runs-on"].startswith("ubuntu")


def test_the_mac_runs_readme_s_commands_and_the_table_on_metal():
    assert JOBS["macos"]["runs-on"].startswith("macos-")
    said = commands("macos")
    assert "benchmarks/streaming.py --sections table" in said
    assert "report-environment" in said
    assert '"backend": "Metal"' in said
    for job in ("linux", "macos"):
        assert ".ci/readme demo" in commands(job)
        assert ".ci/readme tests" in commands(job)


def test_a_failure_inside_of_a_pipe_counts_and_no_job_hangs():
    assert WORKFLOW["defaults"]["run"]["shell"] == "bash"
    assert all(job["timeout-minutes"] <= 60 for job in JOBS.values())
    assert WORKFLOW["permissions"] == {"contents": "read"}


def test_every_step_is_an_action_of_a_version_or_commands():
    for job in JOBS.values():
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/x@v1"))


def test_what_is_run_is_there():
    for job in JOBS:
        for path in re.findall(r"(?:^|\s)((?:\.ci|benchmarks)/[\w.]+)", commands(job)):
            assert (ROOT / path).is_file(), path


@pytest.mark.parametrize(
    ("name", "language"), [("demo", "sh"), ("tests", "sh"), ("use", "sh"), ("python", "python")]
)
def test_the_script_gives_readme_s_own_commands(name, language):
    done = subprocess.run(
        [ROOT / ".ci" / "readme", name, "--print"], capture_output=True, text=True, check=True
    )
    assert f"<!-- ci: {name} -->\n```{language}\n{done.stdout}```" in README
    assert any(f".ci/readme {name}\n" in commands(job) + "\n" for job in JOBS)


def test_a_name_that_readme_does_not_mark_is_refused():
    done = subprocess.run(
        [ROOT / ".ci" / "readme", "nothing", "--print"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "no commands marked 'nothing'" in done.stderr
