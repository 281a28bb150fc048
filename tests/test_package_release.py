"""What a release says of itself: one version everywhere, a citation, and the licences of others."""

import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

import alignheads

yaml = pytest.importorskip("yaml")
ROOT = Path(alignheads.__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOTICE = (ROOT / "NOTICE").read_text()
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
RUN = (ROOT / ".ci" / "run").read_text()
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())


def test_the_version_is_one():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == PROJECT["version"]
    assert re.search(r"^## (Unreleased|\[?" + re.escape(PROJECT["version"]) + ")", CHANGELOG, re.M)


def test_the_citation_has_what_the_format_asks_for():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert cited["license"] == PROJECT["license"]
    for one in cited["references"]:
        assert {"type", "title", "authors", "year"} <= set(one)


BUNDLED = [
    "corpora/demo/**/*", "heads/bundled/*", "reports/*.json", "runtime/models/tiny/*",
    "runtime/models/whisper/vocabularies/*", "tests/**/*.json", "tests/**/*.npz",
]  # fmt: skip
OWN = {"heads/bundled/tiny.json"}
NOTICED = [line for line in NOTICE.splitlines() if re.match(r"[a-z]+/\S*$", line)]
"""Files and folders of which NOTICE says whose they are: a path or a pattern on a line alone."""


def test_the_notice_says_of_all_data_whose_it_is():
    named = {path for pattern in NOTICED for path in files(pattern)}
    found = {path for pattern in BUNDLED for path in ROOT.glob(pattern) if path.is_file()}
    left = {path.relative_to(ROOT).as_posix() for path in found - named} - OWN
    assert not {one for one in left if not Path(one).name.startswith(".")}


@pytest.mark.parametrize("pattern", NOTICED)
def test_what_is_noticed_is_there(pattern):
    assert files(pattern)


def files(pattern):
    return {path for path in ROOT.glob(pattern + "**/*" * pattern.endswith("/")) if path.is_file()}


def test_the_files_of_a_release_are_tested_where_changes_are_checked():
    assert ".ci/release" in RUN
    jobs = WORKFLOW["jobs"]
    commands = {name: "\n".join(step.get("run", "") for step in job["steps"])
                for name, job in jobs.items()}  # fmt: skip
    assert any(".ci/release" in said for said in commands.values())
    assert any("--resolution lowest-direct" in said for said in commands.values())


@pytest.mark.wheel
def test_the_source_archive_is_the_whole_repository(tmp_path):
    """So that whoever has it can test it: nothing that git has is missing."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True
    ).stdout.split("\0")[:-1]
    if not listed:
        pytest.skip("no git repository")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", tmp_path, ROOT],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        packed = {name.partition("/")[2] for name in files.getnames()}
    assert not {one for one in listed if (ROOT / one).is_file()} - packed - {".gitignore"}
    assert not [name for name in packed if "__pycache__" in name or name.startswith(".venv")]
    assert archive.stat().st_size <= 15_000_000
