"""Write a Qwen3-ASR checkpoint of the real shapes with random weights, in the hub's layout.

    python benchmarks/full_size.py --size 1.7b --out DIR --plant 14,5

Loading, memory and speed at full size can so be measured without the real weights. With
`--plant LAYER,HEAD` one head is made to follow the audio, and `DIR/clips` holds audio and
word times that fit it, for `discover-heads --text reference` to find.

What is planted is positional, not learned: random encoders carry no time that a weight could
read. Every position gets the same number in one channel of the residual stream, the head's
query and its key are read from that channel alone, so both are constant vectors, and the
query is turned by the rotary angles of one distance. The score then peaks at the key that
many positions back. A token's query so attends one frame further than the one before it, as
a speaker of 13 bytes a second would have it, for audio of the length it was planted for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import numpy as np
import typer

from alignheads.commandline import run, say
from alignheads.corpora.audio import SAMPLE_RATE
from alignheads.errors import InputError

if TYPE_CHECKING:
    import mlx.core as mx
    from mlx_qwen3_asr.config import Qwen3ASRConfig

SPECIAL_TOKENS = {
    151643: "<|endoftext|>", 151644: "<|im_start|>", 151645: "<|im_end|>",
    151669: "<|audio_start|>", 151670: "<|audio_end|>", 151676: "<|audio_pad|>",
    151704: "<asr_text>",
}  # fmt: skip
LANGUAGES = (
    "Chinese", "English", "Cantonese", "Arabic", "German", "French", "Spanish", "Portuguese",
    "Indonesian", "Italian", "Korean", "Russian", "Thai", "Vietnamese", "Japanese", "Turkish",
    "Hindi", "Malay", "Dutch", "Swedish", "Danish", "Finnish", "Polish", "Czech", "Filipino",
    "Persian", "Greek", "Romanian", "Hungarian", "Macedonian",
)  # fmt: skip
FRAMES_PER_SECOND = 13
_BLOCK = 1 << 24
_LETTERS = 4
_SLOWEST_TURN = 0.01  # radians a position; slower ones tell near positions apart no more


@dataclass(frozen=True)
class Plant:
    """The head to plant, and the length of the audio it is planted for."""

    layer: int
    head: int
    seconds: int


def shapes(size: str, layers: int | None = None, width: int | None = None) -> Qwen3ASRConfig:
    """The shapes of `0.6b` or `1.7b`; `layers` and `width` shrink both halves, for tests.

    Raises:
        InputError: another size, or a width that is no multiple of 64.
    """
    from mlx_qwen3_asr.config import Qwen3ASRConfig

    makers = {"0.6b": Qwen3ASRConfig.for_0_6b, "1.7b": Qwen3ASRConfig.for_1_7b}
    if size not in makers:
        raise InputError(f"unknown size {size!r}; known: {', '.join(makers)}")
    config = makers[size]()
    audio, text = config.audio_config, config.text_config
    text = replace(
        text,
        rope_scaling={
            "mrope_section": [24, 20, 20],
            "mrope_interleaved": True,
            "rope_type": "default",
        },
    )
    if layers is not None:
        audio, text = replace(audio, encoder_layers=layers), replace(text, num_hidden_layers=layers)
    if width is not None:
        if width < 64 or width % 64:
            raise InputError(f"--width is {width}; expected a multiple of 64")
        audio = replace(audio, d_model=width, output_dim=width, encoder_ffn_dim=width,
                        encoder_attention_heads=4, downsample_hidden_size=16)  # fmt: skip
        text = replace(text, hidden_size=width, intermediate_size=width)
    return replace(config, audio_config=audio, text_config=text, support_languages=list(LANGUAGES))


def write_config(config: Qwen3ASRConfig, folder: Path) -> None:
    """`config.json`, as the hub has it."""
    content = {
        "architectures": ["Qwen3ASRForConditionalGeneration"],
        "model_type": "qwen3_asr",
        "support_languages": config.support_languages,
        "thinker_config": {
            "audio_config": asdict(config.audio_config),
            "text_config": asdict(config.text_config),
            "audio_token_id": config.audio_token_id,
            "audio_start_token_id": config.audio_start_token_id,
            "audio_end_token_id": config.audio_end_token_id,
            "user_token_id": config.user_token_id,
            "dtype": "bfloat16",
        },
    }
    (folder / "config.json").write_text(json.dumps(content, indent=1))


def write_tokenizer(folder: Path) -> None:
    """A byte-level tokenizer of the real size: the 256 bytes, filler words, no merges.

    Text becomes one token a byte. The special tokens have their real ids.
    """
    # The order of the bytes in every byte-level BPE since GPT-2: printable ones first.
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    letters = [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(rest))]
    filler = [f"\u0120w{i}" for i in range(len(letters), min(SPECIAL_TOKENS))]
    vocabulary = {token: i for i, token in enumerate([*letters, *filler])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokens = {
        str(i): {"content": token, "special": token != "<asr_text>"}
        for i, token in SPECIAL_TOKENS.items()
    }
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "added_tokens_decoder": tokens,
                "eos_token": "<|im_end|>",
                "unk_token": "<|endoftext|>",
            },
            indent=1,
        )
    )


def tensor_shapes(config: Qwen3ASRConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes as on the hub: `thinker.` before each, convolutions as PyTorch has them.

    Taken from the engine's own module, whose parameters are lazy: none is computed.
    """
    from mlx.utils import tree_flatten
    from mlx_qwen3_asr.model import Qwen3ASRModel

    found: dict[str, tuple[int, ...]] = {}
    parameters = cast(
        "list[tuple[str, mx.array]]", tree_flatten(Qwen3ASRModel(config).parameters())
    )
    for name, array in parameters:
        if name == "lm_head.weight" and config.text_config.tie_word_embeddings:
            continue
        shape = tuple(array.shape)
        if "conv2d" in name and len(shape) == 4:
            out, height, width, inputs = shape
            shape = (out, inputs, height, width)
        found[f"thinker.{name}"] = shape
    return found


