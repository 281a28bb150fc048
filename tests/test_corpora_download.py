import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from alignheads.corpora.download import Archive, fetch_archive, fetch_librispeech
from alignheads.errors import InputError

CONTENT = np.random.default_rng(0).bytes(3_000_000)


class Server(ThreadingHTTPServer):
    """Serves `content` at any path; `behaviour` says how."""

    content = b""
    behaviour = "ranges"
    requests: list[str | None]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append(wanted)
        content, behaviour = self.server.content, self.server.behaviour
        if behaviour == "absent":
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if behaviour == "no ranges":
            start, wanted = 0, None
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        drops = behaviour == "drops always" or (behaviour == "drops once" and not wanted)
        self.wfile.write(body[: len(content) // 2 if start == 0 else 0] if drops else body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def packed(members: dict[str, bytes], link: tuple[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        if link:
            info = tarfile.TarInfo(link[0])
            info.type, info.linkname = tarfile.SYMTYPE, link[1]
            archive.addfile(info)
    return buffer.getvalue()


def serve(server: Server, content: bytes | None = None, behaviour: str = "ranges") -> Archive:
    server.content = content or packed({"LibriSpeech/mini/1/2/1-2.trans.txt": CONTENT})
    server.behaviour = behaviour
    md5 = hashlib.md5(server.content, usedforsecurity=False).hexdigest()
    return Archive("mini", len(server.content), md5)


def complete(folder: Path) -> bool:
    return (folder / "1/2/1-2.trans.txt").read_bytes() == CONTENT


def left_in(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "librispeech").iterdir())


def test_fetched_once_and_said_before(server: Server, tmp_path: Path, capsys, caplog):
    caplog.set_level("INFO", "alignheads")
    archive = serve(server)
    folder = fetch_archive(archive, tmp_path, server.url)
    assert folder == tmp_path / "librispeech" / "mini"
    assert complete(folder)
    assert left_in(tmp_path) == ["mini"]
    assert capsys.readouterr().out == ""
    first = caplog.messages[0]
    assert first.startswith("fetching 3 MB")
    assert server.url in first
    assert str(tmp_path) in first
    assert fetch_archive(archive, tmp_path, server.url) == folder
    assert len(server.requests) == 1


def test_each_tenth_of_a_download_is_logged_once(server: Server, tmp_path: Path, caplog):
    caplog.set_level("INFO", "alignheads")
    fetch_archive(serve(server), tmp_path, server.url)
    percents = [int(found[1]) for found in re.finditer(r"MB \((\d+) %\)", caplog.text)]
    assert percents[-1] == 100
    tenths = [percent // 10 for percent in percents]
    assert tenths == sorted(set(tenths))


def test_a_dropped_connection_is_taken_up_where_it_broke(server: Server, tmp_path: Path):
    archive = serve(server, behaviour="drops once")
    assert complete(fetch_archive(archive, tmp_path, server.url))
    assert server.requests == [None, f"bytes={archive.size_bytes // 2}-"]


def test_interrupted_then_resumed_by_the_next_run(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
):
    caplog.set_level("INFO", "alignheads")
    monkeypatch.setattr("alignheads.corpora.download.time.sleep", lambda seconds: None)
    archive = serve(server, behaviour="drops always")
    with pytest.raises(InputError, match=r"interrupted after 2 of 3 MB .*goes on from there"):
        fetch_archive(archive, tmp_path, server.url)
    assert left_in(tmp_path) == ["mini.tar.gz.part"]
    server.behaviour = "ranges"
    server.requests.clear()
    caplog.clear()
    assert complete(fetch_archive(archive, tmp_path, server.url))
    assert server.requests == [f"bytes={archive.size_bytes // 2}-"]
    assert "of which 2 MB are there" in caplog.text


def test_a_server_without_ranges_sends_all_again(server: Server, tmp_path: Path):
    archive = serve(server, behaviour="no ranges")
    part = tmp_path / "librispeech" / "mini.tar.gz.part"
    part.parent.mkdir()
    part.write_bytes(b"begun")
    assert complete(fetch_archive(archive, tmp_path, server.url))


@pytest.mark.parametrize("extra", [b"", b"more than there is"])
def test_a_part_as_long_as_the_file_or_longer(server: Server, tmp_path: Path, extra: bytes):
    archive = serve(server)
    part = tmp_path / "librispeech" / "mini.tar.gz.part"
    part.parent.mkdir()
    part.write_bytes(server.content + extra)
    assert complete(fetch_archive(archive, tmp_path, server.url))


def test_a_part_of_another_version_fails_the_checksum_and_is_thrown_away(
    server: Server, tmp_path: Path
):
    archive = serve(server)
    part = tmp_path / "librispeech" / "mini.tar.gz.part"
    part.parent.mkdir()
    part.write_bytes(b"x" * 1000)
    with pytest.raises(InputError, match=f"MD5 {archive.md5}"):
        fetch_archive(archive, tmp_path, server.url)
    assert left_in(tmp_path) == []
    assert complete(fetch_archive(archive, tmp_path, server.url))


def test_bad_checksum(server: Server, tmp_path: Path):
    archive = serve(server)
    server.content = packed({"LibriSpeech/mini/evil": b"other"})
    with pytest.raises(InputError, match="has not the published MD5") as caught:
        fetch_archive(archive, tmp_path, server.url)
    assert "\n" not in str(caught.value)
    assert left_in(tmp_path) == []


def test_absent_file_and_no_server(server: Server, tmp_path: Path):
    archive = serve(server, behaviour="absent")
    with pytest.raises(InputError, match="the server answered 404"):
        fetch_archive(archive, tmp_path, server.url)
    with pytest.raises(InputError, match=r"interrupted after 0 .*connection refused"):
        fetch_archive(archive, tmp_path, "http://127.0.0.1:9")


@pytest.mark.parametrize(
    "content",
    [
        packed({"LibriSpeech/mini/a": b"a", "../../outside": b"evil"}),
        packed({"LibriSpeech/mini/a": b"a", "/tmp/alignheads-outside": b"evil"}),
        packed({"LibriSpeech/mini/a": b"a"}, link=("LibriSpeech/mini/l", "../../../../outside")),
        packed({"LibriSpeech/mini/a": b"a"}, link=("LibriSpeech/mini/l", "/etc/passwd")),
    ],
    ids=["dots", "absolute", "link", "absolute link"],
)
def test_members_outside_of_the_folder(server: Server, tmp_path: Path, content: bytes):
    cache = tmp_path / "deep" / "cache"
    archive = serve(server, content)
    try:
        folder = fetch_archive(archive, cache, server.url)
    except InputError as error:
        assert "is refused" in str(error)  # noqa: PT017
        assert not (cache / "librispeech" / "mini").exists()
    else:
        # The data filter takes the slash off an absolute name: it lands in the scratch folder.
        assert [path.name for path in folder.iterdir()] == ["a"]
    assert not Path("/tmp/alignheads-outside").exists()
    assert not list(tmp_path.rglob("outside"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"no archive", "not a complete"),
        (packed({"LibriSpeech/mini/a": CONTENT})[:1_000_000], "not a complete"),
        (packed({"elsewhere/a": b"a"}), "holds no folder LibriSpeech/mini"),
    ],
    ids=["no archive", "cut short", "another folder"],
)
def test_archives_that_are_none(server: Server, tmp_path: Path, content: bytes, says: str):
    with pytest.raises(InputError, match=says):
        fetch_archive(serve(server, content), tmp_path, server.url)
    assert left_in(tmp_path) == ["mini.tar.gz"]


def test_cache_that_cannot_be_written(server: Server, tmp_path: Path):
    (tmp_path / "librispeech").write_text("a file is in the way")
    with pytest.raises(InputError, match="cannot write"):
        fetch_archive(serve(server), tmp_path, server.url)


def test_unknown_split(tmp_path: Path):
    with pytest.raises(InputError, match=r"'train'; known are dev-clean"):
        fetch_librispeech("train", tmp_path)
