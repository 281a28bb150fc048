"""Each stretch of speech has a language of its own, and each word says which.

`Bilingual` is a perfect model that can only write the language it was given, or finds that of the
first word in its buffer. `scripted.py` says what it is made of.
"""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from scripted import RATE, ScriptedSource, evenly

from alignheads import DecoderConfig, InputError, SpeechModel, StreamDecoder
from alignheads.corpora.audio import read_audio
from alignheads.runtime.stream.online import OnlineProcessor
from alignheads.runtime.stream.output import JsonlWriter, StreamEnd
from alignheads.runtime.stream.stretches import is_pause, next_stretch

ENGLISH = " every river runs past the old tower."
GERMAN = " das alte Haus liegt hinter dem Fluss."


class Polyglot:
    """A model that knows two languages."""

    languages = ("English", "German")

    def __init__(self, model):
        self._model = model

    def __getattr__(self, name):
        return getattr(self._model, name)

    def language_name(self, language):
        return language


class Bilingual(ScriptedSource):
    """Writes one word, over and over, for what is not in the language it takes a buffer for."""

    def __init__(self, model, stretches):
        """`stretches`: (text, language, where it starts, how long it takes)."""
        self._of: list[str] = []
        script = []
        for text, language, start_s, seconds in stretches:
            script += (spoken := evenly(model, text, seconds, start_s))
            self._of += [language] * len(spoken)
        super().__init__(model, script)
        foreign = (i for i in range(850) if model.token_bytes(i).startswith(b" ") and i != 220)
        self._foreign = next(i for i in foreign if i not in {token for token, _ in script})

    def hypothesis(self, samples, lead, committed_ids, language, context=""):
        first = sum(at_s < self._start_s for _, at_s in self._script)
        found = language or ([*self._of[first:], "English"])[0]
        said = super().hypothesis(samples, lead, committed_ids, found, context)
        self.asked[-1] = (tuple(committed_ids), language, context)
        begin = self._place(list(committed_ids)) + len(committed_ids)
        ids = tuple(
            token if self._of[begin + at] == found else self._foreign
            for at, token in enumerate(said.token_ids)
        )
        return type(said)(**{**vars(said), "token_ids": ids})


def two(model, pause_s, order=("English", "German")):
    texts = {"English": ENGLISH, "German": GERMAN}
    return Bilingual(
        model,
        [(texts[order[0]], order[0], 0.5, 4.0), (texts[order[1]], order[1], 4.5 + pause_s, 4.0)],
    )


def fed(stream, seconds, piece_s=1.0):
    words, piece = [], int(piece_s * RATE)
    for start in range(0, int(seconds * RATE), piece):
        words += stream.feed(np.zeros(min(piece, int(seconds * RATE) - start), np.float32))
    return words + stream.finish()


def by_language(words):
    found = {}
    for word in words:
        found.setdefault(word.language, []).append(word.text)
    return {language: " ".join(texts) for language, texts in found.items()}


@pytest.fixture(scope="module")
def model(tiny):
    return Polyglot(tiny)


@pytest.mark.parametrize("piece_s", [0.3, 1.0, 200.0])
@pytest.mark.parametrize("pause_s", [2.5, 40.0])
@pytest.mark.parametrize("order", [("English", "German"), ("German", "English")])
def test_after_a_long_pause_the_language_is_detected_anew(model, pause_s, piece_s, order):
    source = two(model, pause_s, order)
    steps = []
    stream = StreamDecoder(model, source=source, on_step=steps.append)
    words = fed(stream, 10 + pause_s, piece_s)
    assert by_language(words) == {"English": ENGLISH.strip(), "German": GERMAN.strip()}
    starts = [word.start_s for word in words]
    assert starts == sorted(starts)
    assert stream.language == order[1]
    assert [one.language for step in steps for one in step.words] == [w.language for w in words]
    # What was said in another language is no context.
    assert source.asked[-1][2] == ""


@pytest.mark.parametrize("piece_s", [0.3, 1.0])
def test_after_silence_the_language_is_detected_anew(model, piece_s):
    """A silence that is heard ends a stretch sooner than a pause between words in noise."""
    source = two(model, 1.3)
    stream = StreamDecoder(model, source=source)
    samples = np.random.default_rng(0).normal(0, 0.05, 11 * RATE).astype(np.float32)
    samples[int(4.6 * RATE) : int(5.75 * RATE)] = 0
    size = int(piece_s * RATE)
    for start in range(0, len(samples), size):
        stream.feed(samples[start : start + size])
    stream.finish()
    assert by_language(stream.words) == {"English": ENGLISH.strip(), "German": GERMAN.strip()}
    assert 5 < stream.stretch_start_s < 5.8


def test_a_short_pause_needs_redetect(model):
    stream = StreamDecoder(model, source=two(model, 1.0), redetect=True)
    assert by_language(fed(stream, 12)) == {"English": ENGLISH.strip(), "German": GERMAN.strip()}


@pytest.mark.parametrize("redetect", [False, True])
def test_a_stretch_in_the_same_language_keeps_its_context(model, redetect):
    source = two(model, 3.0, ("English", "English"))
    source._ids = [token for token, _ in source._script]
    stream = StreamDecoder(model, source=source, redetect=redetect)
    words = fed(stream, 14)
    assert stream.text == f"{ENGLISH.strip()} {ENGLISH.strip()}"
    assert {word.language for word in words} == {"English"}
    assert max(word.emitted_s - word.end_s for word in words) <= 2
    detecting = [asked for asked in source.asked if asked[1] is None]
    assert 2 <= len(detecting) < len(source.asked)


