"""The heads file: bad files first, then round trips, then what it answers."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignheads import heads as heads_package
from alignheads.errors import InputError
from alignheads.heads import (
    AlignmentHead,
    CorpusInfo,
    HeadGroup,
    HeadsFile,
    Interval,
    Ranking,
    load_heads,
)
from alignheads.heads.names import BUNDLED, bundled_name

KINDS = (None, "self", "cross")
BUNDLED_COUNTS = {"0.6b": (30, 533, 314), "1.7b": (100, 2020, 308)}
# layers, heads, published heads
WHISPER_SHAPES = {
    **{"tiny": (4, 6, 6), "tiny.en": (4, 6, 8), "base": (6, 8, 8), "base.en": (6, 8, 5)},
    **{"small": (12, 12, 10), "small.en": (12, 12, 19)},
    **{"medium": (24, 16, 6), "medium.en": (24, 16, 18)},
    **{"large-v1": (32, 20, 9), "large-v2": (32, 20, 23), "large-v3": (32, 20, 10)},
    "large-v3-turbo": (4, 20, 6),
}


def content(**changes) -> dict:
    """A published-style file of 2 layers x 4 heads; a change to ... removes the key."""
    base = {
        "model": "some/model",
        "language": "English",
        "num_layers": 2,
        "num_heads": 4,
        "num_kv_heads": 2,
        "num_samples": 7,
        "total_alignable_tokens": 50,
        "ts_threshold": 0.1,
        "ts_matrix": [[0.0, 0.5, 0.125, 0.02], [0.90006, 0.1, 0.3, 0.04]],
        "alignment_heads": [
            {"layer": 1, "head": 0, "ts": 0.9001},
            {"layer": 0, "head": 1, "ts": 0.5},
            {"layer": 1, "head": 2, "ts": 0.3},
        ],
        "alignment_heads_compact": [[1, 0], [0, 1], [1, 2]],
    }
    return {key: value for key, value in (base | changes).items() if value is not ...}


def head(layer: int, index: int, ts: float) -> dict:
    return {"layer": layer, "head": index, "ts": ts}


def group(name: str, num_heads: int, is_own: bool = False, **scores) -> dict:
    return {"name": name, "is_own": is_own, "num_heads": num_heads, "scores": scores}


def refusal(path: Path, text: str | bytes) -> str:
    """The message with which the file is refused: one line that names it."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as caught:
        load_heads(path)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


