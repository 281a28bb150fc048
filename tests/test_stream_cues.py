"""Subtitles that an editor would accept, and the formats of word times for other tools."""

import io
import json
from itertools import zip_longest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignheads import InputError
from alignheads.corpora.ctm import _parse
from alignheads.corpora.textgrids import read_words
from alignheads.runtime.stream.channel_output import ChannelSubtitleWriter, make_channel_writer
from alignheads.runtime.stream.cues import CueLayout, cues, laid_out, width
from alignheads.runtime.stream.events import StreamEnd
from alignheads.runtime.stream.output import make_writer
from alignheads.runtime.stream.word import Word, joined

END = StreamEnd("talks/a talk.wav", 9.0, "English", "end")


def word(text, start_s, end_s, space=True):
    return Word(text, start_s, end_s, end_s, (1,), space, probability=0.5, language="English")


def spoken(text, each_s=0.3):
    return [word(one, i * each_s, (i + 1) * each_s) for i, one in enumerate(text.split())]


def lines(text, layout=None, each_s=0.3, lead=""):
    return [list(cue.lines) for cue in laid_out(spoken(text, each_s), layout or CueLayout(), lead)]


PIECES = st.lists(
    st.tuples(
        st.text("abcdefgh你好.,? \u0301", min_size=1, max_size=60).filter(lambda t: t.strip() == t),
        st.floats(0.0, 3.0),  # the pause before it
        st.floats(0.02, 9.0),
        st.booleans(),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(PIECES, st.integers(10, 50), st.integers(1, 3))
def test_no_cue_is_too_wide_too_high_too_short_or_too_long(pieces, chars, most_lines):
    at_s, words = 0.0, []
    for text, pause_s, lasts_s, space in pieces:
        words.append(word(text, at_s + pause_s, at_s + pause_s + lasts_s, space))
        at_s = words[-1].end_s
    layout = CueLayout(chars, most_lines)
    made = laid_out(words, layout)
    assert "".join(w.text for cue in made for w in cue.words) == "".join(w.text for w in words)
    for cue, following in zip_longest(made, made[1:]):
        assert 1 <= len(cue.lines) <= most_lines
        # A mark alone stays with its word, though there be no room for it.
        assert all(width(line.rstrip(".,? ")) <= chars for line in cue.lines)
        assert cue.end_s - cue.start_s <= 7.0 + 1e-9
        assert cue.end_s > cue.start_s
        if following is not None:
            assert cue.end_s <= following.start_s + 1e-9
        if following is None or following.start_s - cue.start_s >= 1.0:
            assert cue.end_s - cue.start_s >= 1.0 - 1e-9


@settings(max_examples=30, deadline=None)
@given(PIECES, st.randoms(use_true_random=False))
def test_cues_written_as_words_come_are_those_of_the_whole(pieces, dice):
    at_s, words = 0.0, []
    for text, pause_s, lasts_s, space in pieces:
        words.append(word(text, at_s + pause_s, at_s + pause_s + lasts_s, space))
        at_s = words[-1].end_s
    whole, grown = io.StringIO(), io.StringIO()
    for file, few in ((whole, False), (grown, True)):
        writer, at = make_writer("srt", file), 0
        while at < len(words):
            size = dice.randint(1, 3) if few else len(words)
            writer.update(words[at : at + size], 1.0, "")
            at += size
        writer.end(END)
    assert grown.getvalue() == whole.getvalue()


def test_cues_end_at_sentences_clauses_and_pauses():
    assert lines("One two three four. Five six, seven.", each_s=0.5) == [
        ["One two three four."], ["Five six, seven."],
    ]  # fmt: skip
    long = "it was one long day when the river came up, and nobody in the house knew what to do"
    assert lines(long, each_s=0.25) == [
        ["it was one long day", "when the river came up,"],
        ["and nobody in the house knew what to do"],
    ]
    apart = [word("two", 0.0, 0.5), word("words", 2.0, 2.5)]
    assert [(c.start_s, c.end_s) for c in laid_out(apart, CueLayout())] == [(0, 1), (2, 3)]


def test_short_sentences_share_a_cue_rather_than_flash():
    made = laid_out(spoken("Yes. No. So it is.", each_s=0.4), CueLayout())
    assert [cue.lines for cue in made] == [("Yes. No. So it is.",)]


def test_a_word_longer_than_a_line_is_cut():
    (cue,) = laid_out([word("x" * 60, 0, 3)], CueLayout())
    assert [len(line) for line in cue.lines] == [42, 18]
    assert "".join(cue.lines) == "x" * 60


def test_letters_of_double_width_count_two():
    words = [word(letter, i * 0.1, i * 0.1 + 0.1, False) for i, letter in enumerate("你好" * 40)]
    made = laid_out(words, CueLayout())
    assert all(len(line) <= 21 for cue in made for line in cue.lines)
    assert "".join(line for cue in made for line in cue.lines) == joined(words)


def test_the_name_of_a_channel_counts_in_its_line():
    for cue in laid_out(spoken("abcde " * 60), CueLayout(), "Channel 1: "):
        assert cue.lines[0].startswith("Channel 1: ")
        assert max(map(len, cue.lines)) <= 42


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"max_line_chars": 3}, "max_line_chars is 3, expected 10"), ({"max_lines": 0}, "max_lines")],
)
def test_layouts_without_room_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        CueLayout(**settings)


