import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from alignheads.corpora import Corpus, WordTime, load_corpus
from alignheads.corpora.demo import load_demo
from alignheads.corpora.textgrids import read_words, write_words
from alignheads.errors import InputError

WORDS = (WordTime("two", 0.2, 0.5), WordTime("words", 0.5, 0.9))


def audio(path: Path, seconds: float = 1.0, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(0, 0.1, round(seconds * 16_000))
    soundfile.write(path, noise, 16_000)
    return path


def librispeech(folder: Path, words: tuple[WordTime, ...] | None = WORDS) -> Path:
    chapter = folder / "19" / "198"
    for index in range(2):
        path = audio(chapter / f"19-198-000{index}.flac", seed=index)
        if words is not None:
            write_words(path.with_suffix(".TextGrid"), words, 1.0)
    lines = "19-198-0000 TWO WORDS\n19-198-0001 TWO WORDS\n"
    (chapter / "19-198.trans.txt").write_text(lines)
    return folder


def manifest(folder: Path, *rows: dict[str, object] | str) -> Path:
    path = folder / "set.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


def only_reason(corpus: Corpus) -> str:
    assert len(corpus.skipped) == 1
    return corpus.skipped[0].reason


# LibriSpeech layout


def test_librispeech_with_word_times(tmp_path: Path):
    corpus = load_corpus(librispeech(tmp_path))
    assert [u.id for u in corpus.utterances] == ["19-198-0000", "19-198-0001"]
    first = corpus.utterances[0]
    assert (first.text, first.language, first.speaker) == ("TWO WORDS", "English", "19")
    assert first.words == WORDS
    assert corpus.has_word_times
    assert first.read().shape == (16_000,)


def test_librispeech_without_word_times(tmp_path: Path):
    corpus = load_corpus(librispeech(tmp_path, words=None))
    assert corpus.utterances[0].words is None
    assert not corpus.has_word_times


def test_missing_audio_is_skipped_by_name_and_strict_fails(tmp_path: Path):
    librispeech(tmp_path)
    (tmp_path / "19/198/19-198-0001.flac").unlink()
    corpus = load_corpus(tmp_path)
    assert len(corpus) == 1
    assert corpus.skipped[0].id == "19-198-0001"
    assert "not found" in only_reason(corpus)
    with pytest.raises(InputError, match=r"19-198-0001: audio file not found"):
        load_corpus(tmp_path, strict=True)


def test_audio_without_a_line_is_not_lost_in_silence(tmp_path: Path):
    librispeech(tmp_path)
    audio(tmp_path / "19/198/19-198-0007.flac")
    assert "no line for 19-198-0007.flac" in only_reason(load_corpus(tmp_path))


def test_duplicate_ids_name_both_places(tmp_path: Path):
    librispeech(tmp_path)
    with (tmp_path / "19/198/19-198.trans.txt").open("a") as file:
        file.write("19-198-0000 AGAIN\n")
    with pytest.raises(InputError, match=r"trans\.txt:3: .*already used at .*trans\.txt:1"):
        load_corpus(tmp_path)


def test_an_id_cannot_name_a_file_elsewhere(tmp_path: Path):
    librispeech(tmp_path)
    (tmp_path / "19/198/19-198.trans.txt").write_text("../../x SECRET\n")
    with pytest.raises(InputError, match=r":1: '\.\./\.\./x' is not an id"):
        load_corpus(tmp_path)


def test_all_audio_missing_is_an_empty_corpus(tmp_path: Path):
    librispeech(tmp_path)
    for path in tmp_path.rglob("*.flac"):
        path.unlink()
    with pytest.raises(InputError, match=r"all 2 were skipped.*not found"):
        load_corpus(tmp_path)


# TextGrids


def mfa(folder: Path, transcript: str | None = "Two words.", words=WORDS) -> Path:
    path = audio(folder / "anna" / "a.wav")
    write_words(path.with_suffix(".TextGrid"), words, 1.0)
    if transcript is not None:
        path.with_suffix(".lab").write_text(transcript)
    return folder


def replace_in_textgrid(folder: Path, old: str, new: str) -> None:
    path = next(folder.rglob("*.TextGrid"))
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))


def test_textgrid_folder(tmp_path: Path):
    corpus = load_corpus(mfa(tmp_path), language="German")
    utterance = corpus.utterances[0]
    assert (utterance.id, utterance.speaker) == ("anna/a", "anna")
    assert (utterance.text, utterance.language) == ("Two words.", "German")
    assert utterance.words == WORDS


