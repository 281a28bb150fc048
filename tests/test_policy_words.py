from itertools import pairwise

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from alignheads.runtime.policy.leaving import leaving_words
from alignheads.runtime.policy.words import (
    NO_SPACE_LANGUAGES,
    space_between,
    split_words,
    unshown,
    whole_characters,
)


def texts(parts, language=None):
    return [word.text for word in split_words(parts, language)]


def tokens(parts, language=None):
    return [list(word.tokens) for word in split_words(parts, language)]


def test_nothing_has_no_words():
    assert split_words([]) == []
    assert split_words([b"", b""]) == []
    assert split_words([b" ", b"\n", b"\t "]) == []


def test_a_character_cut_in_two_belongs_to_both_tokens():
    parts = [b"na", b"\xc3", b"\xafve", b" yes"]  # naïve
    first, second = split_words(parts)
    assert (first.text, list(first.tokens)) == ("naïve", [0, 1, 2])
    assert first.spans == ((0, 2 / 6), (2 / 6, 3 / 6), (3 / 6, 1))
    assert (second.text, list(second.tokens)) == ("yes", [3])


def test_an_emoji_in_four_tokens_between_words():
    emoji = "🎧".encode()
    parts = [b"a", b" ", *(emoji[i : i + 1] for i in range(4)), b" b"]
    assert texts(parts) == ["a", "🎧", "b"]
    assert tokens(parts) == [[0], [2, 3, 4, 5], [6]]


@pytest.mark.parametrize("parts", [[b"\xf0\x9f", b" ok"], [b"ok ", b"\xf0\x9f"], [b"\xa9", b" ok"]])
def test_an_incomplete_character_is_shown_as_such_and_moves_nothing(parts):
    words = split_words(parts)
    assert sorted(word.text.replace("�", "") for word in words) == ["", "ok"]
    assert [list(word.tokens) for word in words] == [[0], [1]]


def test_words_take_their_spaces_from_the_tokens():
    parts = [b" night", b"fall", b" s", b"qualid", b" ", b" rain "]
    assert texts(parts) == ["nightfall", "squalid", "rain"]
    assert tokens(parts) == [[0, 1], [2, 3], [5]]


def test_the_space_before_a_word_is_no_part_of_its_span():
    (word,) = split_words([b"   ab", b"cd  "])
    assert word.spans == ((0, 0.5), (0.5, 1))


def test_one_token_may_hold_several_words():
    parts = [b"one two", b" three"]
    assert tokens(parts) == [[0], [0], [1]]
    assert [word.spans for word in split_words(parts)] == [((0, 1),)] * 3


def test_an_empty_token_inside_a_word_has_no_width():
    (word,) = split_words([b"ab", b"", b"cd"])
    assert list(word.tokens) == [0, 1, 2]
    assert word.spans == ((0, 0.5), (0.5, 0.5), (0.5, 1))


def test_apostrophes_and_hyphens_do_not_end_a_word():
    assert texts([b"don", b"'t", b" re", b"-", b"do"]) == ["don't", "re-do"]


def test_other_white_space_of_unicode_ends_a_word():
    assert texts(["a\u3000b\u00a0c\u2003d".encode()]) == ["a", "b", "c", "d"]


def test_chinese_is_one_word_a_character_also_where_a_token_holds_two():
    parts = ["你好".encode(), "世".encode()[:1], "世".encode()[1:], "界".encode()]
    assert texts(parts, "Chinese") == ["你", "好", "世", "界"]
    assert tokens(parts, "Chinese") == [[0], [0], [1, 2], [3]]
    assert texts(parts) == texts(parts, "English") == ["你", "好", "世", "界"]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("สวัสดีครับ", 7),
        ("ສະບາຍດີ", 6),
        ("ជំរាបសួរ", 5),
        ("မင်္ဂလာပါ", 6),
        ("こんにちは", 5),
        ("コーヒー", 4),
    ],
)
@pytest.mark.parametrize("language", [None, "Thai", "English"])
def test_scripts_without_spaces_give_a_word_a_grapheme_cluster(text, count, language):
    clusters = regex.findall(r"\X", text)
    assert len(clusters) == count
    assert texts([character.encode() for character in text], language) == clusters


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("我们用 Python", "我 们 用 Python"),
        ("我们用Python写的", "我 们 用 Python 写 的"),
        ("ใช้Pythonดี", "ใ ช้ Python ดี"),
        ("3月14日", "3 月 14 日"),
        ("约3.5%的", "约 3.5% 的"),
        ("don't说re-do", "don't 说 re-do"),
        ("他说：“你好！”", "他 说： “你 好！”"),
        ("（好）OK！」Yes", "（好） OK！」 Yes"),
        ("안녕하세요 세계", "안녕하세요 세계"),
        ("ភាសា។", "ភា សា។"),
        ("བོད་སྐད།", "བོ ད་ སྐ ད།"),
        ("，好🎧吗", "， 好🎧 吗"),
    ],
)
def test_mixed_text_is_cut_by_script(text, words):
    assert texts([text.encode()]) == words.split()


