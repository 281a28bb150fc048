"""`wlk-alignheads`: a WhisperLiveKit server with the backend `qwen3-mlx-simul`."""

from __future__ import annotations

from typing import Annotated

import typer

from ...commandline import run
from ...options import (
    BorderFractionOption,
    BorderSOption,
    ContextOption,
    ServerModelOption,
    SpokenLanguageOption,
    StepSOption,
    TaskOption,
    VadOption,
)

_PASS_THE_REST = {"ignore_unknown_options": True, "allow_extra_args": True}


def wlk_alignheads(
    parsing: typer.Context,
    model: ServerModelOption = None,
    language: SpokenLanguageOption = None,
    task: TaskOption = "transcribe",
    decoder_config: Annotated[
        str | None, typer.Option(metavar="FILE", help="decoder_config.json (default: bundled).")
    ] = None,
    custom_alignment_heads: Annotated[
        str | None, typer.Option(metavar="FILE", help="Heads file, in place of the config's.")
    ] = None,
    border_fraction: BorderFractionOption = None,
    border_s: BorderSOption = None,
    step_s: StepSOption = None,
    context: ContextOption = None,
    vad: VadOption = False,
    pcm_input: Annotated[
        bool, typer.Option("--pcm-input", help="Browsers send raw samples: ffmpeg is not needed.")
    ] = False,
    host: Annotated[str | None, typer.Option(help="Where to listen (default: localhost).")] = None,
    port: Annotated[int | None, typer.Option(help="Where to listen (default: 8000).")] = None,
    server_help: Annotated[
        bool, typer.Option("--server-help", help="List every option of the server, and exit.")
    ] = False,
) -> None:
    """Start a WhisperLiveKit server, and its page, with Qwen3-ASR or Whisper on MLX.

    Takes every other option of whisperlivekit-server as well; see --server-help.
    """
    from ..models.model import check_task
    from .server import serve

    check_task(task)
    given = {
        "--model": model,
        "--language": language,
        "--decoder-config": decoder_config,
        "--custom-alignment-heads": custom_alignment_heads,
        "--border-fraction": border_fraction,
        "--border-s": border_s,
        "--step-s": step_s,
        "--context": context,
        "--host": host,
        "--port": port,
    }
    arguments = [f"{flag}={value}" for flag, value in given.items() if value is not None]
    arguments += ["--direct-english-translation"] * (task == "translate")
    arguments += ["--decoder-vad"] * vad + ["--pcm-input"] * pcm_input + ["--help"] * server_help
    serve([*arguments, *parsing.args])


def main() -> None:
    """The entry point of `wlk-alignheads`."""
    run(wlk_alignheads, context_settings=_PASS_THE_REST)
