"""Speech as other projects keep it: audiofolder and Parquet of `datasets`, cuts of Lhotse."""

import gzip
import json
import sys

import numpy as np
import pytest
import soundfile

from alignheads import InputError, load_corpus


def noise(path, seconds=3.0, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(len(path.name)).normal(0, 0.1, (int(seconds * 16000), channels))
    soundfile.write(path, samples.astype(np.float32), 16000)
    return path


# audiofolder


def audiofolder(folder, text, name="metadata.csv", files=("a.wav",)):
    folder.mkdir(exist_ok=True)
    for file in files:
        noise(folder / file, 1.0)
    (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("column", ["transcription", "text", "transcript", "sentence"])
def test_a_csv_with_any_usual_name_of_the_transcript(tmp_path, column):
    folder = audiofolder(
        tmp_path / "x", f'file_name,{column},speaker_id,age\na.wav,"so, yes",7,30\n'
    )
    corpus = load_corpus(folder, language="English")
    (one,) = corpus.utterances
    assert (one.id, one.text, one.speaker, one.language) == ("a", "so, yes", "7", "English")
    assert len(one.read()) == 16000
    assert load_corpus(folder / "metadata.csv").utterances[0].id == "a"


def test_json_lines_with_word_times_and_splits_with_the_same_names(tmp_path):
    for split in ("train", "test"):
        row = {
            "file_name": "clips/a.wav",
            "text": "one two",
            "words": [["one", 0.1, 0.2], ["two", 0.3, 0.4]],
        }
        audiofolder(tmp_path / split, json.dumps(row), "metadata.jsonl", ["clips/a.wav", "b.wav"])
    corpus = load_corpus(tmp_path)
    assert [one.id for one in corpus.utterances] == ["test/clips/a", "train/clips/a"]
    assert corpus.has_word_times


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file_name,transcription\na.wav,so, yes\n", "more cells than columns"),
        ('file_name,transcription\na.wav,"so\n', "not CSV"),
        ("path,transcription\na.wav,so\n", "no file_name"),
        ("file_name,label\na.wav,dog\n", "no transcript: none of the columns text"),
        ("file_name,text,id\na.wav,so,1\na.wav,no,1\n", "the id '1' was already used"),
        ("file_name,text\n", "no utterance in"),
    ],
)
def test_a_bad_table_is_told_with_its_line(tmp_path, text, message):
    folder = audiofolder(tmp_path / "x", text)
    with pytest.raises(InputError, match=message):
        load_corpus(folder)


def test_a_missing_file_is_skipped_with_the_reason(tmp_path):
    folder = audiofolder(tmp_path / "x", "file_name,text\na.wav,so\ngone.wav,no\n")
    corpus = load_corpus(folder)
    assert [(one.id, "not found" in one.reason) for one in corpus.skipped] == [("gone", True)]
    with pytest.raises(InputError, match="gone"):
        load_corpus(folder, strict=True)


def test_a_table_that_is_not_utf8_is_refused(tmp_path):
    folder = audiofolder(tmp_path / "x", "")
    (folder / "metadata.csv").write_bytes(b"file_name,text\na.wav,\xff\n")
    with pytest.raises(InputError, match="not UTF-8"):
        load_corpus(folder)


# Parquet


