"""Replay: the words and times of a replayed stream are those of a live one; the store is sound."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import alignheads
from alignheads import load_corpus, load_heads
from alignheads.calibrate.replay.identity import code_version, engine_version
from alignheads.calibrate.replay.source import Replay
from alignheads.calibrate.replay.store import Decoded, DecodeStore
from alignheads.errors import InputError
from alignheads.evaluate.timed import timed_stream
from alignheads.runtime.models.protocol import Hypothesis
from alignheads.runtime.stream.config import DecoderConfig
from alignheads.runtime.stream.decoder import StreamDecoder


@pytest.fixture(scope="module")
def base():
    heads = load_heads("tiny").compact
    return DecoderConfig.bundled("tiny").changed(heads=heads, head_count=len(heads))


@pytest.fixture(scope="module")
def recordings():
    clips = load_corpus("demo:dev").utterances[:3]
    return {clip.id: clip.read() for clip in clips}


@pytest.fixture(scope="module")
def long_audio():
    """Longer than the buffer may be: windows leave it, and text goes into the context."""
    return np.concatenate([clip.read() for clip in load_corpus("demo:dev").utterances[3:7]])


def words(model, config, samples):
    stream = StreamDecoder(model, config, language="English")
    found = timed_stream(stream, samples)
    return [(word.text, word.start_s, word.end_s, word.emitted_s) for word in found.words]


def random_settings(rng):
    border = {"border_s": float(rng.uniform(0.02, 1.2))}
    if rng.random() < 0.6:
        border = {"border_fraction": float(rng.uniform(0.01, 0.5))}
    rewind = None if rng.random() < 0.2 else float(rng.uniform(0.02, 0.5))
    step_s = float(rng.choice([0.5, 1.0, 1.0]))
    heads = int(rng.integers(1, 1 + len(load_heads("tiny").compact)))
    return {**border, "rewind_fraction": rewind, "head_count": heads, "step_s": step_s}


def test_replayed_and_live_streams_commit_the_same_words_at_the_same_times(tiny, base, recordings):
    replay = Replay(tiny, base.pairs, DecodeStore())
    rng = np.random.default_rng(5)
    for _ in range(6):
        config = base.changed(**random_settings(rng))
        for name, samples in recordings.items():
            model = replay.recording(name)
            assert words(model, config, samples) == words(tiny, config, samples)
    assert replay.replayed > replay.decoded


def test_the_mean_of_weights_is_replayed_for_any_number_of_heads(tiny, base, recordings):
    replay = Replay(tiny, base.pairs, DecodeStore(), with_means=True)
    name, samples = next(iter(recordings.items()))
    for heads in (1, 4, len(base.pairs)):
        for border_s in (0.1, 0.5):
            config = base.changed(aggregate="mean", head_count=heads, border_s=border_s)
            model = replay.recording(name)
            assert words(model, config, samples) == words(tiny, config, samples)
    assert replay.replayed > replay.decoded


def test_answers_with_reuse_are_kept_apart_and_its_work_is_counted(tiny, base, recordings):
    """One stream alone decodes what a live one does; over a cut that is hardly read again, too."""
    replay = Replay(tiny, base.pairs, DecodeStore())
    samples = np.concatenate(list(recordings.values()))[: 14 * 16_000]
    model = replay.recording("both")
    exact = base.changed(head_count=5, max_audio_s=8.0, language="English")
    found, live = [], []
    for config in (exact, exact.changed(reuse=True)):
        for stream, kept in (
            (StreamDecoder(model, config), found),
            (StreamDecoder(tiny, config), live),
        ):
            kept.append((timed_stream(stream, samples).text, stream.work.flop))
    assert found == live
    assert found[0][0] == found[1][0]
    assert found[1][1] < 0.7 * found[0][1]
    before = replay.decoded
    words(model, exact.changed(reuse=True), samples)
    assert replay.decoded == before
    words(model, exact.changed(reuse=True, refresh_s=4.0), samples)
    assert replay.decoded > before


@pytest.mark.slow
def test_a_stream_longer_than_its_buffer_is_replayed_too(tiny, base, long_audio):
    assert len(long_audio) / 16_000 > 1.5 * base.max_audio_s
    replay = Replay(tiny, base.pairs, DecodeStore())
    model = replay.recording("long")
    for settings in ({"border_s": 0.3, "head_count": 4}, {"border_fraction": 0.2}):
        config = base.changed(**settings)
        assert words(model, config, long_audio) == words(tiny, config, long_audio)
    before = replay.decoded
    words(model, config, long_audio)
    assert replay.decoded == before


def test_a_store_on_disk_gives_the_same_as_the_one_that_filled_it(tiny, base, recordings, tmp_path):
    name, samples = next(iter(recordings.items()))
    first = Replay(tiny, base.pairs, DecodeStore(tmp_path / "s.sqlite"))
    config = base.changed(head_count=5)
    expected = words(first.recording(name), config, samples)
    again = Replay(tiny, base.pairs, DecodeStore(tmp_path / "s.sqlite"))
    assert words(again.recording(name), config, samples) == expected
    assert (again.decoded, again.replayed) == (0, first.decoded + first.replayed)


# Planted sources


class Planted:
    """A source that always says `text` after what is committed, however little audio there is."""

    def __init__(self, text, ended=True):
        self.text, self.ended = text, ended
        self.asked, self.calls = [], []

    def reset(self):
        self.calls.append("reset")

    def drop(self, samples):
        self.calls.append(f"drop {samples}")

    def hypothesis(self, samples, lead, committed_ids, language, context=""):
        self.asked.append(tuple(committed_ids))
        ids = tuple(self.text[len(committed_ids) :])
        rows = len(ids) + self.ended
        frames = np.arange(rows * 3).reshape(rows, 3)
        probabilities = np.array([*ids, 1][:rows]) / 8  # of each token its number, and of the end 1
        return Hypothesis(
            ids, "English", np.median(frames, axis=1), frames, probabilities, 50, self.ended
        )

    def open_source(self, heads, aggregate="median"):
        return self


AUDIO = np.zeros(16_000, np.float32)
HEADS = [(0, 0), (0, 1), (1, 0)]


def planted_replay(live):
    return Replay(live, HEADS, DecodeStore())


def source_of(replay, head_count=3, audio="one"):
    return replay.recording(audio).open_source(HEADS[:head_count])


def ask(replay, committed, head_count=3, audio="one", samples=AUDIO):
    source = source_of(replay, head_count, audio)
    return source.hypothesis(samples, 0, committed, "English")


@pytest.fixture
def halved(monkeypatch):
    """However few tokens are committed, half of them are decoded again."""
    monkeypatch.setattr("alignheads.calibrate.replay.source._FEW_TOKENS", 0)


def test_a_few_tokens_are_decoded_from_the_start_and_answer_for_all_that_commits_less():
    live = Planted([*range(1, 8)] * 2)
    replay = planted_replay(live)
    assert ask(replay, [1, 2, 3, 4]).token_ids == tuple(live.text[4:])
    assert live.asked == [()]
    for kept in range(5):
        ask(replay, live.text[:kept])
    assert live.asked == [()]


def test_what_the_model_is_known_not_to_say_is_decoded_from_there_at_once():
    live = Planted([1, 2, 3, 4, 5, 6])
    replay = planted_replay(live)
    ask(replay, [])
    ask(replay, [1, 2, 9, 9])
    assert live.asked == [(), (1, 2, 9, 9)]


@pytest.mark.usefixtures("halved")
def test_one_decode_answers_for_all_that_runs_along_it():
    live = Planted([1, 2, 3, 4, 5, 6])
    replay = planted_replay(live)
    found = ask(replay, [1, 2, 3, 4])
    assert live.asked == [(1, 2)]
    assert found.token_ids == (5, 6)
    assert found.head_frames.tolist() == [[6, 7, 8], [9, 10, 11], [12, 13, 14]]
    assert found.frames.tolist() == [7, 10, 13]
    assert found.probabilities.tolist() == [5 / 8, 6 / 8, 1 / 8]
    assert found.language == "English"
    for committed in ([1, 2], [1, 2, 3], [1, 2, 3, 4, 5, 6]):
        assert ask(replay, committed).token_ids == tuple([1, 2, 3, 4, 5, 6][len(committed) :])
    assert len(ask(replay, [1, 2, 3, 4, 5, 6]).frames) == 1
    assert live.asked == [(1, 2)]
    ask(replay, [1])
    assert live.asked == [(1, 2), ()]


@pytest.mark.usefixtures("halved")
def test_committed_text_that_the_model_would_not_say_again_is_decoded_from_there():
    live = Planted([1, 2, 3, 4, 5, 6])
    replay = planted_replay(live)
    assert ask(replay, [1, 2, 9, 9]).token_ids == (5, 6)
    assert live.asked == [(1, 2), (1, 2, 9, 9)]
    assert ask(replay, [1, 2, 9, 9]).token_ids == (5, 6)
    assert len(live.asked) == 2


@pytest.mark.usefixtures("halved")
def test_a_continuation_that_was_cut_answers_only_from_where_it_was_cut():
    live = Planted([1, 2, 3, 4], ended=False)
    replay = planted_replay(live)
    ask(replay, [1, 2])
    assert live.asked == [(1,), (1, 2)]
    ask(replay, [1, 2])
    ask(replay, [1])
    assert live.asked == [(1,), (1, 2)]
    ask(replay, [1, 2, 3])
    assert live.asked[2:] == [(1, 2, 3)]


@pytest.mark.parametrize(
    "other",
    [
        {"audio": "two"},
        {"samples": AUDIO[:-1]},
        {"samples": np.zeros(16_160, np.float32)},
    ],
)
def test_other_audio_is_another_state(other):
    live = Planted([1, 2])
    replay = planted_replay(live)
    ask(replay, [])
    ask(replay, [], **other)
    assert live.asked == [(), ()]


def test_language_context_and_a_dropped_front_are_another_state():
    live = Planted([1, 2])
    replay = planted_replay(live)
    source = source_of(replay)
    source.hypothesis(AUDIO, 0, [], "English")
    source.hypothesis(AUDIO, 0, [], None)
    source.hypothesis(AUDIO, 0, [], "English", "before")
    source.drop(160)
    source.hypothesis(AUDIO, 0, [], "English")
    assert len(live.asked) == 4


def test_the_live_decoder_follows_the_stream_it_is_asked_about():
    live = Planted([1, 2])
    replay = planted_replay(live)
    first = source_of(replay)
    first.hypothesis(AUDIO, 0, [], "English")
    first.drop(320)
    second = source_of(replay)
    second.hypothesis(AUDIO, 0, [], "English")  # replayed: the live one is still at the first
    second.drop(160)
    second.hypothesis(AUDIO, 0, [], "English")  # decoded, from a fresh start
    assert live.calls == ["reset", "drop 320", "reset"]


def test_a_source_that_is_reset_is_a_new_stream():
    live = Planted([1, 2])
    source = source_of(planted_replay(live))
    source.hypothesis(AUDIO, 0, [], "English")
    source.drop(320)
    source.reset()
    source.hypothesis(AUDIO, 0, [], "English")  # replayed, as nothing is dropped any more
    assert len(live.asked) == 1
    source.hypothesis(AUDIO[:-160], 0, [], "English")
    assert live.calls == ["reset", "drop 320", "reset"]


def test_fewer_heads_are_the_first_columns():
    replay = planted_replay(Planted([1, 2]))
    two, one = ask(replay, [], head_count=2), ask(replay, [], head_count=1)
    assert two.head_frames.tolist() == [[0, 1], [3, 4], [6, 7]]
    assert two.frames.tolist() == [0.5, 3.5, 6.5]
    assert one.head_frames.tolist() == [[0], [3], [6]]


def test_any_of_the_heads_are_their_columns():
    model = planted_replay(Planted([1, 2])).recording("one")
    for heads, frames in (
        (HEADS[::-1], [[2, 1, 0], [5, 4, 3], [8, 7, 6]]),
        (HEADS[1:], [[1, 2], [4, 5], [7, 8]]),
    ):
        said = model.open_source(heads).hypothesis(AUDIO, 0, [], "English")
        assert said.head_frames.tolist() == frames
        assert said.frames.tolist() == [sum(row) / len(row) for row in frames]


def test_heads_that_were_not_ranked_have_no_answer_and_means_are_of_the_first():
    model = planted_replay(Planted([1])).recording("one")
    with pytest.raises(ValueError, match=r"\(3, 3\).*not among the ranked heads"):
        model.open_source([*HEADS, (3, 3)])
    for heads in (HEADS[::-1], HEADS[1:]):
        with pytest.raises(ValueError, match="not the first of the ranked heads"):
            model.open_source(heads, "mean")


def test_replayed_answers_owe_the_time_that_decoding_them_took():
    replay = planted_replay(Planted([1]))
    ask(replay, [])
    assert replay.owed_s == 0
    ask(replay, [])
    once = replay.owed_s
    ask(replay, [])
    assert replay.owed_s == 2 * once > 0


# The store


def record(prefix=(), ids=(1, 2), ended=True, mean=False):
    frames = np.arange((len(ids) + ended) * 2, dtype=np.uint16).reshape(-1, 2)
    likely = np.linspace(0.5, 1, len(frames), dtype=np.float32)
    means = frames if mean else None
    return Decoded(prefix, ids, "English", frames, means, likely, 9, ended, 0.75, 0.25)


def test_records_come_back_from_disk_as_they_were_put(tmp_path):
    path = tmp_path / "deep" / "store.sqlite"
    DecodeStore(path).put("s", record((7,), (1, 2), mean=True))
    found, done = DecodeStore(path).find("s", (7, 1))
    assert done == 1
    assert (found.prefix, found.ids, found.audio_frames, found.ended) == ((7,), (1, 2), 9, True)
    assert (found.seconds, found.language, found.no_speech) == (0.25, "English", 0.75)
    assert np.array_equal(found.probabilities, record().probabilities)
    assert np.array_equal(found.frames, record().frames)
    assert np.array_equal(found.mean_frames, record().frames)


def test_an_empty_continuation_is_a_record_too(tmp_path):
    path = tmp_path / "store.sqlite"
    DecodeStore(path).put("s", record(ids=(), ended=False))
    found, done = DecodeStore(path).find("s", ())
    assert (found.ids, found.frames.shape, done) == ((), (0, 2), 0)


def test_a_record_without_means_does_not_answer_for_means():
    store = DecodeStore()
    store.put("s", record())
    assert store.find("s", (), needs_mean=True) is None
    store.put("s", record(mean=True))
    assert store.find("s", (), needs_mean=True) is not None


def test_what_another_process_put_is_found_without_opening_anew(tmp_path):
    path = tmp_path / "store.sqlite"
    ours, theirs = DecodeStore(path), DecodeStore(path)
    assert ours.find("s", ()) is None
    theirs.put("s", record())
    assert ours.find("s", ()) is not None
    assert len(ours) == 1


def test_a_store_that_another_process_is_just_making_is_waited_for(tmp_path):
    path = tmp_path / "store.sqlite"
    other = sqlite3.connect(path, check_same_thread=False)
    other.execute("begin immediate")
    release = threading.Timer(0.3, other.rollback)
    release.start()
    DecodeStore(path).put("s", record())
    release.join()
    other.close()
    assert len(DecodeStore(path)) == 1


def test_processes_may_write_at_once(tmp_path):
    path = tmp_path / "store.sqlite"
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from alignheads.calibrate.replay.store import Decoded, DecodeStore\n"
        "store = DecodeStore(Path(sys.argv[1]))\n"
        "for i in range(60):\n"
        "    frames = np.zeros((1, 2), np.uint16)\n"
        "    record = (int(sys.argv[2]),), (), None, frames, None, np.ones(1), 1, True, 0.0, 0.0\n"
        "    store.put(f'{i}', Decoded(*record))\n"
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", code, path, str(k)], stderr=subprocess.PIPE)
        for k in range(2)
    ]
    for worker in workers:
        assert worker.communicate(timeout=60)[1] == b""
    assert len(DecodeStore(path)) == 120


def test_a_full_disk_is_told_once_and_the_sweep_goes_on_in_memory(tmp_path, caplog):
    store = DecodeStore(tmp_path / "store.sqlite")
    pages = store._file.execute("pragma page_count").fetchone()[0]
    store._file.execute(f"pragma max_page_count = {pages}")
    for index in range(400):
        store.put(f"{index}", record())
    assert store.find("0", ()) is not None
    assert store.find("399", ()) is not None
    (told,) = caplog.messages
    assert "full" in told


@pytest.mark.parametrize("content", [b"not a database, but long enough to be looked at" * 40])
def test_another_file_in_the_place_of_the_store_is_refused(tmp_path, content):
    path = tmp_path / "store.sqlite"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"store\.sqlite .*not a database.*as store"):
        DecodeStore(path)
    assert path.read_bytes() == content


def test_a_store_of_another_layout_is_refused(tmp_path):
    path = tmp_path / "store.sqlite"
    with sqlite3.connect(path) as file:
        file.execute("create table continuation (state text)")
    file.close()
    store = DecodeStore(path)
    with pytest.raises(InputError, match="store"):
        store.find("s", ())


# What stored answers belong to


def copied(tmp_path):
    package = Path(alignheads.__file__).parent
    for path in package.rglob("*.py"):
        inside = path.relative_to(package)
        if inside.parts[0] in ("runtime", "reports", "calibrate", "evaluate", "corpora", "heads"):
            (tmp_path / inside.parent).mkdir(parents=True, exist_ok=True)
            (tmp_path / inside).write_bytes(path.read_bytes())
    return tmp_path


def changes(package, version, path):
    """Whether another byte in a file makes another version."""
    version.cache_clear()
    before, content = version(package), path.read_bytes()
    path.write_bytes(content + b"#")
    version.cache_clear()
    after = version(package)
    path.write_bytes(content)
    return before != after


def test_the_engines_files_and_no_others_make_stored_answers_stale(tmp_path):
    package = copied(tmp_path)
    paths = sorted(package.rglob("*.py"))
    found = {p.relative_to(package) for p in paths if changes(package, engine_version, p)}
    engine = {p.relative_to(package) for p in paths if package / "runtime/models" in p.parents}
    assert found == engine
    assert {"source.py", "activations.py", "log_mel.py"} <= {path.name for path in found}


def test_what_decides_a_trial_is_in_the_version_of_its_study(tmp_path):
    package = copied(tmp_path)
    paths = sorted(package.rglob("*.py"))
    found = {p.relative_to(package) for p in paths if changes(package, code_version, p)}
    rooms = ("runtime/models", "runtime/policy", "runtime/stream", "evaluate", "corpora")
    decides = {
        p.relative_to(package)
        for p in paths
        if p.name != "cli.py" and any(package / room in p.parents for room in rooms)
    }
    assert found == decides


def test_a_module_that_is_added_or_renamed_makes_stored_answers_stale(tmp_path):
    package = copied(tmp_path)

    def version():
        engine_version.cache_clear()
        return engine_version(package)

    before = version()
    added = package / "runtime" / "models" / "qwen3" / "more.py"
    added.touch()
    with_more = version()
    added.rename(added.with_name("other.py"))
    assert len({before, with_more, version()}) == 3
