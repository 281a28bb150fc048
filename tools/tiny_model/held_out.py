"""Speech that training never saw, with word times: sentences of the grammar and digit strings.

    python -m tools.tiny_model.held_out demo --pool work/ --out corpora/demo
    python -m tools.tiny_model.held_out digits --digits DIR --out work/digits --count 60

Both write the layout of LibriSpeech with a TextGrid beside each FLAC file.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import soundfile
from praatio import textgrid
from praatio.data_classes.interval_tier import IntervalTier

from . import grammar
from .corpus import FIRST_TRAINING_RECORDING, VOICES, random_voice, read_digits, speak
from .speech import SAMPLE_RATE

SPLITS = ("discover", "dev", "test")
PER_SPLIT = 16


@dataclass(frozen=True)
class HeldOut:
    """`samples` int16 [n] at 16 kHz; `words` (word, start_s, end_s); a speaker's name."""

    samples: np.ndarray
    words: list[tuple[str, float, float]]
    speaker: str

    @property
    def text(self) -> str:
        return " ".join(word for word, _, _ in self.words)

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE


def padded(samples: np.ndarray, words, speaker: str, before_s: float, after_s: float) -> HeldOut:
    """Silence at both ends, the word times moved along."""
    before, after = int(before_s * SAMPLE_RATE), int(after_s * SAMPLE_RATE)
    moved = before / SAMPLE_RATE
    times = [(word, start + moved, end + moved) for word, start, end in words]
    return HeldOut(np.pad(samples, (before, after)), times, speaker)


def sentences(
    random: Random, known: Collection[str], shortest_s: float, longest_s: float
) -> Iterator[HeldOut]:
    """Endless unseen sentences of `shortest_s` to `longest_s` seconds, silence included."""
    while True:
        text = grammar.sentence(random, random.randint(1, 6))
        voice = random_voice(random)
        if text in known:
            continue
        try:
            speech = speak(text, voice)
        except ValueError:
            continue
        made = padded(speech.samples, speech.words, voice.name,
                      random.uniform(0.1, 0.5), random.uniform(0.3, 0.8))  # fmt: skip
        if shortest_s <= made.seconds <= longest_s:
            yield made


def digit_strings(random: Random, folder: Path) -> Iterator[HeldOut]:
    """Endless strings of 3 to 12 real digits by one speaker, from recordings kept out."""
    by_speaker: dict[str, list] = {}
    for entry, samples in read_digits(folder, 5, FIRST_TRAINING_RECORDING - 1):
        by_speaker.setdefault(entry["speaker"], []).append((entry["words"][0][0], samples))
    while True:
        speaker = random.choice(sorted(by_speaker))
        parts, words, position = [], [], 0
        for _ in range(random.randint(3, 12)):
            word, samples = random.choice(by_speaker[speaker])
            start = position / SAMPLE_RATE
            words.append((word, start, start + len(samples) / SAMPLE_RATE))
            gap = np.zeros(int(random.uniform(0.05, 0.5) * SAMPLE_RATE), np.int16)
            parts += [samples, gap]
            position += len(samples) + len(gap)
        yield padded(np.concatenate(parts), words, speaker,
                     random.uniform(0.1, 0.5), random.uniform(0.1, 0.5))  # fmt: skip


def turns(
    random: Random, sources: list[Iterator[HeldOut]], shortest_s: float, longest_s: float
) -> Iterator[HeldOut]:
    """Endless turns from any of `sources`, with pauses of 0.3 to 3 s, as in a long stream."""
    while True:
        parts, words, speakers, seconds = [], [], set(), 0.0
        while seconds < shortest_s:
            one = next(random.choice(sources))
            pause = np.zeros(int(random.uniform(0.3, 3.0) * SAMPLE_RATE), np.int16)
            words += [(word, start + seconds, end + seconds) for word, start, end in one.words]
            parts += [one.samples, pause]
            speakers.add(one.speaker)
            seconds += one.seconds + len(pause) / SAMPLE_RATE
        if seconds <= longest_s:
            yield HeldOut(np.concatenate(parts), words, "+".join(sorted(speakers)))


