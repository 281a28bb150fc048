"""Checkpoints that are missing, damaged or of another kind: one line says what is wrong."""

import json
import shutil

import mlx.core as mx
import numpy as np
import pytest
from qwen3_checkpoints import read

from alignheads import InputError, SpeechModel
from alignheads.runtime.models.checkpoint import TINY_FOLDER, find_checkpoint


@pytest.fixture
def folder(tmp_path):
    """A copy of the tiny checkpoint, to be damaged."""
    return shutil.copytree(TINY_FOLDER, tmp_path / "model")


def refused(model, message):
    with pytest.raises(InputError, match=message) as caught:
        SpeechModel.load(model)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit_json(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


# Names


@pytest.mark.parametrize(
    ("name", "nearest"), [("tinny", "tiny"), ("0.6", "0.6b"), ("1.7B-x", "1.7b")]
)
def test_an_unknown_name_lists_the_known_ones_nearest_first(name, nearest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = refused(name, r"\S")
    assert f"unknown model {name!r}; known: {nearest} (" in message
    assert all(known in message for known in ("tiny", "0.6b", "1.7b", "owner/name", "folder"))


def test_a_path_that_is_not_there_is_not_looked_for_on_the_hub(tmp_path):
    refused(tmp_path / "nowhere", "unknown model")
    refused("./owner/name", "unknown model")


def test_a_file_is_no_model(folder):
    refused(folder / "config.json", r"config\.json is a file; a model is a folder")


def test_a_hub_name_without_network(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    message = refused("owner/name", "cannot fetch 'owner/name' from the hub")
    assert "connect to the network, or give a folder" in message


def test_a_name_that_the_hub_cannot_have():
    refused("owner/na me!", "no name of a hub repository")


# Folders


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("config.json", r"model lacks config\.json"),
        ("model.safetensors", r"model lacks weights.*model\.safetensors"),
        ("vocab.json", r"model lacks vocab\.json"),
        ("merges.txt", r"model lacks merges\.txt"),
        ("tokenizer_config.json", r"model lacks tokenizer_config\.json"),
    ],
)
def test_a_missing_file_is_named(folder, lost, message):
    (folder / lost).unlink()
    refused(folder, message)


def test_an_empty_folder(tmp_path):
    refused(tmp_path, r"lacks config\.json; expected the folder of a checkpoint")


def test_a_missing_shard_is_named(folder):
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(folder, r"lacks model-00001-of-00002\.safetensors, named in model\.safetensors\.index")


@pytest.mark.parametrize("index", ["[1]", "{", '{"weight_map": ["a"]}', '{"weight_map": {"a": 1}}'])
def test_a_damaged_index(folder, index):
    (folder / "model.safetensors.index.json").write_text(index)
    refused(folder, r"model\.safetensors\.index\.json")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("", r"cannot read .*config\.json"),
        ("{", r"cannot read .*config\.json"),
        ("[]", "holds list, expected a JSON object"),
        ('{"architectures": ["WhisperForConditionalGeneration"]}', "another architecture.*Whisper"),
        ('{"model_type": "llama"}', r"another architecture \(llama\)"),
        ("{}", "another architecture"),
        ('{"thinker_config": 3}', "another architecture"),
        ('{"thinker_config": {"audio_config": {}}}', "another architecture"),
    ],
)
def test_a_configuration_of_something_else(folder, config, message):
    (folder / "config.json").write_text(config)
    refused(folder, message)


def test_a_forced_aligner_is_no_recogniser(folder):
    edit_json(folder / "config.json", lambda c: c["thinker_config"].update(classify_num=5000))
    refused(folder, "a forced aligner, not a speech recogniser")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_hidden_layers": 9}, "have 4 layers of the text decoder, config.json says 9"),
        ({"hidden_size": 64}, r"is \(896, 128\), expected \(896, 64\) by config.json"),
        ({"vocab_size": 10}, r"is \(896, 128\), expected \(10, 128\) by config.json"),
        ({"num_key_value_heads": 0}, "num_key_value_heads is 0, expected a whole number above 0"),
        ({"num_key_value_heads": 3}, "is 3, expected a divisor of num_attention_heads = 8"),
        ({"num_hidden_layers": "four"}, "num_hidden_layers is 'four', expected a whole number"),
        ({"head_dim": 25}, "describes no model that can be built: the width of a head"),
        ({"head_dim": -24}, "head_dim is -24, expected a whole number above 0"),
        ({"rms_norm_eps": None}, "describes no model that can be built"),
        ({"rope_scaling": {"mrope_section": [1, 1, 1]}}, r"mrope_section \[1, 1, 1\]"),
    ],
)
def test_a_configuration_that_does_not_fit_the_weights(folder, change, message):
    edit_json(folder / "config.json", lambda c: c["thinker_config"]["text_config"].update(change))
    assert "fetch" not in refused(folder, message)


