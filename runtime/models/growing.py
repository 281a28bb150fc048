"""An array that grows at its end: appending costs what is appended, however long it is."""

from __future__ import annotations

import numpy as np


class Growing:
    """Rows that are appended at the end and dropped at the front.

    A view from `rows` stays what it was: nothing that was appended is written over.
    """

    def __init__(self, empty: np.ndarray) -> None:
        """`empty`: [0, ...], of the rows' shape and type."""
        self._room = empty
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def rows(self) -> np.ndarray:
        """[n, ...], a view."""
        return self._room[: self._count]

    def append(self, more: np.ndarray) -> None:
        """Add `more` [m, ...] at the end."""
        count = self._count + len(more)
        if count > len(self._room):
            room = np.empty((count + count // 2, *self._room.shape[1:]), self._room.dtype)
            room[: self._count] = self.rows
            self._room = room
        self._room[self._count : count] = more
        self._count = count

    def drop(self, count: int) -> None:
        """Drop the first `count` rows."""
        self._room = self.rows[count:].copy()
        self._count = len(self._room)
