# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Where the panels of a page lie: blocks that are put together pass that on, and the PNG of the page keeps it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

__all__ = ["cut_panel", "named_panel", "pass_on", "places_of"]

_KEY = "monai_vlsm panels"
Places = dict[str, tuple[int, int, int, int]]  # left, top, right, bottom


def named_panel(pixels: np.ndarray, name: str) -> Image.Image:
    """A panel, uint8 ``(rows, columns, 3)``, that can be found on the page by its name."""
    image = Image.fromarray(pixels)
    image.info[_KEY] = {name: (0, 0, image.width, image.height)}
    return image


def pass_on(block: Image.Image, page: Image.Image, left: int, top: int) -> None:
    """Note on a page where the panels of a block lie that was pasted there."""
    moved = {name: (x + left, y + top, z + left, w + top) for name, (x, y, z, w) in block.info.get(_KEY, {}).items()}
    if moved:
        page.info[_KEY] = page.info.get(_KEY, {}) | moved


def places_of(page: Image.Image) -> PngImagePlugin.PngInfo:
    """What the PNG of a page says of its panels."""
    found = PngImagePlugin.PngInfo()
    if page.info.get(_KEY):
        found.add_text(_KEY, json.dumps(page.info[_KEY]))
    return found


def cut_panel(file: Path, name: str) -> Image.Image | None:
    """One panel out of the PNG of a page; None where it has none of that name."""
    with Image.open(file) as page:
        try:
            places: Places = json.loads(page.info.get(_KEY, "{}"))
        except ValueError:
            return None
        return page.convert("RGB").crop(places[name]) if name in places else None