def test_a_tokenizer_of_another_model(folder):
    def far(config):
        config["added_tokens_decoder"]["151645"] = {"content": "<far>", "special": True}

    edit_json(folder / "tokenizer_config.json", far)
    refused(folder, "has 151646 tokens, the weights only .* different models")


# Weights


@pytest.mark.parametrize("kept", [0, 4, 8, 500, 100_000, 3_000_000])
def test_weights_that_were_cut_off(folder, kept):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    refused(folder, r"model\.safetensors ends early.*fetch it again")


@pytest.mark.parametrize(
    ("junk", "message"),
    [
        (b"x" * 5000, "is no safetensors file"),
        (b"\xff" * 5000, "is no safetensors file"),
        (b"version https://git-lfs\noid 1\n", "a pointer of Git LFS.*git lfs pull"),
    ],
)
def test_weights_that_are_none(folder, junk, message):
    (folder / "model.safetensors").write_bytes(junk)
    refused(folder, message)


def test_a_tensor_too_few(folder):
    weights = read(folder / "model.safetensors")
    del weights["model.norm.weight"]
    mx.save_safetensors(str(folder / "model.safetensors"), weights)
    refused(folder, r"they lack model\.norm\.weight; the save is incomplete")


# The tokenizer


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("vocab.json", "{"),
        ("vocab.json", "[]"),
        ("vocab.json", "{}"),
        ("tokenizer_config.json", "{"),
        ("tokenizer_config.json", "[]"),
        ("tokenizer_config.json", '{"added_tokens_decoder": []}'),
        ("merges.txt", b"\xff\xfe\x00"),
    ],
)
def test_a_damaged_tokenizer(folder, name, content):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(folder, r"(cannot read the )?tokenizer in .*model")


@pytest.mark.parametrize("token", ["<|im_end|>", "<|audio_pad|>", "<asr_text>"])
def test_a_tokenizer_without_a_special_token(folder, token):
    def drop(config):
        added = config["added_tokens_decoder"]
        config["added_tokens_decoder"] = {i: t for i, t in added.items() if t["content"] != token}

    edit_json(folder / "tokenizer_config.json", drop)
    vocabulary = json.loads((folder / "vocab.json").read_text())
    vocabulary.pop(token, None)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    message = refused(folder, "lacks the token")
    assert token in message


def test_special_ids_come_from_the_files_and_not_from_constants(folder, demo):
    """Two special tokens change places, in the tokenizer and in the embeddings: same answers."""
    config = json.loads((folder / "tokenizer_config.json").read_text())
    added = config["added_tokens_decoder"]
    ids = {entry["content"]: i for i, entry in added.items()}
    a, b = ids["<|im_start|>"], ids["<|im_end|>"]
    added[a], added[b] = added[b], added[a]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    weights = read(folder / "model.safetensors")
    table = np.array(weights["model.embed_tokens.weight"])
    table[[int(a), int(b)]] = table[[int(b), int(a)]]
    weights["model.embed_tokens.weight"] = mx.array(table)
    mx.save_safetensors(str(folder / "model.safetensors"), weights)
    samples = demo.utterances[0].read()
    swapped = SpeechModel.load(folder)
    assert int(a) in swapped.vocabulary.end_ids
    assert swapped.transcribe(samples).text == SpeechModel.load("tiny").transcribe(samples).text


def test_the_tiny_checkpoint_is_small_and_half_precision():
    assert find_checkpoint("tiny").folder == TINY_FOLDER
    path = TINY_FOLDER / "model.safetensors"
    assert path.stat().st_size <= 4_000_000
    assert {array.dtype for array in mx.load(str(path)).values()} == {mx.float16}
