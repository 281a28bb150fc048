"""mlx-audio: its conversions of the tiny checkpoint, quantised in each way that it knows."""

from __future__ import annotations

import json
from pathlib import Path

from mlx_audio.convert import convert

from .kept import layout_of

QUANTISATIONS = {
    **{f"MLX {bits} bits": {"q_bits": bits, "q_group_size": 64} for bits in (2, 3, 4, 5, 6, 8)},
    "MLX 4 bits, groups of 32": {"q_bits": 4, "q_group_size": 32},
    **{f"MLX {mode}": {"q_mode": mode} for mode in ("mxfp4", "mxfp8", "nvfp4")},
    **{f"MLX {name}": {"quant_predicate": name} for name in ("mixed_3_6", "mixed_4_6")},
}


def main(out: Path, work: Path) -> None:
    """Write mlx.json into `out`; `work` has the original checkpoint beside it."""
    source = work.parent / "original" / "original"
    layouts = {}
    folder = work / "whole"
    convert(str(source), str(folder), dtype="float16", model_domain="stt")
    layouts["MLX"] = layout_of(folder)
    for name, settings in QUANTISATIONS.items():
        folder = work / name.replace(", ", "-").replace(" ", "-")
        convert(
            str(source), str(folder), quantize=True, dtype="float16", model_domain="stt", **settings
        )
        layouts[name] = layout_of(folder)
    for layout in layouts.values():
        # The rest is the original's.
        config = layout["configs"]["config.json"]
        layout["configs"] = {"quantization": config.get("quantization")}
    (out / "mlx.json").write_text(json.dumps({"layouts": layouts}, indent=1) + "\n")
