"""The speech of a sweep: what is tuned on, and what is kept out of it to score the result.

Knows corpora, and that no recording may be in both; nothing of models' internals or decoding.
"""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..corpora import Corpus, Utterance, load_corpus
from ..corpora.alignment import AlignedCorpus, align_utterances, default_aligner
from ..corpora.audio import SAMPLE_RATE
from ..corpora.corpus import Skipped
from ..errors import InputError
from ..evaluate.normalise import ErrorName, error_name, unit_of
from ..runtime.models.aligners import make_aligner
from .result import SpeechInfo

_log = logging.getLogger(__name__)

DEFAULT_CLIPS = 200
"""Of each part, where no number is asked for: about half an hour, held in memory."""
LARGEST_PHASES = 64
"""Of a step; more of them are nearer to each other than a frame."""
LEAST_UTTERANCES = 2
MOST_PHASES = 4
_ENOUGH_S = 600.0  # of speech, for which one phase will do
_FEWEST_SPEAKERS = 4  # to keep speakers apart, and not only utterances

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Recording:
    """One utterance in memory, as it is streamed.

    Attributes:
        utterance: its words at the times they have in `samples`.
        index: of the utterance in its corpus; the same for all its phases.
        samples: [n] float32, 16 kHz, with `phase_s` of silence in front.
        phase_s: see there.
        hash: of the samples after the silence.
    """

    utterance: Utterance
    index: int
    samples: np.ndarray
    phase_s: float
    hash: str

    @property
    def key(self) -> str:
        """What tells its samples from all others."""
        return f"{self.hash}+{self.phase_s:g}"

    @property
    def audio_s(self) -> float:
        """The length of its samples."""
        return len(self.samples) / SAMPLE_RATE


@dataclass(frozen=True)
class Speech:
    """A corpus, read and with word times: `phases` recordings of each utterance."""

    corpus: AlignedCorpus
    recordings: tuple[Recording, ...]
    phases: int

    @property
    def info(self) -> SpeechInfo:
        """For the report."""
        return SpeechInfo(
            name=self.corpus.name,
            fingerprint=self.corpus.fingerprint,
            utterances=len(self.corpus),
            audio_s=round(sum(one.audio_s for one in self.first_phase), 3),
            aligner=self.corpus.aligner,
            phases=self.phases,
            error_name=self.error_name,
            skipped=len(self.corpus.skipped),
        )

    @property
    def error_name(self) -> ErrorName:
        """What the rate of errors against its transcripts is called."""
        said = self.corpus.utterances
        return error_name((one.text, unit_of(one.text, one.language)) for one in said)

    @property
    def first_phase(self) -> tuple[Recording, ...]:
        """The utterances as they are."""
        return tuple(one for one in self.recordings if not one.phase_s)


