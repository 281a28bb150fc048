"""The decoder's configuration, decoder_config.json: written by calibrate, read by the decoder.

Knows the contract of the file and where heads come from; nothing of engines or of audio.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from ...errors import InputError
from ...files import check_version, first_fault, json_text, parse_json, read_text, replacing, shown
from ...heads.load import BUNDLED, bundled_name, load_heads
from ..models.qwen3.clock import FRAMES_PER_SECOND
from ..policy.policy import Policy

SCHEMA_VERSION = 1

_KIND = "decoder configuration"
_USUAL_HEADS, _USUAL_BORDER_S = 20, 0.5
_FOLDER = Path(__file__).parent / "configs"

_Fraction = Annotated[float, Field(gt=0, lt=1)]
_Seconds = Annotated[float, Field(gt=0)]
_Count = Annotated[int, Field(ge=1)]


class _ModelShape(Protocol):
    """What a configuration must know of a loaded checkpoint."""

    @property
    def name(self) -> str: ...
    @property
    def num_layers(self) -> int: ...
    @property
    def num_heads(self) -> int: ...


class DecoderConfig(BaseModel):
    """How a stream is decoded.

    Attributes:
        schema_version: of the file.
        model: the checkpoint it is for.
        language: given to the model; None: detected.
        heads: a heads file, a bundled name, or the list of (layer, head) itself, best first.
        head_count: how many of them are used.
        aggregate: see `Policy`, as for the next three.
        border_fraction: this or
        border_s: this, in seconds.
        rewind_fraction: None: off.
        min_audio_s: nothing is decoded or committed before this much audio.
        max_audio_s: past this, the front of the buffer goes.
        step_s: audio between two steps.
        word_margin_s: a word is said to start so much before the frame its first token attended
            to, and to end so much after its last token's.
        max_context_tokens: committed text that stays as context once its audio is gone.
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
    aggregate: Literal["median", "mean"] = "median"
    border_fraction: _Fraction | None = None
    border_s: _Seconds | None = None
    rewind_fraction: _Fraction | None = 0.12
    min_audio_s: _Seconds = 0.5
    max_audio_s: _Seconds = 30.0
    step_s: _Seconds = 1.0
    word_margin_s: Annotated[float, Field(ge=0)] = 0.08
    max_context_tokens: Annotated[int, Field(ge=0)] = 200
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
        if (self.border_fraction is None) == (self.border_s is None):
            given = "both are" if self.border_s is not None else "neither is"
            raise ValueError(f"expected border_fraction or border_s, and {given} given")
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
        if isinstance(config.heads, str) and config.heads.lower() not in BUNDLED:
            heads = (path.resolve().parent / config.heads).resolve()
            config = config.model_copy(update={"heads": str(heads)})
        return config

    @classmethod
    def bundled(cls, model: str) -> DecoderConfig:
        """The bundled configuration of `model` ("1.7b", "Qwen/Qwen3-ASR-1.7B", …).

        Raises:
            InputError: none is bundled: another model's heads would be a guess.
        """
        name = bundled_name(model)
        if name is None:
            raise InputError(
                f"no {_KIND} is bundled for the model {model!r} (bundled: {', '.join(BUNDLED)}); "
                f"find its heads with: discover-heads --model {model}, and make one with: "
                f"calibrate --model {model}"
            )
        return cls.load(_FOLDER / f"{name}.json")

    @classmethod
    def uncalibrated(cls, model: str, heads: str, listed: int) -> DecoderConfig:
        """What to start from for a `model` of which only a heads file is known.

        The border and the count of heads of the bundled configurations of the real models.

        Args:
            model: the checkpoint.
            heads: its heads file.
            listed: the heads that it lists.
        """
        count = min(_USUAL_HEADS, listed)
        return cls(model=model, heads=heads, head_count=count, border_s=_USUAL_BORDER_S)

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
            raise InputError(first_fault(error, DecoderConfig.model_fields)) from error

    def save(self, path: Path | str) -> None:
        """Write JSON to `path`; a failure leaves what was there.

        Raises:
            InputError: the file cannot be written.
        """
        borders = ("border_fraction", "border_s")
        absent = {name for name in borders if getattr(self, name) is None}
        content = self.model_dump(mode="json", exclude=absent)
        with replacing(Path(path)) as temporary:
            temporary.write_text(json_text(content) + "\n", encoding="utf-8")

    @property
    def policy(self) -> Policy:
        """When a token may be committed."""
        return Policy(
            border_fraction=self.border_fraction,
            border_s=self.border_s,
            rewind_fraction=self.rewind_fraction,
            aggregate=self.aggregate,
            min_frames=int(self.min_audio_s * FRAMES_PER_SECOND),
        )

    def chosen_heads(self, model: _ModelShape) -> list[tuple[int, int]]:
        """The (layer, head) pairs to use, best first, for a loaded `model`.

        Raises:
            InputError: the configuration or its heads are for another model, or there are fewer
                heads than `head_count`.
        """
        if not _same_model(self.model, model.name):
            raise InputError(
                f"the {_KIND} is for {self.model}, not for {model.name}; make one with: "
                f"calibrate --model {model.name}"
            )
        if isinstance(self.heads, str):
            heads = load_heads(self.heads)
            heads.check_model(model.name, model.num_layers, model.num_heads)
            return heads.top(self.head_count)
        for layer, head in self.heads:
            if layer >= model.num_layers or head >= model.num_heads:
                raise InputError(
                    f"the {_KIND} lists layer {layer} head {head}, but {model.name} has "
                    f"{model.num_layers} layers x {model.num_heads} heads; make one with: "
                    f"calibrate --model {model.name}"
                )
        return list(self.heads[: self.head_count])


def chosen_config(
    model: _ModelShape,
    config: DecoderConfig | None,
    heads: str | None,
    settings: dict[str, Any],
) -> DecoderConfig:
    """What a command decodes a loaded `model` with.

    Args:
        model: the checkpoint.
        config: None: the bundled one; where only the heads are known, the defaults.
        heads: a heads file or a bundled name, in place of the configuration's.
        settings: values that come before the configuration's own.

    Raises:
        InputError: nothing is bundled for the model, or the heads or a value do not fit it.
    """
    settings = dict(settings)
    file = load_heads(heads) if heads is not None else None
    if config is None and file is not None and bundled_name(model.name) is None:
        # No configuration is bundled, but the heads are known: the defaults for the rest.
        config = DecoderConfig.uncalibrated(model.name, str(heads), len(file.compact))
    elif config is None:
        config = DecoderConfig.bundled(model.name)
    if heads is not None and file is not None:
        settings["heads"] = heads
        settings["head_count"] = min(config.head_count, len(file.compact))
    config = config.changed(**settings)
    config.chosen_heads(model)
    return config


def _same_model(first: str, second: str) -> bool:
    """Both name one model: "0.6b" and "Qwen/Qwen3-ASR-0.6B"; "models/mine/" and its folder."""
    one, other = (name.casefold().rstrip("/\\") for name in (first, second))
    released = bundled_name(one)
    if one == other or (released is not None and released == bundled_name(other)):
        return True
    # The name of a checkpoint read from a folder is the folder's alone.
    return one.split("/")[-1] == other
