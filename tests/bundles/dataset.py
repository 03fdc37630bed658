# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A dataset that is made in a second: bright squares on dark images, two structures per image."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

LEFT, RIGHT = "left polyp", "right polyp"


def write_dataset(folder: Path, train: int = 5, val: int = 2, grow: int = 4) -> Path:
    """Write ``train.json`` and ``val.json`` with images each of which is ``grow`` pixels higher than the last."""
    generator = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for split, count in (("train", train), ("val", val)):
        rows = [_write_image(folder, f"{split}_{index}", 40 + grow * index, generator) for index in range(count)]
        (folder / f"{split}.json").write_text(json.dumps(rows))
    return folder


def _write_image(folder: Path, name: str, height: int, generator: np.random.Generator) -> dict[str, object]:
    width, edge = 48, int(generator.integers(8, 16))
    image = generator.integers(0, 60, (height, width, 3), dtype=np.uint8)
    structures = []
    for prompt, column in ((LEFT, 4), (RIGHT, 28)):
        mask = np.zeros((height, width), np.uint8)
        mask[10 : 10 + edge, column : column + edge] = 255
        image[mask > 0] = 200
        file = f"masks/{name}_{prompt.split()[0]}.png"
        Image.fromarray(mask).save(folder / file)
        structures.append({"mask": file, "prompt": {"p1": prompt, "p2": [f"small {prompt}", f"one {prompt}"]}})
    Image.fromarray(image).save(folder / f"images/{name}.png")
    return {"image": f"images/{name}.png", "structures": structures}


def break_dataset(folder: Path) -> list[str]:
    """Break five files; returns the names that the error must list."""
    masks = sorted((folder / "masks").iterdir())
    masks[0].unlink()
    Image.new("L", (5, 5)).save(masks[1])
    masks[2].write_bytes(masks[2].read_bytes()[:60])
    Image.fromarray((np.arange(48 * 44).reshape(44, 48) % 256).astype(np.uint8)).save(masks[3])
    image = sorted((folder / "images").iterdir())[-1]
    image.write_bytes(b"")
    return [*(path.name for path in masks[:4]), image.name]
