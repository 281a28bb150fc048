"""How much of a full buffer's front goes, and where it is cut.

Knows the words of the buffer and its sound; drops nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .config import DecoderConfig
from .cut import quietest_cut
from .word import Word

_NO_GAP_S = (-1.0, -1.0)


def leaving_s(seconds: float, config: DecoderConfig) -> float:
    """Seconds at the front that must go after this step; 0 while there is room for another.

    A quarter of the room at once, since a buffer with another front is read anew.

    Args:
        seconds: in the buffer.
        config: of the stream.
    """
    room_s = config.max_audio_s
    excess_s = seconds + config.step_s - room_s
    if excess_s <= 0:
        return 0.0
    return min(max(excess_s, room_s / 4), seconds - config.min_audio_s)


def cut_range_s(seconds: float, config: DecoderConfig) -> tuple[float, float]:
    """From where to where in the buffer it may be cut after this step; 0 and 0: not at all."""
    least_s = leaving_s(seconds, config)
    if least_s <= 0:
        return 0.0, 0.0
    most_s = min(0.75 * config.max_audio_s, seconds - config.min_audio_s)
    return least_s, max(least_s, most_s)


def front_of(
    samples: np.ndarray,
    spoken: Sequence[Word],
    draft_s: tuple[float, float],
    offset_s: float,
    range_s: tuple[float, float],
    every_s: float = 0.0,
) -> tuple[float, int, bool]:
    """Seconds of the front that go, how many of the words spoken in the buffer, and whether what
    is read of the rest may stay.

    Args:
        samples: [n], the buffer.
        spoken: the committed words in it.
        draft_s: where the first word that waits starts, and where it was looked at.
        offset_s: where the buffer starts in the stream.
        range_s: from where to where in the buffer it may be cut.
        every_s: at a multiple of this it may stay; 0: nowhere.
    """
    gaps_s = [(end - offset_s, start - offset_s) for end, start in gaps_of(spoken, draft_s)]
    # Words that were looked at in one frame are told apart by none: not cut there, if possible.
    apart_s = [gap_s if gap_s[0] <= gap_s[1] else _NO_GAP_S for gap_s in gaps_s]
    if every_s:
        # What stays was heard with what goes, so it need not begin with the start of a word.
        looked_s = [(end - offset_s, start - offset_s) for end, start in looks_of(spoken, draft_s)]
        looked_s = [gap_s if gap_s[0] <= gap_s[1] else _NO_GAP_S for gap_s in looked_s]
        cut = quietest_cut(samples, looked_s, *range_s, every_s=every_s)
        if cut is not None:
            return cut[1], cut[0] + 1, True
    cut = quietest_cut(samples, apart_s, *range_s) or quietest_cut(samples, gaps_s, *range_s)
    if cut is None:
        return range_s[0], sum(word.end_s <= offset_s + range_s[0] for word in spoken), False
    return cut[1], cut[0] + 1, False


def looks_of(spoken: Sequence[Word], draft_s: tuple[float, float]) -> list[tuple[float, float]]:
    """End of the last frame that each word was looked at in, and start of the next one's first."""
    looked_s = [word.attended_s or (word.start_s, word.end_s) for word in spoken]
    starts_s = [*(start_s for start_s, _ in looked_s[1:]), draft_s[1]]
    return [(end_s, start_s) for (_, end_s), start_s in zip(looked_s, starts_s, strict=True)]


def gaps_of(spoken: Sequence[Word], draft_s: tuple[float, float]) -> list[tuple[float, float]]:
    """End of each word that is spoken in the buffer, and start of the next.

    None of it lies in a frame that one of the two was looked at in; if they share one, the end
    comes after the start.
    """
    places = [(w.start_s, w.end_s, w.attended_s or (w.start_s, w.end_s)) for w in spoken]
    starts_s = [(start_s, looked_s) for start_s, _, (looked_s, _) in places]
    starts_s.append(draft_s)
    gaps_s = []
    for (_, end_s, (_, last_s)), (start_s, looked_s) in zip(places, starts_s[1:], strict=True):
        end_s = min(max(end_s, last_s), max(last_s, looked_s))
        gaps_s.append((end_s, min(max(end_s, start_s), looked_s)))
    return gaps_s
