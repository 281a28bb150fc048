"""`benchmark-decoder`: every mode on the tiny model, stopped and resumed, and wrong usage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from alignheads.corpora import Corpus, Utterance, load_corpus
from alignheads.errors import InputError
from alignheads.evaluate import benchmark as benchmarks
from alignheads.evaluate import measure
from alignheads.evaluate.cli import main
from alignheads.evaluate.items import GAP_S, make_items, shown_items
from alignheads.evaluate.load import load_benchmark
from alignheads.evaluate.measure import Decoder, decoders
from alignheads.evaluate.traces import packed_mel, unpacked_mel
from alignheads.journal import Journal, journal_path
from alignheads.runtime.models.spectrogram import Spectrogram
from alignheads.runtime.stream.config import DecoderConfig

COMMAND = Path(sys.executable).parent / "benchmark-decoder"


@pytest.fixture
def call(in_process, monkeypatch, tiny):
    """Call `benchmark-decoder`, the model loaded once: (exit code, stdout, stderr)."""
    from alignheads import SpeechModel

    monkeypatch.setattr(SpeechModel, "load", lambda model="tiny", dtype=None: tiny)
    return in_process(main, "benchmark-decoder")


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """Four short clips as a manifest: two speakers' chapters, with word times."""
    folder = tmp_path_factory.mktemp("corpus")
    clips = sorted(load_corpus("demo:test").utterances, key=lambda u: len(u.words))[:4]
    lines = []
    for index, clip in enumerate(clips):
        soundfile.write(folder / f"{index}.wav", clip.read(), 16_000)
        lines.append(
            {"audio_filepath": f"{index}.wav", "text": clip.text, "language": "English",
             "id": f"7-{index // 2}-{3 - index:04d}",
             "words": [[w.text, w.start_s, w.end_s] for w in clip.words]}
        )  # fmt: skip
    (folder / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder / "m.jsonl"


def damaged(manifest, folder):
    """The corpus of `manifest` with FLAC files, one of which is cut off after its header."""
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    for index, row in enumerate(rows):
        samples, rate = soundfile.read(manifest.parent / row["audio_filepath"])
        path = folder / f"{index}.flac"
        soundfile.write(path, samples, rate)
        row["audio_filepath"] = path.name
    path = folder / "1.flac"
    path.write_bytes(path.read_bytes()[:-2_000])
    (folder / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "m.jsonl", rows[1]["id"]


def timeless(value):
    """What must not change from run to run: all but times to compute and memory."""
    if isinstance(value, dict):
        changing = ("wall", "rtf", "aware", "lag_s", "memory", "mel")
        return {k: timeless(v) for k, v in value.items() if not any(c in k for c in changing)}
    return [timeless(one) for one in value] if isinstance(value, list) else value


def content(path):
    return timeless(json.loads(path.read_text()))


# Measuring


def test_all_modes_at_once(call, spoken, tmp_path):
    code, out, err = call(
        "--corpus", spoken, "--mode", "simul", "--mode", "single-shot", "--mode", "offline",
        "--step-s", 0.5, "--step-s", 1, "--json", "b.json",
    )  # fmt: skip
    assert code == 0, err
    file = load_benchmark(tmp_path / "b.json")
    names = [run.settings.name for run in file.runs]
    assert names == ["simul, 0.5 s", "simul, 1 s", "single-shot", "offline"]
    for run in file.runs:
        assert run.totals.utterances == 4
        assert run.totals.texts["basic"].words.rate < 0.2
        assert run.totals.wall_s > 0
        assert run.memory.process_bytes > 1e7
        for one in run.utterances:
            assert one.rtf == pytest.approx(one.wall_s / one.duration_s)
    half, one, shot, offline = file.runs
    assert half.totals.latency.delay_s.mean < one.totals.latency.delay_s.mean
    assert one.totals.latency.delay_s.mean < shot.totals.latency.delay_s.mean
    assert offline.totals.latency is None
    assert "offline" in offline.totals.latency_note
    assert "offline decoding commits nothing" in err
    for words in [u.words for u in shot.utterances]:
        assert len({word.emitted_s for word in words}) <= 2
    assert len(one.traces) == 3
    assert not shot.traces
    assert half.settings.config["step_s"] == half.settings.step_s == 0.5
    assert half.settings.config_sha256 != one.settings.config_sha256
    assert half.settings.heads_sha256 == one.settings.heads_sha256
    assert file.model.fingerprint
    assert file.machine.versions["mlx"]
    assert "WER" in out
    assert not journal_path(tmp_path / "b.json").exists()


def test_results_are_the_same_every_time_but_for_times(call, spoken, tmp_path):
    for name in ("a.json", "b.json"):
        assert call("--corpus", spoken, "--json", name)[0] == 0
    assert content(tmp_path / "a.json") == content(tmp_path / "b.json")


def test_chapters_are_put_together_in_order(call, spoken, tmp_path):
    assert call("--corpus", spoken, "--group", "chapter", "--json", "b.json")[0] == 0
    file = load_benchmark(tmp_path / "b.json")
    corpus = load_corpus(spoken)
    texts = {u.id: u.text for u in corpus.utterances}
    by_id = {one.id: one for one in file.runs[0].utterances}
    assert list(by_id) == ["7-0", "7-1"]
    assert by_id["7-0"].reference == f"{texts['7-0-0002']} {texts['7-0-0003']}"
    lengths = [len(u.read()) / 16_000 for u in corpus.utterances[:2]]
    assert by_id["7-0"].duration_s == pytest.approx(sum(lengths) + GAP_S, abs=1e-3)
    assert file.corpus.group == "chapter"
    assert file.corpus.utterances == 4
    item = make_items(corpus, "chapter")[0]
    samples, words = item.read()
    first = corpus.utterances[1]
    gap = slice(len(first.read()), len(first.read()) + int(GAP_S * 16_000))
    assert not samples[gap].any()
    second = words[len(first.words)]
    wanted = corpus.utterances[0].words[0].start_s + len(first.read()) / 16_000 + GAP_S
    assert second.start_s == pytest.approx(wanted, abs=1e-3)


def test_what_was_traced_is_what_was_committed(call, spoken, tmp_path):
    assert call("--corpus", spoken, "--traces", 2, "--json", "b.json")[0] == 0
    (run,) = load_benchmark(tmp_path / "b.json").runs
    assert len(run.traces) == 2
    for trace in run.traces:
        one = next(u for u in run.utterances if u.id == trace.id)
        tokens = [t.text for step in trace.steps for t in step.tokens if t.committed]
        assert "".join(tokens).strip() == one.hypothesis
        assert [w.text for w in trace.gold] == one.reference.split()
        assert unpacked_mel(trace.mel).shape == (trace.mel.channels, trace.mel.frames)
        assert Path(trace.audio[0].path).is_file()


def test_a_corpus_without_word_times_has_no_latency(call, tmp_path):
    clip = load_corpus("demo:test").utterances[0]
    soundfile.write(tmp_path / "a.wav", clip.read(), 16_000)
    line = {"audio_filepath": "a.wav", "text": clip.text}
    (tmp_path / "m.jsonl").write_text(json.dumps(line))
    code, _, err = call("--corpus", "m.jsonl", "--json", "b.json", "--language", "English")
    assert code == 0
    file = load_benchmark(tmp_path / "b.json")
    assert file.runs[0].totals.latency is None
    assert file.runs[0].utterances[0].times is None
    assert "no word times" in err
    assert file.corpus.language == "English"


def test_transcripts_that_are_missing(call, tmp_path):
    clip = load_corpus("demo:test").utterances[0]
    soundfile.write(tmp_path / "a.wav", clip.read(), 16_000)
    (tmp_path / "m.jsonl").write_text(json.dumps({"audio_filepath": "a.wav", "text": " . "}))
    code, _, err = call("--corpus", "m.jsonl", "--json", "b.json")
    assert code == 2
    assert err.count("\n") == 1
    assert "no transcripts" in err
    assert not list(tmp_path.glob("b.json*"))


def test_the_first_utterances_only_and_then_more_of_them(call, spoken, tmp_path, monkeypatch):
    assert call("--corpus", spoken, "--max-utterances", 2, "--json", "b.json")[0] == 0
    decoded = []
    plain = measure.observe
    monkeypatch.setattr(
        measure, "observe", lambda *given: decoded.append(given[2].id) or plain(*given)
    )
    assert call("--corpus", spoken, "--json", "b.json", "--resume", "--mode", "simul",
                "--mode", "offline")[0] == 0  # fmt: skip
    ids = [u.id for u in load_corpus(spoken).utterances]
    assert decoded == [*ids[2:], *ids]
    file = load_benchmark(tmp_path / "b.json")
    assert [len(run.utterances) for run in file.runs] == [4, 4]
    code, _, err = call("--corpus", spoken, "--max-utterances", 2, "--json", "b.json", "--resume",
                        "--mode", "simul", "--mode", "offline")  # fmt: skip
    assert code == 2
    assert "no smaller --max-utterances" in err


# Stopping and going on


def test_killed_and_resumed_is_as_if_never_stopped(spoken, tmp_path, call):
    arguments = ["--corpus", str(spoken), "--mode", "simul", "--mode", "offline"]
    assert call(*arguments, "--json", "whole.json")[0] == 0
    journal = journal_path(tmp_path / "b.json")
    process = subprocess.Popen(
        [COMMAND, *arguments, "--json", "b.json"], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not journal.exists() or journal.read_bytes().count(b"\n") < 3:
        assert time.monotonic() < deadline
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = journal.read_bytes().count(b"\n") - 1
    assert kept >= 2
    assert not (tmp_path / "b.json").exists()
    code, _, err = call(*arguments, "--json", "b.json")
    assert code == 2
    assert "--resume" in err
    with journal.open("ab") as file:
        file.write(b'{"run": "simul", "observa')
    assert call(*arguments, "--json", "b.json", "--resume")[0] == 0
    assert content(tmp_path / "b.json") == content(tmp_path / "whole.json")
    assert not journal.exists()


def test_ctrl_c_keeps_what_is_done(call, spoken, tmp_path, monkeypatch):
    plain = measure.observe
    count = iter(range(10))

    def interrupted(*given):
        if next(count) == 2:
            raise KeyboardInterrupt
        return plain(*given)

    monkeypatch.setattr(measure, "observe", interrupted)
    code, out, err = call("--corpus", spoken, "--json", "b.json")
    assert (code, out) == (130, "")
    assert "--resume" in err
    assert journal_path(tmp_path / "b.json").read_bytes().count(b"\n") == 3
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--step-s", "0.5"], "run 'simul', config was"),
        (["--group", "chapter"], "group was 'utterance', now it is 'chapter'"),
        (["--language", "detect"], "language was None, now it is 'detect'"),
        (["--mode", "offline"], "run 'simul', mode was 'simul', now it is None"),
        (["--corpus", "demo:test", "--max-utterances", "1"], "corpus was"),
    ],
)
def test_nothing_else_is_resumed(call, spoken, tmp_path, change, message):
    arguments = ["--corpus", spoken, "--max-utterances", "1", "--json", "b.json"]
    assert call(*arguments)[0] == 0
    before = (tmp_path / "b.json").read_bytes()
    code, _, err = call(*arguments, "--resume", *change)
    assert code == 2
    assert err.count("\n") == 1
    assert message in err
    assert (tmp_path / "b.json").read_bytes() == before


# Usage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mode", "sideways"], "expected simul, single-shot, offline"),
        (["--group", "book"], "expected one of utterance, chapter"),
        (["--step-s", "0.04"], "0.05 seconds or more"),
        (["--step-s", "nan"], "0.05 seconds or more"),
        (["--mode", "offline", "--step-s", "1"], "--step-s is for the mode simul"),
        (["--max-utterances", "0"], "expected 1 or more"),
        (["--traces", "-1"], "--traces is -1"),
        (["--resume", "--force"], "not both"),
        (["--intersection"], "--compare A B"),
        (["--json", "no/where.json"], "there is no folder"),
        (["--config", "none.json"], "no decoder configuration none.json"),
        (["--heads", "none.json"], "no heads file"),
        (["--corpus", "nonsense"], "no corpus 'nonsense'"),
        (["--show", "none.json"], "no benchmark file none.json"),
        (["--compare", "a.json", "b.json"], "no benchmark file a.json"),
        (["--show", "a.json", "--compare", "a.json", "b.json"], "not both"),
    ],
)
def test_wrong_usage_is_told_on_one_line(call, tmp_path, arguments, message):
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert message in err
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_is_kept(call, spoken, tmp_path):
    (tmp_path / "b.json").write_text("mine")
    code, _, err = call("--corpus", spoken, "--json", "b.json")
    assert code == 2
    assert "--force" in err
    code, _, err = call("--corpus", spoken, "--json", "b.json", "--resume")
    assert code == 2
    assert (tmp_path / "b.json").read_text() == "mine"


