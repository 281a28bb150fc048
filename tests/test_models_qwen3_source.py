"""What a `Qwen3Source` says of a hypothesis: its tokens, frames and probabilities."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_qwen3_asr.decoder import KVCache

from alignheads import DecoderConfig, StreamDecoder
from alignheads.runtime.models.backend import mx
from alignheads.runtime.models.capture import group_frames
from alignheads.runtime.models.protocol import text_of
from alignheads.runtime.models.qwen3.source import Qwen3Source
from alignheads.runtime.models.qwen3.stream_encoder import StreamEncoder
from alignheads.runtime.models.qwen3.text_decoder import decode

RATE = 16_000
HEADS = [(3, 5), (0, 1), (3, 0), (2, 7)]


@pytest.fixture(scope="module")
def clip(demo):
    return demo.utterances[2].read()


def softmax_of_the_answer(model, samples, committed, text_ids, language, context=""):
    """[rows, vocabulary], what a plain pass over the prompt and the whole answer predicts.

    A row for each of `text_ids`, and one for what follows them. Nothing is kept, drafted or
    captured.
    """
    encoder = StreamEncoder(model.engine.audio_tower, model.engine_dtype, caches=False)
    windows, tail = encoder.encode(samples, 0)
    audio = mx.concatenate([*windows, tail])
    prompt = model.vocabulary.prompt(audio.shape[0], language, context)
    head = [] if language else model.vocabulary.encode("language English<asr_text>")
    # With committed words, the head is not written: the text goes on where the answer began.
    head = [] if committed else head
    ids = [*prompt.ids, *committed, *head, *text_ids]
    text = model.engine.model.embed_tokens(mx.array(ids))
    embedded = mx.concatenate([text[: prompt.audio_start], audio, text[prompt.audio_stop :]])
    hidden = decode(model.engine.model, embedded[None], KVCache(model.num_layers))
    logits = np.array(model.engine.lm_head(hidden[0, -len(text_ids) - 1 :])).astype(np.float64)
    likely = np.exp(logits - logits.max(-1, keepdims=True))
    return likely / likely.sum(-1, keepdims=True)


def assert_is_the_softmax(model, found, samples, committed, language):
    expected = softmax_of_the_answer(model, samples, committed, found.token_ids, language)
    assert found.ended
    assert len(found.probabilities) == len(found.token_ids) + 1
    said = [expected[row, token] for row, token in enumerate(found.token_ids)]
    assert found.probabilities[:-1] == pytest.approx(said, abs=1e-4)
    ends = sorted(model.vocabulary.end_ids)
    assert found.probabilities[-1] == pytest.approx(expected[-1, ends].max(), abs=1e-4)
    # Greedy: none is likelier.
    assert found.probabilities == pytest.approx(expected.max(-1), abs=1e-4)


@pytest.mark.parametrize("caches", [True, False])
@pytest.mark.parametrize("language", [None, "English"])
def test_probabilities_are_the_softmax_of_a_plain_pass(tiny, clip, language, caches):
    """In a buffer that grows: of drafts that were read and of tokens that were decoded."""
    source = Qwen3Source(tiny, HEADS, caches=caches)
    for seconds in (2, 3, 4, 6, 9):
        samples = clip[: seconds * RATE]
        found = source.hypothesis(samples, 0, [], language)
        assert found.language == "English"
        assert found.token_ids
        assert_is_the_softmax(tiny, found, samples, [], language)


def test_probabilities_after_committed_words(tiny, clip):
    source = Qwen3Source(tiny, HEADS)
    committed = []
    for seconds in (3, 5, 8):
        samples = clip[: seconds * RATE]
        found = source.hypothesis(samples, 0, committed, "English")
        assert_is_the_softmax(tiny, found, samples, committed, "English")
        committed += found.token_ids[:3]


@pytest.mark.parametrize("aggregate", ["median", "mean"])
def test_each_row_has_a_token_frames_and_a_probability(tiny, clip, aggregate):
    source = tiny.open_source(HEADS, aggregate)
    found = source.hypothesis(clip, 0, [], None)
    rows = len(found.token_ids) + found.ended
    assert found.audio_frames == tiny.clock.count(len(clip))
    assert found.frames.shape == found.probabilities.shape == (rows,)
    assert found.head_frames.shape == (rows, len(HEADS))
    assert ((found.head_frames >= 0) & (found.head_frames < found.audio_frames)).all()
    assert ((found.probabilities > 0) & (found.probabilities <= 1 + 1e-6)).all()
    assert not any(tiny.token_bytes(token) == b"" for token in found.token_ids)
    assert text_of(tiny, found.token_ids).strip() == tiny.transcribe(clip).text
    if aggregate == "median":
        assert found.weights is None
        assert (found.frames == np.median(found.head_frames, axis=1)).all()
    else:
        assert found.weights.shape == (rows, len(HEADS), found.audio_frames)
        assert found.weights.sum(-1) == pytest.approx(np.ones((rows, len(HEADS))), abs=1e-4)
        assert (found.weights.argmax(-1) == found.head_frames).all()
        assert (found.frames == found.weights.mean(axis=1).argmax(-1)).all()


@pytest.mark.parametrize("language", [None, "English"])
def test_heads_look_where_attention_says_and_come_in_the_order_asked_for(tiny, clip, language):
    found = tiny.open_source(HEADS).hypothesis(clip, 0, [], language)
    layers = []
    prefix = tiny.prefill(clip, language)
    tiny.attention(prefix, found.token_ids, lambda _, weights: layers.append(weights))
    looked = np.stack([layers[layer][head].argmax(-1) for layer, head in HEADS], axis=1)
    # The spectrograms of a stream and of a whole clip differ by a rounded floor.
    assert (found.head_frames[: len(looked)] == looked).mean() > 0.98


@pytest.mark.parametrize("language", [None, "English"])
def test_a_buffer_too_short_to_say_anything_of(tiny, language):
    source = tiny.open_source(HEADS)
    found = source.hypothesis(np.zeros(tiny.min_samples - 1, np.float32), 0, [], language)
    assert (found.token_ids, found.audio_frames, found.ended) == ((), 0, True)
    assert found.language == language
    assert found.head_frames.shape == (0, len(HEADS))


def test_a_source_that_is_reset_knows_nothing_of_the_stream_before(tiny, demo, clip):
    source, fresh = tiny.open_source(HEADS), tiny.open_source(HEADS)
    source.hypothesis(demo.utterances[4].read(), 0, [], None)
    source.reset()
    again, first = (one.hypothesis(clip, 0, [], None) for one in (source, fresh))
    assert again.token_ids == first.token_ids
    assert (again.head_frames == first.head_frames).all()
    assert (again.probabilities == first.probabilities).all()


# The frame of a group


def test_heads_are_reduced_by_their_median():
    head_frames = np.array([[0, 50, 52, 99], [60, 60, 99, 99], [99, 60, 62, 61]])
    assert group_frames(head_frames, None).tolist() == [51.0, 79.5, 61.5]
    assert group_frames(np.zeros((0, 4), int), None).tolist() == []


def test_weights_are_reduced_by_their_mean():
    """Two heads at one frame outvote a surer one at another, and their own frames count not."""
    weights = np.zeros((1, 3, 9), np.float32)
    weights[0, 0, 2] = 0.9
    weights[0, 1:, 7] = 0.5
    assert group_frames(np.array([[2, 7, 7]]), weights).tolist() == [7.0]
    assert group_frames(np.zeros((0, 3), int), weights[:0]).tolist() == []


@given(
    st.lists(st.lists(st.integers(0, 200), min_size=5, max_size=5), min_size=1, max_size=9),
    st.permutations(range(5)),
)
def test_the_order_of_heads_is_nothing_to_the_group(head_frames, order):
    frames = np.array(head_frames)
    weights = np.eye(201, dtype=np.float32)[frames]
    assert (group_frames(frames, None) == group_frames(frames[:, order], None)).all()
    found = group_frames(frames, weights)
    assert (found == group_frames(frames[:, order], weights[:, order])).all()


# Where no language is named


@pytest.fixture
def unnamed(tiny, monkeypatch):
    """A checkpoint whose answers begin with a head that names no language."""
    real = tiny.vocabulary.answer_head
    monkeypatch.setattr(tiny.vocabulary, "answer_head", lambda ids: (None, real(ids)[1]))
    return tiny


@pytest.fixture
def headless(tiny, monkeypatch):
    """A checkpoint that answers with text at once."""
    real = tiny.vocabulary.prompt
    monkeypatch.setattr(
        tiny.vocabulary, "prompt", lambda frames, _, context="": real(frames, "English", context)
    )
    return tiny


@pytest.mark.parametrize("kind", ["unnamed", "headless"])
@pytest.mark.parametrize("caches", [True, False])
def test_a_stream_of_no_named_language_says_what_one_of_a_given_one_says(
    request, tiny, demo, kind, caches
):
    samples = np.concatenate([demo.utterances[2].read(), demo.utterances[5].read()])
    given = streamed(tiny, samples, "English", caches)
    found = streamed(request.getfixturevalue(kind), samples, None, caches)
    assert found.language is None
    assert found.text == given.text
    assert [word.start_s for word in found.words] == [word.start_s for word in given.words]


def streamed(model, samples, language, caches):
    stream = StreamDecoder(model, language=language, source=source_of(model, caches))
    for start in range(0, len(samples), RATE):
        stream.feed(samples[start : start + RATE])
    stream.finish()
    return stream


def source_of(model, caches):
    pairs = DecoderConfig.bundled("tiny").resolved(model).pairs
    return Qwen3Source(model, pairs, caches=caches)


def test_the_head_is_found_again_by_a_source_that_did_not_write_it(unnamed, clip):
    """As when a replay asks for a step in the middle of a stream."""
    source = source_of(unnamed, True)
    whole = source.hypothesis(clip, 0, [], None)
    after = source_of(unnamed, True).hypothesis(clip, 0, whole.token_ids[:4], None)
    assert after.token_ids == whole.token_ids[4:]
    assert after.language is None
