"""Where long audio is cut, and how long audio is aligned: planted pauses and words, no engine."""

import numpy as np
import pytest

from alignheads.corpora import WordTime
from alignheads.corpora.aligners import AlignmentFailed
from alignheads.corpora.long_alignment import Placed, align_in_windows
from alignheads.corpora.pauses import cut_at_pauses
from alignheads.runtime.models.aligners import make_aligner

RATE = 16_000


def speech(seconds, seed=0, loud=0.1):
    """Noise that comes and goes eight times a second, as syllables do."""
    count = round(seconds * RATE)
    swell = 0.55 + 0.45 * np.sin(2 * np.pi * 8 * np.arange(count) / RATE)
    noise = np.random.default_rng(seed).standard_normal(count)
    return (loud * swell * noise).astype(np.float32)


def with_pauses(*spans, total_s, floor=0.0):
    samples = speech(total_s)
    for begin_s, stop_s in spans:
        samples[round(begin_s * RATE) : round(stop_s * RATE)] *= 0
    return samples + (floor * np.random.default_rng(1).standard_normal(len(samples))).astype("f4")


def cuts_s(samples, longest_s):
    pieces = cut_at_pauses(samples, longest_s)
    assert [p.start for p in pieces] == [0, *(p.stop for p in pieces[:-1])]
    assert pieces[-1].stop == len(samples)
    assert all(p.stop - p.start <= longest_s * RATE for p in pieces)
    return [p.stop / RATE for p in pieces[:-1]], [p.in_speech for p in pieces]


# Cutting


@pytest.mark.parametrize("floor", [0.0, 0.003])
def test_cuts_lie_late_in_the_pauses(floor):
    samples = with_pauses((8.0, 8.5), (14.0, 15.0), (16.5, 16.6), total_s=24, floor=floor)
    (cut_s,), in_speech = cuts_s(samples, 18.0)
    assert 14.3 < cut_s < 15.0
    assert in_speech == [False, False]


def test_a_pause_of_sentences_is_preferred_to_a_stop_inside_of_a_word():
    samples = with_pauses((12.0, 12.08), (15.0, 15.5), (17.0, 17.08), total_s=30)
    assert 15.0 < cuts_s(samples, 20.0)[0][0] < 15.5


def test_a_short_gap_between_two_words_is_better_than_none():
    samples = with_pauses((17.0, 17.1), total_s=30)
    cuts, in_speech = cuts_s(samples, 20.0)
    assert 17.0 < cuts[0] < 17.1
    assert in_speech == [False, False]


def test_where_there_is_no_pause_it_is_told():
    cuts, in_speech = cuts_s(speech(100), 30.0)
    assert all(15.0 <= b - a <= 30.0 for a, b in zip([0, *cuts], cuts, strict=False))
    assert in_speech == [True] * len(cuts) + [False]


@pytest.mark.parametrize("seconds", [30.0, 30.0001, 31.0, 37.4, 59.99, 60.01, 300.0])
def test_no_piece_is_too_long_or_short(seconds):
    cuts, _ = cuts_s(speech(seconds), 30.0)
    assert bool(cuts) == (seconds > 30.0)
    lengths = np.diff([0, *cuts, seconds])
    assert lengths.min() >= (7.4 if cuts else seconds)


def test_what_is_short_or_empty_is_one_piece():
    assert cuts_s(np.zeros(0, np.float32), 30.0) == ([], [False])
    assert cuts_s(speech(2.0), 30.0) == ([], [False])


def test_silence_and_broken_samples_are_cut_too():
    assert not any(cuts_s(np.zeros(100 * RATE, np.float32), 30.0)[1])
    broken = speech(70)
    broken[RATE] = np.nan
    cuts_s(broken, 30.0)


# Aligning


class Recording:
    """Words of 0.3 s, each with a value of its own, with pauses; and an aligner that reads it.

    `too_much`: what does not fit is spread over all of a window, as a hidden Markov model does.
    """

    def __init__(self, words_at_s, total_s):
        self.at_s = list(words_at_s)
        self.samples = np.zeros(round(total_s * RATE), np.float32)
        for number, at_s in enumerate(self.at_s):
            begin = round(at_s * RATE)
            part = speech(0.3, seed=number)
            self.samples[begin : begin + len(part)] = part
        self.longest_s, self.calls = 0.0, 0

    def align(self, samples, first, last):
        self.calls += 1
        self.longest_s = max(self.longest_s, len(samples) / RATE)
        begin_s = self._begin(samples) / RATE
        stop_s = begin_s + len(samples) / RATE
        inside = [at for at in self.at_s[first:last] if begin_s - 0.01 <= at <= stop_s - 0.29]
        if len(inside) < last - first and last - first > 1:
            step_s = (len(samples) / RATE - 0.2) / (last - first)
            return [
                Placed(WordTime(str(n), i * step_s, (i + 0.9) * step_s + 0.1), n + 1)
                for i, n in enumerate(range(first, last))
            ]
        if not inside:
            end_s = len(samples) / RATE
            return [Placed(WordTime(str(n), end_s - 0.3, end_s), n + 1) for n in range(first, last)]
        return [
            Placed(WordTime(str(n), at - begin_s, at - begin_s + 0.3), n + 1)
            for n, at in enumerate(inside, start=first)
        ]

    def _begin(self, samples):
        """Where a view of the samples begins."""
        address = samples.__array_interface__["data"][0]
        return (address - self.samples.__array_interface__["data"][0]) // 4


