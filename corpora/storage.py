"""Speech in object storage: addresses as fsspec has them, and copies of objects on this disk.

Knows addresses (`s3://…`, `gs://…`, `https://…`), not what a corpus is. Corpora are read as files
are, from copies in the user's cache folder (`storage/`), whose names are made of their content: a
copy never changes, one that is there is not fetched again, and whoever has the name can tell
whether an object is still the same.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import posixpath
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, cast
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ..errors import InputError, OutputError
from ..wording import counted

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_FILES = ("file", "local")
_SUMS = ("ETag", "etag", "Content-MD5", "md5Hash", "content_md5", "Digest", "sha", "CRC")
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")
_AT_A_TIME = 16
_TELL_EVERY_S = 30.0

_log = logging.getLogger(__name__)


class ObjectMissing(InputError):
    """One object that is not there, or may not be read; others may be."""


def is_address(text: str) -> bool:
    """Whether `text` is an address (`s3://bucket/key`), and no path."""
    return bool(_ADDRESS.match(text))


def is_stored(path: Path) -> bool:
    """Whether `path` is from `path_of` of an address that is not on this machine."""
    return not isinstance(path, Path)


def is_local_folder(path: Path) -> bool:
    """Whether `path` is a folder of this machine."""
    return not is_stored(path) and path.is_dir()


def path_of(text: str) -> Path:
    """A path or an address as a path.

    Of an address that is not a file's, it is a `UPath`, which is used as a `Path` is: it tells
    parents and suffixes, joins names, and shows itself as the address.

    Raises:
        InputError: the extra `storage` is not installed, or fsspec does not know the protocol.
    """
    if not is_address(text):
        return Path(text)
    protocol = text.partition("://")[0].lower()
    if protocol in _FILES:
        return Path(url2pathname(urlsplit(text).path))
    try:
        from upath import UPath
    except ImportError as error:
        raise InputError(
            f"{text}: object storage needs the extra storage: pip install '.[storage]', in the "
            "checkout, and the driver of the protocol (s3fs, gcsfs, …)"
        ) from error
    try:
        return cast(Path, UPath(text))
    except ValueError as error:
        raise InputError(
            f"{text}: fsspec knows no protocol {protocol!r}; expected s3://, gs://, https://, "
            "or another one that an installed driver has"
        ) from error


def beside(folder: Path, name: str) -> Path:
    """The path that a table in `folder` calls `name`: relative, absolute, or an address."""
    if is_address(name):
        return path_of(name)
    if not is_stored(folder) or name.startswith("/"):
        return Path(folder if not is_stored(folder) else "/") / name
    protocol, _, place = f"{folder}/{name}".partition("://")
    # Keys are taken as they are: no store knows what .. is.
    return path_of(f"{protocol}://{posixpath.normpath(place)}")


def local_copy(path: Path) -> Path:
    """`path`, or of an object in storage the copy of it on this disk, fetched if need be.

    Raises:
        ObjectMissing: there is no such object, or it may not be read.
        InputError: the storage cannot be asked, the object came cut off, or there is no driver.
        OutputError: the cache folder cannot be written.
    """
    return _copied(path) if is_stored(path) else path


def local_copies(paths: Iterable[Path]) -> dict[Path, Path | ObjectMissing]:
    """`local_copy` of many, several at a time; an object that is not there as its error.

    Raises:
        InputError: see `local_copy`; nothing is known of an object that could not be asked for.
        OutputError: see there.
    """
    stored = list(dict.fromkeys(path for path in paths if is_stored(path)))
    return _all_copied(stored, {})


def known_copy(url: str, name: str) -> Path:
    """The copy called `name` of the object at `url`, in another process than the one that said so.

    Raises:
        InputError: see `local_copy`.
        InputError: or what is there now has another content.
    """
    copy = _kept() / name
    if not copy.is_file() and local_copy(path_of(url)) != copy:
        raise InputError(
            f"{url} is another object, or was changed in the meantime; run the command again"
        )
    return copy


def is_folder(path: Path) -> bool:
    """Whether an address is that of a folder: it ends with a slash, or objects lie below it.

    Raises:
        InputError: there is nothing, or the storage cannot be asked.
    """
    fs, place = _opened(path)
    with _in_a_line(path):
        fs.invalidate_cache()  # what was listed for an earlier command
    if str(path).endswith("/"):
        return True
    with _in_a_line(path):
        return fs.info(place)["type"] == "directory"


@contextlib.contextmanager
def folder_view(path: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A folder of this disk that looks like the one at an address, until the block ends.

    Its files are empty until the function beside it is called, which fetches all of them: then
    they are links to copies.

    Raises:
        InputError: see `local_copy`.
    """
    infos = {name: info for name, info in _listed(path).items() if not _is_hidden(name)}
    with tempfile.TemporaryDirectory(prefix="alignheads-") as scratch:
        view = Path(scratch).resolve() / (path.name or "storage")
        view.mkdir()
        for name in infos:
            (view / name).parent.mkdir(parents=True, exist_ok=True)
            (view / name).touch()

        def fill() -> None:
            objects = {path / name: info for name, info in infos.items()}
            copies = _all_copied(list(objects), objects)
            for name, found in zip(infos, copies.values(), strict=True):
                if isinstance(found, ObjectMissing):
                    raise found
                (view / name).unlink()
                (view / name).symlink_to(found)

        yield view, fill


