"""The streaming decoder on the bundled tiny checkpoint: what goes in, what comes out, what stays.

Words are compared with `transcribe` on the same audio, not with what was said: these tests are
about streaming, not about the checkpoint.
"""

import gc
import itertools
import json
import math
import tracemalloc

import jiwer
import numpy as np
import pytest
import soxr

from alignheads import DecoderConfig, InputError, StreamDecoder, load_heads
from alignheads.runtime.models.protocol import Hypothesis, text_of
from alignheads.runtime.models.qwen3 import reading as prompts
from alignheads.runtime.models.qwen3 import source as qwen3_source
from alignheads.runtime.models.qwen3.source import Qwen3Source
from alignheads.runtime.models.qwen3.stream_encoder import StreamEncoder

HEADS = tuple(load_heads("tiny").compact[:8])


@pytest.fixture(scope="module")
def config():
    return DecoderConfig(model="tiny", heads=HEADS, head_count=8, border_s=0.5)


@pytest.fixture(scope="module")
def long_config(config):
    """For streams longer than the tiny checkpoint's utterances: a buffer no longer than they."""
    return config.changed(max_audio_s=12.0, max_context_tokens=0)


@pytest.fixture(scope="module")
def clips(demo):
    return [u.read() for u in demo.utterances]


@pytest.fixture
def stream(tiny, config):
    return StreamDecoder(tiny, config)


def fed(stream, samples, sizes=16_000):
    """All words of `samples` fed in chunks of one size, or of several in turn."""
    sizes = [sizes] if isinstance(sizes, int) else list(sizes)
    words, start, turn = [], 0, 0
    while start < len(samples):
        size = sizes[turn % len(sizes)]
        words += stream.feed(samples[start : start + size])
        start, turn = start + size, turn + 1
    return words + stream.finish()


def spoken(samples):
    """Without the silence before and after it."""
    loud = np.flatnonzero(np.abs(samples) > 1e-3)
    return samples[loud[0] : loud[-1] + 1]


def noise(samples):
    """Neither silence nor speech."""
    return np.random.default_rng(0).normal(0, 0.05, samples).astype(np.float32)


def said(words):
    return " ".join(word.text for word in words)


def times(words):
    return [(word.text, word.start_s, word.end_s) for word in words]


class StopsListening:
    """A source that says two words of an opening, nothing after it, and six words without it.

    `likely` is the probability of the six.
    """

    def __init__(self, model, likely=0.9):
        self.opening = model.encode_text("he said")
        self.rest = model.encode_text(" one two three four five six")
        self.likely, self.contexts, self.dropped = likely, [], 0

    def reset(self):
        self.contexts, self.dropped = [], 0

    def drop(self, samples):
        self.dropped += samples

    def hypothesis(self, samples, lead, committed_ids, language, context=""):
        self.contexts.append(context)
        said = self.rest if self.dropped else self.opening
        left = said[len(committed_ids) :]
        last = (len(samples) - lead) / 16_000 * 13 - 1
        places = np.arange(len(said) - len(left), len(said) + 1)
        frames = np.minimum(12 + 6 * places, last).astype(int)
        likely = self.likely if self.dropped else 0.9
        return Hypothesis(
            tuple(left), "English", frames.astype(float), frames[:, None],
            np.full(len(frames), likely), int(last) + 1, True,
        )  # fmt: skip


