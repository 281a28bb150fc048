"""`calibrate` from end to end on a few clips of the demo: files, resuming, refusals, kills."""

from __future__ import annotations

import errno
import inspect
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import alignheads
from alignheads import load_corpus, load_heads
from alignheads.calibrate import setting_up
from alignheads.calibrate.cli import main
from alignheads.calibrate.outputs import Outputs
from alignheads.calibrate.result import CalibrationFile
from alignheads.calibrate.scoring import Score
from alignheads.calibrate.speech import SpeechOptions, load_speech, split
from alignheads.calibrate.study.space import BUNDLED, PUBLISHED
from alignheads.calibrate.study.trials import FINGERPRINT
from alignheads.errors import InputError
from alignheads.evaluate.intervals import Sums, paired_difference
from alignheads.evaluate.timed import timed_stream
from alignheads.runtime.stream.config import DecoderConfig
from alignheads.runtime.stream.decoder import StreamDecoder

DEMO = Path(alignheads.__file__).parent / "corpora" / "demo"
LISTED = len(load_heads("tiny").alignment_heads)


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Folders of few clips, and one for what is decoded of them."""
    folder = tmp_path_factory.mktemp("speech")
    for name, split_name, speakers in (
        ("dev", "dev", ("101", "106", "110")),
        ("test", "test", ("107", "109")),
        ("one", "dev", ("101",)),
    ):
        for speaker in speakers:
            source = DEMO / split_name / speaker
            shutil.copytree(source, folder / name / speaker)
    (folder / "store").mkdir()
    return folder


@pytest.fixture
def command(speech, tmp_path, monkeypatch, capsys):
    """Call `calibrate` in the empty folder tmp_path: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    given = ["--corpus", speech / "dev", "--test-corpus", speech / "test", "--phases", 1,
             "--store", speech / "store"]  # fmt: skip

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["calibrate", *map(str, given), *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        return (stop.value.code, *capsys.readouterr())

    return call


def refused(call, *arguments):
    """The one line of a command that must fail with exit code 2 and write nothing."""
    before = set(Path().iterdir())
    code, out, err = call(*arguments)
    lines = [line for line in err.splitlines() if line.startswith("calibrate: ")]
    assert code == 2, err
    assert out == ""
    assert len(lines) == 1
    assert "Traceback" not in err
    new = {path.name for path in set(Path().iterdir()) - before}
    assert not new - {"calibration.journal", "calibration.journal.lock"}
    return lines[0]


# The whole


def test_a_sweep_writes_a_configuration_that_the_decoder_takes_as_it_is(command, speech, tiny):
    code, out, err = command("--trials", 6, "--explain")
    assert code == 0, err
    lines = [line for line in err.splitlines() if "/6  WER" in line]
    assert [line.split("/")[0] for line in lines] == list("123456")
    assert lines[0].split("rewind")[0].endswith("border .15  ")
    assert any(line.endswith("*front*") for line in lines)
    assert "chosen" in out
    assert "fewest heads" in out
    assert Path("pareto.png").read_bytes().startswith(b"\x89PNG")

    config = DecoderConfig.load("decoder_config.json")
    report = CalibrationFile.load("calibration.json")
    chosen = report.trial(report.selected.number)
    assert config.border_s == chosen.params.get("border_s")
    assert config.border_fraction == chosen.params.get("border_fraction")
    assert config.head_count == chosen.params["head_count"] == len(config.heads)
    assert config.calibration["trial"] == chosen.number
    assert config.calibration["dev"]["wer"]["value"] == pytest.approx(chosen.wer)
    assert config.calibration["dev"]["delay_s"]["value"] == pytest.approx(chosen.delay_s)
    assert config.calibration["held_out"]["corpus"] == "test"
    assert report.replay.live_identical == report.replay.live_utterances == 3
    assert len(report.hypervolume) == 6
    assert {p.head_count for p in report.explanation.by_head_count} == set(range(1, LISTED + 1))

    clips = load_corpus(speech / "test").utterances
    spoken = [
        timed_stream(StreamDecoder(tiny, config, language="English"), clip.read()) for clip in clips
    ]
    point = report.held_out.points[0]
    assert sum(point.sums.matched_words) == sum(len(stream.words) for stream in spoken) - sum(
        point.sums.errors
    )


def test_intervals_can_be_computed_again_from_the_report(command):
    assert command("--trials", 3)[0] == 0
    report = CalibrationFile.load("calibration.json")
    points = {point.name: point for point in report.held_out.points}
    assert set(points) == {"chosen", *PUBLISHED, BUNDLED}
    for comparison in report.held_out.comparisons:
        first, second = (points[name].sums for name in (comparison.first, comparison.second))
        again = paired_difference(
            *(Sums.of(sums.delay_s, sums.matched_words) for sums in (first, second))
        )
        assert comparison.delay_s.value == pytest.approx(again.value, abs=1e-6)
        assert comparison.delay_s.low == pytest.approx(again.low, abs=1e-6)


@pytest.mark.slow
def test_running_again_goes_on_and_the_same_seed_gives_the_same_front(command, tmp_path):
    command("--trials", 4, "--out", "config.json")
    code, _, err = command("--trials", 7, "--out", "config.json")
    assert code == 0
    assert "4 of 7 done, 3 to run" in err
    assert err.count("/7  WER") == 3
    code, _, err = command("--trials", 7, "--out", "config.json")
    assert code == 0
    assert "7 of 7 done, 0 to run" in err
    resumed = CalibrationFile.load("calibration.json")

    other = tmp_path / "other"
    other.mkdir()
    command("--trials", 7, "--out", other / "config.json")
    whole = CalibrationFile.load(other / "calibration.json")
    assert whole.front == resumed.front
    assert [t.params for t in whole.trials] == [t.params for t in resumed.trials]
    assert [(t.wer, t.delay_s) for t in whole.trials] == [
        (t.wer, t.delay_s) for t in resumed.trials
    ]


@pytest.mark.slow
def test_a_border_in_seconds_is_laid_over_the_front_of_the_fraction(command):
    command("--trials", 4, "--border", "fraction")
    code, _, err = command("--trials", 6, "--force")
    assert code == 0, err
    report = CalibrationFile.load("calibration.json")
    assert report.border == "seconds"
    assert report.other_front.border == "fraction"
    assert report.other_front.trials == 4
    assert {trial.border for trial in report.trials if trial.baseline} == {"fraction", "seconds"}
    assert all(report.trial(number).border == "seconds" for number in report.front)
    assert all("border_s" in report.trial(number).params for number in report.front)


@pytest.mark.slow
def test_steps_and_the_aggregate_can_be_searched_too(command):
    code, _, err = command("--trials", 8, "--tune", "step_s, aggregate", "--max-heads", 4)
    assert code == 0, err
    report = CalibrationFile.load("calibration.json")
    searched = [trial.params for trial in report.trials if not trial.baseline]
    assert {params["aggregate"] for params in searched} == {"median", "mean"}
    assert len({params["step_s"] for params in searched}) > 1
    assert max(params["head_count"] for params in searched) <= 4
    assert report.replay.live_identical == report.replay.live_utterances


def test_speed_can_be_asked_for(command):
    code, _, err = command("--trials", 3, "--realtime")
    report = CalibrationFile.load("calibration.json") if code == 0 else None
    if report is None:  # on a machine that is too slow, or too busy
        assert "real-time factor" in err
        return
    assert all(report.trial(number).measures.rtf < 1 for number in report.front)


@pytest.mark.slow
def test_a_rule_chooses_from_the_same_trials(command):
    command("--trials", 8)
    code, _, err = command("--trials", 8, "--select", "max-wer-increase=100")
    assert code == 0, err
    report = CalibrationFile.load("calibration.json")
    fastest = min(t.delay_s for t in report.trials if t.state == "complete")
    assert report.trial(report.selected.number).delay_s == fastest
    assert report.selected.how == "max-wer-increase=100"


def test_the_call_gives_what_the_command_writes(command, speech, tiny, tmp_path):
    command("--trials", 3)
    options = {"test_corpus": speech / "test", "phases": 1, "trials": 3, "store": speech / "store"}
    found = alignheads.calibrate_decoder(
        tiny, speech / "dev", out=tmp_path / "by_call.json", **options
    )
    assert isinstance(found, alignheads.Calibration)
    assert found.config == DecoderConfig.load("by_call.json")
    written = CalibrationFile.load("calibration.json")
    assert found.report.front == written.front
    assert found.report.study.storage == "memory"


def test_the_package_is_a_package_and_the_call_a_function():
    assert inspect.ismodule(alignheads.calibrate)
    assert not callable(alignheads.calibrate)
    assert inspect.isfunction(alignheads.calibrate_decoder)


# Bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--trials", 0], "--trials is 0, expected 1 or more"),
        (["--trials", -3], "--trials is -3, expected 1 or more"),
        (["--seed", -1], "--seed is -1"),
        (
            ["--max-heads", LISTED + 1],
            f"--max-heads is {LISTED + 1}, but the heads file of tiny lists {LISTED}",
        ),
        (["--select", "best"], "--select is 'best', expected within=PERCENTAGE_POINTS"),
        (["--border", "frames"], "expected fraction or seconds"),
        (
            ["--tune", "heads"],
            "--tune has 'heads', expected step_s, aggregate, max_audio_s, reuse or refresh_s",
        ),
        (["--tune", "refresh_s"], "--tune has 'refresh_s', which does nothing without reuse"),
        (["--phases", 0], "--phases is 0"),
        (["--phases", 65], "--phases is 65, expected 1 to 64"),
        (["--holdout", 1], "--holdout is 1.0"),
        (["--clips", 0], "--clips is 0, expected 1 or more"),
        (["--clips", 1], "has 1 utterance; calibrate needs 2 or more"),
        (["--model", "no/such/model"], "no/such/model"),
        (["--heads", "missing.json"], "missing.json"),
        (["--heads", "1.7b"], "does not fit tiny"),
        (["--heads", "whisper-base"], "heads of cross-attention, and does not fit tiny"),
        (["--corpus", "nowhere"], "no corpus 'nowhere'"),
        (["--storage", "postgresql://me:hunter2@127.0.0.1:1/x"], "postgresql://me:***@127.0.0.1:1"),
        (["--out", "no/folder/config.json"], "there is no folder"),
        (["--figure", "pareto.txt"], "must end in .png"),
        (["--report", "decoder_config.json"], "three files"),
        (["--language", "Klingon"], "Klingon"),
    ],
)
def test_bad_input_is_one_line(command, arguments, message):
    line = refused(command, *arguments)
    assert message in line
    assert "hunter2" not in line


