"""Recordings that are longer than a model reads at once: nothing of them is lost."""

import jiwer
import numpy as np
import pytest
import whisper_checkpoints
from numpy_model import WORDS, NumpyModel, spoken

from alignheads import SpeechModel, load_corpus
from alignheads.corpora.matching import plain_text
from alignheads.errors import InputError
from alignheads.runtime.models.model import Transcript, _joined, transcribe

RATE = 16_000


def joined(seconds, gap_s=0.4):
    """Clips of the demo, one after another, and what is said in them."""
    clips = load_corpus("demo:all").utterances
    parts, said, length, gap = [], [], 0, np.zeros(round(gap_s * RATE), np.float32)
    while length < seconds * RATE:
        clip = clips[len(said) % len(clips)]
        parts += [clip.read(), gap]
        said.append(clip.text)
        length += len(parts[-2]) + len(gap)
    return np.concatenate(parts), plain_text(" ".join(said))


@pytest.mark.parametrize("seconds", [103, pytest.param(300, marks=pytest.mark.slow)])
def test_every_word_of_a_long_recording_is_written(tiny, seconds):
    samples, said = joined(seconds)
    found = tiny.transcribe(samples)
    assert jiwer.wer(said, plain_text(found.text)) <= 0.005  # of the clips alone: none is wrong
    assert found.language == "English"


def test_five_minutes_of_tones_and_a_limit_that_the_model_states():
    words = [WORDS[n % len(WORDS)] for n in range(750)]
    samples, _ = spoken(words)
    model = NumpyModel()
    read = []
    model.prefill = lambda samples, language=None, context="": (
        read.append(len(samples)) or NumpyModel.prefill(model, samples, language)
    )
    assert transcribe(model, samples).text.split() == words
    assert max(read) <= model.longest_piece_s * RATE
    assert sum(read) == len(samples)


def test_what_fits_is_read_as_it_was():
    samples, _ = spoken(list(WORDS))
    model = NumpyModel()
    read = []
    model.prefill = lambda given, language=None, context="": (
        read.append(given) or NumpyModel.prefill(model, given, language)
    )
    transcribe(model, samples)
    assert [len(one) for one in read] == [len(samples)]


def test_a_cut_in_speech_is_said_once(caplog):
    model = NumpyModel()
    tone = 0.3 * np.sin(2 * np.pi * 500 * np.arange(300 * RATE) / RATE).astype(np.float32)
    transcribe(model, tone)
    (said,) = caplog.messages
    assert "300.0 s was cut where it has no pause" in said
    assert "more places" in said
    caplog.clear()
    transcribe(model, spoken([*WORDS] * 30)[0])
    assert caplog.messages == []


def test_whisper_reads_more_than_its_window(tmp_path):
    model = SpeechModel.load(whisper_checkpoints.mlx_folder(tmp_path / "whisper"))
    noise = np.random.default_rng(0).normal(0, 0.1, 31 * RATE).astype(np.float32)
    assert model.longest_piece_s == 30.0
    assert isinstance(model.transcribe(noise, "en").text, str)
    with pytest.raises(InputError, match="no more than 30 s at once; transcribe it"):
        model.prefill(noise, "en")


@pytest.mark.parametrize(
    ("texts", "whole"),
    [
        (["one two", "three"], "one two three"),
        (["", "one", "", "two", ""], "one two"),
        (["今天", "天气"], "今天天气"),
        (["你好。", "Hello", "世界"], "你好。Hello世界"),
        (["Bonjour", "!"], "Bonjour!"),
        (["สวัสดี", "ครับ"], "สวัสดีครับ"),
        (["안녕하세요", "여러분"], "안녕하세요 여러분"),
    ],
)
def test_pieces_are_joined_as_their_script_is_written(texts, whole):
    assert _joined([Transcript(text, "x", ()) for text in texts]).text == whole


def test_the_language_is_that_of_most_of_the_text():
    pieces = [("", None), ("hi", "English"), ("guten Tag", "German"), ("you", "English")]
    found = _joined([Transcript(text, language, (1,)) for text, language in pieces])
    assert (found.language, found.token_ids) == ("German", (1, 1, 1, 1))
    assert _joined([Transcript("", None, ()), Transcript("", None, ())]).language is None


def test_broken_samples_are_refused_however_long(tiny):
    broken = np.zeros(40 * RATE, np.float32)
    broken[35 * RATE] = np.nan
    with pytest.raises(InputError, match="NaN"):
        tiny.transcribe(broken)
    with pytest.raises(InputError, match="one channel"):
        tiny.transcribe(np.zeros((40 * RATE, 2), np.float32))
    with pytest.raises(InputError, match="floats"):
        tiny.transcribe(np.zeros(40 * RATE, np.int16))
