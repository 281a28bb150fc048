"""What happens to speech before a microphone's user calls it a recording.

Pure functions of float32 samples at 16 kHz and a random generator: a telephone's band, white
and coloured noise, babble, hum, tones, chords, music-like sounds, clicks. Knows nothing about
batches, text or the model. Everything is computed in the frequency domain or by a few array
operations, so that an utterance costs a few milliseconds.
"""

from __future__ import annotations

import numpy as np
import torch

from .speech import SAMPLE_RATE

MU = 255.0
TELEPHONE_RATE = 8_000
# Where speech is, for a level that pauses do not change: samples above this part of the peak.
ACTIVE_PART = 0.03


def _rfft(samples: np.ndarray, size: int) -> np.ndarray:
    """In single precision, by PyTorch: NumPy's transform takes three times as long."""
    return torch.fft.rfft(torch.from_numpy(samples.astype(np.float32, copy=False)), size).numpy()


def _irfft(spectrum: np.ndarray, size: int) -> np.ndarray:
    whole = torch.from_numpy(spectrum.astype(np.complex64, copy=False))
    return torch.fft.irfft(whole, size).numpy()


def _fast_size(count: int) -> int:
    """At least `count`, a size that the transform is quick at."""
    return -(-count // 3200) * 3200


def active_level(samples: np.ndarray) -> float:
    """Root mean square of the parts that are not silent; 0 for silence."""
    loud = np.abs(samples)
    loud = loud > ACTIVE_PART * loud.max(initial=0.0)
    return float(np.sqrt(np.mean(samples[loud] ** 2))) if loud.any() else 0.0


def mixed(samples: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """`samples` plus `noise` of the same length, `snr_db` below the level of its speech."""
    level = float(np.sqrt(np.mean(noise**2)))
    gain = active_level(samples) * 10 ** (-snr_db / 20) / (level + 1e-9)
    return samples + np.float32(gain) * noise


def telephone(rng: np.random.Generator, samples: np.ndarray) -> np.ndarray:
    """Through an 8 kHz channel: usually 300 to 3400 Hz, often mu-law, back to 16 kHz."""
    count = len(samples)
    size = _fast_size(count + 1600)
    spectrum = _rfft(samples, size)[: size // 4 + 1]
    frequency = np.arange(len(spectrum), dtype=np.float32) * (SAMPLE_RATE / size)
    if rng.random() < 0.8:
        low, high = rng.uniform(200, 400), rng.uniform(3100, 3700)
        low_order, high_order = rng.uniform(2, 10), rng.uniform(8, 40)
        shape = 1 / np.sqrt(1 + (low / np.maximum(frequency, 20.0)) ** (2 * low_order))
        spectrum = spectrum * (shape / np.sqrt(1 + (frequency / high) ** (2 * high_order)))
    else:
        spectrum = spectrum / np.sqrt(1 + (frequency / 3900) ** 80)
    if rng.random() < 0.5:
        spectrum = _rfft(mu_law(_irfft(spectrum, size // 2) / 2) * 2, size // 2)
    whole = np.zeros(size // 2 + 1, np.complex64)
    whole[: len(spectrum)] = spectrum
    return _irfft(whole, size)[:count]


def mu_law(samples: np.ndarray) -> np.ndarray:
    """Samples of -1 to 1 as the 8 bits of ITU-T G.711's mu-law (its formula) would give them."""
    clipped = np.clip(samples, -1, 1)
    code = np.sign(clipped) * np.log1p(MU * np.abs(clipped)) / np.log1p(MU)
    code = np.round(code * 127) / 127
    return np.sign(code) * np.expm1(np.abs(code) * np.log1p(MU)) / MU


def equalised(rng: np.random.Generator, samples: np.ndarray) -> np.ndarray:
    """A microphone's colour: a tilt of up to 5 dB an octave about 1 kHz, perhaps a low pass."""
    size = _fast_size(len(samples))
    spectrum = _rfft(samples, size)
    frequency = np.maximum(np.arange(len(spectrum)) * (SAMPLE_RATE / size), 50.0)
    shape = (frequency / 1000.0) ** rng.uniform(-0.8, 0.6)
    if rng.random() < 0.4:
        shape /= np.sqrt(1 + (frequency / rng.uniform(2800, 7000)) ** 16)
    out = _irfft(spectrum * shape.astype(np.float32), size)[: len(samples)]
    return (out * (active_level(samples) / (active_level(out) + 1e-9))).astype(np.float32)


def coloured_noise(rng: np.random.Generator, count: int, exponent: float) -> np.ndarray:
    """Noise whose amplitude falls as frequency ** -`exponent`: 0 white, 0.5 pink, 1 brown."""
    if exponent == 0.0:
        return rng.standard_normal(count, dtype=np.float32)
    size = _fast_size(count)
    spectrum = _rfft(rng.standard_normal(size, dtype=np.float32), size)
    frequency = np.maximum(np.arange(len(spectrum), dtype=np.float32), size / SAMPLE_RATE * 20)
    noise = _irfft(spectrum * frequency ** np.float32(-exponent), size)[:count]
    return (noise / (noise.std() + 1e-9)).astype(np.float32)


def babble(rng: np.random.Generator, speech: np.ndarray, count: int, voices: int) -> np.ndarray:
    """`voices` people at once: slices of `speech` (int16, end to end), at levels of +-4 dB."""
    out = np.zeros(count, np.float32)
    for _ in range(voices):
        start = int(rng.integers(0, max(1, len(speech) - count)))
        part = speech[start : start + count].astype(np.float32)
        level = np.sqrt(np.mean(part**2)) + 1e-9
        out[: len(part)] += part * np.float32(10 ** (rng.uniform(-4, 4) / 20) / level)
    return out


def tones(rng: np.random.Generator, count: int) -> np.ndarray:
    """One to five sines, steady, beeping or gliding, perhaps with harmonics."""
    time = np.arange(count, dtype=np.float32) / SAMPLE_RATE
    out = np.zeros(count, np.float32)
    base = 10 ** rng.uniform(np.log10(60), np.log10(3000))
    harmonics = int(rng.integers(1, 6))
    for i in range(int(rng.integers(1, 6))):
        # A chord, or any frequencies at all.
        ratio = 2 ** (rng.integers(0, 25) / 12) if rng.random() < 0.7 else rng.uniform(0.2, 5)
        frequency = base if i == 0 else base * ratio
        for k in range(1, harmonics + 1):
            if k * frequency < 7800:
                phase = 2 * np.pi * (k * frequency * time + rng.random())
                out += np.sin(phase).astype(np.float32) / k ** rng.uniform(0.5, 2)
    kind = rng.random()
    if kind < 0.3:  # beeps
        period, on = rng.uniform(0.15, 4.0), rng.uniform(0.2, 0.8)
        out *= (time / period + rng.random()) % 1.0 < on
    elif kind < 0.5:  # a sweep
        glide = np.cumsum(np.linspace(*10 ** rng.uniform(2, 3.8, 2), count)) / SAMPLE_RATE
        out = np.sin(2 * np.pi * glide)
    elif kind < 0.65:  # tremolo
        out *= 1 + rng.uniform(0.2, 1.0) * np.sin(2 * np.pi * rng.uniform(0.5, 9) * time)
    return out.astype(np.float32)


def music(rng: np.random.Generator, count: int) -> np.ndarray:
    """Notes of a scale with harmonics and an envelope, in a rhythm; perhaps with drums."""
    out = np.zeros(count, np.float32)
    beat_s = rng.uniform(0.12, 0.7)
    steps = rng.choice([0, 2, 4, 5, 7, 9, 11, 12, 14, 16], size=6)
    root, voices = 10 ** rng.uniform(np.log10(70), np.log10(700)), int(rng.integers(1, 4))
    decay, attack_s = rng.uniform(0.8, 8), rng.uniform(0.003, 0.08)
    harmonics, slope = int(rng.integers(1, 8)), rng.uniform(0.7, 2.0)
    drums, vibrato = rng.random() < 0.5, rng.uniform(0, 0.01)
    made: dict[tuple[int, int], np.ndarray] = {}
    position = 0
    while position < count:
        length = int(beat_s * rng.choice([1, 1, 2, 4]) * SAMPLE_RATE)
        if rng.random() < 0.85:
            for step in rng.choice(steps, size=voices):
                key = (int(step), length)
                if key not in made:
                    time = np.arange(int(length * 1.2), dtype=np.float32) / SAMPLE_RATE
                    angle = root * 2 ** (step / 12) * time
                    angle = angle + np.float32(vibrato * root / 30) * np.sin(35 * time)
                    note = np.zeros(len(time), np.float32)
                    for k in range(1, harmonics + 1):
                        if k * root * 2 ** (step / 12) < 7800:
                            note += np.sin(2 * np.pi * k * angle) / np.float32(k**slope)
                    note *= np.exp(-decay * time) * np.minimum(1, time / attack_s)
                    made[key] = note.astype(np.float32)
                end = min(count, position + len(made[key]))
                out[position:end] += made[key][: end - position]
        if drums and rng.random() < 0.7:
            hit = min(count - position, int(rng.uniform(0.03, 0.2) * SAMPLE_RATE))
            fall = np.exp(-np.linspace(0, 6, hit, dtype=np.float32))
            out[position : position + hit] += fall * rng.standard_normal(hit, dtype=np.float32)
        position += length
    return out


def clicks(rng: np.random.Generator, count: int) -> np.ndarray:
    """Impulses and short decaying bursts, regular or not."""
    out = np.zeros(count, np.float32)
    gap_s, regular = 10 ** rng.uniform(-1.3, 0.5), rng.random() < 0.5
    width = int(10 ** rng.uniform(0, 3.2))  # 0.06 to 100 ms
    shape = np.exp(-np.linspace(0, 6, width, dtype=np.float32))
    if rng.random() < 0.5:
        shape *= np.sin(np.arange(width) * rng.uniform(0.02, 2.5)).astype(np.float32)
    position = int(rng.uniform(0, gap_s) * SAMPLE_RATE)
    while position < count:
        end = min(count, position + width)
        burst = shape[: end - position] * np.float32(rng.uniform(0.3, 1))
        if width > 30 and rng.random() < 0.5:
            burst = burst * rng.standard_normal(len(burst), dtype=np.float32)
        out[position:end] += burst
        position += 1 + int(gap_s * (1.0 if regular else rng.exponential(1.0)) * SAMPLE_RATE)
    return out


def hum(rng: np.random.Generator, count: int) -> np.ndarray:
    """Mains: 50 or 60 Hz with harmonics, or a motor's pitch."""
    time = np.arange(count, dtype=np.float32) / SAMPLE_RATE
    base = rng.choice([50.0, 60.0]) if rng.random() < 0.7 else rng.uniform(30, 300)
    out = np.zeros(count, np.float32)
    for k in range(1, int(rng.integers(2, 16))):
        out += np.float32(rng.random() / k**0.7) * np.sin(2 * np.pi * base * k * time)
    return out


def glides(rng: np.random.Generator, count: int) -> np.ndarray:
    """A pitch that wanders, bends or steps, with harmonics: sirens, engines, whistles."""
    points = max(2, int(count / SAMPLE_RATE * 10 ** rng.uniform(-0.5, 0.9)))
    octaves = rng.uniform(0, 1.5) * rng.standard_normal(points)
    places = np.linspace(0, points - 1, count)
    if rng.random() < 0.3:
        places = np.round(places)
    base = 10 ** rng.uniform(np.log10(40), np.log10(2000))
    pitch = np.minimum(base * 2 ** np.interp(places, np.arange(points), octaves), 7000)
    angle = np.cumsum(pitch) * (2 * np.pi / SAMPLE_RATE)
    out, slope = np.zeros(count), rng.uniform(0.5, 2)
    for k in range(1, int(rng.integers(2, 9))):
        out += (k * pitch < 7800) * np.sin(k * angle) / k**slope
    return out.astype(np.float32)


def gusts(rng: np.random.Generator, count: int) -> np.ndarray:
    """Coloured noise that comes and goes, at rates of wind, of breath and of syllables."""
    noise = coloured_noise(rng, count, rng.uniform(0, 1.2))
    points = max(2, int(count / SAMPLE_RATE * 10 ** rng.uniform(-0.3, 1.0)))
    envelope = np.interp(np.linspace(0, points - 1, count), np.arange(points), rng.random(points))
    return (noise * envelope ** rng.uniform(0.5, 4)).astype(np.float32)


def buzzes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Pulses of a wandering pitch, and hiss, through a few resonances: motors, saws, horns."""
    points = max(2, int(count / SAMPLE_RATE * 10 ** rng.uniform(-0.7, 0.7)))
    octaves = rng.uniform(0, 0.7) * rng.standard_normal(points)
    base = 10 ** rng.uniform(np.log10(30), np.log10(500))
    bend = np.interp(np.linspace(0, points - 1, count), np.arange(points), octaves)
    phase = np.cumsum(np.minimum(base * 2**bend, 1500)) / SAMPLE_RATE % 1.0
    fall, rise = rng.uniform(0.02, 0.98), 0.0 if rng.random() < 0.5 else rng.uniform(0, 1)
    pulses = np.where(phase < fall, 1 - (1 - rise) * phase / fall, rise * (1 - phase) / (1 - fall))
    pulses = pulses - pulses.mean() + 10 ** rng.uniform(-3, 0) * rng.standard_normal(count)
    size = _fast_size(count)
    frequency = np.maximum(np.arange(size // 2 + 1) * (SAMPLE_RATE / size), 30.0)
    shape = (frequency / 1000.0) ** rng.uniform(-0.7, 0.5)
    for _ in range(int(rng.integers(0, 4))):
        centre, width = 10 ** rng.uniform(2.2, 3.8), rng.uniform(0.03, 0.5)
        shape *= 1 + rng.uniform(0, 10) / (1 + ((frequency / centre - 1) / width) ** 2)
    out = _irfft(_rfft(pulses, size) * shape.astype(np.float32), size)[:count]
    return _in_bursts(rng, out)


def modulated(rng: np.random.Generator, count: int) -> np.ndarray:
    """One oscillator that bends another, slowly or at audible rates: whoops, bells, rings."""
    time = np.arange(count) / SAMPLE_RATE
    carrier = 10 ** rng.uniform(np.log10(80), np.log10(4000))
    rate = 10 ** rng.uniform(-1.2, np.log10(carrier))
    # Slow rates bend by a part of the pitch, fast ones by a few multiples of themselves.
    depth = min(rng.uniform(0, 0.8) * carrier / rate, 10 ** rng.uniform(-1, 1) + 20 / rate)
    out = np.sin(2 * np.pi * carrier * time + depth * np.sin(2 * np.pi * rate * time))
    if rng.random() < 0.4:
        ratio = rng.choice([2.0, 1.5, 3.0, rng.uniform(1.01, 2)])
        out += rng.random() * np.sin(2 * np.pi * min(carrier * ratio, 7500) * time)
    return _in_bursts(rng, out.astype(np.float32))


def _in_bursts(rng: np.random.Generator, samples: np.ndarray) -> np.ndarray:
    """As it is; on and off; or struck again and again."""
    kind = rng.random()
    if kind < 0.5:
        return samples
    place = np.arange(len(samples), dtype=np.float32) / (10 ** rng.uniform(-0.9, 0.7) * SAMPLE_RATE)
    place = (place + np.float32(rng.random())) % 1.0
    if kind < 0.75:
        return samples * (place < rng.uniform(0.2, 0.8))
    return samples * np.exp(np.float32(-rng.uniform(1, 12)) * place)


def strikes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Partials that die the sooner the higher they are: strings, bells, marimbas, with drums."""
    out, beat_s, base = np.zeros(count, np.float32), rng.uniform(0.1, 0.8), rng.uniform(55, 600)
    partials, stretch = int(rng.integers(1, 16)), rng.choice([0.0, 10 ** rng.uniform(-4, -1)])
    decay, damping = 10 ** rng.uniform(-0.3, 0.9), rng.uniform(0.0, 1.0)
    drums = rng.random() * (rng.random() < 0.5)
    notes: dict[int, np.ndarray] = {}
    position = 0
    while position < count:
        step = int(rng.integers(0, 18))
        if step not in notes:
            time = np.arange(int(min(3.0, 6 / decay) * SAMPLE_RATE), dtype=np.float32) / SAMPLE_RATE
            note = np.zeros(len(time), np.float32)
            for k in range(1, partials + 1):
                pitch = base * 2 ** (step / 12) * k * np.sqrt(1 + stretch * k * k)
                if pitch < 7800:
                    fall = np.exp(np.float32(-decay * (1 + damping * (k - 1))) * time)
                    angle = np.float32(2 * np.pi * pitch) * time + np.float32(rng.uniform(0, 6.28))
                    note += np.float32(rng.uniform(0.2, 1) / k**0.5) * fall * np.sin(angle)
            notes[step] = note
        end = min(count, position + len(notes[step]))
        out[position:end] += np.float32(rng.uniform(0.4, 1)) * notes[step][: end - position]
        if rng.random() < drums:
            hit = min(count - position, int(rng.uniform(0.03, 0.3) * SAMPLE_RATE))
            burst = np.exp(-np.linspace(0, 6, hit, dtype=np.float32))
            out[position : position + hit] += burst * rng.standard_normal(hit, dtype=np.float32)
        position += int(beat_s * rng.choice([0.5, 1, 1, 2]) * SAMPLE_RATE)
    return out


_SOUNDS = (tones, glides, music, clicks, hum, gusts, buzzes, modulated, strikes)
_SOUND_SHARES = (0.14, 0.15, 0.14, 0.09, 0.07, 0.11, 0.1, 0.1, 0.1)


def non_speech(rng: np.random.Generator, count: int) -> np.ndarray:
    """`count` samples of a sound that is neither speech nor steady noise, peak 1."""
    out = _SOUNDS[rng.choice(len(_SOUNDS), p=_SOUND_SHARES)](rng, count)
    if rng.random() < 0.15:
        out = out + 0.5 * _SOUNDS[rng.choice(len(_SOUNDS), p=_SOUND_SHARES)](rng, count)
    if rng.random() < 0.15:
        out = np.clip(out, -0.3, 0.3)
    return (out / (np.abs(out).max(initial=0.0) + 1e-9)).astype(np.float32)


def noise(rng: np.random.Generator, speech: np.ndarray, count: int) -> np.ndarray:
    """A steady background: white or coloured noise, babble of 4 to 12 voices, or hum."""
    kind = rng.random()
    if kind < 0.35:
        return coloured_noise(rng, count, 0.0)
    if kind < 0.47:
        return coloured_noise(rng, count, rng.uniform(0.2, 1.1))
    if kind < 0.93:
        return babble(rng, speech, count, int(rng.integers(4, 13)))
    return hum(rng, count)
