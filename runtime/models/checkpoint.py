"""From a model's name to a checked folder with its files. Reads no weights.

A name is one of `KNOWN_MODELS`, a repository on the Hugging Face hub, or a folder.
"""

from __future__ import annotations

import difflib
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError
from .files import read_config, read_json
from .layouts import likely_layout
from .qwen3 import family as qwen3
from .registry import FAMILIES, Family
from .weight_files import find_weights, tensor_shapes

_log = logging.getLogger(__name__)

TINY_FOLDER = Path(__file__).parent / "tiny"
KNOWN_MODELS = {
    "tiny": "the checkpoint bundled with alignheads",
    **{name: repository for family in FAMILIES for name, repository in family.known.items()},
}
# As the repositories are called.
_ALSO = {f"{start}-{size}": size for start in ("qwen3-asr", "qwen3") for size in qwen3.KNOWN}
_HUB_PATTERNS = ["*.json", "*.safetensors", "*.npz", "*.txt", "*.model"]
# Some repositories of Whisper have the weights a second time.
_NOT_FROM_HUB = ["*fp32*", "*.fp16.*", "*flax*"]


_ADAPTER = "adapter_config.json"
_MODELSCOPE_DOT = "___"  # "Qwen3-ASR-1___7B": its folders have no dots


@dataclass(frozen=True)
class Checkpoint:
    """A checked folder. `name` goes into results, `label` into file names.

    `family` is the name of its family in the registry, `adapters` are folders of LoRA adapters
    that change its weights.
    """

    name: str
    label: str
    folder: Path
    family: str
    adapters: tuple[Path, ...] = ()


def find_checkpoint(model: str | Path) -> Checkpoint:
    """The checkpoint that `model` means, downloaded from the hub if need be.

    Raises:
        InputError: no such model, no network, a file missing, or another architecture.
    """
    text = str(model)
    key = text.lower()
    if key in _ALSO and not Path(model).is_dir():
        key = _ALSO[key]
    if key == "tiny":
        name, label, folder = "tiny", "tiny", TINY_FOLDER
    elif key in KNOWN_MODELS:
        name, label, folder = KNOWN_MODELS[key], key, _download(KNOWN_MODELS[key])
    elif Path(model).is_dir():
        folder = Path(model)
        name = label = folder.resolve().name.replace(_MODELSCOPE_DOT, ".")
    elif Path(model).exists():
        raise InputError(f"{text} is a file; a model is a folder with config.json and weights")
    elif text.count("/") == 1 and not text.startswith((".", "/", "~")):
        known = [label for label, name in KNOWN_MODELS.items() if name.lower() == key]
        name, label = text, known[0] if known else text.split("/")[1]
        folder = _download(text)
    else:
        raise InputError(_unknown(text))
    return _checked(name, label, folder)


def _checked(name: str, label: str, folder: Path) -> Checkpoint:
    """The checkpoint in a folder: its own files, a base with an adapter, or a folder inside."""
    if (folder / "config.json").is_file() or not folder.is_dir():
        config = read_config(folder)
        if _family(config) is not None or not _inside(folder):
            adapters = (folder,) if (folder / _ADAPTER).is_file() else ()
            return Checkpoint(name, label, folder, _family_of(folder, config), adapters)
    if (folder / _ADAPTER).is_file():
        base = _base_of(folder)
        return Checkpoint(name, label, base.folder, base.family, (*base.adapters, folder))
    inside = _inside(folder)
    if len(inside) == 1:
        _log.info(f"the model is in {inside[0].name}, inside of {folder}")
        found = _checked(name, label, inside[0])
        _say_unused(folder, found.folder)
        return found
    if inside:
        names = ", ".join(path.name for path in inside)
        raise InputError(f"{folder} holds several models ({names}); give the folder of one")
    return Checkpoint(name, label, folder, _family_of(folder, read_config(folder)))


def _inside(folder: Path) -> list[Path]:
    """The folders in a folder that hold models, adapters left out."""
    found = []
    for path in sorted(folder.iterdir()):
        if not path.is_dir() or not (path / "config.json").is_file():
            continue
        try:
            config = read_config(path)
        except InputError:
            continue
        if _family(config) is not None:
            found.append(path)
    return found


