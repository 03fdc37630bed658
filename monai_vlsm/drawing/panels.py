# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""One image with its masks, at the size at which it is looked at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from monai_vlsm.drawing.colours import rgb

__all__ = ["fit_image", "fit_masks", "fit_size", "outline", "paint"]

LEAST_SIDE = 12  # pixels of the shorter side of a panel: of a strip something must be seen
_SMOOTH = 8  # enlarged by more, an image shows its pixels
_BAND = 256  # rows that are converted at a time, so that a large image needs no second copy in float32
OPACITY = 0.3
_LINE = 2  # width of an outline in pixels
_DASH = 7  # length of the dashes where outlines of several masks meet


def fit_size(rows: int, columns: int, side: int, aspect: float = 1.0) -> tuple[int, int]:
    """Rows and columns of a panel that shows an image of any size, at most ``side`` each.

    Args:
        rows: of the image.
        columns: of the image.
        side: length of the longer side of the panel.
        aspect: height of a pixel of the image by its width.
    """
    height, width = rows * aspect, float(columns)
    scale = side / max(height, width)
    return max(LEAST_SIDE, round(height * scale)), max(LEAST_SIDE, round(width * scale))


def fit_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image at the size of a panel.

    Args:
        image: RGB ``(rows, columns, 3)``, within 0..1.
        size: rows and columns of the panel.

    Returns:
        uint8 ``(*size, 3)``.
    """
    values = np.empty(image.shape, np.uint8)
    for start in range(0, len(image), _BAND):
        band = image[start : start + _BAND]
        values[start : start + _BAND] = np.nan_to_num(band * 255).clip(0, 255).round()
    enlarged = max(size[0] / image.shape[0], size[1] / image.shape[1])
    how = Image.Resampling.NEAREST if enlarged > _SMOOTH else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(values).resize((size[1], size[0]), how, reducing_gap=3.0))


def fit_masks(masks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Masks at the size of a panel; a pixel is set where any pixel of the mask under it is, so that nothing vanishes.

    Args:
        masks: bool ``(K, rows, columns)``.
        size: rows and columns of the panel.

    Returns:
        bool ``(K, *size)``.
    """
    fitted = [_fit_axis(_fit_axis(mask, size[0], 0), size[1], 1) for mask in masks]
    return np.stack(fitted) if fitted else np.zeros((0, *size), bool)


def _fit_axis(mask: np.ndarray, length: int, axis: int) -> np.ndarray:
    found = mask.shape[axis]
    starts = np.arange(length) * found // length
    if length < found:
        return np.asarray(np.logical_or.reduceat(mask, starts, axis=axis))
    return np.take(mask, starts, axis=axis)


def outline(mask: np.ndarray, width: int = _LINE) -> np.ndarray:
    """The pixels of a mask, bool ``(rows, columns)``, within ``width`` pixels of what is not in it."""
    inner = mask
    for _ in range(width):
        padded = np.pad(inner, 1)  # beyond the border there is no mask, so that outlines close there
        inner = inner & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def paint(
    image: np.ndarray, fills: np.ndarray, outlines: np.ndarray, colours: Sequence[str], opacity: float = OPACITY
) -> np.ndarray:
    """Lay masks over an image, each in its colour.

    No two colours mix: a pixel is filled in the colour of the smallest mask that it is in, so that of a mask with
    others in it the outline is seen there. Where outlines meet, their colours take turns.

    Args:
        image: uint8 ``(rows, columns, 3)``.
        fills: masks to be filled, bool ``(K, rows, columns)``; the first ones of ``outlines``, or none.
        outlines: masks to be outlined, bool ``(N, rows, columns)``.
        colours: N times ``#RRGGBB``.
        opacity: of what is filled, from 0 to 1.

    Returns:
        uint8 ``(rows, columns, 3)``.
    """
    if not len(outlines):
        return image
    table = np.array([rgb(colour) for colour in colours], np.float32)
    painted = image.astype(np.float32)
    owner = np.full(image.shape[:2], -1)
    for index in np.argsort([-int(mask.sum()) for mask in fills], kind="stable"):
        owner[fills[index]] = index
    filled = owner >= 0
    painted[filled] = (1 - opacity) * painted[filled] + opacity * table[owner[filled]]
    drawn, whose = _take_turns(np.stack([outline(mask) for mask in outlines]))
    painted[drawn] = table[whose]
    return painted.round().astype(np.uint8)


def _take_turns(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where any line is, and which one is shown there: along a piece that several share, each for the same length."""
    count = lines.sum(axis=0)
    drawn = count > 0
    rows, columns = np.nonzero(drawn)
    turn = (rows + columns) // _DASH % count[drawn]
    reached = lines[:, drawn].cumsum(axis=0) == turn + 1
    return drawn, (reached & lines[:, drawn]).argmax(axis=0)
