"""Normalisers: the published one to the letter, Whisper's, and languages without spaces."""

import pytest

from alignheads.evaluate.normalise import (
    basic,
    is_scored_by_character,
    normalise,
    scoring_language,
    units,
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Flour-fatted sauce.", "FLOURFATTED SAUCE"),
        ("his father 's  shrill\twhistle", "HIS FATHER S SHRILL WHISTLE"),
        ("Shelley's “words” — naïve_1", "SHELLEYS WORDS NAÏVE1"),
        ("straße €5 + 2", "STRASSE 5 2"),
        ("", ""),
        ("…", ""),
    ],
)
def test_basic_is_upper_case_with_punctuation_out(text, wanted):
    assert basic(text) == wanted
    assert normalise(text, "basic", "English") == wanted


def test_basic_keeps_the_vowel_signs_of_other_scripts():
    assert basic("हिन्दी।") == "हिन्दी"


def test_basic_is_the_same_for_composed_and_decomposed_letters():
    assert basic("nai\u0308ve") == basic("naïve")


def test_whisper_evens_out_what_is_said_the_same_way():
    assert (
        normalise("Mr. Smith won't pay twenty-one", "whisper", "en")
        == "mister smith will not pay 21"
    )
    assert normalise("colour", "whisper") == normalise("color", "whisper")
    assert normalise("uh, hmm", "whisper", "English") == ""


def test_whisper_keeps_the_vowel_signs_of_other_scripts():
    right, wrong = "हिन्दी", "हन्दा"
    assert normalise(right, "whisper", "Hindi") != normalise(wrong, "whisper", "Hindi")
    assert normalise(right, "whisper", "hi-IN") == right


@pytest.mark.parametrize("apostrophe", "\u2019\u2018\u02bc")
def test_typographic_apostrophes_are_plain_ones(apostrophe):
    for language, text in (("English", "It's they've won't"), ("French", "l'été n'est-ce")):
        for normaliser in ("basic", "whisper"):
            typeset = text.replace("'", apostrophe)
            if normaliser == "basic" and apostrophe == "\u02bc":
                continue  # a letter by Unicode, and the published normaliser keeps letters
            assert normalise(typeset, normaliser, language) == normalise(text, normaliser, language)


@pytest.mark.parametrize(
    ("text", "language", "wanted"),
    [
        ("今天，天气很好。", "Chinese", "今 天 天 气 很 好"),
        ("今天，天气很好。", None, "今 天 天 气 很 好"),
        ("สวัสดี ครับ", "th", "ส วั ส ดี ค รั บ"),
        ("오늘은 회의가", "Korean", "오늘은 회의가"),
        ("It’s  10:45!", "English", "its 1045"),
        ("हिन्दी में।", "Hindi", "हिन्दी में"),
    ],
)
def test_calibrate_counts_by_the_same_units(text, language, wanted):
    assert units(text, language) == wanted


def test_whisper_leaves_english_rules_out_of_other_languages():
    assert normalise("Der Hmm-Fall", "whisper", "German") == "der hmm fall"


@pytest.mark.parametrize("normaliser", ["basic", "whisper"])
@pytest.mark.parametrize("language", ["Chinese", "zh-CN", "ja", None])
def test_languages_without_spaces_are_cut_into_characters(normaliser, language):
    assert normalise("你好，世界。", normaliser, language) == "你 好 世 界"


def test_thai_is_scored_by_character_and_korean_by_word():
    """A character is what a reader takes for one: a letter with the signs above it."""
    assert normalise("สวัสดี", "basic", "Thai").split() == ["ส", "วั", "ส", "ดี"]
    assert normalise("안녕 세계", "basic", "Korean") == "안녕 세계"


def test_the_script_decides_where_the_language_is_not_known():
    assert is_scored_by_character("他说你好 OK")
    assert not is_scored_by_character("he said OK 好")
    assert not is_scored_by_character("")
    assert not is_scored_by_character("你好", "English")


def test_a_pair_is_normalised_alike_by_the_script_of_its_reference():
    language = scoring_language("你好世界", None)
    assert normalise("hello", "basic", language) == "H E L L O"
    assert scoring_language("hello", None) is None
    assert scoring_language("你好", "English") == "English"
