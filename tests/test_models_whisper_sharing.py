"""Steps of several Whisper streams taken together: each is told what it is told alone."""

from __future__ import annotations

from concurrent.futures import Future

import numpy as np
import pytest
import whisper_checkpoints as made
from shared_answers import answers_of, assert_same, passes_of, rounds_of, words_at_once, words_of

from alignheads import DecoderConfig, SpeechModel
from alignheads.runtime.models import texts_on_cpu
from alignheads.runtime.models.backend import mx
from alignheads.runtime.models.cpu import cores, products
from alignheads.runtime.models.shared_steps import Limit, Waiting, take_steps
from alignheads.runtime.models.whisper import source as room
from alignheads.runtime.models.whisper import together
from alignheads.runtime.models.whisper.source import WhisperSource
from alignheads.runtime.models.whisper.together import WhisperTogether, WhisperTogetherOnCpu

RATE = 16_000
HEADS = [(1, 1), (0, 0), (1, 0)]
STREAMS = [  # seconds, language, tokens committed, what was said before
    (3.0, "English", 0, ""),
    (1.2, None, 0, ""),
    (4.5, "German", 3, "was zuvor gesagt wurde"),
    (2.0, None, 2, ""),
    (0.3, "English", 0, "word " * 300),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made.mlx_folder(tmp_path_factory.mktemp("whisper") / "small")


@pytest.fixture(scope="module")
def model(folder):
    return SpeechModel.load(folder)


@pytest.fixture(scope="module")
def english(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whisper") / "small.en"
    return SpeechModel.load(made.mlx_folder(folder, made.ENGLISH))


def streams(model, aggregate="median"):
    """A source of each, and what it is asked."""
    found = []
    for seed, (seconds, language, committed, context) in enumerate(STREAMS):
        ids = list(range(300, 300 + committed))
        source = WhisperSource(model, HEADS, aggregate)
        found.append((source, (made.noise(seconds, seed), 0, ids, language, context)))
    return found


def alone(model, aggregate="median"):
    return [source.hypothesis(*given) for source, given in streams(model, aggregate)]


def step_of(source, given, until=None):
    samples, lead, ids, language, context = given
    return Waiting(
        Future(), lambda: source._begun(samples[lead:], ids, language, context, until), id(source)
    )


@pytest.mark.parametrize("kind", [WhisperTogetherOnCpu, WhisperTogether])
@pytest.mark.parametrize("aggregate", ["median", "mean"])
def test_together_each_is_told_what_it_is_told_alone(model, aggregate, kind, monkeypatch):
    """Of audio of any length, with and without a language, committed words, and a context."""
    monkeypatch.setattr(together, "on_gpu", lambda: kind is WhisperTogether)
    passes = passes_of(monkeypatch, kind)
    asked = streams(model, aggregate)
    steps = [step_of(*one) for one in asked]
    take_steps(steps, Limit())
    expected = streams(model, aggregate)
    for found, (source, given) in zip(answers_of(steps), expected, strict=True):
        assert_same(found, source.hypothesis(*given))
    assert [source.work for source, _ in asked] == [source.work for source, _ in expected]
    assert max(passes) == len(STREAMS)
    assert len(passes) > texts_on_cpu.ROOM_TOKENS  # the room for what is said has grown
    assert passes == sorted(passes, reverse=True)  # who is done leaves


@pytest.mark.parametrize("kind", [WhisperTogetherOnCpu, WhisperTogether])
def test_no_text_begins_with_a_space_by_itself(model, kind, monkeypatch):
    """Whatever is likely; later it is a token as any other."""
    monkeypatch.setattr(together, "on_gpu", lambda: kind is WhisperTogether)
    blank = model.vocabulary.blank_id
    likely = mx.zeros(model.dims.n_vocab).at[blank].add(30.0)
    mx.eval(likely)
    logits = type(model.network).logits
    monkeypatch.setattr(
        type(model.network), "logits", lambda self, rows: logits(self, rows) + likely
    )
    expected = alone(model)
    steps = [step_of(*one) for one in streams(model)]
    take_steps(steps, Limit())
    begun = [answer for answer, (_, _, committed, _) in zip(answers_of(steps), STREAMS,
             strict=True) if not committed]  # fmt: skip
    assert all(answer.token_ids[0] != blank for answer in begun)
    for found, said in zip(answers_of(steps), expected, strict=True):
        assert found.token_ids[0] == said.token_ids[0]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_in_half_precision_what_is_said_first_is_the_same(folder, dtype):
    """Later ones may be all but tied, of random weights."""
    half = SpeechModel.load(folder, dtype=dtype)
    steps = [step_of(*one) for one in streams(half)]
    take_steps(steps, Limit())
    for found, expected in zip(answers_of(steps), alone(half), strict=True):
        assert found.token_ids[:3] == expected.token_ids[:3]
        assert found.probabilities[:3] == pytest.approx(expected.probabilities[:3], rel=0.1)


@pytest.mark.parametrize("bits", [4, 8])
def test_weights_that_are_packed_are_those_of_their_layers(tmp_path, bits):
    packed = SpeechModel.load(made.quantised_folder(tmp_path / "packed", bits)[0])
    steps = [step_of(*one) for one in streams(packed)]
    take_steps(steps, Limit())
    for found, expected in zip(answers_of(steps), alone(packed), strict=True):
        assert_same(found, expected)


def test_as_with_a_large_model_each_is_told_the_same(model, monkeypatch):
    """On all cores."""
    expected = alone(model, "mean")
    monkeypatch.setattr(cores, "thread_count", lambda: 3)
    monkeypatch.setattr(products, "LARGE", 1)
    monkeypatch.setattr(texts_on_cpu, "_MANY_KEYS", 0)
    steps = [step_of(*one) for one in streams(model, "mean")]
    take_steps(steps, Limit())
    for found, said in zip(answers_of(steps), expected, strict=True):
        assert_same(found, said)


def test_the_next_step_follows_as_it_does_alone(model):
    """With a draft of what was said, and words committed of it."""
    ours, theirs = streams(model)[:3], streams(model)[:3]
    committed: list[list[int]] = [[], [], []]
    for seconds in (0.5, 1.0, 1.2):
        parts = [given[0][: int((seconds + place / 10) * RATE)] for place, (_, given) in
                 enumerate(ours)]  # fmt: skip
        asked = [
            (part, 0, ids, given[3], given[4])
            for part, ids, (_, given) in zip(parts, committed, ours, strict=True)
        ]
        steps = [step_of(source, one) for (source, _), one in zip(ours, asked, strict=True)]
        take_steps(steps, Limit())
        found = answers_of(steps)
        for answer, (source, _), one in zip(found, theirs, asked, strict=True):
            assert_same(answer, source.hypothesis(*one))
        committed = [
            [*ids, *answer.token_ids[:2]] for ids, answer in zip(committed, found, strict=True)
        ]
    assert [source.work for source, _ in ours] == [source.work for source, _ in theirs]


def test_streams_of_a_model_of_english_alone_share_too(english):
    given = [(made.noise(seconds, 7), 0, [], None, "") for seconds in (1, 2)]
    expected = [WhisperSource(english, HEADS).hypothesis(*one) for one in given]
    steps = [step_of(WhisperSource(english, HEADS), one) for one in given]
    take_steps(steps, Limit())
    for found, said in zip(answers_of(steps), expected, strict=True):
        assert_same(found, said)


def test_each_part_is_passed_through_once_for_all(model, monkeypatch):
    """The encoder, what language it is, and the prompts."""
    counts = {"encoded_each": [], "detected_packed": [], "read_packed": []}
    for name, passes in counts.items():
        real = getattr(room, name)
        monkeypatch.setattr(
            room, name,
            lambda m, given, real=real, passes=passes: (passes.append(len(given)),
                                                        real(m, given))[1],
        )  # fmt: skip
    steps = [step_of(*one) for one in streams(model)]
    take_steps(steps, Limit())
    answers_of(steps)
    assert counts["encoded_each"] == [5]
    assert counts["detected_packed"] == [4]  # all but the one whose language is given, later on
    assert counts["read_packed"] == [5]


@pytest.mark.parametrize("part", ["encoded_each", "detected_packed", "read_packed"])
def test_a_part_that_fails_together_is_made_by_halves(model, monkeypatch, caplog, part):
    expected = alone(model)
    real, passes = getattr(room, part), []

    def failing_at_many(model, given):
        passes.append(len(given))
        made = real(model, given)
        if len(given) > 2:
            raise RuntimeError("[malloc] Unable to allocate 1000000000 bytes.")
        return made

    monkeypatch.setattr(room, part, failing_at_many)
    limit = Limit()
    steps = [step_of(*one) for one in streams(model)]
    take_steps(steps, limit)
    for found, said in zip(answers_of(steps), expected, strict=True):
        assert_same(found, said)
    assert max(passes) >= 4
    assert limit.most == 2
    assert "do not fit in memory: at most 2 are decoded together" in caplog.text


@pytest.mark.parametrize("kind", [WhisperTogetherOnCpu, WhisperTogether])
def test_a_pass_that_fails_for_one_is_repeated_without_it(model, kind, monkeypatch, caplog):
    """It fails after some that went well, so those are made again; what was kept is as it was."""
    monkeypatch.setattr(together, "on_gpu", lambda: kind is WhisperTogether)
    expected = alone(model)
    asked = streams(model)
    spoilt = asked[2][0]
    passes = passes_of(
        monkeypatch, kind,
        lambda texts: ValueError("spoilt") if len(passes) > 3 and _holds(texts, spoilt) else None,
    )  # fmt: skip
    steps = [step_of(*one) for one in asked]
    take_steps(steps, Limit())
    with pytest.raises(ValueError, match="spoilt"):
        steps[2].future.result()
    for place in (0, 1, 3, 4):
        assert_same(steps[place].future.result(), expected[place])
    assert "by halves, since together: spoilt" in caplog.text
    assert not len(spoilt._read_audio)  # what was half done is forgotten


def _holds(texts, source):
    """Whether one of the texts is that of `source`."""
    if isinstance(texts, WhisperTogether):
        return any(prompt.capture is source._capture for prompt in texts._prompts)
    return any(capture is source._capture for capture in texts._looking._captures)


def test_who_fails_in_the_midst_of_a_batch_fails_alone(model):
    def until(said):
        if len(said.token_ids) > 4:
            raise ZeroDivisionError("of the third")
        return False

    expected = alone(model)
    steps = [step_of(*one, until if place == 2 else None)
             for place, one in enumerate(streams(model))]  # fmt: skip
    take_steps(steps, Limit())
    with pytest.raises(ZeroDivisionError, match="of the third"):
        steps[2].future.result()
    for place in (0, 1, 3, 4):
        assert_same(steps[place].future.result(), expected[place])


def test_audio_that_cannot_be_encoded_is_one_streams_matter(model):
    asked = streams(model)
    samples = asked[1][1][0].copy()
    samples[100] = np.nan
    asked[1] = asked[1][0], (samples, *asked[1][1][1:])
    steps = [step_of(*one) for one in asked]
    take_steps(steps, Limit())
    assert "NaN" in str(steps[1].future.exception())
    assert all(step.future.exception() is None for step in (steps[0], *steps[2:]))


def test_sessions_in_threads_share_their_steps_and_say_what_each_says_alone(model, monkeypatch):
    config = DecoderConfig(
        model="small", heads=tuple(HEADS), head_count=3, border_s=0.1, language="en"
    )
    clips = [made.noise(4, seed) for seed in range(3)]

    expected = [words_of(model, config, clip) for clip in clips]
    assert any(expected)
    rounds = rounds_of(monkeypatch)
    assert words_at_once(model, config, clips) == expected
    assert max(map(len, rounds)) > 1