# Bad input


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(100, np.int16), r"int16 of shape \(100,\).*one channel of floats"),
        (np.zeros((100, 2), np.float32), r"shape \(100, 2\).*one channel"),
        (np.zeros((1, 100), np.float32), "one channel"),
        (np.float32(0), r"shape \(\)"),
        (np.full(100, np.nan, np.float32), "NaN or infinity"),
        (np.r_[np.zeros(99), -np.inf], "NaN or infinity"),
        (np.full(100, 1e300), "a sample is 1e"),
        (np.zeros(100, complex), "complex128"),
        (["a"], "one channel of floats"),
        (None, "object"),
    ],
)
def test_samples_that_are_no_audio_are_refused_and_not_taken(stream, clips, samples, message):
    half = len(clips[0]) // 2
    words = stream.feed(clips[0][:half])
    with pytest.raises(InputError, match=message):
        stream.feed(samples)
    assert stream.received_s == pytest.approx(half / 16_000)
    words += stream.feed(clips[0][half:]) + stream.finish()
    assert words


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_float_is_taken_and_copied(stream, dtype):
    chunk = np.zeros(160, dtype)
    stream.feed(chunk)
    chunk[:] = 1
    assert stream.received_s == 0.01
    assert not any(part.any() for part in stream._audio._waiting)


def test_nothing_and_single_samples(stream):
    assert stream.feed(np.zeros(0, np.float32)) == []
    assert stream.feed(np.zeros(1, np.float32)) == []
    assert stream.finish() == []
    assert stream.received_s == 1 / 16_000


def test_an_empty_stream_ends(stream):
    assert stream.finish() == []
    assert stream.draft == ""


def test_flush_commits_all_and_the_stream_goes_on(stream, clips):
    first = stream.feed(clips[1]) + stream.flush()
    assert stream.draft == ""
    assert stream.flush() == []
    pause = np.zeros(8_000, np.float32)
    second = stream.feed(np.r_[pause, clips[2]]) + stream.finish()
    assert said(first) == said(fed_alone(stream, clips[1]))
    start_s = (len(clips[1]) + len(pause)) / 16_000
    assert all(start_s - 0.2 <= word.start_s for word in second)
    assert second[0].space_before
    alone = said(fed_alone(stream, clips[2])).split()
    assert jiwer.process_words(" ".join(alone), said(second)).hits >= 0.7 * len(alone)


def fed_alone(stream, samples):
    stream.reset()
    return fed(stream, samples)


def test_nothing_is_decoded_twice_where_a_stream_ends_at_a_flush(stream, clips):
    steps = []
    stream._on_step = steps.append
    stream.feed(clips[1])
    stream.flush()
    count = len(steps)
    assert stream.finish() == []
    assert len(steps) == count
    with pytest.raises(InputError, match="finished; call reset"):
        stream.flush()


def test_flushing_nothing(stream):
    assert stream.flush() == []
    assert stream.finish() == []


def test_a_finished_stream_takes_nothing_more_until_reset(stream, clips):
    first = fed(stream, clips[1])
    assert stream.finish() == []
    with pytest.raises(InputError, match="finished; call reset"):
        stream.feed(clips[1])
    stream.reset()
    assert fed(stream, clips[1]) == first


def test_leaving_the_context_frees_it(tiny, config, clips):
    with StreamDecoder(tiny, config) as stream:
        stream.feed(clips[0])
    assert stream.received_s == 0


@pytest.mark.parametrize("rate", [0, -16_000])
def test_a_sample_rate_that_is_none(tiny, config, rate):
    with pytest.raises(InputError, match=f"sample rate is {rate}"):
        StreamDecoder(tiny, config, sample_rate=rate)


def test_a_configuration_for_another_model(tiny, config):
    with pytest.raises(InputError, match=r"for 0\.6b, not for tiny"):
        StreamDecoder(tiny, config.changed(model="0.6b"))


def test_heads_that_the_model_lacks(tiny, config):
    with pytest.raises(InputError, match="layer 99 head 0"):
        StreamDecoder(tiny, config.changed(heads=((99, 0),), head_count=1))


@pytest.mark.parametrize("caches", [True, False])
def test_the_mean_of_the_weights_decodes_too(tiny, config, clips, caches):
    """Of one head, it looks where the median does; of several, the text stays."""
    one = config.changed(head_count=1)
    streams = [
        StreamDecoder(
            tiny, one.changed(aggregate=aggregate),
            source=Qwen3Source(tiny, HEADS[:1], aggregate, caches=caches),
        )
        for aggregate in ("median", "mean")
    ]  # fmt: skip
    by_median, by_mean = (fed(stream, clips[0]) for stream in streams)
    assert times(by_mean) == times(by_median)
    all_heads = fed(StreamDecoder(tiny, config.changed(aggregate="mean")), clips[0])
    assert [w.text for w in all_heads] == [w.text for w in by_median]


