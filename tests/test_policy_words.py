from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignheads.runtime.policy.words import NO_SPACE_LANGUAGES, split_words


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
    assert texts(parts) == ["你好世界"]
    assert texts(parts, "Korean") == ["你好世界"]


def test_the_languages_without_spaces_are_the_engines():
    from mlx_qwen3_asr import tokenizer

    assert NO_SPACE_LANGUAGES == tokenizer.NO_SPACE_LANGUAGES
    for name in (" Japanese", "ZH_cn", "yue", "English", "", None):
        by_character = len(split_words(["你好".encode()], name)) == 2
        assert by_character == tokenizer.is_no_space_language(name)


def byte_ranges(text, by_character):
    """(start, end) in bytes of each word: the slow and obvious way."""
    ranges, at, start = [], 0, None
    for character in text:
        size = len(character.encode())
        if start is not None and (character.isspace() or by_character):
            ranges.append((start, at))
            start = None
        if start is None and not character.isspace():
            start = at
        at += size
    return ranges if start is None else [*ranges, (start, at)]


@given(
    st.text(max_size=40),
    st.lists(st.integers(0, 160), max_size=12),
    st.sampled_from([None, "English", "Chinese"]),
)
def test_any_text_cut_anywhere_gives_its_words_and_their_tokens(text, cuts, language):
    data = text.encode()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    words = split_words([data[a:b] for a, b in pairwise(edges)], language)
    ranges = byte_ranges(text, language == "Chinese")
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


@given(st.binary(max_size=30), st.integers(0, 30))
def test_any_bytes_at_all_do_no_harm(data, cut):
    words = split_words([data[:cut], data[cut:]])
    assert all(word.text and not word.text.isspace() for word in words)
