"""How much silence after the audio Whisper's encoder needs: word error rate by margin.

    python benchmarks/whisper_margin.py --model FOLDER --corpus CORPUS

Offline, greedy, in English; utterances of no more than 30 s. Infinite is the whole window, as the
model was trained.
"""

from __future__ import annotations

import math
import time
from typing import Annotated

import typer

from alignheads.commandline import run
from alignheads.corpora import load_corpus
from alignheads.evaluate.error_rates import word_errors
from alignheads.evaluate.normalise import normalise
from alignheads.runtime.models.model import SpeechModel
from alignheads.runtime.models.protocol import text_of

MARGINS_S = (math.inf, 10.0, 7.5, 5.0, 4.0, 3.0, 2.0, 1.0)
TOGETHER = 10


def margins(
    model: Annotated[str, typer.Option(help="a Whisper model")] = "whisper-base",
    corpus: Annotated[str, typer.Option(help="English speech")] = "librispeech:test-other",
    margin_s: Annotated[list[float] | None, typer.Option(help="repeat it")] = None,
) -> None:
    """Print one line for each margin."""
    loaded = SpeechModel.load(model)
    utterances = load_corpus(corpus).utterances
    references = [normalise(one.text, "whisper", "English") for one in utterances]
    print("| margin s | WER % | substitutions | deletions | insertions | seconds |")
    print("| --- | --- | --- | --- | --- | --- |")
    encode = loaded.encode
    for margin in margin_s or MARGINS_S:
        loaded.encode = lambda samples, _=None, margin=margin: encode(samples, margin)
        begin, texts = time.perf_counter(), []
        for start in range(0, len(utterances), TOGETHER):
            batch = utterances[start : start + TOGETHER]
            answers = loaded.generate([loaded.prefill(one.read(), "en") for one in batch])
            texts += [text_of(loaded, answer.text_ids) for answer in answers]
        spent_s = time.perf_counter() - begin
        found = word_errors(references, [normalise(t, "whisper", "English") for t in texts])
        print(
            f"| {margin:g} | {100 * found.errors / found.reference:.2f} | {found.substitutions} "
            f"| {found.deletions} | {found.insertions} | {spent_s:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    run(margins)
