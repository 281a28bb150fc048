"""Corpora in object storage: read as from a folder, or one clear line."""

from __future__ import annotations

import http.server
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("upath", reason="the extra storage is not installed")

import fsspec

from alignheads import InputError, load_corpus
from alignheads.cluster.tasks import WorkerRefused
from alignheads.corpora.sent import sent
from alignheads.errors import OutputError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The user's cache folder, empty."""
    folder = tmp_path / "cache"
    monkeypatch.setattr("pooch.os_cache", lambda name: folder / name)
    return folder / "alignheads" / "storage"


@pytest.fixture
def memory():
    """fsspec's store in memory, empty."""
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]
    yield fs
    fs.store.clear()


@pytest.fixture(scope="module")
def speech(tmp_path_factory, demo):
    """A folder with three utterances in several layouts, and their manifest."""
    folder = tmp_path_factory.mktemp("speech")
    rows = []
    for one in demo.utterances[:3]:
        (folder / "clips").mkdir(exist_ok=True)
        shutil.copy(one.audio_path, folder / "clips")
        words = [[word.text, word.start_s, word.end_s] for word in one.words]
        name = f"clips/{one.audio_path.name}"
        row = {"audio_filepath": name, "text": one.text, "language": one.language, "words": words}
        rows.append(row)
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def put(fs, folder, place):
    for path in folder.rglob("*"):
        if path.is_file():
            fs.pipe(f"{place}/{path.relative_to(folder).as_posix()}", path.read_bytes())


