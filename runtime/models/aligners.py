"""The forced aligners by name. Two of them need no model and live with the corpora."""

from __future__ import annotations

from typing import Literal, get_args

from ...corpora.aligners import Aligner, GoldAligner
from ...corpora.pocketsphinx import PocketsphinxAligner
from ...errors import InputError
from .qwen3.aligner import Qwen3Aligner

AlignerName = Literal["gold", "qwen3", "pocketsphinx"]
ALIGNERS: tuple[str, ...] = get_args(AlignerName)


def make_aligner(name: str) -> Aligner:
    """The aligner called `gold`, `qwen3` or `pocketsphinx`.

    Weights are loaded, and if need be fetched, when the first utterance is aligned.

    Raises:
        InputError: an unknown name, or a library that is not installed.
    """
    makers = {"gold": GoldAligner, "qwen3": Qwen3Aligner, "pocketsphinx": PocketsphinxAligner}
    if name not in makers:
        raise InputError(f"no aligner {name!r}; known are {', '.join(ALIGNERS)}")
    return makers[name]()
