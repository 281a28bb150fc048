"""The training pool: synthetic speech and real digits, on disk as one int16 array.

    python -m tools.tiny_model.corpus --digits DIR --out work/

writes `samples.npy` (all utterances end to end) and `index.jsonl`, one line each: kind
(`synthetic` or `digit`), speaker, offset, length, and words with their times in seconds.
One process for each core, unless `--workers` says otherwise; other numbers
give a slightly different pool.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random

import numpy as np
import soundfile
import soxr

from . import grammar
from .speech import SAMPLE_RATE, Speech, Synthesizer, Voice

LANGUAGE_VOICES = ("en-us", "en", "en-gb-x-rp", "en-gb-scotland")
VARIANTS = ("", "+f2", "+f4", "+m3", "+m7", "+f5", "+m1", "+Andrea")
VOICES = [language + variant for language in LANGUAGE_VOICES for variant in VARIANTS]
FIRST_TRAINING_RECORDING = 10  # recordings 5 to 9 of each digit and speaker are kept out

_synthesizer: Synthesizer | None = None


def random_voice(random: Random, name: str | None = None) -> Voice:
    """A voice of the set with a random rate and pitch."""
    return Voice(name or random.choice(VOICES), random.randint(140, 200), random.randint(30, 70))


def speak(text: str, voice: Voice) -> Speech:
    """`text` spoken, by the synthesizer of this process."""
    global _synthesizer
    if _synthesizer is None:
        _synthesizer = Synthesizer()
    return _synthesizer.say(text, voice)


def _synthesize_some(job: tuple[int, int, float]) -> list[tuple[dict, np.ndarray]]:
    seed, count, long_share = job
    random = Random(f"train {seed}")
    made = []
    while len(made) < count:
        clauses = random.randint(2, 5) if random.random() < long_share else 1
        text = grammar.sentence(random, clauses)
        voice = random_voice(random)
        try:
            speech = speak(text, voice)
        except ValueError:
            continue  # a few word pairs have no separate timing
        if len(speech.samples) > 15 * SAMPLE_RATE:
            continue
        made.append(({"kind": "synthetic", "speaker": voice.name, "words": speech.words},
                     speech.samples))  # fmt: skip
    return made


def read_digits(folder: Path, first: int, last: int) -> list[tuple[dict, np.ndarray]]:
    """Recordings `first` to `last` of the Free Spoken Digit Dataset, at 16 kHz.

    Files are `{digit}_{speaker}_{index}.wav`, trimmed to the word.
    """
    made = []
    for path in sorted(folder.glob("*.wav")):
        digit, speaker, index = path.stem.split("_")
        if not first <= int(index) <= last:
            continue
        samples, rate = soundfile.read(path, dtype="float32")
        samples = soxr.resample(samples, rate, SAMPLE_RATE)
        word = grammar.DIGITS[int(digit)]
        entry = {
            "kind": "digit",
            "speaker": speaker,
            "words": [(word, 0.0, len(samples) / SAMPLE_RATE)],
        }
        made.append((entry, np.clip(samples * 32767, -32768, 32767).astype(np.int16)))
    return made


def main() -> None:
    """Write the pool."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--digits", type=Path, required=True, help="folder of spoken digits")
    parser.add_argument("--out", type=Path, default=Path("work"))
    parser.add_argument("--utterances", type=int, default=50_000)
    parser.add_argument("--long-share", type=float, default=0.2)
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes that speak")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    jobs = [(seed, 500, args.long_share) for seed in range(args.utterances // 500)]
    position, parts, lines = 0, [], []
    with ProcessPoolExecutor(args.workers) as pool:
        for batch in (*pool.map(_synthesize_some, jobs),
                      read_digits(args.digits, FIRST_TRAINING_RECORDING, 49)):  # fmt: skip
            for entry, samples in batch:
                lines.append(json.dumps({**entry, "offset": position, "length": len(samples)}))
                parts.append(samples)
                position += len(samples)
    np.save(args.out / "samples.npy", np.concatenate(parts))
    (args.out / "index.jsonl").write_text("\n".join(lines) + "\n")
    print(f"{len(lines)} utterances, {position / SAMPLE_RATE / 3600:.1f} h in {args.out}")


if __name__ == "__main__":
    main()
