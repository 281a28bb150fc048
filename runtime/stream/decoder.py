"""The streaming decoder: audio in, whole words with times out, append-only.

Decides when to decode, what to commit (by the policy) and what to drop from the buffer. The
decoding itself, and what is kept between steps, is a model's `HypothesisSource`.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import takewhile
from typing import Any, cast

import numpy as np

from ...corpora.audio import SAMPLE_RATE
from ...corpora.pauses import HOPS_PER_S
from ...errors import InputError
from ..models.protocol import AlignmentModel, Hypothesis, HypothesisSource, Until, work_of
from ..models.work import Work
from ..policy.leaving import leaving_words
from ..policy.policy import Decision, decide, decides, is_likely, whole_words, word_starts
from ..policy.spent import least_s, least_seconds
from ..policy.words import TokenWord, space_between, split_words, unshown, whole_characters
from .agenda import Agenda, Due
from .asking import Asking
from .audio_buffer import AudioBuffer, as_samples
from .config import DecoderConfig
from .context import StreamContext
from .cut import quietest_cut, speech_s
from .draft import Draft, repeats
from .front import cut_range_s, front_of, leaving_s
from .places import Places, in_turn
from .reading import Reading
from .stretches import LONG_PAUSE_S, SHORT_PAUSE_S, next_stretch
from .trace import StepTrace, TokenTrace
from .tracing import token_traces
from .voice import LevelSilence, SpeechDetector, VoiceDetector
from .word import Word, joined, word_trace

_CUT_WITHIN_S = 0.5  # after a word: where it ends is not known to less
_UNHEARD_S = 2.0  # so much speech without a word: the model has stopped listening
_UNHEARD_SOUND_S = 0.2  # likewise, of a sound between two pauses
_SURE = 0.8  # the probability of a word that the model thinks was said


class StreamDecoder:
    """Decodes one stream. Feed it from one thread at a time; many may share one model.

    A call while another is under way, from a second thread or from `on_step`, is refused.

    A decoding step falls at each multiple of `step_s` of the stream, at that very sample,
    however the audio comes in: chunks of up to `step_s` give the same words at the same times.
    A longer chunk brings several steps at once, and a stream that is behind should catch up:
    only the last of them that the buffer has room for is made.

    In silence no step is made. One more is made where a pause has been half a border long, which
    shows that the words before it are over; after a long one (`agenda.LONG_PAUSE_S`) the buffer
    begins anew, shortly before the next sound. What is silence, digital or faint and level noise,
    is told by its power; with `vad`, whatever is not speech is, and has no words.

    Word times come from the frames that a word's own tokens attended to, which lie inside the
    word: it starts `word_margin_s` before the frame of its first token, and ends as much after that
    of its last token, or where the next word starts. `benchmarks/streaming.py` measures how far
    they are from the truth.

    Attributes:
        config: the configuration, with its heads as (layer, head) pairs.
        words: all words committed since the stream began.
        text: the text of them.
        stretch_start_s: where the stretch of speech begins that is decoded now, in seconds from the
            start of the stream; another one after each long pause.
        finished: whether the stream has ended.

    As in:

        stream = StreamDecoder(SpeechModel.load("tiny"))
        for samples in microphone:
            for word in stream.feed(samples):
                print(word.text)
        for word in stream.finish():
            print(word.text)
    """

    stretch_start_s: float
    finished: bool

    def __init__(
        self,
        model: AlignmentModel,
        config: DecoderConfig | None = None,
        *,
        language: str | None = None,
        context: str = "",
        redetect: bool = False,
        sample_rate: int = SAMPLE_RATE,
        source: HypothesisSource | None = None,
        vad: bool | VoiceDetector | None = None,
        draft: bool = True,
        on_step: Callable[[StepTrace], None] | None = None,
    ) -> None:
        """Start a stream.

        Args:
            model: a loaded checkpoint.
            config: None: the bundled configuration of that model.
            language: None: the configuration's, or detected, anew after each long pause.
            context: names and terms that may be said: the model is told them all along.
            redetect: detect the language anew after each short pause, too.
            sample_rate: of the samples that will be fed.
            source: what gives the hypotheses; None: one of `model`, for the configuration's heads.
                It may know more than the samples: it is asked in the silence that a stream opens
                with, and in all silence once it has had words for that.
            vad: decode only what is speech, see `SpeechDetector`; None: as the configuration says;
                or another detector, of no other stream.
            draft: false: nobody looks at the draft, and no more is decoded than it takes to commit.
                What was not decoded is not thought to be new when it comes (`unseen_nats`).
            on_step: called after each step with what it saw and decided.

        Raises:
            InputError: a configuration for another model, a language it does not know, a language
                that is given and is to be detected, a context it has no room for, or `vad` without
                the package that it needs.
        """
        self.config = (config or DecoderConfig.bundled(model.name)).resolved(model)
        self._model, self._clock = model, model.clock
        given = model.language_name(self.config.language if language is None else language)
        if redetect and given is not None:
            raise InputError(
                f"the language is {given}, so redetect has nothing to detect; leave one out",
                arguments=("redetect",),
            )
        self._pause_s: float | None = SHORT_PAUSE_S if redetect else LONG_PAUSE_S
        if given is not None or len(model.languages) == 1:
            self._pause_s = None
        self._policy = self.config.policy
        least = math.ceil(self.config.min_audio_s * SAMPLE_RATE)
        self._least_samples = max(model.min_samples, least)
        self._frames_per_s = model.clock.frames(1.0)
        told = StreamContext(model, context, self.config.max_context_tokens)
        self._source = source or model.open_source(
            self.config.pairs, self.config.aggregate, **self.config.source_options
        )
        # Of a source that goes on over such cuts: see `HypothesisSource`.
        self._cut_s = getattr(self._source, "cut_samples", 0) / SAMPLE_RATE
        self._asking = Asking(model, self._source, told, given)
        self._on_step = on_step
        self._shows_draft = draft or not getattr(self._source, "can_stop", False)
        vad = self.config.vad if vad is None else vad
        if isinstance(vad, bool):
            vad = SpeechDetector.open() if vad else LevelSilence()
        self._voice = vad
        self._asks_in_silence = source is not None
        self._sample_rate = sample_rate
        self._in_use = threading.Lock()
        if sample_rate < 1:
            raise InputError(f"the sample rate is {sample_rate}; expected 1 or more")
        if source is not None:  # one that was opened here is new
            source.reset()
        self._begin()

    def reset(self) -> None:
        """Forget the stream and start a new one."""
        with self._alone():
            self._source.reset()
            self._begin()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._in_use.acquire(blocking=False):
            raise InputError(
                "another call is inside of this StreamDecoder: feed it from one thread at a time, "
                "or give each thread a stream of its own (they may share a model)"
            )
        try:
            yield
        finally:
            self._in_use.release()

    def _begin(self) -> None:
        self._resampler = None
        if self._sample_rate != SAMPLE_RATE:
            import soxr

            self._resampler = soxr.ResampleStream(self._sample_rate, SAMPLE_RATE, 1, "float32")
        self._audio = AudioBuffer()
        self._places = Places(self._clock, self._audio, self.config.word_margin_s)
        self._voice.reset()
        self._agenda = Agenda(
            max(1, int(self.config.step_s * SAMPLE_RATE)),
            int(self.config.max_audio_s * SAMPLE_RATE),
            self._least_samples,
            asks=self._asks_in_silence,
        )
        self._passed = 0  # samples of a rest that the source does not know to have gone
        self.stretch_start_s = 0.0
        self.words: list[Word] = []
        self._new_words: list[Word] = []  # committed, and not yet given to the caller
        self._steps = 0
        self._decoded_at = 0  # where in the stream the last step fell
        self._flushed_at = 0  # up to where all was committed
        self._asking.reset()
        self._work_before = self._work_told = work_of(self._source)
        self._spoken: list[Word] = []  # committed, and spoken in the buffer
        self._unshown = b""  # of what is committed: see `unshown`
        self._is_in_word = False  # the last word is a part of one
        self._reading, self._draft = Reading(), Draft()
        self._last_end_s = 0.0
        self._is_afresh = False
        self._is_unread = False  # the buffer holds less than is decoded, and none of it was
        self._closed = False
        self.finished = False

    @property
    def text(self) -> str:
        """The text of all committed words."""
        return joined(self.words)

    @property
    def draft(self) -> str:
        """The text that is not committed yet, and may change."""
        return self._draft.text

    @property
    def received_s(self) -> float:
        """Seconds of audio received."""
        return self._audio.received / SAMPLE_RATE

    @property
    def committed_s(self) -> float:
        """Where the last committed word ends, in seconds."""
        return self._last_end_s

    @property
    def next_from_s(self) -> float:
        """Where the next word starts at the earliest, in seconds, as far as is known."""
        frames = self._clock.count(self._audio.length)
        border_s = self._policy.border_frames(frames, self._frames_per_s) / self._frames_per_s
        heard_s = self._decoded_at / SAMPLE_RATE - border_s
        return min(self._draft.start_s, max(self._last_end_s, heard_s))

    @property
    def language(self) -> str | None:
        """The language given, or the last one detected; None while it is not known."""
        return self._asking.last_language

    @property
    def work(self) -> Work | None:
        """What the stream has computed, the same on every machine; None: its source does not
        count."""
        return _since(work_of(self._source), self._work_before)

    def __enter__(self) -> StreamDecoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.reset()

    def feed(self, samples: np.ndarray) -> list[Word]:
        """Take samples [n] (float, mono, at `sample_rate`) and return the words now committed.

        Any number of samples may come at once, none, one or half an hour.

        Raises:
            InputError: samples that are not one channel of finite floats, a finished stream, or
                another thread is inside of it. Nothing of them is taken.
            Exception: whatever the engine raises. The samples are kept, the stream can go on,
                and words committed before are returned by the next call.
        """
        with self._alone():
            if self._closed:
                raise InputError("the stream is finished; call reset() to start another")
            samples = as_samples(samples)
            if self._resampler is not None:
                samples = self._resampler.resample_chunk(samples)
            self._receive(samples)
            self._decode_to_last_place()
            return self._given_out()

    def flush(self) -> list[Word]:
        """Commit what is left of the audio so far, as at the end, and go on: in a pause, say."""
        with self._alone():
            if self._closed:
                raise InputError("the stream is finished; call reset() to start another")
            self._commit_all()
            return self._given_out()

    def finish(self) -> list[Word]:
        """No more audio comes: commit what is left. After an exception it can be called again."""
        with self._alone():
            if self.finished:
                return []
            if not self._closed and self._resampler is not None:
                rest = self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)
                self._receive(rest)
            self._closed = True
            self._commit_all()
            self.finished = True
            return self._given_out()

    def _receive(self, samples: np.ndarray) -> None:
        self._audio.receive(samples)
        self._agenda.note(self._voice.hear(samples))

    def _commit_all(self) -> None:
        self._decode_to_last_place()
        if self._agenda.is_quiet:
            self._commit_draft()
        elif self._flushed_at != self._audio.received:  # nothing new: nothing more was said
            self._step(self._audio.received, is_final=True)
        self._flushed_at = self._audio.received
        self._draft.text = ""

    def _commit_draft(self) -> None:
        """In a pause: nothing more is said, and what waits all the same waits no longer."""
        if self.draft or self._is_unread:
            self._step(self._decoded_at, is_final=True)
        self._draft.text = ""

    def _given_out(self) -> list[Word]:
        words, self._new_words = self._new_words, []
        return words

    def _decode_to_last_place(self) -> None:
        """Do what is due with the audio received."""
        while (due := self._next_due()) is not None:
            if due.kind == "rest":
                self._rest()
            elif due.kind == "begin":
                self._begin_stretch(due.place)
            else:
                self._step(due.place, is_final=False, is_pause=due.kind == "pause")
            self._agenda.done(due)
        if self._agenda.is_resting:  # silence for ever is not kept
            self._pass_over(self._audio.received - 2 * self._voice.pre_roll)

    def _next_due(self) -> Due | None:
        audio, frames_per_s = self._audio, self._frames_per_s
        frames = self._clock.count(audio.length)
        border_s = self._policy.border_frames(frames, frames_per_s) / frames_per_s
        pause = int(border_s / 2 * SAMPLE_RATE)
        return self._agenda.next(audio.received, audio.start, self._decoded_at, pause)

    def _rest(self) -> None:
        """A stretch of speech is over: all of it is committed, and nothing of it goes on."""
        self._commit_draft()
        self._to_context(len(self._spoken))
        self._unshown, self._is_in_word, self._is_unread = b"", False, False
        self._reading.forget()
        self._draft.clear()

    def _begin_stretch(self, place: int) -> None:
        """After a rest something is said again, at `place`: the buffer begins shortly before."""
        self._pass_over(max(place - self._voice.pre_roll, self._decoded_at))
        self._source.drop(self._passed)
        self._passed = 0
        self._decoded_at = self._audio.start
        self._may_change_language()

    def _may_change_language(self) -> None:
        """A stretch of speech begins where the buffer does."""
        self.stretch_start_s = self._audio.start_s
        if self._pause_s is not None:
            self._asking.begin_stretch()

    def _pass_over(self, place: int) -> None:
        """Have the buffer begin at `place`, without what it holds."""
        self._audio.fill(place)
        self._passed += self._audio.drop(place / SAMPLE_RATE - self._audio.start_s)

    def _step(self, place: int, *, is_final: bool, is_pause: bool = False) -> None:
        audio = self._audio
        audio.fill(place)
        self._decoded_at = place
        least = self._model.min_samples if is_final else self._least_samples
        if audio.length < least:
            return
        self._is_unread = False
        hypothesis = self._decode(is_final, is_pause)
        if hypothesis.ended and not self.draft and self._goes_on_unheard(is_pause):
            self._start_afresh()
            self._decode(is_final, is_pause)
        while self._reading.is_lost and self._spoken:
            self._start_afresh()
            if audio.length < least:
                self._reading.is_lost, self._is_unread = False, True
                break
            self._decode(is_final, is_pause)
            if not is_final:
                break
        self._trim()

    def _decode(self, is_final: bool, is_pause: bool) -> Hypothesis:
        """Ask for a hypothesis, and commit of it what may be."""
        hypothesis = self._asked(self._until(is_final, is_pause))
        while (found := self._next_stretch(hypothesis)) is not None:
            tokens, cut_s = found
            if tokens:
                self._commit_and_tell(_up_to(hypothesis, tokens), is_final=True)
                if self._reading.is_lost and self._spoken:  # it is asked anew
                    return hypothesis
            if not self._drop(cut_s, len(self._spoken)):
                break
            self._may_change_language()
            hypothesis = self._asked()
        self._commit_and_tell(hypothesis, is_final, is_pause)
        return hypothesis

    def _until(self, is_final: bool, is_pause: bool) -> Until | None:
        """When enough is decoded for whoever does not look at the draft; None: at the end."""
        if self._shows_draft or is_final or is_pause or self._is_afresh:
            return None
        frames = self._clock.count(self._audio.length)
        border_s = self._policy.border_frames(frames, self._frames_per_s) / self._frames_per_s
        if self._pause_s is not None and self._pause_s <= border_s:
            return None  # a pause may come after the last word that is needed

        def is_enough(so_far: Hypothesis) -> bool:
            raw = [self._model.token_bytes(i) for i in so_far.token_ids]
            words = split_words(whole_characters(self._parts(raw)))
            decision = self._decision(so_far, words, is_final=False, is_pause=False)
            return decides(words, decision, self._policy.sink_s * self._frames_per_s + 1)

        return is_enough

    def _asked(self, until: Until | None = None) -> Hypothesis:
        audio = self._audio
        committed = [token for word in self._spoken for token in word.token_ids]
        after_s = audio.start_s + audio.seconds - self._last_end_s if committed else math.inf
        hypothesis = self._asking.hypothesis(audio.samples, audio.lead, committed, after_s, until)
        if self._agenda.opens_silent and hypothesis.token_ids:
            self._agenda.trust_no_silence()
        return hypothesis

    def _commit_and_tell(
        self, hypothesis: Hypothesis, is_final: bool, is_pause: bool = False
    ) -> None:
        trace = self._commit(hypothesis, is_final, is_pause)
        self._steps += 1
        if self._on_step is not None:
            self._on_step(self._counted(trace))

    def _counted(self, trace: StepTrace) -> StepTrace:
        """With what was computed since the last one."""
        spent = _since(work_of(self._source), self._work_told)
        if spent is None:
            return trace
        self._work_told = work_of(self._source)
        return replace(trace, gflop=spent.flop / 1e9, forward_passes=spent.forward_passes)

    def _next_stretch(self, hypothesis: Hypothesis) -> tuple[int, float] | None:
        """How many tokens come before a long pause, and where in it to cut; None: there is none."""
        if self._pause_s is None or hypothesis.language is None:
            return None
        words = split_words([self._model.token_bytes(i) for i in hypothesis.token_ids])
        looked = [[hypothesis.frames[word.tokens[at]] for at in (0, -1)] for word in words]
        attended_s = self._places.attended_s
        words_s = [(attended_s(a)[0], attended_s(max(a, b))[1]) for a, b in looked]
        ended_s = self._last_end_s - self._audio.start_s if self._asking.language else None
        audio = self._audio
        found = next_stretch(audio.samples[audio.lead :], words_s, ended_s, self._pause_s)
        return None if found is None else (words[found[0]].tokens.start, found[1])

    def _goes_on_unheard(self, is_pause: bool) -> bool:
        """There is speech after the last committed word, by its loudness, and no word for it."""
        if not self._spoken:
            return False
        audio, after_s, least_s = self._audio, self._last_end_s, _UNHEARD_S
        resumed_s = self._resumed_s()
        if is_pause and resumed_s < math.inf:
            after_s, least_s = resumed_s, _UNHEARD_SOUND_S
        samples = audio.samples[audio.lead :]
        return speech_s(samples, after_s - audio.start_s) >= least_s

    def _resumed_s(self) -> float:
        """Where the sound began that came after the last committed word and a pause; infinity:
        none did."""
        resumed_s = self._agenda.resumed_at / SAMPLE_RATE
        return resumed_s if resumed_s > self._last_end_s else math.inf

    def _no_speech(self, hypothesis: Hypothesis) -> float:
        """The probability that nothing is said; after a fresh start an unlikely text says so."""
        is_doubtful = self._is_afresh and not is_likely(hypothesis.probabilities)
        return 1.0 if is_doubtful else hypothesis.no_speech

    def _start_afresh(self) -> None:
        """Have the model hear what comes after the last word without what was committed.

        Something false that is committed, an opening that nobody said, can have it think that the
        text is over.
        """
        audio = self._audio
        after_s = self._last_end_s - audio.start_s
        next_s = min(self._draft.looked_s, self._resumed_s(), self._last_end_s + _CUT_WITHIN_S)
        cut = quietest_cut(
            audio.samples[audio.lead :],
            [(after_s, max(after_s, next_s - audio.start_s))],
            after_s,
            audio.seconds,
            every_s=1 / HOPS_PER_S if self._reading.is_lost else 0.0,
        )
        if not self._drop(cut[1] if cut else after_s, len(self._spoken)):
            self._to_context(len(self._spoken))  # next to nothing of them is left
        self._asking.context.forget()
        if self._pause_s is not None:  # a language that is not spoken has the model hear nothing
            self._asking.begin_stretch()
        self._reading.forget_spent()
        self._is_afresh = True
        self._draft.clear()

    def _commit(self, hypothesis: Hypothesis, is_final: bool, is_pause: bool) -> StepTrace:
        ids, language = list(hypothesis.token_ids), hypothesis.language
        if not ids and (language is None or self._asking.language is None):
            self._reading.is_lost = False
            self._draft.text = ""
            self._draft.place()
            return self._trace(hypothesis, None, "no language", ())
        raw = [self._model.token_bytes(i) for i in ids]
        parts = self._parts(raw)
        shown = whole_characters(parts)
        words = split_words(shown)
        decision = self._decision(hypothesis, words, is_final=is_final, is_pause=is_pause)
        self._reading.is_lost = decision.reason == "lost"
        whole = count = whole_words(words, decision.keep, decision.complete)
        if not is_final and decision.reason not in ("no speech", "lost"):
            words, count = self._with_leaving(words, count, shown, decision)
        tokens = words[count - 1].tokens.stop if count else 0
        traced = token_traces(hypothesis, raw, decision, tokens, self._places)
        trace = self._trace(hypothesis, language, decision.reason, traced)
        if count:
            self._is_afresh = False
            before = len(self.words)
            self._emit(words, count, hypothesis, decision)
            trace = replace(trace, words=tuple(map(word_trace, self.words[before:])))
            self._asking.settle(language)
            self._unshown = unshown(b"".join(parts[:tokens]))
            self._is_in_word = count > whole
        self._hold(words[count:], shown[tokens:], tokens, hypothesis, decision)
        is_leaving = tokens > decision.keep
        self._reading.go_on(decision, tokens, words[count - 1].tokens.start if is_leaving else None)
        return trace

    def _parts(self, raw: list[bytes]) -> list[bytes]:
        """The bytes of tokens after what the committed text ended in: white space, or a part of a
        character."""
        return [self._unshown + raw[0], *raw[1:]] if raw else []

    def _decision(
        self,
        hypothesis: Hypothesis,
        words: Sequence[TokenWord],
        *,
        is_final: bool,
        is_pause: bool,
    ) -> Decision:
        tokens = len(hypothesis.token_ids)
        return decide(
            hypothesis.frames,
            hypothesis.audio_frames,
            self._policy,
            self._frames_per_s,
            last_frame=self._reading.last_frame,
            spent_frame=self._reading.spent_frame,
            waited_frame=self._reading.waited_frame,
            least_s=least_seconds(words, tokens),
            repeats=repeats(words, tokens, self._spoken[-1].text if self._spoken else ""),
            can_ask_anew=bool(self._spoken),
            starts=word_starts(words, tokens),
            probabilities=hypothesis.probabilities,
            is_unseen=self._draft.unseen(words, tokens),
            no_speech=self._no_speech(hypothesis),
            has_end=hypothesis.ended,
            leaving_frames=int(self._clock.frames(leaving_s(self._audio.seconds, self.config))),
            is_pause=is_pause,
            is_final=is_final,
        )

    def _hold(
        self,
        words: Sequence[TokenWord],
        parts: Sequence[bytes],
        tokens: int,
        hypothesis: Hypothesis,
        decision: Decision,
    ) -> None:
        """These `words`, of these `parts` after the first `tokens`, wait."""
        self._draft.place()
        self._reading.waited_frame = None
        again = self._read_again(words, tokens, decision)
        after = words[again - 1].tokens.stop if again else tokens
        for word in words[again : again + 1]:
            if min(hypothesis.probabilities[list(word.tokens)]) >= _SURE:
                place = decision.frames[word.tokens.start]
                self._reading.waited_frame = place + self._clock.frames(least_s(word.text))
            start_s, _ = self._places.span_s(word, decision.frames)
            looked_s, _ = self._places.looked_s(word, decision.frames, after=after)
            self._draft.place(start_s, looked_s)
        goes_on = not (hypothesis.ended or self._shows_draft)
        known = words[:-1] if goes_on else words  # the last one may be the start of one
        self._draft.hold(b"".join(parts).decode("utf-8").strip(), known, goes_on=goes_on)

    def _read_again(self, words: Sequence[TokenWord], tokens: int, decision: Decision) -> int:
        """How many of the `words`, which wait, are what was committed read once more."""
        before = self._spoken[-1].text if self._spoken else ""
        spent = decision.spent_after(tokens, self._reading.spent_frame)
        if not self._reading.is_lost or spent is None:
            return 0
        if not any(repeats(words[:1], len(decision.frames), before)):
            return 0
        looks = (decision.frames[word.tokens.start] for word in words)
        return sum(1 for _ in takewhile(lambda frame: frame < spent, looks))

    def _with_leaving(
        self, words: list[TokenWord], count: int, parts: list[bytes], decision: Decision
    ) -> tuple[list[TokenWord], int]:
        """The words, and how many of them go, with those spoken in audio that is about to go.

        A word that is longer than what may be kept, as where a text is one, is cut in two.
        """
        least_s, most_s = cut_range_s(self._audio.seconds, self.config)
        if least_s <= 0 or self._last_end_s >= self._audio.start_s + least_s:
            return words, count
        least, most = self._clock.frames(least_s), self._clock.frames(most_s)
        leaving, cut = leaving_words(words, decision.frames, least, most)
        if leaving <= count:
            return words, count
        for place in range(cut or 0, words[leaving - 1].tokens.stop if cut else 0):
            in_two = split_words(parts, cuts=(place,))
            if len(in_two) > len(words):  # the token begins with a character
                return in_two, leaving
        return words, leaving

    def _trace(
        self,
        hypothesis: Hypothesis,
        language: str | None,
        reason: str,
        tokens: tuple[TokenTrace, ...],
    ) -> StepTrace:
        border_frames = self._policy.border_frames(hypothesis.audio_frames, self._frames_per_s)
        return StepTrace(
            step=self._steps,
            audio_s=self._decoded_at / SAMPLE_RATE,
            buffer_start_s=self._audio.start_s,
            audio_frames=hypothesis.audio_frames,
            border_s=border_frames / self._frames_per_s,
            language=language,
            reason=reason,
            ended=hypothesis.ended,
            committed_tokens=sum(len(word.token_ids) for word in self._spoken),
            tokens=tokens,
            reuse=self.config.reuse,
        )

    def _emit(
        self, words: list[TokenWord], count: int, hypothesis: Hypothesis, decision: Decision
    ) -> None:
        """Commit the first `count` of the hypothesis's `words`."""
        decoded_s = self._decoded_at / SAMPLE_RATE
        places, frames = self._places, decision.frames
        wanted_s = [places.span_s(word, frames) for word in words[: count + 1]]
        spans_s = in_turn(wanted_s, count, self._last_end_s, decoded_s)
        done = 0
        for word, (start_s, end_s) in zip(words, spans_s, strict=False):
            space = word.space
            if not (space or self._spoken or self._is_in_word) and self.words:
                # The model has begun afresh: all that it was told to go on from has gone.
                space = space_between(self.words[-1].text, word.text)
            distance_s = decoded_s - places.looked_s(word, frames)[0]
            new = Word(
                text=word.text,
                start_s=start_s,
                end_s=end_s,
                emitted_s=self.received_s,
                token_ids=hypothesis.token_ids[done : word.tokens.stop],
                space_before=any(map(str.isspace, space)),
                space=space,
                probability=_mean_probability(
                    hypothesis.probabilities[word.tokens.start : word.tokens.stop]
                ),
                border_distance_s=distance_s,
                attended_s=places.looked_s(word, frames, after=done),
                language=hypothesis.language,
            )
            self.words.append(new)
            self._new_words.append(new)
            self._spoken.append(new)
            self._last_end_s = end_s
            done = word.tokens.stop

    def _trim(self) -> None:
        """Drop the front of a full buffer, and the words spoken in it."""
        audio, draft = self._audio, self._draft
        range_s = cut_range_s(audio.seconds, self.config)
        if range_s[0] <= 0:
            return
        waits_s = draft.start_s, draft.looked_s
        samples = audio.samples[audio.lead :]
        gone_s, words, goes_on = front_of(
            samples, self._spoken, waits_s, audio.start_s, range_s, self._cut_s
        )
        self._drop(gone_s, words, goes_on=goes_on)

    def _drop(self, gone_s: float, words: int, *, goes_on: bool = False) -> bool:
        """Drop so much of the buffer's front, and the first `words` of those spoken in it.

        Args:
            gone_s: from its start.
            words: likewise.
            goes_on: the source may keep what it read of the rest.

        Returns:
            Whether that is enough to be dropped.
        """
        gone = self._audio.drop(gone_s)
        if not gone:
            return False
        if goes_on:
            cast("Any", self._source).drop(gone, goes_on=True)
        else:
            self._source.drop(gone)
        self._to_context(words)
        self._reading.shift(self._places, gone)
        return True

    def _to_context(self, words: int) -> None:
        """The first `words` of those spoken in the buffer are no longer in it."""
        self._asking.context.add(token for word in self._spoken[:words] for token in word.token_ids)
        del self._spoken[:words]


def _up_to(hypothesis: Hypothesis, tokens: int) -> Hypothesis:
    """The first `tokens`, fewer than all, of a hypothesis as if its text ended there."""
    rows = slice(tokens + 1)  # that of the next token stands for the end
    return replace(
        hypothesis,
        token_ids=hypothesis.token_ids[:tokens],
        frames=hypothesis.frames[rows],
        head_frames=hypothesis.head_frames[rows],
        probabilities=hypothesis.probabilities[rows],
        ended=True,
        weights=None if hypothesis.weights is None else hypothesis.weights[rows],
    )


def _since(now: Work | None, before: Work | None) -> Work | None:
    return None if now is None or before is None else now - before


def _mean_probability(probabilities: np.ndarray) -> float:
    """The geometric mean."""
    least = np.finfo(np.float32).tiny
    return float(np.exp(np.log(np.maximum(probabilities, least)).mean()))
