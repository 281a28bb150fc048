"""Steps of several streams that are due at the same moment, taken together.

A step is a generator: it asks for one pass through the model after another, and goes on with what
comes of each. The passes that several steps ask for are made in one: first those that read the
buffers, part of the model by part, then the texts are decoded on in one loop, a token of each at a
time. A pass costs one read of the weights, which is what bounds a single stream on a CPU, and one
read serves them all. A stream's answer is given as soon as its own text ends. Who has no company
decodes as if there were no others.

A pass that fails is repeated by halves, so that memory that is short costs time, and what is one
stream's fault ends no other's step. Knows no family.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
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


@dataclass(frozen=True)
class Pass:
    """A pass through a part of the model, which a step asks for.

    Attributes:
        place: of the part: of several steps, those that are at the lowest one go first.
        given: what goes through.
        alone: makes of `given` what the step goes on with.
        together: does that for what several passes of one kind are given; its results are computed.
        kind: passes of one kind can be made together; None: of none.
        share: of what is good in one pass. More than 1 in all is made in several, one after the
            other, and each step goes on before the next one.
    """

    place: int
    given: Any
    alone: Callable[[Any], Any]
    together: Callable[[Sequence[Any]], Sequence[Any]] | None = None
    kind: Hashable = None
    share: float = 0.0


Passes = Generator[Pass, Any, Any]
"""A step, or a part of one: it yields passes, is sent their results, and returns its own."""


def made_alone(passes: Passes) -> Any:
    """What a step, or a part of one, returns, without company."""
    go_on: Callable[[Any], Pass] = passes.send
    found: Any = None
    while True:
        try:
            wanted = go_on(found)
        except StopIteration as end:
            return end.value
        try:
            go_on, found = passes.send, wanted.alone(wanted.given)
        except BaseException as error:  # the step may clear up
            go_on, found = passes.throw, error


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
        cross: keys and values of the audio, where they are not in the cache, as a family has them.
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
    cross: Any = None
    kind: Hashable = None
    open: Callable[[Sequence[Wanted]], Together] | None = None


@dataclass(frozen=True)
class Waiting:
    """A step that a stream waits for.

    Attributes:
        future: gets its answer, or what it raises.
        begin: returns the step's `Passes`, which read the buffer and return a `Wanted`, or the
            answer where no more is to be decoded; or at once what they would.
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


class _Reading:
    """A step that reads its buffer.

    Attributes:
        one: whose it is.
        wanted: the pass that it waits for; None: it has ended.
        error: that it has raised; None: it has
        found: this.
    """

    def __init__(self, one: Waiting) -> None:
        self.one = one
        self.wanted: Pass | None = None
        self.error: BaseException | None = None
        self.found: Any = None
        try:
            begun = one.begin()
        except BaseException as error:
            self.error = error
            return
        if isinstance(begun, Generator):
            self._passes = begun
            self._go_on(begun.send, None)
        else:
            self.found = begun

    def take(self, result: Any) -> None:
        """Go on with what came of the pass."""
        if isinstance(result, _Failed):
            self._go_on(self._passes.throw, result.error)
        else:
            self._go_on(self._passes.send, result)

    def _go_on(self, how: Callable[[Any], Pass], given: Any) -> None:
        self.wanted = None
        try:
            self.wanted = how(given)
        except StopIteration as end:
            self.found = end.value
        except BaseException as error:
            self.error = error


@dataclass(frozen=True)
class _Failed:
    """Instead of a pass's result."""

    error: BaseException


def _begun(asked: Sequence[Waiting], limit: Limit) -> tuple[list[_Text], list[Waiting]]:
    """The first steps up to where their texts are decoded on, and those that come after them."""
    live: list[_Reading] = []
    texts: list[_Text] = []
    later: list[Waiting] = []

    def drop_ended(step: _Reading) -> None:
        if step.wanted is not None:
            return
        live.remove(step)
        others = len(live) + len(texts)
        if step.error is None:
            _end_reading(step, texts)
        elif others and is_short_of_memory(step.error):  # it may be there when they are done
            later.append(step.one)
            limit.most = min(limit.most, others)
            _tell_of_memory(others + 1, limit)
        else:
            step.one.future.set_exception(step.error)

    opened = 0
    while opened < len(asked) and len(live) + len(texts) < limit.most and not later:
        live.append(_Reading(asked[opened]))
        drop_ended(live[-1])
        opened += 1
    while live:
        place = min(step.wanted.place for step in live if step.wanted is not None)
        kinds: dict[Hashable, list[tuple[_Reading, Pass]]] = {}
        for step in live:
            if step.wanted is not None and step.wanted.place == place:
                kind = id(step) if step.wanted.kind is None else step.wanted.kind
                kinds.setdefault(kind, []).append((step, step.wanted))
        for alike in kinds.values():
            for some in _shared_out(alike):
                made = _made([one for _, one in some], limit)
                while some:  # nothing of a step is held on to once it goes on
                    some.pop(0)[0].take(made.pop(0))
        for step in list(live):
            drop_ended(step)
    return texts, [*later, *asked[opened:]]


def _shared_out(
    alike: Sequence[tuple[_Reading, Pass]],
) -> Iterator[list[tuple[_Reading, Pass]]]:
    """Passes of one kind, by so many as are good at once."""
    some: list[tuple[_Reading, Pass]] = []
    for one in alike:
        if some and sum(other.share for _, other in some) + one[1].share > 1:
            yield some
            some = []
        some.append(one)
    yield some


def _end_reading(step: _Reading, texts: list[_Text]) -> None:
    """Answer a step whose text wants no more tokens; the text of another one is added."""
    found, future = step.found, step.one.future
    if not isinstance(found, Wanted):
        future.set_result(found)
    elif found.kind is None:
        _Text(found, future).go_on_alone()
    else:
        texts.append(_Text(found, future))


def _made(passes: list[Pass], limit: Limit) -> list[Any]:
    """What comes of passes of one kind; by halves where that fails."""
    try:
        if len(passes) == 1 or passes[0].together is None:
            return [one.alone(one.given) for one in passes]
        return list(passes[0].together([one.given for one in passes]))
    except BaseException as error:
        if len(passes) == 1:
            return [_Failed(error)]
        _tell_of_halves(error, len(passes), limit)
    half = len(passes) // 2  # the error has gone, and what it held
    return _made(passes[:half], limit) + _made(passes[half:], limit)


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
            _tell_of_halves(error, len(live), limit)


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


def _tell_of_halves(error: BaseException, count: int, limit: Limit) -> None:
    """A pass of so many streams has failed, and is repeated by halves."""
    if is_short_of_memory(error):
        limit.most = min(limit.most, count - count // 2)
        _tell_of_memory(count, limit)
    else:
        _log.warning(f"{count} streams are decoded by halves, since together: {error}")


def _tell_of_memory(count: int, limit: Limit) -> None:
    mx.clear_cache()
    _log.warning(
        f"{count} streams at once do not fit in memory: at most {limit.most} are decoded together "
        "from now on"
    )