def _listed(path: Path) -> dict[str, dict[str, Any]]:
    """What lies below `path`, by its name from there."""
    fs, place = _opened(path)
    with _in_a_line(path):
        found = fs.find(place, detail=True)
    start = place.rstrip("/") + "/"
    return {
        name.removeprefix(start): info for name, info in sorted(found.items())
        if name.startswith(start)
    }  # fmt: skip


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or not part for part in name.split("/"))


# Copies


def _all_copied(
    paths: list[Path], infos: Mapping[Path, dict[str, Any]]
) -> dict[Path, Path | ObjectMissing]:
    def copied(path: Path) -> Path | ObjectMissing:
        try:
            return _copied(path, infos.get(path))
        except ObjectMissing as error:
            return error

    if not paths:
        return {}
    # Of the others, one open archive may serve all of its objects.
    threads = _AT_A_TIME if all(_opened(path)[0].async_impl for path in paths) else 1
    tell_s = time.monotonic()
    found: dict[Path, Path | ObjectMissing] = {}
    with ThreadPoolExecutor(threads) as pool:
        try:
            for path, one in zip(paths, pool.map(copied, paths), strict=True):
                found[path] = one
                if time.monotonic() > tell_s + _TELL_EVERY_S:
                    tell_s = time.monotonic()
                    _log.info("fetched %d of %s", len(found), counted(len(paths), "object"))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return found


def _kept() -> Path:
    """The folder of the copies."""
    import pooch

    return Path(pooch.os_cache("alignheads")) / "storage"


def _copied(path: Path, info: dict[str, Any] | None = None) -> Path:
    fs, place = _opened(path)
    if info is None or _version(info) is None:  # a list may tell less
        with _in_a_line(path):
            info = dict(fs.info(place))
    version = _version(info)
    key = _digest(f"{path}\n{version}".encode())
    note = _kept() / "versions" / key
    if version is not None:
        with contextlib.suppress(OSError):
            copy = _kept() / note.read_text()
            if copy.is_file():
                return copy
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        temporary = _kept() / f".{key}.{os.getpid()}.{threading.get_ident()}.tmp"
        try:
            with _in_a_line(path, writes=temporary):
                fs.get_file(place, str(temporary))
            got, size = temporary.stat().st_size, info.get("size")
            if size is not None and got != size:
                raise InputError(
                    f"{path} came cut off, {got} of {size} bytes; run the command again"
                )
            copy = _kept() / (_digest_of(temporary) + _suffix(str(path)))
            temporary.replace(copy)
            if version is not None:
                temporary.write_text(copy.name)
                temporary.replace(note)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write to {_kept()}: {error.strerror or error}") from error
    return copy


def _version(info: Mapping[str, Any]) -> str | None:
    """What changes when an object does; None: the storage does not tell."""
    for names in (_SUMS, _TIMES):
        for name in names:
            if info.get(name):
                return f"{name} {info[name]} {info.get('size')}"
    return None


def _suffix(url: str) -> str:
    suffix = PurePosixPath(urlsplit(url).path).suffix.lower()
    return suffix if re.fullmatch(r"\.\w{1,8}", suffix) else ".object"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


# The storage


def _opened(path: Path) -> tuple[Any, str]:
    """The file system of an address, and the place in it."""
    with _in_a_line(path):
        stored: Any = path
        return stored.fs, stored.path


@contextlib.contextmanager
def _in_a_line(path: Path, *, writes: Path | None = None) -> Iterator[None]:
    """What a driver raises, and each raises its own, as one line.

    Args:
        path: what is asked for.
        writes: a file of this disk whose errors are not the storage's.
    """
    try:
        yield
    except ImportError as error:
        raise InputError(f"{path} cannot be read: {error}") from error  # which driver to install
    except Exception as error:
        if isinstance(error, OSError) and _is_of_disk(error, writes):
            raise
        if _is_missing(error):
            is_barred = isinstance(error, PermissionError) or _status(error) in (401, 403)
            what = "no permission to read" if is_barred else "there is no"
            raise ObjectMissing(f"{what} {path}") from error
        raise InputError(
            f"{path} cannot be read: {_reason(error)}; see that the network and the "
            "credentials of its driver are there, and run the command again"
        ) from error


def _is_of_disk(error: OSError, writes: Path | None) -> bool:
    if writes is None:
        return False
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS) or error.filename == str(writes)


def _is_missing(error: Exception) -> bool:
    """Whether the storage said that there is nothing, or not for us.

    Over HTTP fsspec says of everything that there is no such file; the cause tells.
    """
    if type(error.__cause__).__module__.startswith("aiohttp"):
        return _status(error) in (401, 403, 404, 410)
    return isinstance(error, FileNotFoundError | PermissionError)


def _status(error: Exception) -> int | None:
    """Of an answer over HTTP."""
    return getattr(error.__cause__, "status", None)


def _reason(error: BaseException) -> str:
    cause = error.__cause__ or error
    text = " ".join(str(cause).split()) or type(cause).__name__
    known = cause if isinstance(cause, OSError | ImportError | ValueError) else None
    text = text if known is not None else f"{type(cause).__name__}: {text}"
    return text if len(text) <= 200 else text[:199] + "…"
