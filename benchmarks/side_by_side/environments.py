"""Environments of the peers' own, and the processes that run in them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alignheads.corpora import Utterance

from .answers import Answer

SIMULSTREAMING = "https://github.com/ufal/SimulStreaming"
SIMULSTREAMING_COMMIT = "077ea37d5ab4ff98bc567e4507f140dc4e5d5ad6"
_FOLDER = Path(__file__).parent


class NotRun(Exception):
    """A peer could not be set up, or failed; the message says why, in one line."""


@dataclass(frozen=True)
class Requirements:
    """What pip installs, at these versions: with what it needs, and without."""

    whole: tuple[str, ...]
    alone: tuple[str, ...] = ()

    @property
    def all(self) -> list[str]:
        """Both."""
        return [*self.whole, *self.alone]


REQUIREMENTS = {
    "mlx_audio": Requirements(
        (
            "mlx-audio==0.6.2", "mlx==0.32.4; sys_platform == 'darwin'",
            "mlx[cpu]==0.32.4; sys_platform == 'linux'", "transformers==5.24.0", "numpy==2.4.6",
            "numba==0.68.1", "tiktoken==0.14.0",
        ),
        alone=("mlx-whisper==0.4.3",),  # which asks for PyTorch, and does not need it
    ),
    "simulstreaming": Requirements(
        ("torch==2.13.0", "numpy==2.4.6", "numba==0.68.1", "tiktoken==0.14.0", "tqdm==4.70.1",
         "safetensors==0.8.0"),
    ),
}  # fmt: skip


def python_of(name: str, folder: Path) -> Path:
    """The interpreter of a peer's environment in `folder`, which is made if it is not there.

    Raises:
        NotRun: it could not be made.
    """
    wanted = REQUIREMENTS[name]
    python, done = folder / "bin" / "python", folder / "installed.txt"
    lines = "\n".join(wanted.all)
    if done.is_file() and done.read_text() == lines:
        return python
    _call([sys.executable, "-m", "venv", "--clear", str(folder)])
    install = [str(python), "-m", "pip", "install", "--quiet"]
    _call([*install, *wanted.whole])
    if wanted.alone:
        _call([*install, "--no-deps", *wanted.alone])
    done.write_text(lines)
    return python


def simulstreaming(folder: Path) -> Path:
    """A clone of SimulStreaming in `folder`, at the commit that was read.

    Raises:
        NotRun: it cannot be fetched.
    """
    if not (folder / "simulstreaming_whisper.py").is_file():
        _call(["git", "clone", "--quiet", SIMULSTREAMING, str(folder)])
        _call(["git", "-C", str(folder), "checkout", "--quiet", SIMULSTREAMING_COMMIT])
    return folder


def commit_of(source: Path) -> str | None:
    """What is checked out in a folder; None where git does not know."""
    command = ["git", "-C", str(source), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or None


def _call(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise NotRun(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        raise NotRun(f"{' '.join(command[:5])} …: {_last_line(done.stderr)}")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it says nothing"


def drive(
    driver: str,
    python: Path,
    settings: dict[str, Any],
    utterances: Sequence[Utterance],
    log: Path,
    progress: Callable[[str], None],
) -> tuple[dict[str, Any], list[Answer]]:
    """Have a driver of this folder stream all utterances.

    The first is streamed once more before, to warm up. Audio goes over as arrays, so that all
    decode the same samples. The driver's stderr goes to `log`.

    Returns:
        What it says of itself, and the answers in order.

    Raises:
        NotRun: it failed.
    """
    command = [str(python), str(_FOLDER / f"drive_{driver}.py")]
    with (
        tempfile.TemporaryDirectory() as name,
        log.open("w") as errors,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):

        def ask(line: dict[str, Any]) -> dict[str, Any]:
            assert process.stdin
            assert process.stdout
            try:
                process.stdin.write(json.dumps(line) + "\n")
                process.stdin.flush()
            except BrokenPipeError:
                pass  # what it says on its way out is in the log
            answer = process.stdout.readline()
            if not answer:
                process.wait()
                raise NotRun(f"{driver}: {_last_line(log.read_text())} (all of it in {log})")
            return json.loads(answer)

        def stream(utterance: Utterance) -> Answer:
            samples = Path(name) / "samples.npy"
            np.save(samples, utterance.read())
            return Answer.model_validate(ask({"id": utterance.id, "samples": str(samples)}))

        about = ask(settings)["ready"]
        stream(utterances[0])
        answers = []
        for utterance in utterances:
            progress(utterance.id)
            answers.append(stream(utterance))
        assert process.stdin
        process.stdin.close()
        return about, answers
