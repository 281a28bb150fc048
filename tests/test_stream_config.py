"""decoder_config.json: bad files first, then round trips, then what the decoder reads from it."""

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from alignheads import InputError, load_heads
from alignheads.heads.compact import heads_from_compact
from alignheads.heads.names import BUNDLED
from alignheads.runtime.policy.policy import Policy
from alignheads.runtime.stream.config import DecoderConfig, chosen_config

LEAST = {"model": "some/model", "heads": [[1, 2], [0, 3]], "head_count": 2, "border_s": 0.4}


@dataclass(frozen=True)
class Checkpoint:
    name: str = "some/model"
    num_layers: int = 2
    num_heads: int = 4
    max_audio_s: float = 60.0
    attention_kind: str = "self"


def written(folder, content=None, **changes):
    path = folder / "decoder_config.json"
    merged = {**LEAST, **changes} if content is None else content
    dropped = {name: value for name, value in merged.items() if value is not ...}
    path.write_text(json.dumps(dropped))
    return path


def refusal(path):
    with pytest.raises(InputError) as caught:
        DecoderConfig.load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


# Bad files


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"border_seconds": 0.4}, "unknown key 'border_seconds'; did you mean border_s?"),
        ({"colour": "red"}, "unknown key 'colour'; remove it"),
        ({"model": ...}, "the key model is missing"),
        ({"heads": ...}, "the key heads is missing"),
        ({"head_count": ...}, "the key head_count is missing"),
        ({"model": ""}, "model is ''"),
        ({"model": None}, "model is None"),
        ({"border_s": ...}, "border_fraction or border_s, and neither is given"),
        ({"border_fraction": 0.2}, "border_fraction or border_s, and both are given"),
        ({"border_s": 0}, "border_s is 0"),
        ({"border_s": -0.1}, "border_s is -0.1"),
        ({"border_s": ..., "border_fraction": 0}, "border_fraction is 0"),
        ({"border_s": ..., "border_fraction": 1}, "border_fraction is 1"),
        ({"border_s": ..., "border_fraction": 25}, "expected more than 0 and less than 1"),
        ({"border_s": ..., "border_fraction": "0.25"}, "border_fraction is '0.25'"),
        ({"rewind_fraction": 0}, "rewind_fraction is 0"),
        ({"rewind_fraction": 1.0}, "rewind_fraction is 1"),
        ({"rewind_fraction": True}, "rewind_fraction is True"),
        ({"aggregate": "max"}, "aggregate is 'max', expected 'median' or 'mean'"),
        ({"head_count": 0}, "head_count is 0"),
        ({"head_count": 1.5}, "head_count is 1.5"),
        ({"head_count": 3}, "head_count is 3, but heads lists 2"),
        ({"heads": []}, "heads is []"),
        ({"heads": ""}, "heads is ''"),
        ({"heads": None}, "heads is None"),
        ({"heads": [[1, 2], [3]]}, "heads[1] is [3], expected [layer, head]"),
        ({"heads": [[1, 2], [3, True]]}, "heads[1] is [3, True]"),
        ({"heads": [[1, 2], [3, 1.0]]}, "heads[1] is [3, 1.0]"),
        ({"heads": [[1, -2]]}, "heads[0] is [1, -2]"),
        ({"heads": [[1, 2], [1, 2]]}, "heads[1] is [1, 2] again"),
        ({"step_s": 0}, "step_s is 0"),
        ({"sink_s": -0.1}, "sink_s is -0.1"),
        ({"opening_s": -1}, "opening_s is -1"),
        ({"doubt_s": -1}, "doubt_s is -1"),
        ({"doubt_s": "4"}, "doubt_s is '4'"),
        ({"pause_s": -1}, "pause_s is -1"),
        ({"word_margin_s": -0.1}, "word_margin_s is -0.1"),
        ({"min_audio_s": -1}, "min_audio_s is -1"),
        ({"max_audio_s": 1.4}, "max_audio_s is 1.4, expected min_audio_s + step_s = 1.5 or more"),
        ({"max_context_tokens": -1}, "max_context_tokens is -1"),
        ({"calibration": [1]}, "calibration is [1]"),
        ({"schema_version": 3}, "has schema_version 3, this one reads 2"),
        ({"schema_version": 3, "new_key": 1}, "written by a newer alignheads; upgrade"),
        ({"schema_version": 0}, "schema_version is 0"),
        ({"language": 3}, "language is 3"),
    ],
)  # fmt: skip
def test_wrong_values_are_refused(tmp_path, changes, expected):
    assert expected in refusal(written(tmp_path, **changes))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
