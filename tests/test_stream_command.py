"""`decode-stream`, in this process where it can be, in another where signals and pipes are."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pysubs2
import pytest
import soundfile

from alignheads import DecoderConfig, InputError
from alignheads.runtime.models.qwen3.stream_encoder import StreamEncoder
from alignheads.runtime.stream import audio_input
from alignheads.runtime.stream.channel_output import ChannelSubtitleWriter
from alignheads.runtime.stream.cli import main
from alignheads.runtime.stream.decoder import Word
from alignheads.runtime.stream.output import StreamEnd, TerminalWriter, joined, make_writer
from alignheads.runtime.stream.subtitles import SubtitleWriter

COMMAND = [sys.executable, "-c", "from alignheads.runtime.stream.cli import main; main()"]


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "config.json"
    heads = tuple((3, head) for head in range(8))
    DecoderConfig(model="tiny", heads=heads, head_count=8, border_s=0.5).save(path)
    return path


@pytest.fixture(scope="module")
def clip(demo):
    return demo.utterances[2].read()


@pytest.fixture(scope="module")
def files(tmp_path_factory, demo):
    """The first three utterances as WAV files, with the files' times to themselves."""
    folder = tmp_path_factory.mktemp("audio")
    paths = []
    for index, utterance in enumerate(demo.utterances[1:4]):
        paths.append(folder / f"{index}.wav")
        soundfile.write(paths[-1], utterance.read(), 16_000, subtype="PCM_16")
    return paths


@pytest.fixture
def call(config_file, tiny, monkeypatch, capsys):
    """Call `decode-stream`: (exit code, stdout, stderr). The model is loaded once."""
    from alignheads import SpeechModel

    def load(model="tiny", dtype=None, task="transcribe"):
        return tiny if (model, dtype, task) == ("tiny", None) else real(model, dtype, task)

    real = SpeechModel.load
    monkeypatch.setattr(SpeechModel, "load", load)

    def run(*arguments, config=config_file):
        extra = ["--config", str(config)] if config else []
        monkeypatch.setattr(sys, "argv", ["decode-stream", *map(str, arguments), *extra])
        with pytest.raises(SystemExit) as stop:
            main()
        return (stop.value.code, *capsys.readouterr())

    return run


def one_line(error):
    return error.count("\n") == 1 and error.startswith("decode-stream: ")


def events(text):
    return [json.loads(line) for line in text.splitlines()]


# Wrong usage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give audio files, - for stdin, or --mic"),
        (["-", "--sample-rate", "16"], "--sample-rate is 16, expected 4000 to 768000 Hz"),
        ([str(Path.cwd())], "is a folder; expected an audio file"),
        (["/dev/null"], "is a device; expected an audio file"),
        (["nowhere.wav"], "audio file not found: nowhere.wav"),
        (["-", "-"], "not both"),
        (["-", "--realtime"], "--realtime is for files"),
        (["--mic", "--realtime"], "--realtime is for files"),
        (["--mic", "a.wav"], "not both"),
        (
            ["-", "--format", "xml"],
            "'xml', expected one of text, jsonl, json, srt, vtt, ctm, textgrid",
        ),
        (["-", "--border-s", "-1"], "--border-s is -1.0, expected more than 0 seconds"),
        (
            ["-", "--border-fraction", "1.5"],
            "--border-fraction is 1.5, expected more than 0 and less than 1",
        ),
        (["-", "--border-fraction", ".1", "--border-s", ".5"], "both are"),
        (["-", "--step-s", "nan"], "--step-s is nan, expected a finite number"),
        (["-", "--language", "Klingon"], "Klingon"),
        (["-", "--heads", "nowhere.json"], "nowhere.json"),
        (["-", "--heads", "whisper-tiny"], "heads of cross-attention, and does not fit tiny"),
        (["-", "--model", "no-such-model"], "no-such-model"),
        (["-", "--trace", "no/such/folder/t.jsonl"], "there is no folder"),
        (["-", "--dtype", "int4"], "int4"),
        (["-", "--boder-s", "1"], "--boder-s"),
    ],
)
def test_wrong_usage_is_told_on_one_line(call, arguments, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(isatty=lambda: False, buffer=None))
    monkeypatch.setattr(
        audio_input, "open_stdin", lambda *_, **__: audio_input.AudioSource("-", 16000, [])
    )
    code, out, error = call(*arguments)
    assert (code, out) == (2, "")
    assert message in error
    assert one_line(error)


