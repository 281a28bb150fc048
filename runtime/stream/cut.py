"""Where the front of a full buffer is cut: between two words, where it is quietest. numpy only.

A buffer that began in the middle of a word would have the model hear another word, or none, and
would hold text half of whose audio is gone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...corpora.pauses import HOPS_PER_S, power

_AS_LOUD = 0.1  # of the power of speech, 10 dB below: most of speech is louder, and no pause
_LEAD_IN_S = 0.2  # of a longer pause, so much stays before the next word


def quietest_cut(
    samples: np.ndarray,
    gaps_s: Sequence[tuple[float, float]],
    least_s: float,
    most_s: float,
    *,
    every_s: float = 0.0,
) -> tuple[int, float] | None:
    """The quietest place in the gaps between words.

    Args:
        samples: [n] float32, 16 kHz, the buffer.
        gaps_s: end of a word and start of the next, in seconds from the buffer's start. They may
            touch.
        least_s, most_s: where the cut may be, from and to.
        every_s: it must be at a multiple of this, anywhere in a gap; 0: it need not.

    Returns:
        Which gap, and where in it, on a whole 10 ms; None if no gap lies there.
    """
    loudness = power(samples)
    found: list[tuple[float, int, int]] = []
    for index, (end_s, start_s) in enumerate(gaps_s):
        stop_s = min(max(end_s, start_s), most_s)
        begin_s = max(end_s, least_s, -np.inf if every_s else stop_s - _LEAD_IN_S)
        begin, stop = (round(at_s * HOPS_PER_S) for at_s in (begin_s, stop_s))
        stop, every = min(stop, len(loudness) - 1), max(1, round(every_s * HOPS_PER_S))
        places = np.arange(-(-begin // every) * every, stop + 1, every)
        if len(places):
            at = int(places[np.argmin(loudness[places])])
            found.append((float(loudness[at]), index, at))
    if not found:
        return None
    _, index, at = min(found)
    return index, at / HOPS_PER_S


def speech_s(samples: np.ndarray, after_s: float) -> float:
    """Seconds of `samples` [n] after `after_s` that may be speech as what is before it.

    They are about as loud, and not level: speech comes and goes, noise and most music stay.
    """
    loudness = power(samples)
    at = max(0, round(after_s * HOPS_PER_S))
    before, after = loudness[:at], loudness[at:]
    if not len(before) or not len(after):
        return 0.0
    quiet, loud = np.quantile(after, (0.1, 0.9))
    if quiet > _AS_LOUD * loud:
        return 0.0
    return float((after > _AS_LOUD * before.mean()).sum()) / HOPS_PER_S
