"""Measure a tiny checkpoint against its bars, offline, with greedy decoding.

    python -m tools.tiny_model.evaluate --model work/tiny --pool work/ --digits DIR

Everything is unseen: sentences that are not in the pool, and recordings of digits that were
kept out. Prints a table, and exits with 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

import jiwer
import numpy as np

from alignheads import SpeechModel, discover_heads
from alignheads.runtime.models.protocol import text_of

from .held_out import HeldOut, digit_strings, known_texts, sentences, turns
from .speech import SAMPLE_RATE

BATCH = 16
HEAD_BAR, HEADS_WANTED = 0.8, 6


def texts(model: SpeechModel, clips: Iterable[np.ndarray]) -> list[str]:
    """Greedy transcripts of int16 or float clips, the language left to the model."""
    found = []
    for batch in _batched(clips):
        floats = [c / 32768 if c.dtype == np.int16 else c for c in batch]
        prefixes = [model.prefill(samples) for samples in floats]
        found += [text_of(model, one.text_ids).strip() for one in model.generate(prefixes)]
    return found


def _batched(clips: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, ...]]:
    iterator = iter(clips)
    while batch := tuple(itertools.islice(iterator, BATCH)):
        yield batch


def word_error_rate(model: SpeechModel, utterances: list[HeldOut]) -> dict:
    """WER in percent with its counts, over `utterances`."""
    hypotheses = texts(model, (u.samples for u in utterances))
    output = jiwer.process_words([u.text for u in utterances], hypotheses)
    exact = np.mean([u.text == h for u, h in zip(utterances, hypotheses, strict=True)])
    return {
        "wer_percent": 100 * output.wer,
        "substitutions": output.substitutions,
        "deletions": output.deletions,
        "insertions": output.insertions,
        "utterances": len(utterances),
        "exact_percent": 100 * float(exact),
        "seconds": sum(u.seconds for u in utterances),
    }


def nothing_clips(random: Random, count: int) -> list[np.ndarray]:
    """Silence, and white and rumbling noise of several levels, 0.5 to 15 s."""
    rng = np.random.default_rng(random.randint(0, 2**31))
    clips = []
    for i in range(count):
        samples = np.zeros(int(random.uniform(0.5, 15) * SAMPLE_RATE), np.float32)
        if i % 4:
            samples += rng.standard_normal(len(samples)).astype(np.float32)
            if i % 4 == 3:
                samples = np.cumsum(samples - samples.mean()).astype(np.float32)
                samples /= np.abs(samples).max()
            samples *= 10 ** random.uniform(-4, -1)
        clips.append(samples)
    return clips


def main() -> None:
    """Measure, print, and say whether the bars are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--pool", type=Path, default=Path("work"))
    parser.add_argument("--digits", type=Path, required=True)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    args = parser.parse_args()
    model, known, random = SpeechModel.load(args.model), known_texts(args.pool), Random("evaluate")

    short = list(itertools.islice(sentences(random, known, 1.0, 8.0), 400))
    long = list(itertools.islice(sentences(random, known, 8.0, 15.0), 150))
    digits = list(itertools.islice(digit_strings(random, args.digits), 200))
    mixed = [sentences(random, known, 1.0, 8.0), digit_strings(random, args.digits)]
    streamed = list(itertools.islice(turns(random, mixed, 16.0, 30.0), 100))
    quiet = texts(model, nothing_clips(random, 60))
    heads = discover_heads(model, "demo", cuts=0)
    following = int((heads.matrix("hit_rate") >= HEAD_BAR).sum())
    figures = {
        "sentences up to 8 s": word_error_rate(model, short),
        "sentences of 8 to 15 s": word_error_rate(model, long),
        "real digit strings": word_error_rate(model, digits),
        "turns of 16 to 30 s": word_error_rate(model, streamed),
    }
    passed = True
    for (name, figure), bar in zip(figures.items(), (1.0, 3.0, 1.5, 3.0), strict=True):
        met = figure["wer_percent"] <= bar
        passed &= met
        print(
            f"{name:24} WER {figure['wer_percent']:5.2f} % "
            f"(bar {bar} %) {'met' if met else 'MISSED'}"
            f"   S {figure['substitutions']} D {figure['deletions']} I {figure['insertions']}"
            f"   {figure['utterances']} utterances, {figure['exact_percent']:.1f} % exact"
        )
    wordy = sum(bool(text) for text in quiet)
    passed &= wordy == 0 and following >= HEADS_WANTED
    print(f"silence and noise        {wordy} of {len(quiet)} clips gave words (bar 0)")
    print(f"heads with hit rate {HEAD_BAR}  {following} (bar {HEADS_WANTED})")
    if args.json:
        figures |= {"wordy_noise_clips": wordy, "following_heads": following}  # type: ignore[dict-item]
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
