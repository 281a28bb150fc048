"""What several rooms' tests share: the tiny model, the demo corpus, and the command."""

from __future__ import annotations

import alignheads.runtime.models  # isort: skip  # noqa: F401  OpenBLAS must come before MLX

import logging
import sys

import pytest
from hypothesis import settings

# The same examples in every run: what a random search finds is found by whoever looks for it
# (--hypothesis-profile=search), not by the next change.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=2000)
settings.load_profile("same")


def pytest_addoption(parser):
    parser.addoption(
        "--live-minutes", type=float, default=1.0, help="audio streamed in the test of memory"
    )
    parser.addoption("--screenshots", help="folder for pictures of the live server's page")


def pytest_terminal_summary(terminalreporter):
    """Say loudly which marked tests, asked for with -m, were skipped: .ci/run looks for this."""
    reports = terminalreporter.stats.get("skipped", [])
    for marker in (
        "postgres",
        "browser",
        "wheel",
        "whisperlivekit",
        "real_weights",
        "scorers",
        "slow",
    ):
        skipped = [report for report in reports if marker in getattr(report, "keywords", ())]
        reasons = sorted({str(report.longrepr[2]) for report in skipped})
        if skipped:
            terminalreporter.write_line(
                f"NOT RUN: {len(skipped)} tests marked {marker}: {'; '.join(reasons)}", red=True
            )


@pytest.fixture(autouse=True)
def library_log():
    """A command that a test calls shows the library's log; the next test sees it as it is imported.

    Before the test as well: a fixture of its module may have called one.
    """
    log = logging.getLogger("alignheads")

    def reset():
        log.handlers, log.propagate = [], True
        log.setLevel(logging.NOTSET)

    reset()
    yield
    reset()


@pytest.fixture(scope="session")
def tiny():
    from alignheads import SpeechModel

    return SpeechModel.load("tiny")


@pytest.fixture(scope="session")
def demo():
    from alignheads import load_corpus

    return load_corpus("demo")


@pytest.fixture
def in_process(tmp_path, monkeypatch, capsys):
    """Makes calls of a command in the empty folder tmp_path: (exit code, stdout, stderr).

    In this process, so that a traceback fails the test and the engine is loaded once.
    """
    monkeypatch.chdir(tmp_path)

    def of(main, name):
        def call(*arguments):
            monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
            with pytest.raises(SystemExit) as stop:
                main()
            return (stop.value.code, *capsys.readouterr())

        return call

    return of


@pytest.fixture
def discover_command(in_process):
    """Call `discover-heads`, as `in_process` does."""
    from alignheads.discovery.cli import main

    return in_process(main, "discover-heads")
