"""The error for everything that a user can mend."""

from __future__ import annotations

from collections.abc import Sequence


class InputError(ValueError):
    """Wrong usage or bad input: a value, a file, a corpus, a checkpoint.

    The message is one line that names the value and the file, says what was expected and
    what to do about it. Commands print it on stderr and exit with code 2.

    Attributes:
        arguments: names of arguments of the public functions that stand as words in the message,
            as in `InputError("max_heads is 0, expected 1 or more", arguments=("max_heads",))`.
            Commands show each of them as the option that sets it, here --max-heads.
    """

    def __init__(self, message: str, *, arguments: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.arguments = tuple(arguments)


class OutputError(InputError):
    """A file that could not be written, though its place was good: a full disk, for one.

    Nothing is wrong with the input, so commands exit with code 1.
    """


class ClusterError(InputError):
    """A scheduler or workers that went away in the middle, or a batch that failed too often.

    What was finished is kept where it has a journal. Nothing is wrong with the input, so commands
    exit with code 1.
    """
