"""The streaming benchmark's plain reference does what was published; its table counts right."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from alignheads.evaluate.error_rates import space_errors

FOLDER = Path(__file__).parent.parent / "benchmarks"
HEADS = tuple((3, head) for head in range(8))
SECOND = 16_000


@pytest.fixture(scope="module", autouse=True)
def benchmarks():
    """The folder's modules can be imported, as they import each other."""
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))
    for name in (
        "published_decoder",
        "streams",
        "streaming_speed",
        "streaming_long",
        "streaming_hard",
    ):
        sys.modules.pop(name, None)


@pytest.fixture
def scripted(tiny):
    """A published decoder whose model says and attends to what is given, over 100 frames."""
    from published_decoder import PublishedDecoder, PublishedSettings

    class Scripted(PublishedDecoder):
        def __init__(self, answers, **settings):
            super().__init__(tiny, PublishedSettings(HEADS, **settings))
            self.answers = list(answers)
            self.contexts, self.budgets, self.buffers = [], [], []

        def decode(self, samples, committed, budget, **options):
            self.budgets.append(budget)
            return super().decode(samples, committed, budget, **options)

        def _encode(self, samples):
            self.buffers.append(len(samples))
            return np.zeros((100, 1))

        def _prefill(self, audio, context):
            self.contexts.append(list(context))
            end = min(tiny.vocabulary.end_ids)
            ids, frames = self.answers.pop(0) if self.answers else ([], [])
            self.rest = [*ids[1:], end]
            self.frames = list(frames)
            return None, (ids or [end])[0], None

        def _next(self, token, cache, span):
            return self.rest.pop(0), self.frames.pop(0)

    return Scripted


def test_stops_at_the_border_and_keeps_all_but_the_last(scripted):
    # 80 is within the border, but the first two are not looked at; 76 is 24 from the end.
    decoder = scripted([([1, 2, 3, 4, 5], [5.0, 80.0, 70.0, 76.0, 77.0])])
    tokens = decoder.decode(np.zeros(SECOND), [], 11)
    assert (tokens.ids, tokens.keep) == ([1, 2, 3, 4], 3)
    decoder = scripted([([1, 2, 3, 4, 5], [5.0, 80.0, 70.0, 76.0, 77.0])], border_fraction=0.15)
    assert decoder.decode(np.zeros(SECOND), [], 11).keep == 5


def test_stops_at_a_rewind_and_keeps_all_but_the_last_two(scripted):
    decoder = scripted([([1, 2, 3, 4, 5], [50.0, 60.0, 70.0, 57.0, 70.0])])
    tokens = decoder.decode(np.zeros(SECOND), [], 11)
    assert (tokens.ids, tokens.keep) == ([1, 2, 3, 4], 2)
    assert decoder.last_frame == 70
    # From where the step before stopped; exactly the threshold is no rewind.
    decoder.answers = [([6, 7, 8], [10.0, 22.0, 10.0])]
    assert decoder.decode(np.zeros(SECOND), [], 11).keep == 3


def test_last_step_has_no_rules(scripted):
    decoder = scripted([([1, 2, 3, 4], [50.0, 99.0, 20.0, 99.0])])
    assert decoder.decode(np.zeros(SECOND), [], 11, is_last=True).keep == 4


