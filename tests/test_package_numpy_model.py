"""Every room above the model edge runs on a model without an engine and with another clock."""

import json

import numpy as np
import pytest
import soundfile
from numpy_model import PLANTED, RATE, WORDS, NumpyModel, spoken

import alignheads
from alignheads.runtime.models.model import transcribe


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Twelve utterances of tones as a manifest with word times, in two files."""
    folder = tmp_path_factory.mktemp("tones")
    dice = np.random.default_rng(5)
    paths = []
    for name, count in (("dev", 8), ("test", 4)):
        rows = []
        for index in range(count):
            words = [WORDS[i] for i in dice.integers(0, len(WORDS), 9)]
            samples, times = spoken(words)
            soundfile.write(folder / f"{name}{index}.wav", samples, RATE)
            rows.append(
                {
                    "id": f"{name}{index}",
                    "audio_filepath": f"{name}{index}.wav",
                    "text": " ".join(words),
                    "language": "English",
                    "words": [list(time) for time in times],
                }
            )
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        paths.append(path)
    return paths


@pytest.fixture(scope="module")
def heads(corpus):
    return alignheads.discover_heads(NumpyModel(), corpus[0])


def config_of(heads, **values):
    config = alignheads.DecoderConfig.uncalibrated("tones", heads)
    return config.changed(**{"head_count": 3, "border_s": 0.3, **values})


def test_discovery_finds_the_planted_heads(heads):
    assert set(heads.top(3)) == set(PLANTED)
    assert min(heads.matrix("hit_rate")[pair] for pair in PLANTED) == 1
    assert max(heads.matrix("time_error_p50_ms")[pair] for pair in PLANTED) <= 20
    assert (heads.num_layers, heads.num_heads, heads.num_kv_heads) == (3, 4, 4)
    assert heads.attention == "cross"


def test_a_set_of_heads_is_chosen_without_a_model_in_between(corpus):
    found = alignheads.discover_heads(NumpyModel(), corpus[0], rank_by="set")
    assert found.compact[0] in PLANTED


def test_streaming_gives_every_word_once_at_its_time(heads):
    words = [*WORDS, *WORDS[::-1]]
    samples, times = spoken(words)
    stream = alignheads.StreamDecoder(NumpyModel(), config_of(heads, step_s=0.5))
    for start in range(0, len(samples), 3000):
        stream.feed(samples[start : start + 3000])
    stream.finish()
    assert stream.text == " ".join(words)
    # Heads look at the middle of a word's 0.3 s.
    middles = [(word.start_s + word.end_s) / 2 for word in stream.words]
    errors = np.abs(np.array(middles) - [start_s + 0.15 for _, start_s, _ in times])
    assert errors.max() < 0.05
    delays = [word.emitted_s - end for word, (_, _, end) in zip(stream.words, times, strict=True)]
    assert np.mean(delays) < 1.0


def test_a_full_buffer_is_cut_and_nothing_is_lost(heads):
    words = [WORDS[i % 10] for i in range(60)]
    samples, _ = spoken(words)
    steps = []
    config = config_of(heads, max_audio_s=6)
    stream = alignheads.StreamDecoder(NumpyModel(), config, on_step=steps.append)
    for start in range(0, len(samples), RATE):
        stream.feed(samples[start : start + RATE])
    stream.finish()
    assert stream.text == " ".join(words)
    assert steps[-1].buffer_start_s > 10
    assert max(step.audio_frames for step in steps) <= 6 * 50


@pytest.mark.parametrize("border_s", [0.1, 0.6])
def test_a_border_in_seconds_is_so_many_seconds_by_any_clock(heads, border_s):
    samples, _ = spoken(WORDS)
    steps = []
    config = config_of(heads, border_s=border_s)
    stream = alignheads.StreamDecoder(NumpyModel(), config, on_step=steps.append)
    stream.feed(samples[: 3 * RATE])
    assert steps[-1].border_s == pytest.approx(border_s)
    committed = [token for token in steps[-1].tokens if token.decision == "commit"]
    assert committed
    assert all(token.attended_s < 3 - border_s + 0.02 for token in committed)


def test_a_model_that_takes_less_audio_than_the_buffer(heads):
    with pytest.raises(alignheads.InputError, match=r"max_audio_s is 61.*no more than 60 s"):
        alignheads.StreamDecoder(NumpyModel(), config_of(heads, max_audio_s=61))


def test_transcribing():
    samples, _ = spoken(WORDS[:4])
    assert transcribe(NumpyModel(), samples).text == " ".join(WORDS[:4])


def test_calibration_replays_what_it_decoded(corpus, heads, tmp_path):
    model = NumpyModel()
    found = alignheads.calibrate_decoder(
        model, corpus[0], test_corpus=corpus[1], heads=heads, trials=12, phases=1, max_heads=3,
        border="seconds", tune=("aggregate",), store=tmp_path, out=tmp_path / "config.json",
    )  # fmt: skip
    replay = found.report.replay
    assert replay.replayed > replay.decoded
    assert replay.live_identical == replay.live_utterances == 4
    assert found.report.held_out.points[0].wer.value == 0
    assert alignheads.DecoderConfig.load(tmp_path / "config.json") == found.config
    assert found.config.model == "tones"
    assert set(found.config.pairs) <= set(PLANTED)


def test_the_benchmark_measures_it(corpus, heads, tmp_path):
    file = alignheads.benchmark_decoder(
        NumpyModel(), corpus[1], configs=[config_of(heads)], modes=("simul", "offline"),
        traces=1, out=tmp_path / "benchmark.json",
    )  # fmt: skip
    simul, offline = (run.totals for run in file.runs)
    assert simul.texts["basic"].words.errors == offline.texts["basic"].words.errors == 0
    assert simul.latency.start_error_ms.p50 < 100
    assert (file.model.name, file.model.fingerprint) == ("tones", NumpyModel.fingerprint)
    (trace,) = file.runs[0].traces
    assert trace.mel is not None
    assert trace.steps[0].border_s == pytest.approx(0.3)
    page = alignheads.render_report(benchmarks=[tmp_path / "benchmark.json"], heads=heads)
    assert "tones" in page
