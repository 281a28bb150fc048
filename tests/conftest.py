"""What several rooms' tests share: the tiny model, the demo corpus, and the command."""

from __future__ import annotations

import sys

import pytest


def pytest_addoption(parser):
    parser.addoption(
        "--live-minutes", type=float, default=1.0, help="audio streamed in the test of memory"
    )
    parser.addoption("--screenshots", help="folder for pictures of the live server's page")


@pytest.fixture(scope="session")
def tiny():
    from alignheads import SpeechModel

    return SpeechModel.load("tiny")


@pytest.fixture(scope="session")
def demo():
    from alignheads import load_corpus

    return load_corpus("demo")


@pytest.fixture
def discover_command(tmp_path, monkeypatch, capsys):
    """Call `discover-heads` in the empty folder tmp_path: (exit code, stdout, stderr).

    In this process, so that a traceback fails the test and the engine is loaded once.
    """
    from alignheads.discovery.cli import main

    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["discover-heads", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        return (stop.value.code, *capsys.readouterr())

    return call
