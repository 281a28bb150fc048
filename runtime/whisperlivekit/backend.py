"""The names of the backend and of its models, as the server and its sessions give them."""

from __future__ import annotations

import logging

_log = logging.getLogger(__name__)

BACKEND = "qwen3-mlx-simul"

# As WhisperLiveKit's own backends of Qwen3-ASR have them; "tiny" is the checkpoint bundled here.
_SIZES = {
    **dict.fromkeys(("base", "small"), "0.6b"),
    **dict.fromkeys(("medium", "large", "large-v3"), "1.7b"),
}


def model_called(name: str) -> str:
    """The model that a name given to the server means, said where it is one of Whisper's sizes."""
    size = _SIZES.get(name.strip().lower())
    if size is None:
        return name
    _log.info(
        f"the model {name} is Qwen3-ASR {size.upper()}, as in WhisperLiveKit's backends of "
        f"Qwen3-ASR; Whisper's is called whisper-{name.lower()}"
    )
    return size
