"""Reuse: keys that are moved, what of a prompt is kept, and streams that are nearly exact."""

import numpy as np
import pytest
import whisper_checkpoints
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_qwen3_asr.decoder import KVCache
from test_models_work import Profiler

from alignheads import DecoderConfig, SpeechModel, StreamDecoder
from alignheads.errors import InputError
from alignheads.runtime.models.backend import mx
from alignheads.runtime.models.qwen3 import reusing
from alignheads.runtime.models.qwen3.asked import Asked
from alignheads.runtime.models.qwen3.moved_cache import MovedCache, turning
from alignheads.runtime.models.qwen3.reuse import Kept, Part, joined, slid
from alignheads.runtime.models.qwen3.text_decoder import decode
from alignheads.runtime.stream.front import front_of
from alignheads.runtime.stream.word import Word

RATE = 16_000
HEADS = [(3, 5), (0, 1), (3, 0)]
HEAD, FIXED = (1, 2, 3), (7, 8)


def asked(frames, committed, draft=(), *, head=HEAD, fixed=FIXED):
    return Asked(head, frames, fixed, committed, draft, 0)


def read_places(parts):
    return [at for part in parts if part.old is None for at in range(part.start, part.stop)]


def assert_covers(parts, stop):
    assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
    assert parts[-1].stop == stop


# What is kept


def test_old_frames_and_settled_text_are_kept_and_what_says_that_the_audio_ends_is_read():
    kept = Kept().then(asked(10, (20, 21, 22)), 100)
    parts = kept.parts(asked(14, (20, 21, 22, 23), (24,)), 200, 6, 100, is_text_anew=False)
    assert parts == [
        Part(0, 9, 0),  # the head, and six frames
        Part(9, 19),  # frames, and what is fixed
        Part(19, 22, 15),  # the text, four frames later
        Part(22, 24),
    ]


def test_text_that_was_committed_lately_is_read_until_it_has_settled():
    kept = Kept().then(asked(10, (20,)), 100).then(asked(14, (20, 21, 22)), 150)
    parts = kept.parts(asked(18, (20, 21, 22, 23)), 200, 14, 100, is_text_anew=False)
    assert 23 not in read_places(parts)
    assert {24, 25, 26} <= set(read_places(parts))


@pytest.mark.parametrize("committed", [(), (20,), (20, 21)])
def test_the_last_position_before_the_draft_is_always_read(committed):
    kept = Kept().then(asked(10, committed), 0)
    parts = kept.parts(asked(10, committed), 10_000, 10, 0, is_text_anew=False)
    assert 3 + 10 + 2 + len(committed) - 1 in read_places(parts)


def test_another_head_or_other_text_is_not_taken_for_what_is_kept():
    kept = Kept().then(asked(10, (20, 21, 22)), 0)
    other = kept.parts(asked(10, (20, 21, 22), head=(1, 9, 3)), 500, 10, 1, is_text_anew=False)
    assert other == [Part(0, 1, 0), Part(1, 18)]
    text = kept.parts(asked(10, (20, 99, 22)), 500, 10, 1, is_text_anew=False)
    assert read_places(text) == [13, 14, 16, 17]
    fixed = kept.parts(asked(10, (20, 21), fixed=(7, 9)), 500, 10, 1, is_text_anew=False)
    assert read_places(fixed) == [13, 14, 15, 16]


def test_a_finished_window_has_all_text_read():
    kept = Kept().then(asked(10, (20, 21, 22)), 0)
    parts = kept.parts(asked(10, (20, 21, 22)), 500, 2, 1, is_text_anew=True)
    assert parts == [Part(0, 5, 0), Part(5, 18)]


def test_after_a_cut_frames_and_text_are_found_further_back():
    kept = Kept().then(asked(20, (20, 21, 22, 23)), 0)
    cut = Kept(kept.prompt, kept.since, gone=13)
    after = asked(9, (22, 23, 24), head=(1, 2, 20, 21, 3))
    parts = cut.parts(after, 500, 7, 1, is_text_anew=False)
    assert_covers(parts, 5 + 9 + 2 + 3)
    assert Part(5, 12, 16) in parts
    assert Part(16, 18, 27) in parts
    assert 18 in read_places(parts)


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 3), max_size=12),
    st.lists(st.integers(0, 3), max_size=12),
)
def test_the_parts_of_a_head_hold_the_same_tokens(old, new):
    parts = joined(slid(old, new))
    if new:
        assert_covers(parts, len(new))
    for part in parts:
        if part.old is not None:
            assert new[part.start : part.stop] == old[part.old : part.old + len(part)]


def test_of_a_context_that_has_slid_the_rest_is_kept():
    old = [1, 2, *range(100, 140), 3, 4]
    new = [1, 2, 99, *range(111, 140), *range(140, 150), 3, 4]  # the first without its space
    kept = sum(len(part) for part in joined(slid(old, new)) if part.old is not None)
    assert kept == 2 + 29 + 2


# Moved keys


