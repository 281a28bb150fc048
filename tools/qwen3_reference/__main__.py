"""Make the references of tests/qwen3_reference, each in an environment of its own.

python -m tools.qwen3_reference original|native|mlx|vocabulary --work FOLDER
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from .kept import ROOT


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", choices=("original", "native", "mlx", "vocabulary"))
    parser.add_argument("--work", type=Path, required=True, help="folder for the checkpoints")
    parser.add_argument("--out", type=Path, default=ROOT / "tests" / "qwen3_reference")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    import_module(f".{args.which}", __package__).main(args.out, args.work / args.which)


if __name__ == "__main__":
    main()