def test_a_corpus_of_one_utterance_or_none_is_refused(command, speech, tmp_path):
    assert "has 1 utterance" in refused(command, "--corpus", speech / "one")
    (tmp_path / "empty").mkdir()
    assert "no corpus in" in refused(command, "--corpus", tmp_path / "empty")
    (tmp_path / "empty.jsonl").touch()
    assert "empty.jsonl" in refused(command, "--corpus", tmp_path / "empty.jsonl")


def test_tuning_and_test_speech_may_not_overlap(command, speech, tmp_path):
    mixed = tmp_path / "mixed"
    shutil.copytree(speech / "test", mixed)
    shutil.copytree(speech / "one" / "101", mixed / "101")
    line = refused(command, "--test-corpus", mixed)
    assert "1 of the 4 recordings of mixed are in dev too, the first one 101-2-0000" in line


def test_a_file_in_the_way_is_not_overwritten(command):
    for name in ("decoder_config.json", "calibration.json", "pareto.png"):
        path = Path(name)
        path.write_text("{}")
        assert f"{name} exists" in refused(command, "--trials", 2)
        assert path.read_text() == "{}"
        path.unlink()
    Path("pareto.png").mkdir()
    assert "is a folder" in refused(command, "--trials", 2)


def test_a_study_of_other_speech_is_refused_with_the_part_that_differs(command, speech):
    assert command("--trials", 2)[0] == 0
    line = refused(command, "--corpus", speech / "test", "--test-corpus", speech / "one")
    assert "another corpus: dev (" in line
    assert "not test (" in line
    assert f"another range of head_count: 1 to {LISTED}, not 1 to 3" in refused(
        command, "--max-heads", 3
    )
    line = refused(command, "--study", "mine", "--trials", 2)
    assert "decoder_config.json exists; give --force" in line
    assert "another seed: 0, not 9" in refused(command, "--trials", 2, "--seed", 9)


