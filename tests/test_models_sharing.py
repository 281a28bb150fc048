"""Steps of several streams taken together: what each is told, and what ends none but its own."""

import asyncio
import logging
import threading
import time
from concurrent.futures import Future
from functools import cache, partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_answers import (
    answers_of,
    assert_same,
    passes_of,
    rounds_of,
    words_at_once,
    words_of,
)

from alignheads import DecoderConfig
from alignheads.runtime.models import engine_thread, shared_steps, texts_on_cpu
from alignheads.runtime.models.backend import mx
from alignheads.runtime.models.cpu import activations, cores, products
from alignheads.runtime.models.engine_thread import step_on_engine_thread
from alignheads.runtime.models.qwen3 import (
    audio_encoder,
    source,
    stream_encoder,
    together_on_cpu,
)
from alignheads.runtime.models.qwen3.packed_encoder import (
    Piece,
    Seeing,
    embed_packed,
    transform_packed,
)
from alignheads.runtime.models.qwen3.reusing import ReusingSource
from alignheads.runtime.models.qwen3.source import Qwen3Source
from alignheads.runtime.models.qwen3.together import Qwen3Together
from alignheads.runtime.models.qwen3.together_on_cpu import TogetherOnCpu
from alignheads.runtime.models.shared_steps import Limit, Pass, Waiting, take_steps
from alignheads.runtime.models.texts_on_cpu import ROOM_TOKENS

RATE = 16_000
HEADS = [(3, 5), (0, 1), (3, 0), (2, 7)]


