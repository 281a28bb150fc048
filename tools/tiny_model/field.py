"""Held-out speech as users record it, and sounds that are not speech, for the evaluation.

Written apart from `augment` on purpose, by other means: what training heard is not what it is
measured on. Filters are windowed sinc filters, the resampler is soxr, mu-law is the table's
formula at 8 bits, and the sounds are other sounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import soxr

from .held_out import HeldOut, padded
from .speech import SAMPLE_RATE

TELEPHONE_RATE = 8_000


def _floats(utterance: HeldOut) -> np.ndarray:
    return utterance.samples.astype(np.float64) / 32768


def _with(utterance: HeldOut, samples: np.ndarray) -> HeldOut:
    whole = np.clip(np.round(samples * 32767), -32768, 32767).astype(np.int16)
    return replace(utterance, samples=whole)


def _band_pass(samples: np.ndarray, low_hz: float, high_hz: float, rate: int) -> np.ndarray:
    """A linear-phase filter of 401 taps, Hamming's window."""
    time = np.arange(-200, 201)

    def low_pass(hz: float) -> np.ndarray:
        return 2 * hz / rate * np.sinc(2 * hz / rate * time)

    taps = (low_pass(high_hz) - low_pass(low_hz)) * np.hamming(401)
    return np.convolve(samples, taps, mode="same")


def by_telephone(utterance: HeldOut, mu_law: bool) -> HeldOut:
    """Resampled to 8 kHz, 300 to 3400 Hz, perhaps mu-law, and resampled back."""
    narrow = soxr.resample(_floats(utterance), SAMPLE_RATE, TELEPHONE_RATE)
    narrow = _band_pass(narrow, 300, 3400, TELEPHONE_RATE)
    if mu_law:
        squeezed = np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256)
        squeezed = np.clip((np.floor(squeezed * 128) + 0.5) / 128, -1, 1)
        narrow = np.sign(squeezed) * (256 ** np.abs(squeezed) - 1) / 255
    wide = soxr.resample(narrow, TELEPHONE_RATE, SAMPLE_RATE)
    wide = np.pad(wide, (0, max(0, len(utterance.samples) - len(wide))))
    return _with(utterance, wide[: len(utterance.samples)])


def _speech_power(utterance: HeldOut) -> float:
    """Mean power where a word is."""
    samples = _floats(utterance)
    said = [samples[int(a * SAMPLE_RATE) : int(b * SAMPLE_RATE)] for _, a, b in utterance.words]
    return float(np.mean(np.concatenate(said) ** 2))


def _plus(utterance: HeldOut, noise: np.ndarray, snr_db: float) -> HeldOut:
    gain = np.sqrt(_speech_power(utterance) / np.mean(noise**2) * 10 ** (-snr_db / 10))
    return _with(utterance, _floats(utterance) + gain * noise)


def in_white_noise(rng: np.random.Generator, utterance: HeldOut, snr_db: float) -> HeldOut:
    """White noise `snr_db` below the speech's mean power."""
    return _plus(utterance, rng.standard_normal(len(utterance.samples)), snr_db)


def in_babble(
    rng: np.random.Generator, utterance: HeldOut, others: list[HeldOut], snr_db: float
) -> HeldOut:
    """Six others talking at once, without a pause, `snr_db` below the speech."""
    count, noise = len(utterance.samples), np.zeros(len(utterance.samples))
    for _ in range(6):
        parts, have = [], 0
        while have < count + SAMPLE_RATE:
            part = _floats(others[rng.integers(len(others))])
            parts.append(part / np.sqrt(np.mean(part**2)))
            have += len(part)
        start = int(rng.integers(0, SAMPLE_RATE))
        noise += np.concatenate(parts)[start : start + count]
    return _plus(utterance, noise, snr_db)


def after_pause(
    utterance: HeldOut, pause_s: float, rng: np.random.Generator | None = None
) -> HeldOut:
    """After `pause_s` of zeros; of white noise 20 dB below the speech throughout, given `rng`."""
    later = padded(utterance.samples, utterance.words, utterance.speaker, pause_s, 0.0)
    return later if rng is None else in_white_noise(rng, later, 20.0)


def with_pause_inside(first: HeldOut, second: HeldOut, pause_s: float) -> HeldOut:
    """Two utterances with zeros between them."""
    later = padded(second.samples, second.words, second.speaker, first.seconds + pause_s, 0.0)
    samples = later.samples.copy()
    samples[: len(first.samples)] = first.samples
    return HeldOut(samples, [*first.words, *later.words], first.speaker)