def test_what_another_study_wrote_in_the_meantime_is_left(tmp_path):
    paths = [tmp_path / "decoder_config.json", tmp_path / "calibration.json"]
    study = SimpleNamespace(study_name="mine", user_attrs={FINGERPRINT: {}})
    outputs = Outputs(SimpleNamespace(study=study, fingerprint="1"), *paths)  # type: ignore
    theirs = {"study": "theirs", "name": "theirs", "fingerprint": "2"}
    text = json.dumps({"calibration": theirs, "study": theirs})
    for path, save in zip(paths, (outputs._save_config, outputs._save_report), strict=True):
        path.write_text(text)
        with pytest.raises(InputError, match="by another process in the meantime; the trials are"):
            save(None)
        assert path.read_text() == text


def test_a_full_disk_while_writing_is_one_line_and_leaves_the_old_file(command, monkeypatch):
    assert command("--trials", 2)[0] == 0
    before = Path("calibration.json").read_bytes()

    def full(self, *_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    code, _, err = command("--trials", 3)
    assert code == 1
    assert "No space left on device" in err.splitlines()[-1]
    assert Path("calibration.json").read_bytes() == before
    assert not list(Path().glob(".*tmp*"))


def test_a_cache_that_cannot_be_written_is_done_without(command, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    notes = []
    store = setting_up._store(None, tmp_path / "file" / "x.sqlite", notes)
    assert len(store) == 0
    assert "is not kept for the next study" in notes[0]
    with pytest.raises(InputError, match="give another folder"):
        setting_up._store("given", tmp_path / "file" / "x.sqlite", notes)


@pytest.mark.parametrize("name", ["calibration.journal", "calibration.json", "."])
def test_the_study_is_not_overwritten_by_its_own_result(command, name):
    line = refused(command, "--out", name, "--trials", 2, "--force")
    assert "is read by this command" in line or "three files" in line or "is a folder" in line


def test_a_full_disk_under_the_journal_is_one_line(command, monkeypatch):
    assert command("--trials", 2)[0] == 0
    from optuna.storages.journal import JournalFileBackend

    def full(self, logs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(JournalFileBackend, "append_logs", full)
    code, _, err = command("--trials", 3)
    assert code == 1
    last = err.splitlines()[-1]
    assert "No space left on device" in last
    assert "calibration.journal" in last
    assert "Traceback" not in err


def test_a_decoder_that_raises_ends_the_sweep_after_three_trials(command, monkeypatch):
    assert command("--trials", 2)[0] == 0

    def broken(self):
        raise RuntimeError("Metal ran out of memory")

    monkeypatch.setattr(Score, "wer", property(broken))
    code, _, err = command("--trials", 9)
    assert code == 1
    assert "2/9  trial 2 failed: RuntimeError: Metal ran out of memory" in err
    assert "3 trials in a row failed" in err.splitlines()[-1]
    states = [trial.state for trial in CalibrationFile.load("calibration.json").trials]
    assert states == ["complete"] * 2 + ["failed"] * 3


# Kills, in processes of their own


def start(folder, speech, *arguments):
    # A shell has what it runs in the background ignore Ctrl-C, and so the tests in it.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from alignheads.calibrate.cli import main; main()"
    )
    given = ["--corpus", speech / "dev", "--test-corpus", speech / "test", "--phases", 1,
             "--store", folder / "store", *arguments]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, given)],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for(process, text):
    """Read its stderr until a line has `text`."""
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"{text!r} never came")


