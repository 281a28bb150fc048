"""Benchmark files: totals against counts made by hand, published layouts, comparisons, faults."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from pydantic import ValidationError
from rich.console import Console

import alignheads
from alignheads.errors import InputError
from alignheads.evaluate.compare import compare_files, compare_runs
from alignheads.evaluate.journal import Done, add_to, done_in
from alignheads.evaluate.latency import CommittedWord, Times
from alignheads.evaluate.load import load_benchmark
from alignheads.evaluate.result import (
    BenchmarkFile,
    CorpusInfo,
    Machine,
    ModelInfo,
    Observation,
    Run,
    RunSettings,
)
from alignheads.evaluate.scores import rank_quantile, scored, totals
from alignheads.evaluate.tables import comparison_rows, comparison_title, totals_rows
from alignheads.journal import Journal, check_subject, has_lines, is_in_use
from alignheads.reports.figures.registry import benchmark_figures
from alignheads.reports.rows import headline, make_rows
from alignheads.tables import print_table

PAIRS = {  # id: (reference, hypothesis, what is wrong with it)
    "1-2-0000": ("AFTER EARLY NIGHTFALL", "After early night fall.", "one word cut in two"),
    "1-2-0001": ("HE SAID YES", "He said yes.", "nothing"),
    "1-2-0002": ("A RED HOUSE STANDS THERE", "a blue house there", "substitution, deletion"),
    "1-3-0000": ("SO IT IS", "so it is is it", "two insertions"),
    "1-3-0001": ("A FLOWER POT", "a flowerpot", "two words made one"),
}


def published_file(path, pairs=PAIRS, **changes):
    """The published layout with planted errors; figures that it states are made by hand."""
    samples = [
        {"id": id, "ref": reference, "hyp": hypothesis, "ref_norm": "ignored", "hyp_norm": "",
         "duration_s": 2.0, "infer_time_s": 0.5, "rtf": 0.25, "wer": 0.0}
        for id, (reference, hypothesis, *_) in pairs.items()
    ]  # fmt: skip
    content = {
        "model": "Qwen3-ASR-0.6B", "backend": "mlx", "mode": "simul-streaming",
        "platform": "Apple M5", "config": {"chunk_seconds": 2.0, "chapter_grouped": False},
        "n_samples": len(samples), "wer": 8 / 17, "rtf": 0.25, "per_sample": samples,
        **changes,
    }  # fmt: skip
    path.write_text(json.dumps(content))
    return path


def observation(id="a", reference="one two", hypothesis="one two", **fields):
    return Observation(
        **{"id": id, "reference": reference, "hypothesis": hypothesis, "duration_s": 2.0,
           "wall_s": 0.5, **fields}
    )  # fmt: skip


def times(delays):
    none = dict.fromkeys(
        ["first_word_s", "first_word_aware_s", "finalisation_s", "finalisation_aware_s",
         "laal_s", "laal_aware_s"]
    )  # fmt: skip
    return Times(
        gold_words=2, emitted_words=2, delays_s=delays, delays_aware_s=delays,
        start_errors_ms=[], end_errors_ms=[], **none,
    )  # fmt: skip


def run_of(observations, name="simul", mode="simul", seed=0):
    utterances = [scored(one) for one in observations]
    return Run(
        settings=RunSettings(name=name, mode=mode),
        totals=totals(utterances, mode, seed),
        memory=None,
        utterances=utterances,
    )


def file_of(*runs, **fields):
    return BenchmarkFile(
        **{
            "model": ModelInfo(name="tiny", fingerprint="0", dtype="float32"),
            "corpus": CorpusInfo(
                name="demo:test", fingerprint="0", utterances=2, group="utterance"
            ),
            "machine": Machine(platform="here", device="chip", backend="CPU"),
            "runs": list(runs),
            **fields,
        }
    )


# Totals, against counts made by hand


def test_planted_errors_are_found_and_told_apart(tmp_path):
    file = load_benchmark(published_file(tmp_path / "p.json"))
    text = file.runs[0].totals.texts["basic"]
    words = text.words
    # night fall: S + I; blue: S, stands: D; is it: I I; flowerpot: S + D.
    assert (words.substitutions, words.deletions, words.insertions) == (3, 2, 3)
    assert words.reference == 17
    assert words.rate == pytest.approx(8 / 17)
    assert text.space_only.spans == 2
    assert text.space_only.errors == 4
    assert text.space_only.cut_words == 1
    assert text.space_only.utterances_cut == 1
    assert text.space_only.rate_without == pytest.approx(4 / 17)
    assert text.zero_wer_share == pytest.approx(1 / 5)
    assert text.median_wer == pytest.approx(2 / 3)
    assert text.worst[-1] == "1-2-0002"
    assert set(text.worst) == set(PAIRS) - {"1-2-0001"}
    assert file.runs[0].totals.rtf == pytest.approx(0.25)
    assert words.low < words.rate < words.high


def test_a_file_that_gives_no_emission_times_has_no_latency_and_says_so(tmp_path):
    found = load_benchmark(published_file(tmp_path / "p.json")).runs[0].totals
    assert found.latency is None
    assert "does not say when words were emitted" in found.latency_note


def test_word_times_that_are_not_known_are_absent_and_never_zero():
    word = CommittedWord(text="one", start_s=0, end_s=1, emitted_s=2, lag_s=0.1)
    found = run_of([observation(words=[word])]).totals
    assert found.latency is None
    assert "no word times" in found.latency_note
    some = run_of([observation("a", words=[], times=times([0.5])), observation("b", words=[])])
    assert some.totals.latency.delay_s.count == 1
    assert "1 of 2 utterances have no word times" in some.totals.latency_note


def test_offline_has_no_latency():
    assert "offline" in run_of([observation()], mode="offline").totals.latency_note


def test_an_empty_reference_has_no_rate_but_its_errors_count():
    found = run_of([observation("a", "", "so it"), observation("b")]).totals.texts["basic"]
    assert found.words.insertions == 2
    assert found.words.rate == pytest.approx(2 / 2)
    assert found.zero_wer_share == 0.5
    assert found.worst == ["a"]


def test_silence_that_got_words_is_no_utterance_without_error():
    silent = [observation("silent", "", "so it was said to have been the one of them all")]
    right = [observation(name) for name in "abcd"]
    assert run_of(silent + right).totals.texts["basic"].zero_wer_share == pytest.approx(4 / 5)
    quiet = [observation("silent", "", "")]
    assert run_of(quiet + right).totals.texts["basic"].zero_wer_share == 1.0


def test_languages_without_spaces_are_scored_by_character():
    (one,) = run_of([observation("a", "你好世界", "你号世界", language="Chinese")]).utterances
    assert one.unit == "character"
    assert one.scores["basic"].wer == pytest.approx(1 / 4)
    found = run_of([observation("a", "你好世界", "你号世界", language="Chinese")]).totals
    assert found.texts["basic"].characters.reference == 4
    assert found.texts["basic"].characters.rate == pytest.approx(1 / 4)


@pytest.mark.parametrize(
    ("references", "name", "title"),
    [
        (["one two", "three"], "WER", "word error rate"),
        (["你好世界", "สวัสดี"], "CER", "character error rate"),
        (["你好 world"], "MER", "mixed error rate"),
        (["你好", "one two"], "MER", "mixed error rate"),
    ],
)
def test_rates_are_named_for_what_they_count(references, name, title, tmp_path):
    pairs = {f"1-1-{i}": (text, text) for i, text in enumerate(references)}
    file = load_benchmark(published_file(tmp_path / "p.json", pairs))
    console = Console(record=True, width=200, file=io.StringIO())
    print_table(console, *totals_rows(file))
    shown = console.export_text()
    assert f"{name} %, basic" in shown
    assert ("WER" in shown) == (name == "WER")
    assert shown.count("CER %, basic") == 1
    rows = make_rows([(tmp_path / "p.json", file)])
    drawn = benchmark_figures(rows, None)[0]
    assert title in drawn.alt
    words = {"WER": " words ", "CER": " characters ", "MER": " words and characters "}[name]
    assert words in headline(rows)


def test_the_quantile_is_that_of_the_published_tables():
    assert rank_quantile([], 0.9) is None
    assert rank_quantile([0.5], 0.9) == 0.5
    assert rank_quantile(range(10), 0.9) == 9
    assert rank_quantile(range(500), 0.9) == 450


def test_totals_are_the_same_for_the_same_seed_only():
    many = [observation(str(i), "one two", "one" if i % 3 else "one two") for i in range(40)]
    assert run_of(many).totals == run_of(many).totals
    delays = [observation(str(i), words=[], times=times([i / 7])) for i in range(11)]
    lows = {run_of(delays, seed=seed).totals.latency.delay_low_s for seed in range(3)}
    assert len(lows) > 1


# The published file itself, where it is at hand


def the_500():
    """The published file: beside the repository, or in the folder ALIGNHEADS_REFERENCE."""
    beside = Path(alignheads.__file__).parent.parent / "shared" / "reference"
    path = Path(os.environ.get("ALIGNHEADS_REFERENCE", beside)) / "m5_simul_0.6b_500.json"
    if not path.is_file():
        pytest.skip(f"the published file is not at {path}; set ALIGNHEADS_REFERENCE to its folder")
    return path


def test_the_published_500_come_to_what_they_state():
    path = the_500()
    content = json.loads(path.read_text())
    file = load_benchmark(path)
    found, text = file.runs[0].totals, file.runs[0].totals.texts["basic"]
    assert found.utterances == 500
    assert round(100 * text.words.rate, 4) == 3.2951
    assert round(100 * text.characters.rate, 4) == 0.6307
    assert round(found.rtf, 4) == 0.2626
    assert round(text.p90_wer, 4) == content["p90_wer"] == 0.1224
    assert round(text.p95_wer, 4) == content["p95_wer"] == 0.2
    assert text.median_wer == content["median_wer"] == 0
    assert round(text.words.rate, 6) == file.stated["wer"]
    assert text.space_only.spans == 99
    assert round(100 * text.space_only.rate_without, 2) == 1.40
    for sample, one in zip(content["per_sample"], file.runs[0].utterances, strict=True):
        assert one.scores["basic"].reference == sample["ref_norm"]
        assert one.scores["basic"].hypothesis == sample["hyp_norm"]
        assert one.scores["basic"].wer == pytest.approx(sample["wer"], abs=6e-5)


# Files that are wrong


def test_a_file_is_the_same_after_writing_and_reading(tmp_path):
    file = file_of(run_of([observation("a", words=[], times=times([0.5]))]))
    file.save(tmp_path / "b.json")
    assert load_benchmark(tmp_path / "b.json") == file


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: len(text) // 2], "the file seems cut off|is not JSON"),
        (lambda text: "", "is empty"),
        (lambda text: "[]", "expected a benchmark file"),
        (lambda text: "{}", "no schema_version"),
        (lambda text: text.replace('"schema_version": 1', '"schema_version": 2'), "upgrade"),
        (lambda text: text.replace('"schema_version": 1', '"schema_version": 0'), "schema_version"),
        (lambda text: text.replace('"seed": 0', '"sede": 0'), "did you mean seed"),
        (lambda text: text.replace('"seed": 0', '"seed": "0"'), "seed is '0'"),
        (lambda text: text.replace('"rate": 0.0', '"rate": NaN'), "rate"),
        (lambda text: text.replace('"rate": 0.0', '"rate": -1.0'), "rate is -1.0"),
    ],
)
def test_a_damaged_file_is_told_on_one_line(tmp_path, change, message):
    path = tmp_path / "b.json"
    file_of(run_of([observation()])).save(path)
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=message) as fault:
        load_benchmark(path)
    assert "b.json" in str(fault.value)
    assert "\n" not in str(fault.value)


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match="benchmark-decoder --json"):
        load_benchmark(tmp_path / "none.json")


def test_an_utterance_twice_is_refused():
    with pytest.raises(ValidationError, match="'a' stands twice"):
        file_of(run_of([observation("a"), observation("a")]))
    with pytest.raises(ValidationError, match="'simul' stands twice"):
        file_of(run_of([observation("a")]), run_of([observation("a")]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"per_sample": []}, "per_sample"),
        ({"per_sample": [{"id": "a", "ref": "x"}]}, "hyp"),
        ({"per_sample": [{"id": "a", "ref": "x", "hyp": 3, "duration_s": 1.0}]}, "hyp is 3"),
        ({"mode": "telepathy"}, "mode is 'telepathy'"),
        ({"model": 3}, "model is 3"),
    ],
)
def test_a_damaged_published_file(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        load_benchmark(published_file(tmp_path / "p.json", **changes))


# Comparison


def two_files(tmp_path, ours, theirs):
    file_of(run_of(ours)).save(tmp_path / "a.json")
    file_of(run_of(theirs)).save(tmp_path / "b.json")
    return str(tmp_path / "a.json"), str(tmp_path / "b.json")


def test_a_planted_difference_is_significant_and_none_is_not(tmp_path):
    right = [observation(str(i), "one two three", "one two three") for i in range(60)]
    heard = ["one too three", "one two three", "one two three"]
    wrong = [observation(str(i), "one two three", heard[i % 3]) for i in range(60)]
    (found,) = compare_files(*two_files(tmp_path, wrong, right))
    text = found.texts["basic"]
    assert text.difference.value == pytest.approx(20 / 180)
    assert text.difference.is_significant
    assert text.difference.p < 0.01
    assert (text.better, text.worse, text.same) == (0, 20, 40)
    (same,) = compare_files(*two_files(tmp_path, right, right))
    assert same.texts["basic"].difference.value == 0
    assert not same.texts["basic"].difference.is_significant
    assert same.texts["basic"].difference.p == 1.0


def test_delays_are_compared_where_both_have_them(tmp_path):
    early = [observation(str(i), words=[], times=times([0.2, 0.3])) for i in range(20)]
    late = [observation(str(i), words=[], times=times([0.7, 0.8])) for i in range(20)]
    (found,) = compare_files(*two_files(tmp_path, early, late))
    assert found.delay_s[2].value == pytest.approx(-0.5)
    (found,) = compare_files(*two_files(tmp_path, early, [observation(str(i)) for i in range(20)]))
    assert found.delay_s is None


def test_other_utterances_are_refused_or_left_out(tmp_path):
    files = two_files(tmp_path, [observation("a"), observation("b")], [observation("a")])
    with pytest.raises(InputError, match=r"'b' is in one only.*intersection=True"):
        compare_files(*files)
    (found,) = compare_files(*files, intersection=True)
    assert (found.utterances, found.left_out) == (1, 1)
    with pytest.raises(InputError, match="no utterance in common"):
        compare_files(
            *two_files(tmp_path, [observation("a")], [observation("b")]), intersection=True
        )


def test_the_same_ids_with_other_texts_are_other_utterances(tmp_path):
    files = two_files(tmp_path, [observation("a", "one two")], [observation("a", "one three")])
    with pytest.raises(InputError, match="other texts"):
        compare_files(*files, intersection=True)


def test_runs_are_found_by_name(tmp_path):
    both = [run_of([observation("a")]), run_of([observation("a")], "offline", "offline")]
    file_of(*both).save(tmp_path / "a.json")
    file_of(both[1]).save(tmp_path / "b.json")
    a, b = str(tmp_path / "a.json"), str(tmp_path / "b.json")
    assert [one.first for one in compare_files(a, b)] == ["a: offline"]
    assert [one.second for one in compare_files(f"{a}:simul", f"{a}:offline")] == ["a: offline"]
    with pytest.raises(InputError, match="no run 'nonsense'; the file has 'simul', 'offline'"):
        compare_files(f"{a}:nonsense", b)
    file_of(run_of([observation("a")], "other")).save(tmp_path / "c.json")
    with pytest.raises(InputError, match="none of the same name"):
        compare_files(a, str(tmp_path / "c.json"))


# Journal


SUBJECT = {"model": "tiny", "corpus": "0", "runs": {"simul": {"config": "1"}}}


def read_journal(path, subject):
    with Journal(path) as journal:
        return done_in(journal.go_on(subject), journal)


def begun(path, *ids):
    with Journal(path) as journal:
        journal.start(SUBJECT)
        for id in ids:
            add_to(journal, "simul", observation(id), None)


def test_a_torn_last_line_loses_one_utterance(tmp_path):
    path = tmp_path / "j.jsonl"
    begun(path, *"abc")
    whole = path.read_bytes()
    for cut in range(1, 40):
        path.write_bytes(whole[:-cut])
        assert list(read_journal(path, SUBJECT).of("simul")) == ["a", "b"], cut
    with Journal(path) as journal:
        list(journal.go_on(SUBJECT))
        add_to(journal, "simul", observation("d"), None)
    assert list(read_journal(path, SUBJECT).of("simul")) == ["a", "b", "d"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"journal_version": 9, "subject": {}}\n', "no journal"),
        ("[]\n", "no journal"),
        ("\n", "damaged"),
        ('{"run": "simul"}\n{"run"', "no journal"),
    ],
)
def test_what_is_no_journal(tmp_path, lines, message):
    (tmp_path / "j.jsonl").write_text(lines)
    with pytest.raises(InputError, match=message):
        read_journal(tmp_path / "j.jsonl", SUBJECT)


def test_a_damaged_line_in_the_middle_is_named(tmp_path):
    path = tmp_path / "j.jsonl"
    begun(path, "a")
    with path.open("a") as file:
        file.write('{"run": "simul", "observation": {"id": "b"}}\n{"x": 1}\n')
    with pytest.raises(InputError, match=r"j\.jsonl:3: the key reference is missing"):
        read_journal(path, SUBJECT)


def test_a_journal_of_nothing_leaves_nothing_and_one_is_written_by_one_process(tmp_path):
    path = tmp_path / "j.jsonl"
    begun(path)
    assert not path.exists()
    begun(path, "a")
    assert has_lines(path)
    assert not is_in_use(path)
    with Journal(path):
        assert is_in_use(path)
        with pytest.raises(InputError, match="another process is writing"):
            Journal(path)
    # One that was removed while another waited for it is no lock.
    with Journal(path) as first:
        first.remove()
        begun(path, "b")
    assert path.exists()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model", "1.7b", "model was 'tiny', now it is '1.7b'"),
        ("corpus", "1", "corpus was '0', now it is '1'"),
        ("runs", {"simul": {"config": "2"}}, "run 'simul', config was '1', now it is '2'"),
        ("runs", {}, "run 'simul', config was '1', now it is None"),
    ],
)
def test_what_differs_is_named(key, value, message):
    with pytest.raises(InputError, match=message):
        check_subject(SUBJECT, {**SUBJECT, key: value}, Path("b.json"))


def test_runs_may_be_added():
    more = {**SUBJECT, "runs": {**SUBJECT["runs"], "offline": {"config": None}}}
    check_subject(SUBJECT, more, Path("b.json"))


def test_a_finished_file_is_taken_apart_into_what_was_observed():
    seen = observation("a", words=[], times=times([0.5]))
    done = Done.from_file(file_of(run_of([seen])))
    assert done.of("simul") == {"a": seen}


def test_a_run_against_itself_has_no_difference_and_nothing_by_chance(tmp_path):
    words = [CommittedWord(text="one", start_s=0, end_s=1, emitted_s=2, lag_s=0.1)]
    seen = [observation(name, words=words, times=times([0.5])) for name in "abc"]
    run = run_of(seen)
    found = compare_runs(run, run, names=("x", "y"))
    console = Console(width=80, record=True, file=io.StringIO())
    print_table(console, *comparison_rows(found), title=comparison_title(found))
    text = console.export_text()
    assert text.count("no difference") == 3
    assert "chance" not in text