def test_a_language_that_the_model_lacks(tiny, config):
    with pytest.raises(InputError, match="Klingon"):
        StreamDecoder(tiny, config, language="Klingon")


# Chunks


@pytest.mark.parametrize("seed", range(3))
def test_chunks_of_up_to_a_step_do_not_matter(tiny, config, clips, seed):
    samples = clips[2 + seed]
    expected = fed(StreamDecoder(tiny, config), samples)
    assert expected
    sizes = np.random.default_rng(seed).integers(1, 16_001, 50).tolist()
    assert times(fed(StreamDecoder(tiny, config), samples, sizes)) == times(expected)


def test_chunks_of_one_sample(tiny, config, clips):
    samples = clips[0][: 3 * 16_000]
    expected = fed(StreamDecoder(tiny, config), samples)
    assert times(fed(StreamDecoder(tiny, config), samples, 1)) == times(expected)


def test_steps_fall_at_multiples_of_the_step(tiny, config, clips):
    places = []
    stream = StreamDecoder(tiny, config, on_step=lambda step: places.append(step.audio_s))
    samples = np.concatenate([spoken(clip) for clip in clips[:3]])[: 5 * 16_000 + 7]
    fed(stream, samples, 7_777)
    assert places == [1, 2, 3, 4, 5, len(samples) / 16_000]


def test_a_stream_that_is_behind_skips_steps_but_no_audio(tiny, config, clips):
    places = []
    stream = StreamDecoder(tiny, config, on_step=lambda step: places.append(step.audio_s))
    for size in (24_000, 40_000, 70 * 16_000):
        stream.feed(noise(size))
    assert places[:3] == [1, 4, 30]  # the buffer holds 30 s
    assert places[-1] == 74
    assert max(np.diff(places[2:])) <= 8


@pytest.mark.parametrize("seed", range(2))
def test_random_chunks_of_any_size_lose_and_double_nothing(tiny, long_config, demo, seed):
    """1 sample to 30 s. Where steps fall changes words a little, not how many there are."""
    generator = np.random.default_rng(seed)
    some = [demo.utterances[i] for i in generator.permutation(len(demo.utterances))[:8]]
    samples = np.concatenate([np.r_[spoken(u.read()), np.zeros(8_000, "f")] for u in some])
    sizes = np.exp(generator.uniform(0, np.log(30 * 16_000), 200)).astype(int)
    steps = []
    stream = StreamDecoder(tiny, long_config, on_step=steps.append)
    words = fed(stream, samples, sizes)
    # All the speech was decoded: each buffer begins in the one before, the last in a pause.
    assert all(b.buffer_start_s < a.audio_s for a, b in itertools.pairwise(steps))
    assert stream.received_s == len(samples) / 16_000
    assert spoken(samples).size / 16_000 < steps[-1].audio_s <= stream.received_s
    expected = " ".join(u.text for u in some)
    counts = jiwer.process_words(expected, said(words))
    length = len(expected.split())
    assert counts.deletions <= 0.1 * length
    assert counts.insertions <= 0.1 * length
    assert counts.wer < 0.4


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_other_sample_rates(tiny, config, clips, rate):
    samples = clips[3]
    other = soxr.resample(samples, 16_000, rate)
    words = fed(StreamDecoder(tiny, config, sample_rate=rate), other, rate)
    back = soxr.resample(other, rate, 16_000)
    assert jiwer.wer(said(fed(StreamDecoder(tiny, config), back)), said(words)) < 0.15
    # in chunks of any size
    again = fed(StreamDecoder(tiny, config, sample_rate=rate), other, [1, 777, 0, 12])
    assert times(again) == times(words)
    assert words[-1].end_s <= len(samples) / 16_000 + 0.01