def parquet(path, rows, kind="parquet"):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as files

    table = pyarrow.Table.from_pylist(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "parquet":
        files.write_table(table, path)
    else:
        with pyarrow.ipc.new_stream(str(path), table.schema) as stream:
            stream.write_table(table)
    return path


def audio_row(tmp_path, name="a.flac", text="so", **cells):
    content = noise(tmp_path / "source" / name, 1.0).read_bytes()
    return {"audio": {"bytes": content, "path": name}, "text": text, **cells}


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_audio_in_a_table_is_unpacked_once_and_read(tmp_path, kind):
    rows = [audio_row(tmp_path, f"{name}.flac", name, speaker_id=3) for name in ("so", "yes")]
    path = parquet(tmp_path / "data" / f"train-00000.{kind}", rows, kind)
    cache = tmp_path / "cache"
    corpus = load_corpus(path.parent, cache_dir=cache, language="English")
    assert [(one.id, one.text, one.speaker) for one in corpus.utterances] == [
        ("so", "so", "3"), ("yes", "yes", "3"),
    ]  # fmt: skip
    expected, _ = soundfile.read(tmp_path / "source" / "so.flac", dtype="float32")
    np.testing.assert_array_equal(corpus.utterances[0].read(), expected)
    files = {one: one.stat().st_mtime_ns for one in (cache / "parquet").iterdir()}
    assert len(files) == 2
    again = load_corpus(path, cache_dir=cache)
    assert again.fingerprint == load_corpus(path, cache_dir=tmp_path / "other").fingerprint
    assert {one: one.stat().st_mtime_ns for one in (cache / "parquet").iterdir()} == files


def test_a_half_written_file_in_the_cache_is_written_anew(tmp_path):
    path = parquet(tmp_path / "t.parquet", [audio_row(tmp_path)])
    load_corpus(path, cache_dir=tmp_path)
    (file,) = (tmp_path / "parquet").iterdir()
    file.write_bytes(b"torn")
    assert len(load_corpus(path, cache_dir=tmp_path).utterances[0].read()) == 16000


def test_paths_beside_the_table_no_paths_and_no_audio(tmp_path):
    beside = noise(tmp_path / "b.wav", 1.0)
    content = beside.read_bytes()
    rows = [
        {"audio": {"bytes": None, "path": "b.wav"}, "text": "beside"},
        {"audio": {"bytes": content, "path": None}, "text": "nameless"},
        {"audio": None, "text": "nothing"},
    ]
    corpus = load_corpus(parquet(tmp_path / "t.parquet", rows), cache_dir=tmp_path)
    assert [one.id for one in corpus.utterances] == ["b", "t-1"]
    assert [(one.id, "has no audio" in one.reason) for one in corpus.skipped] == [("t-2", True)]


def test_names_that_repeat_get_numbers(tmp_path):
    rows = [audio_row(tmp_path, text=text) for text in ("so", "yes")]
    corpus = load_corpus(parquet(tmp_path / "t.parquet", rows), cache_dir=tmp_path)
    assert [one.id for one in corpus.utterances] == ["a-0", "a-1"]


def test_a_table_that_is_none_or_has_no_audio_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"t\.parquet cannot be read"):
        load_corpus(tmp_path / "t.parquet")
    path = parquet(tmp_path / "n.parquet", [{"text": "so", "label": 1}])
    with pytest.raises(InputError, match="no column of audio among text, label"):
        load_corpus(path)


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install '\.\[parquet\]'"):
        load_corpus(tmp_path / "t.parquet")


# Lhotse


def supervision(start, text, words=True, cut_start=0.0, **fields):
    """Its start is from that of the cut, the words' starts are from that of the recording."""
    one = {"id": f"s{start}", "recording_id": "a", "start": start, "duration": 0.9, "text": text}
    if words:
        one["alignment"] = {
            "word": [
                [word, cut_start + start + 0.3 * n, 0.2, None]
                for n, word in enumerate(text.split())
            ]
        }
    return one | fields


def cut(id="c", start=0.0, duration=3.0, supervisions=(), source="a.wav", **fields):
    recording = {
        "id": "a", "sampling_rate": 16000, "num_samples": 48000, "duration": 3.0,
        "sources": [{"type": "file", "channels": [0], "source": source}], "channel_ids": [0],
    }  # fmt: skip
    one = {"id": id, "start": start, "duration": duration, "channel": 0, "type": "MonoCut"}
    return one | {"supervisions": list(supervisions), "recording": recording} | fields