def test_what_comes_later_changes_the_last_cue_only():
    words = spoken("so it was said, and so they went. " * 8)
    whole = [[w.text for w in cue] for cue in cues(words, CueLayout())]
    for count in range(1, len(words)):
        some = [[w.text for w in cue] for cue in cues(words[:count], CueLayout())]
        assert some[:-1] == whole[: len(some) - 1]


# Word times for other tools


def told(output, words, channels=None):
    file = io.StringIO()
    if channels is None:
        writer = make_writer(output, file, source=END.source)
        writer.update(words, 1.0, "")
        writer.end(END)
    else:
        writer = make_channel_writer(output, channels, file, source=END.source)
        writer.update(words, 1.0, [""] * channels)
        writer.end([END] * channels)
    return file.getvalue()


WORDS = [word("so", 0.5, 0.8), word('"it"', 0.7, 1.0), word("was\u00a0it", 2.0, 2.0)]


def test_a_ctm_is_one_that_our_corpora_read():
    made = told("ctm", WORDS).splitlines()
    assert made[0] == "a_talk 1 0.500 0.300 so 0.5000"
    parsed = [_parse(line, "x") for line in made]
    assert [(one.text, one.start_s) for _, _, one in parsed] == [
        ("so", 0.5), ('"it"', 0.7), ("was_it", 2.0),
    ]  # fmt: skip
    assert told("ctm", [(2, WORDS[0])], 2) == "a_talk 2 0.500 0.300 so 0.5000\n"
    assert told("ctm", []) == ""


def test_a_textgrid_is_one_that_our_corpora_read(tmp_path):
    path = tmp_path / "x.TextGrid"
    path.write_text(told("textgrid", WORDS), encoding="utf-8")
    found = read_words(path)
    assert [one.text for one in found] == ["so", '"it"', "was it"]
    times = np.array([(one.start_s, one.end_s) for one in found])
    assert (times[:, 0] < times[:, 1]).all()
    assert (times[1:, 0] >= times[:-1, 1]).all()
    path.write_text(told("textgrid", []), encoding="utf-8")
    assert read_words(path) == ()


def test_a_textgrid_has_a_tier_for_each_channel():
    made = told("textgrid", [(1, WORDS[0]), (2, WORDS[1])], 2)
    assert made.count('class = "IntervalTier"') == 2
    assert 'name = "Channel 2 - words"' in made


def test_json_is_one_object():
    found = json.loads(told("json", WORDS))
    assert list(found) == [
        "version", "source", "audio_s", "language", "languages", "text", "reason", "words",
    ]  # fmt: skip
    assert (found["version"], found["audio_s"], found["reason"]) == (1, 9.0, "end")
    assert found["words"][0] == {
        "text": "so", "start": 0.5, "end": 0.8, "space": " ", "probability": 0.5,
        "language": "English",
    }  # fmt: skip
    assert json.loads(told("json", []))["words"] == []
    both = json.loads(told("json", [(1, WORDS[0]), (2, WORDS[1])], 2))
    assert both["channels"] == 2
    assert [one["channel"] for one in both["words"]] == [1, 2]


def test_cues_of_channels_in_srt_name_them():
    file = io.StringIO()
    writer = ChannelSubtitleWriter(file, "srt", 2)
    writer.update([(2, WORDS[0])], 1.0, ["", ""])
    writer.end([END, END])
    assert "Channel 2: so" in file.getvalue()