# Words


def test_words_are_whole_in_order_and_within_the_audio(tiny, config, clips):
    for samples in clips[:12]:
        stream = StreamDecoder(tiny, config)
        words, committed = [], []
        for start in range(0, len(samples), 16_000):
            new = stream.feed(samples[start : start + 16_000])
            committed += new
            assert all(word.emitted_s == stream.received_s for word in new)
            words.append(said(committed))
        committed += stream.finish()
        words.append(said(committed))
        # Each text is the one before and whole words more.
        for before, after in itertools.pairwise(words):
            assert after == before or after.startswith(before + " " * bool(before))
        assert all(word.text and not any(c.isspace() for c in word.text) for word in committed)
        assert all(0 <= w.start_s < w.end_s <= len(samples) / 16_000 + 0.04 for w in committed)
        starts = [w.start_s for w in committed]
        assert starts == sorted(starts)
        ends = [w.end_s for w in committed]
        assert ends == sorted(ends)
        for before, after in itertools.pairwise(committed):
            assert after.start_s >= before.end_s - 1e-9


def test_tokens_are_the_text(tiny, config, clips):
    words = fed(StreamDecoder(tiny, config), clips[4])
    ids = [i for word in words for i in word.token_ids]
    assert text_of(tiny, ids).split() == [word.text for word in words]


def test_a_stream_keeps_its_words(tiny, long_config, clips):
    """Also those whose audio has left the buffer, at each moment of the stream."""
    stream, returned = StreamDecoder(tiny, long_config), []
    assert (stream.words, stream.text) == ([], "")
    samples = np.concatenate(clips[:4])
    assert len(samples) > long_config.max_audio_s * 16_000
    for start in range(0, len(samples), 16_000):
        returned += stream.feed(samples[start : start + 16_000])
        assert stream.words == returned
    returned += stream.flush()
    assert stream.words == returned
    assert stream.finish() == []
    assert stream.words == returned
    assert stream.text == said(returned)
    stream.reset()
    assert (stream.words, stream.text) == ([], "")


def test_words_committed_before_a_failure_are_among_those_of_the_stream(tiny, config, clips):
    def on_step(step):
        if any(token.decision == "commit" for token in step.tokens):
            raise RuntimeError("the caller's own")

    stream = StreamDecoder(tiny, config, on_step=on_step)
    with pytest.raises(RuntimeError):
        fed(stream, clips[2])
    assert stream.words
    assert stream.text == said(stream.words)
    assert stream.feed(np.zeros(0, np.float32)) == stream.words


def test_streaming_says_what_transcribing_says(tiny, config, clips):
    streamed = [said(fed(StreamDecoder(tiny, config), samples)) for samples in clips]
    offline = [tiny.transcribe(samples).text for samples in clips]
    assert jiwer.wer(offline, streamed) < 0.12


def test_words_start_when_they_are_spoken(tiny, config, demo):
    """Against the gold times, for the words heard rightly."""
    errors = []
    for utterance in demo.utterances[:16]:
        words = fed(StreamDecoder(tiny, config), utterance.read())
        pairs = jiwer.process_words([utterance.text], [said(words)]).alignments[0]
        for chunk in pairs:
            if chunk.type == "equal":
                gold = utterance.words[chunk.ref_start_idx : chunk.ref_end_idx]
                ours = words[chunk.hyp_start_idx : chunk.hyp_end_idx]
                errors += [w.start_s - g.start_s for g, w in zip(gold, ours, strict=True)]
    assert len(errors) > 50
    assert np.median(np.abs(errors)) < 0.25


def test_the_draft_is_what_waits(tiny, config, clips):
    stream = StreamDecoder(tiny, config)
    drafts = []
    for start in range(0, len(clips[2]), 8_000):
        stream.feed(clips[2][start : start + 8_000])
        drafts.append(stream.draft)
    assert any(drafts)
    stream.finish()
    assert stream.draft == ""