def manifest(folder, *cuts, name="cuts.jsonl"):
    noise(folder / "a.wav")
    content = "".join(json.dumps(one) + "\n" for one in cuts).encode()
    (folder / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    return folder / name


@pytest.mark.parametrize("name", ["cuts.jsonl", "cuts_dev.jsonl.gz"])
def test_a_cut_is_an_utterance_and_its_supervisions_its_text(tmp_path, name):
    said = [
        supervision(1.5, "again", language="en"),
        supervision(0.5, "hello there", speaker="bob"),
    ]
    corpus = load_corpus(manifest(tmp_path, cut(supervisions=said), name=name))
    assert corpus.name == name.partition(".")[0]
    (one,) = corpus.utterances
    assert (one.text, one.language, one.speaker) == ("hello there again", "en", "bob")
    assert [(w.text, w.start_s) for w in one.words] == [
        ("hello", 0.5),
        ("there", 0.8),
        ("again", 1.5),
    ]


def test_a_cut_of_a_part_has_its_words_at_their_times_in_it(tmp_path):
    part = cut("p", 1.0, 1.5, [supervision(0.2, "so", cut_start=1.0)])
    (one,) = load_corpus(manifest(tmp_path, part)).utterances
    assert [(w.text, w.start_s, w.end_s) for w in one.words] == [("so", 0.2, 0.4)]
    assert len(one.read()) == 24000


def test_a_supervision_without_words_leaves_the_cut_without(tmp_path):
    said = [supervision(0.0, "so"), supervision(0.5, "yes", words=False)]
    (one,) = load_corpus(manifest(tmp_path, cut(supervisions=said))).utterances
    assert one.words is None
    assert one.text == "so yes"


def test_a_path_from_the_current_folder_as_lhotse_has_it(tmp_path, monkeypatch):
    path = manifest(
        tmp_path / "manifests", cut(source="audio/b.wav", supervisions=[supervision(0, "so")])
    )
    noise(tmp_path / "audio" / "b.wav")
    monkeypatch.chdir(tmp_path)
    assert len(load_corpus(path)) == 1


def recording(kind="file", **fields):
    return {"recording": {"id": "a", "sources": [{"type": kind, "source": "a.wav"}], **fields}}


SPEED = [{"name": "Speed", "kwargs": {"factor": 1.1}}]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"type": "MixedCut", "tracks": []}, "MixedCut, which only Lhotse"),
        ({"recording": None}, "no recording"),
        (recording("url"), "no single file but: url"),
        (recording(channel_ids=[0, 1]), "one channel of several"),
        (recording(transforms=SPEED), "changed by Speed"),
        ({"start": 2.5, "duration": 1.0}, "cut off, or another file"),
    ],
)
def test_what_only_lhotse_can_make_is_skipped_with_the_reason(tmp_path, fields, reason):
    good = cut("good", supervisions=[supervision(0, "so")])
    path = manifest(tmp_path, good, cut("bad", supervisions=[supervision(0, "so")], **fields))
    corpus = load_corpus(path)
    assert [one.id for one in corpus.utterances] == ["good"]
    assert corpus.skipped[0].id == "bad"
    assert reason in corpus.skipped[0].reason


def test_a_resampling_to_what_is_read_anyway_changes_nothing(tmp_path):
    one = cut(supervisions=[supervision(0, "so")])
    one["recording"]["transforms"] = [
        {
            "name": "Resample",
            "kwargs": {"source_sampling_rate": 8000, "target_sampling_rate": 16000},
        }
    ]
    assert len(load_corpus(manifest(tmp_path, one))) == 1


@pytest.mark.parametrize(
    ("cuts", "message"),
    [
        ([cut("c"), cut("c")], "2: the id 'c' was already used on line 1"),
        ([cut("c", duration=0)], "1: duration: Input should be greater than 0"),
        ([cut("c"), [1]], "2: not a JSON object"),
    ],
)
def test_a_malformed_manifest_is_told_with_its_line(tmp_path, cuts, message):
    with pytest.raises(InputError, match=message):
        load_corpus(manifest(tmp_path, *cuts))


def test_a_manifest_that_is_cut_off_is_told(tmp_path):
    path = manifest(tmp_path, cut(supervisions=[supervision(0, "so")]), name="cuts.jsonl.gz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="cut off or no gzip file"):
        load_corpus(path)
    path.write_bytes(b"plain")
    with pytest.raises(InputError, match="cut off or no gzip file"):
        load_corpus(path)


def test_a_folder_with_cuts_names_the_file_to_give(tmp_path):
    path = manifest(tmp_path, cut(), name="cuts.jsonl.gz")
    with pytest.raises(InputError, match=f"give {path}"):
        load_corpus(tmp_path)
