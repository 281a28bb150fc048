"""From a model's name to a checked folder with its files. Reads no weights.

A name is one of `KNOWN_MODELS`, a repository on the Hugging Face hub, or a folder.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError

TINY_FOLDER = Path(__file__).parent / "tiny"
KNOWN_MODELS = {
    "tiny": "the checkpoint bundled with alignheads",
    "0.6b": "Qwen/Qwen3-ASR-0.6B",
    "1.7b": "Qwen/Qwen3-ASR-1.7B",
}
_TOKENIZER_FILES = ("vocab.json", "merges.txt", "tokenizer_config.json")
_HUB_PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model"]


@dataclass(frozen=True)
class Checkpoint:
    """A checked folder. `name` goes into results, `label` into file names."""

    name: str
    label: str
    folder: Path


def find_checkpoint(model: str | Path) -> Checkpoint:
    """The checkpoint that `model` means, downloaded from the hub if need be.

    Raises:
        InputError: no such model, no network, a file missing, or another architecture.
    """
    text = str(model)
    key = text.lower()
    if key == "tiny":
        checkpoint = Checkpoint("tiny", "tiny", TINY_FOLDER)
    elif key in KNOWN_MODELS:
        repository = KNOWN_MODELS[key]
        checkpoint = Checkpoint(repository, key, _download(repository))
    elif Path(model).is_dir():
        folder = Path(model)
        checkpoint = Checkpoint(folder.resolve().name, folder.resolve().name, folder)
    elif Path(model).exists():
        raise InputError(f"{text} is a file; a model is a folder with config.json and weights")
    elif text.count("/") == 1 and not text.startswith((".", "/", "~")):
        known = [label for label, name in KNOWN_MODELS.items() if name.lower() == key]
        label = known[0] if known else text.split("/")[1]
        checkpoint = Checkpoint(text, label, _download(text))
    else:
        raise InputError(_unknown(text))
    _check(checkpoint.folder)
    return checkpoint


def _unknown(text: str) -> str:
    near = difflib.get_close_matches(text.lower(), KNOWN_MODELS, n=3, cutoff=0.0)
    names = [*near, *(name for name in KNOWN_MODELS if name not in near)]
    known = ", ".join(f"{name} ({KNOWN_MODELS[name]})" for name in names)
    return f"unknown model {text!r}; known: {known}, a hub repository (owner/name), or a folder"


def _download(repository: str) -> Path:
    import huggingface_hub
    from huggingface_hub import errors

    try:
        return Path(huggingface_hub.snapshot_download(repository, allow_patterns=_HUB_PATTERNS))
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


def _check(folder: Path) -> None:
    config = read_config(folder)
    thinker = config.get("thinker_config")
    parts = ("audio_config", "text_config")
    if not isinstance(thinker, dict) or any(not isinstance(thinker.get(p), dict) for p in parts):
        kind = config.get("architectures") or config.get("model_type") or "unnamed"
        raise InputError(
            f"{folder / 'config.json'} describes another architecture ({kind}); expected "
            "Qwen3-ASR, with thinker_config.audio_config and thinker_config.text_config"
        )
    if thinker.get("classify_num") or config.get("classify_num"):
        raise InputError(f"{folder} is a forced aligner, not a speech recogniser")
    for name in _TOKENIZER_FILES:
        if not (folder / name).is_file():
            raise InputError(f"{folder} lacks {name}, a file of the tokenizer")
    if not any(folder.glob("*.safetensors")):
        raise InputError(f"{folder} lacks weights: expected model.safetensors or its shards")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = _read_json(index).get("weight_map")
        if not isinstance(shards, dict) or not all(isinstance(s, str) for s in shards.values()):
            raise InputError(f"{index} has no weight_map of tensors to files: fetch it again")
        for shard in sorted(set(shards.values())):
            if not (folder / shard).is_file():
                raise InputError(f"{folder} lacks {shard}, named in {index.name}")


def read_config(folder: Path) -> dict:
    """`config.json` of a checkpoint.

    Raises:
        InputError: it is missing or not a JSON object.
    """
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} lacks config.json; expected the folder of a checkpoint")
    return _read_json(folder / "config.json")


def _read_json(path: Path) -> dict:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} holds {type(value).__name__}, expected a JSON object")
    return value
