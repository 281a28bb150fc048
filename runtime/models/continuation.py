"""A text that is decoded greedily, and when it ends. Knows tokens; no engine, no family."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ...corpora.audio import SAMPLE_RATE

_TOKENS_PER_SECOND = 12
_LEAST_TOKENS = 16
_LONGEST_PATTERN = 10
_LOOP_TOKENS = 20


def token_budget(samples: int) -> int:
    """The most tokens that may be said of so much audio. Fast speech has some six a second."""
    return _LEAST_TOKENS + samples * _TOKENS_PER_SECOND // SAMPLE_RATE


class Continuation:
    """Tokens as they come, until the end token, the budget, or a loop.

    Attributes:
        ended: whether the end token came.
    """

    def __init__(self, budget: int, end_ids: Collection[int]) -> None:
        self._budget, self._end_ids = budget, end_ids
        self._token_ids: list[int] = []
        self.ended = False

    def take(self, token: int) -> bool:
        """Take the next token; whether the one after it is wanted."""
        self.ended = token in self._end_ids
        if self.ended or len(self._token_ids) >= self._budget or ends_in_loop(self._token_ids):
            return False
        self._token_ids.append(token)
        return True

    @property
    def token_ids(self) -> list[int]:
        """What was said, without the end token. Of a loop that did not end, one round is left.

        Nobody says as much as the budget allows: what filled it and repeats itself, in rounds of
        any length, is a loop.
        """
        if self.ended:
            return list(self._token_ids)
        once = without_loop(self._token_ids)
        is_loop = len(once) < len(self._token_ids)
        return once if is_loop or len(once) < self._budget else without_rounds(once)


def without_loop(token_ids: Sequence[int]) -> list[int]:
    """`token_ids`, with one round left of the loop they end in, if they do.

    A loop is a token 20 times in a row, or a pattern of n tokens, up to 10, at least 20 / n times
    and twice: what mlx-qwen3-asr's `detect_repetition` takes for one.
    """
    tokens = list(token_ids)
    if len(tokens) < _LOOP_TOKENS:
        return tokens
    for length in range(1, _LONGEST_PATTERN + 1):
        pattern = tokens[-length:]
        start = len(tokens) - length
        while start >= length and tokens[start - length : start] == pattern:
            start -= length
        rounds = (len(tokens) - start) // length
        if rounds >= max(2, _LOOP_TOKENS // length):
            return tokens[: start + length]
    return tokens


def without_rounds(token_ids: Sequence[int]) -> list[int]:
    """`token_ids`, with one round left of what they end in twice or more, be it long or short.

    The last round may have been cut. Less than 20 tokens are no loop, as in `without_loop`.
    """
    tokens = list(token_ids)
    for length in range(1, len(tokens) // 2 + 1):
        start = len(tokens) - length
        while start and tokens[start - 1] == tokens[start - 1 + length]:
            start -= 1
        if len(tokens) - start >= max(2 * length, _LOOP_TOKENS):
            return tokens[: start + length]
    return tokens


def ends_in_loop(token_ids: Sequence[int]) -> bool:
    """Whether `without_loop` would shorten them."""
    return len(without_loop(token_ids)) < len(token_ids)
