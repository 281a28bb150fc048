"""`heads-info`: print, check and compare heads files, and convert the compact list."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..commandline import run, say
from ..errors import InputError
from ..files import output_path
from ..options import ForceOption
from ..wording import counted


def heads_info(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE|NAME]", help="Heads file, or tiny, 0.6b, 1.7b, whisper-base, …"
        ),
    ] = None,
    compare: Annotated[
        str | None, typer.Option(metavar="FILE|NAME", help="Compare with this heads file.")
    ] = None,
    compact: Annotated[
        bool, typer.Option("--compact", help="Print the heads as JSON, [[layer, head], …].")
    ] = False,
    top: Annotated[
        int | None,
        typer.Option(help="How many heads, best first (default 20; with --compact, all)."),
    ] = None,
    from_compact: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Make a heads file of this list, [[layer, head], …]."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="With --from-compact: the model the heads belong to.")
    ] = None,
    num_layers: Annotated[int | None, typer.Option(help="Layers of a model not bundled.")] = None,
    num_heads: Annotated[int | None, typer.Option(help="Heads a layer, likewise.")] = None,
    num_kv_heads: Annotated[int | None, typer.Option(help="K/V heads a layer, likewise.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --from-compact: the file to write.")
    ] = None,
    force: ForceOption = False,
) -> None:
    """Print and check a heads file, compare two, or convert the compact list [[layer, head], …].

    A file that prints is valid: shapes, ranges, duplicates, scores and versions are checked.
    """
    sizes = (num_layers, num_heads, num_kv_heads)
    if from_compact is not None:
        if source is not None or compare is not None or compact:
            raise InputError("--from-compact makes a heads file: give it alone, with --out")
        _convert(from_compact, model, sizes, out, force)
        return
    if out is not None or model is not None or any(size is not None for size in sizes):
        raise InputError("--out, --model and the sizes belong to --from-compact")
    if source is None:
        from .load import BUNDLED_SHOWN

        raise InputError(f"give a heads file, or one of {BUNDLED_SHOWN}")
    if top is not None and top < 1:
        raise InputError(f"--top is {top}, expected 1 or more")
    _print(source, compare, compact, top)


def _print(source: str, compare: str | None, compact: bool, top: int | None) -> None:
    from .compact import compact_text
    from .load import load_heads

    heads = load_heads(source)
    if compact:
        if compare is not None:
            raise InputError("give --compact or --compare, not both")
        print(compact_text(heads.compact if top is None else heads.top(top)))
        return
    from rich.console import Console
    from rich.text import Text

    from .show import shown_comparison, shown_heads

    console = Console(highlight=False)
    terminal = console if console.is_terminal else None
    if terminal is None:
        # A pipe has no width: cut nothing.
        console = Console(highlight=False, width=10_000)
    if compare is not None:
        other = load_heads(compare)
        parts = shown_comparison(heads, other, source, compare, top or 20, terminal)
    else:
        parts = shown_heads(heads, top or 20, terminal)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text))


def _convert(
    path: Path,
    model: str | None,
    sizes: tuple[int | None, int | None, int | None],
    out: Path | None,
    force: bool,
) -> None:
    from .compact import heads_from_compact, read_compact
    from .load import bundled_name, load_heads

    if model is None or out is None:
        raise InputError("--from-compact needs --model NAME and --out FILE")
    output_path(out, force, [path, model])
    layers, heads, kv_heads = sizes
    name = bundled_name(model)
    known = None if name is None else load_heads(name)
    if known is not None:
        layers = known.num_layers if layers is None else layers
        heads = known.num_heads if heads is None else heads
        kv_heads = known.num_kv_heads if kv_heads is None else kv_heads
    if layers is None or heads is None or kv_heads is None:
        raise InputError(
            f"the shape of {model} is not known here; give --num-layers, --num-heads and "
            "--num-kv-heads (num_hidden_layers, num_attention_heads and num_key_value_heads of "
            "the text decoder in its config.json)"
        )
    made = heads_from_compact(
        read_compact(path),
        model=model,
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=kv_heads,
        attention=None if known is None else known.attention,
        source=f"compact list {path.name}",
    )
    made.save(out, overwrite=force)
    say(f"wrote {out}: {counted(len(made.compact), 'head')} of {model}, best first, without scores")


def main() -> None:
    """The entry point of `heads-info`."""
    run(heads_info)
