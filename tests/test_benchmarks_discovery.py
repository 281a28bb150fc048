"""The discovery benchmark runs and prints its ratios; its plain reference sees what ours sees."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from alignheads import SpeechModel, load_corpus
from alignheads.corpora import Corpus
from alignheads.discovery import discover

FOLDER = Path(__file__).parent.parent / "benchmarks"


def run(*options):
    command = [sys.executable, str(FOLDER / "discovery.py"), *options]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def plain():
    spec = importlib.util.spec_from_file_location("token_by_token", FOLDER / "token_by_token.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["token_by_token"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["token_by_token"]


@pytest.fixture(scope="module")
def model():
    return SpeechModel.load("tiny")


@pytest.fixture(scope="module")
def clips():
    return load_corpus("demo").utterances[:3]


def test_token_by_token_sees_what_one_pass_sees(plain, model, clips):
    utterance = min(clips, key=lambda clip: len(clip.text))
    samples = utterance.read()
    captured = plain.capture(model, model.prefill(samples, utterance.language))
    prefix = model.prefill(samples, utterance.language)
    (answer,) = model.generate([prefix])
    assert captured.ids == list(answer.text_ids)
    layers = []
    model.attention(prefix, answer.text_ids, lambda _, weights: layers.append(weights))
    ours = np.stack([weights.argmax(-1).T for weights in layers], axis=1)
    assert captured.frames.shape == ours.shape
    # Two orders of summation: where two frames are nearly equal, either may win.
    weights = np.stack(layers)
    seen = np.moveaxis(captured.frames, 0, -1)
    lost = weights.max(-1) - np.take_along_axis(weights, seen[..., None], -1)[..., 0]
    assert lost.max() < 1e-5
    assert (captured.frames == ours).mean() > 0.99


def test_token_by_token_hits_are_discoverys(plain, model, clips):
    corpus = Corpus("three", tuple(clips))
    found = discover.measure_corpus(
        model, discover.prepare_corpus(model, corpus), None, "hypothesis", 0
    )
    total, tokens = np.zeros((model.num_layers, model.num_heads)), 0
    for clip in clips:
        captured = plain.capture(model, model.prefill(clip.read(), clip.language))
        hit, scored = plain.hits(model, clip, captured)
        total += hit
        tokens += scored
    assert tokens == found.totals.tokens
    np.testing.assert_allclose(total / tokens, found.totals.scores()["hit_rate"][0], atol=0.01)


@pytest.mark.slow
def test_prints_its_ratios():
    done = run("--clips", "2", "--counts", "2,3", "--repeats", "1", "--cuts", "1")
    assert done.returncode == 0, done.stderr
    for line in (
        r"over the loaded model: \d+ MB of arrays, -?\d+ MB of the process",
        r"scoring cost, besides the decode: +[\d.]+ prefills",
        r"with the border scores: +[\d.]+ prefills",
        r"ratio, everything: +[\d.]+x",
        r"   2 clips with 1 cuts: +[\d.]+ clips per second",
        r"   3 clips with 1 cuts: +[\d.]+ clips per second",
    ):
        assert re.search(line, done.stdout), f"{line} not in\n{done.stdout}"


def test_bad_options_are_one_line():
    for options, message in (
        (["--counts", "4,x"], "expected numbers"),
        (["--repeats", "0"], "expected 1 or more"),
    ):
        done = run(*options)
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