def test_help_names_the_options():
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0
    for option in ("--mic", "--format", "--realtime", "--trace", "--border-fraction", "--step-s"):
        assert option in done.stdout


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("border_s", 0),
        ("rewind_fraction", 1.5),
        ("sink_s", -1),
        ("opening_s", -0.5),
        ("doubt_s", -4),
        ("pause_s", -1),
        ("min_audio_s", 0),
    ],
)
def test_a_bad_value_in_the_file_is_told_on_one_line(
    call, config_file, files, tmp_path, name, value
):
    content = json.loads(config_file.read_text())
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({**content, name: value}))
    code, out, error = call(files[0], config=path)
    assert (code, out) == (2, "")
    assert one_line(error)
    assert f"{path}: {name} is {value}" in error


def test_a_configuration_of_schema_1_is_noted_and_decides_the_same(
    call, config_file, files, tmp_path
):
    content = json.loads(config_file.read_text())
    for name in ("sink_s", "opening_s", "doubt_s", "pause_s"):
        del content[name]
    path = tmp_path / "old.json"
    path.write_text(json.dumps({**content, "schema_version": 1}))
    code, out, error = call(files[1], "--format", "jsonl", config=path)
    assert code == 0
    note, *rest = error.splitlines()
    assert str(path) in note
    assert "schema_version 1" in note
    assert len(rest) == 1
    _, expected, silent = call(files[1], "--format", "jsonl")
    assert "schema" not in silent
    assert [told(event) for event in events(out)] == [told(event) for event in events(expected)]


def told(event):
    """An event without the wall clock."""
    return {name: value for name, value in event.items() if name != "emission_time"}


# Formats


def test_text_is_one_line_a_file(call, files, tiny):
    code, out, error = call(*files)
    assert code == 0
    assert len(out.splitlines()) == 3
    assert all(line == " ".join(line.split()) for line in out.splitlines())
    for path in files:
        assert str(path) in error


def test_jsonl_events(call, files):
    code, out, _ = call(files[1], "--format", "jsonl")
    assert code == 0
    *commits, end = events(out)
    assert len(commits) > 1
    for commit in commits:
        assert list(commit) == ["type", "version", "words", "audio_s", "emission_time", "draft"]
        assert commit["type"] == "commit"
        assert commit["words"]
        for word in commit["words"]:
            assert list(word) == [
                "text", "start", "end", "space", "probability", "border_distance", "language",
            ]  # fmt: skip
            assert 0 <= word["start"] < word["end"] <= commit["audio_s"] + 0.04
            assert 0 < word["probability"] <= 1
            assert 0 <= word["border_distance"] <= commit["audio_s"]
    assert [c["audio_s"] for c in commits] == sorted(c["audio_s"] for c in commits)
    assert end["type"] == "end"
    assert end["version"] == 1
    assert end["reason"] == "end"
    assert end["language"] == "English"
    assert end["text"].split() == [w["text"] for c in commits for w in c["words"]]
    assert end["audio_s"] == pytest.approx(soundfile.info(files[1]).duration, abs=1e-3)


@pytest.mark.parametrize("output", ["srt", "vtt"])
def test_subtitles_can_be_read(call, files, output):
    _, text, _ = call(files[1])
    code, out, _ = call(files[1], "--format", output)
    assert code == 0
    subtitles = pysubs2.SSAFile.from_string(out)
    assert " ".join(event.plaintext for event in subtitles).split() == text.split()
    assert all(event.start < event.end for event in subtitles)
    code, _, error = call(*files, "--format", output)
    assert code == 2
    assert "one file at a time" in error


