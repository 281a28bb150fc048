"""Utterances that are sent to another process: where their audio lies, or the audio itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..cluster.tasks import WorkerRefused
from ..errors import InputError
from .storage import known_copy
from .utterance import Utterance


@dataclass(frozen=True)
class SentUtterance(Utterance):
    """An utterance in another process than the one that loaded its corpus.

    Attributes:
        size_bytes: of its audio file, where it came from; None: it could not be read there.
        samples: [n], see `Utterance.read`; None: they are read from the file.
        fault: why there are no samples.
    """

    size_bytes: int | None = None
    samples: np.ndarray | None = None
    fault: str | None = None

    def read(self) -> np.ndarray:
        """See `Utterance.read`.

        Raises:
            InputError: as where it came from.
            WorkerRefused: the file or object is not seen here, or is another one.
        """
        if self.fault is not None:
            raise InputError(self.fault)
        if self.samples is not None:
            return self.samples
        if self.audio_url is None:
            self._check_is_seen()
            return super().read()
        here = Utterance(**_values(self))
        return replace(here, audio_path=self._copy(self.audio_url)).read()

    def _copy(self, url: str) -> Path:
        """The copy of an object, which is fetched here unless it was; of the same content."""
        try:
            return known_copy(url, self.audio_path.name)
        except InputError as error:
            raise WorkerRefused(f"as it is seen there, {error}") from error

    def _check_is_seen(self) -> None:
        if self.size_bytes is None:
            return
        try:
            found = self.audio_path.stat().st_size
        except OSError as error:
            raise WorkerRefused(
                f"it cannot see {self.audio_path} ({error.strerror}); mount that folder there, or "
                "have the audio sent"
            ) from error
        if found != self.size_bytes:
            raise WorkerRefused(
                f"{self.audio_path} is another file there, of {found} bytes and not "
                f"{self.size_bytes}; mount the same folder, or have the audio sent"
            )


def sent(utterances: Iterable[Utterance], *, with_audio: bool) -> tuple[Utterance, ...]:
    """`utterances` as another process can use them.

    Args:
        utterances: of a corpus.
        with_audio: send the samples, too.
    """
    return tuple(_sent(one, with_audio) for one in utterances)


def _values(utterance: Utterance) -> dict[str, Any]:
    return {one.name: getattr(utterance, one.name) for one in fields(Utterance)}


def _sent(utterance: Utterance, with_audio: bool) -> SentUtterance:
    values = _values(utterance)
    values["audio_path"] = path = Path(utterance.audio_path).absolute()
    if not with_audio:
        try:
            return SentUtterance(**values, size_bytes=path.stat().st_size)
        except OSError:
            return SentUtterance(**values)
    try:
        return SentUtterance(**values, samples=utterance.read())
    except InputError as error:
        return SentUtterance(**values, fault=str(error))
