"""The comparison of Whisper's decoders: agreement, cut words, rewrites, names, what is not run."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from alignheads.corpora import Utterance, WordTime

FOLDER = Path(__file__).parent.parent / "benchmarks"
SECOND = 16_000


@pytest.fixture(scope="module", autouse=True)
def benchmarks():
    """The folder's modules can be imported, as they import each other."""
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))
    for name in [*sys.modules]:
        if name.split(".")[0] in ("side_by_side", "shown", "whisper_peers"):
            del sys.modules[name]


def steps(*texts, shown=None):
    """Steps of a second each, with one piece of text, or several with times."""
    from side_by_side.answers import Step

    return [
        Step(
            audio_s=float(second),
            wall_s=0.1,
            pieces=[(text, None, None)] if isinstance(text, str) else text,
            shown=shown and shown[second - 1],
        )
        for second, text in enumerate(texts, 1)
    ]


def agreed(*hypotheses):
    """The words that LocalAgreement commits at each step, and at the end."""
    from side_by_side.local_agreement import LocalAgreement

    answers = iter(hypotheses)
    heard = []

    def transcribe(samples):
        heard.append(len(samples))
        return next(answers)

    stream = LocalAgreement(transcribe)
    out = [stream.feed(np.zeros(SECOND, np.float32)) for _ in hypotheses]
    assert heard == [SECOND * (n + 1) for n in range(len(hypotheses))]
    return [" ".join(words) for words in [*out, stream.finish()]]


def test_what_two_hypotheses_agree_on_is_committed():
    assert agreed("the cat", "The cat, sat", "the cat sat down") == ["", "The cat,", "sat", "down"]
    assert agreed("a b", "c d", "c d e") == ["", "", "c d", "e"]
    assert agreed("only") == ["", "only"]


def test_words_after_the_committed_ones_are_found_where_these_are_spelled_anew():
    # "it is" was committed; a later hypothesis has it as one word.
    assert agreed("it is a", "it is b", "it's good to", "it's good too") == [
        "", "it is", "", "good", "too",
    ]  # fmt: skip


