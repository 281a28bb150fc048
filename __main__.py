"""The command `alignheads`: every command of the package under one name."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NoReturn

from .commandline import fail, in_a_line

COMMANDS = {
    "discover": ("discovery.cli", "discover-heads", "find the heads that follow the audio"),
    "calibrate": ("calibrate.cli", "calibrate", "tune the streaming decoder on them"),
    "decode": ("runtime.stream.cli", "decode-stream", "words with times, as they are committed"),
    "benchmark": ("evaluate.cli", "benchmark-decoder", "errors, delay and speed on a corpus"),
    "report": ("reports.cli", "render-report", "one HTML page of the results"),
    "heads": ("heads.cli", "heads-info", "print, check, compare and convert heads files"),
    "align": ("corpora.cli", "align-corpus", "word times for a corpus"),
    "report-environment": (
        "evaluate.environment_cli",
        "report-environment",
        "this machine and a model, for an issue",
    ),
    "serve": ("runtime.whisperlivekit.cli", "wlk-alignheads", "a live transcription server"),
}
"""By subcommand: the module whose `main` is called, its command's own name, what it does."""


def main() -> None:
    """The entry point of `alignheads`: calls the command that the first argument names."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in ("", "-h", "--help", "--version"):
        with in_a_line("alignheads"):
            print(_version() if name == "--version" else _help())
        sys.exit(0 if name else 2)
    if name not in COMMANDS:
        _unknown(name)
    module, own_name, _ = COMMANDS[name]
    # What follows is the command's own, with its name in usage and messages.
    sys.argv = [own_name, *sys.argv[2:]]
    import_module(f".{module}", __package__).main()


def _version() -> str:
    from importlib.metadata import version

    return f"alignheads {version('alignheads')}"


def _help() -> str:
    lines = [f"  {name:<18} {what} ({own})" for name, (_, own, what) in COMMANDS.items()]
    usage = "Usage: alignheads COMMAND [OPTIONS]\n\nCommands:\n"
    return usage + "\n".join(lines) + "\n\nalignheads COMMAND --help lists the options of one."


def _unknown(name: str) -> NoReturn:
    import difflib

    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(COMMANDS)}"
    fail("alignheads", f"there is no command {name!r}; {hint}", 2)


if __name__ == "__main__":
    main()
