"""`discover-heads` as its user meets it: what it writes, and every way to be refused."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
from qwen3_checkpoints import read

from alignheads import load_heads
from alignheads.discovery import measure
from alignheads.journal import Journal, journal_path
from alignheads.runtime.models.checkpoint import TINY_FOLDER

QUICK = ("--clips", 2, "--cuts", 0)


def in_a_process(folder, *arguments, **environment):
    """The installed command, run in `folder`."""
    code = "from alignheads.discovery.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "HF_HOME": str(folder / "hub"), **environment},
    )


def refusal(result, folder):
    """The one line on stderr of a command that wrote nothing and left with 2."""
    code, out, err = result
    lines = [line for line in err.splitlines() if line.startswith("discover-heads: ")]
    assert code == 2, err
    assert out == ""
    assert "Traceback" not in err
    assert len(lines) == 1
    assert err.splitlines()[-1] == lines[0]
    written = [p for p in folder.iterdir() if p.name.startswith(("alignment_heads", ".align"))]
    assert written == []
    return lines[0]


@pytest.fixture
def refused(discover_command, tmp_path):
    return lambda *arguments: refusal(discover_command(*arguments), tmp_path)


def corpus_of(folder, demo, count=1):
    """A folder of the first demo clips, audio and TextGrid, in the MFA layout."""
    folder.mkdir(exist_ok=True)
    for utterance in demo.utterances[:count]:
        shutil.copy(utterance.audio_path, folder)
        shutil.copy(utterance.audio_path.with_suffix(".TextGrid"), folder)
    return [folder / u.audio_path.name for u in demo.utterances[:count]]


# In a process of its own: nothing but one line


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (("--model", "tinny"), {}, "unknown model 'tinny'; known: tiny ("),
        (("--model", "owner/name"), {"HF_HUB_OFFLINE": "1"}, "connect to the network, or give"),
        (("--model", "owner/name"), {"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot fetch"),
        (("--clips", "many"), {}, "given: --clips many; see"),
        (("--model", "damaged"), {}, "is no safetensors file"),
    ],
)
def test_a_refusal_is_one_line_and_nothing_is_written(tmp_path, arguments, environment, message):
    shutil.copytree(TINY_FOLDER, tmp_path / "damaged")
    (tmp_path / "damaged/model.safetensors").write_bytes(b"\0" * 1000)
    done = in_a_process(tmp_path, *arguments, **environment)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert message in line
    assert {p.name for p in tmp_path.iterdir()} <= {"damaged", "hub"}


@pytest.mark.slow
def test_the_same_command_twice_writes_the_same_bytes(tmp_path):
    arguments = ("--clips", 2, "--cuts", 1, "--seed", 7)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with ThreadPoolExecutor() as pool:
        runs = list(pool.map(lambda n: in_a_process(tmp_path / n, *arguments), ("a", "b")))
    for done in runs:
        assert done.returncode == 0, done.stderr
        assert "wrote alignment_heads_tiny.json and alignment_heads_tiny.png" in done.stderr
        assert "Traceback" not in done.stderr
    for name in ("alignment_heads_tiny.json", "alignment_heads_tiny.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


# What it writes


def test_it_writes_a_heads_file_and_a_heatmap_and_prints_the_best(discover_command, tmp_path):
    code, out, err = discover_command(*QUICK, "--top", 3)
    assert code == 0, err
    heads = load_heads(tmp_path / "alignment_heads_tiny.json")
    assert heads.num_samples == 2
    assert heads.ranking.top == 3
    picture = tmp_path / "alignment_heads_tiny.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert {p.name for p in tmp_path.iterdir()} == {"alignment_heads_tiny.json", picture.name}
    rows = [line for line in out.splitlines() if line.startswith("│")]
    assert len(rows) == min(3, len(heads.compact))
    layer, head = heads.compact[0]
    assert rows[0].replace("│", " ").split()[:3] == ["1", str(layer), str(head)]
    assert "2 clips scored, 0 skipped" in err


@pytest.mark.parametrize("metric", ["border_auc", "monotonicity"])
def test_the_stability_curve_is_that_of_the_ranking_in_the_file(discover_command, tmp_path, metric):
    from alignheads.reports.figures.registry import heads_figures

    code, _, err = discover_command("--clips", 4, "--cuts", 1, "--top", 5, "--rank-by", metric)
    assert code == 0, err
    heads = load_heads(tmp_path / "alignment_heads_tiny.json")
    assert heads.ranking.metric == metric
    assert heads.ranking.stability_curve[-1] == (4, heads.ranking.top_stability)
    (figure,) = [one for one in heads_figures(heads) if one.name == "heads_stability"]
    assert figure.info.stability[-1] == heads.ranking.top_stability
    assert metric.replace("border_auc", "border AUC") in figure.info.subtitle


def test_what_is_there_is_left_alone_without_force(discover_command, tmp_path):
    for name in ("alignment_heads_tiny.json", "alignment_heads_tiny.png"):
        (tmp_path / name).write_text("mine")
        code, _, err = discover_command(*QUICK)
        assert code == 2
        assert f"{name} exists; give --force" in err
        assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {name: "mine"}
        (tmp_path / name).unlink()
    (tmp_path / "alignment_heads_tiny.json").write_text("mine")
    assert discover_command(*QUICK, "--force")[0] == 0
    assert load_heads(tmp_path / "alignment_heads_tiny.json").num_samples == 2


@pytest.mark.slow
def test_every_figure_and_none_overwritten(discover_command, tmp_path):
    arguments = ("--clips", 2, "--cuts", 1, "--rank-by", "set", "--figures", tmp_path / "new/figs")
    code, _, err = discover_command(*arguments)
    assert code == 0, err
    drawn = sorted(p.name for p in (tmp_path / "new/figs").iterdir())
    assert {p.rsplit(".", 1)[1] for p in drawn} == {"png", "svg"}
    assert {"heads_scores.png", "heads_attention.svg", "heads_stability.png"} <= set(drawn)
    (tmp_path / "alignment_heads_tiny.json").unlink()
    (tmp_path / "alignment_heads_tiny.png").unlink()
    code, _, err = discover_command(*arguments)
    assert code == 2
    assert "heads_scores.png exists; give --force" in err
    assert not (tmp_path / "alignment_heads_tiny.json").exists()


def test_a_folder_as_model_names_the_files(discover_command, tmp_path):
    shutil.copytree(TINY_FOLDER, tmp_path / "fine-tune.v2")
    assert discover_command("--model", "fine-tune.v2", "--corpus", "demo:dev", *QUICK)[0] == 0
    heads = load_heads(tmp_path / "alignment_heads_fine-tune.v2.json")
    assert (heads.model, heads.corpus.name) == ("fine-tune.v2", "demo:dev")


# Options


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--clips", 0), "0 clips of demo:discover were asked for; expected 1 or more"),
        (("--clips", -3), "-3 clips"),
        (("--cuts", -1), "--cuts is -1, expected 0 or more"),
        (("--top", 0), "--top is 0, expected 1 or more"),
        (("--rank-by", "nonsense"), "--rank-by is 'nonsense', expected one of hit_rate, mono"),
        (("--rank-by", "border_auc", "--cuts", 0), "needs --cuts of 1 or more"),
        (("--text", "both"), "--text is 'both', expected hypothesis or reference"),
        (("--language", "klingon"), "does not know the language 'klingon'; it knows English"),
        (("--language", ""), "--language is empty"),
        (("--dtype", "int4"), "unknown dtype 'int4'; known: float32"),
        (("--aligner", "magic"), "no aligner 'magic'; known are gold, qwen3"),
        (("--corpus", "dmeo"), "no corpus 'dmeo'"),
        (("--corpus", "librispeech:dev"), "librispeech:dev-clean"),
        (("--shard", "3/2"), "--shard is '3/2'; expected K/N with K from 1 to N"),
        (("--shard", "0/2"), "--shard is '0/2'"),
        (("--shard", "x"), "--shard is 'x'"),
        (("--shard", "17/17"), "shard 17/17 is empty: demo:discover has 16"),
        (("--merge", "a.json"), "--merge has 1 file, expected two or more"),
        (("--merge", "a.json", "--merge", "b.json"), "there are no sums a.sums.npz"),
        (("--merge", "a.json", "--merge", "b.json", "--shard", "1/2"), "leave --shard out"),
        (("--no-such-option",), "No such option"),
        (("stray",), "unexpected extra argument"),
    ],
)
def test_options_that_cannot_work_are_refused(refused, arguments, message):
    assert message in refused(*arguments)


# Outputs


def test_an_output_that_is_a_folder(discover_command, tmp_path):
    (tmp_path / "here").mkdir()
    for option in ("--out", "--figure"):
        target = tmp_path / ("here.png" if option == "--figure" else "here")
        target.mkdir(exist_ok=True)
        code, _, err = discover_command(*QUICK, option, target)
        assert code == 2
        assert f"{target} is a folder; give the name of a file to write" in err
        assert list(target.iterdir()) == []


def test_an_output_in_no_folder(refused):
    assert "there is no folder" in refused(*QUICK, "--out", "no/such/heads.json")
    assert "there is no folder" in refused(*QUICK, "--figure", "no/such/heads.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_that_may_not_be_written(refused, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "no permission" in refused(*QUICK, "--out", "locked/heads.json")


def test_an_output_on_a_device_that_takes_no_files(refused):
    message = refused(*QUICK, "--out", "/proc/heads.json")
    assert "cannot write /proc/heads.json" in message


def test_a_figure_of_no_known_kind_is_refused_before_the_work(refused):
    message = refused(*QUICK, "--figure", "heads.gif")
    assert "heads.gif: its name must end in .png, .svg, .pdf" in message


def test_heads_and_figure_cannot_be_one_file(refused):
    assert "both heads file and figure" in refused(*QUICK, "--out", "alignment_heads.png")


def test_the_folder_for_figures_is_a_file(refused, tmp_path):
    (tmp_path / "figures").write_text("mine")
    assert "figures cannot be a folder" in refused(*QUICK, "--figures", "figures")
    assert (tmp_path / "figures").read_text() == "mine"


# Corpora


def test_an_empty_folder_is_no_corpus(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no corpus in empty" in refused("--corpus", "empty")


def spoil(path, kind):
    samples, rate = soundfile.read(path)
    if kind == "empty":
        samples = samples[:0]
    elif kind == "short":
        samples = samples[:150]
    elif kind == "nan":
        samples[100] = np.nan
    elif kind == "text":
        path.write_text("this is no audio")
        return
    elif kind == "cut off":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return
    path.unlink()
    soundfile.write(path.with_suffix(".wav"), samples, rate, subtype="FLOAT")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("empty", ""),
        ("short", ""),
        ("nan", "NaN"),
        ("text", ""),
        ("cut off", "cut off"),
    ],
)
def test_audio_that_cannot_be_used_is_skipped_by_name_with_a_count(
    discover_command, demo, tmp_path, kind, reason
):
    good, bad = corpus_of(tmp_path / "speech", demo, 2)
    spoil(bad, kind)
    code, _, err = discover_command("--corpus", "speech", "--cuts", 0)
    assert code == 0, err
    (line,) = [line for line in err.splitlines() if line.startswith("skipped ")]
    assert line.startswith(f"skipped {bad.stem}: ")
    assert reason in line
    assert "1 clip scored, 1 skipped" in err
    assert load_heads(tmp_path / "alignment_heads_tiny.json").corpus.skipped == 1
    # and alone it leaves nothing to score
    for path in (tmp_path / "speech").glob(f"{good.stem}.*"):
        path.unlink()
    code, _, err = discover_command("--corpus", "speech", "--cuts", 0, "--force")
    assert code == 2
    assert bad.stem in err.splitlines()[-1]
    assert load_heads(tmp_path / "alignment_heads_tiny.json").corpus.skipped == 1


@pytest.mark.parametrize("kind", ["nan", "short"])
def test_strict_fails_where_something_would_be_skipped(discover_command, demo, tmp_path, kind):
    _, bad = corpus_of(tmp_path / "speech", demo, 2)
    spoil(bad, kind)
    code, _, err = discover_command("--corpus", "speech", "--cuts", 0, "--strict")
    assert code == 2
    assert bad.stem in err.splitlines()[-1]
    assert not (tmp_path / "alignment_heads_tiny.json").exists()


def test_stereo_and_other_rates_are_mixed_down_and_resampled(discover_command, demo, tmp_path):
    (path,) = corpus_of(tmp_path / "speech", demo, 1)
    code, _, err = discover_command("--corpus", "speech", "--cuts", 0, "--out", "plain.json")
    assert code == 0, err
    samples, rate = soundfile.read(path)
    path.unlink()
    wide = np.repeat(np.stack([1.5 * samples, 0.5 * samples], axis=1) / 2, 2, axis=0)
    soundfile.write(path, wide, 2 * rate)
    code, _, err = discover_command("--corpus", "speech", "--cuts", 0, "--out", "wide.json")
    assert code == 0, err
    plain, wide = (load_heads(tmp_path / name) for name in ("plain.json", "wide.json"))
    assert wide.num_samples == 1
    assert abs(wide.alignment_heads[0].ts - plain.alignment_heads[0].ts) < 0.3


def test_speech_at_8_khz_is_resampled(discover_command, demo, tmp_path):
    import soxr

    (path,) = corpus_of(tmp_path / "speech", demo, 1)
    samples, rate = soundfile.read(path)
    soundfile.write(path, soxr.resample(samples, rate, 8000), 8000)
    code, _, err = discover_command("--corpus", "speech", "--cuts", 0, "--text", "reference")
    assert code == 0, err
    assert "1 clip scored, 0 skipped" in err


def test_a_transcript_that_matches_nothing(refused, demo, tmp_path):
    utterance = demo.utterances[0]
    words = [["zzz", w.start_s, w.end_s] for w in utterance.words]
    line = {"audio_filepath": str(utterance.audio_path), "text": "zzz " * len(words)}
    (tmp_path / "set.jsonl").write_text(json.dumps({**line, "words": words, "id": "lost"}))
    message = refused("--corpus", "set.jsonl", "--cuts", 0)
    assert "no utterance of set could be scored" in message
    assert "lost: no word of the transcript is recognised" in message


def test_a_language_of_the_corpus_that_the_model_does_not_know(
    refused, discover_command, demo, tmp_path
):
    utterance = demo.utterances[0]
    words = [[w.text, w.start_s, w.end_s] for w in utterance.words]
    line = {"audio_filepath": str(utterance.audio_path), "text": utterance.text, "words": words}
    (tmp_path / "set.jsonl").write_text(json.dumps({**line, "language": "German"}))
    assert "does not know the language 'German'" in refused("--corpus", "set.jsonl")
    lines = [{**line, "id": "theirs", "language": "German"}, {**line, "id": "ours"}]
    (tmp_path / "set.jsonl").write_text("\n".join(map(json.dumps, lines)))
    code, _, err = discover_command("--corpus", "set.jsonl", "--cuts", 0)
    assert (code, "skipped theirs: " in err, "1 clip scored, 1 skipped" in err) == (0, True, True)


def test_a_manifest_line_that_is_not_json_is_named(refused, tmp_path):
    (tmp_path / "set.jsonl").write_text("{}\nnot json\n")
    assert "set.jsonl:1: audio_filepath" in refused("--corpus", "set.jsonl")


def test_weights_of_nan_score_nothing(refused, tmp_path):
    import mlx.core as mx

    shutil.copytree(TINY_FOLDER, tmp_path / "nan")
    path = str(tmp_path / "nan/model.safetensors")
    weights = read(path)
    weights["model.norm.weight"] = weights["model.norm.weight"] * float("nan")
    mx.save_safetensors(path, weights)
    assert "discover-heads: " in refused("--model", "nan", *QUICK)


# Shards


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """One run over six clips, its two shards, and a shard of another run."""
    folder = tmp_path_factory.mktemp("shards")
    common = ("--clips", 6, "--cuts", 2)
    runs = {
        "whole": common,
        "first": (*common, "--shard", "1/2"),
        "second": (*common, "--shard", "2/2"),
        "other": ("--clips", 3, "--cuts", 2, "--shard", "2/2"),
    }
    from alignheads.discovery.cli import main

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, arguments in runs.items():
            given = ["discover-heads", *map(str, arguments), "--out", f"{name}.json"]
            patch.setattr(sys, "argv", given)
            with pytest.raises(SystemExit) as stop:
                main()
            assert stop.value.code == 0
    return folder


def merging(*paths):
    return [part for path in paths for part in ("--merge", path)]


@pytest.mark.slow
@pytest.mark.parametrize("ranking", ["hit_rate", "set", "border_auc"])
def test_merged_shards_are_one_run(discover_command, shards, tmp_path, ranking):
    files = merging(shards / "first.json", shards / "second.json")
    code, _, err = discover_command(*files, "--out", "merged.json", "--rank-by", ranking)
    assert code == 0, err
    merged, whole = load_heads(tmp_path / "merged.json"), load_heads(shards / "whole.json")
    assert merged.num_samples == whole.num_samples == 6
    assert merged.total_alignable_tokens == whole.total_alignable_tokens
    assert merged.corpus == whole.corpus
    assert merged.metrics == whole.metrics
    for metric in whole.metrics:
        assert merged.matrix(metric) == pytest.approx(
            whole.matrix(metric), abs=1e-6, rel=1e-4, nan_ok=True
        ), metric
    if ranking == "hit_rate":
        assert merged.compact == whole.compact
        assert merged.ranking.top_probability == whole.ranking.top_probability


@pytest.mark.slow
def test_the_set_of_merged_shards_is_the_set_of_one_run(discover_command, shards, tmp_path):
    rank = ("--rank-by", "set", "--out")
    assert discover_command("--clips", 6, "--cuts", 2, *rank, "whole.json")[0] == 0
    files = merging(shards / "second.json", shards / "first.json")
    assert discover_command(*files, *rank, "merged.json")[0] == 0
    merged, whole = (load_heads(tmp_path / name) for name in ("merged.json", "whole.json"))
    assert merged.compact == whole.compact
    assert merged.ranking.set_error_curve == pytest.approx(whole.ranking.set_error_curve)
    named = [
        [(group.name, group.num_heads) for group in heads.ranking.groups]
        for heads in (merged, whole)
    ]
    assert named[0] == named[1]


def test_a_shard_twice(refused, shards):
    files = merging(shards / "first.json", shards / "first.json")
    assert "is shard 1/2, which does not go with" in refused(*files)


def test_shards_of_other_runs_are_not_pooled(refused, shards):
    message = refused(*merging(shards / "first.json", shards / "other.json"))
    assert "cannot pool" in message
    assert "fingerprint" in message


def test_a_run_without_sums_is_not_pooled(refused, shards):
    message = refused(*merging(shards / "first.json", shards / "whole.json"))
    assert "there are no sums" in message
    assert "discover-heads --shard K/N" in message


@pytest.mark.parametrize("damage", ["cut off", "flipped", "empty", "text", "array", "not sums"])
def test_damaged_sums(refused, shards, tmp_path, damage):
    sums = tmp_path / "second.sums.npz"
    shutil.copy(shards / "second.sums.npz", sums)
    content = bytearray(sums.read_bytes())
    if damage == "cut off":
        sums.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        for at in range(300, len(content) // 2, 97):
            content[at] ^= 0xFF
        sums.write_bytes(content)
    elif damage == "empty":
        sums.write_bytes(b"")
    elif damage == "text":
        sums.write_text("no sums")
    elif damage == "array":
        with sums.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        with sums.open("wb") as file:
            np.savez(file, something=np.zeros(3))
    message = refused(*merging(shards / "first.json", "second.json"))
    assert "second.sums.npz is damaged" in message
    assert "run that shard again" in message


def test_a_shard_does_not_overwrite_sums(discover_command, tmp_path):
    (tmp_path / "heads.sums.npz").write_text("mine")
    code, _, err = discover_command(*QUICK, "--shard", "1/2", "--out", "heads.json")
    assert code == 2
    assert "heads.sums.npz exists" in err
    assert [p.name for p in tmp_path.iterdir()] == ["heads.sums.npz"]


def test_a_file_that_holds_no_word_times_is_told_by_its_option(discover_command, tmp_path):
    pytest.importorskip("pocketsphinx")
    (tmp_path / "notes.txt").write_text("mine\nalone\n")
    options = ("--clips", 2, "--aligner", "pocketsphinx", "--alignments", "notes.txt")
    code, out, err = discover_command(*options)
    assert (code, out) == (2, "")
    assert "notes.txt is no file of word times; give another one as --alignments" in err
    assert (tmp_path / "notes.txt").read_text() == "mine\nalone\n"


def test_it_is_said_when_rankings_differ_beyond_their_intervals(capsys):
    """As of a quantised model, whose name is that of the one whose heads are known."""
    from alignheads.discovery.cli import _say_if_apart
    from alignheads.heads.schema import Interval

    known = load_heads("tiny")
    rows, columns = known.num_layers, known.num_heads
    nothing = Interval(low=[[0.0] * columns] * rows, high=[[0.0] * columns] * rows)
    apart = known.model_copy(update={"intervals": dict.fromkeys(known.intervals, nothing)})

    def said(heads):
        _say_if_apart(heads)
        return capsys.readouterr().err

    listed = len(known.alignment_heads)
    assert f"the intervals of 0 of {listed} do not meet\n" in said(known)
    assert f"{listed} of {listed} do not meet: the rankings differ by more than chance" in said(
        apart
    )
    assert said(apart.model_copy(update={"model": "somebody/finetune"})) == ""
    assert said(apart.model_copy(update={"model": "Qwen/Qwen3-ASR-0.6B-4bit"})) == ""


def test_progress_moves_inside_the_first_batch(tiny, demo):
    from dataclasses import replace

    from alignheads.discovery.discover import discover_heads

    told = []
    few = replace(demo, utterances=demo.utterances[:3])
    discover_heads(tiny, few, cuts=0, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (3, 3)
    assert len(told) == 4  # all three are one batch
    assert 0 < told[0][0] < told[1][0] < told[2][0] < 3


# Stopping and going on


def test_stopped_and_started_again_it_is_one_run(discover_command, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "MAX_BATCH", 2)
    given = ("--clips", 4, "--cuts", 1, "--top", 4)
    assert discover_command(*given, "--out", "whole.json")[0] == 0
    decode, calls = measure._decode, []

    def stops(*arguments):
        calls.append(arguments)
        if len(calls) == 4:  # in the cut versions of the second batch
            raise KeyboardInterrupt
        return decode(*arguments)

    monkeypatch.setattr(measure, "_decode", stops)
    journal = journal_path(tmp_path / "x.json")
    code, _, err = discover_command(*given, "--out", "x.json")
    assert code == 130
    assert "run the same command again" in err
    assert not (tmp_path / "x.json").exists()
    with journal.open("ab") as file:  # as a kill in the middle of a line leaves it
        file.write(b'{"utterances": ["a')
    code, _, err = discover_command(*given[:4], "--top", 5, "--out", "x.json")
    assert code == 2
    assert "top was 4, now it is 5" in err
    with Journal(journal):
        code, _, err = discover_command(*given, "--out", "x.json")
        assert (code, err.count("\n")) == (2, 1)
        assert "another process is writing" in err
    code, _, err = discover_command(*given, "--out", "x.json")
    assert code == 0, err
    assert "going on: 2 of 4 clips are done" in err
    assert (tmp_path / "x.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert not journal.exists()


def test_a_damaged_batch_is_named_and_force_starts_anew(discover_command, tmp_path, monkeypatch):
    journal = journal_path(tmp_path / "x.json")
    line = '{"utterances": [], "skipped": {}, "clips": [], "cuts": [], "arrays": "%%"}\n'
    start = Journal.start

    def damaged(self, subject):
        start(self, subject)
        self._file.write(line.encode())
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "start", damaged)
        patched.setattr(Journal, "__exit__", lambda self, *_: self._file.close())
        assert discover_command("--clips", 2, "--cuts", 0, "--out", "x.json")[0] == 130
    code, _, err = discover_command("--clips", 2, "--cuts", 0, "--out", "x.json")
    assert code == 2
    assert f"{journal.name}:2 is damaged" in err
    assert discover_command("--clips", 2, "--cuts", 0, "--out", "x.json", "--force")[0] == 0
    assert not journal.exists()
