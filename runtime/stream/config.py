"""The decoder's configuration, decoder_config.json: written by calibrate, read by the decoder.

Knows the contract of the file and where heads come from; nothing of engines or of audio.
"""

from __future__ import annotations

import json
import logging
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from ...errors import InputError
from ...files import check_version, first_fault, json_text, parse_json, read_text, shown, write_text
from ...heads import HeadsFile
from ...heads.load import BUNDLED_SHOWN, bundled_file, bundled_name, load_heads
from ..models.protocol import Aggregate, AlignmentModel
from ..policy.policy import Policy

_log = logging.getLogger(__name__)

SCHEMA_VERSION = 2

_KIND = "decoder configuration"
_USUAL, _USUAL_WHISPER = "0.6b", "whisper-base"
_FOLDER = Path(__file__).parent / "configs"

LEAST_STEP_S = 0.05
"""Less than a frame of any model: more steps would say nothing more."""

LEAST_REFRESH_S, MOST_REFRESH_S = 0.1, 8.0
"""A frame that more audio changes must be read again; what is as old as a window never is."""

_Seconds = Annotated[float, Field(gt=0)]
_Count = Annotated[int, Field(ge=1)]


class DecoderConfig(BaseModel):
    """How a stream is decoded.

    Attributes:
        schema_version: of the file.
        model: the checkpoint it is for.
        language: given to the model; None: detected.
        heads: a heads file, a bundled name, or the list of (layer, head) itself, best first.
        head_count: how many of them are used.
        aggregate: how they give one frame, see `models.protocol.Aggregate`.
        border_fraction: says when a token may be committed, as do `border_s`, `rewind_fraction`,
            `sink_s`, `opening_s`, `doubt_s`, `pause_s`, `unsure_s`, `unseen_nats` and
            `no_speech_probability`: see `Policy`, which also checks them.
        min_audio_s: nothing is decoded or committed before this much audio.
        max_audio_s: when the buffer holds more, audio is dropped from its front.
        step_s: audio between two steps, `LEAST_STEP_S` or more.
        word_margin_s: a word is said to start so much before the frame its first token attended
            to, and to end so much after its last token's.
        max_context_tokens: committed text that stays as context once its audio is gone.
        vad: decode only what is speech; needs the extra of that name.
        reuse: keep what was read of committed text and of older audio, nearly what it would be
            now, for half the compute; only of a family that can.
        refresh_s: then, so much of the audio's end is read again at each step.
        calibration: where the values come from; None: not calibrated.

    Raises:
        ValidationError: from the constructor, a value out of range. `load` and `changed` raise
            an InputError instead.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    schema_version: Annotated[int, Field(ge=1, le=SCHEMA_VERSION)] = SCHEMA_VERSION
    model: Annotated[str, Field(min_length=1)]
    language: str | None = None
    heads: str | tuple[tuple[int, int], ...]
    head_count: _Count
    aggregate: Aggregate = "median"
    border_fraction: float | None = None
    border_s: float | None = None
    rewind_fraction: float | None = Policy.rewind_fraction
    sink_s: float = Policy.sink_s
    opening_s: float = Policy.opening_s
    doubt_s: float = Policy.doubt_s
    pause_s: float = Policy.pause_s
    no_speech_probability: float = Policy.no_speech_probability
    unsure_s: float = Policy.unsure_s
    unseen_nats: float = Policy.unseen_nats
    min_audio_s: _Seconds = Policy.min_audio_s
    max_audio_s: _Seconds = 30.0
    step_s: Annotated[float, Field(ge=LEAST_STEP_S)] = 1.0
    word_margin_s: Annotated[float, Field(ge=0)] = 0.08
    max_context_tokens: Annotated[int, Field(ge=0)] = 200
    vad: bool = False
    reuse: bool = False
    refresh_s: Annotated[float, Field(ge=LEAST_REFRESH_S, le=MOST_REFRESH_S)] = 1.0
    calibration: dict[str, Any] | None = None

    @field_validator("heads", mode="before")
    @classmethod
    def _check_heads(cls, value: Any) -> str | tuple[tuple[int, int], ...]:
        if isinstance(value, Path):
            return str(value)
        if isinstance(value, str) and value.strip():
            return value
        if not isinstance(value, list | tuple) or not value:
            raise ValueError(
                f"heads is {shown(value)}, expected a heads file or a list [[layer, head], …]"
            )
        seen: dict[tuple[int, int], int] = {}
        for index, pair in enumerate(value):
            # A bool is an int to Python, not to the file.
            is_pair = isinstance(pair, list | tuple) and [type(n) for n in pair] == [int, int]
            if not is_pair or min(pair) < 0:
                raise ValueError(f"heads[{index}] is {shown(pair)}, expected [layer, head]")
            if seen.setdefault(tuple(pair), index) != index:
                raise ValueError(f"heads[{index}] is {shown(pair)} again; list each head once")
        return tuple(seen)

    @field_validator("calibration")
    @classmethod
    def _check_calibration(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"calibration holds what JSON cannot: {error}") from error
        return value

    @model_validator(mode="after")
    def _check(self) -> DecoderConfig:
        _ = self.policy  # it checks its values
        if not isinstance(self.heads, str) and self.head_count > len(self.heads):
            raise ValueError(
                f"head_count is {self.head_count}, but heads lists {len(self.heads)}; "
                f"expected {len(self.heads)} or fewer"
            )
        if self.max_audio_s < self.min_audio_s + self.step_s:
            raise ValueError(
                f"max_audio_s is {self.max_audio_s}, expected min_audio_s + step_s = "
                f"{self.min_audio_s + self.step_s} or more"
            )
        return self

    @classmethod
    def load(cls, path: Path | str) -> DecoderConfig:
        """The configuration in the file `path`; a heads file it names is found from its folder.

        Raises:
            InputError: no such file, or not a valid configuration.
        """
        path = Path(path)
        hint = "make one with calibrate, or leave it out for the bundled one"
        text = read_text(path, _KIND, hint)
        content = parse_json(text, path, _KIND)
        if not isinstance(content, dict):
            raise InputError(f"{path} holds {shown(content)}, expected a {_KIND}: a JSON object")
        check_version(content, SCHEMA_VERSION, path)
        try:
            # JSON mode: strict, so that "3" and true are no numbers.
            config = cls.model_validate_json(text, strict=True)
        except ValidationError as error:
            raise InputError(f"{path}: {first_fault(error, cls.model_fields)}") from error
        if config.schema_version < SCHEMA_VERSION:
            config = _upgraded(config, path)
        if isinstance(config.heads, str) and bundled_file(config.heads) is None:
            heads = (path.resolve().parent / config.heads).resolve()
            config = config.model_copy(update={"heads": str(heads)})
        return config

    @classmethod
    def bundled(cls, model: str) -> DecoderConfig:
        """The bundled configuration of `model` ("1.7b", "Qwen/Qwen3-ASR-1.7B", …).

        A size of Whisper without a file of its own has that of `_USUAL_WHISPER`, with all the
        heads of its own heads file.

        Raises:
            InputError: none is bundled: another model's heads would be a guess.
        """
        name = bundled_name(model)
        if name is None:
            raise InputError(
                f"no {_KIND} is bundled for the model {model!r} (bundled: {BUNDLED_SHOWN}); "
                f"find its heads with: discover-heads --model {model}, and make one with: "
                f"calibrate --model {model}"
            )
        path = _FOLDER / f"{name}.json"
        if path.is_file() or not name.startswith("whisper-"):
            return cls.load(path)
        heads = len(load_heads(name).compact)
        usual = cls.load(_FOLDER / f"{_USUAL_WHISPER}.json")
        return usual.changed(model=name, heads=name, head_count=heads)

    @classmethod
    def uncalibrated(cls, model: str, heads: HeadsFile) -> DecoderConfig:
        """What to start from for a `model` of which only a heads file is known.

        The settings are those of the configurations bundled for the released models: with heads
        of cross-attention, of Whisper's.
        """
        name = _USUAL_WHISPER if heads.attention == "cross" else _USUAL
        usual = cls.load(_FOLDER / f"{name}.json")
        count = min(usual.head_count, len(heads.compact))
        return usual.changed(model=model, heads=tuple(heads.top(count)), head_count=count)

    def changed(self, **values: Any) -> DecoderConfig:
        """This configuration with other values. One border given takes the place of the other.

        Raises:
            InputError: an unknown key, or a value out of range.
        """
        for name, other in (("border_s", "border_fraction"), ("border_fraction", "border_s")):
            if values.get(name) is not None:
                values.setdefault(other, None)
        try:
            return DecoderConfig.model_validate({**dict(self), **values})
        except ValidationError as error:
            fault = first_fault(error, DecoderConfig.model_fields)
            raise InputError(fault, arguments=tuple(values)) from error

    def save(self, path: Path | str, *, overwrite: bool = True) -> None:
        """Write JSON to `path`; a failure leaves what was there. `overwrite`: see `replacing`.

        Raises:
            InputError: the file cannot be written.
        """
        borders = ("border_fraction", "border_s")
        absent = {name for name in borders if getattr(self, name) is None}
        content = self.model_dump(mode="json", exclude=absent)
        write_text(path, json_text(content) + "\n", overwrite=overwrite)

    @property
    def policy(self) -> Policy:
        """When a token may be committed."""
        return Policy(**{field.name: getattr(self, field.name) for field in fields(Policy)})

    def resolved(self, model: AlignmentModel, heads: HeadsFile | None = None) -> DecoderConfig:
        """This configuration for a loaded `model`, its `heads` the (layer, head) pairs to use.

        A heads file is read here, and only here.

        Args:
            model: the checkpoint.
            heads: what is in the heads file, where that was read before.

        Raises:
            InputError: the configuration or its heads are for another model, or there are fewer
                heads than `head_count`, or the model takes less audio than `max_audio_s`, or it
                cannot reuse.
        """
        if not _same_model(self.model, model.name):
            raise InputError(
                f"the {_KIND} is for {self.model}, not for {model.name}; make one with: "
                f"calibrate --model {model.name}"
            )
        if self.max_audio_s > model.max_audio_s:
            raise InputError(
                f"max_audio_s is {self.max_audio_s}, but {model.name} takes no more than "
                f"{model.max_audio_s:g} s"
            )
        if self.reuse and not getattr(model, "can_reuse", False):
            raise InputError(
                f"reuse is true, but {model.name} keeps nothing from one step to the next that "
                f"could be: only Qwen3-ASR's models do; set it to false",
                arguments=("reuse",),
            )
        if isinstance(self.heads, str):
            file = heads or load_heads(self.heads)
            file.check_model(model.name, model.num_layers, model.num_heads, model.attention_kind)
            file.check_checkpoint(model.name, lambda: model.fingerprint)
            return self.model_copy(update={"heads": tuple(file.top(self.head_count))})
        for layer, head in self.heads:
            if layer >= model.num_layers or head >= model.num_heads:
                raise InputError(
                    f"the {_KIND} lists layer {layer} head {head}, but {model.name} has "
                    f"{model.num_layers} layers x {model.num_heads} heads; make one with: "
                    f"calibrate --model {model.name}"
                )
        return self.model_copy(update={"heads": self.heads[: self.head_count]})

    @property
    def source_options(self) -> dict[str, Any]:
        """What a model opens a source or a meter with, beside its heads."""
        return {"refresh_s": self.refresh_s} if self.reuse else {}

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The (layer, head) pairs of a `resolved` configuration, best first."""
        if isinstance(self.heads, str):
            raise ValueError("the heads are a file; use `resolved` first")
        return self.heads[: self.head_count]


