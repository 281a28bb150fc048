"""The benchmarks of head scores read delays and errors as they say, and end on a small run."""

import sys
from pathlib import Path

import numpy as np
import pytest

from alignheads import load_corpus
from alignheads.corpora import Corpus
from alignheads.discovery.discover import measure_corpus, prepare_corpus
from alignheads.discovery.shards import save_sums

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def benchmarks():
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))
    for name in ("head_scores", "head_transfer", "streaming", "streams", "streaming_speed",
                 "streaming_long", "published_decoder"):  # fmt: skip
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def sums(tiny, tmp_path_factory):
    """Two halves of four clips, as two shards leave them."""
    few = load_corpus("demo:discover").utterances[:4]
    paths = []
    for k in (0, 1):
        half = Corpus("few", few[k::2])
        found = measure_corpus(tiny, prepare_corpus(tiny, half), None, "hypothesis", cuts=3)
        paths.append(tmp_path_factory.mktemp("sums") / f"{k + 1}of2.sums.npz")
        save_sums(found, (k + 1, 2), paths[-1])
    return paths


def test_the_error_rate_is_linear_in_the_delay_and_unknown_beyond_it():
    from head_scores import Streams

    # Two utterances of 10 words; at the wide border the first has 1 error, at the narrow one 3.
    streams = Streams(np.array([[1.0, 0], [3, 0]]), np.full((2, 2), 10.0),
                      np.array([[10.0, 10], [5, 5]]), np.full((2, 2), 10.0))  # fmt: skip
    both, first = np.ones(2), np.array([2, 0])
    wer = streams.wer_at([0.4, 0.5, 0.75, 1.0, 1.1], both)
    assert wer == pytest.approx([np.nan, 0.15, 0.1, 0.05, np.nan], nan_ok=True)
    assert streams.wer_at([0.5], first) == pytest.approx([0.3])
    assert streams.area() == pytest.approx(0.35 * 1.0 + 0.1 * 0.5)


def test_a_difference_is_paired_over_utterances():
    from head_transfer import difference

    first = np.array([[1000.0, 10], [9000, 10], [400, 10]])
    second = first - [500, 0]
    assert difference(first, second) == "+50 (+50 to +50)"
    assert difference(second, first) == "-50 (-50 to -50)"


def test_a_head_that_looks_too_early_is_last_without_bias(sums):
    from head_scores import BIASED_MS, goodness

    from alignheads.discovery.shards import load_sums

    found = load_sums(sums[0])[1]
    bias = found.totals.scores()["time_bias_ms"][0].ravel()
    unbiased = goodness(found)["border_auc_unbiased"]
    assert (unbiased[np.abs(bias) > BIASED_MS] < 0).all()
    assert (unbiased[np.abs(bias) <= BIASED_MS] >= 0).any()


def test_small_runs_end(sums, capsys):
    import head_scores
    import head_transfer

    head_transfer.benchmark(sums, counts="2")
    table = capsys.readouterr().out
    assert table.count("| few | few | 2 |") == 1
    head_scores.benchmark(
        sums[0], model="tiny", corpus="demo:discover", rankings="hit_rate,set", counts="2",
        single=1, borders_s="0.3,0.6", delays_s="0.6,0.7,0.8,9", aligner=None, normaliser="whisper",
        store=None, clips=2,
    )  # fmt: skip
    table = capsys.readouterr().out
    assert "tiny: 2 utterances to choose on, 2 streamed" in table
    assert "| hit_rate |" in table
    assert "+0.0 (+0.0 to +0.0)" in table
