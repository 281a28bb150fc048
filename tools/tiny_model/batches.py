"""Training batches, composed from the pool on the fly.

An utterance is one or more pool items with pauses between them, never cut short at its
end: the model must learn to guess beyond the end of the audio, as the real ones do. The
front may start at a later word; the words before it then go to the system prompt, which
is how a stream is decoded once the front of its buffer has been dropped. Late in the training
two of five are such buffers: turns of several voices with long pauses, of up to 31 s; and what
users' recordings have (`augment`): noise, babble, a telephone's band, sounds that are not speech,
low levels, and pauses of up to 30 s.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
import torch

from . import augment, grammar
from .network import CHUNK_FRAMES, audio_token_count
from .speech import SAMPLE_RATE

HOP = 160
NOTHING_SHARE, DIGIT_SHARE, JOINED_SHARE = 0.03, 0.12, 0.35
# Real voices are few and come last: with synthetic speech learned, digits get a larger share.
LATE_DIGIT_SHARE, LATE = 0.4, 0.72
# So does what a stream's buffer holds: turns of several voices, long pauses, no proper beginning.
LATE_STREAM_SHARE = 0.4
REPEATED_DIGIT_SHARE = 0.12  # one digit several times in a row is where a small model miscounts
SHORTEST_MAX_S, LONGEST_S = 3.5, 16.0
LATE_LONGEST_S, PAUSED_LONGEST_S = 31.0, 46.0
# Recordings as users have them, late in the training. Shares of the utterances.
LATE_NOTHING_SHARE = 0.12
PAUSE_SHARE, LONGEST_PAUSE_S = 0.1, 30.0  # a long pause at an end; each end
INNER_PAUSE_SHARE = 0.2  # of the pauses inside a stream that are not short
JOINED_PAUSE_SHARE = 0.05  # of the pauses between joined utterances: as long
NOISE_SHARE, SOUND_SHARE, TELEPHONE_SHARE, EQUALISED_SHARE = 0.55, 0.14, 0.3, 0.2
LISTED_CONTEXT_SHARE = 0.08  # a context that is a list of words, said or not
MANY_TIMES_SHARE = 0.06  # of the digit strings: one recording, up to 25 times
FULL_LENGTH_AT = 0.35  # progress at which the curriculum lets every length in
SORTED_TOGETHER = 400  # utterances that are sorted by length to make batches


@dataclass(frozen=True)
class Example:
    """One utterance: `samples` float32 [n], its text, the context before it, the language."""

    samples: np.ndarray
    text: str
    context: str = ""
    language: str = "English"
    language_is_given: bool = False


@dataclass(frozen=True)
class Batch:
    """Tensors for `log_mel` and `TinyASR.forward`, the next tokens, and the CTC targets."""

    audio: torch.Tensor
    lengths: torch.Tensor
    counts: torch.Tensor
    tokens: torch.Tensor
    select: torch.Tensor
    targets: torch.Tensor
    ctc_targets: torch.Tensor
    ctc_lengths: torch.Tensor

    def pin_memory(self) -> Batch:
        """In memory that a GPU copies from by itself. `DataLoader` calls it by this name."""
        return Batch(**{name: value.pin_memory() for name, value in vars(self).items()})

    def to(self, device: torch.device) -> Batch:
        """On `device`."""
        moved = {name: value.to(device, non_blocking=True) for name, value in vars(self).items()}
        return Batch(**moved)


@dataclass(frozen=True)
class Mix:
    """What the utterances of a part of the training are: shares, and whether from the field."""

    nothing: float = NOTHING_SHARE
    digits: float = DIGIT_SHARE
    streamed: float = 0.0
    field: bool = False


EARLY_MIX = Mix()
LATE_MIX = Mix(LATE_NOTHING_SHARE, LATE_DIGIT_SHARE, LATE_STREAM_SHARE, field=True)


class Pool:
    """The corpus on disk, by kind and speaker."""

    def __init__(self, folder: Path) -> None:
        self.samples = np.load(folder / "samples.npy", mmap_mode="r")
        lines = (folder / "index.jsonl").read_text().splitlines()
        self.entries = [json.loads(line) for line in lines]
        self.synthetic, self.by_voice, self.by_speaker = [], {}, {}
        for i, entry in enumerate(self.entries):
            group = self.by_voice if entry["kind"] == "synthetic" else self.by_speaker
            group.setdefault(entry["speaker"], []).append(i)
            if entry["kind"] == "synthetic":
                self.synthetic.append(i)

    def seconds(self, i: int) -> float:
        return self.entries[i]["length"] / SAMPLE_RATE

    def audio(self, i: int) -> np.ndarray:
        start = self.entries[i]["offset"]
        part = self.samples[start : start + self.entries[i]["length"]]
        return part.astype(np.float32) / 32768.0

    def text(self, i: int) -> str:
        return " ".join(word for word, _, _ in self.entries[i]["words"])


def compose(pool: Pool, rng: np.random.Generator, max_s: float, mix: Mix) -> Example:
    """One random utterance of at most `max_s` seconds, long pauses at its ends apart."""
    if rng.random() < mix.streamed:
        return _heard(pool, rng, *_streamed(pool, rng, max_s, mix.field), mix.field)
    kind = rng.random()
    if kind < mix.nothing:
        return _field_nothing(pool, rng, max_s) if mix.field else _nothing(rng, max_s)
    if kind < mix.nothing + mix.digits:
        if mix.field and rng.random() < MANY_TIMES_SHARE:
            return _heard(pool, rng, *_one_digit(pool, rng, max_s), mix.field)
        return _heard(pool, rng, *_digits(pool, rng, max_s), mix.field)
    if kind < mix.nothing + mix.digits + JOINED_SHARE:
        return _heard(pool, rng, *_joined(pool, rng, max_s, mix.field), mix.field)
    while pool.seconds(i := pool.synthetic[rng.integers(len(pool.synthetic))]) > max_s:
        pass
    return _heard(pool, rng, [pool.audio(i)], pool.text(i), "", mix.field)


def _heard(pool: Pool, rng: np.random.Generator, pieces, text: str, context: str, field: bool):
    return (_in_the_field if field else _augmented)(pool, rng, pieces, text, context)


def _nothing(rng: np.random.Generator, max_s: float) -> Example:
    samples = np.zeros(int(rng.uniform(0.5, max_s) * SAMPLE_RATE), np.float32)
    kind = rng.random()
    if kind < 0.7:
        samples += rng.standard_normal(len(samples)).astype(np.float32)
        if kind < 0.25:  # brown-ish: a room, not a hiss
            samples = np.cumsum(samples - samples.mean()).astype(np.float32)
            samples /= np.abs(samples).max() + 1e-9
        samples *= 10 ** rng.uniform(-4, -1)
    given = rng.random() < 0.4
    return Example(samples, "", "", "English" if given else "None", given)


def _field_nothing(pool: Pool, rng: np.random.Generator, max_s: float) -> Example:
    """Silence, noise or sounds that are not speech, through any channel, at any level."""
    count = int(10 ** rng.uniform(-0.3, np.log10(max_s)) * SAMPLE_RATE)
    samples, kind = np.zeros(count, np.float32), rng.random()
    if kind < 0.62:
        samples = augment.non_speech(rng, count)
        if rng.random() < 0.3:
            samples = augment.mixed(samples, augment.noise(rng, pool.samples, count),
                                    rng.uniform(0, 40))  # fmt: skip
    elif kind < 0.78:
        samples = augment.coloured_noise(rng, count, rng.choice([0.0, rng.uniform(0.0, 1.2)]))
    elif kind < 0.88:  # fewer voices could be understood
        samples = augment.babble(rng, pool.samples, count, int(rng.integers(6, 15)))
    samples = samples * np.float32(10 ** rng.uniform(-4, -0.05) / (np.abs(samples).max() + 1e-9))
    if rng.random() < TELEPHONE_SHARE:
        samples = augment.telephone(rng, samples)
    context = _listed_words(rng) if rng.random() < LISTED_CONTEXT_SHARE else ""
    given = rng.random() < 0.4
    return Example(_as_recorded(rng, samples), "", context, "English" if given else "None", given)


def _listed_words(rng: np.random.Generator) -> str:
    words = rng.choice(grammar.WORDS, size=int(rng.integers(1, 9)))
    return (", " if rng.random() < 0.5 else " ").join(words)


def _one_digit(pool: Pool, rng: np.random.Generator, max_s: float):
    """One recording many times, with pauses."""
    speakers = list(pool.by_speaker)
    group = pool.by_speaker[speakers[rng.integers(len(speakers))]]
    i = group[rng.integers(len(group))]
    piece = pool.audio(i)
    gap = np.zeros(int(rng.uniform(0.1, 0.8) * SAMPLE_RATE), np.float32)
    most = min(25, int(max_s * SAMPLE_RATE / (len(piece) + len(gap))))
    times = int(rng.integers(1, max(2, most + 1)))
    return [piece, gap] * times, " ".join([pool.text(i)] * times), ""


def _digits(pool: Pool, rng: np.random.Generator, max_s: float):
    speakers = list(pool.by_speaker)
    speaker = speakers[rng.integers(len(speakers))]
    pieces, words, total = [], [], 0.0
    # Real speech of one voice at one distance: one speed for the whole string.
    speed = rng.uniform(0.88, 1.14) if rng.random() < 0.6 else 1.0
    for _ in range(int(rng.integers(1, 15))):
        if rng.random() < 0.05:
            speaker = speakers[rng.integers(len(speakers))]
        again = bool(words) and rng.random() < REPEATED_DIGIT_SHARE
        while True:
            i = pool.by_speaker[speaker][rng.integers(len(pool.by_speaker[speaker]))]
            if not again or pool.text(i) == words[-1]:
                break
        piece = pool.audio(i)
        if speed != 1.0:
            piece = soxr.resample(piece, speed * SAMPLE_RATE, SAMPLE_RATE, quality="QQ")
        gap = np.zeros(int(rng.uniform(0.03, 0.6) * SAMPLE_RATE), np.float32)
        if total + (len(piece) + len(gap)) / SAMPLE_RATE > max_s and pieces:
            break
        total += (len(piece) + len(gap)) / SAMPLE_RATE
        pieces += [piece, gap]
        words.append(pool.text(i))
    return pieces[:-1], " ".join(words), ""


def _joined(pool: Pool, rng: np.random.Generator, max_s: float, field: bool):
    target = rng.uniform(3.0, max_s)
    voices = list(pool.by_voice)
    group = pool.by_voice[voices[rng.integers(len(voices))]]
    pieces, texts, context, total = [], [], "", 0.0
    for attempt in range(8):
        if rng.random() < 0.15:
            group = pool.by_voice[voices[rng.integers(len(voices))]]
        i = group[rng.integers(len(group))]
        audio, words = pool.audio(i), pool.entries[i]["words"]
        if attempt == 0 and len(words) > 3 and rng.random() < 0.3:
            first = int(rng.integers(1, len(words) - 1))
            audio = audio[int(words[first][1] * SAMPLE_RATE) :]
            if rng.random() < 0.7:
                context = " ".join(w for w, _, _ in words[:first])
            words = words[first:]
        gap_s = rng.choice([0.05, 0.3, 0.8]) * rng.uniform(0.5, 1.5)
        if field and rng.random() < JOINED_PAUSE_SHARE:
            gap_s = _long_pause_s(rng)
        gap = np.zeros(int(gap_s * SAMPLE_RATE))
        if total + (len(audio) + len(gap)) / SAMPLE_RATE > max_s:
            continue
        total += (len(audio) + len(gap)) / SAMPLE_RATE
        pieces += [audio, gap.astype(np.float32)]
        texts.append(" ".join(w for w, _, _ in words))
        if total > target:
            break
    if not pieces:
        return _digits(pool, rng, max_s)
    return pieces[:-1], " ".join(texts), context


def _pause_s(rng: np.random.Generator, field: bool) -> float:
    if rng.random() < 0.4:
        return rng.uniform(0.05, 0.6)
    if field and rng.random() < INNER_PAUSE_SHARE:
        return _long_pause_s(rng)
    return rng.uniform(0.3, 3.0)


def _long_pause_s(rng: np.random.Generator) -> float:
    return 3.0 * (LONGEST_PAUSE_S / 3.0) ** rng.random()


def _streamed(pool: Pool, rng: np.random.Generator, max_s: float, field: bool):
    """Turns of any voices, digits among them, with pauses; often none is whole."""
    target = rng.uniform(4.0, max_s)
    pieces, texts, context, total = [], [], "", 0.0
    for attempt in range(24):
        if rng.random() < 0.3:
            parts, text, _ = _digits(pool, rng, min(6.0, max_s))
            audio = np.concatenate(parts)
        else:
            i = pool.synthetic[rng.integers(len(pool.synthetic))]
            audio, words = pool.audio(i), pool.entries[i]["words"]
            if attempt == 0 and len(words) > 3 and rng.random() < 0.7:
                first = int(rng.integers(1, len(words) - 1))
                # A cut between words is not exact.
                cut_s = words[first][1] + rng.uniform(-0.06, 0.03)
                audio = audio[int(cut_s * SAMPLE_RATE) :]
                if rng.random() < 0.4:
                    context = " ".join(w for w, _, _ in words[:first])
                words = words[first:]
            text = " ".join(w for w, _, _ in words)
        gap = np.zeros(int(_pause_s(rng, field) * SAMPLE_RATE), np.float32)
        if total + (len(audio) + len(gap)) / SAMPLE_RATE > max_s:
            if not pieces:
                context = ""
            continue
        total += (len(audio) + len(gap)) / SAMPLE_RATE
        pieces += [audio * np.float32(10 ** (rng.uniform(-8, 0) / 20)), gap]
        texts.append(text)
        if total > target:
            break
    if not pieces:
        return _digits(pool, rng, max_s)
    if rng.random() < 0.5:
        pieces = pieces[:-1]
    if field and rng.random() < 0.5:
        return pieces, " ".join(texts), context
    hiss = 10 ** rng.uniform(-5, -3)
    pieces = [p + hiss * rng.standard_normal(len(p), dtype=np.float32) for p in pieces]
    return pieces, " ".join(texts), context


def _augmented(_: Pool, rng: np.random.Generator, pieces, text: str, context: str) -> Example:
    if rng.random() < 0.5:
        before, after = (rng.uniform(0.0, 0.9, 2) * SAMPLE_RATE).astype(int)
        pieces = [np.zeros(before, np.float32), *pieces, np.zeros(after, np.float32)]
    samples = np.concatenate(pieces) * np.float32(10 ** (rng.uniform(-14, 4) / 20))
    if rng.random() < 0.5:
        level = np.sqrt(np.mean(samples**2)) * 10 ** (-rng.uniform(20, 35) / 20)
        samples = samples + (rng.standard_normal(len(samples)) * level).astype(np.float32)
    samples = np.clip(samples, -1, 1)
    return Example(samples.astype(np.float32), text, context, "English", rng.random() < 0.5)


def _in_the_field(pool: Pool, rng: np.random.Generator, pieces, text: str, context: str) -> Example:
    """Pauses at the ends, sounds in them, noise, a channel, a level, the grid of 16 bits."""
    before_s, after_s = rng.uniform(0.0, 0.9, 2) * (rng.random() < 0.6)
    if rng.random() < PAUSE_SHARE:
        before_s = 0.9 * (LONGEST_PAUSE_S / 0.9) ** rng.random()
    if rng.random() < PAUSE_SHARE / 2:
        after_s = 0.9 * (LONGEST_PAUSE_S / 0.9) ** rng.random()
    before, after = int(before_s * SAMPLE_RATE), int(after_s * SAMPLE_RATE)
    samples = np.concatenate([np.zeros(before, np.float32), *pieces, np.zeros(after, np.float32)])
    count = len(samples)
    if rng.random() < EQUALISED_SHARE:
        samples = augment.equalised(rng, samples)
    if rng.random() < SOUND_SHARE:
        samples = _with_sound(rng, samples, before, after)
    by_telephone, noisy = rng.random() < TELEPHONE_SHARE, rng.random() < NOISE_SHARE
    noise_first = rng.random() < 0.6
    snr_db = rng.uniform(0, 22) if rng.random() < 0.7 else rng.uniform(15, 40)
    if noisy and noise_first:
        samples = augment.mixed(samples, augment.noise(rng, pool.samples, count), snr_db)
    # The channel's own quantisation and clipping depend on the level.
    samples = samples * np.float32(10 ** (_gain_db(rng) / 20))
    if by_telephone:
        samples = augment.telephone(rng, samples)
    if noisy and not noise_first:
        samples = augment.mixed(samples, augment.noise(rng, pool.samples, count), snr_db)
    if context == "" and rng.random() < LISTED_CONTEXT_SHARE:
        context = _listed_words(rng)
    given = rng.random() < 0.5
    return Example(_as_recorded(rng, samples), text, context, "English", given)


def _gain_db(rng: np.random.Generator) -> float:
    return rng.uniform(-14, 4) if rng.random() < 0.6 else rng.uniform(-38, 8)


def _with_sound(rng: np.random.Generator, samples: np.ndarray, before: int, after: int):
    """A sound in a pause at an end, at any level; or under the speech, at a low one."""
    level = augment.active_level(samples)
    spans = [(0, before), (len(samples) - after, len(samples))]
    start, end = spans[rng.integers(2)]
    low_db, high_db = -25, 3
    if end - start < SAMPLE_RATE // 2:
        start, end, low_db, high_db = 0, len(samples), -35, -12
    sound = augment.non_speech(rng, end - start)
    gain = level * 10 ** (rng.uniform(low_db, high_db) / 20) / (np.sqrt(np.mean(sound**2)) + 1e-9)
    samples = samples.copy()
    samples[start:end] += sound * np.float32(gain)
    return samples


def _as_recorded(rng: np.random.Generator, samples: np.ndarray) -> np.ndarray:
    samples = np.clip(samples, -1, 1).astype(np.float32)
    if rng.random() < 0.5:
        samples = np.round(samples * 32767) / np.float32(32768)
    return samples


class Collator:
    """Examples to tensors, with the tokenizer of the checkpoint."""

    def __init__(self, tokenizer, special: dict[str, int]) -> None:
        self.tokenizer, self.special = tokenizer, special

    def prompt(self, count: int, context: str) -> list[int]:
        """The chat template of Qwen3-ASR with `count` audio placeholders."""
        s, encode = self.special, self.tokenizer.encode
        head = [s["<|im_start|>"], *encode("system\n"), *encode(context), s["<|im_end|>"]]
        user = [*encode("\n"), s["<|im_start|>"], *encode("user\n"), s["<|audio_start|>"]]
        audio = [s["<|audio_pad|>"]] * count
        tail = [s["<|audio_end|>"], s["<|im_end|>"], *encode("\n"), s["<|im_start|>"]]
        return [*head, *user, *audio, *tail, *encode("assistant\n")]

    def __call__(self, examples: list[Example]) -> Batch:
        longest = max(len(e.samples) for e in examples)
        samples_per_chunk = CHUNK_FRAMES * HOP
        padded = -(-longest // samples_per_chunk) * samples_per_chunk
        audio = torch.zeros(len(examples), padded)
        for row, example in zip(audio, examples, strict=True):
            row[: len(example.samples)] = torch.from_numpy(example.samples)
        lengths = torch.tensor([len(e.samples) for e in examples])
        counts = audio_token_count(lengths // HOP)

        rows, scored, ctc, ctc_lengths = [], [], [], []
        for example, count in zip(examples, counts.tolist(), strict=True):
            prompt = self.prompt(count, example.context)
            language = self.tokenizer.encode(f"language {example.language}<asr_text>")
            words = self.tokenizer.encode(example.text)
            answer = [*language, *words, self.special["<|im_end|>"]]
            skip = len(language) if example.language_is_given else 0
            rows.append(prompt + answer)
            scored.append((len(prompt) + skip, len(prompt) + len(answer)))
            ctc += words
            ctc_lengths.append(len(words))
        width = max(map(len, rows))
        tokens = torch.full((len(rows), width), self.special["<|endoftext|>"])
        wanted = torch.zeros(len(rows), width, dtype=torch.bool)
        for i, (row, (start, end)) in enumerate(zip(rows, scored, strict=True)):
            tokens[i, : len(row)] = torch.tensor(row)
            wanted[i, start:end] = True
        select = torch.zeros_like(wanted)
        select[:, :-1] = wanted[:, 1:]
        return Batch(audio, lengths, counts, tokens, select, tokens[wanted],
                     torch.tensor(ctc, dtype=torch.long), torch.tensor(ctc_lengths))  # fmt: skip


def batches(pool: Pool, collate: Collator, seed, seconds: float, progress) -> Iterator[Batch]:
    """Endless batches of about `seconds` of padded audio each, of similar lengths.

    `progress()` gives the share of the training done, for the curriculum by length.
    """
    rng = np.random.default_rng(seed)
    while True:
        open_to = min(1.0, progress() / FULL_LENGTH_AT)
        late = progress() > LATE
        longest_s = LATE_LONGEST_S if late else LONGEST_S
        max_s = SHORTEST_MAX_S + (longest_s - SHORTEST_MAX_S) * open_to
        mix = LATE_MIX if late else EARLY_MIX
        examples = [compose(pool, rng, max_s, mix) for _ in range(SORTED_TOGETHER)]
        longest_s = PAUSED_LONGEST_S if late else longest_s
        examples = [e for e in examples if len(e.samples) <= longest_s * SAMPLE_RATE]
        examples.sort(key=lambda e: len(e.samples))
        groups, group = [], []
        for example in examples:
            if group and (len(group) + 1) * len(example.samples) > seconds * SAMPLE_RATE:
                groups.append(group)
                group = []
            group.append(example)
        for i in rng.permutation(len(groups)):
            yield collate(groups[i])