def a_word(text, start_s, end_s, space=True):
    return Word(text, start_s, end_s, end_s, (1,), space)


def test_words_of_languages_without_spaces_are_joined_as_their_tokens_are():
    assert joined([a_word("你", 0, 1, False), a_word("好", 1, 2, False)]) == "你好"


def test_the_terminal_shows_each_word_once_for_good_and_the_draft_dimmed(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    file = io.StringIO()
    file.isatty = lambda: True
    writer = TerminalWriter(file)
    writer.update([], 1, "a dra\x1b[31mft")
    for index in range(12):
        writer.update([a_word(f"word{index}", index, index + 1)], index, "draft")
    writer.update([], 12, "")
    writer.end(None)
    shown = file.getvalue()
    assert "\x1b[2m" in shown
    assert "\x1b[31m" not in shown
    # What is left on the screen, by a terminal of our own.
    lines = screen(shown)
    assert " ".join(lines).split() == [f"word{i}" for i in range(12)]
    assert max(map(len, lines)) <= 30


def screen(text):
    """The lines that a terminal would show: carriage return, line feed, up, erase line."""
    import re

    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|.|\n", text, re.DOTALL):
        if token == "\r":
            column = 0
        elif token == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif token.startswith("\x1b"):
            if token.endswith("A"):
                row -= int(token[2:-1] or 1)
            elif token.endswith("K"):
                lines[row] = ""
        else:
            lines[row] = lines[row][:column].ljust(column) + token + lines[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines if line.strip()]


# Audio


@pytest.mark.parametrize(
    ("name", "rate", "channels"),
    [("a.flac", 44_100, 2), ("a.ogg", 16_000, 1), ("a.wav", 8_000, 1), ("a.mp3", 22_050, 2)],
)
def test_any_format_rate_and_number_of_channels(call, tmp_path, clip, files, name, rate, channels):
    import soxr

    _, expected, _ = call(files[1])
    samples = soxr.resample(clip, 16_000, rate)
    soundfile.write(tmp_path / name, np.stack([samples] * channels, 1), rate)
    code, out, _ = call(tmp_path / name)
    assert code == 0
    assert len(set(out.split()) & set(expected.split())) >= len(expected.split()) // 3


@pytest.mark.parametrize(("kind", "readable"), [("wav", True), ("flac", True)])
def test_a_file_cut_off_is_decoded_as_far_as_it_goes(call, tmp_path, clip, kind, readable):
    path = tmp_path / f"whole.{kind}"
    soundfile.write(path, clip, 16_000)
    data = path.read_bytes()
    cut = tmp_path / f"cut.{kind}"
    cut.write_bytes(data[: len(data) * 2 // 3])
    code, out, error = call(cut, "--format", "jsonl")
    assert code == 2
    *commits, end = events(out)
    assert commits
    assert "cut off" in end["reason"]
    assert "cut off" in error
    assert str(cut) in error
    assert "Traceback" not in error


@pytest.mark.parametrize("content", [b"", b"RIFF", b"text", b"\x00" * 5_000])
def test_what_is_no_audio(call, tmp_path, content):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    code, out, error = call(path)
    assert (code, out) == (2, "")
    assert str(path) in error
    assert one_line(error)


def test_a_file_without_samples(call, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 16_000)
    code, out, error = call(tmp_path / "a.wav")
    assert (code, out) == (2, "")
    assert "is empty" in error


def test_a_file_with_nan(call, tmp_path, clip):
    soundfile.write(tmp_path / "a.wav", np.r_[clip, np.nan], 16_000, subtype="FLOAT")
    code, out, error = call(tmp_path / "a.wav")
    assert code == 2
    assert out.split()
    assert f"{tmp_path / 'a.wav'}: the samples hold NaN" in error


class Pipe(io.RawIOBase):
    """Bytes that come in pieces of the given sizes, whatever is asked for."""

    def __init__(self, data, sizes):
        self._data, self._sizes, self._turn = data, sizes, 0

    def readable(self):
        return True

    def readinto(self, buffer):
        size = min(len(buffer), self._sizes[self._turn % len(self._sizes)])
        self._turn += 1
        piece, self._data = self._data[:size], self._data[size:]
        buffer[: len(piece)] = piece
        return len(piece)


@pytest.mark.parametrize("sizes", [[1], [3, 8, 1, 1000], [10**6]])
def test_raw_samples_in_pieces_of_odd_sizes(sizes):
    samples = np.arange(-2_000, 2_000, dtype="<i2")
    pipe = io.BufferedReader(Pipe(samples.tobytes() + b"x", sizes))
    source = audio_input.open_stdin(0.1, pipe)
    blocks = list(source.blocks)
    assert (np.concatenate(blocks) * 32_768 == samples).all()
    assert max(map(len, blocks)) <= 1_600


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "empty"), (b"x", "empty"), (b"RIFF1234WAVE", "stdin cannot be read as audio")],
)
def test_raw_samples_that_are_none(data, message):
    source = audio_input.open_stdin(1.0, io.BytesIO(data))
    with pytest.raises(InputError, match=message):
        list(source.blocks)


