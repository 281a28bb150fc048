"""The processor interface of streaming servers, and sessions in threads."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from alignheads import DecoderConfig, InputError, StreamDecoder
from alignheads.runtime.models.engine_thread import on_engine_thread
from alignheads.runtime.models.qwen3.source import Qwen3Source
from alignheads.runtime.models.qwen3.stream_encoder import StreamEncoder
from alignheads.runtime.stream.online import OnlineProcessor, SessionClosed

RATE = OnlineProcessor.SAMPLING_RATE


@pytest.fixture(scope="module")
def config():
    heads = tuple((3, head) for head in range(8))
    return DecoderConfig(model="tiny", heads=heads, head_count=8, border_s=0.5)


@pytest.fixture(scope="module")
def clips(demo):
    return [u.read() for u in demo.utterances[:8]]


@pytest.fixture
def processor(tiny, config):
    return OnlineProcessor(tiny, config)


def inserted(processor, samples, start_s=0.0, size=RATE):
    """Words of `samples` inserted piece by piece, as a server does."""
    words = []
    for start in range(0, len(samples), size):
        chunk = samples[start : start + size]
        processor.insert_audio_chunk(chunk, start_s + (start + len(chunk)) / RATE)
        new, end = processor.process_iter()
        assert end == pytest.approx(start_s + (start + len(chunk)) / RATE)
        words += new
    return words


def expected(tiny, config, samples):
    stream, words = StreamDecoder(tiny, config), []
    for start in range(0, len(samples), RATE):
        words += stream.feed(samples[start : start + RATE])
    return words + stream.finish()


def test_it_says_what_the_stream_says(tiny, config, processor, clips):
    words = inserted(processor, clips[2])
    last, end = processor.finish()
    whole = expected(tiny, config, clips[2])
    assert "".join(w.text for w in words + last).split() == [w.text for w in whole]
    assert [(w.start, w.end) for w in words + last] == [(w.start_s, w.end_s) for w in whole]
    assert end == pytest.approx(len(clips[2]) / RATE)
    assert processor.finish()[0] == []


def test_nothing_came(processor):
    assert processor.process_iter() == ([], 0.0)
    assert processor.process_iter(is_last=True) == ([], 0.0)
    assert processor.start_silence() == ([], 0.0)
    assert processor.new_speaker() == ([], 0.0)
    assert processor.finish() == ([], 0.0)
    assert processor.get_buffer().text == ""


def test_the_buffer_is_the_draft(processor, clips):
    seen = []
    for start in range(0, len(clips[2]), RATE):
        inserted(processor, clips[2][start : start + RATE], 7 + start / RATE)
        seen.append(processor.get_buffer())
    drafts = [b for b in seen if b.text]
    assert drafts
    assert all(7 <= b.start <= b.end for b in drafts)
    processor.finish()
    assert processor.get_buffer() == type(drafts[0])(None, None, "")


def plain(words):
    return "".join(word.text for word in words).split()


def test_after_a_long_silence_a_new_segment_begins_and_the_clock_goes_on(processor, clips):
    first = inserted(processor, clips[1])
    first += processor.start_silence()[0]
    until = len(clips[1]) / RATE
    processor.end_silence(5.0, 0.0)
    assert processor.end == pytest.approx(until + 5)
    second = inserted(processor, clips[1], until + 5)
    second += processor.finish()[0]
    assert plain(first) == plain(second)
    assert [w.start + until + 5 for w in first] == pytest.approx([w.start for w in second])
    # the session's text is its words put together
    assert not first[0].text.startswith(" ")
    assert all(word.text.startswith(" ") for word in first[1:] + second)


def test_all_is_committed_when_a_silence_begins(processor, clips):
    words = inserted(processor, clips[2])
    words += processor.start_silence()[0]
    assert processor.get_buffer().text == ""
    assert processor.start_silence()[0] == []
    assert processor.finish()[0] == []
    other = OnlineProcessor(processor._model, processor._config)
    assert words == inserted(other, clips[2]) + other.finish()[0]


def test_a_short_silence_is_a_pause_in_one_text(tiny, config, processor, clips):
    """The stream is that of the same audio with the pause in it, flushed where it began."""
    pause_s = 0.6
    words = inserted(processor, clips[1]) + processor.start_silence()[0]
    until = len(clips[1]) / RATE
    processor.end_silence(pause_s, 0.0)
    words += inserted(processor, clips[2], until + pause_s) + processor.finish()[0]
    stream, expect = StreamDecoder(tiny, config), []
    for start in range(0, len(clips[1]), RATE):
        expect += stream.feed(clips[1][start : start + RATE])
    expect += stream.flush()
    expect += stream.feed(np.zeros(int(pause_s * RATE), np.float32))
    for start in range(0, len(clips[2]), RATE):
        expect += stream.feed(clips[2][start : start + RATE])
    expect += stream.finish()
    assert plain(words) == [word.text for word in expect]
    assert [w.start for w in words] == pytest.approx([w.start_s for w in expect])
    assert words[-1].end <= processor.end == pytest.approx(until + pause_s + len(clips[2]) / RATE)


def test_a_silence_before_all_audio_is_nothing_but_time(processor, clips):
    processor.end_silence(1.5, 0.0)
    late = inserted(processor, clips[1], 1.5) + processor.finish()[0]
    other = OnlineProcessor(processor._model, processor._config)
    early = inserted(other, clips[1]) + other.finish()[0]
    assert plain(late) == plain(early)
    assert [w.start - 1.5 for w in late] == pytest.approx([w.start for w in early])


def test_a_long_silence_between_chunks_that_were_not_yet_processed(processor, clips):
    until = len(clips[1]) / RATE
    processor.insert_audio_chunk(clips[1], until)
    processor.end_silence(9.0)
    processor.insert_audio_chunk(clips[1], 2 * until + 9)
    words = processor.finish()[0]
    count = len(words) // 2
    assert plain(words[:count]) == plain(words[count:])
    assert all(word.end <= until + 0.01 for word in words[:count])
    assert all(word.start >= until + 9 for word in words[count:])


@pytest.mark.parametrize("silence_s", [0.8, 7.0])
def test_a_word_that_a_detector_cut_into_is_whole(processor, clips, silence_s):
    """Its first sounds are in the audio of the silence before it."""
    whole = inserted(processor, clips[2]) + processor.finish()[0]
    first_s = whole[0].start
    cut = int((first_s + 0.08) * RATE)
    cut_s = cut / RATE
    # at the start of a session, and after a silence
    for before_s in (0.0, cut_s):
        session = OnlineProcessor(processor._model, processor._config)
        if before_s:
            inserted(session, clips[1][: int(before_s * RATE)])
            session.start_silence()
        end_s = session.end + silence_s
        room = np.zeros(int(silence_s * RATE), np.float32)
        heard = np.concatenate([room, clips[2][:cut]])[-len(room) :]
        session.end_silence(silence_s, audio=heard)
        assert session.end == pytest.approx(end_s)
        words = inserted(session, clips[2][cut:], end_s) + session.finish()[0]
        assert plain(words)[-len(whole) :] == plain(whole)
        # Seconds restart elsewhere in it: a frame of 80 ms, and one cut to 40 ms.
        assert words[-1].end == pytest.approx(whole[-1].end - cut_s + end_s, abs=0.125)


def test_of_a_silence_no_more_than_its_length_is_heard(processor, clips):
    inserted(processor, clips[1])
    processor.end_silence(0.5, audio=np.zeros(9 * RATE, np.float32))
    assert processor.process_iter()[1] == pytest.approx(len(clips[1]) / RATE + 0.5)
    assert processor._stream.received_s == pytest.approx(processor.end)
    processor.end_silence(0.0, audio=np.ones(RATE, np.float32))
    processor.process_iter()
    assert processor._stream.received_s == pytest.approx(processor.end)
    with pytest.raises(InputError, match="NaN"):
        processor.end_silence(0.5, audio=np.full(9, np.nan, np.float32))


def test_a_new_speaker_ends_a_segment(processor, clips):
    samples = clips[1][: np.flatnonzero(clips[1])[-1]]  # it ends in no pause: words wait
    words = inserted(processor, samples)
    late, end = processor.new_speaker("anna")
    assert late
    assert end == processor.end
    assert processor.process_iter()[0] == []
    again = inserted(processor, samples, 60.0) + processor.finish()[0]
    assert plain(words + late) == plain(again)


def test_a_closed_session_stops_after_the_step_under_way(tiny, config, clips, monkeypatch):
    processor, steps = OnlineProcessor(tiny, config), []
    works = Qwen3Source.hypothesis

    def counted(self, *arguments):
        steps.append(1)
        if len(steps) == 2:
            processor.close()
        return works(self, *arguments)

    monkeypatch.setattr(Qwen3Source, "hypothesis", counted)
    processor.insert_audio_chunk(np.tile(clips[2], 40), 40 * len(clips[2]) / RATE)
    with pytest.raises(SessionClosed):
        processor.process_iter()
    assert len(steps) == 2
    with pytest.raises(SessionClosed):
        processor.finish()


def test_a_session_opens_while_another_decodes(tiny, config, clips, monkeypatch):
    """A server opens sessions in its event loop, which must not wait for the engine."""
    decoding, go_on = threading.Event(), threading.Event()

    def busy():
        decoding.set()
        go_on.wait(10)

    thread = threading.Thread(target=on_engine_thread, args=(tiny, busy))
    thread.start()
    assert decoding.wait(10)
    processor = OnlineProcessor(tiny, config, language="en")
    processor.insert_audio_chunk(clips[1], len(clips[1]) / RATE)
    processor.end_silence(0.1)
    assert processor.get_buffer().text == ""
    assert thread.is_alive()
    go_on.set()
    thread.join()


@pytest.mark.parametrize(
    ("chunk", "end", "message"),
    [
        (np.zeros(9, np.int16), 1.0, "int16"),
        (np.full(9, np.nan, np.float32), 1.0, "NaN"),
        (np.zeros((9, 2), np.float32), 1.0, "one channel"),
        (np.zeros(9, np.float32), float("nan"), "end of the audio is at nan"),
    ],
)
def test_a_bad_chunk_is_refused_when_it_is_inserted(processor, clips, chunk, end, message):
    with pytest.raises(InputError, match=message):
        processor.insert_audio_chunk(chunk, end)
    assert inserted(processor, clips[0], 3.0) + processor.finish()[0]


def test_empty_chunks(processor):
    processor.insert_audio_chunk(np.zeros(0, np.float32), 0.0)
    assert processor.process_iter() == ([], 0.0)


def test_warmup_says_nothing_and_leaves_the_session_alone(processor, clips):
    assert processor.warmup(clips[0]) is None
    assert processor.warmup() is None
    assert processor.process_iter() == ([], 0.0)
    with pytest.raises(InputError):
        processor.warmup(np.zeros(9, int))


def test_a_failure_reaches_the_server_and_no_audio_is_lost(
    tiny, config, processor, clips, monkeypatch
):
    def fails(*_):
        raise MemoryError("no room")

    processor.insert_audio_chunk(clips[1], len(clips[1]) / RATE)
    with monkeypatch.context() as patch:
        patch.setattr(StreamEncoder, "encoding", fails)
        with pytest.raises(MemoryError):
            processor.process_iter()
        with pytest.raises(MemoryError):
            processor.finish()
        processor.insert_audio_chunk(clips[1], 2 * len(clips[1]) / RATE)
        with pytest.raises(MemoryError):
            processor.process_iter()
    words, _ = processor.finish()
    whole = len(expected(tiny, config, clips[1]))
    assert abs(len(words) - 2 * whole) <= 2


@pytest.mark.slow
def test_eight_sessions_in_threads_say_what_each_says_alone(tiny, config, clips):
    def decoded(samples):
        processor = OnlineProcessor(tiny, config)
        return inserted(processor, samples) + processor.finish()[0]

    alone = [decoded(samples) for samples in clips]
    together = [None] * 8
    gate = threading.Barrier(8)

    def session(index):
        gate.wait()
        together[index] = decoded(clips[index])

    threads = [threading.Thread(target=session, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_a_session_may_wander_from_thread_to_thread(tiny, config, clips):
    """As in a server that gives each call to a pool. The arrays kept must not mind."""
    processor, words = OnlineProcessor(tiny, config), []
    samples = np.concatenate(clips[2:5])

    def call(start):
        words.extend(inserted(processor, samples[start : start + RATE], start / RATE))

    for start in range(0, len(samples), RATE):
        thread = threading.Thread(target=call, args=(start,))
        thread.start()
        thread.join()
    words += processor.finish()[0]
    whole = expected(tiny, config, samples)
    assert "".join(w.text for w in words).split() == [w.text for w in whole]


def test_inserting_does_not_wait_for_decoding(processor, clips, monkeypatch):
    decoding, go_on = threading.Event(), threading.Event()
    works = StreamEncoder.encoding

    def slow(self, *arguments):
        decoding.set()
        assert go_on.wait(10)
        return works(self, *arguments)

    monkeypatch.setattr(StreamEncoder, "encoding", slow)
    processor.insert_audio_chunk(clips[0], len(clips[0]) / RATE)
    thread = threading.Thread(target=processor.process_iter)
    thread.start()
    assert decoding.wait(10)
    processor.insert_audio_chunk(clips[0], 2 * len(clips[0]) / RATE)
    assert processor.get_buffer().text == ""
    go_on.set()
    thread.join()
    assert processor.end == 2 * len(clips[0]) / RATE


# The engine's thread


class Owner:
    """Something that tasks can belong to."""


def test_tasks_of_one_owner_run_one_at_a_time_on_one_thread():
    owner, seen = Owner(), []
    threads = [
        threading.Thread(
            target=on_engine_thread, args=(owner, lambda: seen.append(threading.get_ident()))
        )
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 20
    assert len(set(seen)) == 1
    assert seen[0] != threading.get_ident()


def test_what_a_task_returns_or_raises_comes_back():
    owner = Owner()
    assert on_engine_thread(owner, lambda: 7) == 7
    with pytest.raises(KeyError):
        on_engine_thread(owner, lambda: {}["a"])
    # a task may have tasks
    assert on_engine_thread(owner, lambda: on_engine_thread(owner, lambda: 8)) == 8


def test_the_thread_goes_with_its_owner():
    owner = Owner()
    thread = on_engine_thread(owner, threading.current_thread)
    assert thread.is_alive()
    del owner
    thread.join(5)
    assert not thread.is_alive()


def test_a_process_that_decoded_in_threads_ends_well():
    """MLX aborts at exit when a thread that computed with it was left as it was."""
    code = """
import threading, numpy
from alignheads import DecoderConfig, SpeechModel, StreamDecoder
heads = tuple((3, h) for h in range(8))
config = DecoderConfig(model="tiny", heads=heads, head_count=8, border_s=0.5)
model = SpeechModel.load("tiny")
noise = numpy.random.default_rng(0).normal(0, 0.1, 32_000)
def session():
    stream = StreamDecoder(model, config)
    stream.feed(noise)
    stream.finish()
threads = [threading.Thread(target=session) for _ in range(3)]
[t.start() for t in threads]
[t.join() for t in threads]
print("decoded")
"""
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "decoded\n"), done.stderr
