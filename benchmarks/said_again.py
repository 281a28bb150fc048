"""How many words come out where one sound is said again and again with pauses between.

    python benchmarks/said_again.py --recordings DIR

DIR holds single digits as `{digit}_{speaker}_{index}.wav`, as in the Free Spoken Digit Dataset.
"""

from __future__ import annotations

import alignheads.runtime.models  # isort: skip  # noqa: F401  OpenBLAS must come before MLX

from collections import Counter
from pathlib import Path
from random import Random
from typing import Annotated

import numpy as np
import typer

from alignheads.commandline import run
from alignheads.corpora.audio import SAMPLE_RATE, read_audio
from alignheads.errors import InputError
from alignheads.runtime.models.model import SpeechModel
from alignheads.runtime.stream.decoder import StreamDecoder

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def said_again(
    recordings: Annotated[Path, typer.Option(help="folder of single digits")],
    model: Annotated[str, typer.Option(help="tiny, or a folder")] = "tiny",
    first: Annotated[int, typer.Option(help="recordings from this index")] = 5,
    last: Annotated[int, typer.Option(help="to this")] = 9,
    clips: Annotated[int, typer.Option(help="so many of them, drawn")] = 60,
    times: Annotated[int, typer.Option(help="how often each is said")] = 25,
    pause_s: Annotated[float, typer.Option(help="zeros after each time")] = 0.4,
    seed: Annotated[int, typer.Option(help="of the draw")] = 0,
) -> None:
    """Print the recordings that do not give so many words, and how many give how many."""
    loaded = SpeechModel.load(model)
    paths = [p for p in sorted(recordings.glob("?_*_*.wav")) if first <= index_of(p) <= last]
    if not paths:
        raise InputError(
            f"{recordings} has no recordings {first} to {last}", arguments=("recordings",)
        )
    counts, exact = Counter[int](), 0
    for path in Random(seed).sample(paths, min(clips, len(paths))):
        sound = np.r_[read_audio(path), np.zeros(round(pause_s * SAMPLE_RATE), np.float32)]
        stream = StreamDecoder(loaded, language="English")
        samples = np.tile(sound, times)
        for start in range(0, len(samples), SAMPLE_RATE):
            stream.feed(samples[start : start + SAMPLE_RATE])
        stream.finish()
        words = [word.text.lower() for word in stream.words]
        counts[len(words)] += 1
        exact += words == [NAMES[int(path.stem[0])]] * times
        if len(words) != times:
            print(f"{path.stem}: {len(words)} words")
    for count, found in sorted(counts.items()):
        print(f"{count} words: {found} of {counts.total()} recordings")
    print(f"{times} times the digit that it is: {exact}")


def index_of(path: Path) -> int:
    """The recording's number."""
    return int(path.stem.rsplit("_", 1)[1])


if __name__ == "__main__":
    run(said_again)