@pytest.mark.parametrize("key", ["border_s", "step_s", "rewind_fraction", "sink_s", "calibration"])
def test_numbers_that_are_none_are_refused(tmp_path, key, number):
    value = {"wer": "HERE"} if key == "calibration" else "HERE"
    path = written(tmp_path, **{key: value})
    path.write_text(path.read_text().replace('"HERE"', number))
    assert key in refusal(path)


@pytest.mark.parametrize("text", ["", "null", "[]", "42", "no json", "[" * 100_000])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "decoder_config.json"
    path.write_text(text)
    assert "JSON" in refusal(path) or "nested" in refusal(path)


def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    path = written(tmp_path)
    text = path.read_text()
    for length in range(len(text)):
        path.write_text(text[:length])
        assert "JSON" in refusal(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert "make one with calibrate" in refusal(tmp_path / "missing.json")
    assert "is a folder, expected a decoder configuration" in refusal(tmp_path)


def test_a_heads_file_is_no_configuration(tmp_path):
    path = tmp_path / "heads.json"
    load_heads("0.6b").save(path)
    refusal(path)


def test_the_constructor_checks_too():
    with pytest.raises(ValidationError, match="neither is given"):
        DecoderConfig(model="m", heads="tiny", head_count=1)
    with pytest.raises(ValidationError, match="frozen"):
        DecoderConfig(**LEAST).step_s = 2.0  # type: ignore[misc]


# Heads of another model, too few, or none


@pytest.mark.parametrize("name", ["other/model", "model2", "some/model2", ""])
def test_a_configuration_of_another_model_is_refused(tmp_path, name):
    config = DecoderConfig.load(written(tmp_path))
    with pytest.raises(InputError, match=r"for some/model, not for .*calibrate --model"):
        config.resolved(Checkpoint(name))


@pytest.mark.parametrize(
    ("configured", "name", "same"),
    [
        ("0.6b", "Qwen/Qwen3-ASR-0.6B", True),
        ("Qwen/Qwen3-ASR-0.6B", "mlx-community/Qwen3-ASR-0.6B-4bit", True),
        ("0.6b", "Qwen/Qwen3-ASR-1.7B", False),
        ("tiny", "tiny", True),
        ("Some/Model", "some/model", True),
        ("models/mine/", "mine", True),
        ("me/Qwen3-ASR-0.6B-medical", "Qwen/Qwen3-ASR-0.6B", False),
        ("my-0.6b", "0.6b", False),
        ("you/mine", "me/mine", False),
        ("whisper-base", "mlx-community/whisper-base-mlx-4bit", True),
        ("openai/whisper-base", "whisper-base-mlx", True),
        ("whisper-large", "openai/whisper-large-v3", True),
        ("whisper-large", "openai/whisper-large", False),
        ("whisper-base", "openai/whisper-base.en", False),
        ("whisper-base", "someone/whisper-base-german", False),
        ("tiny", "openai/whisper-tiny", False),
        ("whisper-tiny", "tiny", False),
    ],
)
def test_names_of_one_model(configured, name, same):
    config = DecoderConfig(**{**LEAST, "model": configured})
    if same:
        assert list(config.resolved(Checkpoint(name)).pairs) == [(1, 2), (0, 3)]
    else:
        with pytest.raises(InputError, match="not for"):
            config.resolved(Checkpoint(name))


@pytest.mark.parametrize(("layers", "count"), [(1, 4), (2, 3)])
def test_heads_that_the_model_does_not_have_are_refused(layers, count):
    config = DecoderConfig(**LEAST)
    with pytest.raises(InputError, match=rf"layer \d head \d, but .* {layers} layers x {count}"):
        config.resolved(Checkpoint(num_layers=layers, num_heads=count))


def test_more_heads_than_the_file_has_are_refused(tmp_path):
    heads = tmp_path / "heads.json"
    save_heads(heads)
    config = DecoderConfig.load(written(tmp_path, heads="heads.json", head_count=4))
    with pytest.raises(InputError, match=r"4 heads asked for.* lists 3"):
        config.resolved(Checkpoint())


def test_a_heads_file_of_another_shape_is_refused(tmp_path):
    save_heads(tmp_path / "heads.json")
    config = DecoderConfig.load(written(tmp_path, heads="heads.json"))
    with pytest.raises(InputError, match=r"2 layers x 4 heads.*discover-heads"):
        config.resolved(Checkpoint(num_layers=3))


@pytest.mark.parametrize(("ours", "theirs"), [("self", "cross"), ("cross", "self")])
def test_a_heads_file_of_another_kind_of_attention_is_refused(tmp_path, ours, theirs):
    save_heads(tmp_path / "heads.json", attention=ours)
    config = DecoderConfig.load(written(tmp_path, heads="heads.json"))
    expected = (
        f"heads of {ours}-attention.* of {theirs}-attention.*discover-heads --model some/model"
    )
    with pytest.raises(InputError, match=expected):
        config.resolved(Checkpoint(attention_kind=theirs))
    heads = load_heads(tmp_path / "heads.json")
    with pytest.raises(InputError, match=expected):
        chosen_config(Checkpoint(attention_kind=theirs), config, heads, {})
    assert config.resolved(Checkpoint(attention_kind=ours)).pairs


def test_a_missing_heads_file_is_an_error_and_no_guess(tmp_path):
    config = DecoderConfig.load(written(tmp_path, heads="gone.json"))
    with pytest.raises(InputError, match=r"no heads file .*gone\.json.*discover-heads"):
        config.resolved(Checkpoint())


def test_an_unknown_checkpoint_has_no_bundled_configuration():
    with pytest.raises(InputError, match="discover-heads --model my/finetune"):
        DecoderConfig.bundled("my/finetune")


# What is right


def save_heads(path, attention=None):
    sizes = {"num_layers": 2, "num_heads": 4, "num_kv_heads": 2}
    pairs = [(1, 1), (0, 2), (1, 3)]
    heads_from_compact(pairs, model="some/model", **sizes, attention=attention).save(path)


def test_a_heads_file_is_found_from_the_folder_of_the_configuration(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    save_heads(tmp_path / "heads.json")
    path = written(tmp_path, heads="heads.json")
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = DecoderConfig.load(path)
    assert list(config.resolved(Checkpoint()).pairs) == [(1, 1), (0, 2)]
    config.save("copy.json")
    assert list(DecoderConfig.load("copy.json").resolved(Checkpoint()).pairs) == [(1, 1), (0, 2)]


def test_fewer_heads_than_listed_are_the_best(tmp_path):
    config = DecoderConfig.load(written(tmp_path, head_count=1))
    assert list(config.resolved(Checkpoint()).pairs) == [(1, 2)]


def test_it_says_what_the_policy_needs():
    config = DecoderConfig(**LEAST, rewind_fraction=None, min_audio_s=2, sink_s=0.1)
    assert config.policy == Policy(border_s=0.4, rewind_fraction=None, min_audio_s=2, sink_s=0.1)


def test_every_field_of_the_policy_is_one_of_the_file(tmp_path):
    values = {"border_s": 0.7, "border_fraction": 0.3, "rewind_fraction": 0.3, "min_audio_s": 1.5,
              "sink_s": 0.2, "opening_s": 1.0, "doubt_s": 2.0, "pause_s": 0.5,
              "unsure_s": 0.4, "unseen_nats": 0.3, "no_speech_probability": 0.5}  # fmt: skip
    usual = DecoderConfig(**LEAST).policy
    assert set(values) == {field.name for field in fields(Policy)}
    for name, value in values.items():
        other = {"border_s": None} if name == "border_fraction" else {}
        expected = replace(usual, **{name: value}, **other)
        assert expected != usual
        absent = {key: ... for key in other}
        config = DecoderConfig.load(written(tmp_path, **{name: value}, **absent))
        assert config.policy == expected
        assert DecoderConfig(**LEAST).changed(**{name: value}).policy == expected


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_configurations_are_of_the_newest_schema(name, caplog):
    assert DecoderConfig.bundled(name).schema_version == 2
    assert caplog.messages == []


def test_a_file_of_the_first_schema_decides_as_it_did_and_says_so(tmp_path, caplog):
    path = written(tmp_path, schema_version=1)
    config = DecoderConfig.load(path)
    assert config == DecoderConfig(**LEAST)
    assert config.schema_version == 2
    (note,) = caplog.messages
    assert path.name in note
    assert "sink_s 0.6, opening_s 3, doubt_s 4, pause_s 1" in note
    config.save(path)
    caplog.clear()
    assert DecoderConfig.load(path) == config
    assert caplog.messages == []


def test_a_model_that_takes_less_audio_than_the_buffer_holds():
    config = DecoderConfig(**LEAST, max_audio_s=61)
    with pytest.raises(InputError, match=r"max_audio_s is 61.*no more than 60 s"):
        config.resolved(Checkpoint())


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_configurations_are_for_their_models(name):
    config = DecoderConfig.bundled(name)
    assert config.model == config.heads == name
    assert config.policy.border_frames(100, 13) > 0


def test_the_bundled_configuration_of_a_release_fits_its_bundled_heads():
    config = DecoderConfig.bundled("Qwen/Qwen3-ASR-1.7B")
    heads = load_heads("1.7b")
    model = Checkpoint("Qwen/Qwen3-ASR-1.7B", heads.num_layers, heads.num_heads)
    assert list(config.resolved(model).pairs) == heads.top(config.head_count)


@pytest.mark.parametrize("name", [name for name in BUNDLED if name.startswith("whisper")])
def test_a_configuration_of_whisper_takes_all_published_heads(name):
    heads = load_heads(name)
    model = Checkpoint(heads.model, heads.num_layers, heads.num_heads, 30.0, "cross")
    assert list(DecoderConfig.bundled(heads.model).resolved(model).pairs) == heads.compact


def test_a_configuration_of_whisper_can_be_kept_in_a_file(tmp_path):
    """With the name that it was asked for by, which is no file beside it."""
    config = DecoderConfig.bundled("whisper-turbo")
    assert (config.model, config.head_count) == ("whisper-large-v3-turbo", 6)
    for saved in (config, config.changed(heads="whisper-turbo")):
        saved.save(tmp_path / "decoder_config.json")
        assert DecoderConfig.load(tmp_path / "decoder_config.json") == saved


def test_a_fine_tune_of_whisper_has_no_bundled_configuration():
    for model in ("distil-whisper/distil-large-v3", "someone/whisper-base-german"):
        with pytest.raises(InputError, match=f"discover-heads --model {model}"):
            DecoderConfig.bundled(model)


# Changes


def test_one_border_takes_the_place_of_the_other():
    config = DecoderConfig(**LEAST)
    by_fraction = config.changed(border_fraction=0.3)
    assert (by_fraction.border_fraction, by_fraction.border_s) == (0.3, None)
    back = by_fraction.changed(border_s=0.4)
    assert back == config


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"border_fraction": 2}, "border_fraction is 2"),
        ({"border_fraction": 0.2, "border_s": 0.2}, "both are given"),
        ({"step": 2}, "unknown key 'step'"),
        ({"head_count": 9}, "lists 2"),
        ({"calibration": {"wer": float("nan")}}, "calibration"),
        ({"calibration": {"wer": object()}}, "calibration"),
    ],
)
def test_changes_are_checked(values, expected):
    with pytest.raises(InputError, match=expected):
        DecoderConfig(**LEAST).changed(**values)


