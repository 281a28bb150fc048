"""From a model's name to a checked folder with its files. Reads no weights.

A name is one of `KNOWN_MODELS`, a repository on the Hugging Face hub, or a folder.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from .files import read_config
from .registry import FAMILIES

TINY_FOLDER = Path(__file__).parent / "tiny"
KNOWN_MODELS = {
    "tiny": "the checkpoint bundled with alignheads",
    **{name: repository for family in FAMILIES for name, repository in family.known.items()},
}
_HUB_PATTERNS = ["*.json", "*.safetensors", "*.npz", "*.txt", "*.model"]
# Some repositories of Whisper have the weights a second time.
_NOT_FROM_HUB = ["*fp32*", "*.fp16.*", "*flax*"]


@dataclass(frozen=True)
class Checkpoint:
    """A checked folder. `name` goes into results, `label` into file names.

    `family` is the name of its family in the registry.
    """

    name: str
    label: str
    folder: Path
    family: str


def find_checkpoint(model: str | Path) -> Checkpoint:
    """The checkpoint that `model` means, downloaded from the hub if need be.

    Raises:
        InputError: no such model, no network, a file missing, or another architecture.
    """
    text = str(model)
    key = text.lower()
    if key == "tiny":
        name, label, folder = "tiny", "tiny", TINY_FOLDER
    elif key in KNOWN_MODELS:
        name, label, folder = KNOWN_MODELS[key], key, _download(KNOWN_MODELS[key])
    elif Path(model).is_dir():
        folder = Path(model)
        name = label = folder.resolve().name
    elif Path(model).exists():
        raise InputError(f"{text} is a file; a model is a folder with config.json and weights")
    elif text.count("/") == 1 and not text.startswith((".", "/", "~")):
        known = [label for label, name in KNOWN_MODELS.items() if name.lower() == key]
        name, label = text, known[0] if known else text.split("/")[1]
        folder = _download(text)
    else:
        raise InputError(_unknown(text))
    return Checkpoint(name, label, folder, _family_of(folder))


def _family_of(folder: Path) -> str:
    """The family of the checkpoint in `folder`, whose files are checked."""
    config = read_config(folder)
    for family in FAMILIES:
        if family.recognises(config):
            family.check(folder, config)
            return family.name
    kind = config.get("architectures") or config.get("model_type") or "unnamed"
    raise InputError(
        f"{folder / 'config.json'} describes another architecture ({kind}); expected "
        "Qwen3-ASR, with thinker_config.audio_config and thinker_config.text_config, or Whisper"
    )


def _unknown(text: str) -> str:
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