def test_budget_is_what_was_published(scripted):
    decoder = scripted([(list(range(100)), [0.0] * 100)] * 4)
    decoder.feed(np.zeros(SECOND, np.float32))
    decoder.feed(np.zeros(SECOND // 2, np.float32))  # not enough new audio
    decoder.feed(np.zeros(SECOND, np.float32))
    decoder.feed(np.zeros(8 * SECOND, np.float32))
    decoder.finish()
    # 6 x 1 + 5, 6 x 1.5 + 5, 40 at most, and 6 x 10.5 + 10; a flush then gives nothing.
    assert decoder.budgets == [11, 14, 40, 73, 73]
    assert len(decoder.committed) == 11 + 14 + 40 + 73


def test_front_of_the_buffer_goes_and_the_committed_tokens_stay(scripted):
    answers = [(list(range(20 * i, 20 * i + 20)), [0.0] * 20) for i in range(3)]
    decoder = scripted(answers)
    for _ in range(3):
        decoder.feed(np.zeros(9 * SECOND, np.float32))
    assert decoder.buffers == [9 * SECOND, 15 * SECOND, 15 * SECOND]
    assert decoder.committed == list(range(60))
    assert decoder.contexts == [[], list(range(20)), list(range(10, 40))]  # 30 at most


def test_flushes_five_times_at_most(scripted, tiny):
    word = tiny.vocabulary.encode("a")
    decoder = scripted([(word, [0.0] * len(word))] * 20)
    decoder.feed(np.zeros(int(0.6 * SECOND), np.float32))
    words = decoder.finish()
    assert [word.text for word in words] == ["a"] * 6
    assert [word.space_before for word in words] == [False] + [True] * 5


def test_words_cut_in_two_are_counted_and_times_are_spread(scripted, tiny):
    from alignheads.corpora.matching import plain_text

    first, rest = tiny.vocabulary.encode("the sq"), tiny.vocabulary.encode("ualid")
    frames = [float(13 + i) for i in range(len(first))]
    decoder = scripted([(first, frames), (rest, [30.0] * len(rest))])
    words = decoder.feed(np.zeros(SECOND, np.float32))
    words += decoder.feed(np.zeros(SECOND, np.float32))
    assert [word.text for word in words] == ["the", "sq", "ualid"]
    assert [word.start_s for word in words] == [
        1.0, frames[len(first) // 2] / 13, pytest.approx(30 / 13)
    ]  # fmt: skip
    assert [word.emitted_s for word in words] == [1, 1, 2]
    text = "".join(" " * word.space_before + word.text for word in words)
    found = space_errors(["the squalid"], [plain_text(text)])
    assert (found.cut_words, found.utterances_cut, found.errors) == (1, 1, 2)


def test_frame_is_of_the_input_tokens_own_query(tiny, demo):
    from published_decoder import PublishedDecoder, PublishedSettings

    samples = min((u.read() for u in demo.utterances[:5]), key=len)
    head = (3, 5)
    decoder = PublishedDecoder(tiny, PublishedSettings((head,), language="English"))
    tokens = decoder.decode(samples, [], 120, is_last=True)
    assert tuple(tokens.ids) == tiny.transcribe(samples, "English").token_ids
    seen = {}
    # Rows are of the query that predicts: the row after a token's is its own.
    after = [*tokens.ids, tokens.ids[-1]]
    tiny.attention(tiny.prefill(samples, "English"), after, seen.__setitem__)
    own = seen[head[0]][head[1]][1:]
    frames = np.array(tokens.frames, int)
    lost = own.max(axis=1) - own[np.arange(len(frames)), frames]
    assert lost.max() < 1e-5


def test_settled_words_and_rewrites():
    from streams import rewrites, settled

    texts = ["", "night", "nightfall is", "nightfall in the", "nightfall in the"]
    assert settled(texts) == [2, 3, 3]
    assert rewrites(texts) == 1  # a word that grows is none, as the engine counts
    assert settled(["a b", "a", "a b"]) == [0, 2]
    assert settled(["", ""]) == []


@pytest.mark.parametrize("name", ["ForcedOurs", "ForcedPublished"])
def test_forced_tokens_are_decoded_all(tiny, demo, name):
    import streaming_speed

    kind = getattr(streaming_speed, name)
    samples = streaming_speed.speech(demo.utterances, 3)
    cost = streaming_speed.forced_cost(
        kind, tiny, HEADS, samples, tokens=40, language="English", repeats=1
    )
    assert min(cost.total, cost.encode, cost.prefill, cost.decode) > 0
    script = streaming_speed.script_of(tiny, 40)
    assert kind(tiny, HEADS, script).step(samples, [], "English") == 40


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("streaming") / "config.json"
    content = {"schema_version": 1, "model": "tiny", "heads": HEADS, "head_count": 8,
               "border_s": 0.5}  # fmt: skip
    path.write_text(json.dumps(content))
    return path


def run(*options):
    command = [sys.executable, str(FOLDER / "streaming.py"), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
def test_prints_the_table_and_its_bars(config):
    done = run("--config", config, "--clips", 1, "--sections", "table")
    assert done.returncode == 0, done.stderr
    cells = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line[:1] == "|"]
    shown = "… shown, in hindsight"
    assert cells[2:] == [
        "offline", "ours, 1 s", shown, "ours, 0.5 s", shown, "ours, 1 s, eager", shown,
        "ours, 0.5 s, eager", shown,
        "published, border .25", "published, border .15", "published, border .25, whole context",
        "engine's streaming, 1 s", shown, "engine's streaming, 2 s", shown,
    ]  # fmt: skip
    bars, _, total = done.stdout.partition("\nbars met: ")
    shown = re.findall(r"^  (met   |MISSED)  demo:test", bars, re.MULTILINE)
    assert total.startswith(f"{shown.count('met   ')}, MISSED: {shown.count('MISSED')}\n")
    assert len(shown) == 7 + 3 + 2 * 2


def test_noise_is_of_its_seed_and_changes_nothing_else(demo):
    from streaming_hard import NOISE, in_noise

    (clip,) = demo.utterances[:1]
    first, second = in_noise([clip], 2)
    assert (first.text, first.words, first.language) == (clip.text, clip.words, clip.language)
    noise = first.read() - clip.read()
    assert noise.dtype == np.float32
    assert np.std(noise) == pytest.approx(NOISE, rel=0.05)
    assert (first.read() == first.read()).all()
    assert (first.read() != second.read()).any()


def test_text_without_spaces_comes_out_in_time(tiny):
    from streaming_hard import unspaced

    from alignheads import DecoderConfig

    found = list(unspaced(tiny, DecoderConfig.bundled("tiny"), 8))
    assert found[0].name == "Thai"
    assert all(one.out == one.said and one.first_s <= 2 for one in found)


@pytest.mark.slow
def test_prints_noise_and_text_without_spaces(config):
    done = run("--config", config, "--clips", 1, "--noise-seeds", 1, "--sections", "noise,unspaced")
    assert done.returncode == 0, done.stderr
    cells = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line[:1] == "|"]
    shown = "… shown, in hindsight"
    assert cells[2:10] == [
        "offline", "ours, 1 s", shown, "published, border .25", "engine's streaming, 1 s", shown,
        "engine's streaming, 2 s", shown,
    ]  # fmt: skip
    assert len(re.findall(r"^  (met   |MISSED)  demo:test in noise", done.stdout, re.M)) == 2
    assert len(re.findall(r"^  met     .*: characters out", done.stdout, re.M)) == 4


@pytest.mark.slow
def test_prints_a_long_stream_and_sessions(config):
    done = run("--config", config, "--clips", 2, "--sections", "none", "--hour", "--minutes", 0.3,
               "--sessions", 2, "--session-seconds", 3)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"resident memory against the first mark: [\d.e+-]+ %", done.stdout)
    assert re.search(r"\d+ utterances: WER [\d.]+ %, \d+ / \d+ / \d+ of \d+ words", done.stdout)
    assert re.search(r"met     of 2 sessions, with the same words as alone: 2 ", done.stdout)


def test_bad_options_are_one_line(tmp_path):
    for options, message in (
        (["--sections", "tables"], "expected some of table,noise,unspaced,speed"),
        (["--repeats", "0"], "expected 1 or more"),
        (["--config", tmp_path / "none.json"], "none.json"),
    ):
        done = run(*options)
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
