"""The backend `qwen3-mlx-simul` in WhisperLiveKit, a live transcription server.

`register()` adds it, in memory, to the WhisperLiveKit that is installed beside this package: no
file of it is touched. What that server has no hook for is replaced by what calls the original:

- `parse_args.ArgumentParser`: one that knows the backend and its options;
- `WhisperLiveKitConfig`: with those options among its fields;
- `TranscriptionEngine._do_init`: loads this backend's model, and leaves the rest to the original;
- `online_factory`: opens this backend's sessions, and gives the server threads for them;
- `AudioProcessor._process_pcm_array`: lets them hear what the voice detector will take for
  silence, which holds the first sounds of words;
- `AudioProcessor.cleanup`: closes them when their client has gone.

All of it hangs on the server's internals, so `check_version` lets only versions pass that were
tried. `serve()` registers and runs the real server.
"""

from __future__ import annotations

import dataclasses
import importlib
import logging
import re
import shutil
import sys
from argparse import ArgumentParser, Namespace
from importlib import metadata
from typing import Any, NoReturn

from ...errors import InputError
from .backend import BACKEND
from .threads import serve_sessions

_log = logging.getLogger(__name__)

PROGRAM = "wlk-alignheads"
_OLDEST, _TOO_NEW = (0, 2, 26), (0, 2, 27)
_INSTALL = "pip install '.[whisperlivekit]', in the checkout of alignheads"
_OPTIONS: dict[str, tuple[type, str, str]] = {
    "decoder_config": (str, "FILE", "decoder_config.json (default: the model's bundled one)."),
    "border_fraction": (float, "FRACTION", "Border, as a fraction of the buffer; or"),
    "border_s": (float, "SECONDS", "border in seconds."),
    "step_s": (float, "SECONDS", "Seconds of audio between decoding steps."),
    "context": (str, "TEXT|@FILE", "Names and terms that may be said, told to every session."),
    "decoder_vad": (bool, "", "Decode only what is speech (needs the extra vad)."),
}

_is_registered = False


def check_version() -> str:
    """The version of WhisperLiveKit that is installed.

    Raises:
        InputError: none is, or one that this package does not support.
    """
    ours = f"alignheads {metadata.version('alignheads')}"
    oldest, too_new = (".".join(map(str, bound)) for bound in (_OLDEST, _TOO_NEW))
    supported = f"{ours} works with {oldest} and later, before {too_new}"
    try:
        version = metadata.version("whisperlivekit")
    except metadata.PackageNotFoundError as error:
        raise InputError(f"WhisperLiveKit is not installed; {supported}: {_INSTALL}") from error
    parts = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)(\.post\d+)?", version)
    if parts is None or not _OLDEST <= tuple(map(int, parts.groups()[:3])) < _TOO_NEW:
        raise InputError(
            f"WhisperLiveKit {version} is installed; {supported}: "
            f"pip install 'whisperlivekit>={oldest},<{too_new}'"
        )
    return version


def register() -> None:
    """Add the backend to the installed WhisperLiveKit; a second call does nothing.

    Afterwards `whisperlivekit.TranscriptionEngine(backend="qwen3-mlx-simul", model_size="tiny")`
    works, and the server's command line knows the backend and its options. Call it before
    `whisperlivekit.basic_server` is imported: that module reads the command line.

    Raises:
        InputError: WhisperLiveKit is missing, of another version, or cannot be imported.
    """
    global _is_registered
    version = check_version()
    if _is_registered:
        return
    try:
        # As modules: the package gives the name parse_args to a function.
        names = ("config", "core", "audio_processor", "parse_args")
        modules: list[Any] = [importlib.import_module(f"whisperlivekit.{name}") for name in names]
    except ImportError as error:
        raise InputError(
            f"WhisperLiveKit {version} cannot be imported ({error}); install what it needs: "
            + _INSTALL
        ) from error
    config, core, audio_processor, parser = modules
    changed = dataclasses.make_dataclass(
        "WhisperLiveKitConfig",
        [(name, kind | None, None) for name, (kind, _, _) in _OPTIONS.items()],
        bases=(config.WhisperLiveKitConfig,),
    )
    for module in (config, core, importlib.import_module("whisperlivekit")):
        module.WhisperLiveKitConfig = changed  # type: ignore[attr-defined]
    parser.ArgumentParser = _Parser
    core.TranscriptionEngine._do_init = _engine_init(core.TranscriptionEngine._do_init, changed)
    core.online_factory = audio_processor.online_factory = _online_factory(core.online_factory)
    processor = audio_processor.AudioProcessor
    processor._process_pcm_array = _process_pcm_array(processor._process_pcm_array)
    processor.cleanup = _cleanup(processor.cleanup)
    _is_registered = True