class Server:
    """Serves a folder over HTTP as object storage does, and counts what is asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gets: list[str] = []
        self.statuses: dict[str, int] = {}  # by path: what is answered instead
        self.has_tags = True
        self.cuts: set[str] = set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self.answer(with_body=False)

            def do_GET(self) -> None:
                outer.gets.append(self.path)
                self.answer(with_body=True)

            def answer(self, *, with_body: bool) -> None:
                path = outer.folder / self.path.partition("?")[0].lstrip("/")
                status = outer.statuses.get(self.path, 200 if path.is_file() else 404)
                content = path.read_bytes() if status == 200 else b""
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                if outer.has_tags and status == 200:
                    self.send_header("ETag", f'"{hash(content)}"')
                self.end_headers()
                if with_body and self.path in outer.cuts:
                    self.wfile.write(content[: len(content) // 2])
                    self.close_connection = True
                elif with_body:
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(speech, tmp_path):
    pytest.importorskip("aiohttp", reason="fsspec needs it for HTTP")
    folder = shutil.copytree(speech, tmp_path / "served")
    server = Server(folder)
    yield server
    server.close()


# What cannot be read


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "upath", None)
    with pytest.raises(InputError, match=r"^s3://b/m.jsonl: .* pip install '.\[storage\]'"):
        load_corpus("s3://b/m.jsonl")


def test_a_driver_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(InputError, match=r"^s3://b/m.jsonl cannot be read: Install s3fs"):
        load_corpus("s3://b/m.jsonl")


def test_a_protocol_that_nobody_knows():
    with pytest.raises(
        InputError, match=r"^nowhere://b/m.jsonl: fsspec knows no protocol 'nowhere'"
    ):
        load_corpus("nowhere://b/m.jsonl")


def test_nothing_there(memory):
    with pytest.raises(InputError, match=r"^there is no memory://b/m.jsonl$"):
        load_corpus("memory://b/m.jsonl")
    with pytest.raises(InputError, match=r"^there is no memory://b/x$"):
        load_corpus("memory://b/x/")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, "^there is no http://127.0.0.1:"),
        (401, "^no permission to read http://127.0.0.1:"),
        (403, "^no permission to read http://127.0.0.1:"),
        (500, "cannot be read: .*500"),
    ],
)
def test_what_a_server_answers(server, status, message):
    server.statuses["/manifest.jsonl"] = status
    with pytest.raises(InputError, match=message):
        load_corpus(f"{server.url}/manifest.jsonl")


def test_no_permission(memory, speech, monkeypatch):
    put(memory, speech, "/b")

    def refused(path, **_):
        raise PermissionError("Forbidden")

    monkeypatch.setattr(memory, "info", refused)
    with pytest.raises(InputError, match=r"^no permission to read memory://b/manifest.jsonl$"):
        load_corpus("memory://b/manifest.jsonl")


def test_what_a_driver_raises_of_its_own(memory, speech, monkeypatch):
    class NoCredentialsError(Exception):
        pass

    def refused(path, **_):
        raise NoCredentialsError("Unable to locate\ncredentials")

    monkeypatch.setattr(memory, "info", refused)
    with pytest.raises(InputError, match="NoCredentialsError: Unable to locate credentials; see"):
        load_corpus("memory://b/manifest.jsonl")


def test_no_network():
    pytest.importorskip("aiohttp", reason="fsspec needs it for HTTP")
    with pytest.raises(InputError, match=r"^http://127.0.0.1:9/m.jsonl cannot be read: .*connect"):
        load_corpus("http://127.0.0.1:9/m.jsonl")


def test_an_object_that_is_not_there_is_skipped_and_a_server_that_fails_is_not(server):
    names = [path.name for path in sorted((server.folder / "clips").iterdir())]
    server.statuses[f"/clips/{names[1]}"] = 404
    corpus = load_corpus(f"{server.url}/manifest.jsonl")
    assert [one.reason for one in corpus.skipped] == [f"there is no {server.url}/clips/{names[1]}"]
    assert len(corpus) == 2
    with pytest.raises(InputError, match=f"{Path(names[1]).stem}: there is no http"):
        load_corpus(f"{server.url}/manifest.jsonl", strict=True)
    server.statuses[f"/clips/{names[1]}"] = 503
    with pytest.raises(InputError, match=f"{names[1]} cannot be read: .*503"):
        load_corpus(f"{server.url}/manifest.jsonl")


def test_an_object_that_comes_cut_off_is_not_taken(server, cache):
    name = min((server.folder / "clips").iterdir()).name
    server.cuts.add(f"/clips/{name}")
    with pytest.raises(InputError, match=f"{name} cannot be read: "):
        load_corpus(f"{server.url}/manifest.jsonl")
    server.cuts.clear()
    assert len(load_corpus(f"{server.url}/manifest.jsonl")) == 3
    assert not list(cache.glob("**/.*"))


def test_an_object_that_a_driver_gives_less_of_is_not_taken(memory, speech, monkeypatch, cache):
    put(memory, speech, "/b")
    monkeypatch.setattr(memory, "get_file", lambda place, to: Path(to).write_bytes(b"{"))
    with pytest.raises(InputError, match=r"manifest.jsonl came cut off, 1 of \d+ bytes; run"):
        load_corpus("memory://b/manifest.jsonl")
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_a_cache_that_cannot_be_written(memory, speech, cache, monkeypatch):
    put(memory, speech, "/b")
    cache.parent.parent.mkdir()
    cache.parent.write_text("a file")
    with pytest.raises(OutputError, match=f"^cannot write to {cache}: Not a directory"):
        load_corpus("memory://b/manifest.jsonl")
    cache.parent.unlink()

    def full(place, to):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(memory, "get_file", full)
    with pytest.raises(OutputError, match=f"^cannot write to {cache}: No space left"):
        load_corpus("memory://b/manifest.jsonl")


def test_a_bad_line_or_bad_audio_is_told_with_its_address(memory):
    memory.pipe("/b/m.jsonl", b'{"audio_filepath": "a.wav", "text": "yes"}\n')
    memory.pipe("/b/a.wav", b"not audio")
    with pytest.raises(InputError, match=r"\(a\): memory://b/a.wav cannot be read as audio"):
        load_corpus("memory://b/m.jsonl")
    memory.pipe("/b/m.jsonl", b'\n{"text": "yes"}\n')
    with pytest.raises(InputError, match=r"^memory://b/m.jsonl:2: audio_filepath: Field required"):
        load_corpus("memory://b/m.jsonl")


# What can


def test_a_manifest_is_the_corpus_that_it_is_in_a_folder(memory, speech, cache):
    put(memory, speech, "/bucket/deep")
    corpus = load_corpus("memory://bucket/deep/manifest.jsonl")
    here = load_corpus(speech / "manifest.jsonl")
    assert corpus.name == here.name == "manifest"
    assert corpus.fingerprint == here.fingerprint
    one, other = corpus.utterances[0], here.utterances[0]
    assert one.audio_url == f"memory://bucket/deep/clips/{other.audio_path.name}"
    assert one.audio_path.parent == cache
    assert (one.read() == other.read()).all()


def test_paths_of_a_manifest_relative_absolute_and_addresses(memory, speech, tmp_path):
    names = sorted(path.name for path in (speech / "clips").iterdir())
    put(memory, speech, "/b/x")
    put(memory, speech, "/other")
    rows = [
        f"../x/clips/{names[0]}",
        f"{speech}/clips/{names[1]}",
        f"memory://other/clips/{names[2]}",
    ]
    lines = "".join(json.dumps({"audio_filepath": row, "text": "a"}) + "\n" for row in rows)
    memory.pipe("/b/lists/m.jsonl", lines.encode())
    corpus = load_corpus("memory://b/lists/m.jsonl")
    assert [one.audio_url for one in corpus.utterances] == [
        f"memory://b/x/clips/{names[0]}", None, f"memory://other/clips/{names[2]}",
    ]  # fmt: skip
    assert [one.id for one in corpus.utterances] == [Path(name).stem for name in names]
    (tmp_path / "m.jsonl").write_text(lines.splitlines()[2])
    (only,) = load_corpus(tmp_path / "m.jsonl").utterances
    assert only.audio_url == f"memory://other/clips/{names[2]}"


def test_a_signed_web_address_has_the_id_of_its_file(server, tmp_path):
    name = min((server.folder / "clips").iterdir()).name
    url = f"{server.url}/clips/{name}?X-Signature=a.b/c.d"
    (tmp_path / "m.jsonl").write_text(json.dumps({"audio_filepath": url, "text": "a"}))
    (one,) = load_corpus(tmp_path / "m.jsonl").utterances
    assert one.id == Path(name).stem
    assert one.audio_path.suffix == Path(name).suffix


def test_a_file_address_is_a_path(speech):
    corpus = load_corpus(f"file://{speech}/manifest.jsonl")
    assert corpus.utterances[0].audio_url is None
    assert corpus.utterances[0].audio_path.is_relative_to(speech)


@pytest.mark.parametrize("layout", ["librispeech", "audiofolder", "textgrid"])
def test_a_folder_in_any_layout(memory, speech, tmp_path, layout):
    folder = tmp_path / "speech-of-mine"
    rows = [json.loads(line) for line in (speech / "manifest.jsonl").read_text().splitlines()]
    shutil.copytree(speech / "clips", folder / "1" / "2")
    names = [Path(row["audio_filepath"]).stem for row in rows]
    texts = [row["text"] for row in rows]
    if layout == "librispeech":
        lines = [f"{name} {text}" for name, text in zip(names, texts, strict=True)]
        (folder / "1" / "2" / "1-2.trans.txt").write_text("\n".join(lines))
    elif layout == "audiofolder":
        files = [f"1/2/{Path(row['audio_filepath']).name}" for row in rows]
        lines = [f'{file},"{text}"' for file, text in zip(files, texts, strict=True)]
        (folder / "metadata.csv").write_text("\n".join(["file_name,text", *lines]))
    else:
        from alignheads.corpora.textgrids import write_words
        from alignheads.corpora.utterance import WordTime

        for name, row in zip(names, rows, strict=True):
            words = [WordTime(*word) for word in row["words"]]
            write_words(folder / "1" / "2" / f"{name}.TextGrid", words, 60.0)
    put(memory, folder, "/bucket/speech-of-mine")
    here, there = load_corpus(folder), load_corpus("memory://bucket/speech-of-mine")
    assert (there.name, there.fingerprint) == (here.name, here.fingerprint)
    assert [one.id for one in there.utterances] == [one.id for one in here.utterances]
    for one in there.utterances:
        assert one.audio_url == f"memory://bucket/speech-of-mine/1/2/{Path(one.audio_url).name}"
        assert one.audio_path.is_file()
    assert there.has_word_times == (layout == "textgrid")


def test_a_folder_that_is_no_corpus_is_told_by_its_address_and_not_fetched(memory, speech, cache):
    put(memory, speech, "/b/x")
    with pytest.raises(InputError, match=r"^memory://b/x is a folder with a manifest in it; give "):
        load_corpus("memory://b/x")
    assert not cache.exists()


def test_a_folder_with_a_missing_file_says_which_by_its_address(memory):
    memory.pipe("/b/x/metadata.csv", b"file_name,text\na.wav,yes\n")
    with pytest.raises(InputError, match=r"audio file not found: memory://b/x/a.wav"):
        load_corpus("memory://b/x/")


def test_lhotse_and_parquet(memory, speech, tmp_path):
    name = min((speech / "clips").iterdir()).name
    put(memory, speech, "/b")
    cut = {
        "id": "c", "start": 0, "duration": 1.0, "supervisions": [{"text": "so"}],
        "recording": {"id": "r", "sources": [{"type": "file", "source": f"clips/{name}"}]},
    }  # fmt: skip
    memory.pipe("/b/cuts.jsonl", json.dumps(cut).encode())
    (one,) = load_corpus("memory://b/cuts.jsonl").utterances
    assert (one.id, one.audio_url) == ("c", f"memory://b/clips/{name}")
    pyarrow = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    from pyarrow import parquet

    content = (speech / "clips" / name).read_bytes()
    table = {"text": ["so", "no"], "audio": [{"bytes": content, "path": "p.flac"},
                                             {"bytes": None, "path": f"clips/{name}"}]}  # fmt: skip
    parquet.write_table(pyarrow.table(table), tmp_path / "t.parquet")
    memory.pipe("/b/t.parquet", (tmp_path / "t.parquet").read_bytes())
    inside, other = load_corpus("memory://b/t.parquet").utterances
    assert (inside.id, inside.audio_url) == ("p", None)
    assert other.audio_url == f"memory://b/clips/{name}"


# Copies


def test_what_is_there_is_not_fetched_again_unless_it_changed(server):
    url = f"{server.url}/manifest.jsonl"
    first = load_corpus(url)
    assert len(server.gets) == 4
    assert load_corpus(url).fingerprint == first.fingerprint
    assert len(server.gets) == 4
    clips = sorted((server.folder / "clips").iterdir())
    shutil.copy(clips[1], clips[0])  # another object of that name
    text = (server.folder / "manifest.jsonl").read_text().replace('"words"', '"were"')
    (server.folder / "manifest.jsonl").write_text(text)
    second = load_corpus(url)
    assert second.fingerprint != first.fingerprint
    assert second.utterances[0].audio_path == first.utterances[1].audio_path
    assert first.utterances[0].audio_path.is_file()  # a run that goes on has what it began with


def test_of_a_server_that_gives_no_version_everything_is_fetched_anew(server):
    server.has_tags = False
    url = f"{server.url}/manifest.jsonl"
    load_corpus(url)
    count = len(server.gets)
    (server.folder / "manifest.jsonl").write_text(
        (server.folder / "manifest.jsonl").read_text().splitlines()[0]
    )
    assert len(load_corpus(url)) == 1
    assert len(server.gets) > count


def test_two_processes_fetch_the_same_objects_at_once(server, tmp_path):
    code = f"""
