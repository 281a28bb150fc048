"""Every layout of Qwen3-ASR in circulation loads, as the same model; others say what they are."""

import json
import logging
import shutil

import mlx.core as mx
import numpy as np
import pytest
import qwen3_checkpoints as made
from safetensors.numpy import save_file

from alignheads import InputError, SpeechModel
from alignheads.runtime.models import checkpoint as checkpoints
from alignheads.runtime.models import tensors as packed_tensors
from alignheads.runtime.models.qwen3 import weights as qwen3_weights

CLOSE = {2: 5, 3: 2.5, 4: 1.2, 5: 0.6, 6: 0.3, 8: 0.3}
"""How far logits may be from the whole model's by the bits of the weights; they are about 10."""
FLOAT_8_CLOSE = 0.6
"""The same of 8 bits that are floats, with four bits of a number: 0.45 as MLX 0.31 rounds."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tmp_path_factory.mktemp("layouts")


@pytest.fixture(scope="module")
def tiny():
    return SpeechModel.load("tiny")


@pytest.fixture(scope="module")
def speech():
    return made.speech()


def in_layout(folders, layout):
    folder = folders / layout
    return folder if folder.is_dir() else made.make(layout, folder)


def logits(model, samples):
    return np.array(model.prefill(samples).logits)


def bits_of(layout):
    how = made.references()[layout]["configs"]["quantization"]
    return min([how["bits"], *(own["bits"] for own in how.values() if isinstance(own, dict))])


def refused(model, message):
    with pytest.raises(InputError, match=message) as caught:
        SpeechModel.load(model)
    assert "\n" not in str(caught.value)
    assert "damaged" not in str(caught.value)
    return str(caught.value)


def edit_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# Layouts


@pytest.mark.parametrize("layout", made.LAYOUTS)
def test_the_layouts_made_here_are_those_of_the_tools(layout, folders):
    assert made.digest_of(in_layout(folders, layout)) == made.references()[layout]["tensors"]


@pytest.mark.parametrize("layout", made.WHOLE)
def test_a_layout_is_the_same_model(layout, folders, tiny, demo):
    samples = demo.utterances[0].read()[:16000]
    model = SpeechModel.load(in_layout(folders, layout))
    np.testing.assert_array_equal(logits(model, samples), logits(tiny, samples))
    assert model.largest_score == tiny.largest_score


@pytest.mark.parametrize("layout", made.QUANTISED)
def test_a_quantised_layout_is_nearly_the_same(layout, folders, tiny, demo, caplog):
    samples = demo.utterances[0].read()[:16000]
    with caplog.at_level(logging.INFO):
        model = SpeechModel.load(in_layout(folders, layout))
    off = np.abs(logits(model, samples) - logits(tiny, samples)).max()
    assert 0 < off < (FLOAT_8_CLOSE if layout == "MLX mxfp8" else CLOSE[bits_of(layout)])
    assert "scales" not in model.engine.model.embed_tokens
    said = [r.message for r in caplog.records if "quantised" in r.message]
    assert len(said) == 1
    assert "unpacked to float32" in said[0]


@pytest.mark.parametrize("layout", ["MLX 3 bits", "MLX mxfp4", "MLX mixed_4_6", "MLX nvfp4"])
def test_on_a_gpu_quantised_weights_are_used_as_they_are(layout, folders, demo, monkeypatch):
    samples = demo.utterances[0].read()[:16000]
    whole = SpeechModel.load(in_layout(folders, layout))
    monkeypatch.setattr(qwen3_weights, "on_gpu", lambda: True)
    packed = SpeechModel.load(in_layout(folders, layout))
    text = packed.engine.model
    assert "scales" in text.embed_tokens
    assert "scales" in text.layers[3].mlp.down_proj
    assert "scales" not in packed.engine.audio_tower.conv_out
    assert packed.engine.lm_head.weight.dtype == mx.uint32
    np.testing.assert_allclose(logits(packed, samples), logits(whole, samples), atol=2e-3)
    assert packed.largest_score == whole.largest_score


def test_how_a_matrix_is_packed_is_told_by_its_shapes_and_not_by_the_config(folders, demo):
    folder = shutil.copytree(in_layout(folders, "MLX mixed_3_6"), folders / "says nothing")
    right = SpeechModel.load(folder)
    config = json.loads((folder / "config.json").read_text())
    for wrong in (None, {"group_size": 32, "bits": 8}):
        both = {"quantization": wrong, "quantization_config": wrong}
        edit_json(folder / "config.json", **{**config, **both})
        samples = demo.utterances[0].read()[:16000]
        np.testing.assert_array_equal(
            logits(SpeechModel.load(folder), samples), logits(right, samples)
        )


def test_a_matrix_that_mlx_cannot_have_packed_so_is_named(folders):
    folder = shutil.copytree(in_layout(folders, "MLX 4 bits"), folders / "packed wrongly")
    tensors = made.read(folder / made.WEIGHTS)
    name = "model.layers.1.mlp.up_proj"
    tensors[f"{name}.scales"] = tensors[f"{name}.scales"][:, :1]
    tensors[f"{name}.weight"] = tensors[f"{name}.weight"][:, :7]
    mx.save_safetensors(str(folder / made.WEIGHTS), tensors)
    refused(folder, rf"{name}\.weight \(384, 7\) with scales \(384, 1\) is no quantisation")


@pytest.mark.parametrize("prefix", ["base_model.model.thinker.", "base_model.model.", "module."])
def test_prefixes_of_training_are_dropped(prefix, folders, tiny, demo):
    config = made.references()["original"]["configs"]["config.json"]
    named = made.original_tensors(prefix, output=True)
    folder = made.write(folders / prefix, config, named)
    samples = demo.utterances[0].read()[:16000]
    np.testing.assert_array_equal(logits(SpeechModel.load(folder), samples), logits(tiny, samples))


def test_peft_leaves_its_wrappers_in_the_names_of_a_merged_save(folders, tiny, demo):
    config = made.references()["native"]["configs"]["config.json"]
    named = {
        f"base_model.model.{n.replace('q_proj.', 'q_proj.base_layer.')}": array
        for n, array in made.native_tensors().items()
    }
    folder = made.write(folders / "wrapped", config, named, tokenizer=["tokenizer.json"])
    samples = demo.utterances[0].read()[:16000]
    np.testing.assert_array_equal(logits(SpeechModel.load(folder), samples), logits(tiny, samples))


def test_two_tensors_of_one_name_are_refused(folders):
    config = made.references()["original"]["configs"]["config.json"]
    named = made.original_tensors() | made.original_tensors("base_model.model.thinker.")
    refused(made.write(folders / "twice", config, named), "the weights have .* twice: as thinker")


# The output layer


def untied(folders, name, *, stated):
    """An output layer of its own, in a config that says so, says otherwise, or says nothing."""
    config = json.loads(json.dumps(made.references()["original"]["configs"]["config.json"]))
    text = config["thinker_config"]["text_config"]
    text.pop("tie_word_embeddings", None)
    config["thinker_config"].pop("tie_word_embeddings", None)
    if stated is not None:
        text["tie_word_embeddings"] = stated
    named = made.original_tensors(output=True)
    named["thinker.lm_head.weight"] = -named["thinker.lm_head.weight"]
    return made.write(folders / name, config, named)


@pytest.mark.parametrize(("stated", "is_own"), [(False, True), (None, True), (True, False)])
def test_an_output_layer_of_its_own(stated, is_own, folders, tiny, demo):
    model = SpeechModel.load(untied(folders, f"tied {stated}", stated=stated))
    samples = demo.utterances[0].read()[:16000]
    sign = -1 if is_own else 1
    np.testing.assert_array_equal(logits(model, samples), sign * logits(tiny, samples))


def test_an_output_layer_that_is_missing_is_the_embedding_or_missed(folders, tmp_path):
    config = json.loads(json.dumps(made.references()["original"]["configs"]["config.json"]))
    config["thinker_config"]["text_config"]["tie_word_embeddings"] = False
    folder = made.write(tmp_path / "lost", config, made.original_tensors())
    refused(folder, r"they lack lm_head\.weight; the save is incomplete")


# Which files are read


def test_a_stale_shard_is_not_read(folders, tiny, demo, tmp_path):
    folder = shutil.copytree(in_layout(folders, "native, shards"), tmp_path / "model")
    noise = {n: np.zeros_like(array) for n, array in made.native_tensors().items()}
    save_file(noise, folder / "model-00099-of-00099.safetensors")
    shard = next(iter(folder.glob("model-00003-*")))
    kept = made.read(shard)
    # And a tensor that the index has elsewhere is not read from a shard that it names.
    first = next(iter(made.native_tensors()))
    mx.save_safetensors(str(shard), {**kept, first: mx.zeros_like(kept[next(iter(kept))])})
    samples = demo.utterances[0].read()[:16000]
    np.testing.assert_array_equal(logits(SpeechModel.load(folder), samples), logits(tiny, samples))


def test_a_file_beside_the_weights_is_not_read(folders, tiny, demo, tmp_path):
    folder = shutil.copytree(in_layout(folders, "original"), tmp_path / "model")
    save_file({"router.weight": np.zeros(3, np.float32)}, folder / "router.safetensors")
    samples = demo.utterances[0].read()[:16000]
    np.testing.assert_array_equal(logits(SpeechModel.load(folder), samples), logits(tiny, samples))


def test_an_index_that_belongs_to_another_save(folders, tmp_path):
    folder = shutil.copytree(in_layout(folders, "native, shards"), tmp_path / "model")
    index = json.loads((folder / made.INDEX).read_text())
    index["weight_map"]["model.nothing.weight"] = next(iter(index["weight_map"].values()))
    (folder / made.INDEX).write_text(json.dumps(index))
    refused(folder, r"says that model\.nothing\.weight is in .*which lacks it: .*different saves")


# Adapters


@pytest.mark.parametrize("layout", made.ADAPTERS)
def test_a_merged_adapter_has_the_logits_that_peft_has(layout, folders, speech):
    reference = np.load(made.REFERENCE / "native.npz")["adapters"][made.ADAPTERS.index(layout)]
    model = SpeechModel.load(in_layout(folders, layout))
    found = logits(model, speech[:80000])
    np.testing.assert_allclose(found[:: len(found) // 64][:64], reference, atol=1e-4)


def test_an_adapter_has_its_own_name_and_fingerprint(folders, tiny):
    adapted = SpeechModel.load(in_layout(folders, "LoRA"))
    base = SpeechModel.load(in_layout(folders, made.BASE))
    other = SpeechModel.load(in_layout(folders, "DoRA"))
    assert adapted.name == "LoRA"
    assert len({adapted.fingerprint, base.fingerprint, other.fingerprint}) == 3


def test_an_adapter_beside_its_base_is_merged(folders, tmp_path, speech):
    folder = shutil.copytree(in_layout(folders, made.BASE), tmp_path / "model")
    adapted = in_layout(folders, "LoRA")
    for path in adapted.iterdir():
        shutil.copy(path, folder)
    np.testing.assert_array_equal(
        logits(SpeechModel.load(folder), speech[:16000]),
        logits(SpeechModel.load(adapted), speech[:16000]),
    )


def test_an_adapter_of_a_quantised_model_changes_what_it_stands_for(folders, tmp_path, speech):
    adapter = shutil.copytree(in_layout(folders, "LoRA"), tmp_path / "adapter")
    edit_json(
        adapter / "adapter_config.json",
        base_model_name_or_path=str(in_layout(folders, "MLX 8 bits")),
    )
    found = logits(SpeechModel.load(adapter), speech[:80000])
    wanted = logits(SpeechModel.load(in_layout(folders, "LoRA")), speech[:80000])
    assert np.abs(found - wanted).max() < CLOSE[8]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base_model_name_or_path": "/gone/my-model"}, "'/gone/my-model' as its base, which is"),
        ({"base_model_name_or_path": None}, "names no base_model_name_or_path"),
        ({"peft_type": "IA3"}, "an adapter of the type IA3; expected LORA"),
        ({"layer_replication": [[0, 2]]}, "uses layer_replication, which is not known"),
        ({"init_lora_weights": "pissa"}, "base that init_lora_weights = 'pissa' had changed"),
    ],
)
def test_an_adapter_that_cannot_be_merged_says_why(changes, message, folders, tmp_path):
    in_layout(folders, made.BASE)
    adapter = shutil.copytree(in_layout(folders, "LoRA"), tmp_path / "adapter")
    base = str(in_layout(folders, made.BASE))
    edit_json(adapter / "adapter_config.json", **{"base_model_name_or_path": base, **changes})
    refused(adapter, message)


def test_an_adapter_of_another_model_is_told_by_its_shapes(folders, tmp_path):
    adapter = shutil.copytree(in_layout(folders, "LoRA"), tmp_path / "adapter")
    edit_json(
        adapter / "adapter_config.json", base_model_name_or_path=str(in_layout(folders, made.BASE))
    )
    path = adapter / "adapter_model.safetensors"
    whole = made.read(path)
    wide = {n: mx.concatenate([a, a], axis=1) if "lora_A" in n else a for n, a in whole.items()}
    mx.save_safetensors(str(path), wide)
    refused(adapter, r"has a change of shape \(.*expected .*made for another model")
    far = {n.replace("layers.1", "layers.21"): array for n, array in whole.items()}
    mx.save_safetensors(str(path), far)
    refused(adapter, r"changes audio_tower\.layers\.21.*which the model does not have")


# Folders


def test_modelscopes_folders_are_called_what_they_mean(folders, tmp_path):
    folder = shutil.copytree(in_layout(folders, "original"), tmp_path / "Qwen3-ASR-1___7B")
    assert SpeechModel.load(folder).name == "Qwen3-ASR-1.7B"


def test_a_model_in_a_subfolder(folders, tmp_path, caplog):
    whole = tmp_path / "Mega-ASR"
    shutil.copytree(in_layout(folders, "original"), whole / "Qwen3-ASR-1.7B")
    (whole / "config.json").write_text('{"model_type": "mega_asr", "routed": true}')
    (whole / "router").mkdir()
    save_file({"a": np.zeros(2, np.float32)}, whole / "router" / "model.safetensors")
    with caplog.at_level(logging.INFO):
        found = checkpoints.find_checkpoint(whole)
    assert (found.name, found.folder.name) == ("Mega-ASR", "Qwen3-ASR-1.7B")
    assert "router beside Qwen3-ASR-1.7B is not used" in caplog.text


def test_two_models_in_subfolders_are_listed(folders, tmp_path):
    for name in ("one", "two"):
        shutil.copytree(in_layout(folders, "original"), tmp_path / "both" / name)
    refused(tmp_path / "both", r"holds several models \(one, two\); give the folder of one")


# What is not ours says what it is


def only(folder, keep, **config):
    """A folder in the layout of transformers with those of its tensors that are kept."""
    named = {n: array for n, array in made.native_tensors().items() if keep(n)}
    whole = {**made.references()["native"]["configs"]["config.json"], **config}
    return made.write(folder, whole, named, tokenizer=["tokenizer.json"])


def test_a_streaming_tower_alone(tmp_path):
    folder = only(tmp_path / "tower", lambda n: "audio_tower" in n)
    message = refused(folder, "an audio tower alone, as a streaming tower is published")
    assert "no text decoder" in message
    # Its own config need not be one of ours.
    (folder / "config.json").write_text('{"model_type": "qwen3_asr_streaming_encoder"}')
    refused(folder, "another architecture .*an audio tower alone")


def test_a_text_model(tmp_path):
    refused(only(tmp_path / "text", lambda n: "audio_tower" not in n), "they have no audio tower")


@pytest.mark.parametrize(
    "config",
    [
        {"architectures": ["Qwen3ASRForTokenClassification"]},
        {"architectures": ["Qwen3ForcedAlignerForConditionalGeneration"]},
        {"classify_num": 5000},
    ],
)
def test_a_forced_aligner_in_the_layout_of_transformers(config, tmp_path):
    refused(only(tmp_path / "aligner", lambda n: True, **config), "is a forced aligner, not a")


def test_whisper_with_a_config_of_ours(tmp_path):
    folder = only(tmp_path / "whisper", lambda n: False)
    named = {"model.decoder.layers.0.encoder_attn.q_proj.weight": np.zeros((4, 4), np.float32)}
    save_file(named, folder / made.WEIGHTS)
    refused(folder, "these look like the weights of Whisper")


def test_tensors_and_shapes_are_named(tmp_path):
    folder = only(tmp_path / "odd", lambda n: "layers.3" not in n)
    message = refused(folder, "do not fit Qwen3-ASR: they lack")
    assert "have 3 layers of the text decoder, config.json says 4" in message
    config = made.references()["native"]["configs"]["config.json"]
    wide = {**config["text_config"], "hidden_size": 256}
    folder = only(tmp_path / "wide", lambda n: True, text_config=wide)
    message = refused(folder, r"is \(896, 128\), expected \(896, 256\) by config\.json")
    assert "config.json is of another model, or of another size" in message


def test_a_checkpoint_that_ends_early_is_called_so(folders, tmp_path):
    folder = shutil.copytree(in_layout(folders, "native, shards"), tmp_path / "model")
    path = next(iter(folder.glob("model-00002-*")))
    path.write_bytes(path.read_bytes()[:100_000])
    refused(folder, r"model-00002.*ends early: it has 100,000 of [\d,]+ bytes; fetch it again")


def test_a_rotary_embedding_that_is_not_computed_here(tmp_path):
    config = made.references()["native"]["configs"]["config.json"]
    text = {**config["text_config"], "rope_parameters": {"rope_type": "yarn", "factor": 4}}
    folder = only(tmp_path / "yarn", lambda n: True, text_config=text)
    refused(folder, "rotary embedding of the type 'yarn'")


def test_packed_words_need_a_matrix(folders):
    with pytest.raises(InputError, match="has no packed"):
        packed_tensors.packings({"a.scales": mx.zeros((2, 2))}, {})