class _Parser(ArgumentParser):
    """The server's parser, with the backend, its options, and faults that are one line."""

    def add_argument(self, *flags: str, **settings: Any) -> Any:
        if "--backend" in flags:
            settings["choices"] = [*settings["choices"], BACKEND]
            settings["help"] += f" Use '{BACKEND}' for Qwen3-ASR on MLX with AlignAtt."
        return super().add_argument(*flags, **settings)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:  # type: ignore[override]
        group = self.add_argument_group(f"{BACKEND} arguments (only used with that backend)")
        for name, (kind, metavar, text) in _OPTIONS.items():
            flag = "--" + name.replace("_", "-")
            if kind is bool:
                group.add_argument(flag, action="store_true", default=None, help=text)
                continue
            group.add_argument(flag, type=kind, metavar=metavar, default=None, help=text)
        whisper = self.get_default("model_size")
        self.set_defaults(model_size=None)
        found = super().parse_args(args, namespace)
        if found.model_size is None:
            found.model_size = "tiny" if found.backend == BACKEND else whisper
        return found

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {PROGRAM} --server-help)")


def _engine_init(original: Any, make_config: Any) -> Any:
    def _do_init(self: Any, config: Any = None, **kwargs: Any) -> None:
        if config is None:
            for name in ("transcription", "vad", "vac"):
                if f"no_{name}" in kwargs:
                    kwargs[name] = not kwargs.pop(f"no_{name}")
            config = make_config.from_kwargs(**kwargs)
        if config.backend != BACKEND or not config.transcription:
            original(self, config)
            return
        from .session import Qwen3SimulASR

        asr = Qwen3SimulASR(config)
        # Voice detection, diarization and translation are as with any backend.
        original(self, dataclasses.replace(config, transcription=False))
        self.config, self.args = config, Namespace(**dataclasses.asdict(config))
        self.asr = asr

    return _do_init


def _online_factory(original: Any) -> Any:
    def online_factory(args: Any, asr: Any, language: str | None = None) -> Any:
        from .session import Qwen3SimulASR, Qwen3SimulOnlineProcessor

        if isinstance(asr, Qwen3SimulASR):
            serve_sessions()
            return Qwen3SimulOnlineProcessor(asr, language)
        return original(args, asr, language)

    return online_factory


def _process_pcm_array(original: Any) -> Any:
    async def process_pcm_array(self: Any, pcm_array: Any) -> None:
        hear = getattr(self.transcription, "hear", None)
        if hear is not None and pcm_array is not None:
            hear(pcm_array, self.total_pcm_samples)
        await original(self, pcm_array)

    return process_pcm_array


def _cleanup(original: Any) -> Any:
    async def cleanup(self: Any) -> None:
        close = getattr(self.transcription, "close", None)
        if close is not None:
            close()
        await original(self)

    return cleanup


def serve(arguments: list[str]) -> None:
    """Run the real server with `arguments`, those of `whisperlivekit-server` and ours.

    The model is loaded before the port is opened, so that what is wrong is told at once.

    Raises:
        InputError: as `register`, wrong options, or what `Qwen3SimulASR` raises.
    """
    # Which of the other backends are not installed is no matter here.
    logging.getLogger("whisperlivekit.backend_support").setLevel(logging.ERROR)
    register()
    sys.argv = [PROGRAM, "--backend", BACKEND, *arguments]  # the last --backend counts
    try:
        server = importlib.import_module("whisperlivekit.basic_server")
        config = server.config
        if not (config.pcm_input or shutil.which("ffmpeg")):
            _log.warning(
                "ffmpeg is not installed: browsers' WebM cannot be decoded. Start "
                f"{PROGRAM} --pcm-input, or install it (Debian and Ubuntu: apt-get install ffmpeg)"
            )
        if config.backend == BACKEND and not config.diarization:
            # PyTorch runs the voice detector alone, a model so small that threads slow it down.
            importlib.import_module("torch").set_num_threads(1)
        server.TranscriptionEngine(config=config)  # the only one: the server takes it from there
        server.main()
    except InputError:
        raise
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        # An option that the server refuses, a file or another backend's package that is not there.
        raise InputError(f"the server cannot start: {error}") from error
