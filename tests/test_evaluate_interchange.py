"""Files for other projects' scorers: SimulEval, simulstream, NIST. Their rules are tested here
in short; where the packages are installed, their own code is run as well (marker `scorers`)."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from alignheads import InputError
from alignheads.corpora.nist import ctm_line, stm_line
from alignheads.corpora.utterance import Utterance
from alignheads.evaluate.interchange import Interchange, log_paths, write_ctm, write_log, write_stm
from alignheads.evaluate.items import GAP_S, Item
from alignheads.evaluate.latency import CommittedWord, laal_s
from alignheads.evaluate.result import (
    BenchmarkFile,
    CorpusInfo,
    Machine,
    ModelInfo,
    Observation,
    Run,
    RunSettings,
)
from alignheads.evaluate.scores import scored, totals


def word(text, emitted_s, lag_s=0.1, start_s=None, probability=None):
    start_s = emitted_s - 0.5 if start_s is None else start_s
    return CommittedWord(
        text=text, start_s=start_s, end_s=start_s + 0.3, emitted_s=emitted_s, lag_s=lag_s,
        probability=probability,
    )  # fmt: skip


def observed(id, reference, words, duration_s, **fields):
    text = " ".join(one.text for one in words or ())
    return Observation(
        id=id, reference=reference, hypothesis=text, duration_s=duration_s, wall_s=1.0, words=words,
        **fields,
    )  # fmt: skip


def run_of(*observations, mode="simul", name="simul"):
    utterances = [scored(one) for one in observations]
    return Run(
        settings=RunSettings(name=name, mode=mode), totals=totals(utterances, mode, 0),
        memory=None, utterances=utterances,
    )  # fmt: skip


TWO = run_of(
    observed("a", "Well, count his needles.", [word("Well,", 1), word("count", 2, 0.2),
             word("his", 2, 0.2), word("—", 2, 0.2), word("needle.", 2.384, 0.05)], 2.3842),
    observed("b", "It is late", [word("It", 1), word("is", 2)], 3.0),
)  # fmt: skip


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


# SimulEval


def test_a_word_that_is_all_punctuation_has_no_delay(tmp_path):
    write_log(TWO, tmp_path / "instances.log")
    first, second = lines(tmp_path / "instances.log")
    assert first["prediction"] == "WELL COUNT HIS NEEDLE"
    assert first["reference"] == "WELL COUNT HIS NEEDLES"
    assert first["delays"] == [1000, 2000, 2000, 2384.2]  # the whole, not the rounded millisecond
    assert first["elapsed"] == pytest.approx([1100, 2200, 2200, 2434.2])
    assert (first["index"], second["index"]) == (0, 1)
    for one in (first, second):
        assert one["prediction_length"] == len(one["delays"]) == len(one["prediction"].split())


def test_simuleval_s_rule_on_the_log_gives_our_laal(tmp_path):
    write_log(TWO, tmp_path / "instances.log")
    for one, utterance in zip(lines(tmp_path / "instances.log"), TWO.utterances, strict=True):
        theirs = laal_s(one["delays"], one["source_length"], len(one["reference"].split(" ")))
        delays_s = [w.emitted_s for w in utterance.words if w.text != "—"]
        ours = laal_s(delays_s, utterance.duration_s, len(utterance.reference.split()))
        assert theirs == pytest.approx(1000 * ours, abs=1)


def test_text_without_spaces_has_a_unit_for_each_character(tmp_path):
    run = run_of(
        observed("c", "今天很好。", [word("今天", 1), word("好", 2)], 3.0, language="Chinese")
    )
    write_log(run, tmp_path / "instances.log")
    (one,) = lines(tmp_path / "instances.log")
    assert one["prediction"] == "今 天 好"
    assert one["reference"] == "今 天 很 好"
    assert one["delays"] == [1000, 1000, 2000]


def test_nothing_committed_is_an_empty_prediction(tmp_path):
    write_log(run_of(observed("n", "so", [], 1.0)), tmp_path / "instances.log")
    (one,) = lines(tmp_path / "instances.log")
    assert (one["prediction"], one["delays"], one["prediction_length"]) == ("", [], 0)


# simulstream


def test_its_log_has_a_line_for_each_commit_and_its_segments_beside(tmp_path):
    log = tmp_path / "metrics.jsonl"
    write_log(TWO, log)
    head, *commits = [line for line in lines(log) if line["id"] == 0]
    assert head["metadata"] == {"wav_name": "a.wav"}
    assert [(c["total_audio_processed"], c["generated_tokens"]) for c in commits] == [
        (1, ["WELL"]), (2, ["COUNT", "HIS"]), (2.3842, ["NEEDLE"]),
    ]  # fmt: skip
    assert all(c["deleted_tokens"] == [] for c in commits)
    assert commits[1]["computation_time"] == 0.2
    _, config, segments, reference = log_paths(log)
    assert config.read_text().splitlines() == ["detokenizer_type: simuleval", "latency_unit: word"]
    yaml = pytest.importorskip("yaml")
    assert yaml.safe_load(segments.read_text()) == [
        {"wav": "a.wav", "offset": 0.0, "duration": 2.3842},
        {"wav": "b.wav", "offset": 0.0, "duration": 3.0},
    ]
    assert reference.read_text().splitlines() == ["WELL COUNT HIS NEEDLES", "IT IS LATE"]


def test_a_recording_without_a_word_keeps_its_place(tmp_path):
    write_log(run_of(observed("n", "so", [], 1.5)), tmp_path / "m.jsonl")
    assert lines(tmp_path / "m.jsonl")[1]["generated_tokens"] == []
    assert lines(tmp_path / "m.jsonl")[1]["total_audio_processed"] == 1.5


def chapter(folder):
    parts = []
    for number, text in enumerate(["Well, count", "his needles."]):
        path = folder / f"1-1-{number}.wav"
        soundfile.write(path, np.zeros(16000 * (number + 1), np.float32), 16000)
        parts.append(Utterance(path.stem, path, text, "English", speaker="bob"))
    return Item("1-1", tuple(parts))


def test_the_utterances_of_a_chapter_are_its_segments(tmp_path):
    item = chapter(tmp_path)
    run = run_of(observed("1-1", item.reference, [word("Well", 1), word("needles", 3)], 3.5))
    write_log(run, tmp_path / "m.jsonl", [item])
    yaml = pytest.importorskip("yaml")
    segments = yaml.safe_load((tmp_path / "m.segments.yaml").read_text())
    assert [(one["offset"], one["duration"]) for one in segments] == [(0, 1), (1 + GAP_S, 2)]
    assert (tmp_path / "m.reference.txt").read_text() == "WELL COUNT\nHIS NEEDLES\n"
    write_stm(run, tmp_path / "r.stm", [item])
    assert (tmp_path / "r.stm").read_text().splitlines() == [
        "1-1 1 bob 0.000 1.000 WELL COUNT", "1-1 1 bob 1.500 3.500 HIS NEEDLES",
    ]  # fmt: skip


def test_chapters_of_another_corpus_are_refused(tmp_path):
    item = chapter(tmp_path)
    run = run_of(observed("1-1", "another text", [word("so", 1)], 3.5))
    with pytest.raises(InputError, match="is not what stands under that name now"):
        write_log(run, tmp_path / "m.jsonl", [item])
    assert not (tmp_path / "m.jsonl").exists()


# NIST


def test_ctm_has_words_by_file_and_time_with_confidences(tmp_path):
    late = [word("two", 2, start_s=1.0, probability=0.5), word("one", 2, start_s=0.25)]
    run = run_of(
        observed("z", "one two", [word("so", 1)], 3.0), observed("a b", "one two", late, 3)
    )
    write_ctm(run, tmp_path / "h.ctm")
    assert (tmp_path / "h.ctm").read_text().splitlines() == [
        "a_b 1 0.250 0.300 ONE", "a_b 1 1.000 0.300 TWO 0.5000", "z 1 0.500 0.300 SO",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (ctm_line("a", 1.0, 0.9, "x"), "a 1 1.000 0.000 x"),
        (ctm_line(";;a", 0, 1, "two words", 1.0, "B"), "_;;a B 0.000 1.000 two_words 1.0000"),
        (ctm_line("a", 0, 1, ""), "a 1 0.000 1.000 _"),
        (stm_line("a b", 0, 1, " so\nyes "), "a_b 1 a_b 0.000 1.000 so yes"),
        (stm_line("a", 0, 1, ""), "a 1 a 0.000 1.000"),
    ],
)
def test_fields_hold_no_white_space(line, expected):
    assert line == expected


# What is refused


def test_a_run_without_a_stream_has_no_log(tmp_path):
    run = run_of(observed("a", "so", None, 1.0), mode="offline", name="offline")
    for write in (
        lambda: write_log(run, tmp_path / "i.log"),
        lambda: write_ctm(run, tmp_path / "c"),
    ):
        with pytest.raises(InputError, match="did not stream"):
            write()
    write_stm(run, tmp_path / "r.stm")


def test_several_runs_a_name_of_neither_and_files_that_exist_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not say which log it is"):
        Interchange(log=tmp_path / "log.txt").check(force=False)
    (tmp_path / "config.yaml").write_text("mine: true\n")
    with pytest.raises(InputError, match=r"config\.yaml exists"):
        Interchange(log=tmp_path / "instances.log").check(force=False)
    file = BenchmarkFile(
        model=ModelInfo(name="tiny", fingerprint=None, dtype=None),
        corpus=CorpusInfo(name="c", fingerprint=None, utterances=2, group="utterance"),
        machine=Machine(platform="x", device=None, backend=None),
        runs=[TWO, run_of(observed("a", "so", [], 1.0), name="other")],
    )
    with pytest.raises(InputError, match="2 runs, 'simul', 'other'"):
        Interchange(ctm=tmp_path / "h.ctm").write(file)


def test_what_is_read_is_not_written_and_two_are_not_one(tmp_path):
    config = tmp_path / "config.yaml"  # which SimulEval asks for beside its log
    for mine in (Interchange(ctm=config), Interchange(log=tmp_path / "instances.log")):
        with pytest.raises(InputError, match="is read by this command"):
            mine.check(force=True, reads=[None, config])
    with pytest.raises(InputError, match="must be different files"):
        Interchange(ctm=tmp_path / "a", stm=tmp_path / "a").check(force=True)


# The command


@pytest.fixture
def benchmark(in_process, monkeypatch, tiny):
    from alignheads import SpeechModel
    from alignheads.evaluate.cli import main

    monkeypatch.setattr(SpeechModel, "load", lambda model="tiny", dtype=None: tiny)
    return in_process(main, "benchmark-decoder")


def test_the_command_writes_them_and_again_from_the_file(benchmark, tmp_path):
    measured = benchmark(
        "--max-utterances", 2, "--traces", 0, "--json", "b.json",
        "--simuleval-log", "instances.log", "--ctm", "h.ctm", "--stm", "r.stm",
    )  # fmt: skip
    assert measured[0] == 0
    assert "wrote config.yaml" in measured[2]
    (tmp_path / "again").mkdir()
    shown = benchmark("--show", "b.json", "--simuleval-log", "again/instances.log")
    assert shown[0] == 0
    log = (tmp_path / "instances.log").read_text()
    assert (tmp_path / "again" / "instances.log").read_text() == log
    assert len(log.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mode", "offline", "--ctm", "h.ctm"], "are of a stream; give --mode simul"),
        (["--mode", "simul", "--mode", "offline", "--stm", "r"], "of one run; give --mode once"),
        (["--step-s", 1, "--step-s", 2, "--ctm", "h"], "give --step-s once"),
        (["--simuleval-log", "log"], "does not say which log it is"),
        (["--compare", "a", "b", "--ctm", "h"], "not --compare"),
        (["--ctm", "no/h.ctm"], "there is no folder"),
    ],
)
def test_what_cannot_be_written_is_told_before_anything_is_decoded(benchmark, arguments, message):
    code, _, told = benchmark(*arguments)
    assert code == 2
    assert message in " ".join(told.split())


# Their own scorers


@pytest.mark.scorers
def test_simuleval_itself_scores_the_log(tmp_path):
    pytest.importorskip("simuleval")
    write_log(TWO, tmp_path / "instances.log")
    code = "from simuleval.cli import main; main()"
    options = ["--score-only", "--output", tmp_path, "--quality-metrics", "BLEU"]
    done = subprocess.run(
        [sys.executable, "-c", code, *options, "--latency-metrics", "LAAL"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    expected = [
        laal_s([1, 2, 2, 2.3842], 2.3842, 4),
        laal_s([1, 2], 3.0, 3),
    ]
    found = float(done.stdout.split()[-1])
    assert found == pytest.approx(1000 * np.mean(expected), abs=0.01)


@pytest.mark.scorers
def test_simulstream_itself_scores_the_log_of_a_long_recording(tmp_path):
    pytest.importorskip("simulstream.metrics.score_latency")
    item = chapter(tmp_path)
    said = [word("Well", 1), word("count", 1), word("his", 3), word("needles", 3.5, 0.2)]
    write_log(run_of(observed("1-1", item.reference, said, 3.5)), tmp_path / "m.jsonl", [item])
    log, config, segments, reference = log_paths(tmp_path / "m.jsonl")
    code = "from simulstream.metrics.score_latency import cli_main; cli_main()"
    options = [
        "--eval-config", config, "--log-file", log, "--audio-definition", segments,
        "--reference", reference, "--scorer", "stream_laal",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code, *options], capture_output=True, text=True, check=True
    )
    first, second = laal_s([1, 1], 1.0, 2), laal_s([1.5, 2.0], 2.0, 2)
    assert f"ideal_latency={(first + second) / 2}" in done.stdout


def test_the_scorers_are_run_by_the_workflow():
    root = Path(__file__).parent.parent
    assert "-m scorers" in (root / ".github" / "workflows" / "ci.yml").read_text()