def test_ids_that_name_no_chapter(call, tmp_path):
    clip = load_corpus("demo:test").utterances[0]
    soundfile.write(tmp_path / "talk.wav", clip.read(), 16_000)
    line = {"audio_filepath": "talk.wav", "text": clip.text}
    (tmp_path / "m.jsonl").write_text(json.dumps(line))
    code, _, err = call("--corpus", "m.jsonl", "--group", "chapter", "--json", "b.json")
    assert code == 2
    assert "speaker-chapter-utterance" in err
    assert "'talk'" in err


def test_two_configurations_are_told_apart(call, spoken, tmp_path):
    base = DecoderConfig.bundled("tiny")
    base.save(tmp_path / "near.json")
    base.changed(border_s=1.0).save(tmp_path / "far.json")
    code, _, err = call("--corpus", spoken, "--config", "near.json", "--config", "far.json",
                        "--max-utterances", 2, "--json", "b.json")  # fmt: skip
    assert code == 0, err
    near, far = load_benchmark(tmp_path / "b.json").runs
    assert (near.settings.name, far.settings.name) == ("simul near", "simul far")
    assert near.totals.latency.delay_s.mean < far.totals.latency.delay_s.mean
    code, out, _ = call("--compare", "b.json:simul near", "b.json:simul far", "--json", "c.json")
    assert code == 0
    (compared,) = json.loads((tmp_path / "c.json").read_text())
    assert compared["utterances"] == 2
    assert compared["delay_s"][2]["value"] < 0
    assert "simul near" in out
    (tmp_path / "other").mkdir()
    base.save(tmp_path / "other" / "near.json")
    code, _, err = call("--config", "near.json", "--config", "other/near.json", "--json", "d.json")
    assert code == 2
    assert "two configurations are called near" in err


