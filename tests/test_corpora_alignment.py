import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from alignheads.corpora import Corpus, Utterance, WordTime, export, load_corpus
from alignheads.corpora.aligners import AlignmentFailed
from alignheads.corpora.alignment import align_utterances, default_aligner
from alignheads.corpora.cli import main
from alignheads.corpora.pronunciation import english_spelling, pronounce
from alignheads.corpora.textgrids import write_words
from alignheads.corpora.words import repair
from alignheads.errors import InputError
from alignheads.journal import Journal, journal_path
from alignheads.runtime.models.aligners import make_aligner


class EvenAligner:
    """Spreads the words evenly over the audio."""

    name = "even"

    def __init__(self, version: str = "1") -> None:
        self.version = version
        self.calls = 0

    def align(self, samples: np.ndarray, text: str, language: str | None) -> list[WordTime]:
        self.calls += 1
        words = text.split()
        if "unalignable" in words:
            raise AlignmentFailed("no path")
        length_s = len(samples) / 16_000 / max(1, len(words))
        return [WordTime(w, i * length_s, (i + 1) * length_s) for i, w in enumerate(words)]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    utterances = []
    for index, text in enumerate(["one two", "three", ""]):
        path = tmp_path / f"u{index}.flac"
        soundfile.write(path, np.random.default_rng(index).normal(0, 0.1, 16_000), 16_000)
        utterances.append(Utterance(f"u{index}", path, text, "English"))
    return Corpus("test", tuple(utterances))


def words_of(*times: tuple[float, float]) -> list[WordTime]:
    return [WordTime(f"w{i}", start, end) for i, (start, end) in enumerate(times)]


# Repair


def test_good_times_are_left_alone():
    words = words_of((0.0, 0.4), (0.4, 0.5), (0.6, 1.0))
    repaired, repairs = repair(words, 1.0)
    assert list(repaired) == words
    assert repairs == type(repairs)()


def test_words_out_of_order_are_dropped():
    repaired, repairs = repair(words_of((0.0, 0.2), (0.8, 0.9), (0.2, 0.4), (0.4, 0.6)), 1.0)
    assert [word.text for word in repaired] == ["w0", "w2", "w3"]
    assert repairs.out_of_order_dropped == 1


def test_overlaps_are_trimmed():
    repaired, repairs = repair(words_of((0.0, 0.5), (0.3, 0.6)), 1.0)
    assert repaired[0].end_s == 0.3
    assert repairs.overlaps_trimmed == 1


def test_words_of_no_length_are_widened_or_dropped():
    repaired, repairs = repair(words_of((0.0, 0.3), (0.4, 0.4), (0.5, 0.8)), 1.0)
    assert (repaired[1].start_s, repaired[1].end_s) == pytest.approx((0.36, 0.44))
    assert repairs.zero_length_widened == 1
    repaired, repairs = repair(words_of((0.0, 0.4), (0.4, 0.4), (0.4, 0.8)), 1.0)
    assert [word.text for word in repaired] == ["w0", "w2"]
    assert repairs.zero_length_dropped == 1


def test_words_past_the_end():
    repaired, repairs = repair(words_of((0.5, 1.03), (0.9, 1.5), (1.2, 1.6)), 1.0)
    assert [word.end_s for word in repaired] == [0.9, 1.0]
    assert (repairs.past_end_trimmed, repairs.past_end_dropped) == (1, 1)


def test_times_that_are_no_numbers_are_dropped():
    repaired, repairs = repair(words_of((math.nan, 0.3), (0.3, math.inf), (0.5, 0.6)), 1.0)
    assert [word.text for word in repaired] == ["w2"]
    assert repairs.past_end_dropped == 2


def test_whatever_comes_in_order_comes_out():
    dice = np.random.default_rng(0)
    for _ in range(300):
        times = [(float(a), float(b)) for a, b in np.round(dice.uniform(-0.2, 1.3, (8, 2)), 1)]
        repaired, repairs = repair(words_of(*times), 1.0)
        edges = [edge for word in repaired for edge in (word.start_s, word.end_s)]
        assert edges == sorted(edges)
        assert all(0 <= edge <= 1.0 for edge in edges)
        assert all(word.end_s > word.start_s for word in repaired)
        lost = repairs.out_of_order_dropped + repairs.zero_length_dropped + repairs.past_end_dropped
        assert len(repaired) + lost == 8


