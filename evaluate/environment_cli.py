"""`report-environment`: one JSON about this machine and a checkpoint, to paste into an issue."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..commandline import run, say
from ..options import DtypeOption, ForceOption, ModelOption


def report_environment(
    model: ModelOption = "tiny",
    dtype: DtypeOption = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON file; default: stdout")
    ] = None,
    force: ForceOption = False,
) -> None:
    """Print versions, device, the checkpoint's fingerprint and three timings as one JSON.

    Paste it into an issue. It holds no path, and names a model only if it is a released one.
    """
    from ..files import json_text, output_path, write_text
    from .environment import report_environment as report

    path = None if out is None else output_path(out, force, [model])
    text = json_text(report(model, dtype))
    if path is None:
        print(text)
        return
    write_text(path, text + "\n", overwrite=force)
    say(f"wrote {path}")


def main() -> None:
    """The entry point of `report-environment`."""
    run(report_environment)
