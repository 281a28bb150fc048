"""The full-size writer, on shrunken shapes: same code, same names, a planted head is found."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from alignheads import SpeechModel, discover_heads, load_corpus

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "full_size.py"
PLANTED = (1, 5)


def write(folder, *options):
    command = [sys.executable, SCRIPT, "--out", folder, "--layers", "2", "--width", "128"]
    command += ["--clips", "1", "--seconds", "3", "--shard-megabytes", "2", *options]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("full_size", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up while they are made.
    sys.modules["full_size"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["full_size"]


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted") / "model"
    done = write(folder, "--plant", ",".join(map(str, PLANTED)))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def model(planted):
    return SpeechModel.load(planted)


def header(shard):
    """The JSON at the head of a safetensors file: {name: {dtype, shape, data_offsets}}."""
    with shard.open("rb") as file:
        content = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    content.pop("__metadata__", None)
    return content


def test_layout_is_that_of_the_hub(planted):
    index = json.loads((planted / "model.safetensors.index.json").read_text())
    shards = sorted(set(index["weight_map"].values()))
    assert len(shards) > 1
    tensors = {}
    for shard in shards:
        found = header(planted / shard)
        assert {name for name, file in index["weight_map"].items() if file == shard} == set(found)
        tensors |= found
    assert all(name.startswith("thinker.") for name in tensors)
    assert {tensor["dtype"] for tensor in tensors.values()} == {"BF16"}
    assert tensors["thinker.audio_tower.conv2d1.weight"]["shape"] == [16, 1, 3, 3]
    size = sum(t["data_offsets"][1] - t["data_offsets"][0] for t in tensors.values())
    assert size == index["metadata"]["total_size"]


def test_special_ids_are_the_real_ones(model):
    assert model.vocabulary.end_ids == {151643, 151645}
    assert model.vocabulary.audio_id == 151676
    assert model.vocabulary.text_marker_id == 151704
    text = "naïve 東京"
    ids = model.vocabulary.encode(text)
    assert len(ids) == len(text.encode())
    assert model.vocabulary.decode(ids) == text


def test_planted_head_is_found_and_no_other(planted, model):
    corpus = load_corpus(planted / "clips" / "manifest.jsonl")
    heads = discover_heads(model, corpus, text="reference", cuts=0)
    assert (heads.alignment_heads[0].layer, heads.alignment_heads[0].head) == PLANTED
    assert heads.alignment_heads[0].ts == 1.0
    assert heads.scores["monotonicity"][PLANTED[0]][PLANTED[1]] == 1.0
    others = sorted(value for row in heads.ts_matrix for value in row)[:-1]
    assert max(others) < 0.7


def test_without_planting_no_head_follows(tmp_path):
    assert write(tmp_path / "plain").returncode == 0
    corpus = load_corpus(tmp_path / "plain" / "clips" / "manifest.jsonl")
    heads = discover_heads(tmp_path / "plain", corpus, text="reference", cuts=0)
    assert max(value for row in heads.ts_matrix for value in row) < 0.7


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ("0.6b", {"model.embed_tokens": (151936, 1024), "audio_tower.conv_out": (896, 7680)}),
        ("1.7b", {"model.embed_tokens": (151936, 2048), "audio_tower.conv_out": (1024, 7680)}),
    ],
)
def test_real_shapes(script, size, wanted):
    shapes = script.tensor_shapes(script.shapes(size))
    for name, shape in wanted.items():
        assert shapes[f"thinker.{name}.weight"] == shape
    assert shapes["thinker.audio_tower.conv2d2.weight"] == (480, 480, 3, 3)
    width = wanted["model.embed_tokens"][1]
    assert shapes["thinker.model.layers.27.self_attn.q_proj.weight"] == (2048, width)
    assert shapes["thinker.model.layers.27.self_attn.k_proj.weight"] == (1024, width)
    assert "thinker.model.layers.28.input_layernorm.weight" not in shapes
    assert "thinker.lm_head.weight" not in shapes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--plant", "2,0"], "the model has 2 layers of 16 heads"),
        (["--plant", "one"], "expected LAYER,HEAD"),
        (["--size", "7b"], "known: 0.6b, 1.7b"),
        (["--clips", "0"], "expected 1 or more"),
    ],
)
def test_bad_options_are_one_line(tmp_path, options, message):
    done = write(tmp_path / "model", *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "model").exists()


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "mine").write_text("kept")
    done = write(tmp_path)
    assert done.returncode == 2
    assert "not an empty folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
