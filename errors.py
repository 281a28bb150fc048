"""The one error that a user can mend."""

from __future__ import annotations


class InputError(ValueError):
    """Wrong usage or bad input: a value, a file, a corpus, a checkpoint.

    The message is one line that names the value and the file, says what was expected and
    what to do about it. Commands print it on stderr and exit with code 2.
    """
