"""Steps of several streams that are due at the same moment, taken together.

Each stream reads its own buffer, one after the other; then their texts are decoded on in one loop,
a token of each at a time. A token costs one read of the weights, which is what bounds a single
stream on a CPU, and one read serves them all. A stream's answer is given as soon as its own text
ends. Who has no company decodes as if there were no others.

A pass that fails is repeated by halves, so that memory that is short costs time, and what is one
stream's fault ends no other's step. Knows no family.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from mlx_qwen3_asr.decoder import KVCache

from .backend import mx
from .capture import Capture, Row
from .continuation import Continuation

MOST_TOGETHER = 32
"""Texts in one loop, at most: each needs room for what it says."""

_log = logging.getLogger(__name__)


class Together(Protocol):
    """A family's pass over one more token of each of several texts."""

    def read(self, tokens: Sequence[int]) -> list[Row]:
        """What comes after `tokens`, one of each text. After an exception it is of no more use."""
        ...

    def keep(self, places: Sequence[int]) -> None:
        """Only the texts at these `places` go on."""
        ...


@dataclass(frozen=True)
class Wanted:
    """A stream's step that has read its buffer, and whose text wants more tokens.

    Attributes:
        token: the last one, which the text has taken.
        cache: of what stands before it; left as it is.
        text: takes the tokens as they come.
        capture: which heads are looked at, and over which positions.
        is_enough: of the rows decoded so far: nothing would change with more.
        alone: decodes on without the others: a row for each token taken, and for one more if the
            text refused it.
        end: makes the answer of such rows.
        forget: what was half done: the step has failed.
        kind: of those of one kind, texts can be decoded together; None: of none.
        open: makes a `Together` of several of one kind.
    """

    token: int
    cache: KVCache
    text: Continuation
    capture: Capture
    is_enough: Callable[[list[Row]], bool]
    alone: Callable[[], list[Row]]
    end: Callable[[list[Row]], Any]
    forget: Callable[[], None]
    kind: Hashable = None
    open: Callable[[Sequence[Wanted]], Together] | None = None


@dataclass(frozen=True)
class Waiting:
    """A step that a stream waits for.

    Attributes:
        future: gets its answer, or what it raises.
        begin: reads the buffer; returns a `Wanted`, or the answer where no more is to be decoded.
        asker: whose it is, by a number.
    """

    future: Future
    begin: Callable[[], Any]
    asker: int


@dataclass
class Limit:
    """How many texts are decoded together; less once memory was short."""

    most: int = MOST_TOGETHER


def take_steps(asked: Sequence[Waiting], limit: Limit) -> None:
    """Take the steps of several streams, and give each its answer. Raises nothing."""
    rest = list(asked)
    while rest:
        texts, rest = _begun(rest, limit)
        kinds: dict[Hashable, list[_Text]] = {}
        for text in texts:
            kinds.setdefault(text.wanted.kind, []).append(text)
        for alike in kinds.values():
            if len(alike) == 1:
                alike[0].go_on_alone()
            else:
                _go_on(alike, limit)


class _Text:
    """A text that is decoded on, of a stream that waits for it."""

    def __init__(self, wanted: Wanted, future: Future) -> None:
        self.wanted, self._future = wanted, future
        self.rows: list[Row] = []
        self.has_ended = False

    def token(self, place: int) -> int:
        """The token that the row at `place` comes after."""
        return self.rows[place - 1].token if place else self.wanted.token

    def take(self, row: Row) -> bool:
        """Take the next row; whether another one is wanted. If not, the stream has its answer."""
        self.rows.append(row)
        try:
            goes_on = self.wanted.text.take(row.token) and not self.wanted.is_enough(self.rows)
        except BaseException as error:  # of its own: the others go on
            self.fail(error)
            return False
        if not goes_on:
            self._end(self.rows)
        return goes_on

    def go_on_alone(self) -> None:
        """To the end, without company."""
        try:
            rows = self.wanted.alone()
        except BaseException as error:
            self.fail(error)
        else:
            self._end(rows)

    def _end(self, rows: list[Row]) -> None:
        try:
            answer = self.wanted.end(rows)
        except BaseException as error:
            self.fail(error)
        else:
            self.has_ended = True
            self._future.set_result(answer)

    def fail(self, error: BaseException) -> None:
        """The stream is told."""
        self.has_ended = True
        self.wanted.forget()
        self._future.set_exception(error)


def _begun(asked: list[Waiting], limit: Limit) -> tuple[list[_Text], list[Waiting]]:
    """The first steps up to where their texts are decoded on, and those that come after them."""
    texts: list[_Text] = []
    for place, one in enumerate(asked):
        if len(texts) >= limit.most:
            return texts, asked[place:]
        try:
            found = one.begin()
        except BaseException as error:
            if texts and is_short_of_memory(error):  # it may be there when the others are done
                limit.most = len(texts)
                _tell_of_memory(len(texts) + 1, limit)
                return texts, asked[place:]
            one.future.set_exception(error)
            continue
        if not isinstance(found, Wanted):
            one.future.set_result(found)
        elif found.kind is None:
            _Text(found, one.future).go_on_alone()
        else:
            texts.append(_Text(found, one.future))
    return texts, []


def _go_on(texts: list[_Text], limit: Limit) -> None:
    """Decode texts of one kind to their ends; by halves where a pass fails."""
    groups = [texts]
    while groups:
        live = groups.pop(0)
        try:
            _go_on_together(live)
        except BaseException as error:
            if len(live) == 1:
                live[0].fail(error)
                continue
            half = len(live) // 2
            groups[:0] = [live[:half], live[half:]]
            if is_short_of_memory(error):
                limit.most = min(limit.most, len(live) - half)
                _tell_of_memory(len(live), limit)
            else:
                _log.warning(f"{len(live)} streams are decoded by halves, since together: {error}")


def _go_on_together(live: list[_Text]) -> None:
    """Decode on; `live` are those whose texts want more, also after an exception."""
    assert live[0].wanted.open is not None
    together = live[0].wanted.open([text.wanted for text in live])
    for place in range(len(live[0].rows)):  # where a pass failed that was repeated
        together.read([text.token(place) for text in live])
    while live:
        rows = together.read([text.token(len(text.rows)) for text in live])
        goes_on = [text.take(row) for text, row in zip(live, rows, strict=True)]
        places = [place for place, goes in enumerate(goes_on) if goes]
        if len(places) < len(live):
            live[:] = [live[place] for place in places]
            if live:
                together.keep(places)


def is_short_of_memory(error: BaseException) -> bool:
    """Whether an array could not be had. MLX says so in words of its own."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and "alloc" in str(error).lower()
    )


def _tell_of_memory(count: int, limit: Limit) -> None:
    mx.clear_cache()
    _log.warning(
        f"{count} streams at once do not fit in memory: at most {limit.most} are decoded together "
        "from now on"
    )