@dataclass(frozen=True)
class SpeechOptions:
    """Which speech.

    Attributes:
        corpus: to tune on; None: demo:dev for the tiny model, else librispeech:dev-clean.
        test_corpus: to score the result on; None: demo:test for demo:dev, else a part of `corpus`.
        holdout: that part, 0 to 1.
        clips: at most so many utterances of each, drawn evenly over the speakers.
        aligner: gold, qwen3 or pocketsphinx; None: gold where the corpus has it.
        alignments: JSONL file that keeps what the aligner found.
        seed: of the parts and of the clips.
        phases: how often each utterance is streamed. Where the steps of a stream fall in the
            speech is chance; with silence of 0, 1/n, 2/n … of a step before it, it counts less,
            and a small corpus says more. None: 4 for little speech, down to 1 for ten minutes.
        strict: fail where an utterance would be skipped.
    """

    corpus: Corpus | str | Path | None = None
    test_corpus: Corpus | str | Path | None = None
    holdout: float = 0.5
    clips: int | None = None
    aligner: str | None = None
    alignments: Path | None = None
    seed: int = 0
    phases: int | None = None
    strict: bool = False

    def check(self) -> None:
        """Refuse what cannot work, before anything is loaded.

        Raises:
            InputError: which, and what is expected.
        """
        if not 0 < self.holdout < 1:
            raise InputError(
                f"holdout is {self.holdout}, expected more than 0 and less than 1",
                arguments=("holdout",),
            )
        if self.phases is not None and not 1 <= self.phases <= LARGEST_PHASES:
            raise InputError(
                f"phases is {self.phases}, expected 1 to {LARGEST_PHASES}", arguments=("phases",)
            )
        for name, least in (("clips", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                message = f"{name} is {value}, expected {least} or more"
                raise InputError(message, arguments=(name,))


def load_speech(
    label: str,
    options: SpeechOptions,
    step_s: float,
    progress: Progress | None = None,
    check_language: Callable[[str | None], object] = lambda language: None,
) -> tuple[Speech, Speech]:
    """What to tune on, and what to score the result on, for the model `label`.

    `step_s` is that of the streams; `check_language` raises an InputError for a language that an
    utterance may not have.

    Raises:
        InputError: no such corpus, too little in it, no way to word times, or a recording that
            would be in both parts.
    """
    options.check()
    spec = options.corpus
    if spec is None:
        spec = "demo:dev" if label == "tiny" else "librispeech:dev-clean"
    whole = spec if isinstance(spec, Corpus) else load_corpus(spec, strict=options.strict)
    _check_size(whole, LEAST_UTTERANCES)
    if options.test_corpus is not None:
        other = options.test_corpus
        test = other if isinstance(other, Corpus) else load_corpus(other, strict=options.strict)
        dev = whole
    elif whole.name == "demo:dev":
        dev, test = whole, load_corpus("demo:test")
    else:
        dev, test = split(whole, options.holdout, options.seed)
    clips = DEFAULT_CLIPS if options.clips is None else options.clips
    dev, test = dev.sample(clips, options.seed), test.sample(clips, options.seed)
    _check_size(dev, LEAST_UTTERANCES)
    found = (
        read_speech(dev, options, step_s, progress, check_language),
        read_speech(test, options, step_s, progress, check_language),
    )
    check_apart(*found)
    return found


def _check_size(corpus: Corpus, least: int) -> None:
    if len(corpus) < least:
        raise InputError(
            f"{corpus.name} has {len(corpus)} utterance; calibrate needs {least} or more, and "
            "dozens for intervals that say something"
        )


def split(corpus: Corpus, holdout: float, seed: int) -> tuple[Corpus, Corpus]:
    """A part to tune on and a part kept out, the same for the same seed.

    Where there are enough speakers none is in both parts.

    Raises:
        InputError: a part would be empty.
    """
    groups: dict[str, list[Utterance]] = {}
    for utterance in sorted(corpus.utterances, key=lambda u: u.id):
        groups.setdefault(utterance.speaker or "", []).append(utterance)
    if len(groups) < _FEWEST_SPEAKERS or "" in groups:
        groups = {utterance.id: [utterance] for utterance in corpus.utterances}
    names = sorted(groups)
    random.Random(seed).shuffle(names)
    wanted = max(1, round(holdout * len(corpus)))
    kept_out: set[str] = set()
    for name in names:
        if len(kept_out) + len(groups[name]) // 2 < wanted:
            kept_out |= {utterance.id for utterance in groups[name]}
    parts = [
        tuple(u for u in corpus.utterances if (u.id in kept_out) is is_out)
        for is_out in (False, True)
    ]
    if not all(parts):
        raise InputError(
            f"{corpus.name} has {len(corpus)} utterances: too few to keep {holdout:g} of them out; "
            "give a test_corpus, or another holdout",
            arguments=("test_corpus", "holdout"),
        )
    (dev, test), share = parts, round(100 * len(parts[1]) / len(corpus))
    return (
        replace(corpus, name=f"{corpus.name}, {100 - share} %", utterances=dev),
        replace(corpus, name=f"{corpus.name}, other {share} %", utterances=test, skipped=()),
    )


def read_speech(
    corpus: Corpus,
    options: SpeechOptions,
    step_s: float,
    progress: Progress | None = None,
    check_language: Callable[[str | None], object] = lambda language: None,
) -> Speech:
    """A corpus in memory, with word times, at the phases that `options` ask for.

    An utterance that cannot be read, or whose language `check_language` refuses, is skipped.

    Raises:
        InputError: no utterance can be read, there is no way to word times, or no word is said;
            or `options.strict`, and an utterance is skipped.
    """
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, len(corpus))

    aligner = make_aligner(options.aligner or default_aligner(corpus))
    aligned = align_utterances(corpus, aligner, options.alignments, count)
    if not any(utterance.words for utterance in aligned.utterances):
        raise InputError(f"nothing is said in {corpus.name}: none of it has a word")
    first: list[Recording] = []
    damaged: list[Skipped] = []
    for utterance in aligned.utterances:
        try:
            check_language(utterance.language)
            first.append(_recording(len(first), utterance))
        except InputError as error:
            damaged.append(Skipped(utterance.id, str(error)))
    aligned = aligned.without(damaged)
    _tell_skipped(aligned, options.strict)
    phases = options.phases
    if phases is None:
        phases = int(_ENOUGH_S / sum(one.audio_s for one in first))
        phases = min(max(phases, 1), MOST_PHASES)
    later = [_delayed(one, step_s * k / phases) for k in range(1, phases) for one in first]
    return Speech(aligned, (*first, *later), phases)


def _tell_skipped(corpus: Corpus, strict: bool) -> None:
    """Log what was left out, by name.

    Raises:
        InputError: `strict`, and something was.
    """
    if strict and corpus.skipped:
        first = corpus.skipped[0]
        raise InputError(
            f"{corpus.name}: {first.id}: {first.reason}; mend it, or load without strict",
            arguments=("strict",),
        )
    for one in corpus.skipped:
        _log.warning("skipped %s: %s", one.id, one.reason)
    if corpus.skipped:
        whole = len(corpus) + len(corpus.skipped)
        _log.warning("%s: %d of %d utterances skipped", corpus.name, len(corpus.skipped), whole)


def _recording(index: int, utterance: Utterance) -> Recording:
    samples = utterance.read()
    content = hashlib.sha256(samples.tobytes()).hexdigest()[:32]
    return Recording(utterance, index, samples, 0.0, content)


def _delayed(recording: Recording, phase_s: float) -> Recording:
    """The same with silence in front."""
    silence = round(phase_s * SAMPLE_RATE)
    words = tuple(
        replace(word, start_s=word.start_s + phase_s, end_s=word.end_s + phase_s)
        for word in recording.utterance.words or ()
    )
    return replace(
        recording,
        utterance=replace(recording.utterance, words=words),
        samples=np.pad(recording.samples, (silence, 0)),
        phase_s=phase_s,
    )


def check_apart(dev: Speech, test: Speech) -> None:
    """Make sure that no recording is in both, whatever its name.

    Raises:
        InputError: one is.
    """
    tuned = {one.hash: one.utterance.id for one in dev.first_phase}
    both = [one for one in test.first_phase if one.hash in tuned]
    if both:
        first = both[0]
        raise InputError(
            f"{len(both)} of the {len(test.corpus)} recordings of {test.corpus.name} are in "
            f"{dev.corpus.name} too, the first one {first.utterance.id} "
            f"(there {tuned[first.hash]}): score on speech that was not tuned on"
        )