def test_a_key_that_is_moved_is_what_it_would_be_at_its_new_place(tiny):
    decoder = tiny.engine.model
    ids = mx.array([11, 12, 13, 14, 15])
    caches = []
    for before in ([], [5, 6, 7, 8, 9, 10, 5]):
        cache = KVCache(tiny.num_layers)
        if before:
            decode(decoder, decoder.embed_tokens(mx.array(before))[None], cache)
        decode(decoder, decoder.embed_tokens(ids)[None], cache)
        caches.append(cache)
    near, far = (np.array(cache.keys[0][:, :, -5:]) for cache in caches)  # it sees no other token
    turn = turning(decoder)
    assert np.array(turn(mx.array(near), 7)) == pytest.approx(far, abs=2e-5)
    assert np.array(turn(mx.array(far), -7)) == pytest.approx(near, abs=2e-5)
    twice = turn(turn(mx.array(near), 3), 4)
    assert np.array(twice) == pytest.approx(far, abs=2e-5)


def test_a_pass_between_what_is_kept_is_a_pass_over_all_of_it(tiny):
    """Where nothing has moved and nothing that is kept saw anything else."""
    decoder = tiny.engine.model
    whole = decoder.embed_tokens(mx.array(list(range(20, 32))))[None]
    plain = KVCache(tiny.num_layers)
    expected = decode(decoder, whole, plain)
    parts = [Part(0, 4, 0), Part(4, 6), Part(6, 9, 6), Part(9, 12)]
    places = [4, 5, 9, 10, 11]
    cache = MovedCache(plain, parts, turning(decoder))
    found = decode(decoder, whole[:, mx.array(places)], cache, places=places, last=3)
    assert np.array(found) == pytest.approx(np.array(expected[:, -3:]), abs=1e-4)
    assert cache.offset == 12
    for one, two in zip(cache.keys, plain.keys, strict=True):
        assert np.array(one) == pytest.approx(np.array(two), abs=1e-4)


# Sources


@pytest.fixture(scope="module")
def speech(demo):
    return np.concatenate([one.read() for one in demo.utterances[:4]])


def test_a_refresh_as_long_as_the_window_is_exact(tiny, speech):
    """Over a finished window; what is kept of text is as old as a window, so none is."""
    exact = tiny.open_source(HEADS)
    source = tiny.open_source(HEADS, refresh_s=8.0)
    committed = []
    for seconds in (2, 3, 8.2, 9):
        samples = speech[: int(seconds * RATE)]
        one, two = (s.hypothesis(samples, 0, committed, "English") for s in (exact, source))
        assert two.token_ids == one.token_ids
        assert (two.head_frames == one.head_frames).all()
        assert two.probabilities == pytest.approx(one.probabilities, abs=1e-4)
        committed += one.token_ids[:2]


def test_a_source_that_is_asked_again_or_for_another_language_reads_what_it_must(tiny, speech):
    source = tiny.open_source(HEADS, refresh_s=1.0)
    for seconds in (3, 4):
        first = source.hypothesis(speech[: seconds * RATE], 0, [], "English")
    before = source.work
    again = source.hypothesis(speech[: 4 * RATE], 0, [], "English")
    assert (again.token_ids, source.work) == (first.token_ids, before)
    detected = source.hypothesis(speech[: 4 * RATE], 0, [], None)
    assert (detected.token_ids, detected.language) == (first.token_ids, "English")


def streamed(model, samples, **settings):
    config = DecoderConfig.bundled("tiny").changed(**settings)
    stream = StreamDecoder(model, config, language="en")
    for start in range(0, len(samples), RATE):
        stream.feed(samples[start : start + RATE])
    stream.finish()
    return stream


def closely(utterances):
    """Without the silence around them."""
    parts = []
    for one in utterances:
        samples = one.read()
        heard = np.flatnonzero(np.abs(samples) > 0.01)
        parts.append(samples[max(0, heard[0] - 1600) : heard[-1] + 1600])
    return np.concatenate(parts)


def test_a_stream_that_reuses_says_the_same_for_half_the_compute(tiny, demo, monkeypatch):
    """Over cuts, of which some are on a whole second."""
    samples, kept = closely(demo.utterances[:3]), []
    cut = reusing.RefreshedEncoder.cut

    def watched(encoder, mel_frames):
        kept.append(cut(encoder, mel_frames))
        return kept[-1]

    monkeypatch.setattr(reusing.RefreshedEncoder, "cut", watched)
    exact = streamed(tiny, samples, max_audio_s=8.0)
    found = streamed(tiny, samples, max_audio_s=8.0, reuse=True)
    assert any(kept)
    assert found.text == exact.text
    starts = [[word.start_s for word in stream.words] for stream in (exact, found)]
    # Buffers that are cut elsewhere have frames elsewhere.
    assert starts[1] == pytest.approx(starts[0], abs=0.2)
    assert abs(np.subtract(*starts).mean()) < 0.01
    assert found.work.flop < 0.5 * exact.work.flop


