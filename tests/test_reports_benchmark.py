"""The report: findings computed from the data, figures without overlaps, a page that is safe."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_evaluate_files import file_of, observation, published_file, run_of, times
from test_reports_figures import check_texts, drawn_texts

from alignheads.evaluate.latency import CommittedWord
from alignheads.evaluate.load import load_benchmark
from alignheads.evaluate.result import CorpusInfo, Machine
from alignheads.evaluate.trace_types import AudioPart, DecodingStep, GoldWord, TokenStep, Trace
from alignheads.evaluate.traces import packed_mel
from alignheads.reports.cli import main
from alignheads.reports.figures import benchmark as draw
from alignheads.reports.figures import speed as speed_figure
from alignheads.reports.figures.drawing import Drawing
from alignheads.reports.figures.inline_svg import PAGE_COLOURS
from alignheads.reports.figures.timeline import timeline, timeline_info
from alignheads.reports.page.listening import audio_address, captions
from alignheads.reports.page.report import Report
from alignheads.reports.page.text_differences import differences
from alignheads.reports.published import published
from alignheads.reports.rows import (
    headline,
    interval,
    make_rows,
    not_comparable,
    percent,
    seconds,
    speed,
)
from alignheads.runtime.models.spectrogram import Spectrogram


@pytest.fixture
def call(in_process):
    """Call `render-report`: (exit code, stdout, stderr)."""
    return in_process(main, "render-report")


WORDS = (("so", 0.2, 0.5, 1.0), ("it", 0.6, 0.8, 2.0), ("is", 1.0, 1.4, 2.0))


def a_trace(tmp_path, id="a", words=WORDS, seconds=3.0):
    """A trace of `words` (text, start, end, emitted) with audio, and its observation."""
    tone = 0.1 * np.sin(np.arange(int(seconds * 16_000)) / 20)
    soundfile.write(tmp_path / f"{id}.wav", tone, 16_000)
    committed = [
        CommittedWord(text=t, start_s=s, end_s=e, emitted_s=out, lag_s=0.01)
        for t, s, e, out in words
    ]
    steps = [
        DecodingStep(
            audio_s=moment, buffer_start_s=0.0, border_s=0.4, reason="border",
            tokens=[
                *(TokenStep(text=f" {t}", attended_s=s, committed=True, reason="")
                  for t, s, _, out in words if out == moment),
                TokenStep(text=" next", attended_s=moment - 0.1, committed=False, reason="border"),
            ],
        )
        for moment in sorted({out for *_, out in words})
    ]  # fmt: skip
    noise = np.random.default_rng(0).normal(size=(128, int(100 * seconds)))
    trace = Trace(
        id=id, seconds=seconds, audio=[AudioPart(path=str(tmp_path / f"{id}.wav"))],
        gold=[GoldWord(text=t.upper(), start_s=s, end_s=e) for t, s, e, _ in words],
        mel=packed_mel(Spectrogram(noise, 100), seconds),
        steps=steps,
    )  # fmt: skip
    text = " ".join(t for t, *_ in words)
    seen = observation(
        id, text.upper(), text, duration_s=seconds, words=committed,
        times=times([out - e for _, _, e, out in words]),
    )  # fmt: skip
    return trace, seen


def traced_file(tmp_path, **fields):
    trace, seen = a_trace(tmp_path)
    run = run_of([seen]).model_copy(update={"traces": [trace]})
    return file_of(run, run_of([seen.model_copy(update={"words": None, "times": None})],
                               "offline", "offline"), **fields)  # fmt: skip


def rows_of(*files):
    return make_rows([(Path(f"{index}.json"), file) for index, file in enumerate(files)])


def many(count, errors=0, delays=(0.3, 0.9)):
    """`count` utterances of two words, the first `errors` of them with one wrong."""
    return [
        observation(str(i), "one two", "one too" if i < errors else "one two",
                    words=[], times=times(list(delays)))
        for i in range(count)
    ]  # fmt: skip


# Words


def test_numbers_in_words():
    assert percent(0.03295) == "3.29\u00a0%"
    assert percent(None) == seconds(None) == "–"
    assert seconds(-0.25) == "−0.25\u00a0s"
    assert speed(0.043) == "23 times faster than speech"
    assert speed(0.5) == "2.0 times faster than speech"
    assert speed(1.5) == "1.5 times slower than speech"


def test_no_error_is_not_certainty():
    rate = run_of(many(50)).totals.texts["basic"].words
    assert interval(rate) == "below 3.00\u00a0%"
    rate = run_of(many(50, errors=10)).totals.texts["basic"].words
    assert re.fullmatch(r"\d+\.\d\d to \d+\.\d\d\u00a0%", interval(rate))


def test_the_headline_is_that_of_the_best_run_that_streams():
    live = run_of(many(20, errors=2))
    best = run_of(many(20, errors=0), "offline", "offline")
    assert headline(rows_of(file_of(live, best))) == (
        "tiny on demo:test: 5.00\u00a0% of words wrong, out 0.60\u00a0s after they are spoken, "
        "4.0 times faster than speech"
    )
    assert "0.00\u00a0% of words wrong" in headline(rows_of(file_of(best)))


def test_runs_are_named_apart():
    one, other = run_of(many(2)), run_of(many(2), "offline", "offline")
    assert [r.label for r in rows_of(file_of(one, other))] == ["simul", "offline"]
    named = [r.label for r in rows_of(file_of(one), file_of(one))]
    assert named == ["0: simul", "1: simul"]
    digits = file_of(
        one, corpus=CorpusInfo(name="digits", fingerprint="1", utterances=2, group="chapter")
    )
    named = [r.label for r in rows_of(file_of(one), digits)]
    assert named == ["simul, demo:test, by utterance", "simul, digits, by chapter"]
    same = make_rows([(Path("a.json"), file_of(one)), (Path("a.json"), file_of(one))])
    assert len({row.label for row in same}) == 2


@pytest.mark.parametrize(
    ("corpus", "group", "utterances", "device", "reasons"),
    [
        ("librispeech:test-clean", "utterance", 500, "Apple M5", []),
        ("librispeech:test-clean", "utterance", 500, "Apple M1", ["other hardware"]),
        ("librispeech:test-clean", "utterance", 2620, "Apple M5", ["other utterances"]),
        ("librispeech:test-clean", "chapter", 87, "Apple M5", ["cut otherwise"]),
        ("demo:test", "utterance", 500, "AMD", ["other speech", "other hardware"]),
    ],
)
def test_what_is_not_comparable_is_said(corpus, group, utterances, device, reasons):
    file = file_of(
        run_of(many(utterances)),
        corpus=CorpusInfo(name=corpus, fingerprint="0", utterances=utterances, group=group),
        machine=Machine(platform="here", device=device, backend="Metal"),
    )
    point = next(p for p in published().points if p.hardware == "Apple M5")
    found = not_comparable(rows_of(file)[0], point)
    assert len(found) == len(reasons)
    assert all(reason in line for reason, line in zip(reasons, found, strict=True))


def test_the_published_figures_are_whole():
    known = published()
    assert len(known.points) == 27
    simul = [p for p in known.points if p.set == "M5, March 2026"]
    assert [(p.wer_percent, p.rtf) for p in simul] == [(3.3, 0.263), (4.07, 0.944)]
    assert {p.unit for p in known.points} == {"utterance", "chapter", "talk", "not stated"}
    assert "github.com" in known.source


def test_differences_are_those_of_the_alignment():
    found = [tuple(piece) for piece in differences("A RED HOUSE STANDS", "A BLUE HOUSE STANDS BY")]
    assert found == [
        ("equal", "A"), ("deleted", "RED"), ("inserted", "BLUE"), ("equal", "HOUSE STANDS"),
        ("inserted", "BY"),
    ]  # fmt: skip
    assert differences("", "") == []
    assert [tuple(piece) for piece in differences("", "X")] == [("inserted", "X")]


# Figures


def test_delay_curves_hold_the_data():
    early, late = run_of(many(10, delays=(0.1, 0.3))), run_of(many(10, delays=(0.8, 1.0)), "late")
    shot = run_of(many(10, delays=(5.0, 9.0)), "single-shot", "single-shot")
    info = draw.delay_curves_info(rows_of(file_of(late, early, shot)))
    assert [curve.name for curve in info.curves] == ["late", "simul"]
    assert info.curves[1].delays_s.tolist() == [0.1] * 10 + [0.3] * 10
    assert info.curves[1].shares[-1] == 1
    assert info.title == (
        "simul is earliest: half of its words are out within 0.20\u00a0s; of late within "
        "0.90\u00a0s"
    )
    assert "single-shot" in info.subtitle
    assert draw.delay_curves_info(rows_of(file_of(shot))) is None


def test_long_curves_are_thinned_and_keep_their_ends():
    delays = np.random.default_rng(0).gamma(3, 0.2, 5000)
    run = run_of([observation("a", words=[], times=times(delays.tolist()))])
    (curve,) = draw.delay_curves_info(rows_of(file_of(run))).curves
    assert len(curve.delays_s) <= 300
    assert (curve.delays_s[0], curve.delays_s[-1]) == (delays.min(), delays.max())
    assert curve.median_s == pytest.approx(np.median(delays))


def test_the_breakdown_finds_white_space(tmp_path):
    file = load_benchmark(published_file(tmp_path / "p.json"))
    info = draw.error_breakdown_info(rows_of(file))
    (kinds,) = info.runs
    assert kinds.substitutions == pytest.approx(100 * 3 / 17)
    assert kinds.space_only == pytest.approx(100 * 4 / 17)
    assert info.title == (
        "50 % of the word errors of simul-streaming are white space alone: "
        "without them 23.53\u00a0% for 47.06\u00a0%"
    )
    clean = draw.error_breakdown_info(rows_of(file_of(run_of(many(10)))))
    assert clean.title == "No word is wrong, of 20"
    wrong = draw.error_breakdown_info(rows_of(file_of(run_of(many(10, errors=1)))))
    assert "no error is white space alone" in wrong.title


def test_speed_says_who_keeps_up():
    rows = rows_of(file_of(run_of(many(4)), run_of([observation(wall_s=9.0)], "slow")))
    info = speed_figure.error_against_speed_info(rows, published())
    assert info.title == "1 of 2 runs keep up with speech"
    assert [point.name for point in info.points[:2]] == ["simul", "slow"]
    assert sum(point.is_ours for point in info.points) == 2
    assert {point.unit for point in info.points} == {"utterance", "chapter", "not stated"}
    assert speed_figure.error_against_speed_info([], None) is None
    assert "published" in speed_figure.error_against_speed_info([], published()).title
    untimed = rows_of(file_of(run_of([observation(wall_s=None)])))
    assert speed_figure.error_against_speed_info(untimed, None) is None


def crowded():
    """Seven runs of two files, with long names and alike in what they do."""
    runs = [
        run_of(many(12, errors=i % 3, delays=(0.3 + 0.02 * i, 1.1)), f"simul configuration {i}")
        for i in range(6)
    ]
    other = run_of(
        [observation(wall_s=3.0, hypothesis="two")], "a slow run with a name that is long"
    )
    return rows_of(file_of(*runs), file_of(other))


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("rows", ["one", "crowded"])
def test_no_label_lies_on_another(rows, narrow):
    rows = crowded() if rows == "crowded" else rows_of(file_of(run_of(many(9, errors=2))))
    check_texts(
        speed_figure.error_against_speed(
            speed_figure.error_against_speed_info(rows, published()), narrow
        )
    )
    check_texts(draw.delay_curves(draw.delay_curves_info(rows), narrow))
    check_texts(draw.error_breakdown(draw.error_breakdown_info(rows), narrow))


def test_axes_have_units():
    rows = rows_of(file_of(run_of(many(9, errors=2))))
    texts = set()
    for figure in (
        speed_figure.error_against_speed(speed_figure.error_against_speed_info(rows, None)),
        draw.delay_curves(draw.delay_curves_info(rows)),
        draw.error_breakdown(draw.error_breakdown_info(rows)),
    ):
        texts |= {text for text, _ in drawn_texts(figure)}
    for wanted in ("word error rate (%)", "words that are out (%)", "errors (% of the reference's"):
        assert any(wanted in text for text in texts)
    assert "emission delay (s of audio after the word's end)" in texts


def unsure(count=400, shift=0.1):
    """A run whose words are right less often than they say."""
    generator = np.random.default_rng(1)
    chances = generator.uniform(0.5, 1, count)
    right = generator.uniform(size=count) < chances - shift
    words = [
        CommittedWord(text="one" if is_right else "two", start_s=i, end_s=i + 0.5, emitted_s=i + 1,
                      lag_s=0, probability=chance)
        for i, (chance, is_right) in enumerate(zip(chances.tolist(), right, strict=True))
    ]  # fmt: skip
    text = " ".join(word.text for word in words)
    return run_of([observation(reference="one " * count, hypothesis=text, words=words)])


def test_reliability_says_how_sure_and_how_right():
    info = draw.reliability_info(rows_of(file_of(unsure())))
    (curve,) = info.curves
    assert len(curve.probabilities) == 10
    assert curve.error == pytest.approx(0.1, abs=0.04)
    assert "simul is 7" in info.title
    assert info.title.endswith("overconfident")
    assert "400 committed words" in info.subtitle
    assert draw.reliability_info(rows_of(file_of(run_of(many(4))))) is None
    for narrow in (False, True):
        check_texts(draw.reliability(info, narrow))


# Timelines


def test_a_timeline_has_every_word_and_step(tmp_path):
    trace, seen = a_trace(tmp_path)
    info = timeline_info(trace, run_of([seen]).utterances[0], "simul")
    assert [(w.text, w.start_s, w.end_s, w.emitted_s) for w in info.words] == list(WORDS)
    assert len(info.attended) == 3 + 2
    assert {one.kind for one in info.attended} == {"committed", "waits"}
    assert info.title == "simul commits 3 words of a, on average 0.77 s after each ends"
    figure = timeline(info)
    check_texts(figure)
    assert "time in the audio (s)" in {text for text, _ in drawn_texts(figure)}


@pytest.mark.parametrize(
    ("heard", "wanted"),
    [
        (["so", "is"], [("so", False, False), ("IT", False, True), ("is", False, False)]),
        (["so", "at", "is"], [("so", False, False), ("at", False, False), ("is", False, False)]),
        (["so", "it", "is", "so"], [*((t, False, False) for t in ("so", "it", "is")),
                                    ("so", True, False)]),
    ],
)  # fmt: skip
def test_words_that_were_missed_or_made_up(tmp_path, heard, wanted):
    trace, seen = a_trace(tmp_path)
    words = [
        CommittedWord(text=text, start_s=0.5 * i, end_s=0.5 * i + 0.3, emitted_s=i + 1.0, lag_s=0)
        for i, text in enumerate(heard)
    ]
    trace = trace.model_copy(update={"seconds": 4.0})
    one = run_of([seen.model_copy(update={"words": words, "hypothesis": " ".join(heard)})])
    info = timeline_info(trace, one.utterances[0], "simul")
    assert [(w.text, w.start_s is None, w.emitted_s is None) for w in info.words] == wanted
    check_texts(timeline(info))


def test_a_word_that_was_taken_for_another_is_wrong_and_has_no_delay(tmp_path):
    trace, seen = a_trace(tmp_path)
    heard = [word.model_copy(update={"text": text}) for word, text in
             zip(seen.words, ("so", "at", "is"), strict=True)]  # fmt: skip
    one = run_of([seen.model_copy(update={"words": heard, "hypothesis": "so at is"})])
    info = timeline_info(trace, one.utterances[0], "simul")
    assert [(w.text, w.said, w.is_wrong, w.delay_s is None) for w in info.words] == [
        ("so", None, False, False), ("at", "IT", True, True), ("is", None, False, False),
    ]  # fmt: skip
    # As in the latencies of the page: of the words that were right, 0.5 and 0.6 s.
    assert info.title.endswith("on average 0.55 s after each ends")
    figure = timeline(info)
    check_texts(figure)
    assert any("(said: IT)" in text for text, _ in drawn_texts(figure))


def test_a_timeline_has_no_delays_where_the_page_has_none(tmp_path):
    trace, seen = a_trace(tmp_path)
    bare = trace.model_copy(update={"gold": None})
    info = timeline_info(bare, run_of([seen]).utterances[0], "simul")
    assert info.title == "simul commits 3 words of a"


def test_a_timeline_without_gold_words_spectrogram_or_words(tmp_path):
    trace, seen = a_trace(tmp_path)
    bare = trace.model_copy(update={"gold": None, "mel": None, "steps": []})
    none = run_of([seen.model_copy(update={"words": [], "hypothesis": ""})]).utterances[0]
    info = timeline_info(bare, none, "simul")
    assert info.words == ()
    assert "no word times" in info.subtitle
    check_texts(timeline(info))


def test_long_timelines_stay_legible(tmp_path):
    words = tuple((f"word{i}", 0.4 * i, 0.4 * i + 0.3, float(int(0.4 * i) + 1)) for i in range(60))
    trace, seen = a_trace(tmp_path, words=words, seconds=25.0)
    check_texts(timeline(timeline_info(trace, run_of([seen]).utterances[0], "simul")))


def test_captions_are_what_was_on_the_screen(tmp_path):
    trace, seen = a_trace(tmp_path)
    assert captions(trace, run_of([seen]).utterances[0]) == [
        {"t": 1.0, "text": "so", "draft": "next"},
        {"t": 2.0, "text": "so it is", "draft": "next"},
    ]


def test_words_are_captions_when_they_came_out_though_their_step_fell_before(tmp_path):
    trace, seen = a_trace(tmp_path)
    early = [step.model_copy(update={"audio_s": step.audio_s - 0.1}) for step in trace.steps]
    steps = trace.model_copy(update={"steps": early})
    assert captions(steps, run_of([seen]).utterances[0]) == [
        {"t": 0.9, "text": "", "draft": "next"},
        {"t": 1.0, "text": "so", "draft": "next"},
        {"t": 1.9, "text": "so", "draft": "next"},
        {"t": 2.0, "text": "so it is", "draft": "next"},
    ]


def test_captions_of_a_language_without_spaces(tmp_path):
    trace, seen = a_trace(tmp_path)
    one = run_of([seen.model_copy(update={"hypothesis": "soitis"})]).utterances[0]
    assert captions(trace, one)[-1]["text"] == "soitis"


def test_audio_is_cut_to_the_trace_and_put_together(tmp_path):
    import base64
    import io

    trace, _ = a_trace(tmp_path, seconds=1.0)
    part = trace.audio[0]
    chapter = trace.model_copy(
        update={"audio": [part, part.model_copy(update={"gap_s": 0.5})], "seconds": 2.0}
    )
    address, fault = audio_address(chapter)
    assert fault == ""
    kind, _, data = address.partition(";base64,")
    assert kind == "data:audio/flac"
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
    assert (len(samples), rate) == (32_000, 16_000)
    assert not samples[16_000:24_000].any()
    assert samples[24_000:].any()


def test_audio_that_is_gone_is_said(tmp_path):
    trace, _ = a_trace(tmp_path)
    (tmp_path / "a.wav").unlink()
    address, fault = audio_address(trace)
    assert address == ""
    assert "audio file not found" in fault


# The page


class Page(HTMLParser):
    """Every start tag with its attributes, and all text outside of style and script."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.open, self.ids = [], "", [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] not in (["style"], ["script"]):
            self.text += f"{data} "

    def of(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def words_of(page):
    return " ".join(page.text.split())


def test_a_page_holds_all_it_needs(tmp_path, call):
    traced_file(tmp_path).save(tmp_path / "b.json")
    code, out, err = call("--benchmark", "b.json", "--heads", "tiny")
    assert (code, out) == (0, ""), err
    html = (tmp_path / "report.html").read_text()
    page = Page(html)
    for tag, attrs in page.tags:
        for name in ("src", "href", "xlink:href", "srcset", "poster", "data"):
            value = attrs.get(name) or ""
            if tag != "a" and value:
                assert value.startswith(("data:", "#")), (tag, value[:80])
        assert not any(name.startswith("on") for name in attrs)
    assert not re.search(r"url\((?!#)", html)
    assert "@import" not in html
    assert len(page.ids) == len(set(page.ids))
    references = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', html)
    assert {one or other for one, other in references} <= set(page.ids)
    assert all(attrs.get("alt") for attrs in page.of("img"))
    pictures = [attrs for tag, attrs in page.tags if attrs.get("role") == "img"]
    assert len(pictures) >= 4  # no scatter: the bundled heads file has no time bias
    assert all(attrs.get("aria-label") for attrs in pictures)
    assert len(page.of("svg")) > len(pictures)
    assert len(page.of("audio")) == 1
    assert [attrs["lang"] for attrs in page.of("html")] == ["en"]
    assert [tag for tag, _ in page.tags].count("h1") == 1
    for colour in PAGE_COLOURS:
        assert colour not in html.partition("</style>")[2].lower()


def test_sections_without_input_say_what_to_run(call, tmp_path):
    assert call("--out", "r.html")[0] == 0
    text = words_of(Page((tmp_path / "r.html").read_text()))
    for command in ("benchmark-decoder --model tiny --mode simul", "discover-heads --model tiny",
                    "calibrate --model tiny", "--traces 3", "align-corpus"):  # fmt: skip
        assert command in text
    assert "Qwen3 0.6B simul" in text
    file_of(run_of([observation()], "offline", "offline")).save(tmp_path / "b.json")
    assert call("--benchmark", "b.json", "--no-published", "--out", "r.html", "--force")[0] == 0
    text = words_of(Page((tmp_path / "r.html").read_text()))
    assert "No run here streamed over speech with word times" in text
    assert "no latency, since offline decoding commits nothing" in text
    assert "No word is wrong in any run" in text
    assert "Qwen3" not in text


def test_html_in_texts_and_names_is_escaped(tmp_path, call):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"&"
    words = ((evil, 0.2, 0.5, 1.0), ("it", 0.6, 0.8, 2.0))
    trace, seen = a_trace(tmp_path, words=words)
    other = seen.model_copy(
        update={"id": evil, "hypothesis": f"{evil} x", "reference": f"a {evil}"}
    )
    run = run_of([seen, other], name=evil).model_copy(update={"traces": [trace]})
    file = file_of(
        run, corpus=CorpusInfo(name=evil, fingerprint=evil, utterances=2, group="utterance")
    )
    file.save(tmp_path / "b.json")
    assert call("--benchmark", "b.json", "--out", "r.html")[0] == 0
    html = (tmp_path / "r.html").read_text()
    page = Page(html)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not [attrs for attrs in page.of("img") if attrs.get("src") == "x"]
    assert "alert(1)" in page.text
    (timelines,) = [a for a in page.of("figure") if "data-captions" in a]
    assert json.loads(timelines["data-captions"])[0]["text"].startswith("</script>")


def test_what_a_file_of_others_states_stands_beside(tmp_path, call):
    published_file(tmp_path / "p.json", p90_wer=0.5)
    assert call("--benchmark", "p.json", "--out", "r.html")[0] == 0
    text = words_of(Page((tmp_path / "r.html").read_text()))
    assert "word error rate 47.0588 % 47.0588 %" in text
    assert "WER of utterances, p90 50.00 % 66.67 %" in text
    assert "2 of its error spans differ from the reference in white space alone" in text
    assert "does not say when words were emitted" in text


def test_differences_of_runs_are_tested(tmp_path, call):
    wrong, right = run_of(many(60, errors=30)), run_of(many(60), "better")
    file_of(wrong, right).save(tmp_path / "b.json")
    assert call("--benchmark", "b.json", "--out", "r.html")[0] == 0
    text = words_of(Page((tmp_path / "r.html").read_text()))
    assert "Is the difference chance?" in text
    assert "better simul -25.00 significant" in text


@pytest.mark.slow
def test_the_same_page_every_time(tmp_path, call):
    traced_file(tmp_path).save(tmp_path / "b.json")
    for name in ("one.html", "other.html"):
        assert call("--benchmark", "b.json", "--out", name)[0] == 0
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "other.html").read_bytes()