def write(folder: Path, utterances: list[HeldOut], chapter_number: int = 1) -> None:
    """Write LibriSpeech's layout: `SPEAKER/CHAPTER/SPEAKER-CHAPTER-0000.flac`, TextGrid, text."""
    if folder.exists():
        shutil.rmtree(folder)
    speakers = sorted({u.speaker for u in utterances})
    lines: dict[Path, list[str]] = {}
    for utterance in utterances:
        number = 100 + (VOICES.index(utterance.speaker) if utterance.speaker in VOICES
                        else 100 + speakers.index(utterance.speaker))  # fmt: skip
        chapter = folder / str(number) / str(chapter_number)
        chapter.mkdir(parents=True, exist_ok=True)
        transcripts = chapter / f"{number}-{chapter_number}.trans.txt"
        key = f"{number}-{chapter_number}-{len(lines.setdefault(transcripts, [])):04d}"
        lines[transcripts].append(f"{key} {utterance.text}")
        soundfile.write(chapter / f"{key}.flac", utterance.samples, SAMPLE_RATE)
        grid = textgrid.Textgrid(0, utterance.seconds)
        entries = [(start, end, word) for word, start, end in utterance.words]
        grid.addTier(IntervalTier("words", entries, 0, utterance.seconds))
        grid.save(str(chapter / f"{key}.TextGrid"), format="long_textgrid",
                  includeBlankSpaces=True)  # fmt: skip
    for path, texts in lines.items():
        path.write_text("\n".join(texts) + "\n")


def known_texts(pool: Path) -> set[str]:
    """The texts that training saw."""
    lines = (pool / "index.jsonl").read_text().splitlines()
    return {" ".join(word for word, _, _ in json.loads(line)["words"]) for line in lines}


def write_demo(pool: Path, out: Path) -> None:
    """The bundled corpus: three splits of 16, 2 to 15 s, every voice of the training set."""
    random = Random("demo")
    known = known_texts(pool)
    voices = VOICES * 2
    voices = voices[: PER_SPLIT * len(SPLITS)]
    random.shuffle(voices)
    for number, split in enumerate(SPLITS):
        made = []
        for i in range(PER_SPLIT):
            # Short ones are more common than long ones, as in a corpus of read speech.
            wanted_s = 2.2 + 12.3 * (i / (PER_SPLIT - 1)) ** 2.0
            voice = voices[number * PER_SPLIT + i]
            made.append(_sentence_of(random, known, voice, wanted_s))
        write(out / split, made, chapter_number=number + 1)


def _sentence_of(random: Random, known: set[str], voice_name: str, wanted_s: float) -> HeldOut:
    while True:
        text = grammar.sentence(random, random.randint(1, 6))
        if text in known:
            continue
        try:
            speech = speak(text, random_voice(random, voice_name))
        except ValueError:
            continue
        made = padded(speech.samples, speech.words, voice_name,
                      random.uniform(0.1, 0.5), random.uniform(0.3, 0.8))  # fmt: skip
        if abs(made.seconds - wanted_s) < 0.4:
            known.add(text)
            return made


def main() -> None:
    """Write one of the two corpora."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="the bundled demo corpus")
    demo.add_argument("--pool", type=Path, default=Path("work"))
    demo.add_argument("--out", type=Path, required=True)
    digits = commands.add_parser("digits", help="strings of real digits")
    digits.add_argument("--digits", type=Path, required=True)
    digits.add_argument("--out", type=Path, required=True)
    digits.add_argument("--count", type=int, default=60)
    args = parser.parse_args()
    if args.command == "demo":
        write_demo(args.pool, args.out)
    else:
        strings = digit_strings(Random("digits"), args.digits)
        write(args.out, [next(strings) for _ in range(args.count)])


if __name__ == "__main__":
    main()