def _say_unused(folder: Path, model: Path) -> None:
    """Say what lies beside a model in a subfolder and may belong to it."""
    others = [path for path in sorted(folder.iterdir()) if path.is_dir() and path != model]
    unused = [p.name for p in others if any(p.glob("*.safetensors"))]
    if unused:
        _log.warning(
            f"{', '.join(unused)} beside {model.name} is not used; an adapter is loaded by giving "
            "its own folder as the model"
        )


def _base_of(adapter: Path) -> Checkpoint:
    """The checkpoint that an adapter names as the one that it changes.

    Raises:
        InputError: it names none, or one that cannot be found.
    """
    base = read_json(adapter / _ADAPTER).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise InputError(
            f"{adapter / _ADAPTER} names no base_model_name_or_path: which model it changes"
        )
    last = re.split(r"[/\\]", base.rstrip("/\\"))[-1].replace(_MODELSCOPE_DOT, ".")
    known = {repository.split("/")[-1].lower(): repository for repository in KNOWN_MODELS.values()}
    is_path = base.startswith((".", "/", "~")) or base.count("/") != 1
    for place in (Path(base), adapter / base, adapter.parent / base.rstrip("/").split("/")[-1]):
        if place.is_dir() and place.resolve() != adapter.resolve():
            return _checked(base, last, place)
    if base.lower() in KNOWN_MODELS or not is_path:
        return find_checkpoint(base)
    if last.lower() in known:
        return find_checkpoint(known[last.lower()])
    raise InputError(
        f"{adapter / _ADAPTER} names {base!r} as its base, which is not here; put that model's "
        f"folder beside {adapter.name}, or correct base_model_name_or_path"
    )


def _family(config: dict[str, Any]) -> Family | None:
    return next((family for family in FAMILIES if family.recognises(config)), None)


def _family_of(folder: Path, config: dict[str, Any]) -> str:
    """The family of the checkpoint in `folder`, whose files are checked."""
    family = _family(config)
    if family is not None:
        family.check(folder, config)
        return family.name
    kind = config.get("architectures") or config.get("model_type") or "unnamed"
    likely = _likely(folder)
    raise InputError(
        f"{folder / 'config.json'} describes another architecture ({kind}); expected Qwen3-ASR, "
        "with audio_config and text_config, in a thinker_config or not, or Whisper"
        f"{f'; {likely}' if likely else ''}"
    )


def _likely(folder: Path) -> str | None:
    """What the tensors in a folder look like; None: there are none, or not known."""
    try:
        shapes = [tensor_shapes(p) for p in find_weights(folder).paths]
    except InputError:
        return None
    return likely_layout(name for each in shapes for name in each)


def _unknown(text: str) -> str:
    if f"whisper-{text.lower()}" in KNOWN_MODELS:
        return (
            f"unknown model {text!r}; Whisper's is called whisper-{text.lower()}, and Qwen3-ASR's "
            "are 0.6b and 1.7b"
        )
    near = difflib.get_close_matches(text.lower(), KNOWN_MODELS, n=3, cutoff=0.0)
    names = [*near, *(name for name in KNOWN_MODELS if name not in near)]
    known = ", ".join(f"{name} ({KNOWN_MODELS[name]})" for name in names)
    return f"unknown model {text!r}; known: {known}, a hub repository (owner/name), or a folder"


def _download(repository: str) -> Path:
    import huggingface_hub
    from huggingface_hub import errors

    try:
        return Path(
            huggingface_hub.snapshot_download(
                repository, allow_patterns=_HUB_PATTERNS, ignore_patterns=_NOT_FROM_HUB
            )
        )
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"the hub has no repository {repository!r} that you may read; check the name, "
            "or log in with `hf auth login`"
        ) from error
    except errors.HFValidationError as error:
        raise InputError(f"{repository!r} is no name of a hub repository (owner/name)") from error
    except Exception as error:  # the hub client raises its transport's own exceptions
        raise InputError(
            f"cannot fetch {repository!r} from the hub ({type(error).__name__}); connect to the "
            "network, or give a folder with the checkpoint's files"
        ) from error