def test_transcript_from_the_tier(tmp_path: Path):
    assert load_corpus(mfa(tmp_path, transcript=None)).utterances[0].text == "two words"


def test_silences_go_and_unknown_words_stay(tmp_path: Path):
    words = (WordTime("sil", 0.0, 0.2), WordTime("<unk>", 0.2, 0.5), WordTime("words", 0.5, 0.9))
    utterance = load_corpus(mfa(tmp_path, words=words)).utterances[0]
    assert utterance.words is not None
    assert [word.text for word in utterance.words] == ["<unk>", "words"]


@pytest.mark.parametrize("tier", ["Words", "WORD", "anna - words"])
def test_names_of_the_words_tier(tmp_path: Path, tier: str):
    mfa(tmp_path)
    replace_in_textgrid(tmp_path, '"words"', f'"{tier}"')
    # The word itself is called the same; only its label changes too.
    assert len(read_words(next(tmp_path.rglob("*.TextGrid")))) == 2


def test_textgrid_without_words_tier_names_the_tiers(tmp_path: Path):
    mfa(tmp_path)
    replace_in_textgrid(tmp_path, 'name = "words"', 'name = "phones"')
    with pytest.raises(InputError, match=r"expected one interval tier `words`.*phones"):
        load_corpus(tmp_path)


@pytest.mark.parametrize("content", ["", "garbage", 'File type = "ooTextFile"\n', "\x00\xff"])
def test_files_that_are_no_textgrids(tmp_path: Path, content: str):
    path = tmp_path / "a.TextGrid"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=r"a\.TextGrid"):
        read_words(path)


@pytest.mark.parametrize("form", ["long_textgrid", "short_textgrid"])
def test_truncated_textgrid(tmp_path: Path, form: str):
    from praatio import textgrid

    path = tmp_path / "a.TextGrid"
    write_words(path, WORDS, 1.0)
    textgrid.openTextgrid(str(path), True).save(str(path), form, True)
    assert read_words(path) == WORDS
    content = path.read_text()
    for size in range(0, len(content.rstrip()) - 1, 7):
        path.write_text(content[:size])
        with pytest.raises(InputError, match=r"a\.TextGrid"):
            read_words(path)


def test_utf_16_textgrid(tmp_path: Path):
    path = tmp_path / "a.TextGrid"
    write_words(path, WORDS, 1.0)
    path.write_text(path.read_text(), encoding="utf-16")
    assert read_words(path) == WORDS


@pytest.mark.parametrize("transcript", ["Three words", "two", "two words more", "wordstwo"])
def test_disagreement_of_transcript_and_textgrid(tmp_path: Path, transcript: str):
    mfa(tmp_path, transcript)
    with pytest.raises(InputError, match=r"anna/a.*disagree.*'two words'"):
        load_corpus(tmp_path)


@pytest.mark.parametrize("transcript", ["TWO WORDS!", "two — words", "two-words", "two\nwords\n"])
def test_spelling_is_no_disagreement(tmp_path: Path, transcript: str):
    assert len(load_corpus(mfa(tmp_path, transcript))) == 1


def test_words_after_the_end_of_the_audio(tmp_path: Path):
    mfa(tmp_path)
    audio(tmp_path / "anna" / "a.wav", seconds=0.8)
    with pytest.raises(InputError, match=r"'words' at 0.5 to 0.9 s ends after the audio.*0.80 s"):
        load_corpus(tmp_path)
    audio(tmp_path / "anna" / "a.wav", seconds=0.86)
    assert len(load_corpus(tmp_path)) == 1


def test_what_has_no_partner_is_skipped(tmp_path: Path):
    mfa(tmp_path)
    audio(tmp_path / "b.wav")
    write_words(tmp_path / "c.TextGrid", WORDS, 1.0)
    corpus = load_corpus(tmp_path)
    assert {one.id: one.reason.split(" beside")[0] for one in corpus.skipped} == {
        "b": "no TextGrid",
        "c": "no audio file",
    }


def test_two_audio_files_of_one_name(tmp_path: Path):
    mfa(tmp_path)
    audio(tmp_path / "anna" / "a.flac")
    with pytest.raises(InputError, match="two utterances with the id 'anna/a'"):
        load_corpus(tmp_path)