def test_white_space_is_kept_as_it_was_written():
    parts = [
        "1\u202f000".encode(),
        b" Bon",
        "jour\u00a0!".encode(),
        "\u3000a".encode(),
        b".\n",
        b"S",
    ]
    words = split_words(parts)
    assert "".join(word.space + word.text for word in words) == b"".join(parts).decode()
    assert [word.space for word in words] == ["", "\u202f", " ", "\u00a0", "\u3000", "\n"]
    zero_width = split_words(["ខ្ញុំ\u200b".encode(), "ទៅ".encode()])
    assert [word.space for word in zero_width] == ["", "\u200b"]


@pytest.mark.parametrize(
    ("before", "after", "space"),
    [
        ("river", "his", " "), ("river.", "His", " "), ("río", "¿Qué", " "), ("he", '"Hi', " "),
        ("你", "好", ""), ("สวัส", "ดี", ""), ("好", "Python", ""), ("Python", "好", ""),
        ("好。", "Python", ""), ("river", ", and", ""), ("river", "!", ""), ("", "river", ""),
    ],
)  # fmt: skip
def test_a_space_stands_where_the_script_writes_one(before, after, space):
    assert space_between(before, after) == space


def test_a_part_of_a_character_is_no_text():
    parts = [b"na", b"\xc3", b"\xafv", b"\xe4\xb8"]
    assert whole_characters(parts) == [b"na", b"\xc3", b"\xafv", b""]
    assert whole_characters([b"\xf0\x9f", b" ok", b"\xa9"]) == [b"", b" ok", b""]
    assert unshown(b"".join(parts)) == b"\xe4\xb8"
    assert unshown(b"line.\n\xe4") == b"\n\xe4"
    assert unshown(b"line.") == unshown(b"") == b""


def test_a_word_can_be_cut_at_a_token_but_not_in_a_character():
    assert texts([b" abc", b"def", b" g"]) == ["abcdef", "g"]
    cut = split_words([b" abc", b"def", b" g"], cuts={1})
    assert [(word.space, word.text) for word in cut] == [(" ", "abc"), ("", "def"), (" ", "g")]
    assert len(split_words([b"a\xc3", b"\xaf"], cuts={1})) == 1


def test_words_that_are_spoken_in_what_leaves():
    words = split_words([b" a", b" b", b"b", b" c", b" d"])
    assert leaving_words(words, [10, 20, 30, 60, 70], 50, 80) == (2, None)
    assert leaving_words(words, [10, 20, 5, 60, 70], 8, 80) == (0, None)
    # One that looks back is where the one before it is; a word over the border goes whole.
    assert leaving_words(words, [10, 55, 56, 20, 70], 50, 80) == (1, None)
    assert leaving_words(words, [10, 45, 70, 75, 90], 50, 80) == (2, None)
    # One that is longer than what may stay is cut.
    assert leaving_words(words, [10, 45, 85, 90, 95], 50, 80) == (2, 2)
    assert leaving_words([], [], 50, 80) == (0, None)


def test_the_languages_without_spaces_are_the_engines():
    from mlx_qwen3_asr import tokenizer

    assert NO_SPACE_LANGUAGES == tokenizer.NO_SPACE_LANGUAGES


def byte_ranges(text):
    """(start, end) in bytes of each word of text with spaces: the slow and obvious way."""
    ranges, at, start = [], 0, None
    for character in text:
        size = len(character.encode())
        if start is not None and character.isspace():
            ranges.append((start, at))
            start = None
        if start is None and not character.isspace():
            start = at
        at += size
    return ranges if start is None else [*ranges, (start, at)]


@given(
    st.text("aé'.-1 \n\u00a0\u3000Ωж한🎧", max_size=40),
    st.lists(st.integers(0, 160), max_size=12),
)
def test_any_text_cut_anywhere_gives_its_words_and_their_tokens(text, cuts):
    data = text.encode()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    words = split_words([data[a:b] for a, b in pairwise(edges)])
    ranges = byte_ranges(text)
    assert [word.text.encode() for word in words] == [data[a:b] for a, b in ranges]
    for word, (start, end) in zip(words, ranges, strict=True):
        spans = dict(zip(word.tokens, word.spans, strict=True))
        for token, (first, last) in enumerate(pairwise(edges)):
            overlap = max(0, min(last, end) - max(first, start))
            before, after = spans.get(token, (0, 0))
            assert after - before == pytest.approx(overlap / (end - start))
        assert word.spans[0][0] == 0
        assert word.spans[-1][1] == 1
        assert all(a[1] == b[0] for a, b in pairwise(word.spans))


@given(st.text(max_size=30) | st.text("我กา。「 a", max_size=30), st.integers(0, 60))
def test_words_and_the_spaces_before_them_are_the_text(text, cut):
    data = text.encode()
    words = split_words([data[:cut], data[cut:]])
    joined = "".join(word.space + word.text for word in words)
    assert text.startswith(joined)
    assert unshown(data).decode() == text[len(joined) :]
    assert all(word.text and not any(c.isspace() for c in word.text) for word in words)


@given(st.binary(max_size=30), st.integers(0, 30))
def test_any_bytes_at_all_do_no_harm(data, cut):
    words = split_words([data[:cut], data[cut:]])
    assert all(word.text and not word.text.isspace() for word in words)