ROW = [0.5, 0.5, 0.5, 0.5]
INTERVAL = {"low": [ROW, ROW], "high": [ROW, ROW]}
RANKING = {"method": "score", "metric": "hit_rate", "top": 2}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model": ...}, "model is missing"),
        ({"ts_matrix": ...}, "ts_matrix is missing"),
        ({"model": ""}, "model is ''"),
        ({"model": 3}, "model is 3"),
        ({"tz_matrix": []}, "unknown key 'tz_matrix'; did you mean ts_matrix?"),
        ({"zzz": 1}, "unknown key 'zzz'; remove it"),
        ({"num_layers": "2"}, "num_layers is '2', expected a valid integer"),
        ({"num_layers": 2.5}, "num_layers is 2.5"),
        ({"num_layers": True}, "num_layers is True"),
        ({"num_layers": -2}, "num_layers is -2"),
        ({"num_layers": 0}, "num_layers is 0"),
        ({"num_layers": 10**12}, "num_layers is 1000000000000"),
        ({"num_layers": 10**30}, "num_layers is 1"),
        ({"num_kv_heads": 3}, "num_kv_heads is 3, expected a divisor of num_heads = 4"),
        ({"num_samples": -1}, "num_samples is -1"),
        ({"ts_threshold": 1.5}, "ts_threshold is 1.5"),
        ({"num_layers": 3}, "ts_matrix has 2 rows, expected num_layers = 3"),
        ({"num_heads": 8}, "ts_matrix[0] has 4 values, expected num_heads = 8"),
        ({"ts_matrix": [ROW, ROW[:3]]}, "ts_matrix[1] has 3 values"),
        ({"ts_matrix": "none"}, "ts_matrix is 'none', expected a valid array"),
        ({"ts_matrix": [ROW, [0.5, "x", 0.5, 0.5]]}, "ts_matrix[1][1] is 'x'"),
        ({"ts_matrix": [ROW, [0.5, 1.2, 0.5, 0.5]]}, "ts_matrix[1][1] is 1.2"),
        ({"alignment_heads": [head(2, 0, 0.5)]}, "alignment_heads[0].layer is 2, expected 0 to 1"),
        ({"alignment_heads": [head(0, 4, 0.5)]}, "alignment_heads[0].head is 4, expected 0 to 3"),
        ({"alignment_heads": [head(-1, 0, 0.5)]}, "alignment_heads[0].layer is -1"),
        (
            {"alignment_heads": [head(1, 0, 0.9), head(0, 1, 0.5), head(1, 0, 0.9)]},
            "alignment_heads[2] is layer 1 head 0, as alignment_heads[0] is",
        ),
        (
            {"alignment_heads": [head(0, 1, 0.5), head(1, 0, 0.9)], "alignment_heads_compact": ...},
            "alignment_heads[1].ts is 0.9, more than the 0.5 before it",
        ),
        ({"alignment_heads": [head(0, 1, 0.7)]}, "ts is 0.7, but ts_matrix[0][1] is 0.5"),
        ({"alignment_heads": [{"layer": 0, "head": 1, "ts": None}]}, "ts is None, but ts_matrix"),
        ({"alignment_heads": [{"layer": 0, "head": 1}]}, "alignment_heads[0].ts is missing"),
        ({"alignment_heads_compact": [[1, 0]]}, "alignment_heads_compact is not the list"),
        ({"alignment_heads_compact": []}, "alignment_heads_compact is not the list"),
        (
            {"alignment_heads_compact": [[0, 1], [1, 0], [1, 2]]},
            "alignment_heads_compact is not the list",
        ),
        ({"alignment_heads_compact": [[1, 0, 3]]}, "alignment_heads_compact[0]"),
        ({"alignment_heads_compact": [["1", 0]]}, "alignment_heads_compact[0][0] is '1'"),
        ({"scores": {"border_auc": [ROW]}}, "scores.border_auc has 1 rows"),
        ({"scores": {"mass": [ROW, [None, 0.5, True, 0.5]]}}, "scores.mass[1][2] is True"),
        ({"scores": {"hit_rate": [ROW, ROW]}}, "scores.hit_rate differs from ts_matrix"),
        ({"intervals": {"mass": INTERVAL | {"high": [ROW]}}}, "intervals.mass.high has 1 rows"),
        ({"intervals": {"mass": INTERVAL | {"mid": []}}}, "unknown key 'intervals.mass.mid'"),
        ({"ranking": {"method": "score", "metric": "mass"}}, "ranking.top is missing"),
        ({"ranking": RANKING | {"top": 9}}, "ranking.top is 9, but there are 8 heads"),
        ({"ranking": RANKING | {"top_probability": [ROW]}}, "ranking.top_probability has 1 rows"),
        ({"ranking": RANKING | {"top_stability": 2}}, "ranking.top_stability is 2"),
        ({"ranking": []}, "ranking is []"),
        (
            {"schema_version": 2, "ranking": RANKING | {"baselines": {}}},
            "unknown key 'ranking.baselines'",
        ),
        (
            {"schema_version": 3, "ranking": RANKING | {"baselines": {}}},
            "unknown key 'ranking.baselines'",
        ),
        ({"ranking": RANKING | {"baselines": []}}, "unknown key 'ranking.baselines'"),
        (
            {"ranking": RANKING | {"baselines": {"my group": {}}}},
            "ranking.baselines has a group called 'my group', expected 'all heads'",
        ),
        (
            {"ranking": RANKING | {"baselines": {"all heads": {"border_auc": "high"}}}},
            "ranking.groups[0].scores.border_auc is 'high', expected a valid number",
        ),
        (
            {"schema_version": 2, "ranking": RANKING | {"groups": [group("all heads", 9)]}},
            "ranking.groups[0].num_heads is 9, but there are 8 heads",
        ),
        (
            {"schema_version": 2, "ranking": RANKING | {"groups": [group("none", 0)]}},
            "ranking.groups[0].num_heads is 0",
        ),
        ({"corpus": {"name": "demo", "fingerprint": "x", "utterances": -3}}, "utterances is -3"),
        ({"text": "guess"}, "text is 'guess', expected 'hypothesis' or 'reference'"),
        ({"attention": "both"}, "attention is 'both', expected 'self' or 'cross'"),
        ({"attention": ["self"]}, "attention is ['self']"),
        ({"attention": True}, "attention is True"),
        ({"schema_version": 5, "new_key": 1}, "written by a newer alignheads; upgrade"),
        ({"schema_version": "1"}, "schema_version is '1'"),
    ],
)
def test_bad_content_is_refused_by_key_and_value(tmp_path, changes, expected):
    assert expected in refusal(tmp_path / "heads.json", json.dumps(content(**changes)))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("key", ["ts_matrix", "scores"])