def test_labels_with_quotes_survive(tmp_path: Path):
    words = (WordTime('say "hi"', 0.1, 0.4), WordTime("naïve", 0.4, 0.9))
    write_words(tmp_path / "q.TextGrid", words, 1.0)
    assert read_words(tmp_path / "q.TextGrid") == words


# Manifests


def test_manifest(tmp_path: Path):
    audio(tmp_path / "clips" / "a.flac", 2.0)
    path = manifest(
        tmp_path,
        {"audio_filepath": "clips/a.flac", "text": "two words", "duration": 1.0, "offset": 0.5,
         "language": "German", "speaker": 7, "id": "x", "words": [["two", 0.2, 0.5],
         {"word": "words", "start": 0.5, "end": 0.9}], "lang_id": "ignored"},
        "",
        {"audio_filepath": str(tmp_path / "clips" / "a.flac"), "text": "two words"},
    )  # fmt: skip
    first, second = load_corpus(path, language="English").utterances
    assert (first.id, first.language, first.speaker, first.words) == ("x", "German", "7", WORDS)
    assert len(first.read()) == 16_000
    assert (second.id, second.language, second.words) == ("a", "English", None)


def test_several_lines_of_one_file_get_their_line_numbers(tmp_path: Path):
    audio(tmp_path / "a.flac", 2.0)
    rows = [{"audio_filepath": "a.flac", "text": "t", "offset": o, "duration": 0.5} for o in (0, 1)]
    assert [u.id for u in load_corpus(manifest(tmp_path, *rows)).utterances] == ["a-1", "a-2"]


GOOD = {"audio_filepath": "a.flac", "text": "two words"}


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("{not json", "Invalid JSON"),
        ("[1, 2]", "object"),
        ("null", "object"),
        ({"text": "no path"}, "audio_filepath: Field required"),
        ({"audio_filepath": "a.flac"}, "text: Field required"),
        ({**GOOD, "audio_filepath": ""}, "audio_filepath"),
        ({**GOOD, "audio_filepath": 5}, "audio_filepath: Input should be a valid string"),
        ({**GOOD, "duration": -1}, "duration"),
        ({**GOOD, "duration": float("nan")}, "duration"),
        ({**GOOD, "offset": -0.5}, "offset"),
        ({**GOOD, "words": [["two", 0.2]]}, "[text, start, end]"),
        ({**GOOD, "words": [["two", 0.5, 0.2]]}, "ends before it starts"),
        ({**GOOD, "words": [["two", -0.5, 0.2]]}, "start"),
        ({**GOOD, "words": "two"}, "words"),
    ],
)
def test_malformed_lines_name_file_and_line(tmp_path: Path, bad: object, says: str):
    audio(tmp_path / "a.flac")
    path = manifest(tmp_path, {**GOOD, "id": "first"}, "", bad)  # type: ignore[arg-type]
    with pytest.raises(InputError) as caught:
        load_corpus(path)
    assert f"{path}:3: " in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_manifest_that_is_not_text(tmp_path: Path):
    path = tmp_path / "set.jsonl"
    path.write_bytes(b'{"audio_filepath": "\xff\xfe"}\n')
    with pytest.raises(InputError, match=r"set\.jsonl:1: not UTF-8"):
        load_corpus(path)


def test_byte_order_mark_is_no_error(tmp_path: Path):
    audio(tmp_path / "a.flac")
    path = tmp_path / "set.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\r\n")
    assert len(load_corpus(path)) == 1


def test_duplicate_ids_in_a_manifest(tmp_path: Path):
    audio(tmp_path / "a.flac")
    path = manifest(tmp_path, {**GOOD, "id": "x"}, {**GOOD, "id": "x"})
    with pytest.raises(InputError, match=r"set\.jsonl:2: the id 'x' was already used on line 1"):
        load_corpus(path)


def test_manifest_asks_for_more_than_the_file_has(tmp_path: Path):
    audio(tmp_path / "a.flac")
    audio(tmp_path / "b.flac")
    path = manifest(
        tmp_path, {**GOOD, "duration": 3.0}, {"audio_filepath": "b.flac", "text": "fine"}
    )
    assert "3 s of" in only_reason(load_corpus(path))