def test_a_configuration_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = written(tmp_path)
    before = path.read_text()
    with pytest.raises(InputError, match="cannot write"):
        DecoderConfig(**LEAST).save(tmp_path / "no" / "folder.json")
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


fractions = st.floats(0, 1, exclude_min=True, exclude_max=True)
seconds = st.floats(1e-3, 10)
configs = st.builds(
    lambda border, **values: DecoderConfig(**values, **border),
    border=st.one_of(
        fractions.map(lambda f: {"border_fraction": f}), seconds.map(lambda s: {"border_s": s})
    ),
    model=st.text(min_size=1),
    language=st.none() | st.text(),
    heads=st.just("0.6b")
    | st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=1, unique=True),
    head_count=st.just(1),
    aggregate=st.sampled_from(["median", "mean"]),
    rewind_fraction=st.none() | fractions,
    min_audio_s=seconds,
    sink_s=seconds,
    opening_s=seconds,
    doubt_s=seconds,
    pause_s=seconds,
    unsure_s=seconds,
    unseen_nats=seconds,
    no_speech_probability=fractions,
    max_audio_s=st.floats(20, 100),
    step_s=seconds.map(lambda value: max(value, 0.05)),
    max_context_tokens=st.integers(0, 10**6),
    calibration=st.none() | st.just({"trial": 3, "wer": {"low": 0.1, "high": None}}),
)


@given(config=configs)
def test_what_is_saved_is_what_is_loaded(tmp_path_factory, config):
    path = Path(tmp_path_factory.getbasetemp()) / "round_trip.json"
    config.save(path)
    assert DecoderConfig.load(path) == config