def random_tensor(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """float32: norms 1, biases 0, weights uniform with variance 1 / fan-in (embeddings 0.02^2)."""
    if name.endswith(".bias"):
        return np.zeros(shape, np.float32)
    if len(shape) == 1:
        return np.ones(shape, np.float32)
    deviation = 0.02 if "embed_tokens" in name else np.prod(shape[1:]) ** -0.5
    flat = np.empty(int(np.prod(shape)), np.float32)
    for start in range(0, len(flat), _BLOCK):
        rng.random(out=flat[start : start + _BLOCK], dtype=np.float32)
    flat -= 0.5
    flat *= deviation * 12**0.5
    return flat.reshape(shape)


def planter(
    config: Qwen3ASRConfig, plant: Plant, distance: int
) -> Callable[[str, np.ndarray], None]:
    """A function that edits a tensor in place, by its name, where planting concerns it.

    Args:
        config: the shapes.
        plant: the head.
        distance: positions from a query back to the key it shall attend to.
    """
    text = config.text_config
    half, dim = text.head_dim // 2, text.head_dim
    turns = text.rope_theta ** (-np.arange(half) / half)
    used = (turns >= _SLOWEST_TURN).astype(np.float32)
    key = np.concatenate([used, np.zeros(half)])
    query = np.concatenate([used * np.cos(distance * turns), -used * np.sin(distance * turns)])
    kv_head = plant.head * text.num_key_value_heads // text.num_attention_heads
    attention = f"thinker.model.layers.{plant.layer}.self_attn"

    def edit(name: str, tensor: np.ndarray) -> None:
        if name == "thinker.model.embed_tokens.weight":
            tensor[:, 0] = 0.02
        elif name == "thinker.audio_tower.proj2.weight":
            tensor[0] = 0
        elif name == "thinker.audio_tower.proj2.bias":
            tensor[0] = 0.02
        elif name.startswith("thinker.model.layers.") and name.endswith(
            ("o_proj.weight", "down_proj.weight")
        ):
            tensor[0] = 0  # no layer writes to the channel
        elif name == f"{attention}.q_proj.weight":
            tensor[plant.head * dim : (plant.head + 1) * dim] = 0
            tensor[plant.head * dim : (plant.head + 1) * dim, 0] = query
        elif name == f"{attention}.k_proj.weight":
            tensor[kv_head * dim : (kv_head + 1) * dim] = 0
            tensor[kv_head * dim : (kv_head + 1) * dim, 0] = key

    return edit


def planted_distance(folder: Path, seconds: int) -> int:
    """Positions from the last of the prompt back to the first audio frame, language given."""
    from alignheads.runtime.models.qwen3.vocabulary import Vocabulary

    prompt = Vocabulary(folder).prompt(seconds * FRAMES_PER_SECOND, "English")
    return len(prompt.ids) - 1 - prompt.audio_start


def write_weights(
    config: Qwen3ASRConfig,
    folder: Path,
    seed: int,
    edit: Callable[[str, np.ndarray], None] | None,
    shard_bytes: int,
) -> None:
    """bfloat16 shards and their index; one shard is in memory at a time."""
    from alignheads.runtime.models.backend import mx

    wanted = tensor_shapes(config)
    shards = list(_shards(wanted, shard_bytes))
    weight_map = {}
    for number, names in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        tensors = {}
        for name in names:
            rng = np.random.default_rng([seed, *name.encode()])
            tensor = random_tensor(name, wanted[name], rng)
            if edit is not None:
                edit(name, tensor)
            tensors[name] = mx.array(tensor).astype(mx.bfloat16)
            mx.eval(tensors[name])
            weight_map[name] = file
        mx.save_safetensors(str(folder / file), tensors, metadata={"format": "pt"})
        say(f"wrote {folder / file}")
    total = 2 * sum(int(np.prod(shape)) for shape in wanted.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))


