"""Which words must be committed before the audio that they were spoken in is dropped."""

from __future__ import annotations

from collections.abc import Sequence

from .words import TokenWord


def leaving_words(
    words: Sequence[TokenWord], frames: Sequence[float], least: float, most: float
) -> tuple[int, int | None]:
    """How many words, from the first on, are spoken in audio that is about to leave the buffer.

    Text runs in the order of the audio: of a word that looks behind the one before it, that one
    says where it is.

    Args:
        words: those of the hypothesis, in order.
        frames: the frame that each token attends to.
        least: frames at the front of the buffer that go at least, and
        most: at most.

    Returns:
        The number of words; and, if the last of them ends after `most`, the token that begins
        what of it may stay. None: it goes whole.
    """
    count, end = 0, 0.0
    for word in words:
        if max(end, frames[word.tokens.start]) >= least:
            break
        count += 1
        end = max(end, *(frames[token] for token in word.tokens))
    if count and end > most:
        tokens = words[count - 1].tokens
        later = [token for token in tokens[1:] if frames[token] >= least]
        if later:
            return count, later[0]
    return count, None
