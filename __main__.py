"""The command `alignheads`: every command of the package under one name."""

from __future__ import annotations

import os
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

_COMPLETING = "_ALIGNHEADS_COMPLETE"


def main() -> None:
    """The entry point of `alignheads`: calls the command that the first argument names."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if _COMPLETING in os.environ or name in ("--install-completion", "--show-completion"):
        _complete()
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


def _complete() -> None:
    """Completion of the first word, and its installation; that of others is the command's own.

    A shell calls the program with the words so far in the environment.
    """
    variables = ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")
    words = next((os.environ[one].split() for one in variables if one in os.environ), [])
    known = COMMANDS.get(words[1]) if len(words) > 1 else None
    at = int(os.environ.get("COMP_CWORD") or len(words) - 1)
    if known is not None and (at > 1 or len(words) > 2):
        module, own_name, _ = known
        name = own_name.replace("-", "_").upper()
        os.environ[f"_{name}_COMPLETE"] = os.environ.pop(_COMPLETING)
        os.environ["COMP_CWORD"] = str(at - 1)
        for one in variables:
            if one in os.environ:
                os.environ[one] = os.environ[one].replace(" ".join(words[:2]), own_name, 1)
                os.environ[one] = os.environ[one].replace("\n".join(words[:2]), own_name, 1)
        sys.argv = [own_name]
        import_module(f".{module}", __package__).main()
    import typer

    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    for name, (_, _, what) in COMMANDS.items():
        app.command(name, help=what)(lambda: None)
    with in_a_line("alignheads"):
        app(prog_name="alignheads")


def _version() -> str:
    from importlib.metadata import version

    return f"alignheads {version('alignheads')}"


def _help() -> str:
    lines = [f"  {name:<18} {what} ({own})" for name, (_, own, what) in COMMANDS.items()]
    usage = "Usage: alignheads COMMAND [OPTIONS]\n\nCommands:\n"
    return (
        usage
        + "\n".join(lines)
        + "\n\nalignheads COMMAND --help lists the options of one.\n"
        + ("alignheads --install-completion lets a shell complete them with the tab key.")
    )


def _unknown(name: str) -> NoReturn:
    import difflib

    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(COMMANDS)}"
    fail("alignheads", f"there is no command {name!r}; {hint}", 2)


if __name__ == "__main__":
    main()
