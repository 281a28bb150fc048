"""Figures: the data exact, the drawings free of overlaps, the files whole."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from alignheads.errors import InputError
from alignheads.heads import CorpusInfo, HeadGroup, HeadsFile, Interval, Ranking, load_heads
from alignheads.reports.figures import curves
from alignheads.reports.figures import heads as heads_figures
from alignheads.reports.figures.attention import (
    attention_over_mel,
    attention_over_mel_info,
    visible,
)
from alignheads.reports.figures.placing import spread
from alignheads.reports.figures.registry import heads_figures as heads_figures_of
from alignheads.reports.figures.style import save_figure, shortened
from alignheads.reports.figures.words import (
    METRICS,
    described,
    finding,
    model_name,
    published_heads,
    top_heads,
)


def rows(matrix):
    return [[None if np.isnan(v) else float(v) for v in row] for row in np.asarray(matrix)]


def heads_file(hits, scores=None, order=None, model="tiny", **fields):
    hits = np.asarray(hits, dtype=float)
    layers, heads = hits.shape
    if order is None:
        flat = np.argsort(-np.nan_to_num(hits, nan=-1), axis=None, kind="stable")
        order = [divmod(int(i), heads) for i in flat if not np.isnan(hits.flat[i])]
    fields.setdefault("corpus", CorpusInfo(name="demo", fingerprint="0", utterances=16))
    return HeadsFile(
        model=model,
        language="English",
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=heads,
        num_samples=16,
        total_alignable_tokens=1812,
        ts_threshold=0.1,
        ts_matrix=rows(hits),
        alignment_heads=[{"layer": i, "head": j, "ts": hits[i, j]} for i, j in order],
        scores={name: rows(matrix) for name, matrix in (scores or {}).items()},
        **fields,
    )


def realistic(layers, heads, model="tiny", **fields):
    """A file with every score, some undefined, ranked by border AUC."""
    rng = np.random.default_rng(layers)
    hits = rng.beta(0.4, 0.9, (layers, heads))
    noise = rng.normal(0, 0.05, (layers, heads))
    scores = {
        "border_auc": np.clip(0.42 + 0.55 * hits + noise, 0, 1),
        "commit_accuracy": np.clip(0.5 + 0.4 * hits + noise, 0, 1),
        "time_bias_ms": -900 * (1 - hits) + 1000 * noise,
        "monotonicity": 0.5 + 0.5 * hits,
        "rho": np.clip(hits + noise, -1, 1),
        "time_error_p50_ms": 3000 * (1 - hits) ** 2 + 30,
        "time_error_p90_ms": 6000 * (1 - hits) + 90,
        "mass": 0.6 * hits,
        "entropy_nats": 4 - 3 * hits,
        "sink_share": 0.8 * (1 - hits),
    }
    if hits.size > 1:
        scores["border_auc"][0, 0] = np.nan
    flat = np.argsort(-np.nan_to_num(scores["border_auc"], nan=0), axis=None)
    fields.setdefault("ranking", Ranking(method="score", metric="border_auc", top=1))
    order = [divmod(int(i), heads) for i in flat]
    return heads_file(hits, scores, order, model, **fields)


SHAPES = [(1, 1), (4, 8), (28, 16), (3, 64)]


def drawn_texts(figure):
    """Every text that is seen, with its box in pixels."""
    from matplotlib.text import Text

    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    texts = [*figure.texts]
    texts += [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        if not axes.axison:
            continue
        texts += [*axes.texts, axes.title, axes._left_title, axes._right_title]
        texts += axes.get_legend().get_texts() if axes.get_legend() else []
        for axis in (axes.xaxis, axes.yaxis):
            texts.append(axis.label)
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                if low <= tick.get_loc() <= high:
                    texts += [tick.label1, tick.label2]
    return [
        (text.get_text(), Text.get_window_extent(text, renderer))
        for text in texts
        if text.get_text().strip() and text.get_visible()
    ]


def check_texts(figure):
    """No text overlaps another or is cut off by the edge."""
    texts = drawn_texts(figure)
    assert texts
    for text, box in texts:
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y1 <= figure.bbox.y1, text
    for (one, a), (other, b) in itertools.combinations(texts, 2):
        wide = min(a.x1, b.x1) - max(a.x0, b.x0)
        high = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert wide <= 0.5 or high <= 0.5, f"{one!r} lies on {other!r}"


def test_the_check_itself_sees_overlaps_and_cut_text():
    figure = heads_figures.score_heatmap(heads_figures.score_heatmap_info(realistic(4, 8)))
    check_texts(figure)
    cut = figure.text(0.99, 0.5, "far too long for the edge")
    with pytest.raises(AssertionError, match="far too long"):
        check_texts(figure)
    cut.remove()
    figure.axes[0].text(0, 0, "over a cell's value", ha="center", va="center")
    with pytest.raises(AssertionError, match="lies on"):
        check_texts(figure)


# -- words --------------------------------------------------------------------------------------


def test_heatmap_info_counts_the_heads_that_follow():
    heads = heads_file([[0.9, 0.1, 0.8], [0.79, np.nan, 0.3]])
    info = heads_figures.score_heatmap_info(heads, top=2)
    np.testing.assert_array_equal(info.values, [[0.9, 0.1, 0.8], [0.79, np.nan, 0.3]])
    assert info.top == ((0, 0), (0, 2))
    assert info.title == "tiny: 2 of 6 heads follow the audio (hit rate 0.8 or more)"
    assert info.subtitle == (
        "demo, 16 clips, 1,812 tokens · outlined: the best 2 by hit rate · hatched: undefined"
    )


@pytest.mark.parametrize(
    ("hits", "words"),
    [
        ([[0.9]], "1 of 1 head follows the audio (hit rate 0.8 or more)"),
        ([[0.9, 0.1]], "1 of 2 heads follows the audio (hit rate 0.8 or more)"),
        ([[0.34, 0.1]], "no head follows the audio (hit rate 0.8 or more), best 0.34"),
        ([[np.nan, np.nan]], "hit rate is undefined for every head"),
    ],
)
def test_findings_of_the_hit_rate(hits, words):
    heads = heads_file(hits)
    assert finding(heads, "hit_rate", heads.matrix("hit_rate")) == f"tiny: {words}"


def test_findings_of_other_scores_name_the_best_head_and_its_interval():
    scores = {"time_error_p50_ms": [[900, 80.4], [np.nan, 120]], "rho": [[0.5, 0.25], [0, -1]]}
    low, high = rows([[0.4, 0], [0, -1]]), rows([[0.61, 1], [1, 1]])
    heads = heads_file(np.ones((2, 2)), scores, intervals={"rho": Interval(low=low, high=high)})
    error = heads_figures.score_heatmap_info(heads, "time_error_p50_ms")
    assert error.title == "tiny: median time error is best in layer 0, head 1: 80 ms"
    rho = heads_figures.score_heatmap_info(heads, "rho")
    assert rho.title == (
        "tiny: Spearman's rho is best in layer 0, head 0: 0.50 (95 %: 0.40 to 0.61)"
    )


def test_top_is_twenty_or_a_quarter():
    assert len(top_heads(heads_file(np.ones((28, 16))), None)) == 20
    assert len(top_heads(heads_file(np.ones((4, 8))), None)) == 8
    assert top_heads(heads_file([[0.5]]), None) == ((0, 0),)
    assert top_heads(heads_file([[np.nan]]), None) == ()


def test_heads_without_scores_are_called_listed_and_are_all_shown():
    info = heads_figures.score_heatmap_info(load_heads("whisper-large-v2"))
    assert info.title == "whisper-large-v2: 23 heads listed, without scores"
    assert info.subtitle == "not measured · outlined: the 23 listed · hatched: undefined"
    assert len(info.top) == 23


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        ("tiny", (4, 8)),  # its bundled file was made here
        ("mine", (6, 8)),
        ("someone/whisper-base-german", (6, 8)),
        ("openai/whisper-base", (6, 9)),
        ("openai/whisper-base", (4, 8)),
    ],
)
def test_no_heads_were_published_for_other_models(model, shape):
    info = heads_figures.score_heatmap_info(realistic(*shape, model=model))
    assert info.published == ()
    assert "published" not in info.subtitle


@pytest.mark.parametrize("name", ["0.6b", "whisper-base"])
def test_published_heads_are_not_compared_with_themselves(name):
    assert published_heads(load_heads(name)) == ()


def test_published_heads_are_counted_among_the_outlined():
    mask = load_heads("whisper-base").compact
    hits = np.full((6, 8), 0.1)
    hits[tuple(zip(*mask[:5], strict=True))] = 0.9
    heads = heads_file(hits, model="mlx-community/whisper-base-mlx-4bit")
    info = heads_figures.score_heatmap_info(heads, top=6)
    assert info.published == tuple(mask)
    assert info.subtitle == (
        "demo, 16 clips, 1,812 tokens · outlined: the best 6 by hit rate · "
        "dotted: the 8 published, 5 of them outlined"
    )
    assert info.subtitle == heads_figures.score_heatmaps_info(heads, top=6).subtitle
    (heatmap, *_) = heads_figures_of(heads)
    assert heatmap.alt.endswith("the best outlined, the published ones dotted.")


def test_of_published_scores_the_best_twenty_count():
    info = heads_figures.score_heatmap_info(realistic(28, 16, model="Qwen/Qwen3-ASR-0.6B"))
    assert info.published == tuple(load_heads("0.6b").top(20))


def test_names_are_short_and_published_files_have_no_corpus():
    assert model_name("Qwen/Qwen3-ASR-0.6B") == "Qwen3-ASR-0.6B"
    assert model_name("/models/a fine-tune/") == "a fine-tune"
    assert model_name("C:\\models\\mine") == "mine"
    assert shortened("abcdefghij", 5) == "ab…ij"
    assert len(model_name("x" * 500)) == 40
    assert described(heads_file([[1]], corpus=None)) == "16 clips, 1,812 tokens"


def test_set_ranking_is_called_a_set():
    ranking = Ranking(method="set", metric="hit_rate", top=1)
    info = heads_figures.score_heatmap_info(heads_file([[0.5, 0.9]], ranking=ranking), top=1)
    assert info.subtitle.endswith("outlined: the best 1 chosen as a set")


def test_panel_of_scores_has_every_score_once():
    info = heads_figures.score_heatmaps_info(realistic(4, 8))
    assert [panel.metric for panel in info.panels] == list(METRICS)
    assert info.title == "tiny: 10 scores of 32 heads, dark is good in each"


@pytest.mark.parametrize("metric", ["border_auc", "nonsense"])
def test_a_score_that_is_not_there(metric):
    with pytest.raises(InputError, match=f"no score '{metric}'; it has hit_rate"):
        heads_figures.score_heatmap_info(heads_file([[0.5]]), metric)


def test_scatter_info_leaves_out_undefined_heads_and_says_so():
    bias = [[-20, np.nan], [-150, 30]]
    heads = heads_file([[0.9, 0.8], [0.2, 0.5]], {"time_bias_ms": bias})
    info = heads_figures.hit_rate_against_bias_info(heads, top=2)
    assert info.heads == ((0, 0), (1, 0), (1, 1))
    np.testing.assert_array_equal(info.hit_rate, [0.9, 0.2, 0.5])
    np.testing.assert_array_equal(info.bias_ms, [-20, -150, 30])
    assert info.top == 1
    assert info.title == "tiny: none of the best 1 head looks 100 ms or more too early"
    assert info.subtitle.endswith("1 head without a value not shown")


def test_scatter_title_tells_who_looks_too_early():
    heads = heads_file([[0.9, 0.5, 0.1]], {"time_bias_ms": [[-240, -99, -700]]})
    title = heads_figures.hit_rate_against_bias_info(heads, top=2).title
    assert title == "tiny: 1 of the best 2 heads looks 100 ms or more too early"
    title = heads_figures.hit_rate_against_bias_info(heads, top=3).title
    assert title == "tiny: 2 of the best 3 heads look 100 ms or more too early"


def test_scatter_needs_the_bias():
    with pytest.raises(InputError, match="no time bias; discover the heads again"):
        heads_figures.hit_rate_against_bias_info(heads_file([[0.5]]))


# -- drawings of heads --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "metric"),
    [*((shape, "border_auc") for shape in SHAPES), *(((4, 8), metric) for metric in METRICS)],
)
def test_heatmap_has_no_overlaps(shape, metric):
    heads = realistic(*shape, model="Qwen/Qwen3-ASR-0.6B")
    info = heads_figures.score_heatmap_info(heads, metric)
    figure = heads_figures.score_heatmap(info)
    check_texts(figure)
    labels = {text for text, _ in drawn_texts(figure)}
    assert {
        "layer",
        "head",
    } <= labels
    assert f"{METRICS[metric].label} ({METRICS[metric].unit})" in {
        " ".join(label.split()) for label in labels
    }


def test_heatmap_cells_carry_their_own_value():
    """Layer is x and head is y: a transposed or flipped picture puts a value elsewhere."""
    hits = np.linspace(0, 0.77, 8).reshape(2, 4)
    figure = heads_figures.score_heatmap(heads_figures.score_heatmap_info(heads_file(hits), top=1))
    axes = figure.axes[0]
    found = {text.get_position(): text.get_text() for text in axes.texts}
    expected = {(i, j): f"{hits[i, j]:.2f}" for i, j in np.ndindex(2, 4)}
    expected[1, 3] = "#1   0.77"
    assert found == expected
    mesh = axes.collections[0].get_array()
    np.testing.assert_array_equal(np.reshape(mesh, (4, 2)).T, hits)
    x0, x1 = axes.transData.transform([(0, 0), (1, 0)])[:, 0]
    y0, y1 = axes.transData.transform([(0, 0), (0, 1)])[:, 1]
    assert x0 < x1
    assert y0 > y1


def test_heatmap_outlines_the_top_heads_alone():
    figure = heads_figures.score_heatmap(heads_figures.score_heatmap_info(realistic(28, 16)))
    info = heads_figures.score_heatmap_info(realistic(28, 16))
    centres = [tuple(np.round(patch.get_center()).astype(int)) for patch in figure.axes[0].patches]
    assert centres == list(info.top)
    assert len(info.top) == 20


@pytest.mark.parametrize(
    ("model", "shape"),
    [("whisper-tiny.en", (4, 6)), ("whisper-base", (6, 8)), ("1.7b", (28, 16)),
     ("whisper-large-v2", (32, 20)), ("whisper-turbo", (4, 20))],
)  # fmt: skip
def test_every_published_head_has_its_dot(model, shape):
    """In its own cell, and in each panel; off the text where there is text."""
    heads = realistic(*shape, model=model)
    info = heads_figures.score_heatmap_info(heads)
    assert info.published
    figure = heads_figures.score_heatmap(info)
    check_texts(figure)
    panels = heads_figures.score_heatmaps(heads_figures.score_heatmaps_info(heads))
    check_texts(panels)
    drawn = [figure.axes[0], *(axes for axes in panels.axes if axes.get_title(loc="left"))]
    assert len(drawn) == 1 + len(METRICS)
    for axes in drawn:
        dots = axes.collections[1]
        cells = [tuple(map(int, np.round(place))) for place in dots.get_offsets()]
        assert cells == list(info.published)
    radius = np.sqrt(figure.axes[0].collections[1].get_sizes()[0]) / 2 / 72 * figure.dpi
    places = figure.axes[0].transData.transform(figure.axes[0].collections[1].get_offsets())
    for text, box in drawn_texts(figure):
        for x, y in places:
            assert not (box.x0 - radius < x < box.x1 + radius and box.y0 < y < box.y1), text


def test_dark_is_good_in_both_directions():
    def darkness(metric, value):
        values = np.array([[METRICS[metric].limits[0], value, METRICS[metric].limits[1]]])
        info = heads_figures.ScoreHeatmap(metric, values, (), "title", "")
        mesh = heads_figures.score_heatmap(info).axes[0].collections[0]
        return 3 - sum(mesh.to_rgba(value)[:3])

    assert darkness("hit_rate", 0.9) > darkness("hit_rate", 0.1)
    assert darkness("time_error_p50_ms", 100) > darkness("time_error_p50_ms", 900)


@pytest.mark.parametrize("metric", list(METRICS))
def test_heatmap_of_undefined_and_of_equal_scores(metric):
    for value in (np.nan, 0.0):
        scores = {} if metric == "hit_rate" else {metric: np.full((2, 2), value)}
        heads = heads_file(np.full((2, 2), value), scores)
        check_texts(heads_figures.score_heatmap(heads_figures.score_heatmap_info(heads, metric)))


@pytest.mark.parametrize("shape", [(1, 1), (28, 16)])
def test_panels_have_no_overlaps(shape):
    check_texts(heads_figures.score_heatmaps(heads_figures.score_heatmaps_info(realistic(*shape))))


def test_every_column_of_panels_is_labelled_at_its_foot():
    info = heads_figures.score_heatmaps_info(realistic(4, 8))
    figure = heads_figures.score_heatmaps(replace(info, panels=info.panels[:5]))
    check_texts(figure)
    assert [text for text, _ in drawn_texts(figure)].count("layer") == 3
    assert [text for text, _ in drawn_texts(figure)].count("head") == 2


def test_panel_of_one_score():
    info = heads_figures.score_heatmaps_info(heads_file([[0.9, 0.1]]))
    check_texts(heads_figures.score_heatmaps(info))


@pytest.mark.parametrize("shape", SHAPES)
def test_scatter_has_no_overlaps(shape):
    info = heads_figures.hit_rate_against_bias_info(realistic(*shape))
    figure = heads_figures.hit_rate_against_bias(info)
    check_texts(figure)
    assert len(figure.axes[0].collections[0].get_offsets()) == len(info.heads)
    named = {text.get_text() for text in figure.axes[0].texts}
    assert named <= {f"L{layer} H{head}" for layer, head in info.heads[: info.top]}
    assert named


def test_scatter_of_heads_that_all_lie_on_one_spot():
    heads = heads_file(np.full((4, 8), 0.5), {"time_bias_ms": np.full((4, 8), -40)})
    info = heads_figures.hit_rate_against_bias_info(heads)
    assert info.title.startswith("tiny: none of the best 8 heads looks 100 ms")
    check_texts(heads_figures.hit_rate_against_bias(info))


def test_scatter_without_any_defined_head():
    heads = heads_file([[0.5, 0.4]], {"time_bias_ms": [[np.nan, np.nan]]})
    info = heads_figures.hit_rate_against_bias_info(heads)
    check_texts(heads_figures.hit_rate_against_bias(info))


def test_long_names_are_wrapped_and_cut():
    heads = realistic(4, 8, model="models/" + "a-very-long-fine-tune-name-" * 9)
    check_texts(heads_figures.score_heatmap(heads_figures.score_heatmap_info(heads, "rho")))
    check_texts(
        heads_figures.hit_rate_against_bias(heads_figures.hit_rate_against_bias_info(heads))
    )


# -- attention ----------------------------------------------------------------------------------


def utterance(count, duration_s, seed=0):
    """Words of unequal length, two tokens each, attention peaked in the middle of the word."""
    rng = np.random.default_rng(seed)
    bounds_s = np.cumsum(rng.uniform(0.2, 2, count + 1))
    bounds_s *= duration_s / (bounds_s[-1] + 0.3)
    words = [
        (("mountain", "$a$", "qualification")[i % 3], float(bounds_s[i]), float(bounds_s[i + 1]))
        for i in range(count)
    ]
    frames = int(np.ceil(duration_s * 13))
    tokens = [piece for text, *_ in words for piece in (f" {text[:4]}", f"{text[4:]}\n")]
    spans = [(start_s, end_s) for _, start_s, end_s in words for _ in range(2)]
    centres = np.array([(s + e) / 2 * 13 for s, e in spans])
    attention = np.exp(-0.5 * ((np.arange(frames) + 0.5 - centres[:, None]) / 1.5) ** 2)
    mel = rng.normal(size=(128, int(duration_s * 100)))
    return (
        mel,
        100,
        attention / attention.sum(1, keepdims=True),
        edges(frames),
        tokens,
        spans,
        words,
    )


def edges(frames):
    """[frames + 1], of 13 frames of 80 ms that restart with each second."""
    return np.array([frame // 13 + frame % 13 * 0.08 for frame in range(frames + 1)])


def test_attention_info_counts_what_lies_within_the_words():
    attention = np.zeros((5, 13))
    attention[[0, 1, 2], [0, 6, 6]] = 1
    attention[3] = np.nan
    # Frame 6 is from 0.48 to 0.56 s.
    spans = [(0.0, 0.2), (0.0, 0.48), (0.55, 0.6), (0.0, 1.0), None]
    info = attention_over_mel_info(
        np.zeros((128, 100)), 100, attention, edges(13), list("abcde"), spans,
        [("a", 0.0, 0.2)], "title", "clip 1",
    )  # fmt: skip
    assert info.attended == (0, 6, 6, None, None)
    assert info.subtitle == "clip 1 · the attended frame is within the word for 2 of 4 tokens"
    check_texts(attention_over_mel(info))


def test_attention_draws_dots_and_spans_where_they_belong():
    mel, per_s, attention, edges_s, tokens, spans, words = utterance(3, 2.0)
    info = attention_over_mel_info(
        mel, per_s, attention, edges_s, tokens, [None, *spans[1:]], words, "title"
    )
    figure = attention_over_mel(info)
    mesh, outlines, dots = figure.axes[1].collections
    np.testing.assert_allclose(mesh.get_coordinates()[0, :, 0], edges_s)
    for row, (x, y) in enumerate(np.asarray(dots.get_offsets())):
        assert y == row
        assert spans[row][0] < x < spans[row][1]
        frame = attention[row].argmax()
        assert x == pytest.approx((edges_s[frame] + edges_s[frame + 1]) / 2)
    boxes = [path.get_extents() for path in outlines.get_paths()]
    np.testing.assert_allclose([(b.x0, b.x1) for b in boxes], spans[1:])
    assert [(b.y0, b.y1) for b in boxes] == [(r - 0.5, r + 0.5) for r in range(1, len(spans))]
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim() == (0, 2)


@pytest.mark.parametrize(("count", "duration_s"), [(1, 0.5), (40, 15), (150, 40)])
def test_attention_has_no_overlaps(count, duration_s):
    info = attention_over_mel_info(*utterance(count, duration_s), "tiny: layer 2, head 5")
    check_texts(attention_over_mel(info))


def test_attention_of_silence_without_words():
    info = attention_over_mel_info(
        np.zeros((128, 50)), 100, np.zeros((1, 7)), edges(7), ["<|im_end|>"], [None], [],
        "no words", "silence",
    )  # fmt: skip
    assert info.subtitle == "silence"
    check_texts(attention_over_mel(info))


def test_attention_with_characters_that_no_font_may_have():
    info = attention_over_mel_info(
        np.ones((128, 100)),
        100,
        np.eye(3, 13),
        edges(13),
        ["你好", "\ufffd", "\U0001f600 $\\frac$"],
        [(0.0, 0.4)] * 3,
        [("你好", 0.0, 0.4), ("\x00", 0.4, 0.8)],
        "title with 你好 and $x$",
    )
    check_texts(attention_over_mel(info))


def test_visible_tokens():
    assert visible(" the") == "·the"
    assert visible("a\n\tb\x00") == "a\\n\\tb\\x00"


@pytest.mark.parametrize(
    ("mel", "attention", "tokens", "spans"),
    [
        ((128, 100), (2, 13), 1, 2),
        ((128, 100), (2, 13), 2, 1),
        ((128, 100), (0, 13), 0, 0),
        ((128, 0), (2, 13), 2, 2),
        ((128, 100), (2, 0), 2, 2),
    ],
)
def test_attention_shapes_that_do_not_fit(mel, attention, tokens, spans):
    with pytest.raises(ValueError, match=r"attention|rows"):
        attention_over_mel_info(
            np.ones(mel), 100, np.ones(attention), edges(attention[1]), ["a"] * tokens,
            [None] * spans, [], "title",
        )  # fmt: skip


# -- curves -------------------------------------------------------------------------------------


def ranked(**fields):
    ranking = Ranking(**{"method": "score", "metric": "hit_rate", "top": 20, **fields})
    return realistic(4, 8, ranking=ranking)


def test_stability_from_the_file_alone():
    info = curves.stability_curve_info(ranked(top_stability=0.8, clips_needed=64))
    np.testing.assert_array_equal(info.clips, [16])
    np.testing.assert_array_equal(info.stability, [0.8])
    assert info.needed == 64
    assert info.expected[0] == pytest.approx((16, 0.8))
    assert info.expected[-1] == pytest.approx((64, 0.9))
    assert info.title == (
        "tiny: a new sample of 16 clips would keep 80 % of the top 20; 64 clips are needed for 90 %"
    )
    check_texts(curves.stability_curve(info))


def test_stability_goal_is_that_of_discovery():
    from alignheads.discovery.ranking import STABLE

    assert curves.STABLE == STABLE


@pytest.mark.parametrize("needed", [None, 32])
def test_stability_that_is_reached_needs_no_more(needed):
    heads = ranked(top_stability=0.95, clips_needed=needed)
    info = curves.stability_curve_info(heads, [8, 16, 32], [0.5, 0.8, 0.95])
    assert info.needed is None
    assert info.expected == ()
    assert info.title == "tiny: a new sample of 32 clips would keep 95 % of the top 20"
    check_texts(curves.stability_curve(info))


@pytest.mark.parametrize("clips", [[4, 8, 16], list(range(1, 60)), [100, 101, 102, 10_000]])
def test_stability_has_no_overlaps(clips):
    shares = np.linspace(0.1, 0.8, len(clips))
    heads = ranked(top_stability=0.8, clips_needed=clips[-1] * 4)
    info = curves.stability_curve_info(heads, clips, shares, shares - 0.1, shares + 0.1)
    check_texts(curves.stability_curve(info))


def test_stability_that_a_file_does_not_know():
    for heads in (realistic(4, 8), heads_file([[0.5]])):
        with pytest.raises(InputError, match="does not say how stable"):
            curves.stability_curve_info(heads)
    with pytest.raises(ValueError, match="differ in length"):
        curves.stability_curve_info(ranked(top_stability=0.8), [8, 16], [0.5])


def group(name, num_heads, time_error_ms=None, is_own=False):
    scores = {"border_auc": 0.5}
    if time_error_ms is not None:
        scores["time_error_ms"] = time_error_ms
    return HeadGroup(name=name, is_own=is_own, num_heads=num_heads, scores=scores)


GROUPS = [
    group("first of these", 1, 160.0, is_own=True),
    group("the whole set", 2, 97.0, is_own=True),
    group("all heads", 32, 420.0),
    group("hit rate, best 20", 20, 125.0),
    group("hit rate, best 8", 8, 124.0),
    group("hit rate, best 1", 1, 124.5),
    group("no error known", 4),
    group("no error known", 3, is_own=True),
]


def test_set_error_info_tells_held_out_groups_from_baselines():
    heads = ranked(method="set", set_error_curve=[150.0, 90.0, 95.0], groups=GROUPS)
    info = curves.set_error_curve_info(heads)
    np.testing.assert_array_equal(info.errors_ms, [150, 90, 95])
    assert info.held_out == {1: 160, 2: 97}
    assert list(info.baselines.items()) == [
        ("all heads", 420),
        ("hit rate, best 20", 125),
        ("hit rate, best 8", 124),
        ("hit rate, best 1", 124.5),
    ]
    assert info.title == (
        "tiny: 2 heads chosen as a set err by 97 ms, the best baseline (hit rate, best 8) "
        "by 124 ms, on held-out clips"
    )
    figure = curves.set_error_curve(info)
    check_texts(figure)
    assert "mean error of the median frame (ms)" in {text for text, _ in drawn_texts(figure)}


def test_set_error_of_one_head_without_baselines():
    info = curves.set_error_curve_info(ranked(method="set", set_error_curve=[0.0]))
    assert info.title == "tiny: 1 head chosen as a set errs by 0 ms"
    check_texts(curves.set_error_curve(info))


def test_set_error_needs_a_set():
    with pytest.raises(InputError, match="discover-heads --rank-by set"):
        curves.set_error_curve_info(ranked())


# -- placing and files --------------------------------------------------------------------------


def test_spread_moves_no_more_than_it_must():
    assert spread([], 1) == []
    assert spread([3, 1], 1) == [3, 1]
    assert spread([5, 5], 2) == [4, 6]
    moved = np.array(spread([9.0, 0.0, 0.2, 0.1, 9.5], 1.0))
    assert np.argsort(moved).tolist() == [1, 3, 2, 0, 4]
    assert np.diff(np.sort(moved)).min() >= 1 - 1e-9
    assert moved == pytest.approx([8.75, -0.9, 1.1, 0.1, 9.75])


@pytest.fixture(scope="module")
def figure():
    return heads_figures.score_heatmap(heads_figures.score_heatmap_info(realistic(4, 8)))


@pytest.mark.parametrize(
    ("name", "start"), [("f.png", b"\x89PNG"), ("f.SVG", b"<?xml"), ("f.pdf", b"%PDF")]
)
def test_files_are_whole_and_the_same_every_time(figure, tmp_path, name, start):
    save_figure(figure, tmp_path / name)
    first = (tmp_path / name).read_bytes()
    assert first.startswith(start)
    save_figure(figure, tmp_path / name)
    assert (tmp_path / name).read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["f.jpg", "f", "f.png.gz", ".png"])
def test_other_formats_are_refused(figure, tmp_path, name):
    with pytest.raises(InputError, match=r"must end in \.png, \.svg or \.pdf"):
        save_figure(figure, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_paths_that_cannot_be_written(figure, tmp_path):
    with pytest.raises(InputError, match=r"cannot write .*No such file"):
        save_figure(figure, tmp_path / "missing" / "f.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError, match=r"cannot write .*folder.png"):
        save_figure(figure, tmp_path / "folder.png")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


def test_a_failed_save_leaves_the_old_file(figure, tmp_path, monkeypatch):
    path = tmp_path / "f.png"
    path.write_bytes(b"old")

    def full_disk(target, **_):
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure, "savefig", full_disk)
    with pytest.raises(InputError, match="No space left"):
        save_figure(figure, path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["f.png"]


def test_the_user_s_settings_neither_change_nor_matter(tmp_path):
    import matplotlib

    def picture(name):
        info = heads_figures.score_heatmap_info(realistic(4, 8))
        save_figure(heads_figures.score_heatmap(info), tmp_path / name)
        return (tmp_path / name).read_bytes()

    plain = picture("a.png")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "savefig.dpi": 20}):
        before = dict(matplotlib.rcParams)
        assert picture("b.png") == plain
        assert dict(matplotlib.rcParams) == before


def test_importing_the_figures_imports_no_matplotlib_and_drawing_no_pyplot():
    code = (
        "import sys; from alignheads.reports.figures import curves, heads, attention;"
        "assert not {'matplotlib', 'mlx', 'pydantic'} & set(sys.modules), 'heavy';"
        "from alignheads.reports.figures.style import new_figure\n"
        "with new_figure(4, 3, 'title') as figure: figure.add_subplot()\n"
        "assert 'matplotlib.pyplot' not in sys.modules, 'pyplot'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_infos_are_plain_data(figure):
    """What is drawn depends on the info alone."""
    info = heads_figures.score_heatmap_info(realistic(4, 8))
    changed = heads_figures.score_heatmap(replace(info, title="Another finding"))
    assert "Another finding" in {text for text, _ in drawn_texts(changed)}
