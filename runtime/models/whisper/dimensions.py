"""The sizes of a Whisper model, from the checkpoint: its config for heads, its tensors for all else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ....errors import InputError

_LAYER = re.compile(r"(encoder|decoder)\.blocks\.(\d+)\.")


@dataclass(frozen=True)
class Dimensions:
    """Sizes by OpenAI's names, `audio` for the encoder and `text` for the decoder.

    Attributes:
        n_mels: bands of the spectrogram.
        n_audio_ctx: audio frames that the encoder can take.
        n_audio_state, n_text_state: widths.
        n_audio_head, n_text_head: heads of a layer.
        n_audio_layer, n_text_layer: layers.
        n_vocab: tokens.
        n_text_ctx: positions of text that the decoder can take.
    """

    n_mels: int
    n_audio_ctx: int
    n_audio_state: int
    n_audio_head: int
    n_audio_layer: int
    n_vocab: int
    n_text_ctx: int
    n_text_state: int
    n_text_head: int
    n_text_layer: int


_AUDIO_CONTEXT = 1500
# By OpenAI's names and by transformers'. How many heads there are is in no tensor.
_FROM_CONFIG = {
    "n_audio_ctx": ("n_audio_ctx", "max_source_positions"),
    "n_audio_head": ("n_audio_head", "encoder_attention_heads"),
    "n_text_head": ("n_text_head", "decoder_attention_heads"),
}


def dimensions(
    config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], where: str
) -> Dimensions:
    """The sizes of the tensors of `shapes`, by mlx-whisper's names, with a config.json.

    Raises:
        InputError: a tensor or a key is missing, or widths do not divide into heads.
    """
    layers = {"encoder": 0, "decoder": 0}
    for name in shapes:
        if found := _LAYER.match(name):
            layers[found[1]] = max(layers[found[1]], int(found[2]) + 1)
    given = {key: _number(config, names, where) for key, names in _FROM_CONFIG.items()}
    try:
        n_audio_state, _, n_mels = shapes["encoder.conv1.weight"]
        n_vocab = shapes["decoder.token_embedding.weight"][0]
        n_text_ctx, n_text_state = shapes["decoder.positional_embedding"]
    except KeyError as error:
        named = ", ".join(sorted(shapes)[:4])
        raise InputError(
            f"the weights in {where} lack the tensor {error.args[0]} of Whisper; they have {named}, …: "
            "another layout than OpenAI's, mlx-whisper's or transformers'"
        ) from error
    found = Dimensions(
        n_mels=n_mels,
        n_audio_state=n_audio_state,
        n_audio_layer=layers["encoder"],
        n_vocab=n_vocab,
        n_text_ctx=n_text_ctx,
        n_text_state=n_text_state,
        n_text_layer=layers["decoder"],
        **given,
    )
    for width, heads in (
        (found.n_audio_state, found.n_audio_head),
        (found.n_text_state, found.n_text_head),
    ):
        if width % heads:
            raise InputError(f"{where}: {heads} heads do not divide a width of {width}")
    return found


def _number(config: Mapping[str, Any], names: tuple[str, ...], where: str) -> int:
    for name in names:
        value = config.get(name)
        if type(value) is int and value > 0:
            return value
    if names[0] == "n_audio_ctx":
        return _AUDIO_CONTEXT
    raise InputError(f"config.json in {where} has no {' or '.join(names)}, a number of heads")
