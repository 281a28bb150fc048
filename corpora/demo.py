"""The bundled demo corpus: 48 synthetic utterances in three splits, with gold word times."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from .corpus import Corpus
from .librispeech import load_librispeech

SPLITS = ("discover", "dev", "test", "all")
_FOLDER = Path(__file__).parent / "demo"


def load_demo(split: str = "discover", *, strict: bool = False, folder: Path = _FOLDER) -> Corpus:
    """One split of the demo corpus, or `all` of them.

    Raises:
        InputError: this installation lacks the corpus.
    """
    part = folder if split == "all" else folder / split
    if not part.is_dir():
        raise InputError(f"the bundled demo corpus is missing ({part}); install alignheads again")
    return load_librispeech(part, f"demo:{split}", strict=strict)
