"""`heads-info` as its user meets it, and the comparison beneath it."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignheads.errors import InputError
from alignheads.heads import HeadsFile, load_heads
from alignheads.heads.compact import heads_from_compact, read_compact
from alignheads.heads.compare import compare_heads, score_correlation


def heads_of(matrix, **changes) -> HeadsFile:
    """A heads file that lists every head of `matrix` by its hit rate."""
    matrix = np.asarray(matrix, dtype=float)
    order = np.argsort(-matrix.ravel(), kind="stable")
    pairs = [divmod(int(index), matrix.shape[1]) for index in order]
    fields = {
        "model": "some/model",
        "language": None,
        "num_layers": matrix.shape[0],
        "num_heads": matrix.shape[1],
        "num_kv_heads": 1,
        "num_samples": 5,
        "total_alignable_tokens": 40,
        "ts_threshold": 0.1,
        "ts_matrix": matrix.tolist(),
        "alignment_heads": [{"layer": x, "head": y, "ts": matrix[x, y]} for x, y in pairs],
    }
    return HeadsFile.model_validate(fields | changes)


@pytest.fixture
def heads_info(tmp_path, monkeypatch, capsys):
    """Call the command in an empty folder: (exit code, stdout, stderr)."""
    from alignheads.heads.cli import main

    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["heads-info", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        return (stop.value.code, *capsys.readouterr())

    return call


SHAPE = ("--num-layers", 4, "--num-heads", 8, "--num-kv-heads", 4)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "give a heads file"),
        (("nowhere.json",), "nowhere.json"),
        (("0.6b", "--compare", "nowhere.json"), "nowhere.json"),
        (("0.6b", "--top", "0"), "--top is 0"),
        (("0.6b", "--top", "x"), "--top"),
        (("0.6b", "--compact", "--top", "400"), "400 heads asked for"),
        (("0.6b", "--compact", "--compare", "1.7b"), "not both"),
        (("0.6b", "--out", "x.json"), "belong to --from-compact"),
        (("0.6b", "--num-heads", "3"), "belong to --from-compact"),
        (("0.6b", "--from-compact", "list.json"), "alone"),
        (("--from-compact", "list.json", "--model", "0.6b"), "needs --model NAME and --out"),
        (("--from-compact", "list.json", "--out", "x.json"), "needs --model NAME and --out"),
        (("--from-compact", "list.json", "--model", "mine", "--out", "x.json"), "--num-layers"),
        (("--from-compact", "no.json", "--model", "0.6b", "--out", "x.json"), "no.json"),
        (("--from-compact", "list.json", "--model", "0.6b", "--out", "list.json"), "is read"),
        (("--from-compact", "list.json", "--model", "0.6b", "--out", "."), "folder"),
        (("list.json",), "--from-compact list.json"),
        (("whisper-base.de",), "whisper-tiny to whisper-large-v3-turbo"),
        (("tiny", "--compare", "whisper-tiny"), "heads of cross-attention, and does not fit tiny"),
        (("whisper-tiny", "--compare", "tiny"), "whose alignment heads are of cross-attention"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(heads_info, tmp_path, arguments, expected):
    (tmp_path / "list.json").write_text("[[20, 3], [11, 2]]")
    code, out, err = heads_info(*arguments)
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert expected in err
    assert [file.name for file in tmp_path.iterdir()] == ["list.json"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", "empty list"),
        ("{}", "holds no list"),
        ("[[1]]", "[0] is [1]"),
        ("[[1, 2], 3]", "[1] is 3"),
        ("[[1, 2.5]]", "[0] is"),
        ("[[true, 1]]", "[0] is"),
        ('[["1", 1]]', "[0] is"),
        ("[[1, 2], [1, 2]]", "alignment_heads[1] is layer 1 head 2, as alignment_heads[0]"),
        ("[[4, 0]]", "alignment_heads[0].layer is 4, expected 0 to 3"),
        ("[[0, 8]]", "alignment_heads[0].head is 8, expected 0 to 7"),
        ("[[0, -1]]", "alignment_heads[0].head is -1"),
        ("[[1, 2], [", "not JSON"),
    ],
)
def test_a_bad_compact_list_is_refused(heads_info, tmp_path, text, expected):
    (tmp_path / "list.json").write_text(text)
    code, _, err = heads_info(
        "--from-compact", "list.json", "--model", "mine", *SHAPE, "--out", "x.json"
    )
    assert code == 2
    assert expected in err
    assert "list.json" in err
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize("size", [0, -1, 10**15])
def test_impossible_sizes_are_refused(size):
    with pytest.raises(InputError, match=f"{size} layers or heads"):
        heads_from_compact([(0, 0)], model="m", num_layers=size, num_heads=1, num_kv_heads=1)


def test_the_compact_list_there_and_back(heads_info, tmp_path):
    code, out, err = heads_info("1.7b", "--compact", "--top", 5)
    assert (code, err) == (0, "")
    assert [tuple(pair) for pair in json.loads(out)] == load_heads("1.7b").top(5)
    (tmp_path / "list.json").write_text(out)
    arguments = ("--from-compact", "list.json", "--model", "1.7b", "--out", "made.json")
    code, printed, err = heads_info(*arguments)
    assert (code, printed) == (0, "")
    assert "without scores" in err
    made = load_heads(tmp_path / "made.json")
    assert made.compact == read_compact(tmp_path / "list.json")
    assert (made.num_layers, made.num_heads, made.num_kv_heads) == (28, 16, 8)
    assert np.isnan(made.matrix("hit_rate")).all()
    assert heads_info("made.json", "--compact")[1] == out
    assert heads_info(*arguments)[0] == 2
    assert heads_info(*arguments, "--force")[0] == 0


def test_compact_prints_every_head_by_default(heads_info):
    assert len(json.loads(heads_info("0.6b", "--compact")[1])) == 314


def test_printing_names_the_best_heads(heads_info):
    code, out, err = heads_info("0.6b", "--top", 3)
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert ["1", "20", "3", "0.8555"] in rows
    assert ["3", "13", "6", "0.8443"] in rows
    assert not any(row[:2] == ["4", "11"] for row in rows)
    assert "30 clips, 533 tokens" in out
    assert "\x1b" not in out


def test_heads_without_scores_have_no_rank(heads_info):
    code, out, err = heads_info("Whisper-Base", "--top", 3)
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert rows[-4:] == [["layer", "head"], ["3", "1"], ["4", "2"], ["4", "3"]]
    assert ["attention", "cross"] in rows
    assert "8 of 48 listed, in the order of their source" in out
    assert "OpenAI's mask" in out
    assert ["attention", "self"] in [line.split() for line in heads_info("tiny")[1].splitlines()]


def test_a_list_without_an_order_is_compared_whole():
    """Of the 23 heads of large-v2, the first 20 are those of the lower layers."""
    mask = load_heads("whisper-large-v2")
    matrix = np.zeros((32, 20))
    matrix[tuple(zip(*mask.compact[:-2], strict=True))] = 0.9
    assert compare_heads(heads_of(matrix), mask, [20]).overlaps == {20: 20, 23: 21}


def test_a_list_of_a_released_model_says_its_kind_of_attention(heads_info, tmp_path):
    (tmp_path / "list.json").write_text("[[2, 1], [1, 5]]")
    for model in ("whisper-tiny.en", "openai/whisper-tiny.en", "1.7b"):
        code, _, _ = heads_info(
            "--from-compact", "list.json", "--model", model, "--out", "x.json", "--force"
        )
        assert code == 0
        made = load_heads(tmp_path / "x.json")
        assert made.attention == ("self" if model == "1.7b" else "cross")
        assert made.compact == [(2, 1), (1, 5)]


def test_intervals_and_top_probability_are_printed_and_no_control_codes(heads_info, tmp_path):
    heads_of(
        [[0.75, 0.25]],
        model="evil\x1b[31m[red]",
        scores={"time_error_ms": [[120.0, None]]},
        intervals={"hit_rate": {"low": [[0.5, None]], "high": [[0.875, 0.5]]}},
        ranking={"method": "set", "metric": "mass", "top": 1, "top_probability": [[0.9, 0.1]]},
        corpus={"name": "demo", "fingerprint": "abc", "utterances": 5},
    ).save(tmp_path / "mine.json")
    code, out, _ = heads_info("mine.json")
    assert code == 0
    assert "0.7500 [0.5000, 0.8750]" in out
    assert "P(top 1)" in out
    last = out.splitlines()[-1].split()
    assert last == ["2", "0", "1", "0.2500", "-", "0.10"]
    assert "evil [31m[red]" in out
    assert "\x1b" not in out


def test_a_file_compared_with_itself_is_itself(heads_info):
    code, out, _ = heads_info("0.6b", "--compare", "0.6b", "--top", 50)
    assert code == 0
    assert "20 of 20" in out
    assert "50 of 50" in out
    assert "1.000" in out


def test_files_of_different_shapes_are_not_compared(heads_info, tmp_path):
    heads_of([[0.5, 0.25]]).save(tmp_path / "small.json")
    code, out, err = heads_info("0.6b", "--compare", "small.json")
    assert (code, out) == (2, "")
    assert "1 layers x 2 heads" in err
    assert "28 x 16" in err


def test_overlap_and_correlation_of_known_files():
    first = heads_of([[0.9, 0.8, 0.7, 0.1]], scores={"mass": [[1.0, 2.0, 3.0, None]]})
    second = heads_of([[0.1, 0.8, 0.9, 0.2]], scores={"mass": [[3.0, 2.0, 1.0, 9.0]]})
    found = compare_heads(first, second, [1, 2, 3, 100])
    assert found.overlaps == {1: 0, 2: 1, 3: 2, 4: 4}
    # Ranks 4 3 2 1 against 1 3 4 2: rho = 1 - 6 (9 + 0 + 4 + 1) / (4 (16 - 1)).
    assert found.correlations["hit_rate"] == pytest.approx(-0.4)
    assert found.correlations["mass"] == pytest.approx(-1.0)


def test_correlation_averages_ties_and_is_undefined_without_spread():
    # Worked by hand: ranks 1 2.5 2.5 4 against 1 2 3 4.
    tied = score_correlation(np.array([1.0, 2.0, 2.0, 5.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert tied == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert score_correlation(np.ones(3), np.arange(3.0)) is None
    assert score_correlation(np.array([1.0, np.nan]), np.array([1.0, 2.0])) is None


values = st.lists(st.integers(-1000, 1000), min_size=3, max_size=30, unique=True)


@given(values=values, seed=st.integers(0, 99))
def test_correlation_sees_order_only(values, seed):
    first = np.array(values, dtype=float)
    second = np.random.default_rng(seed).permutation(first)
    rho = score_correlation(first, second)
    assert rho is not None
    assert -1 - 1e-9 <= rho <= 1 + 1e-9
    assert score_correlation(first**3, second) == pytest.approx(rho)
    assert score_correlation(-first, second) == pytest.approx(-rho)
    assert score_correlation(first, first) == pytest.approx(1)


def test_help_loads_nothing_heavy():
    program = (
        "import sys; sys.argv = ['heads-info', '--help']\n"
        "from alignheads.heads.cli import main\n"
        "heavy = {'mlx', 'matplotlib', 'numpy', 'pydantic'}\n"
        "try: main()\n"
        "finally: print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0
    assert "--from-compact" in done.stdout
    assert done.stderr.strip() == "[]"