def test_manifest_words_may_lack_a_time_but_not_differ(tmp_path: Path):
    audio(tmp_path / "a.flac")
    words = [["words", 0.5, 0.9]]
    assert len(load_corpus(manifest(tmp_path, {**GOOD, "words": words}))) == 1
    words = [["words", 0.2, 0.5], ["two", 0.5, 0.9]]
    with pytest.raises(InputError, match="disagree"):
        load_corpus(manifest(tmp_path, {**GOOD, "words": words}))


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_empty_manifest(tmp_path: Path, content: str):
    path = tmp_path / "set.jsonl"
    path.write_text(content)
    with pytest.raises(InputError, match=r"no utterance in .*set\.jsonl: looked for JSON lines"):
        load_corpus(path)


# CTM


def test_ctm(tmp_path: Path):
    audio(tmp_path / "wav" / "a.wav")
    lines = ";; comment\na 1 0.0 0.2 <eps>\na 1 0.20 0.30 two 0.99\na 1 0.50 0.40 words 0.98\n"
    (tmp_path / "all.ctm").write_text(lines)
    for spec in (tmp_path, tmp_path / "all.ctm"):
        utterance = load_corpus(spec, language="English").utterances[0]
        assert (utterance.id, utterance.text) == ("a", "two words")
        assert utterance.words is not None
        assert [w.end_s for w in utterance.words] == pytest.approx([0.5, 0.9])


@pytest.mark.parametrize("bad", ["a 1 0.2", "a 1 x 0.3 two", "a 1 0.2 -1 two", "a 1 nan 0.3 two"])
def test_malformed_ctm_lines(tmp_path: Path, bad: str):
    audio(tmp_path / "a.wav")
    (tmp_path / "all.ctm").write_text(f"a 1 0.2 0.3 two\n{bad}\n")
    with pytest.raises(InputError, match=r"all\.ctm:2: "):
        load_corpus(tmp_path)


def test_ctm_skips(tmp_path: Path):
    for name in ("a", "stereo", "untimed"):
        audio(tmp_path / f"{name}.wav")
    lines = "a 1 0.2 0.3 two\ngone 1 0 1 x\nstereo A 0 0.1 x\nstereo B 0.2 0.1 y\n"
    (tmp_path / "all.ctm").write_text(lines)
    corpus = load_corpus(tmp_path)
    assert [u.id for u in corpus.utterances] == ["a"]
    assert {one.id for one in corpus.skipped} == {"gone", "stereo", "untimed"}


# Names


def test_unknown_name_lists_the_nearest_first():
    with pytest.raises(InputError, match=r"known names are librispeech:dev-clean, "):
        load_corpus("librispeach:dev-clean")
    with pytest.raises(InputError, match=r"known names are demo:test, "):
        load_corpus("demo:tst")


@pytest.mark.parametrize("spec", ["", "nowhere/at/all", Path("demo-not-there")])
def test_what_is_no_corpus(spec: str | Path):
    with pytest.raises(InputError, match="no corpus"):
        load_corpus(spec)


def test_empty_folder_says_what_was_looked_for(tmp_path: Path):
    with pytest.raises(InputError, match=r"no corpus in .*looked for \*\.trans\.txt"):
        load_corpus(tmp_path)


def test_folder_with_a_manifest_points_to_it(tmp_path: Path):
    audio(tmp_path / "a.flac")
    manifest(tmp_path, GOOD)
    with pytest.raises(InputError, match=r"give .*set\.jsonl"):
        load_corpus(tmp_path)


def test_other_files_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="is not a corpus"):
        load_corpus(audio(tmp_path / "a.flac"))


def test_demo_splits(tmp_path: Path):
    for index, split in enumerate(("discover", "dev", "test")):
        chapter = tmp_path / split / "eve" / f"{index}"
        path = audio(chapter / f"eve-{index}-0000.flac")
        write_words(path.with_suffix(".TextGrid"), WORDS, 1.0)
        (chapter / f"eve-{index}.trans.txt").write_text(f"eve-{index}-0000 two words\n")
    assert [u.id for u in load_demo(folder=tmp_path).utterances] == ["eve-0-0000"]
    assert load_demo("test", folder=tmp_path).name == "demo:test"
    everything = load_demo("all", folder=tmp_path)
    assert len(everything) == 3
    assert everything.has_word_times
    with pytest.raises(InputError, match="demo corpus is missing"):
        load_demo("dev", folder=tmp_path / "nothing")