def test_a_context_is_told_written_down_and_asked_for_again(call, spoken, tmp_path, tiny):
    told = []
    real = tiny.vocabulary.prompt
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            tiny.vocabulary, "prompt",
            lambda frames, language, context="": (
                told.append(context) or real(frames, language, context)
            ),
        )  # fmt: skip
        options = ["--corpus", spoken, "--mode", "simul", "--mode", "offline", "--json", "b.json"]
        code, _, err = call(*options, "--max-utterances", 1, "--context", "river, Kubernetes")
    assert code == 0, err
    # Without it only where what was said might be an echo of it.
    assert set(told) <= {"river, Kubernetes", ""}
    assert told.count("river, Kubernetes") > told.count("")
    runs = load_benchmark(tmp_path / "b.json").runs
    assert [run.settings.context for run in runs] == ["river, Kubernetes"] * 2
    code, _, err = call(*options, "--max-utterances", 2, "--resume", "--context", "other")
    assert code == 2
    assert "context was 'river, Kubernetes', now it is 'other'" in err
    code, _, err = call(*options, "--force", "--context", "@nowhere")
    assert code == 2
    assert "no file nowhere" in err


def test_decoders_are_each_named_once():
    base = DecoderConfig.bundled("tiny")
    named = [one.name for one in decoders(["simul", "offline", "simul"], [("", base)], [1, 1, 2])]
    assert named == ["simul, 1 s", "simul, 2 s", "offline"]


