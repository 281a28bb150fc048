"""Where MLX keeps what it compiles for a CPU: in the folder for temporary files.

It makes one kernel of several operations with the system's compiler, in `mlx/VERSION/cpu` there.
Where that cannot be, since the folder is missing or full, the cache is another user's, or there is
no compiler, it fails in the midst of a model. Knows files only, not MLX.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

_COMPILER = "g++"
_VARIABLES = ("TMPDIR", "TMP", "TEMP", "TEMPDIR")  # in the order in which C++ reads them
_NEEDED_BYTES = 1_000_000


def place_kernels(version: str) -> bool:
    """Make sure that MLX has a folder for its kernels, one of the user's own if need be.

    Args:
        version: of MLX.

    Returns:
        Whether it can compile; False: it should be told not to.
    """
    if not sys.platform.startswith("linux"):
        return True
    if shutil.which(_COMPILER) is None:
        return False
    # A variable that is set and empty counts there, and names no folder.
    given = next((os.environ[name] for name in _VARIABLES if name in os.environ), "/tmp")
    if given and _can_keep(Path(given), version):
        return True
    for folder in _own_folders():
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _can_keep(folder, version):
            os.environ["TMPDIR"] = str(folder)
            return True
    return False


def _own_folders() -> list[Path]:
    found = []
    with contextlib.suppress(OSError, RuntimeError):
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        found.append(Path(cache) / "alignheads" / "kernels")
    with contextlib.suppress(OSError):
        found.append(Path(tempfile.gettempdir()) / f"alignheads-{os.getuid()}")
    return found


def _can_keep(folder: Path, version: str) -> bool:
    """Whether `folder` takes files of ours, and so does MLX's own part of it, which is made."""
    part = folder / "mlx" / version / "cpu"
    try:
        if not folder.is_dir():
            return False
        part.mkdir(parents=True, exist_ok=True)
        is_ours = part.stat().st_uid in (os.getuid(), 0)
        with tempfile.NamedTemporaryFile(dir=part) as file:
            file.write(b"\0" * _NEEDED_BYTES)
            file.flush()
        return is_ours
    except OSError:
        return False
