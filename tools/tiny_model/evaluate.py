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

from . import field
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


def rows(
    random: Random, known: set[str], digits_folder: Path
) -> Iterator[tuple[str, float, list[HeldOut]]]:
    """Each row's name, its limit of the WER in percent, and its utterances."""

    def some(source: Iterator[HeldOut], count: int) -> list[HeldOut]:
        return list(itertools.islice(source, count))

    short = some(sentences(random, known, 1.0, 8.0), 400)
    yield "sentences up to 8 s", 1.0, short
    yield "sentences of 8 to 15 s", 3.0, some(sentences(random, known, 8.0, 15.0), 150)
    digits = some(digit_strings(random, digits_folder), 200)
    yield "real digit strings", 1.5, digits
    mixed = [sentences(random, known, 1.0, 8.0), digit_strings(random, digits_folder)]
    yield "turns of 16 to 30 s", 3.0, some(turns(random, mixed, 16.0, 30.0), 100)

    rng = np.random.default_rng(random.randint(0, 2**31))
    few, few_digits = short[:60], digits[:60]
    both = [u for pair in zip(few, few_digits, strict=True) for u in pair]
    for law in (False, True):
        name = "8 kHz, 300-3400 Hz" + (", mu-law" if law else "")
        yield f"digits, {name}", 5.0, [field.by_telephone(u, law) for u in few_digits]
        yield f"sentences, {name}", 5.0, [field.by_telephone(u, law) for u in few]
    for snr_db, bar in ((20, 2.5), (10, 5.0), (5, 15.0)):
        yield f"white noise, {snr_db} dB", bar, [field.in_white_noise(rng, u, snr_db) for u in both]
        talk = [field.in_babble(rng, u, short[200:], snr_db) for u in both]
        yield f"babble, {snr_db} dB", bar, talk
    for pause_s in (5.0, 10.0, 30.0):
        zeros = [field.after_pause(u, pause_s) for u in both[:60]]
        yield f"after {pause_s:.0f} s of zeros", 3.0, zeros
    noisy = [field.after_pause(u, 30.0, rng) for u in both[:40]]
    yield "after 30 s of noise, 20 dB", 5.0, noisy
    inner = [field.with_pause_inside(a, b, 12.0) for a, b in zip(few[:30], few[30:], strict=True)]
    yield "12 s of zeros inside", 3.0, inner
    for gain_db in (-32, -16, 6):
        yield f"level {gain_db:+} dB", 2.0, [field.at_level(u, gain_db) for u in both]


def main() -> None:
    """Measure, print, and say whether the bars are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--pool", type=Path, default=Path("work"))
    parser.add_argument("--digits", type=Path, required=True)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    args = parser.parse_args()
    model, known, random = SpeechModel.load(args.model), known_texts(args.pool), Random("evaluate")

    figures, passed = {}, True
    for name, bar, utterances in rows(random, known, args.digits):
        figures[name] = figure = word_error_rate(model, utterances)
        met = figure["wer_percent"] <= bar
        passed &= met
        print(
            f"{name:36} WER {figure['wer_percent']:6.2f} % "
            f"(bar {bar} %) {'met' if met else 'MISSED'}"
            f"   S {figure['substitutions']} D {figure['deletions']} I {figure['insertions']}"
            f"   {figure['utterances']} utterances, {figure['exact_percent']:.1f} % exact",
            flush=True,
        )
    clips = {"silence and noise": nothing_clips(random, 60)}
    clips |= field.non_speech_clips(np.random.default_rng(random.randint(0, 2**31)), 50)
    for name, some in clips.items():
        found = texts(model, some)
        wordy = sum(bool(text) for text in found)
        passed &= wordy == 0
        figures[name] = {"clips": len(some), "wordy": wordy, "texts": [t for t in found if t]}
        print(f"{name:36} {wordy} of {len(some)} clips gave words (bar 0)", flush=True)
    for name, some in field.later_clips(np.random.default_rng(77), 50).items():
        found = [text for text in texts(model, some) if text]
        figures[name] = {"clips": len(some), "wordy": len(found), "texts": found}
        print(f"{name:36} {len(found)} of {len(some)} clips gave words (no bar)", flush=True)
    heads = discover_heads(model, "demo", cuts=0)
    following = int((heads.matrix("hit_rate") >= HEAD_BAR).sum())
    passed &= following >= HEADS_WANTED
    print(f"heads with hit rate {HEAD_BAR}  {following} (bar {HEADS_WANTED})")
    if args.json:
        args.json.write_text(json.dumps({**figures, "following_heads": following}, indent=1) + "\n")
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