def test_scores_that_are_no_numbers_are_refused(tmp_path, key, number):
    rows = [ROW, [0.5, "HERE", 0.5, 0.5]]
    changed = content(**{key: rows if key == "ts_matrix" else {"mass": rows}})
    text = json.dumps(changed).replace('"HERE"', number)
    message = refusal(tmp_path / "heads.json", text)
    assert "[1][1] is" in message
    assert "expected a finite number" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("null", "expected a heads file"),
        ("42", "holds 42"),
        ('"0.6b"', "expected a heads file"),
        ("{}", "is missing"),
        ("[[20, 3], [11, 2]]", "heads-info --from-compact"),
        ("not json", "is not JSON"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00", "not UTF-8"),
        ('{"model": "a", "model": "b"}', "the key 'model' stands twice"),
        ('{"model": "\\ud800"}', "Invalid JSON"),
        ('{"num_layers": ' + "9" * 5000 + "}", "heads.json"),
        ("[" * 200_000, "heads.json"),
        ('{"a":' * 100_000, "heads.json"),
    ],
)
def test_other_files_are_refused(tmp_path, text, expected):
    assert expected in refusal(tmp_path / "heads.json", text)


def test_a_hostile_key_cannot_drive_the_terminal(tmp_path):
    for key in ("a\n\x1b[31mb", "k" * 10**6):
        for changes in ({key: 1}, {"scores": {key: [ROW]}}, {"scores": {key: 3}}):
            message = refusal(tmp_path / "heads.json", json.dumps(content(**changes)))
            assert "\x1b" not in message
            assert len(message) < 600


def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    text = json.dumps(content())
    for length in range(0, len(text), 7):
        message = refusal(tmp_path / "heads.json", text[:length])
        assert "JSON" in message


def test_a_byte_order_mark_is_no_fault(tmp_path):
    path = tmp_path / "heads.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(content()).encode())
    assert load_heads(path).model == "some/model"


def test_an_endless_file_is_refused_without_reading_it(tmp_path):
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(10**11)
    with pytest.raises(InputError, match=r"huge\.json is larger than"):
        load_heads(path)


