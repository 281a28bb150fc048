"""What may be read again from keys that are kept, once the prompt has grown in its middle.

The audio lies before the text, so each step moves the text, and each cut of the buffer moves all
that is left. Attention sees positions only by their differences (Su et al. 2021, rotary position
embedding), so a key is moved by turning it further, and a value stays what it was. What a kept
position had seen when it was read, audio that was heard less of, or that has left the buffer, it
has still seen: that is the approximation. Knows tokens and positions; no audio, no weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from .asked import Asked

_NOTHING = Asked((), 0, (), (), (), 0)
_LEAST_RUN = 4  # tokens of a context that has slid; fewer are read again as fast


@dataclass(frozen=True)
class Part:
    """Positions `start` to `stop` of a prompt; `old`: where its keys are kept; None: not."""

    start: int
    stop: int
    old: int | None = None

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Kept:
    """A prompt whose keys are kept, up to its draft.

    Attributes:
        prompt: as it was read.
        since: of each committed token, what was heard when it was first read as one.
        gone: so many of its first frames have left the buffer since, with the words in them.
    """

    prompt: Asked = _NOTHING
    since: tuple[int, ...] = ()
    gone: int = 0

    def parts(
        self, prompt: Asked, heard: int, fresh_from: int, refresh: int, *, is_text_anew: bool
    ) -> list[Part]:
        """What of `prompt` is kept, and what is read, in order.

        Args:
            prompt: to be read now.
            heard: samples of the stream up to the end of its audio.
            fresh_from: from this frame of its audio on, frames are other ones than before.
            refresh: committed tokens are read again for so many samples.
            is_text_anew: so is all text.
        """
        old, head, found = self.prompt, list(prompt.head), []
        if not self.gone and list(old.head) != head:
            same, stop = common(old.head, head), prompt.stop + len(prompt.draft)
            return joined([Part(0, same, 0), Part(same, stop)])
        found += slid(old.head, head)
        audio, was = len(head), len(old.head) + self.gone
        kept = max(0, min(fresh_from, old.frames - self.gone, prompt.frames))
        found += [Part(audio, audio + kept, was), Part(audio + kept, prompt.text_start)]
        at = prompt.text_start
        if not is_text_anew and list(old.fixed) == list(prompt.fixed):
            # The tokens that say that the audio ends are always read: kept, they have seen it
            # end earlier, and the model goes on where it should not.
            text, left = at + len(prompt.fixed), self._left(prompt)
            is_old = (heard - since >= refresh for since in self.since[left:])
            settled = sum(1 for _ in takewhile(bool, is_old))
            stop = text + min(settled, self._same(prompt, left))
            stop = max(text, min(stop, prompt.stop - 1))  # what the last one says is asked of it
            first = old.text_start + len(old.fixed) + left
            found += [Part(at, text), Part(text, stop, first)]
            at = stop
        found.append(Part(at, prompt.stop + len(prompt.draft)))
        return joined(found)

    @property
    def alone(self) -> Kept:
        """Of the head and nothing after it."""
        return Kept(Asked(self.prompt.head, 0, (), (), (), 0))

    def then(self, prompt: Asked, heard: int) -> Kept:
        """Once `prompt` has been read, when so many samples were heard."""
        left = self._left(prompt)
        known = self.since[left : left + self._same(prompt, left)]
        more = len(prompt.committed) - len(known)
        return Kept(prompt, (*known, *([heard] * more)))

    def _left(self, prompt: Asked) -> int:
        """How many of the committed tokens have gone with the buffer's front."""
        old, new = list(self.prompt.committed), list(prompt.committed)
        if not self.gone:
            return 0
        starts = (at for at in range(len(old)) if old[at:] == new[: len(old) - at])
        return next(starts, len(old))

    def _same(self, prompt: Asked, left: int) -> int:
        """How many tokens the text begins with that are kept."""
        return common(self.prompt.committed[left:], prompt.committed)


def slid(old: Sequence[int], new: Sequence[int]) -> list[Part]:
    """The parts of a head whose middle, what was said before, has lost its start and grown."""
    old, new = list(old), list(new)
    first = common(old, new)
    if first == len(old) == len(new):
        return [Part(0, len(new), 0)]
    last = common(old[first:][::-1], new[first:][::-1])
    was, now = old[first : len(old) - last], new[first : len(new) - last]
    found, at = [Part(0, first, 0)], first
    # The first token of what is left may be another one, without its space.
    starts = (at for at in range(len(was)) if was[at + 1 :] == now[1 : len(was) - at])
    gone = next(starts, len(was))
    run = len(was) - gone - 1
    if run >= _LEAST_RUN:
        found += [Part(at, at + 1), Part(at + 1, at + 1 + run, first + gone + 1)]
        at += 1 + run
    end = len(new) - last
    return [*found, Part(at, end), Part(end, len(new), len(old) - last)]


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two texts begin with alike."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def joined(parts: Sequence[Part]) -> list[Part]:
    """Without empty ones, and neighbours as one where they are read or kept alike."""
    found: list[Part] = []
    for part in parts:
        if not len(part):
            continue
        before = found[-1] if found else None
        if before is not None and _is_next(before, part):
            found[-1] = Part(before.start, part.stop, before.old)
        else:
            found.append(part)
    return found


def _is_next(before: Part, part: Part) -> bool:
    if before.old is None or part.old is None:
        return before.old is part.old
    return part.old - before.old == part.start - before.start
