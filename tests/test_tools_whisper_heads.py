"""The recipe of the bundled heads files of Whisper: bad archives first, then what is in it."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# As OpenAI published them.
MASKS = {
    "base": b"ABzY8KQ!870{>%RzyTQH3`Q^yNP!>##QT-<FaQ7m",
    "large-v3-turbo": b"ABzY8j^C+e0{>%RARaKHP%t(lGR*)0g!tONPyhe`",
    "turbo": b"ABzY8j^C+e0{>%RARaKHP%t(lGR*)0g!tONPyhe`",
}


def made(folder: Path, text: str, path: str = "whisper/__init__.py") -> subprocess.CompletedProcess:
    """The recipe run on an archive with one module of that text."""
    archive = folder / "openai_whisper-20250625.tar.gz"
    member = tarfile.TarInfo(f"openai_whisper-20250625/{path}")
    member.size = len(text.encode())
    with tarfile.open(archive, "w:gz") as files:
        files.addfile(member, io.BytesIO(text.encode()))
    (folder / "out").mkdir()
    command = [sys.executable, "-m", "tools.whisper_heads", str(archive), "--out", folder / "out"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("_ALIGNMENT_HEADS = {}", "whisper/model.py", "has no whisper/__init__.py"),
        ("_MODELS = {}", "whisper/__init__.py", "has no _ALIGNMENT_HEADS"),
        (f"_ALIGNMENT_HEADS = {{'huge': {MASKS['base']}}}", "whisper/__init__.py", "huge"),
        (f"_ALIGNMENT_HEADS = {{'tiny': {MASKS['base']}}}", "whisper/__init__.py", "48 heads"),
    ],
)
def test_another_archive_makes_no_heads_file(tmp_path, text, path, expected):
    done = made(tmp_path, text, path)
    assert done.returncode == 1
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_the_bundled_files_can_be_made_again(tmp_path):
    """The module is read and not run: it would import what is not installed."""
    done = made(tmp_path, f"import torch_of_another_world\n_ALIGNMENT_HEADS = {MASKS}\n")
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"whisper-base.json", "whisper-large-v3-turbo.json"}
    for name in names:
        bundled = ROOT / "heads" / "bundled" / name
        assert (tmp_path / "out" / name).read_bytes() == bundled.read_bytes()
