"""The decoder, given a perfect model: all that is said comes out, once, in time, as it was written.

`scripted.py` says what the model is. What is wrong here is the decoder's fault.
"""

import io
import json
import os
import random
import subprocess
import sys
import threading

import numpy as np
import pytest
import whisper_checkpoints
from scripted import RATE, ScriptedSource, evenly

from alignheads import DecoderConfig, InputError, SpeechModel, StreamDecoder
from alignheads.runtime.stream.decoder import joined
from alignheads.runtime.stream.output import JsonlWriter, StreamEnd, SubtitleWriter, TextWriter

THAI = "สวัสดีครับวันนี้อากาศดีมากเราจะไปเที่ยวทะเลกันไหมผมคิดว่าน่าจะสนุกมากๆเลยทีเดียว"
LAO = "ສະບາຍດີມື້ນີ້ອາກາດດີຫຼາຍພວກເຮົາຈະໄປທ່ຽວນຳກັນ"
KHMER = "ជំរាបសួរថ្ងៃនេះអាកាសធាតុល្អណាស់យើងនឹងទៅលេងជាមួយគ្នា"
BURMESE = "မင်္ဂလာပါဒီနေ့ရာသီဥတုကောင်းတယ်ကျွန်တော်တို့အတူတူသွားကြမယ်"
CHINESE = "今天天气很好，我们一起去公园散步。然后吃午饭，再回家看电影！你觉得怎么样？"
JAPANESE = "こんにちは、コーヒーを飲みながら新しい本を読みましょう。"
MIXED = "我们用Python写代码，然后deploy到云上。ใช้ได้ดี OK吗？"
ENGLISH = " every river runs past the old tower and his candle danced until the morning came."


def stream_of(model, script, language=None, config=None, **settings):
    source = ScriptedSource(model, script, **settings)
    return StreamDecoder(model, config, language=language, source=source)


def fed(stream, seconds, piece_s=1.0):
    words, piece = [], int(piece_s * RATE)
    for start in range(0, int(seconds * RATE), piece):
        words += stream.feed(np.zeros(min(piece, int(seconds * RATE) - start), np.float32))
    return words + stream.finish()


# Text without spaces