@pytest.mark.parametrize(
    "source", ["missing.json", "no/such/folder/heads.json", "0.8b", "", "a\0b"]
)
def test_a_missing_file_is_named(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        load_heads(source)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        load_heads(tmp_path)


def test_a_model_without_a_heads_file_is_an_error_that_says_what_to_do():
    with pytest.raises(InputError, match=r"'my/finetune'.*discover-heads --model my/finetune"):
        load_heads(None, model="my/finetune")
    with pytest.raises(InputError, match="discover-heads"):
        load_heads(None)


def test_a_bundled_file_that_is_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("alignheads.heads.load._FOLDER", tmp_path)
    with pytest.raises(InputError, match=r"tiny is missing.*discover-heads --model tiny"):
        load_heads("tiny")


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("0.6b", "0.6b"),
        ("1.7B", "1.7b"),
        ("tiny", "tiny"),
        ("Qwen/Qwen3-ASR-0.6B", "0.6b"),
        ("mlx-community/Qwen3-ASR-1.7B-4bit", "1.7b"),
        ("/models/Qwen3-ASR-1.7B/", "1.7b"),
        ("me/Qwen3-ASR-0.6B-medical", None),
        ("my-0.6b", None),
        ("/models/tiny", None),
        ("", None),
        (None, None),
        # Fine-tunes and distilled models have heads of their own.
        ("distil-whisper/distil-large-v3", None),
        ("distil-whisper/distil-small.en", None),
        ("someone/whisper-base-german", None),
        ("someone/whisper-large-v3-turbo-german-4bit", None),
        ("someone/my-whisper-base", None),
        ("whisper-base-mlx-german", None),
        # What is no size of Whisper, or could be any.
        ("whisper", None),
        ("whisper-", None),
        ("whisper-0.6b", None),
        ("whisper-huge", None),
        ("whisper-large-v4", None),
        ("whisper-large-v3.en", None),
        ("whisper-tiny.de", None),
        ("someone/whisper-large", None),
        ("mlx-community/whisper-large-mlx", None),
        ("base", None),
        ("turbo", None),
        ("-mlx", None),
        # The bundled model is of another family.
        ("tiny-mlx", None),
        ("openai/tiny", None),
        ("whisper-tiny", "whisper-tiny"),
        ("mlx-community/whisper-tiny", "whisper-tiny"),
        ("mlx-community/whisper-tiny.en-mlx-q4", "whisper-tiny.en"),
        ("whisper-base", "whisper-base"),
        ("openai/whisper-base", "whisper-base"),
        ("openai/Whisper-Base.EN/", "whisper-base.en"),
        ("mlx-community/whisper-base-mlx", "whisper-base"),
        ("whisper-base-mlx-fp32", "whisper-base"),
        ("whisper-base-mlx-4bit", "whisper-base"),
        ("whisper-base-mlx-8bit", "whisper-base"),
        ("C:\\models\\whisper-medium-mlx-q4", "whisper-medium"),
        ("mlx-community/whisper-large-v3-turbo", "whisper-large-v3-turbo"),
        ("mlx-community/whisper-large-v3-turbo-asr-fp16", "whisper-large-v3-turbo"),
        ("mlx-community/whisper-large-v1-mlx", "whisper-large-v1"),
        # As OpenAI's package names them, and as its repositories are named.
        ("whisper-large", "whisper-large-v3"),
        ("Whisper-Turbo", "whisper-large-v3-turbo"),
        ("mlx-community/whisper-turbo", "whisper-large-v3-turbo"),
        ("openai/whisper-large", "whisper-large-v1"),
    ],
)
def test_only_released_models_have_bundled_heads(model, name):
    assert bundled_name(model) == name


def test_too_few_heads_names_both_numbers():
    heads = HeadsFile.model_validate(content())
    assert heads.top(2) == [(1, 0), (0, 1)]
    with pytest.raises(InputError, match=r"20 heads asked for.*lists 3"):
        heads.top(20)
    with pytest.raises(InputError, match="0 heads asked for"):
        heads.top(0)


def test_heads_of_another_shape_are_refused():
    heads = HeadsFile.model_validate(content())
    heads.check_model("other/name", 2, 4)
    for layers, count in ((4, 2), (2, 8), (28, 16)):
        with pytest.raises(InputError, match=rf"2 layers x 4 heads.*tuned, {layers} x {count}"):
            heads.check_model("tuned", layers, count)


def test_heads_of_another_kind_of_attention_are_refused():
    cross = HeadsFile.model_validate(content(model="openai/whisper-base", attention="cross"))
    expected = (
        "the heads file is for openai/whisper-base, heads of cross-attention, and does not fit "
        "mine, whose alignment heads are of self-attention; make one with: "
        "discover-heads --model mine"
    )
    with pytest.raises(InputError, match=f"^{expected}$"):
        cross.check_model("mine", 2, 4, "self")
    # It is told before the shape, which differs as a consequence.
    with pytest.raises(InputError, match="of self-attention"):
        cross.check_model("mine", 28, 16, "self")
    with pytest.raises(InputError, match=r"heads of self-attention.* of cross-attention"):
        cross.model_copy(update={"attention": "self"}).check_model("mine", 2, 4, "cross")
    cross.check_model("mine", 2, 4, "cross")
    cross.check_model("mine", 2, 4)
    # A published file does not say it, and only its shape is checked.
    HeadsFile.model_validate(content()).check_model("mine", 2, 4, "cross")