def _upgraded(config: DecoderConfig, path: Path) -> DecoderConfig:
    """A configuration of schema 1, which had no say in these values, as schema 2 writes it."""
    names = ("sink_s", "opening_s", "doubt_s", "pause_s")
    values = ", ".join(f"{name} {getattr(config, name):g}" for name in names)
    _log.warning(
        "%s has schema_version 1, from before %s could be set: they are %s, as they were",
        path, ", ".join(names), values,
    )  # fmt: skip
    return config.model_copy(update={"schema_version": SCHEMA_VERSION})


def chosen_config(
    model: AlignmentModel,
    config: DecoderConfig | None,
    heads: HeadsFile | None,
    settings: dict[str, Any],
) -> DecoderConfig:
    """What a command decodes a loaded `model` with, `resolved`.

    Args:
        model: the checkpoint.
        config: None: the bundled one; where only the heads are known, the defaults.
        heads: a heads file that was read, in place of the configuration's own.
        settings: values that come before the configuration's own.

    Raises:
        InputError: nothing is bundled for the model, or the heads or a value do not fit it.
    """
    if config is None and heads is not None and bundled_name(model.name) is None:
        # No configuration is bundled, but the heads are known: the defaults for the rest.
        config = DecoderConfig.uncalibrated(model.name, heads)
    elif config is None:
        config = DecoderConfig.bundled(model.name)
    if heads is not None:
        heads.check_model(model.name, model.num_layers, model.num_heads, model.attention_kind)
        heads.check_checkpoint(model.name, lambda: model.fingerprint)
        count = min(config.head_count, len(heads.compact))
        config = config.changed(heads=tuple(heads.top(count)), head_count=count)
    return config.changed(**settings).resolved(model)


def _same_model(first: str, second: str) -> bool:
    """Both name one model: "0.6b" and "Qwen/Qwen3-ASR-0.6B"; "models/mine/" and its folder."""
    one, other = (name.casefold().rstrip("/\\") for name in (first, second))
    released = bundled_name(one)
    if one == other or (released is not None and released == bundled_name(other)):
        return True
    # The name of a checkpoint read from a folder is the folder's alone.
    return one.split("/")[-1] == other
