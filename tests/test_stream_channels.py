"""Channels of one recording: a stream each, words in the order of time, in every format."""

import io
import json

import numpy as np
import pysubs2
import pytest
import soundfile
from scripted import RATE, ScriptedSource, evenly

from alignheads import SpeechModel, StreamDecoder
from alignheads.runtime.stream.channel_output import make_channel_writer
from alignheads.runtime.stream.channels import LONGEST_HOLD_S, ChannelStreams
from alignheads.runtime.stream.cli import main
from alignheads.runtime.stream.decoder import joined
from alignheads.runtime.stream.output import StreamEnd

LEFT = " every river runs past the old tower."
RIGHT = " his candle danced until the morning came."


def streams_of(model, scripts, **settings):
    def open_stream(channel):
        source = ScriptedSource(model, scripts[channel - 1] or [(0, 1e9)], **settings)
        return StreamDecoder(model, language="English", source=source)

    return ChannelStreams(open_stream, len(scripts))


def fed(channels, seconds, piece_s=1.0):
    spoken, piece = [], int(piece_s * RATE)
    zeros = np.zeros((int(seconds * RATE), len(channels.streams)), np.float32)
    for start in range(0, len(zeros), piece):
        spoken.append(channels.feed(zeros[start : start + piece]))
    return [*spoken, channels.finish()]


def flat(spoken):
    return [one for batch in spoken for one in batch]


@pytest.fixture
def turns(tiny):
    """Two people who speak in turns, and a third who is silent."""
    left = evenly(tiny, LEFT, 4, 0.5) + evenly(tiny, LEFT, 4, 10.5)
    right = evenly(tiny, RIGHT, 4, 5.5) + evenly(tiny, RIGHT, 4, 10.0)
    return [left, right, []]


@pytest.mark.parametrize("piece_s", [0.3, 1.0, 60.0])
def test_words_come_by_time_with_their_channel(tiny, turns, piece_s):
    channels = streams_of(tiny, turns)
    spoken = flat(fed(channels, 16, piece_s))
    starts = [word.start_s for _, word in spoken]
    assert starts == sorted(starts)
    assert joined([w for c, w in spoken if c == 1]) == f"{LEFT}{LEFT}".strip()
    assert joined([w for c, w in spoken if c == 2]) == f"{RIGHT}{RIGHT}".strip()
    assert {channel for channel, _ in spoken} == {1, 2}


def test_the_words_are_those_of_each_channel_alone(tiny, turns):
    spoken = flat(fed(streams_of(tiny, turns), 16))
    for channel, script in enumerate(turns[:2], 1):
        alone = flat(fed(streams_of(tiny, [script]), 16))
        assert [word for one, word in spoken if one == channel] == [word for _, word in alone]


def test_a_word_waits_for_one_of_another_channel_no_longer_than_it_may(tiny):
    """A channel whose model never lets its text go holds the other's back."""
    stuck = evenly(tiny, " abcdefghijklmnopqrstuvwxyz", 14, 0.5)
    channels = streams_of(tiny, [evenly(tiny, LEFT * 3, 14, 0.6), stuck])
    for second, batch in enumerate(fed(channels, 16)[:15], 1):
        for channel, word in batch:
            if channel == 1:
                assert second - word.emitted_s <= LONGEST_HOLD_S + 1
    assert channels.streams[0].text == (LEFT * 3).strip()


def test_eight_channels_hold_no_more_than_their_buffers(tiny):
    scripts = [evenly(tiny, LEFT * 6, 60, 0.5 + at / 10) for at in range(8)]
    channels = streams_of(tiny, scripts, by_time=True)
    for _ in range(62):
        channels.feed(np.zeros((RATE, 8), np.float32))
        assert len(channels._waiting) < 60
        assert all(stream._audio.seconds <= 30 for stream in channels.streams)
    channels.finish()
    assert [stream.text for stream in channels.streams] == [(LEFT * 6).strip()] * 8


# Formats


def written(output, spoken, channels=3):
    out = io.StringIO()
    writer = make_channel_writer(output, channels, out)
    for second, batch in enumerate(spoken, 1):
        writer.update(batch, float(second), ["draft"] * channels)
    writer.end([StreamEnd("talk.wav", 16.0, "English", "end")] * channels)
    return out.getvalue()


def test_text_has_a_line_a_turn(tiny, turns):
    lines = written("text", fed(streams_of(tiny, turns), 16)).splitlines()
    assert lines[:2] == [f"Channel 1:{LEFT}", f"Channel 2:{RIGHT} his candle"]
    assert {line.split(":")[0] for line in lines} == {"Channel 1", "Channel 2"}
    assert written("text", [[], []]) == ""