# Corpora


def test_words_are_filled_in_and_counted(corpus: Corpus):
    aligned = align_utterances(corpus, EvenAligner())
    assert aligned.utterances[0].words == (WordTime("one", 0.0, 0.5), WordTime("two", 0.5, 1.0))
    assert aligned.utterances[2].words == ()
    assert aligned.has_word_times
    assert (aligned.counts.utterances, aligned.counts.words) == (3, 3)
    assert aligned.aligner == "even (1)"
    assert len(aligned.sample(2, seed=0)) == 2


def test_what_cannot_be_aligned_is_skipped_by_name(corpus: Corpus, tmp_path: Path):
    first, second, third = corpus.utterances
    (tmp_path / "u1.flac").write_bytes(b"broken")
    bad = replace(first, id="bad", text="unalignable")
    aligned = align_utterances(Corpus("test", (first, bad, second, third)), EvenAligner())
    assert [u.id for u in aligned.utterances] == ["u0", "u2"]
    assert [one.id for one in aligned.skipped] == ["bad", "u1"]
    with pytest.raises(InputError, match="no path"):
        align_utterances(Corpus("test", (bad,)), EvenAligner())


def test_words_of_the_transcript_without_a_time_are_counted(corpus: Corpus):
    class Forgetful(EvenAligner):
        def align(self, samples: np.ndarray, text: str, language: str | None) -> list[WordTime]:
            return super().align(samples, text, language)[:1]

    counts = align_utterances(corpus, Forgetful()).counts
    assert counts.untimed_words == 1
    assert "1 words of the transcripts have no time" in counts.lines()


def test_gold_keeps_the_times_and_skips_who_has_none(corpus: Corpus):
    words = (WordTime("one", 0.1, 0.4), WordTime("two", 0.4, 0.9))
    timed = replace(corpus.utterances[0], words=words)
    mixed = Corpus("mixed", (timed, *corpus.utterances[1:]))
    assert default_aligner(mixed) == "qwen3"
    assert default_aligner(Corpus("gold", (timed,))) == "gold"
    aligned = align_utterances(mixed, make_aligner("gold"))
    assert aligned.utterances == (timed,)
    assert [one.reason for one in aligned.skipped] == ["it has no gold word times"] * 2


# Cache


def test_cache_is_used_and_keyed(corpus: Corpus, tmp_path: Path):
    cache = tmp_path / "cache.jsonl"
    first, again, newer = EvenAligner(), EvenAligner(), EvenAligner("2")
    before = align_utterances(corpus, first, cache)
    after = align_utterances(corpus, again, cache)
    assert (first.calls, again.calls) == (3, 0)
    assert after.utterances == before.utterances
    assert after.counts.from_cache == 3
    align_utterances(corpus, newer, cache)
    assert newer.calls == 3
    row = json.loads(cache.read_text().splitlines()[0])
    assert (row["aligner"], row["version"], row["text"]) == ("even", "1", "one two")


def test_cache_sees_other_text_audio_and_part(corpus: Corpus, tmp_path: Path):
    cache, aligner = tmp_path / "cache.jsonl", EvenAligner()
    utterance = corpus.utterances[0]
    copy = tmp_path / "copy.flac"
    copy.write_bytes(utterance.audio_path.read_bytes())
    other = corpus.utterances[1].audio_path
    for changed, calls in (
        (utterance, 1),
        (replace(utterance, audio_path=copy, id="elsewhere"), 1),
        (replace(utterance, text="two one"), 2),
        (replace(utterance, audio_path=other), 3),
        (replace(utterance, offset_s=0.5), 4),
    ):
        align_utterances(Corpus("test", (changed,)), aligner, cache)
        assert aligner.calls == calls