def test_agreement_starts_with_enough_audio():
    from side_by_side.local_agreement import LocalAgreement

    stream = LocalAgreement(lambda samples: "one two", min_samples=SECOND)
    assert stream.feed(np.zeros(SECOND // 2, np.float32)) == []
    assert stream.finish() == []
    assert stream.feed(np.zeros(SECOND, np.float32)) == []
    assert stream.feed(np.zeros(SECOND, np.float32)) == ["one", "two"]


@pytest.mark.parametrize(
    ("committed", "hypothesis", "rest"),
    [
        ("", "a b", "a b"),
        ("a b", "a b c", "c"),
        ("a b", "a b b", "b"),  # a word said twice
        ("a b", "A, b. c", "c"),
        ("a b c", "a c d", "d"),
        ("a b c", "a", ""),
        ("a b", "", ""),
    ],
)
def test_continuation_is_what_follows_the_nearest_beginning(committed, hypothesis, rest):
    from side_by_side.local_agreement import continuation

    assert continuation(committed.split(), hypothesis.split()) == rest.split()


def test_words_that_came_in_two_pieces_are_put_together_and_counted():
    from side_by_side.answers import emitted

    found = emitted(steps(" night", "fall is", " here", ".", " Un", "", "til now"))
    assert found.text == "nightfall is here. Until now"
    assert found.cut_words == 2
    # A word is there with its last letter; the full stop that comes later changes nothing.
    assert [word.emitted_s for word in found.words] == [2, 2, 3, 7, 7]
    assert not found.has_times


def test_spaces_at_an_end_also_separate_words():
    from side_by_side.answers import emitted

    found = emitted(steps("one ", "two", " ", "three"))
    assert (found.text, found.cut_words) == ("one two three", 0)


def test_times_of_a_word_span_its_pieces():
    from side_by_side.answers import emitted

    first = [(" Mis", 0.0, 0.3), ("ter", 0.3, 0.5), (".", 0.5, 0.5), (" Hale", 0.6, 0.7)]
    found = emitted(steps(first, [("'s", 1.0, 1.2)]))
    assert [(w.text, w.start_s, w.end_s) for w in found.words] == [
        ("Mister.", 0.0, 0.5), ("Hale's", 0.6, 1.2),
    ]  # fmt: skip
    assert (found.cut_words, found.has_times) == (1, True)  # pieces of one step cut nothing


def test_text_that_is_shown_counts_from_when_it_stays_and_its_changes_are_counted():
    from side_by_side.answers import changes, in_hindsight

    shown = ["Design", "Desire and", "There's iron. They", "There's iron, they say"]
    found = steps("", "", "", "", shown=shown)
    assert changes(found) == 2  # punctuation does not count
    words = in_hindsight(found)
    assert words.text == "There's iron, they say"
    assert [word.emitted_s for word in words.words] == [3, 3, 3, 4]


def test_streamed_gives_whole_steps_and_the_rest():
    from side_by_side.protocol import streamed

    given = []

    def feed(samples, is_last):
        given.append((len(samples), is_last))
        return [[" a", None, None]], "a"

    found = streamed(np.zeros(2 * SECOND + 5, np.float32), 1.0, feed, lambda: [[" b", 0.1, 0.2]])
    assert given == [(SECOND, False), (SECOND, False), (5, True)]
    assert [step["audio_s"] for step in found] == [1, 2, 2 + 5 / SECOND, 2 + 5 / SECOND]
    assert [step["shown"] for step in found] == ["a", "a", "a", None]
    assert found[-1]["pieces"] == [[" b", 0.1, 0.2]]
    for step_s in (2 + 5 / SECOND, np.inf):
        given.clear()
        streamed(np.zeros(2 * SECOND + 5, np.float32), step_s, feed)
        assert given == [(2 * SECOND + 5, True)]


def test_names_and_kernels_are_openais():
    from side_by_side.weights import as_openai

    from alignheads.runtime.models.backend import mx

    kernel = mx.arange(24).reshape(2, 3, 4)  # [out, kernel, in]
    found = as_openai(
        {
            "encoder.conv1.weight": kernel,
            "encoder.conv1.bias": mx.zeros(2),
            "decoder.blocks.0.mlp1.weight": mx.zeros((4, 1)),
            "decoder.blocks.0.mlp2.bias": mx.zeros(1),
            "decoder.blocks.0.cross_attn.query.weight": mx.zeros((1, 1)),
        }
    )
    assert list(found) == [
        "encoder.conv1.weight", "encoder.conv1.bias", "decoder.blocks.0.mlp.0.weight",
        "decoder.blocks.0.mlp.2.bias", "decoder.blocks.0.cross_attn.query.weight",
    ]  # fmt: skip
    np.testing.assert_array_equal(
        np.array(found["encoder.conv1.weight"]), np.array(kernel).transpose(0, 2, 1)
    )


def answer(*texts, shown=None):
    from side_by_side.answers import Answer

    return Answer(id="u", audio_s=float(len(texts)), steps=steps(*texts, shown=shown))


def utterance(text):
    words = tuple(WordTime(w, float(n), n + 0.5) for n, w in enumerate(text.split()))
    return Utterance("u", Path("none.flac"), text, "English", words)


def test_row_counts_errors_delays_and_computing():
    from side_by_side.score import rows, table

    said = utterance("THE COLOUR OF MISTER HALE")
    (row,) = rows("one", [answer(" The", " color of", "", " Mr.", " Ha", "ale")], [said])
    assert (row.words.errors, row.words.reference) == (1, 5)  # Whisper's normaliser, and "haale"
    assert (row.cut_words, row.rewrites) == (1, 0)
    assert row.times is not None
    assert row.times.delay_s.count == 2  # the, of
    assert row.times.delay_s.mean == pytest.approx((0.5 + -0.5) / 2)
    assert row.real_time_factor == pytest.approx(0.1)
    cells = table([row]).splitlines()[-1].split(" | ")
    assert cells[1].startswith("20.0 (")
    assert cells[4] == "-"  # no word times
    (row,) = rows("offline", [answer(" the")], [said], at_once=True)
    assert row.times is None


def test_what_is_shown_has_a_row_of_its_own():
    from side_by_side.score import rows

    shown = ["Design", "The colour"]
    first, second = rows("m", [answer(" Design", "our", shown=shown)], [utterance("THE COLOUR")])
    assert (first.words.errors, first.cut_words, first.rewrites) == (2, 1, 0)
    assert (second.words.errors, second.cut_words, second.rewrites) == (0, 0, 1)
    assert second.real_time_factor is None


class Recording(Utterance):
    """An utterance whose audio is a second of silence."""

    def read(self):
        return np.zeros(SECOND, np.float32)


def test_a_driver_that_fails_is_not_run(monkeypatch, tmp_path):
    from side_by_side import environments

    settings = {"step_s": 0.5}
    said = [Recording("a", Path("none"), "A"), Recording("b", Path("none"), "B")]
    monkeypatch.setattr(environments, "_FOLDER", tmp_path)
    head = f"import sys; sys.path.insert(0, {str(FOLDER / 'side_by_side')!r})\nimport protocol\n"
    feed = "lambda samples, last: [[f' {len(samples)}', None, None]]"
    (tmp_path / "drive_good.py").write_text(
        f"{head}def load(settings):\n    print('noise')\n"
        f"    return lambda: ({feed}, None), {{'v': 1}}\n"
        "protocol.serve(load)\n"
    )
    (tmp_path / "drive_bad.py").write_text("raise SystemExit('no weights')\n")

    def drive(name):
        return environments.drive(
            name, Path(sys.executable), settings, said, tmp_path / "log", lambda id: None
        )

    about, answers = drive("good")
    assert about == {"v": 1}
    assert [(one.id, len(one.steps), one.audio_s) for one in answers] == [("a", 2, 1), ("b", 2, 1)]
    assert answers[0].steps[0].pieces == ((" 8000", None, None),)
    with pytest.raises(environments.NotRun, match="bad: no weights"):
        drive("bad")
    with pytest.raises(environments.NotRun, match="nowhere"):
        environments._call(["git", "clone", "--quiet", str(tmp_path / "nowhere"), str(tmp_path)])


def run(*options):
    command = [sys.executable, str(FOLDER / "whisper_peers.py"), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
def test_runs_on_tiny_and_goes_on_where_it_was(tmp_path):
    options = ["--model", "tiny", "--corpus", "demo:test", "--clips", 1, "--out", tmp_path,
               "--only", "offline,local-agreement,ours"]  # fmt: skip
    done = run(*options)
    assert done.returncode == 0, done.stderr
    names = [line.split(" | ")[0] for line in done.stdout.splitlines() if line[:1] == "|"]
    assert names[2:] == ["| offline", "| LocalAgreement-2", "| ours"]
    kept = json.loads((tmp_path / "table.json").read_text())
    assert [row["words"]["rate"] for row in kept["rows"]] == [0, 0, 0]
    assert (tmp_path / "table.md").read_text() in done.stdout.lstrip()
    again = run(*options)
    assert again.stderr.count("kept from") == 3
    assert again.stdout == done.stdout


def test_bad_options_are_one_line(tmp_path):
    for options, message in (
        (["--only", "theirs"], "expected some of offline,local-agreement"),
        (["--simulstreaming", tmp_path], "is no checkout of SimulStreaming"),
    ):
        done = run("--out", tmp_path, *options)
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
