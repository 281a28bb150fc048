"""What a model once said of some audio, kept: in memory, and in a file that processes share.

One record is one greedy continuation. Since greedy decoding is causal, the continuation of
longer committed text is the tail of that of shorter, as long as the two agree; so a record
answers for every committed text that runs along it.

Knows bytes and token ids; nothing of models, audio or policy.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import time
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError

_log = logging.getLogger(__name__)

_SCHEMA = """
create table if not exists continuation (
    state text not null, prefix blob not null, ids blob not null, language text,
    heads integer not null, frames blob not null, mean_frames blob, probabilities blob not null,
    audio_frames integer not null,
    ended integer not null, no_speech real not null, seconds real not null, rows integer,
    primary key (state, prefix)
) without rowid
"""
_COLUMNS = (
    "prefix, ids, language, heads, frames, mean_frames, probabilities, audio_frames, ended, "
    "no_speech, seconds, rows"
)
_BUSY_S = 30.0  # how long another process may hold the file
_RETRY_S = 0.01


@dataclass(frozen=True)
class Decoded:
    """One continuation of `prefix`.

    Attributes:
        prefix: the committed tokens it continues.
        ids: [tokens] of text, without the end token.
        language: given, or the one that the model found; None: no speech, or not named.
        frames: [rows, heads] uint16, the frame each head attended to; a row a token, and one
            for the end token if it came.
        mean_frames: [rows, heads] uint16, column k the frame that the mean of the first k + 1
            heads attends to; None where it was not asked for.
        probabilities: [rows] float32, the model's, of each token.
        audio_frames: in the buffer.
        ended: the end token came; else it was cut by the budget or for repeating itself.
        no_speech: see `Hypothesis`.
        seconds: what decoding it took.
        rows: how many were decoded, see `Hypothesis.decoded`.
    """

    prefix: tuple[int, ...]
    ids: tuple[int, ...]
    language: str | None
    frames: np.ndarray
    mean_frames: np.ndarray | None
    probabilities: np.ndarray
    audio_frames: int
    ended: bool
    no_speech: float
    seconds: float
    rows: int | None = None

    def tail(self, committed: tuple[int, ...]) -> int | None:
        """How many of `ids` are in `committed` already; None if this is no answer for it.

        A continuation that was cut says what comes next only where it was cut from the same
        place: after more committed text, the budget would have reached further.
        """
        done = len(committed) - len(self.prefix)
        if done == 0:
            return 0 if committed == self.prefix else None
        if not self.ended or not 0 < done <= len(self.ids):
            return None
        return done if committed == self.prefix + self.ids[:done] else None


class DecodeStore:
    """Continuations by state: whatever else determines them but the committed tokens.

    With a `path` every record is in the file as soon as it is put, and records of other processes
    are found. A file that cannot be written any more is given up with a warning: the sweep goes
    on in memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Open or make the store.

        Raises:
            InputError: the file cannot be made, or is no store.
        """
        self._path = path
        self._known: dict[str, list[Decoded]] = {}
        self._file: sqlite3.Connection | None = None
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # One thread at a time uses it, but not always the same.
            self._file = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False)
            weakref.finalize(self, self._file.close)
            _write_ahead(self._file)
            self._file.execute("pragma synchronous = normal")
            with self._file:
                self._file.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> InputError:
        return InputError(
            f"cannot use {self._path} to keep decodes in: {error}; delete it, or give another "
            "folder as store",
            arguments=("store",),
        )

    def __len__(self) -> int:
        """How many records there are, those of other processes included."""
        if self._file is None:
            return sum(map(len, self._known.values()))
        return self._file.execute("select count(*) from continuation").fetchone()[0]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def find(
        self, state: str, committed: tuple[int, ...], *, needs_mean: bool = False
    ) -> tuple[Decoded, int] | None:
        """A record that answers for `committed`, and how many of its tokens those hold.

        Raises:
            InputError: the file cannot be read.
        """
        records = self._known.get(state)
        if records is not None and (found := _answer(records, committed, needs_mean)):
            return found
        if self._file is None:
            return None
        try:
            self._known[state] = records = list(self._read(state))
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        return _answer(records, committed, needs_mean)

    def of(self, recording: str) -> dict[str, list[Decoded]]:
        """All records of one recording by state, whose names begin with it.

        Raises:
            InputError: the file cannot be read.
        """
        start = json.dumps([recording])[:-1] + ","
        found = {state: list(all) for state, all in self._known.items() if state.startswith(start)}
        if self._file is None:
            return found
        try:
            rows = self._file.execute(
                "select distinct state from continuation where state >= ? and state < ?",
                (start, start[:-1] + chr(ord(start[-1]) + 1)),
            )
            return {state: list(self._read(state)) for (state,) in rows.fetchall()}
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def put(self, state: str, record: Decoded) -> None:
        """Keep a record."""
        self._known.setdefault(state, []).append(record)
        if self._file is None:
            return
        mean = None if record.mean_frames is None else _packed(record.mean_frames)
        row = (
            state, _packed(record.prefix), _packed(record.ids), record.language,
            record.frames.shape[1], _packed(record.frames), mean,
            np.ascontiguousarray(record.probabilities, np.float32).tobytes(),
            record.audio_frames, record.ended, record.no_speech, record.seconds,
            record.rows,
        )  # fmt: skip
        try:
            with self._file:
                self._file.execute(
                    f"insert or replace into continuation (state, {_COLUMNS}) "
                    "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    row,
                )
        except sqlite3.Error as error:
            _log.warning(f"{self._path} cannot be written ({error}); going on without it")
            with contextlib.suppress(sqlite3.Error):
                self.close()
            self._file = None

    def _read(self, state: str) -> Iterator[Decoded]:
        assert self._file is not None
        query = f"select {_COLUMNS} from continuation where state = ?"
        for (
            prefix, ids, language, heads, frames, mean, probabilities, audio_frames, ended,
            no_speech, seconds, rows,
        ) in self._file.execute(query, (state,)):  # fmt: skip
            yield Decoded(
                prefix=tuple(np.frombuffer(prefix, np.int32).tolist()),
                ids=tuple(np.frombuffer(ids, np.int32).tolist()),
                language=language,
                frames=np.frombuffer(frames, np.uint16).reshape(-1, heads),
                mean_frames=None
                if mean is None
                else np.frombuffer(mean, np.uint16).reshape(-1, heads),
                probabilities=np.frombuffer(probabilities, np.float32),
                audio_frames=audio_frames,
                ended=bool(ended),
                no_speech=no_speech,
                seconds=seconds,
                rows=rows,
            )


def _write_ahead(file: sqlite3.Connection) -> None:
    """Have readers and a writer at once. SQLite itself waits for no other that is doing it."""
    until = time.monotonic() + _BUSY_S
    while True:
        try:
            file.execute("pragma journal_mode = wal")
            return
        except sqlite3.OperationalError as error:
            # The low byte: the rest says which kind of busy.
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > until:
                raise
        time.sleep(_RETRY_S)


def _answer(
    records: list[Decoded], committed: tuple[int, ...], needs_mean: bool
) -> tuple[Decoded, int] | None:
    """The record that was decoded nearest to `committed`, and how far it has run along it."""
    found: tuple[Decoded, int] | None = None
    for record in records:
        done = record.tail(committed)
        if done is None or (needs_mean and record.mean_frames is None):
            continue
        if found is None or done < found[1]:
            found = record, done
    return found


def _packed(values: np.ndarray | Sequence[int]) -> bytes:
    if isinstance(values, np.ndarray):
        return np.ascontiguousarray(values, np.uint16).tobytes()
    return np.array(values, np.int32).tobytes()