import pooch; pooch.os_cache = lambda name: __import__("pathlib").Path({str(tmp_path / "both")!r})
from alignheads import load_corpus
print(load_corpus("{server.url}/manifest.jsonl").fingerprint)
"""
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    found = {process.communicate(timeout=60)[0] for process in both}
    assert found == {load_corpus(f"{server.url}/manifest.jsonl").fingerprint + "\n"}
    assert not list((tmp_path / "both").glob("storage/.*"))


# In another process


def arrived(utterances, monkeypatch, folder):
    """Utterances as a worker with a cache of its own gets them."""
    content = pickle.dumps(sent(utterances, with_audio=False))
    monkeypatch.setattr("pooch.os_cache", lambda name: folder / name)
    return pickle.loads(content)


def test_a_worker_reads_the_object_itself(server, tmp_path, monkeypatch):
    corpus = load_corpus(f"{server.url}/manifest.jsonl")
    here = [one.read() for one in corpus.utterances]
    there = arrived(corpus.utterances, monkeypatch, tmp_path / "worker")
    shutil.rmtree(tmp_path / "cache")
    server.gets.clear()
    assert all((a.read() == b).all() for a, b in zip(there, here, strict=True))
    assert len(server.gets) == 3
    server.close()
    assert all((a.read() == b).all() for a, b in zip(there, here, strict=True))


def test_a_worker_that_sees_another_object_or_none_is_refused(server, tmp_path, monkeypatch):
    corpus = load_corpus(f"{server.url}/manifest.jsonl")
    one, two, three = arrived(corpus.utterances, monkeypatch, tmp_path / "worker")
    (server.folder / "clips" / Path(one.audio_url).name).write_bytes(b"another")
    with pytest.raises(WorkerRefused, match=f"{one.audio_url} is another object, or was changed"):
        one.read()
    (server.folder / "clips" / Path(two.audio_url).name).unlink()
    with pytest.raises(WorkerRefused, match=f"there is no {two.audio_url}"):
        two.read()
    monkeypatch.setitem(sys.modules, "upath", None)
    with pytest.raises(WorkerRefused, match="needs the extra storage"):
        three.read()


# Commands


def test_word_times_are_written_beside_a_manifest_with_addresses(
    in_process, memory, speech, tmp_path
):
    from alignheads.corpora.cli import main

    put(memory, speech, "/b/x")
    call = in_process(main, "align-corpus")
    code, out, err = call("memory://b/x/manifest.jsonl", "--out", "aligned")
    assert code == 0, err
    rows = [json.loads(line) for line in Path(out.strip()).read_text().splitlines()]
    assert rows[0]["audio_filepath"].startswith("memory://b/x/clips/")
    again, here = load_corpus("aligned/manifest.jsonl"), load_corpus(speech / "manifest.jsonl")
    assert [len(u.words) for u in again.utterances] == [len(u.words) for u in here.utterances]
    assert sorted(p.name for p in Path("aligned").glob("*.TextGrid")) == [
        f"{one.id}.TextGrid" for one in here.utterances
    ]


def test_word_times_of_a_folder_keep_its_folders(in_process, memory, speech):
    from alignheads.corpora.cli import main

    put(memory, speech, "/b/x")
    names = sorted(path.name for path in (speech / "clips").iterdir())
    rows = "".join(f"clips/{name},yes\n" for name in names)
    memory.pipe("/b/x/metadata.csv", f"file_name,text\n{rows}".encode())
    call = in_process(main, "align-corpus")
    code, _, err = call("memory://b/x/", "--out", "o", "--aligner", "gold")
    assert code == 2
    assert "no gold word times" in err
    pytest.importorskip("pocketsphinx", reason="the extra pocketsphinx is not installed")
    code, _, err = call("memory://b/x/", "--out", "o", "--aligner", "pocketsphinx", "--language",
                        "English")  # fmt: skip
    assert code == 0, err
    assert sorted(p.relative_to("o").as_posix() for p in Path("o").rglob("*.TextGrid")) == [
        f"clips/{Path(name).stem}.TextGrid" for name in names
    ]


def test_a_command_tells_bad_storage_on_one_line(discover_command, memory):
    code, _, err = discover_command("--corpus", "memory://b/m.jsonl", "--cuts", 0)
    assert (code, err) == (2, "discover-heads: there is no memory://b/m.jsonl\n")


OTHERS = """
import logging, sys
from distributed import LocalCluster

