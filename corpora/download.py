"""Downloads the small splits of LibriSpeech from OpenSLR once, verifies and unpacks them."""

from __future__ import annotations

import gzip
import logging
import shutil
import tarfile
import tempfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError

_log = logging.getLogger(__name__)

BASE_URL = "https://www.openslr.org/resources/12"
_TIMEOUT_S = 30
_CHUNK_BYTES = 1 << 20
_IDLE_ATTEMPTS = 3  # in a row without a byte received


@dataclass(frozen=True)
class Archive:
    """A `NAME.tar.gz` that holds `LibriSpeech/NAME/`."""

    name: str
    size_bytes: int
    md5: str


# MD5s: published in https://www.openslr.org/resources/12/md5sum.txt; PaddlePaddle's LibriSpeech
# downloader lists the same. Sizes: the final release, as in Kaldi's download_and_untar.sh.
LIBRISPEECH = {
    archive.name: archive
    for archive in (
        Archive("dev-clean", 337_926_286, "42e2234ba48799c1f50f24a7926300a1"),
        Archive("dev-other", 314_305_928, "c8d0bcc9cca99d4f8b62fcc847357931"),
        Archive("test-clean", 346_663_984, "32fa31d27d2e1cad72775fee3f4849a9"),
        Archive("test-other", 328_757_843, "fb5a50374b501bb3bac4815ee91d3135"),
    )
}


def fetch_librispeech(split: str, cache_dir: Path | None = None, base_url: str = BASE_URL) -> Path:
    """The folder of a LibriSpeech split, which is downloaded if it is not in the cache.

    Raises:
        InputError: an unknown split, or what `fetch_archive` raises.
    """
    if split not in LIBRISPEECH:
        raise InputError(f"no LibriSpeech split {split!r}; known are {', '.join(LIBRISPEECH)}")
    return fetch_archive(LIBRISPEECH[split], cache_dir, base_url)


def fetch_archive(archive: Archive, cache_dir: Path | None, base_url: str = BASE_URL) -> Path:
    """Download, verify and unpack an archive into `cache_dir`/librispeech/NAME, unless it is there.

    An interrupted download leaves a `.part` file, which the next call continues. The archive is
    deleted after unpacking.

    Args:
        archive: the archive to download.
        cache_dir: where to keep it (None: the user's cache folder for alignheads).
        base_url: the folder of the archive on the server.

    Raises:
        InputError: no connection, an interrupted download, a wrong checksum, an archive that
            would write outside of its folder, or a cache that cannot be written.
    """
    import pooch

    root = (cache_dir or Path(pooch.os_cache("alignheads"))) / "librispeech"
    target = root / archive.name
    if target.is_dir():
        return target
    url = f"{base_url.rstrip('/')}/{archive.name}.tar.gz"
    try:
        root.mkdir(parents=True, exist_ok=True)
        packed = _fetch(url, archive, root)
        _unpack(packed, archive.name, target)
        packed.unlink()
    except OSError as error:
        raise InputError(f"cannot write to {root}: {error.strerror or error}") from error
    return target


def _fetch(url: str, archive: Archive, root: Path) -> Path:
    import pooch
    import requests
    import urllib3

    file = root / f"{archive.name}.tar.gz"
    part = root / f"{archive.name}.tar.gz.part"
    if not file.exists():
        had = part.stat().st_size if part.exists() else 0
        more = f", of which {had / 1e6:.0f} MB are there" if had else ""
        _log.info(f"fetching {archive.size_bytes / 1e6:.0f} MB{more}, once: {url} -> {root}")
    pooch.get_logger().setLevel("ERROR")
    try:
        # The argument names of pooch's downloader type differ from those in its documentation.
        downloader: Any = ResumingDownloader(part)
        pooch.retrieve(url, f"md5:{archive.md5}", file.name, root, downloader=downloader)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        got = part.stat().st_size if part.exists() else 0
        raise InputError(
            f"the download of {url} was interrupted after {got / 1e6:.0f} of "
            f"{archive.size_bytes / 1e6:.0f} MB ({_reason(error)}); "
            "check the connection and run the command again: it goes on from there"
        ) from error
    except ValueError as error:
        raise InputError(
            f"{url} has not the published MD5 {archive.md5}: it was changed on the way and is "
            "thrown away; run the command again"
        ) from error
    return file