def test_a_language_given_and_one_detected(tiny, config, clips):
    detected, given = StreamDecoder(tiny, config), StreamDecoder(tiny, config, language="en")
    assert detected.language is None
    assert given.language == "English"
    assert jiwer.wer(said(fed(detected, clips[5])), said(fed(given, clips[5]))) < 0.3
    assert detected.language == "English"


@pytest.mark.parametrize("language", [None, "English"])
def test_silence_and_noise_are_no_words(tiny, config, language):
    for samples in (np.zeros(12 * 16_000, np.float32), noise(12 * 16_000)):
        assert fed(StreamDecoder(tiny, config, language=language), samples) == []


def test_silence_between_words_is_none(tiny, config, clips):
    pause = np.zeros(6 * 16_000, np.float32)
    words = fed(StreamDecoder(tiny, config), np.concatenate([pause, clips[1], pause]))
    assert jiwer.wer(tiny.transcribe(clips[1]).text, said(words)) < 0.35
    assert all(5.5 < word.start_s < 6.5 + len(clips[1]) / 16_000 for word in words)


# What is kept between steps


def test_caches_change_nothing(tiny, config, clips):
    for samples in [*clips[:16:2], np.concatenate(clips[:3])]:
        kept = fed(StreamDecoder(tiny, config), samples)
        anew = fed(
            StreamDecoder(tiny, config, source=Qwen3Source(tiny, HEADS, caches=False)), samples
        )
        assert times(kept) == times(anew)


