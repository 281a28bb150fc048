"""Where one stretch of speech ends and another begins, maybe in another language. numpy only.

A stretch begins with a word that comes a long pause after the one before it. These are pauses that
are not silent: silence ends a stretch before its words are asked for (`agenda.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...corpora.pauses import HOPS_PER_S, power
from .cut import quietest_cut

LONG_PAUSE_S = 1.5
SHORT_PAUSE_S = 0.5
_QUIET = 0.05  # of the power of the loudest tenth of a second: 13 dB below
_MOST_OF = 0.8  # of a pause is quiet: where a word ends is not known to a frame


def next_stretch(
    samples: np.ndarray,
    words_s: Sequence[tuple[float, float]],
    ended_s: float | None,
    pause_s: float,
) -> tuple[int, float] | None:
    """The first of some words that begins a stretch.

    Args:
        samples: [n] float32, 16 kHz, the buffer.
        words_s: start and end of each, in seconds from the buffer's start.
        ended_s: where the committed text ends; None: none of this stretch is committed.
        pause_s: that is long enough.

    Returns:
        Which word, and where in the pause before it to cut; None if no stretch begins.
    """
    for index, (start_s, end_s) in enumerate(words_s):
        if ended_s is not None and start_s - ended_s >= pause_s:
            cut = quietest_cut(samples, [(ended_s, start_s)], ended_s, start_s)
            if cut is not None and is_pause(samples, ended_s, start_s, pause_s):
                return index, cut[1]
        ended_s = end_s if ended_s is None else max(ended_s, end_s)
    return None


def is_pause(samples: np.ndarray, start_s: float, stop_s: float, pause_s: float) -> bool:
    """Whether the audio between two words is quiet for about as long as `pause_s`."""
    loudness = power(samples)
    quiet = loudness <= _QUIET * loudness.max(initial=0.0)
    longest = run = 0
    for is_quiet in quiet[max(0, round(start_s * HOPS_PER_S)) : round(stop_s * HOPS_PER_S)]:
        run = run + 1 if is_quiet else 0
        longest = max(longest, run)
    return longest >= _MOST_OF * pause_s * HOPS_PER_S
