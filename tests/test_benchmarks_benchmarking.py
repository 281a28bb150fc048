"""The benchmark of benchmark-decoder prints its bars, and they are of what it measured."""

import re
import sys
from pathlib import Path

import pytest

from alignheads.corpora import Corpus, load_corpus

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def benchmarking(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import benchmarking

    yield benchmarking
    sys.modules.pop("benchmarking", None)


def test_a_bar_is_met_below_it_only(benchmarking, capsys):
    benchmarking.judge("time", 1.99, 2, "s")
    benchmarking.judge("time", 2.0, 2, "s")
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["met", "MISSED"]


@pytest.mark.slow
def test_every_bar_is_printed(benchmarking, capsys, monkeypatch, tmp_path, tiny):
    def few(name):
        corpus = load_corpus("demo:test")
        return Corpus(name, corpus.utterances[2:4])

    monkeypatch.setattr(benchmarking, "load_corpus", few)
    plain = benchmarking.measure.warm_up
    file = benchmarking.overhead(tiny, tmp_path, 1)
    assert benchmarking.measure.warm_up is plain
    assert len(file.runs[0].utterances) == 2
    benchmarking.report(tiny, file, tmp_path, 5)
    out = capsys.readouterr().out
    assert len(re.findall(r"(met|MISSED) ", out)) == 3
    assert "over 3 runs of 5 utterances" in out