def test_json_lines_name_the_channel(tiny, turns):
    events = list(map(json.loads, written("jsonl", fed(streams_of(tiny, turns), 16)).splitlines()))
    commits = [event for event in events if event["type"] == "commit"]
    assert all({"type", "channel"} <= event.keys() for event in events)
    starts = [word["start"] for event in commits for word in event["words"]]
    assert starts == sorted(starts)
    ends = [event for event in events if event["type"] == "end"]
    assert [(end["channel"], end["text"]) for end in ends] == [
        (1, f"{LEFT}{LEFT}".strip()), (2, f"{RIGHT}{RIGHT}".strip()), (3, "")
    ]  # fmt: skip
    assert events[-3:] == ends


@pytest.mark.parametrize("output", ["srt", "vtt"])
def test_each_cue_is_of_one_channel(tiny, turns, output):
    text = written(output, fed(streams_of(tiny, turns), 16))
    cues = list(pysubs2.SSAFile.from_string(text))
    before = {"srt": ("Channel 1: ", "Channel 2: "), "vtt": ("<v Channel 1>", "<v Channel 2>")}
    for name, said in zip(before[output], (LEFT, RIGHT), strict=True):
        blocks = [
            " ".join(block.splitlines()[2:])
            for block in text.strip().split("\n\n")
            if name in block
        ]
        assert all(line.startswith(name) for line in blocks)
        assert " ".join(line.removeprefix(name) for line in blocks) == f"{said}{said}".strip()
    assert written(output, [[], []]).strip() == ("WEBVTT" if output == "vtt" else "")
    assert [cue.start for cue in cues] == sorted(cue.start for cue in cues)


# The command


@pytest.fixture
def call(in_process, monkeypatch, tiny):
    monkeypatch.setattr(SpeechModel, "load", lambda *_: tiny)
    return in_process(main, "decode-stream")


@pytest.fixture
def recording(tmp_path, demo):
    """Two utterances, one after another, each in a channel of its own; the third is silent."""
    first, second = (demo.utterances[index].read() for index in (2, 3))
    samples = np.zeros((len(first) + len(second) + RATE, 3), np.float32)
    samples[: len(first), 0] = first
    samples[len(first) + RATE // 2 :][: len(second), 1] = second
    soundfile.write(tmp_path / "talk.wav", samples, RATE)
    return tmp_path / "talk.wav"


def test_the_command_decodes_each_channel(call, recording, tiny):
    samples, _ = soundfile.read(recording, dtype="float32")
    code, out, err = call("--channels", recording, "--format", "jsonl", "--trace", "t.jsonl",
                          "--context", "river")  # fmt: skip
    assert code == 0, err
    ends = [event for event in map(json.loads, out.splitlines()) if event["type"] == "end"]
    for channel, end in enumerate(ends, 1):
        stream = StreamDecoder(tiny, context="river")
        for start in range(0, len(samples), RATE):
            stream.feed(np.ascontiguousarray(samples[start : start + RATE, channel - 1]))
        stream.finish()
        assert (end["channel"], end["text"]) == (channel, stream.text)
    steps = [json.loads(line) for line in (recording.parent / "t.jsonl").read_text().splitlines()]
    assert {step["channel"] for step in steps} == {1, 2}  # the silent one is not decoded
    assert [end["text"] == "" for end in ends] == [False, False, True]


def test_one_channel_is_one_channel_too(call, tmp_path, demo):
    soundfile.write(tmp_path / "one.wav", demo.utterances[2].read(), RATE)
    _, plain, _ = call("one.wav")
    code, out, _ = call("--channels", "one.wav")
    assert (code, out) == (0, f"Channel 1: {plain}")


def test_a_file_that_is_cut_off_is_decoded_as_far_as_it_goes(call, recording):
    data = recording.read_bytes()
    recording.write_bytes(data[: len(data) // 2])
    code, out, err = call("--channels", recording)
    assert code == 2
    assert "cut off" in err
    assert out.startswith("Channel 1: ")


@pytest.mark.parametrize("where", ["-", "--mic"])
def test_only_files_have_channels(call, where):
    code, out, err = call("--channels", where)
    assert (code, out) == (2, "")
    assert "--channels is for files: stdin and the microphone are one channel" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--context", "@nowhere"], "no file nowhere"),
        (["--context", ""], "the context is empty"),
        (["--context", "word " * 10_000], "room for 10000"),
        (["--language", "English", "--redetect"], "so --redetect has nothing to detect"),
    ],
)
def test_what_cannot_be_is_told_on_one_line(call, recording, arguments, message):
    code, out, err = call(recording, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
