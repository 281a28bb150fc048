"""`benchmarks/cost.py`: tiny's steps, counted at a real model's shapes."""

import importlib.util
import sys
from pathlib import Path

import pytest

from alignheads import DecoderConfig


@pytest.fixture
def script(monkeypatch):
    folder = Path(__file__).parent.parent / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    spec = importlib.util.spec_from_file_location("cost_of_streams", folder / "cost.py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up while they are made.
    sys.modules["cost_of_streams"] = module
    spec.loader.exec_module(module)
    yield module
    for name in (
        "cost_of_streams",
        "full_size",
        "reused_words",
        "streaming_hard",
        "streaming_long",
    ):
        sys.modules.pop(name, None)


def test_a_size_costs_what_its_shapes_say(script, tiny):
    samples = script.speech(3.0)[: 4 * 16_000]
    config = DecoderConfig.bundled("tiny")
    small, large = (
        script.counted(tiny, size, samples, config, draft=True) for size in ("0.6b", "1.7b")
    )
    assert small.words == large.words
    assert small.work.decoder_positions == large.work.decoder_positions
    assert small.work.forward_passes == large.work.forward_passes
    # The dense layers of 0.6b: 28 times 15.7 million numbers for a position, but in the last one.
    dense = 2 * 28 * (1024 * (2 * 2048 + 2 * 1024) + 3 * 1024 * 3072)
    assert small.work.decoder_flop < small.work.decoder_positions * dense
    assert small.work.decoder_flop > 27 / 28 * small.work.decoder_positions * dense
    assert 2.5 < large.work.decoder_flop / small.work.decoder_flop < 4
    assert small.gflops == pytest.approx(small.work.flop / 1e9 / 4)


def test_reuse_is_counted_at_the_shapes_of_the_size_too(script, tiny):
    samples = script.speech(3.0)[: 5 * 16_000]
    config = DecoderConfig.bundled("tiny")
    exact, found = (
        script.counted(tiny, "0.6b", samples, one, draft=False)
        for one in (config, config.changed(reuse=True))
    )
    assert script.changed(exact, found) == 0
    assert found.gflops < 0.8 * exact.gflops


def test_words_that_are_others_missing_or_more_have_changed(script):
    assert script.words_changed(["a", "b", "c", "d"], ["a", "x", "c"]) == 2
    assert script.words_changed([], ["a"]) == 1
    assert script.numbers("1, ,2") == ["1", "2"]