if __name__ == "__main__":
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", memory_limit=0,
                           dashboard_address=None, silence_logs=logging.CRITICAL)
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def others(tmp_path):
    """The address of a scheduler with two workers, whose cache folder is their own."""
    pytest.importorskip("distributed", reason="the extra cluster is not installed")
    (tmp_path / "others.py").write_text(OTHERS)
    place = str(tmp_path / "of-workers")
    process = subprocess.Popen(
        [sys.executable, tmp_path / "others.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, env=os.environ | {"HOME": place, "XDG_CACHE_HOME": place},
    )  # fmt: skip
    yield process.stdout.readline().strip()
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_commands_on_workers_that_fetch_for_themselves_give_what_a_folder_gives(
    in_process, discover_command, server, speech, tmp_path, others
):
    from alignheads.calibrate.cli import main as calibrate
    from alignheads.corpora.cli import main as align
    from alignheads.evaluate.cli import main as benchmark

    def both(call, *given, names):
        """The same command on the folder, and on the address with the cluster."""
        for name, corpus, more in (
            ("a", speech / "manifest.jsonl", ()),
            ("b", f"{server.url}/manifest.jsonl", ("--dask", others)),
        ):
            (tmp_path / name).mkdir(exist_ok=True)
            code, _, err = call(*(str(one).format(corpus=corpus, to=name) for one in given), *more)
            assert code == 0, err
        return [[(tmp_path / name / one).read_text() for one in names] for name in "ab"]

    server.gets.clear()
    of_heads = ("--corpus", "{corpus}", "--cuts", 0, "--out", "{to}/heads.json")
    a, b = both(discover_command, *of_heads, names=["heads.json"])
    assert a == b
    # One fetch here, and one or two (there are two workers with one cache folder) there.
    clips = [get for get in server.gets if get.startswith("/clips/")]
    assert {clips.count(one) for one in clips} <= {2, 3}
    call = in_process(align, "align-corpus")
    given = ("{corpus}", "--aligner", "pocketsphinx", "--language", "English", "--out", "{to}/o")
    grids = [f"o/{path.stem}.TextGrid" for path in (speech / "clips").iterdir()]
    a, b = both(call, *given, names=grids)
    assert a == b
    call = in_process(benchmark, "benchmark-decoder")
    given = ("--corpus", "{corpus}", "--json", "{to}/benchmark.json")
    a, b = (json.loads(found[0]) for found in both(call, *given, names=["benchmark.json"]))
    assert a["corpus"] == b["corpus"]
    texts = [[one["hypothesis"] for one in file["runs"][0]["utterances"]] for file in (a, b)]
    assert texts[0] == texts[1]
    call = in_process(calibrate, "calibrate")
    given = ("--corpus", "{corpus}", "--trials", 2, "--phases", 1, "--holdout", 0.4,
             "--store", "{to}/store", "--out", "{to}/d.json")  # fmt: skip
    a, b = (json.loads(found[0]) for found in both(call, *given, names=["calibration.json"]))
    assert a["corpus"] == b["corpus"]
    assert [one["params"] for one in a["trials"]] == [one["params"] for one in b["trials"]]
