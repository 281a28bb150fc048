"""Loops: a model that says the same again and again until its budget is spent. No engine here."""

from __future__ import annotations

from collections.abc import Sequence

_LONGEST_PATTERN = 10
_LOOP_TOKENS = 20


def without_loop(token_ids: Sequence[int]) -> list[int]:
    """`token_ids`, with one round left of the loop they end in, if they do.

    A loop is what the engine's `detect_repetition` takes for one: a token 20 times in a row, or
    a pattern of n tokens, up to 10, 20 / n times and twice at least.
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


def ends_in_loop(token_ids: Sequence[int]) -> bool:
    """Whether `without_loop` would shorten them."""
    return len(without_loop(token_ids)) < len(token_ids)