@pytest.mark.slow
def test_figures_for_print(tmp_path, call):
    traced_file(tmp_path).save(tmp_path / "b.json")
    code, _, err = call("--benchmark", "b.json", "--heads", "tiny", "--figures", "figures")
    assert code == 0, err
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    wanted = ("error_against_speed", "emission_delay", "timeline_1", "heads_hit_rate",
              "heads_hit_rate_against_bias",
              "heads_scores")  # fmt: skip
    assert names == {f"{name}{suffix}" for name in wanted for suffix in (".png", ".svg")}
    code, _, err = call("--benchmark", "b.json", "--figures", "figures", "--out", "r.html")
    assert code == 2
    assert "--force" in err
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--benchmark", "none.json"], "no benchmark file none.json"),
        (["--heads", "none.json"], "no heads file none.json"),
        (["--out", "no/where.html"], "there is no folder"),
        (["--timelines", "-1"], "expected 0 or more"),
        (["--no-published"], "nothing to report"),
    ],
)
def test_wrong_usage_is_told_on_one_line(call, tmp_path, arguments, message):
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert message in err
    assert not list(tmp_path.iterdir())


def test_a_page_in_the_way_is_kept(call, tmp_path):
    (tmp_path / "report.html").write_text("mine")
    code, _, err = call()
    assert code == 2
    assert "--force" in err
    assert (tmp_path / "report.html").read_text() == "mine"


@pytest.mark.slow
def test_a_page_needs_no_engine(tmp_path):
    traced_file(tmp_path).save(tmp_path / "b.json")
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from alignheads.evaluate.load import load_benchmark\n"
        "from alignheads.reports.page.report import Report\n"
        "Report([(Path('b.json'), load_benchmark(Path('b.json')))]).html()\n"
        "assert not {'mlx', 'mlx_qwen3_asr', 'optuna'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_a_report_without_timelines(tmp_path):
    report = Report([(tmp_path / "b.json", traced_file(tmp_path))], timelines=0)
    assert not [name for name in report.drawings if name.startswith("timeline")]
    assert "<audio" not in report.html()


def test_a_drawing_on_a_page_has_no_headline_of_its_own():
    info = draw.delay_curves_info(rows_of(file_of(run_of(many(9)))))
    drawing = Drawing("delay", info, draw.delay_curves, "curves", has_narrow=True)
    placed = drawing.on_page()
    texts = {
        text for text, _ in drawn_texts(draw.delay_curves(replace(info, title="", subtitle="")))
    }
    assert info.title not in texts
    assert 'viewBox="' in placed.svg
    assert not re.search(r'<svg[^>]* width="', placed.svg)
    assert placed.svg != placed.narrow_svg
