"""The tables of docs/checkpoints.md: what each layout does, cell by cell, and the languages.

What is refused is so in any run of the tests, what loads is done in the slow ones. To write the
table of layouts anew: LAYOUTS_TABLE=1 pytest -n0 -m "slow or not slow" with the name of this file.
"""

import logging
import os
import re
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import qwen3_checkpoints as made
from safetensors.numpy import save_file

import alignheads
from alignheads import InputError, SpeechModel
from alignheads.evaluate.normalise import normalise, unit_of
from alignheads.runtime.models.languages import CODES

DOCS = Path(alignheads.__file__).parent / "docs" / "checkpoints.md"
COLUMNS = (
    "layout",
    "loads",
    "transcribes",
    "streams",
    "discovers",
    "calibrates",
    "refused because",
)
START, STOP = "<!-- table of layouts -->", "<!-- end of the table -->"
CLIPS = 5  # the shortest: a second or two each


def tower(folder):
    keep = {n: array for n, array in made.native_tensors().items() if "audio_tower" in n}
    return made.write(folder, native_config(), keep, tokenizer=["tokenizer.json"])


def native_config(**changes):
    return {**made.references()["native"]["configs"]["config.json"], **changes}


def aligner(folder):
    config = native_config(architectures=["Qwen3ASRForTokenClassification"])
    return made.write(folder, config, made.native_tensors(), tokenizer=["tokenizer.json"])


def cut_short(folder):
    made.make("original", folder)
    path = folder / made.WEIGHTS
    path.write_bytes(path.read_bytes()[:1_000_000])
    return folder


def text_model(folder):
    keep = {n: a for n, a in made.native_tensors().items() if n.startswith("model.language_model")}
    return made.write(folder, native_config(), keep, tokenizer=["tokenizer.json"])


def of_another_size(folder):
    config = native_config(text_config={**native_config()["text_config"], "hidden_size": 256})
    return made.write(folder, config, made.native_tensors(), tokenizer=["tokenizer.json"])


def without_base(folder):
    made.make("LoRA", folder)
    (folder / "adapter_config.json").write_text(
        '{"peft_type": "LORA", "base_model_name_or_path": "/gone/my-base"}'
    )
    return folder


def subfolder(folder):
    made.make("original", folder / "Qwen3-ASR-1___7B")
    save_file({"a": np.zeros(2, np.float32)}, folder / "router.safetensors")
    return folder


def with_output(folder):
    config = made.references()["original"]["configs"]["config.json"]
    return made.write(folder, config, made.original_tensors(output=True))


def prefixed(folder):
    config = made.references()["original"]["configs"]["config.json"]
    return made.write(folder, config, made.original_tensors("base_model.model.thinker."))


def two_tokenizers(folder):
    names = ("tokenizer.json", *made.TOKENIZER)
    return made.write(folder, native_config(), made.native_tensors(), tokenizer=names)


def stale_shard(folder):
    made.make("native, shards", folder)
    old = {name: np.zeros_like(array) for name, array in made.native_tensors().items()}
    save_file(old, folder / "model-00001-of-00001.safetensors")
    return folder


def beside(folder):
    made.make("LoRA", folder)
    shutil.copytree(folder.parent / made.BASE, folder, dirs_exist_ok=True)
    return folder


OTHERS = {
    "original, with an output layer": with_output,
    "original, PEFT's prefixes": prefixed,
    "tokenizer.json beside the old files": two_tokenizers,
    "a stale shard beside the index's own": stale_shard,
    "a model in a subfolder (Mega-ASR, ModelScope)": subfolder,
    "LoRA beside its base": beside,
    "a streaming audio tower alone": tower,
    "a forced aligner": aligner,
    "a text model": text_model,
    "a config of another size": of_another_size,
    "a file that ends early": cut_short,
    "LoRA whose base is not here": without_base,
}
ROWS = (*made.LAYOUTS, *OTHERS)


REFUSED = tuple(OTHERS)[6:]


def table(start=START, stop=STOP):
    """{first cell: the others} as the document has them."""
    text = DOCS.read_text().split(start)[1].split(stop)[0]
    lines = [line[2:].removesuffix(" |") for line in text.splitlines() if line.startswith("| ")]
    rows = [line.split(" | ") for line in lines if not line.startswith(("---", COLUMNS[0]))]
    return {cells[0]: cells[1:] for cells in rows}