# Parts


def test_items_to_look_at_are_spread_over_the_corpus():
    items = make_items(load_corpus("demo:test"), "utterance")
    shown = shown_items(items, 3, 15.0)
    assert len({item.id for item in shown}) == 3
    assert shown_items(items, 0, 15.0) == []
    assert len(shown_items(items, 99, 15.0)) == len(items)


def test_a_spectrogram_survives_its_packing():
    mel = np.random.default_rng(0).normal(size=(128, 200)).astype(np.float32)
    packed = packed_mel(Spectrogram(mel, 100), 30)
    found = unpacked_mel(packed)
    mean = mel.reshape(64, 2, 100, 2).mean(axis=(1, 3))
    wanted = 255 * (mean - mean.min()) / (mean.max() - mean.min())
    assert np.abs(found - wanted).max() <= 0.5 + 1e-3
    assert packed_mel(Spectrogram(np.zeros((128, 1)), 100), 30) is None
    assert unpacked_mel(packed_mel(Spectrogram(np.zeros((128, 50)), 100), 30)).max() == 0
    assert unpacked_mel(packed.model_copy(update={"data": "AAAA"})) is None
    assert unpacked_mel(packed.model_copy(update={"frames": 7})) is None


def test_an_engine_fault_is_raised_with_the_utterance(tiny, demo, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(measure, "timed_stream", broken)
    item = make_items(demo, "utterance")[0]
    decoder = Decoder("simul", "simul", DecoderConfig.bundled("tiny"))
    with pytest.raises(RuntimeError, match="out of memory") as fault:
        measure.observe(tiny, decoder, item, None)
    assert item.id in fault.value.__notes__[0]


def test_a_corpus_of_none_is_refused():
    with pytest.raises(InputError, match="no transcripts"):
        make_items(Corpus("quiet", (Utterance("a", Path("a.wav"), ""),)), "utterance")


def test_running_totals_are_those_of_the_end(tiny, spoken, tmp_path):
    seen = []
    job = benchmarks.Job(tiny, load_corpus(spoken), [Decoder("offline", "offline", None)], traces=0)
    file = benchmarks.benchmark(
        job, tmp_path / "b.json", progress=lambda r: seen.append((r.done, r.rate, r.rtf))
    )
    found = file.runs[0].totals
    assert [done for done, *_ in seen] == [1, 2, 3, 4]
    assert seen[-1][1:] == (
        pytest.approx(found.texts["basic"].words.rate), pytest.approx(found.rtf)
    )  # fmt: skip


def test_help_is_on_stdout():
    done = subprocess.run([COMMAND, "--help"], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0
    assert "--intersection" in done.stdout


# Clips that cannot be read


def test_a_damaged_clip_is_skipped_by_name_and_counted(call, spoken, tmp_path):
    corpus, bad = damaged(spoken, tmp_path)
    code, out, err = call("--corpus", corpus, "--mode", "offline", "--json", "b.json")
    assert code == 0
    assert f"skipped {bad}: " in err
    assert "1.flac is cut off" in err
    assert "1 of 4 utterances skipped" in err
    file = load_benchmark(tmp_path / "b.json")
    assert (file.corpus.utterances, file.corpus.skipped) == (3, 1)
    code, out, err = call("--corpus", corpus, "--strict", "--json", "c.json")
    assert (code, out) == (2, "")
    assert f"benchmark-decoder: {bad}: " in err
    assert "load without --strict" in err
    assert not (tmp_path / "c.json").exists()


# What is left behind


def test_a_mistyped_option_leaves_nothing_in_the_way(call, spoken, tmp_path):
    arguments = ["--corpus", spoken, "--max-utterances", 1, "--json", "b.json"]
    code, _, err = call(*arguments, "--language", "Klingon")
    assert (code, err.count("\n")) == (2, 1)
    assert list(tmp_path.glob("b.json*")) == []
    # Nor does a kill before the first utterance, which leaves the head of a journal.
    with Journal(journal_path(tmp_path / "b.json")) as journal:
        journal.start({})
        journal.count = 1
    assert call(*arguments)[0] == 0


def test_an_utterance_in_an_unknown_language_is_skipped_by_name(call, spoken, tmp_path):
    rows = [json.loads(line) for line in spoken.read_text().splitlines()][:2]
    for row, language in zip(rows, ("Klingon", "English"), strict=True):
        row["language"] = language
        row["audio_filepath"] = str(spoken.parent / row["audio_filepath"])
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["--corpus", manifest, "--json", "b.json"]
    code, _, err = call(*arguments)
    assert code == 0, err
    assert f"skipped {rows[0]['id']}: " in err
    file = load_benchmark(tmp_path / "b.json")
    assert [one.id for one in file.runs[0].utterances] == [rows[1]["id"]]
    assert file.corpus.skipped == 1
    code, _, err = call(*arguments, "--strict", "--force")
    assert code == 2
    assert "Klingon" in err


def test_two_processes_do_not_write_one_benchmark(call, spoken, tmp_path):
    with Journal(journal_path(tmp_path / "b.json")) as journal:
        journal.start({})
        for more in ((), ("--force",), ("--resume",)):
            code, _, err = call("--corpus", spoken, "--json", "b.json", *more)
            assert (code, err.count("\n")) == (2, 1)
            assert "another process is writing" in err