def test_a_line_cut_off_by_a_kill_is_done_again(corpus: Corpus, tmp_path: Path):
    cache = tmp_path / "cache.jsonl"
    align_utterances(corpus, EvenAligner(), cache)
    cache.write_text(cache.read_text()[:-30])
    aligner = EvenAligner()
    align_utterances(corpus, aligner, cache)
    assert aligner.calls == 1
    aligner = EvenAligner()
    align_utterances(corpus, aligner, cache)
    assert aligner.calls == 0


def test_a_file_that_is_no_cache_is_left_as_it_is(corpus: Corpus, tmp_path: Path):
    cache = tmp_path / "thesis.txt"
    cache.write_text("years of work\nno newline at the end")
    with pytest.raises(InputError, match="is no file of word times"):
        align_utterances(corpus, EvenAligner(), cache)
    assert cache.read_text() == "years of work\nno newline at the end"
    with pytest.raises(InputError, match="alignment cache"):
        align_utterances(corpus, EvenAligner(), tmp_path)


# Aligners


def test_unknown_aligner_and_gold_without_corpus():
    with pytest.raises(InputError, match="known are gold, qwen3, pocketsphinx"):
        make_aligner("mfa")
    with pytest.raises(InputError, match="come with the corpus"):
        make_aligner("gold").align(np.zeros(1000, np.float32), "x", None)


def test_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(InputError, match=r"pip install '\.\[pocketsphinx\]'"):
        make_aligner("pocketsphinx")


def test_qwen3_without_weights_stops_the_run(corpus: Corpus, tmp_path: Path):
    from alignheads.runtime.models.qwen3.aligner import Qwen3Aligner

    # A folder without weights fails as a missing network does, without asking the network.
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"cannot load the weights of .*pocketsphinx"):
        align_utterances(corpus, Qwen3Aligner(str(tmp_path)))


def test_qwen3_words_are_those_of_the_transcript(monkeypatch: pytest.MonkeyPatch):
    from types import SimpleNamespace

    from mlx_qwen3_asr import ForcedAligner

    items = [
        SimpleNamespace(text=t, start_time=s, end_time=s) for t, s in (("Hi", 0.1), ("dont", 1))
    ]
    # The engine's own aligner, without its weights.
    monkeypatch.setattr(ForcedAligner, "_ensure_loaded", lambda self: None)
    monkeypatch.setattr(ForcedAligner, "align", lambda self, samples, text, language: items)
    aligner = make_aligner("qwen3")
    words = aligner.align(np.zeros(32_000, np.float32), "Hi, — don’t!", "English")
    assert [word.text for word in words] == ["Hi,", "don’t!"]
    assert [word.start_s for word in words] == [0.1, 1]
    # Chinese has more words than spaces: the aligner's own are kept.
    words = aligner.align(np.zeros(32_000, np.float32), "你好", "Chinese")
    assert [word.text for word in words] == ["Hi", "dont"]
    # Of Korean it gives particles apart, which no decoder writes so.
    pieces = [("오늘", 0), ("은", 0.4), ("회의", 1), ("가", 1.2)]
    items[:] = [SimpleNamespace(text=t, start_time=s, end_time=s + 0.2) for t, s in pieces]
    words = aligner.align(np.zeros(32_000, np.float32), "오늘은 회의가!", "Korean")
    assert [(word.text, word.start_s, word.end_s) for word in words] == [
        ("오늘은", 0, 0.6000000000000001), ("회의가!", 1, 1.4),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("word", "phones"),
    [("shape", "SH AE P"), ("Brontë's", "B R AA N T Z"), ("42", "F AO R T UW"), ("—", None)],
)
def test_pronunciation_by_rule(word: str, phones: str | None):
    assert pronounce(english_spelling(word)) == phones


def test_pocketsphinx_leaves_out_what_has_no_sound_and_adds_what_it_does_not_know():
    pytest.importorskip("pocketsphinx", reason="the extra pocketsphinx is not installed")
    aligner = make_aligner("pocketsphinx")
    (clip,) = (u for u in load_corpus("demo").utterances if u.text == "we'll open my summer")
    samples = clip.read()
    plain = aligner.align(samples, clip.text, "English")
    words = aligner.align(samples, "We'll-open — my, Ω summur", "English")
    assert [word.text for word in words] == ["We'll-open", "my,", "summur"]
    assert (words[0].start_s, words[0].end_s) == (plain[0].start_s, plain[1].end_s)
    assert (words[1].start_s, words[1].end_s) == (plain[2].start_s, plain[2].end_s)
    assert (words[2].start_s, words[2].end_s) == pytest.approx(
        (plain[3].start_s, plain[3].end_s), abs=0.1
    )
    assert aligner.unknown_words("my, summur") == ["summur"]  # type: ignore[attr-defined]
    assert aligner.align(samples, "— …", None) == []


