"""`discover_heads` on real inference: what is changed in the checkpoint is seen in the heads."""

import json
import shutil

import mlx.core as mx
import numpy as np
import pytest
from qwen3_checkpoints import read

from alignheads import InputError, SpeechModel, discover_heads, load_corpus, load_heads
from alignheads.runtime.models.checkpoint import TINY_FOLDER

CLIPS = 5


@pytest.fixture(scope="module")
def few(demo):
    return demo.sample(CLIPS, 0)


@pytest.fixture(scope="module")
def plain(tiny, few):
    """Hypothesis scores of the unchanged model."""
    return discover_heads(tiny, few, cuts=0)


@pytest.fixture(scope="module")
def forced(tiny, few):
    """Reference scores of the unchanged model, language given: what is scored never changes."""
    return discover_heads(tiny, few, text="reference", language="en", cuts=0)


def changed(folder, change):
    """The tiny model with `change(name, array)` applied to its attention projections."""
    shutil.copytree(TINY_FOLDER, folder)
    path = str(folder / "model.safetensors")
    weights = read(path)
    for name, array in weights.items():
        if name.startswith("model.layers.") and name.endswith("_proj.weight"):
            new = change(name, np.array(array))
            weights[name] = mx.array(np.ascontiguousarray(new))
    mx.eval(weights)
    mx.save_safetensors(path, weights)
    return SpeechModel.load(folder)


def layer_of(name):
    return int(name.split(".")[2])


def test_permuting_the_heads_of_the_checkpoint_permutes_the_heads_found(tiny, few, plain, tmp_path):
    layers, groups = tiny.num_layers, tiny.num_kv_heads
    size = tiny.num_heads // groups
    rng = np.random.default_rng(0)
    # new group g of layer l is the old order[l][g]; inside it head j is the old inner[l][g][j]
    order = [rng.permutation(groups) for _ in range(layers)]
    inner = [[rng.permutation(size) for _ in range(groups)] for _ in range(layers)]
    old_head = np.array(
        [
            [order[x][g] * size + j for g in range(groups) for j in inner[x][g]]
            for x in range(layers)
        ]
    )
    assert (old_head != np.arange(tiny.num_heads)).any(axis=1).all()

    def permute(name, array):
        layer = layer_of(name)
        if name.endswith("o_proj.weight"):
            by_head = array.reshape(len(array), tiny.num_heads, -1)
            return by_head[:, old_head[layer]].reshape(array.shape)
        if name.endswith("q_proj.weight"):
            return array.reshape(tiny.num_heads, -1)[old_head[layer]].reshape(array.shape)
        if name.endswith(("k_proj.weight", "v_proj.weight")):
            return array.reshape(groups, -1)[order[layer]].reshape(array.shape)
        return array

    found = discover_heads(changed(tmp_path / "permuted", permute), few, cuts=0)
    for metric in ("hit_rate", "monotonicity", "mass", "rho"):
        expected = np.take_along_axis(plain.matrix(metric), old_head, axis=1)
        assert found.matrix(metric) == pytest.approx(expected, abs=0.01), metric
    assert found.total_alignable_tokens == plain.total_alignable_tokens
    # The list is the old one under other names; equal scores may change places.
    renamed = [(layer, int(old_head[layer, head])) for layer, head in found.compact]
    scores = [plain.matrix("hit_rate")[pair] for pair in renamed]
    assert scores == pytest.approx(sorted(scores, reverse=True), abs=0.01)
    assert scores[0] == pytest.approx(plain.alignment_heads[0].ts, abs=0.01)
    assert np.abs(found.matrix("mass") - plain.matrix("mass")).max() > 0.05


def test_a_head_whose_query_is_zero_drops_to_chance_and_the_ones_beside_it_do_not(
    tiny, few, forced, tmp_path
):
    layer, head = forced.compact[0]

    def zero(name, array):
        if layer_of(name) == layer and name.endswith("q_proj.weight"):
            array.reshape(tiny.num_heads, -1)[head] = 0
        return array

    model = changed(tmp_path / "blind", zero)
    found = discover_heads(model, few, text="reference", language="en", cuts=0)
    assert forced.matrix("hit_rate")[layer, head] > 0.5
    # Its scores are all equal: the first frame is its attended one, and few words are there.
    assert found.matrix("hit_rate")[layer, head] < 0.1
    assert found.matrix("sink_share")[layer, head] == 1
    assert found.matrix("rho")[layer, head] == 0
    assert found.matrix("mass")[layer, head] < 0.15
    assert found.matrix("entropy_nats")[layer, head] == found.matrix("entropy_nats").max()
    assert (layer, head) not in found.compact
    # What comes before it, or stands beside it, does not hear of it.
    others = np.ones((tiny.num_layers, tiny.num_heads), bool)
    others[layer, head] = False
    others[layer + 1 :] = False
    same = found.matrix("hit_rate")[others]
    assert same == pytest.approx(forced.matrix("hit_rate")[others], abs=1e-9)


def test_the_tiny_model_has_real_alignment_heads(plain):
    best = plain.compact[0]
    assert plain.alignment_heads[0].ts > 0.8
    assert plain.matrix("rho")[best] > 0.7
    assert plain.matrix("time_error_p50_ms")[best] < 200
    assert plain.num_samples == CLIPS
    hits = [head.ts for head in plain.alignment_heads]
    assert hits == sorted(hits, reverse=True)
    assert min(hits) > plain.ts_threshold