@pytest.mark.parametrize("language", [None, "English"])
def test_the_work_with_reuse_is_what_a_profiler_and_a_meter_count(
    tiny, speech, monkeypatch, language
):
    source = tiny.open_source(HEADS, refresh_s=1.0)
    meter = tiny.open_meter(HEADS, refresh_s=1.0)
    profiler = Profiler(monkeypatch)
    committed, start, lead = [], 0, 0
    for seconds in (1, 2, 4.5, 8.5, 10, 11):
        if seconds == 10:
            for one in (source, meter):
                one.drop(3 * RATE, goes_on=True)
            start, lead = 3 * RATE, 320
            committed = committed[2:]
        samples = speech[start - lead : int(seconds * RATE)]
        before = profiler.flop
        said = source.hypothesis(samples, lead, committed, language)
        computed = profiler.flop - before
        meter.note(samples, lead, committed, language, "", said)
        profiler.flop = before + computed  # a meter computes nothing that counts
        assert source.work.flop == profiler.flop
        assert meter.work == source.work
        committed = [*committed, *said.token_ids[:2]]
    assert source.work.forward_passes


def test_a_cut_on_a_whole_second_is_hardly_read_again_and_another_one_is(tiny, speech):
    spent = []
    for samples_gone, goes_on in ((3 * RATE, True), (3 * RATE, False), (RATE * 5 // 2, True)):
        source = tiny.open_source(HEADS, refresh_s=1.0)
        for seconds in (8, 10):
            said = source.hypothesis(speech[: seconds * RATE], 0, [], "English")
        source.drop(samples_gone, goes_on=goes_on)
        before = source.work
        after = source.hypothesis(speech[samples_gone - 320 : 11 * RATE], 320, [], "English")
        assert said.token_ids
        assert after.token_ids
        spent.append(source.work - before)
    moved, *anew = spent
    for one in anew:
        assert moved.encoder_frames < one.encoder_frames / 3
        assert moved.decoder_positions < one.decoder_positions / 2


def test_cuts_of_what_was_never_heard_are_no_fault(tiny, speech):
    """As of a replay's source, which is asked for a few steps of a stream alone."""
    source = tiny.open_source(HEADS, refresh_s=1.0)
    source.drop(5 * RATE, goes_on=True)
    first = source.hypothesis(speech[5 * RATE - 320 : 9 * RATE], 320, [], "English")
    source.drop(9 * RATE, goes_on=True)
    source.drop(RATE, goes_on=True)
    source.hypothesis(speech[15 * RATE - 320 : 18 * RATE], 320, first.token_ids, "English")
    source.reset()
    fresh = tiny.open_source(HEADS).hypothesis(speech[: 3 * RATE], 0, [], "English")
    assert source.hypothesis(speech[: 3 * RATE], 0, [], "English").token_ids == fresh.token_ids


# Where it is cut


def word(text, start_s, end_s, looked_s):
    return Word(text, start_s, end_s, end_s, (1,), True, attended_s=looked_s)


def test_a_cut_on_a_whole_second_lies_between_where_two_words_were_looked_at():
    spoken = [
        word("one", 0.5, 2.1, (1.0, 1.4)),
        word("two", 2.1, 3.9, (2.6, 3.2)),
        word("three", 3.9, 6.0, (4.4, 5.1)),
    ]
    noise = np.random.default_rng(0).standard_normal(9 * RATE).astype(np.float32)
    noise[int(3.9 * RATE) : int(4.1 * RATE)] = 0
    waits_s = (7.0, 7.2)
    assert front_of(noise, spoken, waits_s, 0.0, (1.5, 5.0), 1.0) == (4.0, 2, True)
    gone_s, _, goes_on = front_of(noise, spoken, waits_s, 0.0, (4.5, 5.05), 1.0)
    assert not goes_on
    assert gone_s != 5.0
    assert not front_of(noise, spoken, waits_s, 0.0, (1.5, 5.0))[2]


# Configuration


def test_reuse_of_a_family_that_cannot_is_refused(tmp_path):
    model = SpeechModel.load(whisper_checkpoints.mlx_folder(tmp_path / "whisper"))
    config = DecoderConfig(
        model=model.name, heads=((1, 0),), head_count=1, border_s=0.4, max_audio_s=5.0, reuse=True
    )
    with pytest.raises(InputError, match=r"^reuse is true, but .* only Qwen3-ASR's models do"):
        StreamDecoder(model, config)


@pytest.mark.parametrize("value", [0.0, -1.0, 8.1, float("nan")])
def test_a_refresh_that_means_nothing_is_refused(value):
    with pytest.raises(InputError, match="refresh_s"):
        DecoderConfig.bundled("tiny").changed(refresh_s=value)


def test_reuse_is_kept_in_the_file_and_off_unless_it_says_so(tmp_path):
    config = DecoderConfig.bundled("tiny")
    assert not config.reuse
    path = tmp_path / "decoder_config.json"
    config.changed(reuse=True, refresh_s=2.5).save(path)
    again = DecoderConfig.load(path)
    assert (again.reuse, again.refresh_s) == (True, 2.5)
