"""A model that loses its place in the audio: what was said comes out once, and nothing twice."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scripted import RATE, ScriptedSource, evenly

from alignheads import StreamDecoder, load_corpus
from alignheads.runtime.models.protocol import Hypothesis
from alignheads.runtime.stream.places import in_turn

TEXT = " his tower fell until my lucky pilot waited across another river and nobody sang there"
SECONDS = 9.0
LEAST_S = 0.06 - 1e-9


class LosesItsPlace(ScriptedSource):
    """Says `rounds` times over what was spoken from `from_s` to `to_s`, once it has heard it all.

    Asked anew, after the words before, it is right.
    """

    def __init__(self, model, script, from_s, to_s, *, rounds=3, **settings):
        super().__init__(model, script, **settings)
        self._from_s, self._to_s, self._rounds = from_s, to_s, rounds

    def hypothesis(self, samples, lead, committed_ids, language, context=""):
        said = super().hypothesis(samples, lead, committed_ids, language, context)
        count = len(said.token_ids)
        looks_s = self._start_s + said.frames[:count] / self._model.clock.frames(1)
        first, last = np.searchsorted(looks_s, (self._from_s, self._to_s))
        if self._start_s or last == count or first == last:
            return said
        return in_rows(said, [*range(last), *[*range(first, last)] * (self._rounds - 1),
                              *range(last, count)])  # fmt: skip


class PassesOver(ScriptedSource):
    """Does not say the word that is spoken at `at_s` once the next is heard, unless asked anew."""

    def __init__(self, model, script, at_s, **settings):
        super().__init__(model, script, **settings)
        self._at_s = at_s

    def hypothesis(self, samples, lead, committed_ids, language, context=""):
        said = super().hypothesis(samples, lead, committed_ids, language, context)
        count = len(said.token_ids)
        looks_s = self._start_s + said.frames[:count] / self._model.clock.frames(1)
        if self._start_s or not count or looks_s[-1] < self._at_s + 0.25:
            return said
        return in_rows(said, np.flatnonzero(abs(looks_s - self._at_s) > 0.1).tolist())


class Miscounts(ScriptedSource):
    """Thinks that all was said after `most` words, unless asked anew."""

    def __init__(self, model, script, most, **settings):
        super().__init__(model, script, by_time=True, **settings)
        self._most = most

    def hypothesis(self, samples, lead, committed_ids, language, context=""):
        said = super().hypothesis(samples, lead, committed_ids, language, context)
        room = max(0, self._most - len(committed_ids))
        return in_rows(said, range(min(room, len(said.token_ids))))


def in_rows(said, tokens):
    """A hypothesis of some `tokens` of another, and its end."""
    rows = [*tokens, *range(len(said.token_ids), len(said.frames))]
    return Hypothesis(
        token_ids=tuple(said.token_ids[token] for token in tokens),
        language=said.language,
        frames=said.frames[rows],
        head_frames=said.head_frames[rows],
        probabilities=said.probabilities[rows],
        audio_frames=said.audio_frames,
        ended=said.ended,
    )


def fed(stream, seconds, piece_s=1.0):
    words, piece = [], int(piece_s * RATE)
    for start in range(0, int(seconds * RATE), piece):
        words += stream.feed(np.zeros(min(piece, int(seconds * RATE) - start), np.float32))
    return words + stream.finish()


def check_times(words):
    assert all(word.end_s - word.start_s >= LEAST_S for word in words)
    assert all(one.end_s <= other.start_s for one, other in pairwise(words))


def starts_s(model, script):
    """When each word of a script begins."""
    return [at_s for token, at_s in script if model.token_bytes(token).startswith(b" ")]


@pytest.mark.parametrize("piece_s", [1.0, 20.0])
@pytest.mark.parametrize(("first", "last"), [(4, 7), (5, 6), (1, 13), (11, 14)])
def test_a_loop_comes_out_once(tiny, first, last, piece_s):
    script = evenly(tiny, TEXT, SECONDS)
    begins_s = starts_s(tiny, script)
    from_s, to_s = begins_s[first] - 0.09, begins_s[last] - 0.09
    source = LosesItsPlace(tiny, script, from_s, to_s)
    stream = StreamDecoder(tiny, language="English", source=source)
    words = fed(stream, SECONDS + 1, piece_s)
    assert stream.text == TEXT.strip()
    check_times(words)


@pytest.mark.parametrize("end_s", [5.2, 5.6, 6.0])
def test_a_loop_at_the_end_comes_out_once(tiny, end_s):
    script = [one for one in evenly(tiny, TEXT, SECONDS) if one[1] < end_s]
    begins_s = starts_s(tiny, script)
    source = LosesItsPlace(tiny, script, begins_s[3] - 0.09, begins_s[-1] - 0.09)
    stream = StreamDecoder(tiny, language="English", source=source)
    words = fed(stream, end_s, 20.0)
    said = b"".join(tiny.token_bytes(token) for token, _ in script).decode()
    assert stream.text == said.strip()
    check_times(words)


def test_a_word_that_waited_is_asked_for_again(tiny):
    script = evenly(tiny, TEXT, SECONDS)
    waits_s = next(at_s for at_s in starts_s(tiny, script) if 2.65 < at_s < 3)
    source = PassesOver(tiny, script, waits_s)
    stream = StreamDecoder(tiny, language="English", source=source)
    fed(stream, SECONDS + 1)
    assert stream.text == TEXT.strip()


@pytest.mark.parametrize("word", ["no", "very", "three", "seven"])
@pytest.mark.parametrize("per_s", [1.2, 3, 5])
def test_a_word_that_is_said_again_and_again_comes_out_as_often(tiny, word, per_s):
    seconds = 20
    text = f" {word}" * int(per_s * seconds)
    stream = StreamDecoder(
        tiny, language="English", source=ScriptedSource(tiny, evenly(tiny, text, seconds))
    )
    words = fed(stream, seconds + 1)
    assert stream.text == text.strip()
    check_times(words)


def sounds(at_s, length_s, loudness, seconds):
    """Sounds of no one level, and digital silence between them."""
    samples = np.zeros(int(seconds * RATE), np.float32)
    size = int(length_s * RATE)
    swell = np.sin(np.linspace(0, np.pi, size)) ** 2
    rng = np.random.default_rng(0)
    for one_s in at_s:
        start = int(one_s * RATE)
        samples[start : start + size] += loudness * swell * rng.standard_normal(size)
    return samples


@pytest.mark.parametrize("most", [1, 2, 5])
@pytest.mark.parametrize("period_s", [0.75, 0.9, 1.7])
def test_a_sound_between_two_pauses_is_asked_for_again(tiny, most, period_s):
    at_s = 0.2 + period_s * np.arange(15)
    script = [(tiny.encode_text(" three")[0], one_s + 0.2) for one_s in at_s]
    source = Miscounts(tiny, script, most)
    samples = sounds(at_s, 0.4, 0.1, 0.2 + 15 * period_s)
    stream = StreamDecoder(tiny, language="English", source=source)
    words = fed_samples(stream, samples)
    assert stream.text == " ".join(["three"] * 15)
    assert [word.start_s for word in words] == pytest.approx(at_s + 0.1, abs=0.25)
    check_times(words)


@pytest.mark.parametrize("most", [1, 2, 5])
@pytest.mark.parametrize(("length_s", "pause_s"), [(0.18, 0.4), (0.2, 0.25), (0.25, 0.8)])
def test_the_cut_before_a_short_sound_that_is_asked_for_again_leaves_all_of_it(
    tiny, most, length_s, pause_s
):
    # Where the word before it ends is known to half a second: that is longer than the sound.
    period_s = length_s + pause_s
    at_s = 0.2 + period_s * np.arange(15)
    script = [(tiny.encode_text(" three")[0], one_s + length_s / 2) for one_s in at_s]
    samples = sounds(at_s, length_s, 0.1, 0.2 + 15 * period_s)
    source = Miscounts(tiny, script, most)
    steps = []
    stream = StreamDecoder(tiny, language="English", source=source, on_step=steps.append)
    words = fed_samples(stream, samples)
    assert stream.text == " ".join(["three"] * 15)
    starts_s = {step.buffer_start_s for step in steps}
    assert len(starts_s) > 1
    check_silent(starts_s, at_s, length_s)
    check_times(words)


def check_silent(places_s, at_s, length_s):
    """None of the places is in one of the sounds."""
    for place_s in places_s:
        assert not ((at_s < place_s) & (place_s < at_s + length_s)).any()


class ReadsTwice(ScriptedSource):
    """After `most` committed words it says the last of them again, before whatever follows."""

    def __init__(self, model, script, most):
        super().__init__(model, script)
        self._most = most

    def hypothesis(self, samples, lead, committed_ids, language, context=""):
        found = super().hypothesis(samples, lead, committed_ids, language, context)
        if len(committed_ids) < self._most:
            return found
        last_s = [at_s for _, at_s in self._script][
            self._place(list(committed_ids)) + len(committed_ids) - 1
        ]
        frame = int(self._model.clock.frames(last_s - self._start_s))
        return replace(
            found,
            token_ids=(committed_ids[-1], *found.token_ids),
            frames=np.r_[float(frame), found.frames],
            head_frames=np.r_[np.full((1, 8), frame), found.head_frames],
            probabilities=np.r_[0.9, found.probabilities],
        )


@pytest.mark.parametrize("most", [2, 3, 5])
@pytest.mark.parametrize("period_s", [0.75, 0.9, 1.7])
def test_a_sound_that_is_read_twice_comes_out_once(tiny, most, period_s):
    at_s = 0.2 + period_s * np.arange(15)
    names = ["three", "six", "one", "two", "nine"]
    said = [names[index % 5] for index in range(15)]  # so that the script tells where it is
    script = [
        (tiny.encode_text(f" {name}")[0], one_s + 0.2)
        for name, one_s in zip(said, at_s, strict=True)
    ]
    source = ReadsTwice(tiny, script, most)
    samples = sounds(at_s, 0.4, 0.1, 0.2 + 15 * period_s)
    stream = StreamDecoder(tiny, language="English", source=source)
    words = fed_samples(stream, samples)
    assert stream.text == " ".join(said)
    assert [word.start_s for word in words] == pytest.approx(at_s + 0.1, abs=0.25)
    check_times(words)


@pytest.mark.parametrize("most", [2, 3, 5])
@pytest.mark.parametrize("period_s", [0.95, 1.1, 1.25])
def test_the_cut_behind_a_sound_that_is_read_twice_leaves_no_rest_of_it(tiny, most, period_s):
    # The next one, too, has begun by then: what is cut lies before that and not before the first.
    length_s = 0.6
    at_s = 0.2 + period_s * np.arange(15)
    names = ["three", "six", "one", "two", "nine"]
    said = [names[index % 5] for index in range(15)]
    script = [
        (tiny.encode_text(f" {name}")[0], one_s + 0.2)
        for name, one_s in zip(said, at_s, strict=True)
    ]
    steps = []
    source = ReadsTwice(tiny, script, most)
    stream = StreamDecoder(tiny, language="English", source=source, on_step=steps.append)
    words = fed_samples(stream, sounds(at_s, length_s, 0.1, 0.2 + 15 * period_s))
    assert stream.text == " ".join(said)
    starts_s = {step.buffer_start_s for step in steps}
    assert len(starts_s) > 1
    check_silent(starts_s, at_s, length_s)
    check_times(words)


@pytest.mark.parametrize("most", [2, 3, 4])
@pytest.mark.parametrize(("first_s", "length_s"), [(0.4, 0.12), (0.5, 0.12), (0.7, 0.16)])
@pytest.mark.parametrize("silence_s", [0.3, 3.0])
def test_a_short_sound_behind_what_is_read_twice_is_heard_in_the_end(
    tiny, most, first_s, length_s, silence_s
):
    """With the pause after it, it is shorter than what is decoded as a rule."""
    at_s = first_s + (length_s + 0.3) * np.arange(5)
    names = ["three", "six", "one", "two", "nine"]
    script = [
        (tiny.encode_text(f" {name}")[0], one_s + length_s / 2)
        for name, one_s in zip(names, at_s, strict=True)
    ]
    samples = sounds(at_s, length_s, 0.1, at_s[-1] + length_s + silence_s)
    stream = StreamDecoder(tiny, language="English", source=ReadsTwice(tiny, script, most))
    words = fed_samples(stream, samples)
    assert stream.text == " ".join(names)
    check_times(words)


@pytest.mark.parametrize(("length_s", "loudness"), [(0.05, 0.1), (0.4, 0.005)])
def test_clicks_and_breaths_between_pauses_are_no_reason_to_ask(tiny, length_s, loudness):
    at_s = 0.2 + 0.9 * np.arange(3)
    script = [(tiny.encode_text(" three")[0], one_s + 0.2) for one_s in at_s]
    source = Miscounts(tiny, script, 3)
    samples = sounds(at_s, 0.4, 0.1, 7.0)
    samples += sounds(2.9 + 0.9 * np.arange(5), length_s, loudness, 7.0)
    stream = StreamDecoder(tiny, language="English", source=source)
    fed_samples(stream, samples)
    assert stream.text == "three three three"
    counts = [len(committed) for committed, _, _ in source.asked]
    assert counts == sorted(counts)


def test_a_phrase_in_noise_is_said_once(tiny):
    # A pilot that was said three times at 10 dB, at .12 of the buffer and less.
    (clip,) = [u for u in load_corpus("demo:all").utterances if u.id == "121-3-0000"]
    clean = clip.read()
    noise = 0.018 * np.random.default_rng(44).standard_normal(len(clean))
    stream = StreamDecoder(tiny)
    words = fed_samples(stream, (clean + noise).astype(np.float32))
    assert "until my lucky pilot waited across another hospital" in stream.text
    assert stream.text.count("pilot") == 1
    check_times(words)


def fed_samples(stream, samples):
    words = []
    for start in range(0, len(samples), RATE):
        words += stream.feed(samples[start : start + RATE])
    return words + stream.finish()


# Times


def test_words_at_one_place_share_what_room_there_is():
    at = [(5.0, 5.2)]
    placed = in_turn(at * 3, 3, 4.0, 9.0)
    assert placed == pytest.approx(np.array([(5, 5.06), (5.06, 5.12), (5.12, 5.2)]))
    # None after the audio's end: they begin earlier.
    assert in_turn(at * 3, 3, 4.0, 5.1) == pytest.approx(
        np.array([(4.92, 4.98), (4.98, 5.04), (5.04, 5.1)])
    )
    # Less room than they need is shared evenly.
    assert in_turn(at * 2, 2, 5.0, 5.1) == pytest.approx(np.array([(5, 5.05), (5.05, 5.1)]))
    assert in_turn(at, 1, 5.1, 5.1) == [(5.1, 5.1)]
    # The one that waits is no limit to its own place.
    assert in_turn([(1.0, 1.5), (1.2, 1.9)], 1, 0.0, 9.0) == [(1.0, 1.2)]
    assert in_turn([], 0, 0.0, 9.0) == []