def test_the_file_says_what_was_done(tiny, few, plain):
    assert (plain.model, plain.language) == ("tiny", "English")
    assert (plain.num_layers, plain.num_heads) == (tiny.num_layers, tiny.num_heads)
    assert plain.num_kv_heads == tiny.num_kv_heads
    assert plain.attention == "self"
    assert (plain.query, plain.text) == ("predicting", "hypothesis")
    assert plain.corpus.fingerprint == few.fingerprint
    assert (plain.corpus.utterances, plain.corpus.skipped) == (CLIPS, 0)
    assert plain.aligner.startswith("gold")
    assert plain.created_with.startswith("alignheads ")
    assert "border_auc" not in plain.metrics


def test_intervals_hold_the_score(plain):
    for metric, interval in plain.intervals.items():
        low, high = (np.array(m, float) for m in (interval.low, interval.high))
        score = plain.matrix(metric)
        known = np.isfinite(low)
        assert known.any() or metric == "border_auc"
        assert (low[known] <= high[known]).all()
        assert ((low <= score + 1e-6) & (score - 1e-6 <= high))[known].mean() > 0.95, metric


def test_reference_and_hypothesis_agree_on_what_aligns(plain, forced):
    assert forced.text == "reference"
    assert forced.ranking.validation["hit_rate_rho_hypothesis_reference"] > 0.8
    assert plain.ranking.validation["hit_rate_rho_hypothesis_reference"] > 0.8


def test_cuts_and_sets(tiny, demo):
    seen = []
    heads = discover_heads(
        tiny,
        demo,
        clips=8,
        rank_by="set",
        top=4,
        cuts=2,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (8, 8)
    assert (heads.ranking.method, heads.ranking.top) == ("set", 4)
    aucs = heads.matrix("border_auc")
    assert np.nanmax(aucs) > 0.85
    assert ((aucs >= 0) & (aucs <= 1)).all()
    own = [group for group in heads.ranking.groups if group.is_own and group.num_heads == 4]
    assert own[0].scores["border_auc"] > 0.5
    curve = heads.ranking.set_error_curve
    assert len(curve) <= len(heads.compact)


def test_saved_and_loaded_it_is_the_same(plain, tmp_path):
    plain.save(tmp_path / "heads.json")
    assert load_heads(tmp_path / "heads.json") == plain
    content = json.loads((tmp_path / "heads.json").read_text())
    assert content["alignment_heads_compact"] == [list(pair) for pair in plain.compact]


def test_names_and_folders_will_do(tmp_path):
    heads = discover_heads("tiny", "demo:dev", clips=2, cuts=0)
    assert (heads.corpus.name, heads.num_samples) == ("demo:dev", 2)


def test_a_transcript_that_matches_nothing_is_skipped_by_name_and_alone_refused(tiny, demo):
    from dataclasses import replace

    from alignheads.corpora import Corpus, WordTime

    good, other = demo.utterances[:2]
    words = tuple(WordTime("zzz", w.start_s, w.end_s) for w in other.words)
    wrong = replace(other, text="zzz " * len(words), words=words)
    heads = discover_heads(tiny, Corpus("two", (good, wrong)), cuts=0)
    assert (heads.corpus.utterances, heads.corpus.skipped) == (1, 1)
    with pytest.raises(InputError, match=f"no utterance of one could be scored.*{other.id}"):
        discover_heads(tiny, Corpus("one", (wrong,)), cuts=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": "both"}, "^text is 'both', expected hypothesis or reference"),
        ({"rank_by": "luck"}, "^rank_by is 'luck', expected one of hit_rate"),
        ({"top": 0}, "^top is 0"),
        ({"cuts": -1}, "^cuts is -1"),
        ({"rank_by": "border_auc", "cuts": 0}, "^rank_by is 'border_auc', which needs cuts of 1"),
        ({"clips": 0}, "0 clips"),
        ({"language": "klingon"}, "does not know the language 'klingon'"),
        ({"aligner": "magic"}, "no aligner 'magic'"),
    ],
)
def test_options_that_cannot_work(tiny, few, options, message):
    with pytest.raises(InputError, match=message):
        discover_heads(tiny, few, **options)


def test_an_unknown_corpus(tiny):
    with pytest.raises(InputError, match="no corpus 'nowhere'"):
        discover_heads(tiny, "nowhere")


def test_a_model_of_noise_is_told_from_one_that_listens(tiny, few, tmp_path):
    rng = np.random.default_rng(0)

    def noise(name, array):
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            return rng.normal(0, array.std(), array.shape).astype(array.dtype)
        return array

    model = changed(tmp_path / "noise", noise)
    heads = discover_heads(model, few, text="reference", language="en", cuts=0)
    assert np.nanmax(heads.matrix("hit_rate")) < 0.5


def test_the_corpus_by_default_is_the_demo(tiny):
    from alignheads.discovery.discover import prepare_corpus

    assert prepare_corpus(tiny, None, clips=1).whole.name == load_corpus("demo").name
