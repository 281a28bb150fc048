"""`wlk-alignheads`: a WhisperLiveKit server with the backend `qwen3-mlx-simul`."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from ...commandline import run
from ...errors import InputError
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
    if not server_help:
        _check_port(host or "localhost", 8000 if port is None else port)
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


def _check_port(host: str, port: int) -> None:
    """Make sure that a server can listen there, before anything is loaded.

    Raises:
        InputError: why not.
    """
    if not 1 <= port <= 65535:
        raise InputError(f"--port is {port}, expected 1 to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            one.bind(address)
    except OSError as error:
        raise InputError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; give another --port "
            "or --host"
        ) from error


def main() -> None:
    """The entry point of `wlk-alignheads`."""
    run(wlk_alignheads, context_settings=_PASS_THE_REST)
