"""`benchmarks/sharing.py`: two sets of sessions, and what is printed of them."""

import importlib
from pathlib import Path

import pytest


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    return importlib.import_module("sharing")


def test_two_sets_say_the_same_and_one_of_them_shares(script, tiny, capsys):
    audio = [script.speech(3, 7 * number) for number in range(2)]
    alone, shared, same = script.compared(
        lambda number: script.Streamed(tiny, audio[number]), 2, 3, skipped=1
    )
    assert same == 2
    assert [size for _, size in alone.rounds] == [1] * len(alone.rounds)
    assert len(shared.waits) == 4
    assert 0 < alone.loop_cpu_s < alone.cpu_s
    script.print_compared("tiny", alone, shared, same, 2, 2, script.TINY)
    assert "met     sessions that say the same: 2.00" in capsys.readouterr().out