def at_level(utterance: HeldOut, gain_db: float) -> HeldOut:
    """Louder, clipped if need be, or softer, on the grid of 16 bits."""
    return _with(utterance, _floats(utterance) * 10 ** (gain_db / 20))


def non_speech_clips(rng: np.random.Generator, count: int) -> dict[str, list[np.ndarray]]:
    """`count` clips of 1 to 20 s of each of six kinds of sound, at levels of 40 dB range."""
    kinds = {
        "single tones": _tone,
        "chords": _chord,
        "clicks": _clicks,
        "hum": _hum,
        "plucked strings and drums": _band,
        "alarms and engines": _machine,
    }
    return _clips(rng, count, kinds)


def later_clips(rng: np.random.Generator, count: int) -> dict[str, list[np.ndarray]]:
    """The same of five kinds that were written after the shipped checkpoint was trained."""
    kinds = {
        "birds": _birds,
        "keys of a telephone": _keys,
        "Morse code": _morse,
        "rain, drops and applause": _drops,
        "footsteps and heartbeats": _thuds,
    }
    return _clips(rng, count, kinds)


def _clips(
    rng: np.random.Generator,
    count: int,
    kinds: dict[str, Callable[[np.random.Generator, int], np.ndarray]],
) -> dict[str, list[np.ndarray]]:
    made: dict[str, list[np.ndarray]] = {}
    for name, kind in kinds.items():
        made[name] = []
        for _ in range(count):
            samples = kind(rng, int(rng.uniform(1, 20) * SAMPLE_RATE))
            peak = 10 ** (rng.uniform(-40, -1) / 20)
            samples = samples * peak / np.abs(samples).max()
            made[name].append(np.round(samples * 32767).astype(np.int16))
    return made


def _time(count: int) -> np.ndarray:
    return np.arange(count) / SAMPLE_RATE


def _tone(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.sin(2 * np.pi * rng.uniform(80, 5000) * _time(count))


def _chord(rng: np.random.Generator, count: int) -> np.ndarray:
    """A triad in equal temperament that changes every second or two, with two overtones."""
    out, change = np.zeros(count), int(rng.uniform(0.8, 2.5) * SAMPLE_RATE)
    for start in range(0, count, change):
        root = 110 * 2 ** (rng.integers(0, 30) / 12)
        time = _time(min(change, count - start))
        for step in rng.permutation([0, 3 + rng.integers(2), 7, 12])[:3]:
            for k in (1, 2, 3):
                pitch = k * root * 2 ** (step / 12)
                out[start : start + len(time)] += np.sin(2 * np.pi * pitch * time) / k
    return out


def _clicks(rng: np.random.Generator, count: int) -> np.ndarray:
    """A metronome or a keyboard: two-pole resonators struck by impulses."""
    out, position = np.zeros(count), 0
    regular_s = rng.uniform(0.15, 1.5) if rng.random() < 0.5 else None
    ring = _time(1600)
    tone = np.cos(2 * np.pi * rng.uniform(300, 6000) * ring)
    knock = np.exp(-ring * rng.uniform(80, 2000)) * tone
    while position < count:
        end = min(count, position + len(knock))
        out[position:end] += knock[: end - position] * rng.uniform(0.5, 1)
        position += int((regular_s or rng.uniform(0.04, 0.9)) * SAMPLE_RATE)
    return out


def _hum(rng: np.random.Generator, count: int) -> np.ndarray:
    """Rectified mains: even harmonics, and a little hiss."""
    hum = np.abs(np.sin(2 * np.pi * (50 if rng.random() < 0.5 else 60) * _time(count)))
    return hum - hum.mean() + 10 ** rng.uniform(-4, -1.5) * rng.standard_normal(count)


def _band(rng: np.random.Generator, count: int) -> np.ndarray:
    """Plucked strings (Karplus and Strong) over a drum of filtered noise."""
    out, beat = np.zeros(count), int(rng.uniform(0.2, 0.6) * SAMPLE_RATE)
    scale = rng.choice([82.4, 110.0, 146.8, 196.0]) * 2 ** (np.array([0, 2, 4, 7, 9, 12]) / 12)
    for start in range(0, count, beat):
        period, length = int(SAMPLE_RATE / rng.choice(scale)), min(2 * beat, count - start)
        string, blocks = rng.uniform(-1, 1, period), []
        for _ in range(length // period + 1):
            blocks.append(string)
            string = 0.498 * (string + np.roll(string, 1))
        out[start : start + length] += np.concatenate(blocks)[:length]
        if rng.random() < 0.6:
            drum = np.exp(-_time(min(3200, count - start)) * 40)
            out[start : start + len(drum)] += drum * rng.standard_normal(len(drum)) * 0.7
    return out


def _machine(rng: np.random.Generator, count: int) -> np.ndarray:
    """A two-tone alarm, a ringing telephone, a siren, or an engine's saw tooth."""
    time, kind = _time(count), rng.integers(4)
    if kind == 0:
        pitch = np.where((time / rng.uniform(0.2, 1)) % 1 < 0.5, *rng.uniform(400, 2500, 2))
        return np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE)
    if kind == 1:
        ring = np.sin(2 * np.pi * 440 * time) + np.sin(2 * np.pi * 480 * time)
        return ring * (time % 3.0 < 1.0)
    if kind == 2:
        pitch = 900 + 500 * np.sin(2 * np.pi * rng.uniform(0.1, 3) * time)
        return np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE)
    speed = rng.uniform(40, 200) * (1 + 0.2 * np.sin(2 * np.pi * 0.2 * time))
    return 2 * (np.cumsum(speed) / SAMPLE_RATE % 1) - 1 + 0.2 * rng.standard_normal(count)


