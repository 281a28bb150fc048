"""The streaming decoder: audio in, whole words with times out, append-only.

Decides when to decode, what to commit (by `policy.py`) and what to drop from the buffer. The
decoding itself, and what it may keep between steps, is `incremental.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .config import DecoderConfig
from .frames import FRAMES_PER_SECOND
from .incremental import LEAD_SAMPLES, Hypothesis, IncrementalDecoder
from .model import MIN_SAMPLES, SAMPLE_RATE, SpeechModel
from .policy import Decision, decide, whole_words, word_starts
from .words import TokenWord, split_words

_MIN_WORD_S = 0.04


@dataclass(frozen=True)
class Word:
    """A committed word.

    Attributes:
        text: the word, without spaces around it.
        start_s, end_s: when it was spoken, in seconds from the start of the stream, from the
            frames its own tokens attended to.
        emitted_s: seconds of audio received when it was committed.
        token_ids: its tokens.
        space_before: whether a space stands between it and the word before.
    """

    text: str
    start_s: float
    end_s: float
    emitted_s: float
    token_ids: tuple[int, ...]
    space_before: bool = True


@dataclass(frozen=True)
class _Committed:
    """A committed token that is still in the buffer's text, and where its word ends."""

    token_id: int
    end_s: float


class StreamDecoder:
    """Decodes one stream. Not thread-safe itself; several may share one model.

    Example:
        with StreamDecoder(SpeechModel.load("tiny")) as stream:
            for samples in microphone:
                for word in stream.feed(samples):
                    print(word.text)
        print(stream.finished_words)
    """

    def __init__(
        self,
        model: SpeechModel,
        config: DecoderConfig | None = None,
        *,
        language: str | None = None,
        sample_rate: int = SAMPLE_RATE,
        caches: bool = True,
    ) -> None:
        """Start a stream.

        Args:
            model: a loaded checkpoint.
            config: None: the bundled configuration of that model.
            language: None: the configuration's, or detected once.
            sample_rate: of the samples that will be fed.
            caches: off: read the whole buffer anew each step (for tests).

        Raises:
            InputError: a configuration for another model, or a language it does not know.
        """
        self.config = config or DecoderConfig.bundled(model.name)
        self._model = model
        self._given = model.language_name(language or self.config.language)
        self._policy = self.config.policy
        self._decoder = IncrementalDecoder(model, self.config.chosen_heads(model), caches=caches)
        self._sample_rate = sample_rate
        if sample_rate < 1:
            raise InputError(f"the sample rate is {sample_rate}; expected 1 or more")
        self.reset()

    def reset(self) -> None:
        """Forget the stream and start a new one."""
        self._decoder.reset()
        self._resampler = None
        if self._sample_rate != SAMPLE_RATE:
            import soxr

            self._resampler = soxr.ResampleStream(self._sample_rate, SAMPLE_RATE, 1, "float32")
        self._buffer = np.zeros(0, np.float32)  # lead, then the buffer
        self._lead = 0
        self._dropped = 0  # samples of the stream before the buffer, without the lead
        self._decoded_at = 0  # samples of the stream at the last step
        self._language = self._given
        self._committed: list[_Committed] = []
        self._context: list[int] = []
        self._last_frame: float | None = None
        self._last_end_s = 0.0
        self._hypothesis: Hypothesis | None = None
        self.draft = ""
        self.finished = False

    @property
    def received_s(self) -> float:
        """Seconds of audio received."""
        return self._received / SAMPLE_RATE

    @property
    def language(self) -> str | None:
        """The language given or detected; None while it is not known."""
        return self._language

    @property
    def _received(self) -> int:
        return self._dropped + len(self._buffer) - self._lead

    def __enter__(self) -> StreamDecoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.reset()

    def feed(self, samples: np.ndarray) -> list[Word]:
        """Take samples [n] (float, mono, at `sample_rate`) and return the words now committed.

        Any number of samples may come at once, one or half an hour; results depend only on
        where decoding steps fall.

        Raises:
            InputError: samples that are not one channel of finite floats, or a finished stream.
                Nothing of them is taken.
        """
        if self.finished:
            raise InputError("the stream is finished; call reset() to start another")
        samples = np.asarray(samples)
        if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
            raise InputError(
                f"samples are {samples.dtype} of shape {samples.shape}; expected one channel of "
                "floats in -1 to 1 (divide int16 by 32768, average channels)"
            )
        if not np.isfinite(samples).all():
            raise InputError("the samples hold NaN or infinity")
        samples = samples.astype(np.float32)
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples)
        return self._take(samples)

    def finish(self) -> list[Word]:
        """No more audio comes: commit what is left."""
        if self.finished:
            return []
        words: list[Word] = []
        if self._resampler is not None:
            words += self._take(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        words += self._step(is_final=True)
        self.finished = True
        self.draft = ""
        return words

    def _take(self, samples: np.ndarray) -> list[Word]:
        words: list[Word] = []
        step = int(self.config.step_s * SAMPLE_RATE)
        room = int(self.config.max_audio_s * SAMPLE_RATE)
        while len(samples):
            # As much as there is at once, but never more than the buffer holds.
            free = max(step, room - (len(self._buffer) - self._lead))
            part, samples = samples[:free], samples[free:]
            self._buffer = np.concatenate([self._buffer, part])
            if self._received - self._decoded_at >= step:
                words += self._step(is_final=False)
        return words

    def _step(self, *, is_final: bool) -> list[Word]:
        in_buffer = len(self._buffer) - self._lead
        if in_buffer < MIN_SAMPLES or (
            not is_final and in_buffer < self.config.min_audio_s * SAMPLE_RATE
        ):
            return []
        self._decoded_at = self._received
        context = self._model.vocabulary.decode(self._context).strip()
        committed = [token.token_id for token in self._committed]
        hypothesis = self._decoder.hypothesis(
            self._buffer, self._lead, committed, self._language, context
        )
        words = self._commit(hypothesis, is_final)
        self._trim()
        return words

    def _commit(self, hypothesis: Hypothesis, is_final: bool) -> list[Word]:
        ids = list(hypothesis.token_ids)
        start, language = 0, self._language
        if language is None:
            language, text_ids = self._model.vocabulary.split_answer(ids)
            start = len(ids) - len(text_ids)
            if language is None or not text_ids:
                self.draft = ""
                return []
        ids, frames = ids[start:], hypothesis.frames[start:]
        parts = [self._model.vocabulary.token_bytes(i) for i in ids]
        words = split_words(parts, language)
        decision = decide(
            frames,
            hypothesis.audio_frames,
            self._policy,
            last_frame=self._last_frame,
            starts=word_starts(words, len(ids)),
            has_end=hypothesis.ended,
            is_final=is_final,
        )
        count = whole_words(words, decision.keep, decision.complete)
        made = self._emit(words[:count], ids, parts, decision)
        if made:
            self._language = language
        tokens = words[count - 1].tokens.stop if count else 0
        self._last_frame = decision.reference_after(tokens, self._last_frame)
        self.draft = b"".join(parts[tokens:]).decode("utf-8", errors="replace").strip()
        return made

    def _emit(
        self, words: list[TokenWord], ids: list[int], parts: list[bytes], decision: Decision
    ) -> list[Word]:
        made = []
        offset_s = self._dropped / SAMPLE_RATE
        done = 0
        for word in words:
            seen = [decision.frames[i] for i in word.tokens]
            start_s = max(self._last_end_s, offset_s + seen[0] / FRAMES_PER_SECOND)
            end_s = offset_s + (max(seen[0], seen[-1]) + 1) / FRAMES_PER_SECOND
            end_s = min(max(end_s, start_s + _MIN_WORD_S), max(self.received_s, start_s))
            token_ids = tuple(ids[done : word.tokens.stop])
            space = b"".join(parts[done : word.tokens.stop])[:1].isspace()
            made.append(Word(word.text, start_s, end_s, self.received_s, token_ids, space))
            self._committed += [_Committed(i, end_s) for i in token_ids]
            self._last_end_s = end_s
            done = word.tokens.stop
        return made

    def _trim(self) -> None:
        """Drop whole windows from the front, and the text spoken in them, past `max_audio_s`."""
        window = self._decoder.window_samples
        in_buffer = len(self._buffer) - self._lead
        excess = (
            in_buffer
            + int(self.config.step_s * SAMPLE_RATE)
            - int(self.config.max_audio_s * SAMPLE_RATE)
        )
        windows = min(-(-excess // window), (in_buffer - 1) // window) if excess > 0 else 0
        if windows < 1:
            return
        gone = windows * window
        self._buffer = self._buffer[self._lead + gone - LEAD_SAMPLES :]
        self._lead = LEAD_SAMPLES
        self._dropped += gone
        self._decoder.drop_windows(windows)
        start_s = self._dropped / SAMPLE_RATE
        while self._committed and self._committed[0].end_s <= start_s:
            self._context.append(self._committed.pop(0).token_id)
        del self._context[: max(0, len(self._context) - self.config.max_context_tokens)]
        if self._last_frame is not None:
            self._last_frame -= windows * self._decoder.window_frames