def test_pocketsphinx_refuses_one_utterance_not_the_run():
    pytest.importorskip("pocketsphinx", reason="the extra pocketsphinx is not installed")
    aligner = make_aligner("pocketsphinx")
    samples = np.random.default_rng(0).normal(0, 0.01, 1_600).astype(np.float32)
    with pytest.raises(AlignmentFailed, match="knows English, not German"):
        aligner.align(samples, "eins", "German")
    with pytest.raises(AlignmentFailed, match="no path"):
        aligner.align(samples, "far more words than a tenth of a second can hold", None)


def test_pocketsphinx_against_gold_times_in_any_order():
    pytest.importorskip("pocketsphinx", reason="the extra pocketsphinx is not installed")
    demo = load_corpus("demo").sample(6, seed=0)
    blank = Corpus("demo", tuple(replace(u, words=None) for u in demo.utterances))
    back = Corpus("demo", blank.utterances[::-1])
    aligned = align_utterances(blank, make_aligner("pocketsphinx"))
    assert align_utterances(back, make_aligner("pocketsphinx")).utterances[::-1] == (
        aligned.utterances
    )
    gold = {u.id: u.words or () for u in demo.utterances}
    errors = [
        abs(ours.start_s - theirs.start_s)
        for utterance in aligned.utterances
        for ours, theirs in zip(utterance.words or (), gold[utterance.id], strict=True)
    ]
    assert len(aligned) == 6
    assert np.median(errors) < 0.03


# The command


