"""`decode-stream`: words with times from files, stdin or the microphone, as they are committed."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...commandline import run, say
from ...errors import InputError
from ...files import open_growing, output_path
from ...options import (
    BorderFractionOption,
    BorderSOption,
    ConfigOption,
    ContextOption,
    DtypeOption,
    ForceOption,
    HeadsOption,
    ModelOption,
    SpokenLanguageOption,
    StepSOption,
    TaskOption,
    VadOption,
)

if TYPE_CHECKING:
    import numpy as np

    from ..models.model import SpeechModel
    from .audio_input import AudioSource
    from .config import DecoderConfig
    from .cues import CueLayout
    from .decoder import StreamDecoder
    from .written import Written

_FORMATS = ("text", "jsonl", "json", "srt", "vtt", "ctm", "textgrid")
_OF_ONE_FILE = ("json", "srt", "vtt", "textgrid")
_REALTIME_BLOCK_S = 0.1
LOWEST_HZ, HIGHEST_HZ = 4_000, 768_000


def decode_stream(
    audio: Annotated[
        list[str] | None,
        typer.Argument(metavar="[AUDIO … | -]", help="Files, one stream each; -: stdin."),
    ] = None,
    mic: Annotated[bool, typer.Option("--mic", help="Listen to the microphone.")] = False,
    model: ModelOption = "tiny",
    config: ConfigOption = None,
    heads: HeadsOption = None,
    border_fraction: BorderFractionOption = None,
    border_s: BorderSOption = None,
    step_s: StepSOption = None,
    language: SpokenLanguageOption = None,
    redetect: Annotated[
        bool,
        typer.Option(
            "--redetect",
            help="Detect the language anew after each short pause, not only long ones.",
        ),
    ] = False,
    context: ContextOption = None,
    task: TaskOption = "transcribe",
    vad: VadOption = False,
    channels: Annotated[
        bool,
        typer.Option("--channels", help="Decode each channel of a file as a stream of its own."),
    ] = False,
    output: Annotated[
        str, typer.Option("--format", metavar="|".join(_FORMATS), help="What to write on stdout.")
    ] = "text",
    max_line_chars: Annotated[
        int | None,
        typer.Option(help="Of subtitles: the most characters in a line. Default: 42."),
    ] = None,
    max_lines: Annotated[
        int | None, typer.Option(help="Of subtitles: the most lines in a cue. Default: 2.")
    ] = None,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Read files at the speed of speech.")
    ] = False,
    sample_rate: Annotated[
        int | None,
        typer.Option(metavar="HZ", help="Of raw samples on stdin. Default: 16000, and checked."),
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write each step's tokens, frames and decisions."),
    ] = None,
    dtype: DtypeOption = None,
    force: ForceOption = False,
) -> None:
    """Decode speech as it comes in. Words are written as they are committed, and never change.

    Files and stdin may have any format that libsndfile knows or, where it is installed, ffmpeg.
    Stdin may also be raw samples: 16 bit little-endian, mono, 16 kHz. Ctrl-C commits what is left
    and ends.
    """
    names = audio or []
    _check(names, mic, output, realtime, channels, sample_rate)
    layout = _layout(output, max_line_chars, max_lines)
    if trace is not None:
        told_by = context[1:] if context and context.startswith("@") else None
        output_path(trace, force, [*names, model, config, heads, told_by])

    from ..models.context import read_context

    told = read_context(context)
    from .decoder import StreamDecoder
    from .output import TraceWriter

    settings = {"border_fraction": border_fraction, "border_s": border_s, "step_s": step_s}
    settings = {name: value for name, value in settings.items() if value is not None}
    settings |= {"vad": True} if vad else {}
    loaded, chosen = _load(model, dtype, task, config, heads, settings)
    with contextlib.ExitStack() as stack:
        tracer = None
        if trace is not None:
            tracer = stack.enter_context(TraceWriter(open_growing(trace, overwrite=force)))
        block_s = _REALTIME_BLOCK_S if realtime else min(chosen.step_s, 1.0)
        for source in _sources(names, mic, block_s, channels, sample_rate):
            if tracer is not None:
                tracer.source = source.name

            def open_stream(channel: int | None, rate: int = source.sample_rate) -> StreamDecoder:
                return StreamDecoder(
                    loaded, chosen, language=language, context=told, redetect=redetect,
                    sample_rate=rate,
                    on_step=None if tracer is None else partial(tracer, channel=channel),
                )  # fmt: skip

            _decode(source, open_stream, output, realtime, layout)


def _check(
    names: list[str],
    mic: bool,
    output: str,
    realtime: bool,
    channels: bool,
    sample_rate: int | None,
) -> None:
    """Wrong usage, before anything is loaded."""
    if output not in _FORMATS:
        raise InputError(f"--format is {output!r}, expected one of {', '.join(_FORMATS)}")
    if mic and names:
        raise InputError("give audio files or --mic, not both")
    if not mic and not names:
        raise InputError("give audio files, - for stdin, or --mic")
    if "-" in names and len(names) > 1:
        raise InputError("give audio files or -, not both")
    if realtime and (mic or "-" in names):
        raise InputError("--realtime is for files: stdin and the microphone come at their own pace")
    if channels and (mic or "-" in names):
        raise InputError("--channels is for files: stdin and the microphone are one channel")
    if sample_rate is not None and not LOWEST_HZ <= sample_rate <= HIGHEST_HZ:
        raise InputError(
            f"sample_rate is {sample_rate}, expected {LOWEST_HZ} to {HIGHEST_HZ} Hz",
            arguments=("sample_rate",),
        )
    if output in _OF_ONE_FILE and len(names) > 1:
        raise InputError(f"--format {output} takes one file at a time: their times start at 0")
    from ...corpora.audio_file import check_audio_path

    for name in names:
        if name != "-":
            check_audio_path(Path(name))


def _layout(output: str, max_line_chars: int | None, max_lines: int | None) -> CueLayout:
    from .cues import CueLayout

    given = {"max_line_chars": max_line_chars, "max_lines": max_lines}
    given = {name: value for name, value in given.items() if value is not None}
    if given and output not in ("srt", "vtt"):
        names = tuple(given)
        raise InputError(f"{names[0]} is for srt and vtt", arguments=names)
    return CueLayout(**given)


def _load(
    model: str,
    dtype: str | None,
    task: str,
    config: Path | None,
    heads: str | None,
    settings: dict[str, Any],
) -> tuple[SpeechModel, DecoderConfig]:
    from ...heads.load import load_heads
    from .config import DecoderConfig, chosen_config
    from .voice import check_installed

    # What is wrong in a small file is told before a large one is loaded.
    chosen = DecoderConfig.load(config) if config is not None else None
    file = load_heads(heads) if heads is not None else None
    if settings.get("vad"):
        check_installed()
    from ..models.model import SpeechModel

    loaded = SpeechModel.load(model, dtype, task)
    return loaded, chosen_config(loaded, chosen, file, settings)


def _sources(
    names: list[str], mic: bool, block_s: float, by_channel: bool, sample_rate: int | None
) -> Iterator[AudioSource]:
    from .audio_input import open_file, open_microphone, open_stdin

    if mic:
        yield open_microphone()
    for name in names:
        if name == "-":
            yield open_stdin(block_s, sample_rate=sample_rate)
        else:
            yield open_file(Path(name), block_s, by_channel=by_channel, sample_rate=sample_rate)


def _decode(
    source: AudioSource,
    open_stream: Callable[[int | None], StreamDecoder],
    output: str,
    realtime: bool,
    layout: CueLayout,
) -> None:
    from .audio_input import paced
    from .written import WrittenChannels, WrittenStream

    stream: Written
    if source.channels is None:
        stream = WrittenStream(
            open_stream(None),
            output,  # type: ignore[arg-type]
            layout,
            source.name,
        )
    else:
        stream = WrittenChannels(
            open_stream,
            source.channels,
            output,  # type: ignore[arg-type]
            layout,
            source.name,
        )
    started = time.monotonic()
    fault: InputError | KeyboardInterrupt | None = None
    blocks = paced(source) if realtime else iter(source.blocks)
    try:
        _feed_all(stream, blocks)
    except InputError as error:
        fault = InputError(_named(error, source.name), arguments=error.arguments)
    except KeyboardInterrupt as error:
        fault = error
    # All that came is decoded, whatever stopped it; then the fault is told.
    try:
        stream.finish()
    except KeyboardInterrupt as error:
        fault = error
    reason = str(fault) if isinstance(fault, InputError) else "interrupted" if fault else "end"
    stream.end(source.name, reason)
    took_s = time.monotonic() - started
    how = " (interrupted)" if reason == "interrupted" else ""
    say(f"{source.name}: {stream.received_s:.2f} s of audio in {took_s:.2f} s{how}")
    if fault is not None:
        raise fault


def _feed_all(stream: Written, blocks: Iterator[np.ndarray]) -> None:
    with _stopped_between_steps() as uninterrupted:
        for block in blocks:
            with uninterrupted():
                stream.feed(block)


def _named(error: InputError, name: str) -> str:
    return str(error) if name in str(error) else f"{name}: {error}"


@contextlib.contextmanager
def _stopped_between_steps() -> Iterator[Callable[[], contextlib.AbstractContextManager[None]]]:
    """Yields a context in which a Ctrl-C, or what else tells the command to end, waits until it
    ends; outside of it, it comes at once.

    A second one does not wait.
    """
    if threading.current_thread() is not threading.main_thread():
        yield contextlib.nullcontext
        return
    is_busy, came = False, 0
    before: dict[int, Callable[[int, Any], object]] = {}

    def handle(signum: int, frame: object) -> None:
        nonlocal came
        if not is_busy or came:
            before[signum](signum, frame)
        came = signum

    @contextlib.contextmanager
    def uninterrupted() -> Iterator[None]:
        nonlocal is_busy
        is_busy = True
        try:
            yield
        finally:
            is_busy = False
        if came:
            before[came](came, None)

    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if callable(handler := signal.getsignal(one)):
            before[one] = handler
            signal.signal(one, handle)
    try:
        yield uninterrupted
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def main() -> None:
    """The entry point of `decode-stream`."""
    run(decode_stream, options={"output": "--format"})
