"""The processor for simulstream: on its own base class if installed, else on a likeness of it."""

import dataclasses
import importlib
import sys
import types
from types import SimpleNamespace

import numpy as np
import pytest

from alignheads import DecoderConfig, InputError, StreamDecoder

NAME = "alignheads.runtime.simulstream.processor"


@pytest.fixture
def processor(monkeypatch, tiny):
    """Makes a processor of the tiny model from fields of a configuration."""
    try:
        importlib.import_module("simulstream.server.speech_processors.incremental_output")
    except ImportError:
        for name, module in likeness().items():
            monkeypatch.setitem(sys.modules, name, module)
    module = importlib.import_module(NAME)
    monkeypatch.setattr(module.AlignAttProcessor, "_models", {"tiny": tiny})
    yield lambda **fields: module.AlignAttProcessor(SimpleNamespace(type=NAME, **fields))
    sys.modules.pop(NAME)


def likeness():
    """The two modules that are used of simulstream 1.0, with what is used of them."""

    class SpeechProcessor:
        def __init__(self, config):
            self.config = config

    @dataclasses.dataclass
    class IncrementalOutput:
        new_tokens: list
        new_string: str
        deleted_tokens: list
        deleted_string: str

    package = "simulstream.server.speech_processors"
    modules = {name: types.ModuleType(name) for name in ("simulstream", "simulstream.server")}
    modules[package] = types.ModuleType(package)
    modules[package].SpeechProcessor = SpeechProcessor
    modules[f"{package}.incremental_output"] = types.ModuleType("incremental_output")
    modules[f"{package}.incremental_output"].IncrementalOutput = IncrementalOutput
    return modules


@pytest.fixture(scope="module")
def clip():
    from alignheads import load_corpus

    return load_corpus("demo:test").utterances[2]


def run(one, samples):
    size = int(one.speech_chunk_size * 16000)
    outputs = [one.process_chunk(samples[at : at + size]) for at in range(0, len(samples), size)]
    outputs.append(one.end_of_stream())
    return outputs


def test_its_words_are_those_of_the_decoder_and_nothing_is_deleted(processor, tiny, clip):
    samples = clip.read()
    one = processor(step_s=0.5)
    assert one.speech_chunk_size == 0.5
    outputs = run(one, samples)
    with StreamDecoder(tiny, DecoderConfig.bundled("tiny").changed(step_s=0.5)) as stream:
        words = stream.feed(samples) + stream.finish()
    tokens = [token for output in outputs for token in output.new_tokens]
    assert tokens == [word.text for word in words]
    assert "".join(output.new_string for output in outputs) == " ".join(tokens)
    assert one.tokens_to_string(tokens) == " ".join(tokens)
    assert all(output.deleted_tokens == [] for output in outputs)


def test_cleared_it_begins_another_stream(processor, clip):
    one, samples = processor(speech_chunk_size=1.0, language="English"), clip.read()
    first = [output.new_string for output in run(one, samples)]
    one.clear()
    one.set_source_language("en")
    assert [output.new_string for output in run(one, samples)] == first


def test_by_character_tokens_bring_their_spaces(processor, clip):
    outputs = run(processor(latency_unit="char"), clip.read())
    tokens = [token for output in outputs for token in output.new_tokens]
    assert "".join(tokens) == "".join(output.new_string for output in outputs)


def test_nothing_is_translated_and_a_wrong_language_is_refused(processor):
    one = processor(language="English")
    one.set_target_language("en")
    with pytest.raises(InputError):
        one.set_source_language("Klingon")
    with pytest.raises(InputError):
        processor(decoder_config="gone.json")


def test_a_stream_without_a_sample_has_no_words(processor):
    one = processor()
    assert one.process_chunk(np.zeros(0, np.float32)).new_tokens == []
    assert one.end_of_stream().new_string == ""