def _birds(rng: np.random.Generator, count: int) -> np.ndarray:
    """Songs: short whistles that sweep and tremble, repeated after pauses."""
    out, position = np.zeros(count), 0
    while position < count:
        time = _time(int(rng.uniform(0.05, 0.4) * SAMPLE_RATE))
        low, high = rng.uniform(1500, 5500, 2)
        tremble = rng.uniform(0, 400) * np.sin(2 * np.pi * rng.uniform(10, 60) * time)
        sweep = low + (high - low) * time / time[-1] + tremble
        whistle = np.sin(2 * np.pi * np.cumsum(sweep) / SAMPLE_RATE) * np.hanning(len(time))
        pause = int(rng.choice([0.03, 0.1, 0.8]) * SAMPLE_RATE)
        for _ in range(rng.integers(1, 6)):
            end = min(count, position + len(time))
            out[position:end] += whistle[: max(0, end - position)]
            position += len(time) + pause
    return out


def _keys(rng: np.random.Generator, count: int) -> np.ndarray:
    """Pairs of tones as a telephone's keys make them."""
    out, time = np.zeros(count), _time(count)
    press = int(rng.uniform(0.15, 0.5) * SAMPLE_RATE)
    for start in range(0, count, press):
        part = slice(start, min(count, start + int(press * 0.6)))
        for pitch in rng.choice([697, 770, 852, 941]), rng.choice([1209, 1336, 1477, 1633]):
            out[part] += np.sin(2 * np.pi * pitch * time[part])
    return out


def _morse(rng: np.random.Generator, count: int) -> np.ndarray:
    unit = int(rng.uniform(0.05, 0.12) * SAMPLE_RATE)
    units: list[int] = []
    while len(units) * unit < count:
        units += [1] * int(rng.choice([1, 3])) + [0] * int(rng.choice([1, 1, 3, 7]))
    gate = np.repeat(units, unit)[:count]
    return gate * np.sin(2 * np.pi * rng.uniform(400, 1200) * _time(count))


def _drops(rng: np.random.Generator, count: int) -> np.ndarray:
    """Short decaying bursts at random, from single drops to a rustle."""
    out = np.zeros(count)
    per_s, pitch = 10 ** rng.uniform(0, 2.5), rng.uniform(800, 6000)
    time = _time(800)
    for _ in range(max(1, int(per_s * count / SAMPLE_RATE))):
        start = int(rng.uniform(0, count))
        drop = np.exp(-time * rng.uniform(100, 800)) * rng.uniform(0.1, 1)
        drop *= rng.standard_normal(800) if rng.random() < 0.5 else np.sin(2 * np.pi * pitch * time)
        out[start : start + 800] += drop[: count - start]
    return out


def _thuds(rng: np.random.Generator, count: int) -> np.ndarray:
    """Low strokes, alone or in pairs."""
    out, gap = np.zeros(count), rng.uniform(0.4, 1.2)
    second_s = rng.uniform(0.1, 0.3) if rng.random() < 0.5 else 0.0
    time = _time(4800)
    for start in np.arange(0, count / SAMPLE_RATE, gap):
        for at in {float(start), float(start + second_s)}:
            thud = np.exp(-time * rng.uniform(15, 60))
            thud *= np.sin(2 * np.pi * rng.uniform(30, 120) * time)
            thud += 0.05 * np.exp(-time * 60) * rng.standard_normal(4800)
            begin = int(at * SAMPLE_RATE)
            out[begin : begin + 4800] += thud[: max(0, count - begin)]
    return out
