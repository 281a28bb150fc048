"""Make the bundled heads files of Whisper from the masks that OpenAI published.

    pip download --no-deps openai-whisper==20250625
    python -m tools.whisper_heads openai_whisper-20250625.tar.gz

The masks are read in `whisper/__init__.py` of that archive; nothing of it is installed or run.
"""

from __future__ import annotations

import argparse
import ast
import base64
import gzip
import re
import tarfile
from pathlib import Path

import numpy as np

from alignheads.heads.compact import heads_from_compact
from alignheads.heads.schema import HeadsFile

BUNDLED = Path(__file__).parents[2] / "heads" / "bundled"

# Layers and heads of the text decoder.
SHAPES = {
    r"tiny(\.en)?": (4, 6),
    r"base(\.en)?": (6, 8),
    r"small(\.en)?": (12, 12),
    r"medium(\.en)?": (24, 16),
    r"large-v\d": (32, 20),
    r"large-v3-turbo": (4, 20),
}
ALIASES = {"large", "turbo"}
# Where a model's repository on the hub has another name.
REPOSITORIES = {"large-v1": "openai/whisper-large"}

SOURCE = (
    "OpenAI's mask of the cross-attention heads that are 'highly correlated to the word-level "
    "timing', decoded from {release} (whisper/__init__.py, _ALIGNMENT_HEADS[{model!r}]; MIT "
    "licence). It was published without scores, clips or a method. The heads are listed by layer "
    "and head: the order says nothing of their worth. Not measured here."
)


def published_masks(archive: Path) -> dict[str, bytes]:
    """{model: mask}, as they stand in the source archive of openai-whisper."""
    with tarfile.open(archive) as files:
        for member in files:
            if member.isfile() and Path(member.name).parts[1:] == ("whisper", "__init__.py"):
                module = ast.parse(files.extractfile(member).read())
                break
        else:
            raise SystemExit(f"{archive} has no whisper/__init__.py")
    for statement in module.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="_ALIGNMENT_HEADS")], value=masks):
                return ast.literal_eval(masks)
    raise SystemExit(f"{archive}: whisper/__init__.py has no _ALIGNMENT_HEADS")


def decoded(mask: bytes, model: str) -> np.ndarray:
    """[layers, heads] bool, of base85 of gzip of a byte for each head."""
    shapes = [shape for name, shape in SHAPES.items() if re.fullmatch(name, model)]
    if not shapes:
        raise SystemExit(f"the shape of {model} is not known here; add it to SHAPES")
    flat = np.frombuffer(gzip.decompress(base64.b85decode(mask)), dtype=bool)
    layers, heads = shapes[0]
    if flat.size != layers * heads:
        raise SystemExit(
            f"the mask of {model} is of {flat.size} heads, expected {layers} x {heads}"
        )
    return flat.reshape(layers, heads)


def heads_file(mask: np.ndarray, model: str, release: str) -> HeadsFile:
    """The heads file of a mask, its heads in the order of the mask."""
    layers, heads = mask.shape
    return heads_from_compact(
        [(int(layer), int(head)) for layer, head in np.argwhere(mask)],
        model=REPOSITORIES.get(model, f"openai/whisper-{model}"),
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=heads,
        attention="cross",
        source=SOURCE.format(release=release, model=model),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="openai_whisper-VERSION.tar.gz")
    parser.add_argument("--out", type=Path, default=BUNDLED, help="folder of the heads files")
    arguments = parser.parse_args()
    release = arguments.archive.name.removesuffix(".tar.gz").replace("_", "-")
    masks = published_masks(arguments.archive)
    for model in sorted(masks.keys() - ALIASES):
        file = heads_file(decoded(masks[model], model), model, release)
        path = arguments.out / f"whisper-{model}.json"
        file.save(path)
        print(f"{path.name}: {len(file.compact)} heads of {file.num_layers} x {file.num_heads}")


if __name__ == "__main__":
    main()