def align_corpus(*arguments: object) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys; sys.argv[0] = 'align-corpus'; from alignheads.corpora.cli import main; main()"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def manifest(corpus: Corpus, tmp_path: Path) -> Path:
    rows = [
        {
            "audio_filepath": "u0.flac",
            "text": "one two",
            "words": [["one", 0, 0.5], ["two", 0.5, 1]],
        },
        {"audio_filepath": "u1.flac", "text": "three", "words": [["three", 0.1, 0.1]]},
        {"audio_filepath": "gone.flac", "text": "four", "words": []},
    ]
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_align_corpus_writes_a_corpus_again(manifest: Path, tmp_path: Path):
    out = tmp_path / "out"
    done = align_corpus(manifest, "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(out / "manifest.jsonl")
    assert "3 words of 2 utterances with times" in done.stderr
    assert "1 words of no length were widened" in done.stderr
    assert "gone: audio file not found" in done.stderr
    assert sorted(p.name for p in out.iterdir()) == ["manifest.jsonl", "u0.TextGrid", "u1.TextGrid"]
    again = load_corpus(out / "manifest.jsonl", strict=True)
    assert again.utterances[0].words == (WordTime("one", 0, 0.5), WordTime("two", 0.5, 1.0))
    done = align_corpus(manifest, "--out", out)
    assert done.returncode == 2
    assert "--force" in done.stderr
    assert done.stderr.count("\n") == 1
    assert align_corpus(manifest, "--out", out, "--force").returncode == 0


def test_what_cannot_be_read_is_skipped_by_name_though_its_times_are_gold(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    cut = tmp_path / "u1.flac"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    for strict in ((), ("--strict",)):
        arguments = [manifest, "--out", tmp_path / "out", *strict]
        monkeypatch.setattr(sys, "argv", ["align-corpus", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        err = capsys.readouterr().err
        assert stop.value.code == (2 if strict else 0)
        assert ("gone: " if strict else "u1: ") in err
    assert [one.id for one in load_corpus(tmp_path / "out" / "manifest.jsonl").utterances] == ["u0"]


def test_align_corpus_goes_on_where_it_was_stopped(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["align-corpus", str(manifest), *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, capsys.readouterr().err

    write, written = export.write_words, []

    def stops(path, *given):
        if written:
            raise KeyboardInterrupt
        written.append(path)
        write(path, *given)

    with monkeypatch.context() as patched:
        patched.setattr(export, "write_words", stops)
        assert call("--out", tmp_path / "out")[0] == 130
    assert not (tmp_path / "out" / "manifest.jsonl").exists()
    with Journal(journal_path(tmp_path / "out" / "manifest.jsonl")):
        code, err = call("--out", tmp_path / "out")
        assert (code, "another process is writing" in err) == (2, True)
    assert call("--out", tmp_path / "out") == (0, call("--out", tmp_path / "whole")[1])
    texts = [
        {path.name: path.read_text() for path in (tmp_path / name).iterdir()}
        for name in ("out", "whole")
    ]
    assert texts[0] == texts[1]
    # What the word times are from is no place for word times.
    manifest.rename(tmp_path / "manifest.jsonl")
    manifest = tmp_path / "manifest.jsonl"
    code, err = call("--out", tmp_path, "--force")
    assert code == 2
    assert "manifest.jsonl is read by this command" in err


def test_word_times_are_the_same_from_the_cache_and_anew(corpus: Corpus, tmp_path: Path):
    corpus = replace(corpus, utterances=tuple(replace(u, words=None) for u in corpus.utterances))
    cache = tmp_path / "cache.jsonl"
    first, again = (align_utterances(corpus, EvenAligner(), cache) for _ in range(2))
    assert [u.words for u in first.utterances] == [u.words for u in again.utterances]


def test_gold_textgrids_are_not_overwritten_and_long_ids_are_refused(tmp_path: Path):
    soundfile.write(tmp_path / "a.flac", np.zeros(16_000), 16_000)
    write_words(tmp_path / "a.TextGrid", [WordTime("one", 0.1, 0.5)], 1.0)
    corpus = load_corpus(tmp_path)
    with pytest.raises(InputError, match="is read by this command"):
        export.export_plan(corpus, tmp_path, root=tmp_path, force=True)
    long = replace(corpus, utterances=(replace(corpus.utterances[0], id="x" * 300),))
    with pytest.raises(InputError, match="is too long for a file name"):
        export.export_plan(long, tmp_path / "out", root=tmp_path / "elsewhere")


def test_align_corpus_beside_the_audio(tmp_path: Path):
    chapter = tmp_path / "1" / "2"
    chapter.mkdir(parents=True)
    soundfile.write(chapter / "1-2-0000.flac", np.zeros(16_000), 16_000)
    (chapter / "1-2.trans.txt").write_text("1-2-0000 \n")
    from alignheads.corpora.export import export_plan, write_alignment

    corpus = load_corpus(tmp_path)
    plan = export_plan(corpus, tmp_path, root=tmp_path)
    write_alignment(align_utterances(corpus, EvenAligner()), plan, tmp_path)
    assert (chapter / "1-2-0000.TextGrid").exists()
    assert load_corpus(tmp_path).has_word_times


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere", "--out", "OUT"], "no corpus 'nowhere'"),
        (["SET", "--out", "OUT", "--aligner", "mfa"], "no aligner 'mfa'"),
        (["SET", "--out", "OUT", "--clips", "0"], "expected 1 or more"),
        (["SET", "--out", "OUT", "--strict"], "gone: audio file not found"),
        (["SET"], "--out"),
        (["SET", "--out", "SET"], "cannot write"),
    ],
)
def test_align_corpus_refuses_in_one_line(
    manifest: Path, tmp_path: Path, arguments: list[str], says: str
):
    places = {"SET": str(manifest), "OUT": str(tmp_path / "out")}
    done = align_corpus(*(places.get(one, one) for one in arguments))
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_ids_cannot_leave_the_folder(manifest: Path, tmp_path: Path):
    rows = [{"audio_filepath": "u0.flac", "text": "one", "id": "../../evil", "words": []}]
    manifest.write_text(json.dumps(rows[0]) + "\n")
    done = align_corpus(manifest, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "'../../evil' is no file name" in done.stderr
