from dataclasses import replace
from pathlib import Path

import pytest

from alignheads.corpora import Corpus, Skipped, Utterance, WordTime
from alignheads.errors import InputError


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    utterances = []
    # One speaker has ten times what the others have.
    for speaker, count in (("many", 30), ("few", 3), ("some", 3)):
        for index in range(count):
            path = tmp_path / f"{speaker}-{index}.bin"
            path.write_bytes(f"{speaker} {index}".encode())
            utterances.append(Utterance(path.stem, path, "text", speaker=speaker))
    return Corpus("test", tuple(utterances))


def test_empty_and_duplicates_are_refused(corpus: Corpus):
    with pytest.raises(InputError, match="no utterance"):
        Corpus("none", ())
    with pytest.raises(InputError, match=r"first one \(a\): because"):
        Corpus("none", (), (Skipped("a", "because"),))
    with pytest.raises(InputError, match="two utterances with the id 'many-0'"):
        Corpus("twice", corpus.utterances + corpus.utterances[:1])


def test_sample_is_balanced_over_speakers(corpus: Corpus):
    speakers = [u.speaker for u in corpus.sample(9, seed=1).utterances]
    assert {name: speakers.count(name) for name in speakers} == {"many": 3, "few": 3, "some": 3}


def test_sample_is_deterministic_and_seeded(corpus: Corpus):
    ids = [u.id for u in corpus.sample(9, seed=1).utterances]
    backwards = Corpus("backwards", corpus.utterances[::-1])
    assert [u.id for u in backwards.sample(9, seed=1).utterances] == ids
    assert [u.id for u in corpus.sample(9, seed=2).utterances] != ids
    assert [u.id for u in corpus.sample(5, seed=1).utterances] == ids[:5]


def test_sample_sizes(corpus: Corpus):
    assert len(corpus.sample(20, seed=0)) == 20
    assert corpus.sample(100, seed=0) is corpus
    for clips in (0, -3):
        with pytest.raises(InputError, match="1 or more"):
            corpus.sample(clips, seed=0)


def test_without_keeps_the_books(corpus: Corpus):
    left = corpus.without([Skipped("few-0", "silent")])
    assert len(left) == 35
    assert left.skipped == (Skipped("few-0", "silent"),)
    with pytest.raises(InputError, match="all 36"):
        corpus.without([Skipped(u.id, "silent") for u in corpus.utterances])


def test_fingerprint_ignores_folder_order_and_name(corpus: Corpus, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved = []
    for utterance in corpus.utterances[::-1]:
        path = elsewhere / utterance.audio_path.name
        path.write_bytes(utterance.audio_path.read_bytes())
        moved.append(replace(utterance, audio_path=path))
    assert Corpus("other", tuple(moved)).fingerprint == corpus.fingerprint
    assert len(corpus.fingerprint) == 16


@pytest.mark.parametrize(
    "change",
    [
        {"text": "texts"},
        {"language": "German"},
        {"words": (WordTime("text", 0.0, 0.5),)},
        {"id": "renamed"},
        {"offset_s": 0.5},
        {"duration_s": 0.5},
    ],
)
def test_fingerprint_sees_every_change(corpus: Corpus, change: dict[str, object]):
    changed = replace(corpus.utterances[0], **change)  # type: ignore[arg-type]
    assert Corpus("test", (changed, *corpus.utterances[1:])).fingerprint != corpus.fingerprint


def test_fingerprint_sees_the_audio(corpus: Corpus):
    before = corpus.fingerprint
    corpus.utterances[0].audio_path.write_bytes(b"other audio")
    assert Corpus("test", corpus.utterances).fingerprint != before


def test_fingerprint_of_missing_audio(corpus: Corpus):
    corpus.utterances[0].audio_path.unlink()
    with pytest.raises(InputError, match=r"many-0\.bin"):
        _ = corpus.fingerprint