def sentences(pace=lambda at_s: 1.0, total_s=300.0):
    """Starts of words: ten in a sentence, a pause of half a second after it."""
    at_s, count = 0.5, 0
    while at_s < total_s - 1:
        yield at_s
        count += 1
        at_s += 0.32 / pace(at_s) + (0.5 if count % 10 == 0 else 0.0)


@pytest.mark.parametrize(
    "pace",
    [
        lambda at_s: 1.0,
        lambda at_s: 1.0 if at_s < 150 else 0.4,
        lambda at_s: 0.4 if at_s < 150 else 1.0,
        lambda at_s: 1.0 if at_s % 80 < 40 else 0.3,
    ],
    ids=["even", "slower", "faster", "both"],
)
def test_five_minutes_are_aligned_window_by_window(pace):
    recording = Recording(sentences(pace), 300.0)
    found = align_in_windows(recording.align, recording.samples, len(recording.at_s), 40.0)
    assert [word.text for word in found] == [str(n) for n in range(len(recording.at_s))]
    off = [abs(word.start_s - at) for word, at in zip(found, recording.at_s, strict=True)]
    assert max(off) < 0.01
    assert recording.longest_s <= 40.0
    assert recording.calls < 60


@pytest.mark.parametrize(
    "silent", [(0, 70), (100, 190), (220, 300)], ids=["first", "between", "last"]
)
def test_minutes_of_silence_do_not_mislead(silent):
    words = [at for at in sentences() if not silent[0] <= at + 0.3 <= silent[1]]
    recording = Recording(words, 300.0)
    found = align_in_windows(recording.align, recording.samples, len(words), 40.0)
    off = [abs(word.start_s - at) for word, at in zip(found, words, strict=True)]
    assert max(off) < 0.01


def test_what_is_short_is_aligned_at_once():
    recording = Recording(sentences(total_s=40.0), 40.0)
    align_in_windows(recording.align, recording.samples, len(recording.at_s), 40.0)
    assert recording.calls == 1


def test_the_words_of_another_recording_are_refused():
    recording = Recording([*sentences(total_s=100.0)], 100.0)

    def align(samples, first, last):
        raise AlignmentFailed("no path")

    with pytest.raises(AlignmentFailed, match="no path"):
        align_in_windows(align, recording.samples, 300, 40.0)


def test_a_text_that_is_far_too_long_for_its_audio_is_refused():
    recording = Recording([*sentences(total_s=100.0)], 100.0)

    def align(samples, first, last):  # lays one word after another, whatever is said
        step_s = 0.5
        return [
            Placed(WordTime(str(n), i * step_s, (i + 0.9) * step_s), n + 1)
            for i, n in enumerate(range(first, last))
        ]

    with pytest.raises(AlignmentFailed, match="left for the last"):
        align_in_windows(align, recording.samples, 3000, 40.0)


# The engine's aligner, whose words are found again in the text by their letters


def written(kind, count):
    """A text of `count` words, each unlike the others, and the words."""
    if kind == "Chinese":
        words = [chr(0x4E00 + n) for n in range(count)]
        return "，".join("".join(words[n : n + 10]) for n in range(0, count, 10)) + "。", words
    names = [f"w{n:03d}" for n in range(count)]
    return " — ".join(f"“{name}’s”," for name in names), [f"“{name}’s”," for name in names]


@pytest.mark.parametrize("kind", ["English", "Chinese"])
def test_the_qwen3_aligner_never_gets_more_than_it_takes(monkeypatch, kind):
    from types import SimpleNamespace

    from mlx_qwen3_asr import ForcedAligner
    from mlx_qwen3_asr.forced_aligner import ForcedAlignTextProcessor

    recording = Recording(sentences(total_s=400.0), 400.0)
    text, words = written(kind, len(recording.at_s))
    units = ForcedAlignTextProcessor.tokenize_text(text, kind)
    longest, calls = [], []

    def align(self, samples, part, language):
        mine = ForcedAlignTextProcessor.tokenize_text(part, language)
        first = units.index(mine[0]) if mine else 0
        longest.append(len(samples) / RATE)
        calls.append(len(mine))
        begin_s, end_s = recording._begin(samples) / RATE, len(samples) / RATE
        items = []
        for n, word in enumerate(mine, start=first):
            at_s = min(recording.at_s[n] - begin_s, end_s)
            items.append(
                SimpleNamespace(text=word, start_time=at_s, end_time=min(at_s + 0.3, end_s))
            )
        return items

    monkeypatch.setattr(ForcedAligner, "_ensure_loaded", lambda self: None)
    monkeypatch.setattr(ForcedAligner, "align", align)
    found = make_aligner("qwen3").align(recording.samples, text, kind)
    assert [word.text for word in found] == words
    off = [abs(word.start_s - at) for word, at in zip(found, recording.at_s, strict=True)]
    assert max(off) < 0.01
    assert max(longest) <= 180.0
    assert len(calls) < 10
