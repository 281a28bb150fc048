"""The table of docs/checkpoints.md: what each layout does, cell by cell.

The rows are read in any run of the tests; what they say is done in the slow ones. To write the
table anew: LAYOUTS_TABLE=docs/checkpoints.md pytest -m slow tests/test_models_layouts_table.py -n0
"""

import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import qwen3_checkpoints as made
from safetensors.numpy import save_file

import alignheads
from alignheads import InputError, SpeechModel

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
SPEECH = "demo:dev"


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


def beside(folder):
    made.make("LoRA", folder)
    shutil.copytree(folder.parent / made.BASE, folder, dirs_exist_ok=True)
    return folder


OTHERS = {
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


def table():
    """{layout: cells} as the document has it."""
    text = DOCS.read_text().split(START)[1].split(STOP)[0]
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines[2:]}


def made_row(layout, folder, wanted):
    """The cells of a layout: each is "yes", a figure, or what was the matter."""
    (OTHERS[layout] if layout in OTHERS else lambda f: made.make(layout, f))(folder)
    try:
        model = SpeechModel.load(folder)
    except InputError as error:
        reason = str(error).replace(str(folder), "…").replace(str(folder.parent), "…")
        return ["no", "", "", "", "", reason.replace("|", "/")]
    from alignheads.calibrate.calibration import calibrate_decoder
    from alignheads.discovery.discover import discover_heads

    corpus = alignheads.load_corpus(SPEECH)
    utterance = corpus.utterances[0]
    samples = utterance.read()
    cells = ["yes", f"{similar(model.transcribe(samples).text, wanted):.0%}"]
    config = alignheads.DecoderConfig.uncalibrated(model.name, alignheads.load_heads("tiny"))
    stream = alignheads.StreamDecoder(model, config)
    words = [*stream.feed(samples), *stream.finish()]
    cells.append(f"{similar(' '.join(word.text for word in words), wanted):.0%}")
    try:
        heads = discover_heads(model, corpus, clips=4, cuts=0)
    except InputError as error:
        if "no word of the transcript is recognised" not in str(error):
            raise
        # It runs, and hears nothing: 2 bits, or random numbers.
        return [*cells, "hears no word", "", ""]
    cells.append(f"{len(heads.compact)} heads")
    found = calibrate_decoder(
        model, corpus, trials=2, clips=4, phases=1, heads=heads if heads.compact else "tiny",
        store="memory",
    )  # fmt: skip
    cells.append("yes" if found.config else "no")
    return [*cells, ""]


def similar(text, wanted):
    """The share of the words of one text that the other has, in order."""
    from difflib import SequenceMatcher

    ours, theirs = text.split(), wanted.split()
    return SequenceMatcher(None, ours, theirs, autojunk=False).ratio() if theirs else 0.0


def test_the_table_has_a_row_for_each_layout():
    assert tuple(table()) == ROWS
    for layout, cells in table().items():
        assert len(cells) == len(COLUMNS) - 1, layout
        assert (cells[0] == "yes") == (cells[-1] == ""), layout


@pytest.mark.slow
def test_each_cell_of_the_table(tmp_path, caplog):
    caplog.set_level(logging.ERROR)
    utterance = alignheads.load_corpus(SPEECH).utterances[0]
    wanted = SpeechModel.load("tiny").transcribe(utterance.read()).text
    rows = {layout: made_row(layout, tmp_path / str(i) / "model", wanted)
            for i, layout in enumerate(ROWS)}  # fmt: skip
    path = os.environ.get("LAYOUTS_TABLE")
    if path:
        shown = [COLUMNS, ["---"] * len(COLUMNS), *([name, *cells] for name, cells in rows.items())]
        lines = "\n".join(f"| {' | '.join(cells)} |" for cells in shown)
        before, rest = Path(path).read_text().split(START)
        Path(path).write_text(f"{before}{START}\n\n{lines}\n\n{STOP}{rest.split(STOP)[1]}")
    assert rows == table()
