"""Output that cannot be written, and what is never overwritten."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from alignheads.errors import InputError, OutputError
from alignheads.files import open_growing, output_folder, output_path, replacing, write_text
from alignheads.runtime.models.cpu import kernels
from alignheads.runtime.stream.output import JsonlWriter, StreamEnd, TraceWriter
from alignheads.streams import OutputLost, _Closed, _Data, _Notes

HEADS = [sys.executable, "-c", "from alignheads.heads.cli import main; main()"]
FULL = "No space left on device"


def shell(line, **environment):
    """Run a command line of heads-info, which is quick, as `$H`: (exit code, stdout, stderr)."""
    env = {**os.environ, "H": HEADS[0], "CODE": HEADS[2], **environment}
    done = subprocess.run(["bash", "-c", line.replace("$H", '"$H" -c "$CODE"')],
                          capture_output=True, timeout=250, env=env)  # fmt: skip
    return done.returncode, done.stdout.decode(), done.stderr.decode(errors="replace")


# Streams


@pytest.mark.parametrize("arguments", ["tiny", "--help"])
@pytest.mark.parametrize(
    ("where", "reason"), [("> /dev/full", FULL), (">&-", "Bad file descriptor")]
)
def test_stdout_that_cannot_be_written_is_one_line(arguments, where, reason):
    code, out, error = shell(f"$H {arguments} {where}")
    assert (code, out) == (1, "")
    assert error.endswith(f"cannot write to stdout: {reason}\n")
    assert error.count("\n") == 1


def test_a_pipe_that_closes_is_no_matter_for_words():
    code, _, error = shell("set -o pipefail; $H tiny | true")
    assert (code, error) == (1, "")


def test_stderr_that_cannot_be_written_stops_nothing():
    for where in ("2> /dev/full", "2>&-"):
        code, out, _ = shell(f"$H tiny --compact {where}")
        assert code == 0
        assert json.loads(out)
        assert shell(f"$H nonsense {where}")[:2] == (2, "")


def test_nothing_that_is_opened_gets_the_number_of_a_stream_that_was_closed():
    code, out, error = shell("$H tiny --compact <&-")
    assert (code, error) == (0, "")
    assert json.loads(out)


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C.UTF-8"},
    ],
)
def test_no_locale_is_too_small(environment, tmp_path):
    name = os.fsdecode(bytes(tmp_path) + b"/\xff\xe4.json")
    with open(name, "w") as file:  # noqa: PTH123
        file.write("[[0, 1]]")
    out = os.fsdecode(bytes(tmp_path) + b"/\xc3\xa4\xff.json")
    make = '$H --from-compact "$IN" --model tiny --out "$OUT" --force && $H "$OUT"'
    code, shown, error = shell(make, IN=name, OUT=out, **environment)
    assert (code, error.count("\n")) == (0, 1), error
    assert "wrote" in error
    assert "tiny" in shown


def test_json_lines_are_json_in_every_encoding():
    for encoding in ("latin-1", "utf-8"):
        raw = io.BytesIO()
        file = io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace")
        JsonlWriter(file).end(StreamEnd("\udcff\U0001f600é", 0.0, None, "end"))
        assert json.loads(raw.getvalue().decode(encoding))["source"].endswith("\U0001f600é")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")  # noqa: PTH110
def test_the_streams_themselves():
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        with pytest.raises(OutputLost, match=FULL):
            _Data(full.fileno(), "w", closefd=False).write(b"x")
        assert _Notes(full.fileno(), "w", closefd=False).write(b"xyz") == 3
    with pytest.raises(OutputLost, match="Bad file"):
        _Closed().write(b"x")


def test_told_to_end_is_as_a_ctrl_c():
    code = (
        "import time\nfrom alignheads.commandline import run\n"
        "def waits():\n    print('ready', flush=True)\n    time.sleep(60)\nrun(waits)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=100)
    assert process.returncode == 128 + signal.SIGTERM
    assert error.strip().endswith("ended by SIGTERM")


def test_a_trace_that_cannot_be_written_costs_no_word():
    steps = TraceWriter(open_growing(Path("/dev/full"), overwrite=False))

    class Step:
        def as_dict(self):
            return {"step": 0}

    steps(Step())
    steps(Step())
    with pytest.raises(OutputError, match=FULL):
        steps.__exit__()


# Files


def test_what_the_same_command_reads_is_not_written(tmp_path):
    there = tmp_path / "v.wav"
    there.write_bytes(b"RIFF")
    link = tmp_path / "link.wav"
    link.symlink_to(there)
    hard = tmp_path / "hard.wav"
    os.link(there, hard)
    for one in (there, link, hard, tmp_path / "." / "v.wav"):
        with pytest.raises(InputError, match="is read by this command"):
            output_path(one, True, [str(there), None, "tiny"])
    with pytest.raises(InputError, match="is read by this command"):
        output_path(tmp_path / "none.json", True, [tmp_path / "none.json"])
    # In a folder that is read, what may be an input is kept, and results are not.
    with pytest.raises(InputError, match="is read by this command"):
        output_path(there, True, [tmp_path])
    result = tmp_path / "result.json"
    write_text(result, '{"schema_version": 1}')
    assert output_path(result, True, [tmp_path]) == result
    (tmp_path / "a.png").write_bytes(b"x")
    output_folder(tmp_path, ["a.png"], True, [tmp_path])


@pytest.mark.parametrize(
    "start", ['{"op_code": 1}', '{"journal_version": 1}', '{"key": "x"}', "SQLite format 3\0"]
)
def test_what_keeps_results_is_not_overwritten_by_force(tmp_path, start):
    path = tmp_path / "x.json"
    path.write_text(start)
    with pytest.raises(InputError, match="is not overwritten"):
        output_path(path, True)


def test_names_that_cannot_be(tmp_path):
    with pytest.raises(InputError, match="File name too long"):
        output_path(tmp_path / ("x" * 300), False)
    with pytest.raises(InputError, match="is a folder"):
        output_path(tmp_path / ".", True)


def test_a_file_that_came_in_the_way_is_left_and_nothing_is_lost(tmp_path):
    path = tmp_path / "x.json"
    write_text(path, "first", overwrite=False)
    for text in ("second", "third"):
        with pytest.raises(InputError, match=r"by another process in the meantime.*x-\d\.json"):
            write_text(path, text, overwrite=False)
    texts = {one.name: one.read_text() for one in tmp_path.iterdir()}
    assert texts == {"x.json": "first", "x-2.json": "second", "x-3.json": "third"}
    write_text(path, "fourth")
    assert path.read_text() == "fourth"


def test_where_there_are_no_hard_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    test_a_file_that_came_in_the_way_is_left_and_nothing_is_lost(tmp_path)


def test_a_link_is_followed_and_a_device_is_no_file(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_text(tmp_path / "link", "x", overwrite=False)
    assert (tmp_path / "real").read_text() == "x"
    assert (tmp_path / "link").is_symlink()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_text(output_path(pipe, False), "through", overwrite=False)
    reader.join(10)
    assert read == ["through"]
    assert pipe.is_fifo()


def test_a_full_disk_is_an_output_error_and_leaves_no_temporary_file(tmp_path):
    def write():
        with replacing(tmp_path / "x") as temporary:
            temporary.write_text("half")
            raise OSError(28, FULL)

    with pytest.raises(OutputError, match=FULL):
        write()
    assert list(tmp_path.iterdir()) == []


def test_two_writers_of_one_growing_file_do_not_mix(tmp_path):
    path = tmp_path / "trace.jsonl"
    with open_growing(path, overwrite=False) as first:
        with pytest.raises(InputError, match="exists"):
            open_growing(path, overwrite=False)
        with open_growing(path, overwrite=True) as second:
            first.write("1")
            second.write("2")
    assert path.read_text() == "2"


def test_a_name_that_is_not_utf8_can_be_read_again(tmp_path):
    write_text(tmp_path / "x.json", json.dumps({"name": "\udcff"}, ensure_ascii=False))
    assert json.loads((tmp_path / "x.json").read_text()) == {"name": "\udcff"}


# What a command is given


def test_empty_strings_are_refused_by_every_command():
    for arguments, name in (
        ('--compare ""', "--compare"),
        ('""', "source"),
        ('--from-compact=""', "--from-compact"),  # a path, which would be the folder here
    ):
        code, out, error = shell(f"$H {arguments}")
        assert (code, out) == (2, "")
        assert f"{name} is empty; leave it out" in error
        assert error.count("\n") == 1


def test_a_port_is_checked_before_anything_is_loaded():
    from alignheads.runtime.whisperlivekit.cli import _check_port

    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for wrong, message in ((0, "1 to 65535"), (99_999, "1 to 65535"), (port, "in use")):
            with pytest.raises(InputError, match=message):
                _check_port("localhost", wrong)
        with pytest.raises(InputError, match="cannot listen on no"):
            _check_port("no.such.host.invalid", 8000)
    _check_port("localhost", port)


# The kernels that MLX compiles


def test_kernels_have_a_folder_of_the_users_own_where_the_usual_one_cannot_be(
    tmp_path, monkeypatch
):
    usual, home = tmp_path / "usual", tmp_path / "home"
    for name in ("TMPDIR", "TMP", "TEMP", "TEMPDIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(kernels.shutil, "which", lambda name: "/usr/bin/g++")
    monkeypatch.setenv("HOME", str(home))
    for given in (usual, ""):  # is not there; is no name, which C++ takes for one
        monkeypatch.setenv("TMPDIR", str(given))
        assert kernels.place_kernels("1")
        assert os.environ["TMPDIR"] == str(home / ".cache" / "alignheads" / "kernels")
    usual.mkdir()
    monkeypatch.setenv("TMPDIR", str(usual))
    assert kernels.place_kernels("1")
    assert os.environ["TMPDIR"] == str(usual)
    # What another user has put there is not run.
    monkeypatch.setattr(os, "getuid", lambda: 12_345)
    (usual / "mlx" / "1" / "cpu").chmod(0o777)
    os.chown(usual / "mlx" / "1" / "cpu", 54_321, -1) if os.geteuid() == 0 else None
    assert not kernels._can_keep(usual, "1")


def test_without_a_compiler_or_a_folder_nothing_is_compiled(tmp_path, monkeypatch):
    monkeypatch.setattr(kernels.shutil, "which", lambda name: None)
    assert kernels.place_kernels("1") is not sys.platform.startswith("linux")
    monkeypatch.setattr(kernels.shutil, "which", lambda name: "/usr/bin/g++")
    monkeypatch.setattr(kernels, "_can_keep", lambda folder, version: False)
    monkeypatch.setattr(kernels, "_own_folders", lambda: [tmp_path])
    assert kernels.place_kernels("1") is not sys.platform.startswith("linux")