@pytest.mark.parametrize(
    ("owner", "moment"),
    [
        (StreamEncoder, "encoding"),
        (StreamEncoder, "_embedded"),
        (prompts, "take_step"),
        (qwen3_source, "go_on"),
    ],
)
def test_a_failure_in_the_model_loses_no_audio(tiny, config, clips, monkeypatch, owner, moment):
    """In each step once, before it or in its middle: the words are those of no failure."""
    samples = np.concatenate(clips[:2])
    expected = fed(StreamDecoder(tiny, config), samples)
    works, every = getattr(owner, moment), 2 if moment == "go_on" else 5  # it is called less often
    calls = 0

    def fails_at_times(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls % every == 0:
            raise MemoryError("no room")
        return works(*arguments, **options)

    stream, words, failures = StreamDecoder(tiny, config), [], 0
    monkeypatch.setattr(owner, moment, fails_at_times)
    for start in range(0, len(samples), 16_000):
        try:
            words += stream.feed(samples[start : start + 16_000])
        except MemoryError:
            failures += 1
    while not stream.finished:
        try:
            words += stream.finish()
        except MemoryError:
            failures += 1
            monkeypatch.undo()
    assert failures
    assert stream.received_s == len(samples) / 16_000
    assert jiwer.wer(said(expected), said(words)) < 0.15


def test_words_before_a_failure_are_returned_after_it(tiny, config, clips):
    """Many steps in one call: what the first ones committed must not be lost."""
    fails = False
    seen = []

    def on_step(step):
        seen.append(step)
        if fails and len(seen) == 2:
            raise RuntimeError("the caller's own")

    samples = np.tile(clips[0], 12)[: 45 * 16_000]
    expected = StreamDecoder(tiny, config, on_step=on_step)
    whole = expected.feed(samples) + expected.finish()
    seen.clear()
    fails = True
    stream = StreamDecoder(tiny, config, on_step=on_step)
    with pytest.raises(RuntimeError, match="own"):
        stream.feed(samples)
    assert times(stream.feed(np.zeros(0, np.float32)) + stream.finish()) == times(whole)


@pytest.mark.slow
def test_a_long_stream_stays_small_and_loses_nothing(tiny, long_config, demo):
    """Three minutes with pauses, in a buffer of 12 s."""
    pause = np.zeros(12_000, np.float32)
    parts, expected = [], []
    for utterance in demo.utterances:
        parts += [utterance.read(), pause]
        expected.append(utterance.text)
        if sum(map(len, parts)) > 180 * 16_000:
            break
    samples = np.concatenate(parts)
    stream = StreamDecoder(tiny, long_config)
    words, longest, sizes = [], 0, []
    tracemalloc.start()
    for start in range(0, len(samples), 16_000):
        words += stream.feed(samples[start : start + 16_000])
        longest = max(longest, len(stream._audio.samples))
        if start // 16_000 in (60, len(samples) // 16_000 - 1):
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    words += stream.finish()

    assert longest <= 12.1 * 16_000
    assert len(stream._asking.context._said) <= stream.config.max_context_tokens
    assert sizes[-1] - sizes[0] < 2_000_000
    assert jiwer.wer(" ".join(expected), said(words)) < 0.03
    starts = [word.start_s for word in words]
    assert starts == sorted(starts)
    assert starts[-1] > len(samples) / 16_000 - 15


@pytest.mark.parametrize("max_audio_s", [2.0, 8.0, 9.0])
def test_a_buffer_of_one_window_still_works(tiny, config, clips, max_audio_s):
    small = config.changed(max_audio_s=max_audio_s)
    samples = np.concatenate(clips[:4])
    stream = StreamDecoder(tiny, small)
    words = fed(stream, samples)
    starts = [word.start_s for word in words]
    assert starts == sorted(starts)
    assert starts[-1] > len(samples) / 16_000 - 4


@pytest.mark.parametrize("step_s", [0.05, 0.25, 3.0])
def test_other_steps(tiny, config, clips, step_s):
    samples = clips[1][: 12_000 if step_s < 0.1 else None]
    stream = StreamDecoder(tiny, config.changed(step_s=step_s, min_audio_s=0.5))
    words = fed(stream, samples, 4_000)
    assert jiwer.wer(tiny.transcribe(samples).text, said(words)) <= 0.2


def test_a_full_buffer_is_cut_between_words(tiny, long_config, demo):
    parts, spoken, at_s = [], [], 0.0
    for utterance in demo.utterances:
        parts.append(utterance.read())
        spoken += [(at_s + word.start_s, at_s + word.end_s) for word in utterance.words]
        at_s += len(parts[-1]) / 16_000
    steps = []
    fed(StreamDecoder(tiny, long_config, on_step=steps.append), np.concatenate(parts))
    cuts_s = sorted({step.buffer_start_s for step in steps} - {0.0})
    inside = [
        cut_s for cut_s in cuts_s
        if any(start_s + 0.06 < cut_s < end_s - 0.06 for start_s, end_s in spoken)
    ]  # fmt: skip
    assert len(cuts_s) > 10
    assert len(inside) <= 0.1 * len(cuts_s)


# The trace


def test_a_word_has_the_times_that_its_tokens_attended_to(tiny, long_config, clips):
    """Within the margin and half a frame, also once the buffer does not begin with the stream."""
    steps = []
    stream = StreamDecoder(tiny, long_config, on_step=steps.append)
    words = fed(stream, np.concatenate(clips[:4]))
    assert steps[-1].buffer_start_s > 0
    tokens = [t for step in steps for t in step.tokens if t.decision == "commit"]
    margin_s, done, moved = long_config.word_margin_s + 0.04 + 1e-6, 0, 0
    for word in words:
        first_s = tokens[done].attended_s
        done += len(word.token_ids)
        # One that would overlap the word before it begins later.
        moved += abs(word.start_s - first_s) > margin_s
    assert done == len(tokens)
    assert moved <= 0.1 * len(words)


def test_a_border_as_a_fraction_grows_with_the_buffer(tiny, config, clips):
    steps = []
    stream = StreamDecoder(tiny, config.changed(border_fraction=0.25), on_step=steps.append)
    fed(stream, clips[2])
    assert len(steps) > 3
    for step in steps:
        assert step.border_s == pytest.approx(max(2, 0.25 * step.audio_frames) / 13)


def test_the_trace_tells_what_was_decided(tiny, config, clips):
    steps = []
    stream = StreamDecoder(tiny, config, on_step=steps.append)
    words = fed(stream, spoken(clips[2]))
    assert [step.step for step in steps] == list(range(len(steps)))
    assert steps[-1].reason == "final"
    committed = [t for step in steps for t in step.tokens if t.decision == "commit"]
    assert [t.id for t in committed] == [i for word in words for i in word.token_ids]
    assert steps[-1].committed_tokens + sum(
        t.decision == "commit" for t in steps[-1].tokens
    ) == len(committed)
    for step in steps:
        for token in step.tokens:
            assert len(token.frames) == 8
            assert token.frame == np.median(token.frames)
            assert all(0 <= frame < step.audio_frames for frame in token.frames)
            assert (token.reason == "") == (token.decision == "commit")
            assert 0 < token.probability <= 1
            # The middle of the frame, and a median may lie between two.
            around = [
                tiny.clock.span_s(nearest(token.frame)) for nearest in (math.floor, math.ceil)
            ]
            first_s, last_s = (step.buffer_start_s + sum(span_s) / 2 for span_s in around)
            assert first_s - 1e-9 <= token.attended_s <= last_s + 1e-9
        assert step.border_s == pytest.approx(0.5)
    assert {t.reason for step in steps for t in step.tokens} >= {"", "border"}
    json.dumps([step.as_dict() for step in steps], allow_nan=False)


def test_a_step_without_speech_is_traced(tiny, config):
    steps = []
    fed(StreamDecoder(tiny, config, on_step=steps.append), noise(16_000))
    assert [step.reason for step in steps] == ["no language", "no language"]


def test_a_border_wider_than_what_is_left_of_the_buffer_loses_no_word(tiny, config, clips):
    wide = config.changed(border_s=4.0, max_audio_s=10.0)
    samples = max(clips, key=len)
    assert len(samples) > 10 * 16_000
    words = fed(StreamDecoder(tiny, wide), samples)
    whole = fed(StreamDecoder(tiny, config.changed(max_audio_s=30.0)), samples)
    errors = jiwer.process_words(" ".join(w.text for w in whole), " ".join(w.text for w in words))
    assert errors.deletions == 0


# An opening that nobody said


def test_a_model_that_stops_listening_is_asked_anew(tiny, config, clips):
    steps = []
    source = StopsListening(tiny)
    stream = StreamDecoder(tiny, config, language="English", source=source, on_step=steps.append)
    words = fed(stream, np.tile(spoken(clips[0]), 4))
    assert said(words) == "he said one two three four five six"
    assert len(steps) > len({step.audio_s for step in steps})
    assert not any(source.contexts)  # the opening is no context either
    starts = [word.start_s for word in words]
    assert starts == sorted(starts)


def test_it_is_asked_anew_at_the_end_too(tiny, config, clips):
    source, config = StopsListening(tiny), config.changed(step_s=9.5)
    stream = StreamDecoder(tiny, config, language="English", source=source)
    assert stream.feed(np.tile(spoken(clips[0]), 4)) == []
    assert said(stream.finish()) == "he said one two three four five six"


@pytest.mark.parametrize("after", ["silence", "noise", "unlikely"])
def test_silence_noise_and_what_is_unlikely_begin_nothing_anew(tiny, config, clips, after):
    source = StopsListening(tiny, likely=0.3 if after == "unlikely" else 0.9)
    stream = StreamDecoder(tiny, config, language="English", source=source)
    again = np.tile(spoken(clips[0]), 3)
    rest = {"silence": np.zeros(80_000), "noise": 2 * noise(80_000), "unlikely": again}[after]
    words = fed(stream, np.r_[clips[0][:20_000], rest[:80_000]].astype(np.float32))
    assert said(words) == "he said"