@pytest.mark.parametrize(
    ("seconds", "text", "characters_per_s", "language"),
    [
        (10, THAI, 8.3, "Thai"), (69, THAI, 8.3, "Thai"), (40, LAO, 8, None),
        (60, KHMER, 9, "Khmer"), (40, BURMESE, 10, "English"), (60, CHINESE, 4, "English"),
        (90, JAPANESE, 6, "Japanese"), (60, MIXED, 6, "Chinese"), (40, ENGLISH, 14, "Chinese"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("by_time", [False, True])
def test_all_that_is_said_comes_out_in_time(
    tiny, seconds, text, characters_per_s, language, by_time
):
    count = int(seconds * characters_per_s)
    said = (text * (count // len(text) + 1))[:count].strip()
    script = evenly(tiny, said, seconds)
    source = ScriptedSource(tiny, script, language=language, by_time=by_time)
    stream = StreamDecoder(tiny, source=source)
    words = fed(stream, seconds + 1)
    assert stream.text == joined(words) == said
    assert words[0].emitted_s <= script[0][1] + 2
    assert max(word.emitted_s - word.end_s for word in words) <= 3
    starts = [word.start_s for word in words]
    assert starts == sorted(starts)


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    """A Whisper of random weights, with the real vocabulary and its clock of 50 frames a second."""
    return SpeechModel.load(whisper_checkpoints.mlx_folder(tmp_path_factory.mktemp("w") / "small"))


@pytest.mark.parametrize("text", [THAI * 6, CHINESE * 5, "1\u202f000 francs\u00a0! " * 15, ENGLISH])
def test_it_holds_for_whisper(whisper, text):
    config = DecoderConfig(
        model=whisper.name, heads=((1, 0), (1, 1)), head_count=2, border_s=0.5, max_audio_s=20.0
    )
    script = evenly(whisper, text, 50)
    source = ScriptedSource(whisper, script, by_time=True)
    stream = StreamDecoder(whisper, config, source=source)
    words = fed(stream, 51)
    assert stream.text == text.strip()
    assert words[0].emitted_s <= script[0][1] + 2


@pytest.mark.parametrize(
    ("max_audio_s", "piece_s"), [(6.0, 1.0), (12.0, 45.0), (30.0, 1.0), (30.0, 5.0)]
)
def test_a_word_without_an_end_leaves_in_pieces(tiny, max_audio_s, piece_s):
    """Letters of a script with spaces that come without any: held, and never lost."""
    # No part of it twice: the scripted model tells by its letters how far the text has come.
    said = "".join(random.Random(0).choices("abcdefghijklmnopqrstuvwxyz", k=312))
    script = evenly(tiny, said, 60)
    config = DecoderConfig.bundled("tiny").changed(max_audio_s=max_audio_s)
    stream = stream_of(tiny, script, "English", config)
    fed(stream, 61, piece_s)
    assert stream.text.replace(" ", "") == said


def test_no_word_is_lost_where_the_model_does_not_end_its_text(tiny):
    script = evenly(tiny, ENGLISH * 8, 60)
    stream = stream_of(tiny, script, "English", ended=False)
    fed(stream, 61)
    assert stream.text == (ENGLISH * 8).strip()


# White space


@pytest.mark.parametrize(
    "text",
    [
        "1\u202f000 francs", "Bonjour\u00a0! Ça va\u00a0?", "今日は\u3000晴れ\u3000です",
        "First line.\nSecond line.\r\n\tThird", "two  spaces   three", "ខ្ញុំ\u200bទៅ\u200bផ្ទះ",
        "a\u2028b\u2009c\u205fd", " leading and trailing ",
    ],
)  # fmt: skip
@pytest.mark.parametrize("seconds", [3, 20])
def test_white_space_comes_out_as_it_was_written(tiny, text, seconds):
    stream = stream_of(tiny, evenly(tiny, text, seconds), "English")
    words = fed(stream, seconds + 1, 0.5)
    assert stream.text == text.strip()
    assert not any(c.isspace() for word in words for c in word.text)
    assert [word.space_before for word in words[1:]] == [
        word.space.strip("\u200b") != "" for word in words[1:]
    ]


def test_a_line_break_at_the_end_of_a_token_is_kept_from_one_step_to_another(tiny):
    """A token `.\\n` is committed with its word; the next begins without white space of its own."""
    tokens = {900: b" line", 901: b".\n", 902: b"Second"}
    model = Vocabulary(tiny, tokens)
    stream = stream_of(model, [(900, 1.0), (901, 1.2), (902, 6.0)], "English")
    early = stream.feed(np.zeros(4 * RATE, np.float32)) + stream.flush()
    assert [word.text for word in early] == ["line."]
    words = early + fed(stream, 4)
    assert stream.text == "line.\nSecond"
    assert words[1].space == "\n"


class Vocabulary:
    """A model with other tokens."""

    def __init__(self, model, tokens):
        self._model, self._tokens = model, tokens

    def __getattr__(self, name):
        return getattr(self._model, name)

    def token_bytes(self, token_id):
        return self._tokens[token_id]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (" the old river", "his candle", "the old river his candle"),
        ("今天天气", "很好", "今天天气很好"),
        ("สวัสดี", "ครับ", "สวัสดีครับ"),
        (" the river.", " His", "the river. His"),
        ("今天天气。", "Python", "今天天气。Python"),
    ],
)
def test_what_begins_afresh_is_a_new_word(tiny, first, second, expected):
    """After a pause in which all that was committed left the buffer."""
    script = evenly(tiny, first, 3) + evenly(tiny, second, 3, start_s=50)
    stream = stream_of(tiny, script, "English")
    fed(stream, 55)
    assert stream.text == expected


def test_writers_follow_the_white_space(tiny):
    text = "Un\u00a0chat\u00a0! Ligne.\nDeux ខ្ញុំ\u200bទៅ"
    stream = stream_of(tiny, evenly(tiny, text, 10), "English")
    files = [io.StringIO() for _ in range(4)]
    writers = [TextWriter(files[0]), JsonlWriter(files[1])]
    writers += [SubtitleWriter(files[2], "srt"), SubtitleWriter(files[3], "vtt")]
    words = fed(stream, 11)
    for writer in writers:
        for word in words:
            writer.update([word], 11.0, "")
        writer.end(StreamEnd("x", 11.0, "English", "end"))
    in_a_line = text.replace("\n", " ")
    assert files[0].getvalue() == in_a_line + "\n"
    *commits, end = map(json.loads, files[1].getvalue().splitlines())
    assert end["text"] == text
    assert "".join(w["space"] + w["text"] for c in commits for w in c["words"]) == text
    for subtitles in files[2:]:
        assert "Un\u00a0chat\u00a0!" in subtitles.getvalue()
        assert "Ligne. Deux" not in subtitles.getvalue()
        assert "Deux ខ្ញុំ" in subtitles.getvalue()


# No language, characters cut in two


def test_words_come_out_where_no_language_is_named(tiny):
    text = ENGLISH * 3
    source = ScriptedSource(tiny, evenly(tiny, text, 40), language=None)
    stream = StreamDecoder(tiny, source=source)
    out = io.StringIO()
    writer = JsonlWriter(out)
    writer.update(fed(stream, 41), 41.0, stream.draft)
    writer.end(StreamEnd("x", 41.0, stream.language, "end"))
    assert stream.text == text.strip()
    assert stream.language is None
    assert json.loads(out.getvalue().splitlines()[-1])["language"] is None


@pytest.mark.parametrize("end", ["flush", "finish"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_half_a_character_is_never_committed(tiny, end, count):
    """The hypothesis ends inside of a character; after a flush the rest may still come."""
    emoji = "🎧".encode()
    tokens = {900: b" na", 901: "ï".encode()[:1], 902: "ï".encode()[1:] + b"ve", 910: b" "}
    tokens |= {920 + i: emoji[i : i + 1] for i in range(4)} | {930: b" end"}
    script = [(900, 1.0), (901, 1.1), (902, 1.3), (910, 1.8)]
    script += [(920 + i, (1.9 if i < count else 5.0)) for i in range(4)] + [(930, 5.5)]
    stream = stream_of(Vocabulary(tiny, tokens), script, "English")
    words = stream.feed(np.zeros(2 * RATE, np.float32))
    if end == "finish":
        words += stream.finish()
        assert stream.text == "naïve"
    else:
        words += stream.flush()
        assert stream.text == "naïve"
        words += fed(stream, 5)
        assert stream.text == "naïve 🎧 end"
    assert not any("\ufffd" in word.text for word in words)
    assert "\ufffd" not in stream.draft


def test_a_broken_character_is_no_text(tiny):
    tokens = {900: b" ok", 901: b"\xe4", 902: b" \xf0\x9f", 903: b" yes"}
    script = [(900, 1.0), (901, 1.1), (902, 1.6), (903, 2.5)]
    stream = stream_of(Vocabulary(tiny, tokens), script, "English")
    fed(stream, 4)
    assert stream.text.split() == ["ok", "yes"]


# Confidence


def test_words_have_the_probability_of_their_tokens_and_their_distance_to_the_border(tiny):
    script = evenly(tiny, ENGLISH, 8)
    stream = stream_of(tiny, script, "English", probability=0.25)
    steps = []
    stream._on_step = steps.append
    words = fed(stream, 9)
    assert [word.probability for word in words] == pytest.approx([0.25] * len(words))
    said_s = iter(script)
    for word in words:
        said = [next(said_s) for _ in word.token_ids]
        first_s = next(at_s for token, at_s in said if tiny.token_bytes(token).strip())
        decoded_s = next(step.audio_s for step in steps if step.audio_s >= word.emitted_s)
        assert word.border_distance_s == pytest.approx(decoded_s - first_s, abs=0.09)
        assert word.attended_s[0] <= first_s <= word.attended_s[1] + 0.9
    held = [word for word in words if word.emitted_s < 9]
    assert min(word.border_distance_s for word in held) >= stream.config.border_s - 0.09
    out = io.StringIO()
    JsonlWriter(out).update(words, 9.0, "")
    (event,) = map(json.loads, out.getvalue().splitlines())
    assert [word["probability"] for word in event["words"]] == [0.25] * len(words)
    assert all(word["border_distance"] >= 0 for word in event["words"])


def test_the_probability_of_a_word_is_a_geometric_mean(tiny):
    tokens = {900: b" a", 901: b"b", 902: b" c"}
    stream = stream_of(Vocabulary(tiny, tokens), [(900, 1.0), (901, 1.1), (902, 2.0)], "English")
    real = stream._source.hypothesis

    def hypothesis(*arguments):
        said = real(*arguments)
        chances = [{900: 0.2, 901: 0.8, 902: 0.0}.get(i, 1.0) for i in said.token_ids]
        return type(said)(**{**vars(said), "probabilities": np.array([*chances, 1.0])})

    stream._source.hypothesis = hypothesis
    words = fed(stream, 4)
    assert words[0].probability == pytest.approx(0.4)
    assert words[1].probability == pytest.approx(0, abs=1e-30)


# Threads and processes


class SlowSource(ScriptedSource):
    """Says so when it is asked, and answers when it is let."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.is_asked, self.may_answer = threading.Event(), threading.Event()

    def hypothesis(self, *arguments):
        self.is_asked.set()
        assert self.may_answer.wait(20)
        return super().hypothesis(*arguments)


@pytest.mark.parametrize("call", ["feed", "flush", "finish", "reset"])
def test_a_second_thread_is_refused_and_nothing_of_its_audio_taken(tiny, call):
    source = SlowSource(tiny, evenly(tiny, ENGLISH, 8))
    stream = StreamDecoder(tiny, source=source)
    words = []
    other = threading.Thread(
        target=lambda: words.extend(stream.feed(np.zeros(4 * RATE, np.float32)))
    )
    other.start()
    assert source.is_asked.wait(20)
    arguments = [np.ones(RATE, np.float32)] if call == "feed" else []
    with pytest.raises(InputError, match="one thread at a time"):
        getattr(stream, call)(*arguments)
    source.may_answer.set()
    other.join()
    assert stream.received_s == 4
    words += fed(stream, 5)
    assert stream.text == joined(words) == ENGLISH.strip()


def test_six_threads_at_one_stream(tiny, demo):
    samples = demo.utterances[2].read()
    alone = StreamDecoder(tiny)
    alone.feed(samples)
    alone.finish()
    stream, outcomes, barrier = StreamDecoder(tiny), [], threading.Barrier(6)

    def feed():
        barrier.wait()
        try:
            outcomes.append(stream.feed(samples))
        except InputError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=feed) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(outcome, InputError) for outcome in outcomes) == 5
    assert stream.received_s == len(samples) / RATE
    stream.finish()
    assert stream.text == alone.text


def test_a_callback_cannot_feed_its_own_stream(tiny):
    stream = stream_of(tiny, evenly(tiny, ENGLISH, 4), "English")
    stream._on_step = lambda _: stream.feed(np.zeros(1, np.float32))
    with pytest.raises(InputError, match="one thread at a time"):
        stream.feed(np.zeros(2 * RATE, np.float32))
    stream._on_step = None
    fed(stream, 3)
    assert stream.text == ENGLISH.strip()


FORKED = """
import os, sys, time
import numpy as np
import alignheads
model = alignheads.SpeechModel.load("tiny")
samples = np.random.default_rng(0).normal(0, 0.05, 32000).astype(np.float32)
stream = alignheads.StreamDecoder(model)
stream.feed(samples)
calls = [
    lambda: stream.feed(samples),
    stream.finish,
    lambda: model.transcribe(samples),
    lambda: alignheads.SpeechModel.load("tiny"),
]
for number, call in enumerate(calls):
    child = os.fork()
    if not child:
        try:
            call()
            print("worked", flush=True)
        except Exception as error:
            print(type(error).__name__, error, flush=True)
        os._exit(0) if number % 2 else sys.exit()
    end = time.monotonic() + 20
    while not os.waitpid(child, os.WNOHANG)[0]:
        if time.monotonic() > end:
            os.kill(child, 9)
            sys.exit(f"call {number} hangs")
        time.sleep(0.02)
stream.feed(samples)
stream.finish()
print("the parent goes on", stream.received_s)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_of_a_fork_is_told_and_does_not_hang():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    *children, parent = done.stdout.splitlines()
    assert len(children) == 4
    for line in children:
        assert line.startswith("InputError this process was forked")
        assert "spawn" in line
    assert parent == "the parent goes on 4.0"