@pytest.fixture(scope="module")
def buffers(demo):
    """Of several lengths, with what is committed of each, and its language."""
    clips = [u.read() for u in demo.utterances[:5]]
    return [
        (clips[0], "English", 0),
        (clips[1][: 3 * RATE], None, 0),
        (clips[2][RATE:], "English", 2),
        (clips[3], None, 3),
        (clips[4][: RATE // 2], "English", 0),
    ]


@pytest.fixture(scope="module")
def answers(tiny, buffers):
    """What is committed of each, and what each is told alone, by the aggregate."""

    @cache
    def of(aggregate):
        found = []
        for samples, language, committed in buffers:
            source = Qwen3Source(tiny, HEADS, aggregate)
            said = source._hypothesis(samples, 0, [], language, "")
            ids = list(said.token_ids[:committed])
            source._forget()
            found.append((ids, source._hypothesis(samples, 0, ids, language, "")))
        return found

    return of


@pytest.fixture
def asked(tiny, buffers, answers):
    """Makes the steps, each of a source of its own; and what each is told alone."""

    def make(aggregate="median", until=None):
        steps = []
        alone = answers(aggregate)
        for (samples, language, _), (ids, _) in zip(buffers, alone, strict=True):
            source = Qwen3Source(tiny, HEADS, aggregate)
            given = samples, 0, ids, language, "", until and until(source)
            steps.append(step_of(source, given))
        return [answer for _, answer in alone], steps

    return make


def step_of(source, given):
    return Waiting(Future(), lambda: source._begun(*given), id(source))


# What each is told


@pytest.mark.parametrize("kind", [TogetherOnCpu, Qwen3Together])
@pytest.mark.parametrize("aggregate", ["median", "mean"])
def test_together_each_is_told_what_it_is_told_alone(asked, aggregate, kind, monkeypatch):
    """Of buffers of any length, with and without a language, and committed words."""
    monkeypatch.setattr(together_on_cpu, "on_gpu", lambda: kind is Qwen3Together)
    passes = passes_of(monkeypatch, kind)
    expected, steps = asked(aggregate)
    take_steps(steps, Limit())
    for found, alone in zip(answers_of(steps), expected, strict=True):
        assert_same(found, alone)
    assert max(passes) >= 4
    assert len(passes) > ROOM_TOKENS  # the room for what is said has grown
    assert passes == sorted(passes, reverse=True)  # who is done leaves


def test_as_with_a_large_model_each_is_told_the_same(tiny, asked, monkeypatch):
    """On all cores, and with scores that may be large."""
    monkeypatch.setattr(cores, "thread_count", lambda: 3)
    monkeypatch.setattr(products, "LARGE", 1)
    monkeypatch.setattr(texts_on_cpu, "_MANY_KEYS", 0)
    monkeypatch.setattr(tiny, "largest_score", activations._SAFE_SCORE + 1)
    expected, steps = asked("mean")
    take_steps(steps, Limit())
    for found, alone in zip(answers_of(steps), expected, strict=True):
        assert_same(found, alone)


SOURCES = [Qwen3Source, partial(ReusingSource, refresh_s=1.0)]


@pytest.mark.parametrize("make", SOURCES, ids=["exact", "reuse"])
def test_the_next_step_follows_as_it_does_alone(tiny, demo, make):
    """What is kept between steps is as good, also over finished windows."""
    clips = [np.concatenate([u.read(), demo.utterances[5].read()]) for u in demo.utterances[:3]]
    alone = [make(tiny, HEADS) for _ in clips]
    shared = [make(tiny, HEADS) for _ in clips]
    for seconds in (2, 3, 5, 8.3, 9):
        ends = [int((seconds + place / 7) * RATE) for place in range(len(clips))]
        given = [(clip[:end], 0, [], None, "") for clip, end in zip(clips, ends, strict=True)]
        steps = [step_of(source, one) for source, one in zip(shared, given, strict=True)]
        take_steps(steps, Limit())
        expected = [source._hypothesis(*one) for source, one in zip(alone, given, strict=True)]
        for found, said in zip(answers_of(steps), expected, strict=True):
            assert_same(found, said)
    assert [one.work for one in shared] == [one.work for one in alone]


def test_who_looks_at_other_heads_is_decoded_apart(tiny, demo, monkeypatch):
    passes = passes_of(monkeypatch, TogetherOnCpu)
    clip = demo.utterances[0].read()
    heads = [HEADS, HEADS, HEADS[:1]]
    sources = [Qwen3Source(tiny, one) for one in heads]
    steps = [step_of(source, (clip, 0, [], "English", "")) for source in sources]
    take_steps(steps, Limit())
    assert max(passes) == 2
    assert [answer.head_frames.shape[1] for answer in answers_of(steps)] == [4, 4, 1]


def test_sessions_in_threads_share_their_steps_and_say_what_each_says_alone(
    tiny, demo, monkeypatch
):
    config = DecoderConfig.bundled("tiny")
    whole = np.concatenate([u.read() for u in demo.utterances[:6]])
    clips = [whole[start : start + 4 * RATE] for start in range(0, 12 * RATE, 4 * RATE)]

    expected = [words_of(tiny, config, clip) for clip in clips]
    rounds = rounds_of(monkeypatch)
    assert words_at_once(tiny, config, clips) == expected
    assert max(map(len, rounds)) > 1


def test_each_part_of_the_model_is_passed_through_once_for_all(tiny, demo, monkeypatch):
    """Convolutions, transformer and prompts."""
    passes = []
    real = shared_steps._made
    monkeypatch.setattr(
        shared_steps, "_made", lambda p, limit: (passes.append(len(p)), real(p, limit))[1]
    )
    clips = [u.read()[: 5 * RATE] for u in demo.utterances[:4]]
    steps = [step_of(Qwen3Source(tiny, HEADS), (clip, 0, [], "English", "")) for clip in clips]
    take_steps(steps, Limit())
    answers_of(steps)
    assert passes == [4, 4, 4]


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_pieces_laid_one_after_the_other_see_nothing_of_each_other(tiny, data):
    """Whatever their lengths: whole chunks, the rest of one, less than a frame of one."""
    encoder = tiny.engine.audio_tower
    random = np.random.default_rng(data.draw(st.integers(0, 9)))
    pieces = []
    for _ in range(data.draw(st.integers(2, 6))):
        length = data.draw(st.sampled_from([1, 7, 8, 9, 48, 99, 100, 104]))
        chunks = data.draw(st.integers(1, 2))
        frames = -(-length // 8)
        skip = data.draw(st.integers(0, 1)) if frames > 1 else 0
        mel = mx.array(random.standard_normal((chunks, 128, length)).astype(np.float32))
        pieces.append(Piece(mel, frames - skip, data.draw(st.integers(0, 5)), skip))
    found = embed_packed(encoder, [pieces[:1], [], pieces[1:]])
    assert [len(of_stream) for of_stream in found] == [1, 0, len(pieces) - 1]
    for piece, made in zip(pieces, [*found[0], *found[2]], strict=True):
        chunks = piece.mel, piece.frames
        alone = audio_encoder.embed(encoder, chunks, first=piece.first, skip=piece.skip)
        assert np.array(made) == pytest.approx(np.array(alone), abs=1e-4)


def test_frames_of_several_windows_see_their_own(tiny):
    encoder = tiny.engine.audio_tower
    random = np.random.default_rng(0)
    hidden = [
        mx.array(random.standard_normal((frames, 128)).astype(np.float32))
        for frames in (1, 104, 13, 40)
    ]
    asked = [Seeing(one) for one in hidden]
    for one, (made, _) in zip(hidden, transform_packed(encoder, asked), strict=True):
        alone = audio_encoder.transform(encoder, one)
        assert np.array(made) == pytest.approx(np.array(alone), abs=1e-4)


def test_what_is_kept_of_one_stream_keeps_nothing_of_the_others_in_memory(tiny):
    """A view would keep all that was computed with it, as long as a window stays in its buffer."""
    encoder = tiny.engine.audio_tower

    def held() -> float:
        """Of what is kept, in memory."""
        before = mx.get_active_memory()
        hidden = [mx.ones((frames, 128)) for frames in (13, 104, 104, 104)]
        (kept, _), *_ = transform_packed(encoder, [Seeing(one) for one in hidden])
        mels = [mx.ones((1, 128, 100)) for _ in range(4)]
        (made,), *_ = embed_packed(encoder, [[Piece(mel, 13)] for mel in mels])
        del hidden, mels, _
        return (mx.get_active_memory() - before) / (kept.nbytes + made.nbytes)

    # All threads count: what a test before this one asked for may be computed in between.
    assert 1 <= min(held() for _ in range(3)) < 1.5


def test_a_pass_that_is_too_large_is_made_in_several_and_who_is_through_goes_on():
    """So that what a step holds until then goes before the next ones have theirs."""
    events = []

    def step(name):
        made = yield Pass(
            0, name, lambda given: given,
            lambda given: events.append(list(given)) or list(given), "kind", share=0.4,
        )  # fmt: skip
        events.append(made)
        return made

    steps = [Waiting(Future(), partial(step, name), number) for number, name in enumerate("abcd")]
    take_steps(steps, Limit())
    assert answers_of(steps) == ["a", "b", "c", "d"]
    assert events == [["a", "b"], "a", "b", ["c", "d"], "c", "d"]


# Who fails or leaves


@pytest.mark.parametrize(
    ("room", "part"),
    [
        (stream_encoder, "embed_packed"),
        (stream_encoder, "transform_packed"),
        (source, "read_packed"),
    ],
)
def test_a_part_that_fails_together_is_made_by_halves(asked, monkeypatch, caplog, room, part):
    """Nothing that was half done is left over."""
    expected, steps = asked()
    real, passes = getattr(room, part), []

    def failing_at_many(model, given):
        passes.append(len(given))
        made = real(model, given)
        if len(given) > 2:
            raise RuntimeError("[malloc] Unable to allocate 1000000000 bytes.")
        return made

    monkeypatch.setattr(room, part, failing_at_many)
    limit = Limit()
    take_steps(steps, limit)
    for found, alone in zip(answers_of(steps), expected, strict=True):
        assert_same(found, alone)
    assert max(passes) == 5
    assert limit.most == 2
    assert "do not fit in memory: at most 2 are decoded together" in caplog.text


def test_who_fails_in_the_midst_of_a_batch_fails_alone(asked, caplog):
    sources = []

    def until(source):
        sources.append(source)
        place = len(sources)

        def is_enough(said):
            if place == 3 and len(said.token_ids) > 4:
                raise ZeroDivisionError("of the third")
            return False

        return is_enough

    expected, steps = asked(until=until)
    take_steps(steps, Limit())
    with pytest.raises(ZeroDivisionError, match="of the third"):
        steps[2].future.result()
    for place in (0, 1, 3, 4):
        assert_same(steps[place].future.result(), expected[place])
    assert sources[2]._cache.offset == 0  # what was half done is forgotten
    assert not caplog.records


def test_who_fails_to_read_its_buffer_fails_alone(asked):
    expected, steps = asked()

    def begin():
        raise OSError("no buffer")

    steps[1] = Waiting(Future(), begin, 1)
    take_steps(steps, Limit())
    with pytest.raises(OSError, match="no buffer"):
        steps[1].future.result()
    for place in (0, 2, 3, 4):
        assert_same(steps[place].future.result(), expected[place])


def test_a_pass_that_fails_for_one_is_repeated_without_it(asked, monkeypatch, caplog):
    """Whoever it is: halves find it."""
    expected, steps = asked()
    bad = []

    def reason(texts):
        if not bad:
            bad.append(texts._texts.caches[2])
        # It fails after some passes that went well, so those are made again.
        spoilt = any(cache is bad[0] for cache in texts._texts.caches)
        return ValueError("spoilt") if spoilt and texts._texts.said == 2 else None

    passes_of(monkeypatch, TogetherOnCpu, reason)
    take_steps(steps, Limit())
    failed = [step for step in steps if step.future.exception() is not None]
    assert [str(step.future.exception()) for step in failed] == ["spoilt"]
    for step, alone in zip(steps, expected, strict=True):
        if step not in failed:
            assert_same(step.future.result(), alone)
    assert "by halves, since together: spoilt" in caplog.text


def test_a_batch_that_does_not_fit_in_memory_is_halved_and_said(asked, monkeypatch, caplog):
    expected, steps = asked()
    short = RuntimeError("[malloc] Unable to allocate 1000000000 bytes.")
    passes = passes_of(
        monkeypatch, TogetherOnCpu, lambda texts: short if len(texts._texts.caches) > 2 else None
    )
    limit = Limit()
    with caplog.at_level(logging.WARNING):
        take_steps(steps, limit)
    for found, alone in zip(answers_of(steps), expected, strict=True):
        assert_same(found, alone)
    assert "do not fit in memory: at most 2 are decoded together from now on" in caplog.text
    assert limit.most == 2
    passes.clear()
    caplog.clear()
    _, again = asked()
    take_steps(again, limit)  # it is not tried again
    assert max(passes) == 2
    assert not caplog.records


def test_who_finds_no_memory_to_read_its_buffer_reads_it_when_the_others_are_done(asked, caplog):
    expected, steps = asked()
    real, tries = steps[2].begin, []

    def begin():
        tries.append([step.future.done() for step in steps[:2]])
        if len(tries) == 1:
            raise MemoryError
        return real()

    steps[2] = Waiting(steps[2].future, begin, 2)
    take_steps(steps, Limit())
    assert tries == [[False, False], [True, True]]
    for found, alone in zip(answers_of(steps), expected, strict=True):
        assert_same(found, alone)
    assert "do not fit in memory" in caplog.text


def test_without_memory_for_a_single_one_it_is_told(tiny, demo, monkeypatch):
    source = Qwen3Source(tiny, HEADS)

    def begin():
        raise MemoryError("none")

    alone = Waiting(Future(), begin, id(source))
    take_steps([alone], Limit())
    with pytest.raises(MemoryError, match="none"):
        alone.future.result()


# Whose turn it is


class Owner:
    """Something that has a thread."""


@pytest.fixture
def rounds(monkeypatch):
    """Who is in each round."""
    return rounds_of(monkeypatch)


def test_who_waits_is_in_the_next_round_before_anybodys_second_step(rounds):
    owner, begun, others_wait = Owner(), threading.Event(), threading.Event()

    def first():
        begun.set()
        assert others_wait.wait(10)
        return "first"

    answers = {}

    def ask(asker, begin):
        answers[asker] = step_on_engine_thread(owner, begin, asker)

    def ask_twice():
        ask(0, first)
        ask(0, lambda: "again")

    threads = [threading.Thread(target=ask_twice)]
    threads[0].start()
    assert begun.wait(10)
    tasks = engine_thread._thread_of(owner)._tasks
    for asker in range(1, 6):
        threads.append(threading.Thread(target=ask, args=(asker, lambda asker=asker: asker)))
        threads[-1].start()
        while tasks.qsize() < asker:
            pass
    others_wait.set()
    for thread in threads:
        thread.join(10)
    assert rounds[0] == [0]
    assert rounds[1][:5] == [1, 2, 3, 4, 5]
    assert answers == {0: "again", **{asker: asker for asker in range(1, 6)}}


def test_who_is_alone_waits_for_nobody(rounds):
    owner = Owner()
    for count in range(4):
        assert step_on_engine_thread(owner, lambda count=count: count, 7) == count
        assert engine_thread._thread_of(owner)._wait_s == 0
    assert rounds == [[7]] * 4


def test_a_step_of_one_in_between_does_not_part_the_others(rounds):
    """As in a pause: those who were together before are still waited for."""
    owner = Owner()
    engine = engine_thread._thread_of(owner)
    engine._rounds.append(({0, 1, 2}, 5.0))
    engine._rounds.append(({0}, 0.0))
    threads = [
        threading.Thread(target=step_on_engine_thread, args=(owner, lambda: None, asker))
        for asker in range(3)
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.02)  # a round that waits for nobody has begun by then
    for thread in threads:
        thread.join(10)
    assert rounds == [[0, 1, 2]]


def test_a_round_that_breaks_leaves_nobody_waiting(monkeypatch):
    def broken(asked, limit):
        raise AssertionError("broken")

    owner = Owner()
    monkeypatch.setattr(engine_thread, "take_steps", broken)
    with pytest.raises(AssertionError, match="broken"):
        step_on_engine_thread(owner, lambda: 1, 1)
    monkeypatch.setattr(engine_thread, "take_steps", shared_steps.take_steps)
    assert step_on_engine_thread(owner, lambda: 1, 1) == 1


def test_a_server_waits_for_many_steps_at_once():
    from alignheads.runtime.whisperlivekit.threads import serve_sessions

    serve_sessions()  # no loop runs here
    gate = threading.Barrier(24, timeout=20)

    async def serve():
        for _ in range(2):
            serve_sessions()
        await asyncio.gather(*(asyncio.to_thread(gate.wait) for _ in range(24)))

    asyncio.run(serve())
