"""Answers of steps that were taken together, against those of streams that were alone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from alignheads import StreamDecoder
from alignheads.corpora.audio import SAMPLE_RATE
from alignheads.runtime.models import engine_thread
from alignheads.runtime.models.protocol import Hypothesis


def assert_same(found: Hypothesis, expected: Hypothesis):
    assert found.token_ids == expected.token_ids
    assert (found.head_frames == expected.head_frames).all()
    assert (found.frames == expected.frames).all()
    assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-4)
    assert found.no_speech == pytest.approx(expected.no_speech, abs=1e-4)
    assert (found.ended, found.language) == (expected.ended, expected.language)
    assert (found.decoded, found.audio_frames) == (expected.decoded, expected.audio_frames)
    assert (found.weights is None) == (expected.weights is None)
    if found.weights is not None:
        assert found.weights == pytest.approx(expected.weights, abs=1e-4)


def answers_of(steps):
    assert all(step.future.done() for step in steps)
    return [step.future.result() for step in steps]


def passes_of(monkeypatch, kind, reason=lambda _: None):
    """Of a `Together`, by their texts; one fails for a `reason(it)` that is not None."""
    real, passes = kind.read, []

    def read(self, tokens):
        passes.append(len(tokens))
        if (error := reason(self)) is not None:
            raise error
        return real(self, tokens)

    monkeypatch.setattr(kind, "read", read)
    return passes


def rounds_of(monkeypatch):
    """Who is in each round, by the numbers of the streams."""
    found = []
    real = engine_thread.take_steps

    def watched(asked, limit):
        found.append([one.asker for one in asked])
        real(asked, limit)

    monkeypatch.setattr(engine_thread, "take_steps", watched)
    return found


def words_of(model, config, clip, wait=lambda: None):
    """Words and times of a stream that is fed by the second, each after a `wait`."""
    stream = StreamDecoder(model, config)
    for start in range(0, len(clip), SAMPLE_RATE):
        wait()
        stream.feed(clip[start : start + SAMPLE_RATE])
    stream.finish()
    return [(word.text, word.start_s, word.end_s, word.emitted_s) for word in stream.words]


def words_at_once(model, config, clips):
    """Those of each of several clips of one length, in threads that are due at the same moments."""
    gate = threading.Barrier(len(clips), timeout=120)
    with ThreadPoolExecutor(len(clips)) as pool:
        return list(pool.map(lambda clip: words_of(model, config, clip, gate.wait), clips))