def test_a_killed_sweep_has_lost_one_trial_and_goes_on(command, speech, tmp_path):
    process = start(tmp_path, speech, "--trials", 40)
    wait_for(process, "/40  WER")
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert DecoderConfig.load("decoder_config.json").calibration["study"] == "tiny-seconds"
    code, _, err = command("--trials", 12)
    assert code == 0, err
    report = CalibrationFile.load("calibration.json")
    assert sum(trial.state == "complete" for trial in report.trials) >= 12
    lost = [trial for trial in report.trials if trial.state != "complete"]
    assert len(lost) <= 1
    for trial in lost:
        assert "process ended" in trial.reason


def test_ctrl_c_keeps_everything_and_says_how_to_go_on(speech, tmp_path):
    process = start(tmp_path, speech, "--trials", 100_000)
    wait_for(process, "/100000  WER")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    assert "interrupted; go on with: calibrate --corpus" in last
    assert "--trials 100000" in last
    report = CalibrationFile.load(tmp_path / "calibration.json")
    assert any(trial.state == "complete" for trial in report.trials)
    assert report.held_out is None
    assert json.loads((tmp_path / "decoder_config.json").read_text())["model"] == "tiny"


# The parts of a corpus


def test_a_part_is_kept_out_by_speaker_the_same_for_the_same_seed():
    whole = load_corpus("demo:all")
    dev, test = split(whole, 0.5, 3)
    assert {u.id for u in dev.utterances} | {u.id for u in test.utterances} == {
        u.id for u in whole.utterances
    }
    assert not {u.speaker for u in dev.utterances} & {u.speaker for u in test.utterances}
    assert abs(len(dev) - len(test)) <= 8
    again = split(whole, 0.5, 3)
    assert [c.fingerprint for c in again] == [dev.fingerprint, test.fingerprint]
    assert split(whole, 0.5, 4)[0].fingerprint != dev.fingerprint
    small = split(whole, 0.25, 3)[1]
    assert 6 <= len(small) <= 18


