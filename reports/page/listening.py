"""What a reader hears and reads along with a timeline: the audio, and the text as it came out."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from ...corpora.audio import SAMPLE_RATE, read_audio
from ...errors import InputError
from ...evaluate.result import Utterance
from ...evaluate.trace_types import Trace
from ..figures.inline_svg import data_address


def audio_address(trace: Trace) -> tuple[str, str]:
    """The first seconds of the utterance as a `data:` address (FLAC), or empty; and what is wrong.

    FLAC starts at its first sample, as lossy formats do not: a cursor stays true.
    """
    import soundfile

    try:
        samples = _samples(trace)
    except InputError as error:
        return "", str(error)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1, 1), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return data_address("audio/flac", buffer.getvalue()), ""


def _samples(trace: Trace) -> np.ndarray:
    from pathlib import Path

    wanted = round(trace.seconds * SAMPLE_RATE)
    pieces: list[np.ndarray] = []
    count = 0
    for part in trace.audio:
        if count >= wanted:
            break
        gap = np.zeros(round(part.gap_s * SAMPLE_RATE), np.float32)
        pieces += [gap, read_audio(Path(part.path), part.offset_s, part.duration_s)]
        count = sum(map(len, pieces))
    if not pieces:
        raise InputError(f"the trace of {trace.id} names no audio file")
    return np.concatenate(pieces)[:wanted]


def captions(trace: Trace, utterance: Utterance) -> list[dict[str, Any]]:
    """What was on the screen from each moment on: `t` in s, `text` committed, `draft` not yet."""
    words = utterance.words or []
    spaced = _spaced([word.text for word in words], utterance.hypothesis)
    emitted_s = [word.emitted_s for word in words]
    drafts = {
        step.audio_s: "".join(token.text for token in step.tokens if not token.committed)
        for step in trace.steps
    }
    # A step may fall before the end of the audio that came in with it.
    moments = sorted({*drafts, *(round(s, 3) for s in emitted_s if s <= trace.seconds + 1e-3)})
    shown, draft = [], ""
    for t in moments:
        draft = drafts.get(t, draft).strip()
        text = "".join(p for p, s in zip(spaced, emitted_s, strict=True) if s <= t + 1e-3)
        shown.append({"t": t, "text": text.strip(), "draft": draft})
    return shown


def _spaced(words: list[str], text: str) -> list[str]:
    """Words with the space before them that `text` has."""
    place, parts = 0, []
    for word in words:
        found = text.find(word, place)
        if found < 0:
            parts.append(f" {word}")
            continue
        parts.append((" " if found and text[found - 1].isspace() else "") + word)
        place = found + len(word)
    return parts
