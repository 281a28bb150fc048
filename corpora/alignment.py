"""Word times for a whole corpus: made by an aligner or gold, then cached, repaired and counted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..errors import InputError, OutputError
from ..wording import counted
from .aligners import Aligner, AlignmentFailed
from .audio import part_duration_s
from .corpus import Corpus, Skipped, file_hash
from .utterance import Utterance, WordTime
from .words import Repairs, bare, repair


@dataclass(frozen=True)
class AlignmentCounts:
    """How many words were aligned, and how many had to be repaired."""

    utterances: int = 0
    words: int = 0
    from_cache: int = 0  # utterances
    untimed_words: int = 0  # words of the transcript to which the aligner gave no time
    by_rule: int = 0  # words whose pronunciation is not from the aligner's dictionary
    repairs: Repairs = field(default_factory=Repairs)

    def __add__(self, other: AlignmentCounts) -> AlignmentCounts:
        names = [one.name for one in fields(self)]
        return AlignmentCounts(*(getattr(self, name) + getattr(other, name) for name in names))

    def lines(self) -> list[str]:
        """The counts as sentences for the user; counts of zero are left out."""
        found = [
            (self.untimed_words, "words of the transcripts have no time"),
            (self.by_rule, "words are not in the dictionary and were pronounced by rule"),
            (self.repairs.out_of_order_dropped, "words out of order were dropped"),
            (self.repairs.overlaps_trimmed, "words overlapped the next one and were trimmed"),
            (self.repairs.zero_length_widened, "words of no length were widened"),
            (self.repairs.zero_length_dropped, "words of no length were dropped"),
            (self.repairs.past_end_trimmed, "words ran past the end of the audio and were trimmed"),
            (self.repairs.past_end_dropped, "words past the end of the audio were dropped"),
        ]
        cached = f", {self.from_cache} of them from the cache" if self.from_cache else ""
        words, utterances = counted(self.words, "word"), counted(self.utterances, "utterance")
        first = f"{words} of {utterances} with times{cached}"
        return [first, *(f"{count} {what}" for count, what in found if count)]


@dataclass(frozen=True)
class AlignedCorpus(Corpus):
    """A corpus whose utterances all have word times, and the aligner that made them."""

    aligner: str = ""  # name and version
    counts: AlignmentCounts = field(default_factory=AlignmentCounts)


@dataclass(frozen=True)
class Entry:
    """The result of an aligner for one utterance, before repair.

    `by_rule`: words that are not in its dictionary.
    """

    words: tuple[WordTime, ...]
    by_rule: int = 0


Elsewhere = Callable[[Sequence[Utterance]], Iterator[tuple[int, "Entry | AlignmentFailed"]]]
"""Asks an aligner for all of some utterances; gives the place of each and the answer."""


def default_aligner(corpus: Corpus) -> str:
    """`gold` when every utterance has word times, else `qwen3`."""
    return "gold" if corpus.has_word_times else "qwen3"


def align_utterances(
    corpus: Corpus,
    aligner: Aligner,
    cache: Path | None = None,
    progress: Callable[[], object] | None = None,
    elsewhere: Elsewhere | None = None,
) -> AlignedCorpus:
    """`corpus` with the `words` of every utterance filled in by `aligner`.

    Utterances that cannot be read or aligned are skipped and listed by name. The words of the
    result are in order, have a positive length and lie within the audio; repairs are counted.

    Args:
        corpus: the corpus to align.
        aligner: makes the word times; `gold` keeps those of the corpus, repaired in the same way.
        cache: a JSONL file. Earlier results are read from it, and each new one is appended as
            soon as it is made. Keyed by audio, text, language, aligner and version.
        progress: called after each utterance.
        elsewhere: asks the aligner in place of this process, in any order.

    Raises:
        InputError: the aligner cannot be used, the cache cannot be read or written, or no
            utterance is left.
    """
    known = _Cache(cache, aligner) if cache and aligner.name != "gold" else None
    kept: list[Utterance] = []
    skipped: list[Skipped] = []
    counts = AlignmentCounts()
    fresh: dict[str, Entry | AlignmentFailed] = {}
    if elsewhere is not None and aligner.name != "gold":
        fresh = _asked(corpus.utterances, known, elsewhere, progress)
        progress = None
    for utterance in corpus.utterances:
        try:
            aligned, more = _align(utterance, aligner, known, fresh.get(utterance.id))
            kept.append(aligned)
            counts += more
        except AlignmentFailed as error:
            skipped.append(Skipped(utterance.id, str(error)))
        if progress:
            progress()
    return AlignedCorpus(
        name=corpus.name,
        utterances=tuple(kept),
        skipped=corpus.skipped + tuple(skipped),
        aligner=f"{aligner.name} ({aligner.version})",
        counts=counts,
    )


def _asked(
    utterances: Sequence[Utterance],
    cache: _Cache | None,
    elsewhere: Elsewhere,
    progress: Callable[[], object] | None,
) -> dict[str, Entry | AlignmentFailed]:
    """Answers by id, of all that is not in the cache; what comes is kept there at once."""
    progress = progress or (lambda: None)
    left: list[Utterance] = []
    for utterance in utterances:
        if _has_audio(utterance) and not (cache and cache.get(utterance)):
            left.append(utterance)
        else:
            progress()
    found: dict[str, Entry | AlignmentFailed] = {}
    for place, answer in elsewhere(left):
        utterance = left[place]
        if cache and isinstance(answer, Entry):
            answer = cache.put(utterance, answer)
        found[utterance.id] = answer
        progress()
    return found


def _has_audio(utterance: Utterance) -> bool:
    try:
        part_duration_s(utterance.audio_path, utterance.offset_s, utterance.duration_s)
    except InputError:
        return False
    return True


def ask_all(aligner: Aligner, utterances: Sequence[Utterance]) -> list[Entry | AlignmentFailed]:
    """What an aligner says of each of `utterances`."""
    found: list[Entry | AlignmentFailed] = []
    for utterance in utterances:
        try:
            found.append(_ask(utterance, aligner))
        except AlignmentFailed as error:
            found.append(error)
    return found


def _align(
    utterance: Utterance,
    aligner: Aligner,
    cache: _Cache | None,
    answer: Entry | AlignmentFailed | None = None,
) -> tuple[Utterance, AlignmentCounts]:
    part = (utterance.audio_path, utterance.offset_s, utterance.duration_s)
    try:
        duration_s = part_duration_s(*part)
    except InputError as error:
        raise AlignmentFailed(str(error)) from error
    if isinstance(answer, AlignmentFailed):
        raise answer
    found = cache.get(utterance) if cache and answer is None else None
    entry = answer or found or _ask(utterance, aligner)
    if cache and answer is None and found is None:
        entry = cache.put(utterance, entry)
    words, repairs = repair(entry.words, duration_s)
    wanted = sum(bool(bare(word)) for word in utterance.text.split())
    if wanted and not words:
        raise AlignmentFailed(f"{aligner.name} gives no usable word time")
    counts = AlignmentCounts(
        utterances=1,
        words=len(words),
        from_cache=int(found is not None),
        untimed_words=max(0, wanted - len(entry.words)),
        by_rule=entry.by_rule,
        repairs=repairs,
    )
    return replace(utterance, words=words), counts


def _ask(utterance: Utterance, aligner: Aligner) -> Entry:
    if aligner.name == "gold":
        if utterance.words is None:
            raise AlignmentFailed("it has no gold word times")
        return Entry(utterance.words)
    try:
        samples = utterance.read()
    except InputError as error:
        raise AlignmentFailed(str(error)) from error
    words = aligner.align(samples, utterance.text, utterance.language)
    # Only aligners with a dictionary have this method.
    unknown = getattr(aligner, "unknown_words", lambda text: ())(utterance.text)
    return Entry(tuple(words), len(unknown))


class _Cache:
    """The results of one aligner, in a JSONL file that may also hold those of other aligners."""

    def __init__(self, path: Path, aligner: Aligner) -> None:
        self._path = path
        self._aligner = aligner
        self._entries: dict[str, Entry] = {}
        self._hashes: dict[Path, str] = {}
        try:
            content = path.read_bytes() if path.exists() else b""
            for line in content.splitlines():
                self._take(line)
            if b"\n" in content and not self._entries:
                raise InputError(
                    f"{path} is no file of word times; give another one as cache",
                    arguments=("cache",),
                )
            with path.open("ab") as file:
                # A killed run may have left an incomplete line: end it, so that it is ignored.
                if content and not content.endswith(b"\n"):
                    file.write(b"\n")
        except OSError as error:
            raise InputError(
                f"cannot use {path} as alignment cache: {error.strerror or error}"
            ) from error

    def _take(self, line: bytes) -> None:
        try:
            row: dict[str, Any] = json.loads(line)
            words = tuple(WordTime(str(w[0]), float(w[1]), float(w[2])) for w in row["words"])
            key, entry = str(row["key"]), Entry(words, int(row["by_rule"]))
        except (ValueError, TypeError, KeyError, IndexError):
            return
        self._entries[key] = entry

    def get(self, utterance: Utterance) -> Entry | None:
        return self._entries.get(self._key(utterance))

    def put(self, utterance: Utterance, entry: Entry) -> Entry:
        """Keep an entry, and give it as it will be read, so that going on gives the same."""
        row = {
            "key": self._key(utterance),
            "aligner": self._aligner.name,
            "version": self._aligner.version,
            "id": utterance.id,
            "text": utterance.text,
            "by_rule": entry.by_rule,
            "words": [[w.text, round(w.start_s, 4), round(w.end_s, 4)] for w in entry.words],
        }
        try:
            with self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error.strerror or error}") from error
        return Entry(tuple(WordTime(*word) for word in row["words"]), entry.by_rule)

    def _key(self, utterance: Utterance) -> str:
        path = utterance.audio_path
        if path not in self._hashes:
            self._hashes[path] = file_hash(path)
        what = [
            self._hashes[path], utterance.offset_s, utterance.duration_s,
            utterance.text, utterance.language, self._aligner.name, self._aligner.version,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()