def test_many_stretches_alternate(model):
    texts = [(ENGLISH, "English"), (GERMAN, "German")] * 4
    source = Bilingual(
        model, [(text, language, 0.5 + 6 * at, 3.5) for at, (text, language) in enumerate(texts)]
    )
    stream = StreamDecoder(model, source=source)
    words = fed(stream, 49)
    assert stream.text == " ".join(text.strip() for text, _ in texts)
    assert by_language(words) == {
        "English": " ".join([ENGLISH.strip()] * 4), "German": " ".join([GERMAN.strip()] * 4)
    }  # fmt: skip


def test_a_given_language_stays(model):
    source = two(model, 3.0)
    stream = StreamDecoder(model, source=source, language="English")
    stream.feed(np.zeros(5 * RATE, np.float32))
    assert {language for _, language, _ in source.asked} == {"English"}
    with pytest.raises(InputError, match="English, so redetect has nothing to detect"):
        StreamDecoder(model, language="English", redetect=True)
    config = DecoderConfig.bundled("tiny").changed(language="English")
    with pytest.raises(InputError, match="nothing to detect"):
        StreamDecoder(model, config, redetect=True)


def test_a_model_of_one_language_is_not_asked_again(tiny):
    source = two(tiny, 3.0, ("English", "English"))
    stream = StreamDecoder(tiny, source=source, redetect=True)
    fed(stream, 14)
    detecting = [at for at, (_, language, _) in enumerate(source.asked) if language is None]
    assert detecting == list(range(len(detecting)))  # only until the first words


def test_a_reset_forgets_the_language(model):
    stream = StreamDecoder(model, source=two(model, 3.0))
    fed(stream, 14)
    assert stream.language == "German"
    stream.reset()
    assert stream.language is None
    assert by_language(fed(stream, 14)).keys() == {"English", "German"}


def test_json_lines_have_the_language_of_each_word(model):
    out = io.StringIO()
    writer = JsonlWriter(out)
    stream = StreamDecoder(model, source=two(model, 3.0))
    for word in fed(stream, 14):
        writer.update([word], 14.0, "")
    writer.end(StreamEnd("x", 14.0, stream.language, "end"))
    *commits, end = map(json.loads, out.getvalue().splitlines())
    said = [word["language"] for commit in commits for word in commit["words"]]
    assert said == sorted(said)
    assert set(said) == {"English", "German"}
    assert (end["language"], end["languages"]) == ("German", ["English", "German"])


def test_a_session_of_a_server_has_them_too(model):
    online = OnlineProcessor(model)
    online._stream = StreamDecoder(model, source=two(model, 3.0))
    words = []
    for second in range(14):
        online.insert_audio_chunk(np.zeros(RATE, np.float32), second + 1.0)
        words += online.process_iter()[0]
    words += online.finish()[0]
    assert [word.language for word in words] == ["English"] * 7 + ["German"] * 7


# Where a stretch begins


def test_a_pause_is_quiet():
    rng = np.random.default_rng(0)
    speech, quiet = 0.1 * rng.standard_normal(2 * RATE), 0.01 * rng.standard_normal(2 * RATE)
    assert is_pause(np.r_[speech, quiet, speech], 2, 4, 1.5)
    assert not is_pause(np.r_[speech, speech, speech], 2, 4, 1.5)
    assert not is_pause(np.r_[speech, quiet[:RATE], speech], 2, 4, 1.5)
    assert is_pause(np.zeros(RATE), 0, 1, 1.0)
    assert not is_pause(np.zeros(0), 0, 0, 1.0)


@pytest.mark.parametrize(
    ("words_s", "ended_s", "expected"),
    [
        ([], 1.0, None),
        ([(3.0, 3.2)], None, None),  # the first of all
        ([(3.0, 3.2)], 1.0, 0),
        ([(2.0, 2.2)], 1.0, None),
        ([(0.1, 0.2), (0.5, 0.6), (3.0, 3.2)], None, 2),
        ([(1.0, 1.2), (0.5, 0.6), (1.9, 2.0)], 0.5, None),  # a rewind
    ],
)
def test_a_stretch_begins_with_a_word_after_a_long_pause(words_s, ended_s, expected):
    found = next_stretch(np.zeros(5 * RATE, np.float32), words_s, ended_s, 1.5)
    assert (None if found is None else found[0]) == expected
    if found is not None:
        assert 2.7 <= found[1] <= 3.0


# Real speech


@pytest.mark.real_weights
@pytest.mark.xdist_group("real_weights")
def test_english_and_german_by_whisper():
    """Needs ALIGNHEADS_WHISPER and ALIGNHEADS_SPEECH, with `leopard/test.wav` and `test_de.wav`."""
    folders = [os.environ.get(name) for name in ("ALIGNHEADS_WHISPER", "ALIGNHEADS_SPEECH")]
    if not all(folder and Path(folder).is_dir() for folder in folders):
        pytest.skip("ALIGNHEADS_WHISPER and ALIGNHEADS_SPEECH name no folders")
    weights, speech = (Path(folder) for folder in folders if folder)
    clips = [read_audio(speech / "leopard" / name) for name in ("test.wav", "test_de.wav")]
    model = SpeechModel.load(weights / "whisper-base")
    stream = StreamDecoder(model, DecoderConfig.bundled("whisper-base"))
    samples = np.r_[clips[0], np.zeros(2 * RATE, np.float32), clips[1]]
    for start in range(0, len(samples), RATE):
        stream.feed(samples[start : start + RATE])
    stream.finish()
    said = by_language(stream.words)
    assert set(said) == {"English", "German"}
    assert "apostle of the middle classes" in said["English"]
    assert "hinter diesem Portal" in said["German"]