class ResumingDownloader:
    """A downloader for pooch that continues a partial file with an HTTP Range request.

    pooch verifies the checksum of the whole file, so a partial file of another version is detected.
    A broken connection is opened again as long as each attempt receives data.
    """

    def __init__(self, part: Path) -> None:
        self._part = part

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """Download `url` to `output_file`."""
        import requests
        import urllib3

        done, flowing, idle = False, False, 0
        while not done:
            before = self._size()
            try:
                done = self._continue(url)
            except requests.HTTPError:
                raise
            except (requests.RequestException, urllib3.exceptions.HTTPError):
                flowing = flowing or self._size() > before
                idle = 0 if self._size() > before else idle + 1
                # Nothing was received at all: no network or no such server, so fail at once.
                if not flowing or idle >= _IDLE_ATTEMPTS:
                    raise
                time.sleep(idle)
        self._part.replace(output_file)

    def _size(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _continue(self, url: str) -> bool:
        """Receive the rest of the file; False if the download has to start again."""
        import requests

        had = self._size()
        # Some servers declare a .tar.gz as a gzip-encoded tar, which a client would then unpack.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={had}-"} if had else {})
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as response:
            if response.status_code == 416:
                total = response.headers.get("Content-Range", "").rpartition("/")[2]
                if had and total != str(had):
                    self._part.unlink()
                    return False
                if had:
                    return True
            response.raise_for_status()
            # A server without support for ranges answers 200 with the whole file.
            resumed = response.status_code == 206
            sent = response.headers.get("Content-Range", "")
            if resumed and not sent.startswith(f"bytes {had}-"):
                raise requests.ConnectionError(f"bytes from {had} on were asked for, not {sent}")
            self._receive(response, had if resumed else 0)
            return True

    def _receive(self, response: Any, start: int) -> None:
        import requests

        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        got = start
        with self._part.open("ab" if start else "wb") as file:
            for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=False):
                file.write(chunk)
                self._log_tenths(got, got + len(chunk), total)
                got += len(chunk)
        if total is not None and self._size() < total:
            raise requests.ConnectionError("the connection was closed early")

    def _log_tenths(self, before: int, now: int, total: int | None) -> None:
        """Log how much is there, where a tenth of the `total` bytes was completed just now."""
        if total is not None and 10 * now // total > 10 * before // total:
            name, size = self._part.stem, f"{total / 1e6:.0f} MB"
            _log.info(f"{name}: {now / 1e6:.0f} of {size} ({100 * now // total} %)")


def _unpack(packed: Path, name: str, target: Path) -> None:
    """Unpack `LibriSpeech/NAME` of a .tar.gz to `target`, which is created only when complete."""
    if not hasattr(tarfile, "data_filter"):
        raise InputError("this Python cannot unpack archives safely; use Python 3.11.4 or later")
    _log.info(f"unpacking {packed.name} to {target}")
    scratch = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=target.parent))
    try:
        with tarfile.open(packed, "r:gz") as archive:
            archive.extractall(scratch, filter="data")
        inside = scratch / "LibriSpeech" / name
        if not inside.is_dir():
            raise InputError(f"{packed} holds no folder LibriSpeech/{name}")
        inside.replace(target)
    except tarfile.FilterError as error:
        raise InputError(f"{packed} is refused: {error}; delete it") from error
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{packed} is not a complete .tar.gz ({error}); delete it") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _reason(error: Exception) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answered {response.status_code} {response.reason}"
    text = str(error).lower()
    for sign, meaning in (
        ("resolve", "the name of the server cannot be resolved"),
        ("timed out", "no answer in time"),
        ("refused", "connection refused"),
        ("proxy", "the proxy refuses"),
    ):
        if sign in text:
            return meaning
    return "the connection broke"
