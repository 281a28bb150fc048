"""Words of corpora and aligners as decoders write them: characters, and Korean by written words."""

from pathlib import Path

import numpy as np
import pytest

from alignheads.calibrate.scoring import score
from alignheads.calibrate.speech import Recording
from alignheads.corpora.matching import match_words, normalised
from alignheads.corpora.utterance import Utterance, WordTime
from alignheads.corpora.words import agree, bare, joined_timed, split_timed
from alignheads.discovery.mapping import token_targets
from alignheads.evaluate.latency import stream_times
from alignheads.evaluate.result import Observation
from alignheads.evaluate.scores import scored
from alignheads.evaluate.timed import TimedStream
from alignheads.runtime.policy.words import split_words, words_of


def timed(*words):
    return [WordTime(text, float(i), i + 1.0) for i, text in enumerate(words)]


def shown(words):
    return [(word.text, word.start_s, word.end_s) for word in words]


def test_vowels_are_compared():
    assert normalised("हिन्दी।") == "हिन्दी"
    assert normalised("हिन्दी") != normalised("हन्दी")
    assert normalised("หมา") != normalised("หม่า")
    assert not match_words(["हन्दी"], ["हिन्दी"])[0].equal
    assert normalised("\u0301") == normalised("…") == normalised("❤\ufe0f") == ""


@pytest.mark.parametrize("apostrophe", "'\u2019\u2018\u201b\u02bc\u02bb\u2032\u00b4`\uff07")
def test_apostrophes_do_not_matter(apostrophe):
    assert normalised(f"It{apostrophe}s") == "its"
    assert normalised(f"L{apostrophe}été") == "lété"
    assert bare(f"It{apostrophe}s") == "its"
    assert agree(f"It{apostrophe}s so", timed("it's", "so"))
    assert normalised(apostrophe) == ""


def test_accents_that_stand_alone_are_punctuation():
    for accent in "\u00a8\u00af\u00b8\u02dc\u0384^":
        assert normalised(f"a{accent}b") == "ab"


def test_transcript_and_word_times_agree_by_their_vowels():
    assert agree("हिन्दी में", timed("हिन्दी", "में"))
    assert not agree("हिन्दी में", timed("हन्दी", "में"))
    assert agree("Cafe\u0301 déjà", timed("café", "de\u0301ja\u0300"))


def test_gold_words_of_several_characters_are_split():
    assert shown(split_timed(timed("東京", "へ", "OK"), words_of)) == [
        ("東", 0, 0.5), ("京", 0.5, 1), ("へ", 1, 2), ("OK", 2, 3),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "gold"),
    [
        ("今天天气", ["今天", "天气"]),
        ("東京タワーへ", ["東京", "タワー", "へ"]),
        ("สวัสดีครับ", ["สวัสดี", "ครับ"]),
        (" hello world", ["hello", "world"]),
    ],
)
def test_tokens_find_the_words_of_a_corpus(said, gold):
    tokens = [character.encode() for character in said]
    targets = token_targets(split_words(tokens), timed(*gold))
    assert len(targets) >= len("".join(said.split()))
    assert list(targets.centre_s) == sorted(targets.centre_s)


def test_delays_are_of_characters_where_these_are_the_words():
    class Said:
        def __init__(self, text, at):
            self.text, self.emitted_s, self.lag_s = text, at, 0.0
            self.start_s = self.end_s = at

    found = stream_times([Said(c, i / 2 + 0.5) for i, c in enumerate("今天天气")],
                         timed("今天", "天气"), 2.0)  # fmt: skip
    assert found.gold_words == 4
    assert found.delays_s == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("said", "heard", "errors", "reference"),
    [
        ("今天天气很好。", "今天天汽很好", 1, 6),
        ("今天有个meeting。", "今天有個 Meeting", 1, 5),
        ("สวัสดีครับ", "สวสดีครับ", 1, 7),
        ("हिन्दी में", "हन्दी में", 1, 2),
        ("오늘은 회의가", "오늘은 회의 가", 2, 2),
        ("It’s 10", "it's ten", 1, 2),
    ],
)
def test_calibrate_and_benchmark_count_alike(said, heard, errors, reference):
    stream = TimedStream((), heard, 0.1, 1.0)
    utterance = Utterance("a", Path("a.wav"), said, words=())
    recording = Recording(utterance, 0, np.zeros(1, np.float32), 0.0, "")
    (tuned,) = score([recording], lambda one: stream).outcomes
    benchmarked = scored(
        Observation(id="a", reference=said, hypothesis=heard, duration_s=1.0, wall_s=None)
    ).scores["basic"]
    assert (tuned.errors.errors, tuned.errors.reference) == (errors, reference)
    assert (benchmarked.errors, len(benchmarked.reference.split())) == (errors, reference)


def test_korean_pieces_of_an_aligner_are_the_words_that_are_written():
    pieces = timed("오늘", "은", "오후", "3시", "에", "회의", "가")
    assert shown(joined_timed("오늘은 오후 3시에, 회의가!", pieces)) == [
        ("오늘은", 0, 2), ("오후", 2, 3), ("3시에,", 3, 5), ("회의가!", 5, 7),
    ]  # fmt: skip
    targets = token_targets(
        split_words([" 오늘은".encode(), " 오후".encode(), " 3시에".encode(), " 회의가".encode()]),
        joined_timed("오늘은 오후 3시에, 회의가!", pieces),
    )
    assert len(targets) == 4


def test_pieces_of_another_text_or_script_stay_as_they_are():
    assert joined_timed("오늘은", timed("어제", "는")) == timed("어제", "는")
    assert joined_timed("오늘은", timed("오늘", "은", "또")) == timed("오늘", "은", "또")
    assert joined_timed("今天好", timed("今", "天", "好")) == timed("今", "天", "好")
