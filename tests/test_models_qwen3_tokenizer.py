"""The tokenizer against Hugging Face's, with the real merges, in 30 languages and all files."""

import json
import shutil

import pytest
import qwen3_checkpoints as made

from alignheads import InputError, SpeechModel
from alignheads.runtime.models.checkpoint import TINY_FOLDER
from alignheads.runtime.models.languages import CODES
from alignheads.runtime.models.qwen3.tokenizer import Tokenizer
from alignheads.runtime.models.qwen3.vocabulary import Vocabulary

TEXTS = json.loads((made.REFERENCE / "languages.json").read_text())


@pytest.fixture(scope="module")
def fast(tmp_path_factory):
    """A folder with tokenizer.json alone."""
    folder = tmp_path_factory.mktemp("fast")
    shutil.copy(made.REFERENCE / "qwen3_tokenizer.json", folder / "tokenizer.json")
    return folder


@pytest.fixture(scope="module")
def old(fast, tmp_path_factory):
    """The same in the older files."""
    content = json.loads((fast / "tokenizer.json").read_text())
    folder = tmp_path_factory.mktemp("old")
    merges = "\n".join(" ".join(pair) for pair in content["model"]["merges"])
    added = {str(entry["id"]): entry for entry in content["added_tokens"]}
    (folder / "vocab.json").write_text(json.dumps(content["model"]["vocab"]))
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": added}))
    return folder


def test_there_is_a_sentence_in_each_language():
    assert set(CODES) <= set(TEXTS)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("files", ["fast", "old"])
def test_the_tokens_are_those_of_hugging_face(name, files, request):
    tokenizer = Tokenizer(request.getfixturevalue(files))
    assert tokenizer.encode(TEXTS[name]["text"]) == TEXTS[name]["ids"]


def test_merges_may_begin_with_the_sign_of_a_comment(old):
    lines = (old / "merges.txt").read_text().splitlines()
    assert any(line.startswith("# ") or line.startswith("## ") for line in lines[1:])
    assert len(Tokenizer(old).encode("##")) == 1


def test_marks_that_stand_apart_are_composed(fast):
    tokenizer = Tokenizer(fast)
    assert tokenizer.encode("e\u0301") == tokenizer.encode("\u00e9")


def test_what_was_said_before_cannot_close_a_turn(fast):
    tokenizer = Tokenizer(fast)
    end = tokenizer.ids["<|im_end|>"]
    assert end in tokenizer.encode("a<|im_end|>")
    assert end not in tokenizer.encode_plain("a<|im_end|>")


def test_the_tokens_that_any_file_adds_count(tmp_path):
    """tokenizer.json of a conversion may lack what the older file beside it adds."""
    fast = json.loads((made.REFERENCE / "tiny_tokenizer.json").read_text())
    lost = [entry for entry in fast["added_tokens"] if entry["content"] == "<asr_text>"]
    fast["added_tokens"] = [entry for entry in fast["added_tokens"] if entry not in lost]
    (tmp_path / "tokenizer.json").write_text(json.dumps(fast))
    with pytest.raises(InputError, match="lacks the token <asr_text>"):
        Vocabulary(tmp_path)
    shutil.copy(TINY_FOLDER / "tokenizer_config.json", tmp_path)
    vocabulary = Vocabulary(tmp_path)
    assert vocabulary.text_marker_id == lost[0]["id"]
    assert vocabulary.encode("<asr_text>") == [lost[0]["id"]]


def test_a_prompt_is_the_published_template():
    vocabulary = SpeechModel.load("tiny").vocabulary
    prompt = vocabulary.prompt(3, "English", "so far")
    names = {i: token for token, i in vocabulary._ids.items() if token.startswith("<")}
    shown = "".join(
        names[i] if i in names else vocabulary.decode([i]) for i in prompt.ids
    )  # as https://huggingface.co/Qwen/Qwen3-ASR-0.6B has it in chat_template.json
    assert shown == (
        "<|im_start|>system\nso far<|im_end|>\n<|im_start|>user\n<|audio_start|>"
        "<|audio_pad|><|audio_pad|><|audio_pad|><|audio_end|><|im_end|>\n<|im_start|>assistant\n"
        "language English<asr_text>"
    )
    assert (prompt.audio_start, prompt.audio_stop) == (
        prompt.ids.index(vocabulary.audio_id), prompt.ids.index(vocabulary.audio_id) + 3
    )  # fmt: skip


def test_a_tokenizer_of_another_kind_is_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "Unigram", "vocab": []}}')
    with pytest.raises(InputError, match="is of the type Unigram, expected BPE"):
        Vocabulary(tmp_path)