def _shards(wanted: dict[str, tuple[int, ...]], shard_bytes: int) -> Iterator[list[str]]:
    names: list[str] = []
    size = 0
    for name, shape in wanted.items():
        more = 2 * int(np.prod(shape))
        if names and size + more > shard_bytes:
            yield names
            names, size = [], 0
        names.append(name)
        size += more
    yield names


def write_clips(folder: Path, clips: int, seconds: int, seed: int) -> Path:
    """Noise with evenly spaced words of four letters, 13 bytes a second; returns the manifest."""
    import soundfile

    rng = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    lines = []
    for clip in range(clips):
        words = []
        step = _LETTERS + 1
        for first in range(0, seconds * FRAMES_PER_SECOND - _LETTERS, step):
            letters = "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), _LETTERS))
            start_s, end_s = first / FRAMES_PER_SECOND, (first + _LETTERS) / FRAMES_PER_SECOND
            words.append([letters, start_s, end_s])
        samples = 0.1 * rng.standard_normal(seconds * SAMPLE_RATE)
        soundfile.write(folder / f"clip-{clip}.wav", samples, SAMPLE_RATE, subtype="PCM_16")
        lines.append(
            {
                "audio_filepath": f"clip-{clip}.wav",
                "text": " ".join(word[0] for word in words),
                "duration": seconds,
                "language": "English",
                "words": words,
            }
        )
    manifest = folder / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return manifest


def parse_plant(text: str, seconds: int, config: Qwen3ASRConfig) -> Plant:
    """`LAYER,HEAD`.

    Raises:
        InputError: it is not two numbers, or the model has no such head.
    """
    text_config = config.text_config
    try:
        layer, head = map(int, text.split(","))
    except ValueError:
        raise InputError(f"--plant is {text!r}; expected LAYER,HEAD, such as 14,5") from None
    layers, heads = text_config.num_hidden_layers, text_config.num_attention_heads
    if not (0 <= layer < layers and 0 <= head < heads):
        raise InputError(f"--plant is {text!r}; the model has {layers} layers of {heads} heads")
    return Plant(layer, head, seconds)


def full_size(
    out: Annotated[Path, typer.Option(help="folder to write, new or empty")],
    size: Annotated[str, typer.Option(help="0.6b or 1.7b")] = "0.6b",
    seed: Annotated[int, typer.Option(help="of the weights and clips")] = 0,
    plant: Annotated[str | None, typer.Option(help="LAYER,HEAD to make follow the audio")] = None,
    clips: Annotated[int, typer.Option(help="clips to write into OUT/clips")] = 2,
    seconds: Annotated[int, typer.Option(help="length of each clip")] = 15,
    layers: Annotated[int | None, typer.Option(help="fewer layers, for tests")] = None,
    width: Annotated[int | None, typer.Option(help="a narrower model, for tests")] = None,
    shard_megabytes: Annotated[int, typer.Option(help="largest shard")] = 1000,
) -> None:
    """Write a random Qwen3-ASR checkpoint of the real shapes, and clips to measure it on."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out} is not an empty folder; give a new one")
    if clips < 1 or seconds < 1:
        raise InputError(f"--clips {clips} and --seconds {seconds}: expected 1 or more of each")
    config = shapes(size, layers, width)
    planted = parse_plant(plant, seconds, config) if plant else None
    out.mkdir(parents=True, exist_ok=True)
    write_config(config, out)
    write_tokenizer(out)
    edit = planter(config, planted, planted_distance(out, seconds)) if planted else None
    write_weights(config, out, seed, edit, shard_megabytes * 1_000_000)
    manifest = write_clips(out / "clips", clips, seconds, seed)
    say(f"wrote {out} and {manifest}")


if __name__ == "__main__":
    run(full_size)