@cache
def clips():
    """Short utterances: the first is transcribed, two are calibrated on, two scored."""
    corpus = alignheads.load_corpus("demo:dev")
    found = sorted(corpus.utterances, key=lambda one: len(one.read()))[:CLIPS]
    return [replace(corpus, utterances=part) for part in (found[-1:], found[:2], found[2:4])]


@cache
def wanted():
    return SpeechModel.load("tiny").transcribe(clips()[0].utterances[0].read()).text


def made_row(layout, folder):
    """The cells of a layout: each is "yes", a figure, or what was the matter."""
    (OTHERS[layout] if layout in OTHERS else lambda f: made.make(layout, f))(folder)
    try:
        model = SpeechModel.load(folder)
    except InputError as error:
        reason = str(error).replace(str(folder), "…").replace(str(folder.parent), "…")
        return ["no", "", "", "", "", reason.replace("|", "/")]
    from alignheads.calibrate.calibration import calibrate_decoder
    from alignheads.discovery.discover import discover_heads

    first, dev, test = clips()
    samples = first.utterances[0].read()
    cells = ["yes", share(model.transcribe(samples).text)]
    config = alignheads.DecoderConfig.uncalibrated(model.name, alignheads.load_heads("tiny"))
    stream = alignheads.StreamDecoder(model, config)
    words = [*stream.feed(samples), *stream.finish()]
    cells.append(share(" ".join(word.text for word in words)))
    try:
        heads = discover_heads(model, dev, clips=2, cuts=0)
    except InputError as error:
        if "no word of the transcript is recognised" not in str(error):
            raise
        # It runs, and hears nothing: 2 bits, or random numbers.
        return [*cells, "hears no word", "", ""]
    cells.append(f"{len(heads.compact)} heads")
    ours = heads if heads.compact else "tiny"
    try:
        found = calibrate_decoder(
            model, dev, test_corpus=test, trials=1, phases=1, heads=ours, store="memory"
        )
    except InputError as error:
        if "not one word came out right" not in str(error):
            raise
        return [*cells, "hears no word", ""]
    return [*cells, "yes" if found.config else "no", ""]


def share(text):
    """How much of the words of the unaltered checkpoint a text has, in order."""
    from difflib import SequenceMatcher

    return f"{SequenceMatcher(None, text.split(), wanted().split(), autojunk=False).ratio():.0%}"


def is_alike(cell, shown):
    """Whether a cell says the same as the document: numbers depend on the machine a little."""
    numbers = [re.fullmatch(r"(\d+)(%| heads)", text) for text in (cell, shown)]
    if None in numbers:
        return cell == shown
    one, other = (int(match[1]) for match in numbers)
    return abs(one - other) <= 15 and (one > 0) == (other > 0)


def written(layout, cells):
    """Put a row into the document."""
    before, rest = DOCS.read_text().split(START)
    rows = {**table(), layout: cells}
    lines = [
        COLUMNS,
        ["---"] * len(COLUMNS),
        *([name, *rows[name]] for name in ROWS if name in rows),
    ]
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    DOCS.write_text(f"{before}{START}\n\n{text}\n\n{STOP}{rest.split(STOP)[1]}")


def row_params():
    return [*REFUSED, *(pytest.param(n, marks=pytest.mark.slow) for n in ROWS if n not in REFUSED)]


@pytest.mark.parametrize("layout", row_params())
def test_a_row_of_the_table(layout, tmp_path, caplog):
    caplog.set_level(logging.ERROR)
    cells = made_row(layout, tmp_path / "model")
    if os.environ.get("LAYOUTS_TABLE"):
        written(layout, cells)
    shown = table()[layout]
    assert len(shown) == len(cells)
    for name, cell, other in zip(COLUMNS[1:], cells, shown, strict=True):
        assert is_alike(cell, other), (name, cell, other)


def test_the_table_has_a_row_for_each_layout():
    assert tuple(table()) == ROWS
    for layout, cells in table().items():
        assert len(cells) == len(COLUMNS) - 1, layout
        assert (cells[0] == "no") == (layout in REFUSED) == (cells[-1] != ""), layout


def test_the_table_of_languages():
    """Thirty, by the names and codes that are known, with their example's own unit of error."""
    found = table("| language | code | counted in | example |", "A fine-tune of one language")
    units = {"word": "words", "character": "characters"}
    assert list(found) == sorted(CODES)
    for name, (code, unit, example) in found.items():
        assert code == CODES[name]
        assert unit == units[unit_of(example, name)], name
        assert len(normalise(example, "whisper", name).split()) > 4
