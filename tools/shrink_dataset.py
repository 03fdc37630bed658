# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A copy of a dataset whose images and masks are square and small, for a machine that takes little.

``python tools/shrink_dataset.py DIR OUT --size 350``

The network scales its input to a square anyway: what it sees is nearly the same, and scores are then on this grid
instead of that of the original images. The lists of ``anns`` are copied as they are, so splits and prompts stay.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from tqdm import tqdm

__all__ = ["main", "shrink"]


def shrink(source: Path, target: Path, size: int) -> int:
    """Copy ``images`` (bilinear), ``masks`` (nearest) and ``anns``.

    Args:
        source: folder of the dataset.
        target: folder of the copy; made if needed.
        size: pixels of a side.

    Returns:
        How many images were copied.
    """
    shutil.copytree(source / "anns", target / "anns", dirs_exist_ok=True)
    files = [(kind, file) for kind in ("images", "masks") for file in sorted((source / kind).iterdir())]
    for kind, file in tqdm(files, unit="image"):
        (target / kind).mkdir(parents=True, exist_ok=True)
        how = Image.Resampling.BILINEAR if kind == "images" else Image.Resampling.NEAREST
        with Image.open(file) as image:
            image.resize((size, size), how).save(target / kind / file.name, optimize=True)
    return sum(kind == "images" for kind, _ in files)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--size", type=int, default=350, help="pixels of a side")
    options = parser.parse_args(argv)
    if not (options.source / "anns").is_dir():
        parser.error(f"{options.source} has no folder anns: give the folder of a dataset as docs/datasets.md makes it")
    print(f"{shrink(options.source, options.target, options.size)} images in {options.target}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