def test_utterances_are_kept_apart_where_speakers_are_few(speech):
    corpus = load_corpus(speech / "dev")
    dev, test = split(corpus, 0.34, 0)
    assert len(dev) + len(test) == len(corpus)
    with pytest.raises(InputError, match=r"too few to keep 0\.9 of them out"):
        split(load_corpus(speech / "one"), 0.9, 0)


def test_phases_move_the_words_with_the_speech(speech):
    options = SpeechOptions(speech / "dev", speech / "test", phases=4)
    dev, _ = load_speech("tiny", options, step_s=1.0)
    assert len(dev.recordings) == 4 * len(dev.corpus)
    assert dev.info.phases == 4
    first = dev.first_phase[0]
    later = [r for r in dev.recordings if r.index == 0 and r.phase_s]
    assert [r.phase_s for r in later] == [0.25, 0.5, 0.75]
    for one in later:
        silence = round(one.phase_s * 16_000)
        assert (one.samples[silence:] == first.samples).all()
        assert not one.samples[:silence].any()
        shift = one.utterance.words[0].start_s - first.utterance.words[0].start_s
        assert shift == pytest.approx(one.phase_s)
        assert one.hash == first.hash
        assert one.key != first.key


def test_little_speech_is_streamed_at_more_phases_than_much():
    dev, test = load_speech("tiny", SpeechOptions(), step_s=1.0)
    assert (dev.corpus.name, test.corpus.name) == ("demo:dev", "demo:test")
    assert dev.phases == 4


def test_a_damaged_clip_is_skipped_by_name_and_counted(speech, tmp_path, caplog):
    shutil.copytree(speech / "dev", tmp_path / "dev")
    clip = next((tmp_path / "dev").rglob("*.flac"))
    clip.write_bytes(clip.read_bytes()[:-2_000])
    options = SpeechOptions(tmp_path / "dev", speech / "test", phases=1)
    with caplog.at_level("INFO"):
        dev, test = load_speech("tiny", options, step_s=1.0)
    assert [one.id for one in dev.corpus.skipped] == [clip.stem]
    assert f"skipped {clip.stem}: {clip} is cut off" in caplog.text
    assert "1 of 3 utterances skipped" in caplog.text
    assert (dev.info.utterances, dev.info.skipped) == (2, 1)
    assert test.info.skipped == 0
    strict = SpeechOptions(tmp_path / "dev", speech / "test", phases=1, strict=True)
    with pytest.raises(InputError, match=f"{clip.stem}: .*cut off.*without strict"):
        load_speech("tiny", strict, step_s=1.0)