def test_an_unknown_metric_lists_the_known_ones():
    heads = HeadsFile.model_validate(content(scores={"mass": [ROW, ROW]}))
    with pytest.raises(InputError, match="no score 'auc'; it has hit_rate, mass"):
        heads.matrix("auc")


def test_matrices_are_layers_by_heads_with_nan_where_undefined():
    scores = {"auc": [[None, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, -3.0]]}
    heads = HeadsFile.model_validate(content(scores=scores))
    assert heads.matrix("hit_rate")[1, 0] == 0.90006
    auc = heads.matrix("auc")
    assert auc.shape == (2, 4)
    assert np.isnan(auc[0, 0])
    assert auc[1, 3] == -3.0


def test_a_ranking_of_its_own_may_order_by_another_score():
    listed = [head(0, 1, 0.5), head(1, 0, 0.9001)]
    heads = HeadsFile.model_validate(
        content(alignment_heads=listed, alignment_heads_compact=..., ranking=RANKING)
    )
    assert heads.compact == [(0, 1), (1, 0)]


def test_a_heads_file_cannot_be_changed():
    heads = HeadsFile.model_validate(content())
    with pytest.raises(ValueError, match="frozen"):
        heads.model = "other"  # type: ignore[misc]


def test_saving_to_no_folder_leaves_nothing(tmp_path):
    heads = HeadsFile.model_validate(content())
    with pytest.raises(InputError, match="cannot write"):
        heads.save(tmp_path / "no" / "heads.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "heads.json"
    HeadsFile.model_validate(content()).save(path)
    before = path.read_bytes()
    (tmp_path / f".heads.json.{os.getpid()}.tmp.json").symlink_to("/dev/full")
    with pytest.raises(InputError, match="cannot write"):
        HeadsFile.model_validate(content(num_samples=8)).save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["heads.json"]


def test_a_saved_file_has_the_published_keys_and_one_row_a_line(tmp_path):
    path = tmp_path / "heads.json"
    HeadsFile.model_validate(content(alignment_heads_compact=...)).save(path)
    text = path.read_text()
    saved = json.loads(text)
    assert {key: saved[key] for key in content()} == content()
    assert saved["schema_version"] == 4
    assert "    [0.0, 0.5, 0.125, 0.02],\n" in text
    assert '    {"layer": 0, "head": 1, "ts": 0.5},\n' in text


fractions = st.floats(0, 1)
finite = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def heads_files(draw) -> HeadsFile:
    layers, count = draw(st.integers(1, 3)), draw(st.integers(1, 4))

    def rows(values):
        row = st.lists(values, min_size=count, max_size=count)
        return st.lists(row, min_size=layers, max_size=layers)

    ts = draw(rows(st.none() | fractions))
    listed = draw(st.permutations([(x, y) for x in range(layers) for y in range(count)]))
    listed = listed[: draw(st.integers(0, len(listed)))]
    matrices = draw(st.dictionaries(st.text().filter(lambda k: k != "hit_rate"), rows(finite)))
    bounds = st.builds(Interval, low=rows(finite), high=rows(finite))
    ranking = st.builds(
        Ranking,
        method=st.text(),
        metric=st.text(),
        top=st.integers(1, layers * count),
        top_probability=st.none() | rows(fractions),
        top_stability=st.none() | fractions,
        groups=st.lists(
            st.builds(
                HeadGroup,
                name=st.text(),
                is_own=st.booleans(),
                num_heads=st.integers(1, layers * count),
                scores=st.dictionaries(st.text(), fractions),
            )
        ),
        set_error_curve=st.none() | st.lists(fractions),
    )
    count_of = st.integers(0, 10**9)
    corpus = st.builds(CorpusInfo, name=st.text(), fingerprint=st.text(), utterances=count_of)
    return HeadsFile(
        model=draw(st.text(min_size=1)),
        language=draw(st.none() | st.text()),
        num_layers=layers,
        num_heads=count,
        num_kv_heads=1,
        num_samples=draw(count_of),
        total_alignable_tokens=draw(count_of),
        ts_threshold=draw(st.none() | fractions),
        ts_matrix=ts,
        alignment_heads=[AlignmentHead(layer=x, head=y, ts=ts[x][y]) for x, y in listed],
        scores=matrices,
        intervals=draw(st.dictionaries(st.text(), bounds, max_size=2)),
        ranking=draw(ranking),
        corpus=draw(st.none() | corpus),
        attention=draw(st.sampled_from(KINDS)),
        text=draw(st.sampled_from([None, "hypothesis", "reference"])),
        source=draw(st.none() | st.text()),
    )


@given(heads=heads_files())
@settings(max_examples=60, deadline=None)
def test_a_round_trip_keeps_everything(heads, tmp_path_factory):
    path = tmp_path_factory.mktemp("round") / "heads.json"
    heads.save(path)
    again = load_heads(path)
    assert again == heads
    assert again.sha256 == heads.sha256
    first = path.read_bytes()
    again.save(path)
    assert path.read_bytes() == first


def test_the_hash_is_of_the_content_not_of_the_layout(tmp_path):
    heads = HeadsFile.model_validate(content())
    path = tmp_path / "heads.json"
    path.write_text(json.dumps(dict(reversed(content().items())), indent=7))
    assert load_heads(path).sha256 == heads.sha256
    assert HeadsFile.model_validate(content(num_samples=8)).sha256 != heads.sha256


SCHEMA_1_BASELINES = {
    "this ranking, best 1": {"time_error_ms": 160.0, "border_auc": 0.9},
    "this ranking, best 8": {"time_error_ms": 97.5},
    "all heads": {"time_error_ms": 420.0},
    "hit rate, best 20": {},
    "this set, best size (3)": {"border_auc": 0.5},
}


def test_a_file_of_schema_2_is_read(tmp_path):
    path = tmp_path / "heads.json"
    ranking = RANKING | {"groups": [group("all heads", 8)]}
    path.write_text(json.dumps(content(schema_version=2, ranking=ranking)))
    heads = load_heads(path)
    assert (heads.schema_version, heads.attention) == (4, None)
    assert heads.ranking.model_dump()["groups"] == ranking["groups"]


def test_the_hash_does_not_tell_the_kind_of_attention():
    """It was made before files said it."""
    hashes = {HeadsFile.model_validate(content(attention=kind)).sha256 for kind in KINDS}
    assert hashes == {"dc00b9e5acdbb6acf80a8ce3b7d8cb9d89e1dc97dcf0ac315f4081b7f27f6daa"}


@pytest.mark.parametrize("version", [..., 0, 1])
def test_groups_of_schema_1_are_read_out_of_their_names(tmp_path, version):
    """Groups of more heads than the model has held all of them."""
    path = tmp_path / "heads.json"
    ranking = RANKING | {"baselines": SCHEMA_1_BASELINES}
    path.write_text(json.dumps(content(schema_version=version, ranking=ranking)))
    heads = load_heads(path)
    assert heads.schema_version == 4
    assert [one.model_dump() for one in heads.ranking.groups] == [
        group("this ranking, best 1", 1, True, time_error_ms=160.0, border_auc=0.9),
        group("this ranking, best 8", 8, True, time_error_ms=97.5),
        group("all heads", 8, time_error_ms=420.0),
        group("hit rate, best 20", 8),
        group("this set, best size (3)", 3, True, border_auc=0.5),
    ]


def test_an_upgrade_changes_neither_the_hash_nor_the_file(tmp_path):
    """Studies and configurations name a heads file by its hash."""
    path = tmp_path / "heads.json"
    ranking = RANKING | {"baselines": SCHEMA_1_BASELINES}
    path.write_text(json.dumps(content(schema_version=1, ranking=ranking)))
    before = path.read_bytes()
    heads = load_heads(path)
    assert path.read_bytes() == before
    heads.save(tmp_path / "again.json")
    assert load_heads(tmp_path / "again.json").sha256 == heads.sha256
    # As version 0.1.0 had it, of the same content; tiny's file is a later one.
    hashes = {"tiny": "eecad5294017153f", "0.6b": "1cd7f2e173cc0e59", "1.7b": "5bc23914299a3cfc"}
    assert {name: load_heads(name).sha256[:16] for name in hashes} == hashes


@pytest.mark.parametrize("name", sorted(BUNDLED_COUNTS))
def test_bundled_files_hold_the_published_scores(name):
    heads = load_heads(name)
    clips, tokens, listed = BUNDLED_COUNTS[name]
    assert (heads.num_layers, heads.num_heads, heads.num_kv_heads) == (28, 16, 8)
    assert (heads.num_samples, heads.total_alignable_tokens) == (clips, tokens)
    assert heads.model == f"Qwen/Qwen3-ASR-{name.upper()}"
    scores = heads.matrix("hit_rate")
    hits = scores * tokens
    np.testing.assert_allclose(hits, hits.round(), atol=1e-9)
    assert len(heads.alignment_heads) == listed == (scores > heads.ts_threshold).sum()
    best_first = [scores[pair] for pair in heads.compact]
    assert best_first == sorted(best_first, reverse=True)
    assert scores[heads.top(1)[0]] == scores.max()
    assert heads.source is not None
    assert f"{clips} clips" in heads.source


@pytest.mark.parametrize(("size", "shape"), WHISPER_SHAPES.items())
def test_bundled_files_hold_the_published_masks(size, shape):
    """They name heads and measure nothing."""
    heads = load_heads(f"whisper-{size}")
    assert (heads.num_layers, heads.num_heads, len(heads.compact)) == shape
    assert bundled_name(heads.model) == f"whisper-{size}"
    assert heads.attention == "cross"
    assert heads.compact == sorted(heads.compact)
    assert np.isnan(heads.matrix("hit_rate")).all()
    assert f"_ALIGNMENT_HEADS['{size}']" in heads.source
    heads.check_model("mine", *shape[:2], "cross")


def test_the_mask_of_base_is_the_published_one():
    expected = [(3, 1), (4, 2), (4, 3), (4, 7), (5, 1), (5, 2), (5, 4), (5, 6)]
    assert load_heads("whisper-base").compact == expected


def test_every_bundled_name_has_a_file_that_says_its_kind_of_attention():
    folder = Path(heads_package.__file__).parent / "bundled"
    assert {path.stem for path in folder.iterdir()} == set(BUNDLED)
    for name in BUNDLED:
        heads = load_heads(name.upper())
        assert heads.attention == ("cross" if name.startswith("whisper") else "self")
        assert bundled_name(heads.model) == name
    assert load_heads("whisper-large") == load_heads("whisper-large-v3")
    assert load_heads("whisper-turbo") == load_heads("whisper-large-v3-turbo")
    assert load_heads("tiny") != load_heads("whisper-tiny")


def test_the_bundled_file_for_a_model_is_said_once():
    program = (
        "import logging; logging.basicConfig(level=logging.INFO)\n"
        "from alignheads.heads import load_heads\n"
        "by_model = load_heads(None, model='Qwen/Qwen3-ASR-0.6B')\n"
        "assert load_heads(model='0.6b') == by_model == load_heads('0.6b') == load_heads('0.6B')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.count("\n") == 1
    assert "0.6b" in done.stderr


# Whose heads they are


def of_checkpoint(model, fingerprint=None):
    return HeadsFile.model_validate(content(model=model, model_fingerprint=fingerprint))


def warned(heads, name, fingerprint, caplog):
    caplog.clear()
    with caplog.at_level("WARNING"):
        heads.check_checkpoint(name, lambda: fingerprint)
    return [record.getMessage() for record in caplog.records]


def test_heads_of_another_released_model_are_refused_by_name():
    """0.6B and 1.7B have as many layers and heads."""
    heads = of_checkpoint("Qwen/Qwen3-ASR-0.6B", "a" * 16)
    for name in ("1.7b", "Qwen/Qwen3-ASR-1.7B", "mlx-community/Qwen3-ASR-1.7B-4bit", "tiny"):
        with pytest.raises(InputError, match=f"is for Qwen/Qwen3-ASR-0.6B and not for {name}"):
            heads.check_checkpoint(name, lambda: "b" * 16)


def test_heads_of_the_same_model_and_of_its_conversions_pass(caplog):
    heads = of_checkpoint("Qwen/Qwen3-ASR-0.6B", "c" * 16)
    for name in (
        "Qwen3-ASR-0.6B-hf",
        "mlx-community/Qwen3-ASR-0.6B-mxfp4",
        "x/Qwen3-ASR-0.6B-6bit",
    ):
        assert warned(heads, name, "d" * 16, caplog) == []
    assert warned(of_checkpoint("0.6b"), "Qwen/Qwen3-ASR-0.6B", "e" * 16, caplog) == []
    # A folder that was given another name.
    assert warned(of_checkpoint("mine", "f" * 16), "yours", "f" * 16, caplog) == []


def test_heads_of_a_kin_are_used_and_it_is_said(caplog):
    heads = of_checkpoint("Qwen/Qwen3-ASR-0.6B")
    (message,) = warned(heads, "my-fine-tune", "0" * 16, caplog)
    assert "is for Qwen/Qwen3-ASR-0.6B and is used with my-fine-tune" in message
    assert warned(heads, "my-fine-tune", "0" * 16, caplog) == []  # once


def test_other_files_of_the_same_name_are_told_by_their_fingerprint(caplog):
    heads = of_checkpoint("my-own", "1" * 16)
    (message,) = warned(heads, "my-own", "2" * 16, caplog)
    assert "other files of that name" in message
    assert "1" * 16 in message
    assert "2" * 16 in message


def test_the_fingerprint_is_not_asked_for_in_vain():
    def asked():
        raise AssertionError

    of_checkpoint("Qwen/Qwen3-ASR-0.6B").check_checkpoint("0.6b", asked)


def test_a_file_that_lists_no_head_is_refused_in_a_line():
    heads = HeadsFile.model_validate(
        {**content(), "alignment_heads": [], "alignment_heads_compact": []}
    )
    with pytest.raises(InputError, match="lists no head; make one that does with: discover-heads"):
        heads.check_checkpoint("mine", lambda: "")
    # A decoder asks for as many as there are.
    with pytest.raises(InputError, match="lists no head; make one that does with: discover-heads"):
        heads.top(0)


def test_heads_without_intervals_are_not_said_to_agree():
    from rich.console import Console

    from alignheads.heads.show import shown_comparison

    def shown(*files):
        console = Console(width=200, file=io.StringIO(), record=True)
        console.print(*shown_comparison(*files, "a.json", "b.json", 2, None))
        return console.export_text()

    nulls = {"low": [[None] * 4] * 2, "high": [[None] * 4] * 2}
    known = {"low": [[0.1] * 4] * 2, "high": [[0.2] * 4] * 2}
    few = HeadsFile.model_validate(content(intervals={"hit_rate": nulls}))
    assert "too few clips" in shown(few, few)
    assert "0 of 0" not in shown(few, few)
    many = HeadsFile.model_validate(content(intervals={"hit_rate": known}))
    assert "hit_rate apart, of the best heads" in shown(many, many)


def test_intervals_that_do_not_meet_are_counted():
    from alignheads.heads.compare import compare_heads

    def measured(low, high):
        bounds = {"low": [[low] * 4] * 2, "high": [[high] * 4] * 2}
        return HeadsFile.model_validate(content(intervals={"hit_rate": bounds}))

    first = measured(0.2, 0.4)
    assert compare_heads(first, measured(0.35, 0.5), [2]).apart["hit_rate"][0] == 0
    apart, of = compare_heads(first, measured(0.5, 0.6), [2]).apart["hit_rate"]
    assert apart == of > 0
    assert compare_heads(first, of_checkpoint("some/model"), [2]).apart == {}