def test_the_microphone_needs_its_extra(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    code, out, error = call("--mic")
    assert (code, out) == (2, "")
    assert "pip install '.[mic]'" in error
    assert one_line(error)


def test_a_microphone(call, monkeypatch, clip):
    """A device of our own, unplugged by a Ctrl-C when all was said."""

    class Device:
        def __init__(self, callback, samplerate, **_):
            self.callback, self.rate = callback, samplerate

        def __enter__(self):
            for start in range(0, len(clip), 4_000):
                self.callback(clip[start : start + 4_000, None], 0, 0, 0)
            os.kill(os.getpid(), signal.SIGINT)

        def __exit__(self, *_):
            pass

    fake = types.SimpleNamespace(InputStream=Device, PortAudioError=OSError)
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    code, _, error = call("--mic")
    assert code == 130
    assert "interrupted" in error


def test_real_time_is_the_speed_of_speech(call, tmp_path, clip):
    soundfile.write(tmp_path / "a.wav", clip[:24_000], 16_000)
    start = time.monotonic()
    code, out, _ = call(tmp_path / "a.wav", "--realtime", "--format", "jsonl")
    assert time.monotonic() - start >= 1.5
    assert code == 0
    for event in events(out):
        assert event["emission_time"] >= event["audio_s"] - 0.11


# Trace, heads, failures


def test_a_trace_has_every_token(call, files, tmp_path):
    path = tmp_path / "t.jsonl"
    code, out, _ = call(files[0], files[1], "--trace", path)
    assert code == 0
    steps = events(path.read_text())
    assert {step["source"] for step in steps} == {str(files[0]), str(files[1])}
    committed = "".join(
        token["text"] if index else " " + token["text"]
        for step in steps
        for index, token in enumerate(t for t in step["tokens"] if t["decision"] == "commit")
    )
    assert committed.split() == out.split()
    code, _, error = call(files[0], "--trace", path)
    assert code == 2
    assert "--force" in error
    assert call(files[0], "--trace", path, "--force")[0] == 0


def test_settings_of_the_command_line_come_before_the_files(call, files, tmp_path):
    path = tmp_path / "t.jsonl"
    call(files[1], "--trace", path, "--step-s", "0.5", "--border-fraction", "0.3")
    steps = events(path.read_text())
    assert [step["audio_s"] for step in steps[:3]] == [0.5, 1.0, 1.5]


def test_a_failure_in_the_model_is_no_silence(call, files, monkeypatch):
    def fails(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(StreamEncoder, "encoding", fails)
    with pytest.raises(MemoryError):
        call(files[0])


# Signals and pipes


def start_command(*arguments, **options):
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stderr=subprocess.PIPE, text=True, **options
    )


def heed_signals():
    """A shell has what it runs in the background ignore Ctrl-C, and so would the command."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(("told", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_commits_what_is_left(config_file, clip, told, code):
    process = start_command(
        "-", "--config", config_file, "--format", "jsonl",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=heed_signals,
    )  # fmt: skip
    raw = (np.clip(clip, -1, 1) * 32_767).astype("<i2").tobytes()
    process.stdin.buffer.write(raw)
    process.stdin.flush()
    first = process.stdout.readline()  # it has begun, and waits for more
    process.send_signal(told)
    out, error = process.stdout.read(), process.stderr.read()
    assert process.wait(30) == code
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()
    assert "interrupted" in error
    assert "Traceback" not in error
    *commits, end = events(first + out)
    assert end["reason"] == "interrupted"
    assert end["text"].split() == [w["text"] for c in commits for w in c["words"]]


def test_a_reader_that_leaves_ends_it_quietly(config_file, files):
    process = start_command(
        *files, "--config", config_file, "--format", "jsonl", stdout=subprocess.PIPE
    )
    process.stdout.readline()
    process.stdout.close()
    error = process.stderr.read()
    assert process.wait(30) in (0, 1, 141)
    assert "Traceback" not in error
    assert "Broken" not in error
    process.stderr.close()


def test_in_a_terminal(config_file, files):
    ours, theirs = pty.openpty()
    process = start_command(files[1], "--config", config_file, stdout=theirs)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:
        pass  # how a pty on Linux says that the other end has closed
    os.close(ours)
    process.stderr.read()
    assert process.wait(30) == 0
    process.stderr.close()
    text = shown.decode().replace("\r\n", "\n")
    assert "\x1b[2m" in text  # a draft was there
    assert screen(text)


# Subtitles as words come


@pytest.mark.parametrize("output", ["srt", "vtt"])
def test_a_cue_is_written_when_the_next_one_begins(output):
    words = [a_word("One.", 0, 1), a_word("two", 1.1, 1.5), a_word("three", 3, 3.5)]
    file = io.StringIO()
    writer = make_writer(output, file)
    seen = []
    for word in words:
        writer.update([word], word.end_s, "")
        seen.append(
            [event.plaintext for event in pysubs2.SSAFile.from_string(file.getvalue(), output)]
        )
    assert seen == [[], ["One."], ["One.", "two"]]
    writer.end(StreamEnd("x", 4.0, None, "end"))
    whole = pysubs2.SSAFile.from_string(file.getvalue(), output)
    assert [(e.plaintext, e.start, e.end) for e in whole] == [
        ("One.", 0, 1000), ("two", 1100, 2100), ("three", 3000, 4000),
    ]  # fmt: skip
    numbers = [line for line in file.getvalue().splitlines() if line.isdigit()]
    assert numbers == ["1", "2", "3"]


@pytest.mark.parametrize(("output", "empty"), [("srt", ""), ("vtt", "WEBVTT\n\n")])
def test_subtitles_without_words_are_valid_and_empty(output, empty):
    for writer, end in (
        (SubtitleWriter, StreamEnd("x", 0.0, None, "end")),
        (ChannelSubtitleWriter, [StreamEnd("x", 0.0, None, "end")] * 2),
    ):
        file = io.StringIO()
        made = writer(file, output) if writer is SubtitleWriter else writer(file, output, 2)
        made.update([], 1.0, "")
        made.end(end)
        assert file.getvalue() == empty


def test_cues_of_two_channels_come_by_their_starts_and_early():
    file = io.StringIO()
    writer = ChannelSubtitleWriter(file, "srt", 2)
    spoken = [(1, a_word("Yes.", 0, 1)), (2, a_word("so", 0.5, 1.2)), (1, a_word("No.", 1.5, 2)),
              (1, a_word("Ah.", 9, 10))]  # fmt: skip
    seen = []
    for one in spoken:
        writer.update([one], one[1].end_s, ["", ""])
        seen.append(file.getvalue().count("-->"))
    writer.end([StreamEnd("x", 10.0, None, "end")] * 2)
    # What channel 2 said is over at 9 s, though it says nothing more.
    assert seen == [0, 0, 1, 3]
    starts = [event.start for event in pysubs2.SSAFile.from_string(file.getvalue(), "srt")]
    assert starts == [0, 500, 1500, 9000]
