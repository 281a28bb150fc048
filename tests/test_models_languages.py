"""Languages by name, code and locale; what speech of an unnamed language comes to."""

import itertools

import numpy as np
import pytest

from alignheads import InputError, SpeechModel
from alignheads.runtime.models.languages import (
    CODES,
    is_detected,
    language_code,
    language_name,
)
from alignheads.runtime.whisperlivekit.backend import model_called


@pytest.fixture(scope="module")
def multilingual():
    """The tiny model, as if its checkpoint did not say what it knows: it is taken for all 30."""
    model = SpeechModel.load("tiny")
    model.languages = tuple(CODES)
    return model


def test_there_are_the_30_languages_of_the_release():
    assert len(CODES) == len(set(CODES.values())) == 30
    assert {"Cantonese": "yue", "Filipino": "fil", "Macedonian": "mk"}.items() <= CODES.items()


@pytest.mark.parametrize(("name", "code"), CODES.items())
def test_each_by_name_code_and_locale(name, code, multilingual):
    forms = (name, name.upper(), code, code.upper(), f" {code} ", f"{code}-XX", f"{code}_XX.UTF-8")
    assert {multilingual.language_name(form) for form in forms} == {name}
    assert language_code(name) == code


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("fr-CA", "French"), ("zh-Hans", "Chinese"), ("zh_TW", "Chinese"), ("zh-HK", "Chinese"),
        ("zh-yue", "Cantonese"), ("yue-Hant-HK", "Cantonese"), ("mandarin", "Chinese"),
        ("tl", "Filipino"), ("farsi", "Persian"), ("es-419", "Spanish"), ("pt-BR", "Portuguese"),
        ("de-AT", "German"), ("en-GB", "English"),
    ],
)  # fmt: skip
def test_regions_are_dropped_and_other_names_known(given, name, multilingual):
    assert multilingual.language_name(given) == name


@pytest.mark.parametrize("given", ["xx", "e", "none", "None", "zhh"])
def test_what_is_no_language_is_refused(given, multilingual):
    with pytest.raises(InputError, match="does not know the language"):
        multilingual.language_name(given)


def test_a_checkpoint_that_lists_its_languages_knows_no_other():
    tiny = SpeechModel.load("tiny")
    assert tiny.language_name("en-NZ") == "English"
    for other in ("French", "fr", "mandarin"):
        with pytest.raises(InputError, match="it knows English"):
            tiny.language_name(other)
    # A name that is none of the 30 is known where the checkpoint has it.
    assert language_name("catalan", ("Catalan",)) == "Catalan"
    assert language_name("fr", ("Catalan",)) is None


@pytest.mark.parametrize("given", [None, "auto", "AUTO", " detect "])
def test_auto_is_detected(given, multilingual):
    assert is_detected(given)
    assert multilingual.language_name(given) is None


def test_auto_overrides_the_language_of_a_configuration(multilingual):
    from alignheads import DecoderConfig, StreamDecoder

    config = DecoderConfig.bundled("tiny").changed(language="English")
    assert StreamDecoder(multilingual, config).language == "English"
    assert StreamDecoder(multilingual, config, language="auto").language is None


# Fine-tunes of one language answer `language None<asr_text>…`


class Unnaming:
    """A vocabulary in whose answers the language is None."""

    def __init__(self, vocabulary, says_text=True):
        self._own, self._says_text = vocabulary, says_text

    def __getattr__(self, name):
        return getattr(self._own, name)

    def answer_head(self, ids):
        _, start = self._own.answer_head(ids)
        return (None, start) if self._says_text else (None, len(ids))


def test_speech_of_a_language_that_is_not_named_is_written(demo, monkeypatch):
    from alignheads import StreamDecoder

    utterance = demo.utterances[0]
    model = SpeechModel.load("tiny")
    named = model.transcribe(utterance.read())
    monkeypatch.setattr(model, "vocabulary", Unnaming(model.vocabulary))
    plain = model.transcribe(utterance.read())
    assert (plain.text, plain.language) == (named.text, None)
    stream = StreamDecoder(model)
    samples = utterance.read()
    words = [*stream.feed(samples), *stream.finish()]
    assert stream.language is None
    assert len("".join(word.text for word in words)) > 0.7 * len(named.text)


def test_no_speech_stays_no_speech(demo, monkeypatch):
    from alignheads import StreamDecoder

    model = SpeechModel.load("tiny")
    monkeypatch.setattr(model, "vocabulary", Unnaming(model.vocabulary, says_text=False))
    stream = StreamDecoder(model)
    words = [*stream.feed(demo.utterances[0].read()[:48000]), *stream.finish()]
    assert words == []
    assert stream.language is None


# The names of WhisperLiveKit's users


@pytest.mark.parametrize(
    ("given", "means"),
    [("base", "0.6b"), ("small", "0.6b"), ("medium", "1.7b"), ("large", "1.7b"),
     ("Large-v3", "1.7b"), ("tiny", "tiny"), ("whisper-base", "whisper-base"), ("1.7b", "1.7b")],
)  # fmt: skip
def test_names_mean_what_they_mean_in_that_server(given, means):
    assert model_called(given) == means


def test_repositories_by_their_last_part(monkeypatch):
    from alignheads.runtime.models import checkpoint

    asked = []

    def download(repository):
        asked.append(repository)
        return checkpoint.TINY_FOLDER

    monkeypatch.setattr(checkpoint, "_download", download)
    for start, size in itertools.product(("qwen3-asr-", "Qwen3-ASR-", "qwen3-"), ("0.6b", "1.7B")):
        assert checkpoint.find_checkpoint(start + size).label == size.lower()
    assert set(asked) == {"Qwen/Qwen3-ASR-0.6B", "Qwen/Qwen3-ASR-1.7B"}
    with pytest.raises(InputError, match="Whisper's is called whisper-large-v3-turbo, and Qwen3"):
        checkpoint.find_checkpoint("large-v3-turbo")


def test_samples_are_not_changed(demo):
    samples = demo.utterances[0].read()
    before = samples.copy()
    SpeechModel.load("tiny").transcribe(samples, "en")
    np.testing.assert_array_equal(samples, before)
