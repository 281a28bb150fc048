"""Normalisers: the published one to the letter, Whisper's, and languages without spaces."""

import pytest

from alignheads.evaluate.error_rates import character_errors
from alignheads.evaluate.normalise import (
    basic,
    error_name,
    normalise,
    unit_of,
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


@pytest.mark.parametrize("language", [None, "English", "auto"])
def test_vowel_signs_are_kept_where_the_language_is_not_said_or_wrong(language):
    for right, wrong in (("हिन्दी में", "हन्दा म"), ("मैं sent it", "म sent it")):
        assert normalise(right, "whisper", language) != normalise(
            wrong, "whisper", language, right
        ), right
    assert normalise("naïve café", "whisper", language) == "naive cafe"


@pytest.mark.parametrize("apostrophe", "\u2019\u2018\u201b\u02bc\u02bb\u2032\u00b4`\uff07")
@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("English", "It's they've won't"), (None, "It's they've won't"),
        ("French", "l'été n'est-ce"), ("Italian", "c'è un po' d'acqua"),
        ("Turkish", "İğdır'da 9'da"), ("Filipino", "Ako'y"),
    ],
)  # fmt: skip
def test_typographic_apostrophes_are_plain_ones(apostrophe, language, text):
    typeset = text.replace("'", apostrophe)
    for normaliser in ("basic", "whisper"):
        plain = normalise(text, normaliser, language)
        assert normalise(typeset, normaliser, language) == plain
    assert units(typeset, language) == units(text, language)


def test_case_of_turkish():
    for normaliser in ("basic", "whisper"):
        assert normalise("İyi", normaliser, "tr") == normalise("iyi", normaliser, "tr")
        assert normalise("IŞIK", normaliser, "tr") == normalise("ışık", normaliser, "tr")
    assert units("İyi IŞIK", "Turkish") == units("iyi ışık", "Turkish")
    assert units("İyi") == units("iyi")


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


@pytest.mark.parametrize(
    ("text", "language", "wanted"),
    [
        ("hello", None, "word"),
        ("hello", "Chinese", "word"),
        ("你好世界", None, "character"),
        ("你好", "English", "character"),
        ("10 点", "zh-CN", "character"),
        ("10", "Chinese", "character"),
        ("10", "English", "word"),
        ("", None, "word"),
        ("안녕 세계", "Korean", "word"),
        ("東京タワー", "Japanese", "character"),
        ("他说你好 OK", "Chinese", "mixed"),
        ("he said OK 好", "English", "mixed"),
        ("नमस्ते", None, "word"),
        ("ສະບາຍດີ", None, "character"),
    ],
)
def test_the_script_of_the_reference_decides_the_unit(text, language, wanted):
    assert unit_of(text, language) == wanted


@pytest.mark.parametrize("normaliser", ["basic", "whisper"])
def test_mixed_text_is_cut_into_characters_and_words(normaliser):
    said = "今天有个meeting，在 room 十二。"
    assert len(normalise(said, normaliser, "Chinese").split()) == 9
    assert normalise(said, normaliser, "Chinese").upper() == "今 天 有 个 MEETING 在 ROOM 十 二"
    heard = normalise("今天 有個 meetings", normaliser, "Chinese", said)
    assert heard.upper() == "今 天 有 個 MEETINGS"
    assert units(said, None).split() == [
        "今",
        "天",
        "有",
        "个",
        "meeting",
        "在",
        "room",
        "十",
        "二",
    ]


def test_a_pair_is_cut_alike_by_its_reference():
    assert normalise("hello", "basic", None, "你好世界") == "H E L L O"
    assert normalise("你好 世界", "basic", "English", "hello") == "你好 世界"
    assert units("你好 世界", None, "hello") == "你好 世界"


def test_error_rates_have_names():
    assert error_name([]) == "WER"
    assert error_name([("a", "word"), ("b", "word")]) == "WER"
    assert error_name([("你", "character")]) == "CER"
    assert error_name([("你 a", "mixed")]) == "MER"
    assert error_name([("a", "word"), ("你", "character")]) == "MER"
    # A number is of any script.
    assert error_name([("12", "word"), ("你", "character")]) == "CER"
    assert error_name([("12", "character")]) == "CER"


def test_a_character_is_what_a_reader_takes_for_one():
    assert character_errors(["สวัสดี"], ["สวสดี"]).reference == 4
    assert character_errors(["สวัสดี"], ["สวสดี"]).substitutions == 1
    assert character_errors(["हिन्दी"], ["हन्दी"]).substitutions == 1
    assert character_errors(["a b", "é"], ["a b", "e"]).reference == 4
