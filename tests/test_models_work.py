"""What computing costs: counted by formulas, against a profiler that watches the products."""

from dataclasses import replace

import mlx.nn as nn
import numpy as np
import pytest
import whisper_checkpoints
from scripted import ScriptedSource, evenly

from alignheads import DecoderConfig, SpeechModel, StreamDecoder
from alignheads.runtime.models import capture
from alignheads.runtime.models.cpu import products
from alignheads.runtime.models.qwen3 import audio_encoder, text_decoder
from alignheads.runtime.models.qwen3 import reading as qwen3_reading
from alignheads.runtime.models.qwen3 import source as qwen3_source
from alignheads.runtime.models.said import Said, draft_after
from alignheads.runtime.models.whisper import network
from alignheads.runtime.models.whisper import reading as whisper_reading
from alignheads.runtime.models.whisper import source as whisper_source
from alignheads.runtime.models.work import Work

RATE = 16_000
NOISE = (0.1 * np.random.default_rng(0).standard_normal(7 * RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    return SpeechModel.load(whisper_checkpoints.mlx_folder(tmp_path_factory.mktemp("w") / "small"))


class Profiler:
    """Adds up the operations of each product that is built, by the shapes it is called with.

    The pass that `go_on` builds ahead and nobody wants is never run, and taken off again.
    """

    def __init__(self, monkeypatch):
        self.flop = self.passes = 0
        self._ahead = self._reads = 0

        def watch(owner, name, counted):
            inner = getattr(owner, name)

            def call(*arguments, **options):
                result = inner(*arguments, **options)
                self.flop += counted(result, *arguments)
                return result

            monkeypatch.setattr(owner, name, call)

        def by_weight(result, layer, _):
            weight = layer.weight
            return 2 * result.size * (weight.size // weight.shape[0])

        def by_attention(_, queries, keys, *__):
            batch, heads, new, dim = queries.shape
            return 4 * batch * heads * new * keys.shape[2] * dim

        def by_looks(result, looked, _, queries, keys, rows):
            frames = looked.audio.stop - looked.audio.start
            return 0 if result is None else 2 * queries.shape[1] * rows * frames * keys.shape[3]

        for kind in (nn.Linear, nn.Conv1d, nn.Conv2d):
            watch(kind, "__call__", by_weight)
        watch(nn.Embedding, "as_linear", by_weight)
        watch(products, "_product", lambda result, weight, *_: 2 * result.size * weight.shape[1])
        watch(text_decoder, "attend", by_attention)
        watch(audio_encoder, "attention", by_attention)
        watch(network, "attend", by_attention)
        watch(capture.Capture, "observe", by_looks)
        for module, prompts in ((qwen3_source, qwen3_reading), (whisper_source, whisper_reading)):
            self._watch_passes(monkeypatch, module, prompts)

    def _watch_passes(self, monkeypatch, module, prompts):
        take_step, go_on, reading = prompts.take_step, module.go_on, module.reading

        def counted_step(*arguments, **options):
            self.passes += 1
            return take_step(*arguments, **options)

        def counted_reading(*arguments):
            read = reading(*arguments)

            def call(*inputs):
                before, self._reads = self.flop, self._reads + 1
                step = read(*inputs)
                self._ahead = self.flop - before
                return step

            return call

        def counted_go_on(*arguments, **options):
            self._reads = 0
            rows = go_on(*arguments, **options)
            self.passes += len(rows)
            self.flop -= self._ahead if self._reads > len(rows) else 0
            return rows

        monkeypatch.setattr(prompts, "take_step", counted_step)
        monkeypatch.setattr(module, "go_on", counted_go_on)
        monkeypatch.setattr(module, "reading", counted_reading)


@pytest.fixture
def profiler(monkeypatch):
    return Profiler(monkeypatch)


def steps(source, samples, language, committed=()):
    """Three steps of a buffer that grows, with some of the text committed; then a cut."""
    committed, said = list(committed), None
    for seconds in (0.6, 2.3, 3.0, 5.0):
        said = source.hypothesis(samples[: int(seconds * RATE)], 0, committed, language)
        committed += said.token_ids[:1]
    source.drop(2 * RATE)
    source.hypothesis(
        samples[2 * RATE - 320 : 6 * RATE], 320, committed[1:], language, "said before"
    )
    return said


@pytest.mark.parametrize("language", [None, "English"])
def test_the_work_of_qwen3_is_what_a_profiler_counts(tiny, demo, profiler, language):
    source = tiny.open_source([(3, 5), (2, 0), (3, 0)])
    steps(source, demo.utterances[2].read(), language)
    assert source.work.forward_passes == profiler.passes
    assert source.work.flop == profiler.flop


def test_the_work_over_finished_windows_is_what_a_profiler_counts(tiny, demo, profiler):
    samples = np.concatenate([one.read() for one in demo.utterances[:4]])[: 18 * RATE]
    source = tiny.open_source([(3, 5)], "mean")
    for seconds in (7, 8, 9, 17, 18):
        source.hypothesis(samples[: seconds * RATE], 0, [], "English")
    assert source.work.flop == profiler.flop


@pytest.mark.parametrize("language", [None, "English"])
def test_the_work_of_whisper_is_what_a_profiler_counts(whisper, profiler, language):
    source = whisper.open_source([(0, 1), (1, 0)])
    steps(source, NOISE, language)
    assert source.work.forward_passes >= profiler.passes  # languages are asked for in their own
    assert source.work.flop == profiler.flop


# The same without computing it


def streamed(model, samples, source=None, **settings):
    config = settings.pop("config", None) or DecoderConfig.bundled("tiny").changed(**settings)
    stream = StreamDecoder(model, config, source=source)
    for start in range(0, len(samples), RATE // 2):
        stream.feed(samples[start : start + RATE // 2])
    stream.finish()
    return stream


class Metered:
    """A source that has a meter note all that it is asked and says."""

    def __init__(self, source, meter):
        self.source, self.meter = source, meter

    @property
    def work(self):
        return self.source.work

    def reset(self):
        self.source.reset()
        self.meter.reset()

    def drop(self, samples):
        self.source.drop(samples)
        self.meter.drop(samples)

    def hypothesis(self, samples, lead, committed, language, context=""):
        said = self.source.hypothesis(samples, lead, committed, language, context)
        self.meter.note(samples, lead, tuple(committed), language, context, said)
        assert self.meter.work == self.source.work, f"after {len(samples) / RATE:.2f} s"
        return said


@pytest.mark.parametrize("language", [None, "English"])
def test_a_meter_counts_what_a_stream_of_qwen3_computes(tiny, demo, language):
    """Over cuts of the buffer, finished windows, pauses and what is told."""
    said = [one.read() for one in demo.utterances[:3]]
    samples = np.concatenate([said[0], said[1], np.zeros(2 * RATE, np.float32), said[2]])
    config = DecoderConfig.bundled("tiny").changed(max_audio_s=10.0, language=language)
    heads = config.resolved(tiny).pairs
    source = Metered(tiny.open_source(heads), tiny.open_meter(heads))
    stream = streamed(tiny, samples, source, config=config)
    assert stream.words
    assert stream.work == source.work


def test_a_meter_counts_what_a_stream_of_whisper_computes(whisper):
    config = DecoderConfig(
        model=whisper.name, heads=((1, 0), (0, 1)), head_count=2, border_s=0.4, max_audio_s=5.0
    )
    source = Metered(whisper.open_source(config.pairs), whisper.open_meter(config.pairs))
    streamed(whisper, NOISE, source, config=config)
    assert source.work.forward_passes > 6


# Not twice


def test_what_was_read_is_not_read_again(tiny, demo):
    samples = demo.utterances[2].read()[: 4 * RATE]
    source = tiny.open_source([(3, 5)])
    first = source.hypothesis(samples, 0, [], "English")
    before = source.work
    again = source.hypothesis(samples, 0, [], "English")
    rest = source.hypothesis(samples, 0, first.token_ids[:3], "English")
    assert source.work == before
    assert again.token_ids == first.token_ids
    assert rest.token_ids == first.token_ids[3:]
    assert np.array_equal(rest.frames, first.frames[3:])
    plain = tiny.open_source([(3, 5)]).hypothesis(samples, 0, first.token_ids[:3], "English")
    assert rest.token_ids == plain.token_ids
    assert np.array_equal(rest.head_frames, plain.head_frames)
    assert rest.probabilities == pytest.approx(plain.probabilities, abs=1e-4)
    assert (rest.language, rest.ended, rest.decoded) == (plain.language, plain.ended, plain.decoded)


def test_of_another_text_language_or_context_it_is_read(tiny, demo):
    samples = demo.utterances[2].read()[: 4 * RATE]
    source = tiny.open_source([(3, 5)])
    first = source.hypothesis(samples, 0, [], "English")
    asked = [
        ((first.token_ids[1],), "English", ""),
        ((), None, ""),
        ((), "English", "another story"),
    ]
    for committed, language, context in asked:
        before = source.work
        source.hypothesis(samples, 0, committed, language, context)
        spent = source.work - before
        assert spent.forward_passes
        assert not spent.encoder_frames  # the audio is the same


def test_nothing_is_known_of_another_buffer(tiny, demo):
    samples = demo.utterances[2].read()
    source = tiny.open_source([(3, 5)])
    source.hypothesis(samples[: 5 * RATE], 0, [], "English")
    source.drop(RATE)
    cut = source.hypothesis(samples[RATE - 320 : 6 * RATE], 320, [], "English")
    fresh = tiny.open_source([(3, 5)])
    fresh.drop(RATE)
    assert (
        cut.token_ids
        == fresh.hypothesis(samples[RATE - 320 : 6 * RATE], 320, [], "English").token_ids
    )


def test_of_a_text_that_was_cut_only_the_whole_is_known():
    from alignheads.runtime.models.protocol import Hypothesis

    cut = Hypothesis((1, 2, 3), "English", np.zeros(3), np.zeros((3, 1), int), np.ones(3), 9, False)
    said = Said()
    said.keep((100, 0), [], "English", "", cut)
    assert said.answer((100, 0), [], "English", "") is cut
    assert said.answer((100, 0), [1], "English", "") is None


@pytest.mark.parametrize(
    ("last", "committed", "is_cut", "expected"),
    [
        ([1, 2, 3, 4], [1, 2], False, [3, 4]),
        ([1, 2, 3, 4], [], False, [1, 2, 3, 4]),
        ([1, 2, 3, 4], [2, 3], True, [4]),
        ([1, 2, 1, 2, 5], [1, 2], False, [1, 2, 5]),
        ([7, 1, 2, 1, 2, 5], [1, 2], True, [5]),
        ([1, 2, 3, 4], [], True, []),
        ([1, 2, 3, 4], [9], True, []),
        ([], [1], False, []),
    ],
)
def test_what_is_expected_follows_what_is_committed(last, committed, is_cut, expected):
    assert draft_after(last, committed, is_cut=is_cut) == expected


def test_after_a_cut_the_words_that_are_gone_are_not_expected_again(tiny, demo):
    """And the start of what stands before the audio is not read again."""
    samples = np.concatenate([one.read() for one in demo.utterances[:3]])
    config = DecoderConfig.bundled("tiny").changed(max_audio_s=10.0)
    drafts = []

    class Watched(qwen3_source.Qwen3Source):
        def _read(self, head, audio, text_ids, draft, stable):
            rows, cache = yield from super()._read(head, audio, text_ids, draft, stable)
            drafts.append((len(draft), len(rows) - 1))
            return rows, cache

    streamed(tiny, samples, Watched(tiny, config.resolved(tiny).pairs), config=config)
    offered, taken = map(sum, zip(*drafts, strict=True))
    assert taken > 0.6 * offered


def test_a_stream_counts_its_own_work(tiny, demo):
    steps = []
    samples = demo.utterances[2].read()[: 5 * RATE]
    source = tiny.open_source(DecoderConfig.bundled("tiny").resolved(tiny).pairs)
    stream = StreamDecoder(tiny, source=source, on_step=steps.append)
    for _ in range(2):
        stream.feed(samples)
        stream.finish()
        assert sum(step.gflop for step in steps) == pytest.approx(stream.work.flop / 1e9)
        assert sum(step.forward_passes for step in steps) == stream.work.forward_passes
        stream.reset()
        steps.clear()
        assert stream.work == Work()


def test_a_source_that_does_not_count_has_no_work(tiny):
    class Silent:
        def reset(self):
            pass

    assert StreamDecoder(tiny, source=Silent()).work is None


# Without a draft


def without_probability(stream):
    return [replace(word, probability=None) for word in stream.words]


@pytest.mark.parametrize("unseen_nats", [0.0, 0.2])
def test_without_a_draft_the_words_are_the_same_and_less_is_decoded(tiny, demo, unseen_nats):
    samples = np.concatenate([one.read() for one in demo.utterances[2:4]])
    config = DecoderConfig.bundled("tiny").changed(
        border_s=0.6, unseen_nats=unseen_nats, language="English"
    )
    found = []
    for draft in (True, False):
        stream = StreamDecoder(tiny, config, draft=draft)
        for start in range(0, len(samples), RATE):
            stream.feed(samples[start : start + RATE])
        stream.finish()
        found.append(stream)
    shown, hidden = found
    assert hidden.text == shown.text
    if not unseen_nats:  # what was not decoded would not have been new
        # To a rounding: MLX multiplies fewer rows in another order.
        assert [w.probability for w in hidden.words] == pytest.approx(
            [w.probability for w in shown.words], abs=1e-5
        )
        assert without_probability(hidden) == without_probability(shown)
    assert hidden.work.forward_passes < shown.work.forward_passes
    assert hidden.work.flop < shown.work.flop


def test_a_source_that_cannot_stop_is_asked_as_ever(tiny):
    script = evenly(tiny, "the river was cold", 5)
    found = []
    for draft in (True, False):
        stream = StreamDecoder(tiny, source=ScriptedSource(tiny, script), draft=draft)
        for start in range(0, len(NOISE), RATE):
            stream.feed(NOISE[start : start + RATE])
        stream.finish()
        found.append(stream)
    assert found[0].words
    assert found[0].words == found[1].words
    assert found[1].work is None


def test_what_was_cut_short_is_no_answer_to_whoever_wants_all(tiny, demo):
    samples = demo.utterances[2].read()[: 4 * RATE]
    source = tiny.open_source([(3, 5)])
    start = source.hypothesis(samples, 0, [], None, until=lambda said: len(said.token_ids) == 3)
    assert (len(start.token_ids), start.ended, start.language) == (3, False, "English")
    whole = source.hypothesis(samples, 0, [], None)
    assert whole.ended
    assert whole.token_ids[:3] == start.token_ids
    plain = tiny.open_source([(3, 5)]).hypothesis(samples, 0, [], None)
    assert plain.token_ids == whole.token_ids


def test_silence_costs_nothing(tiny, demo):
    stream = StreamDecoder(tiny, language="en")
    stream.feed(np.concatenate([demo.utterances[2].read(), np.zeros(3 * RATE, np.float32)]))
    before = stream.work
    assert before.flop
    stream.feed(np.zeros(60 * RATE, np.float32))
    stream.finish()
    assert stream.work == before
