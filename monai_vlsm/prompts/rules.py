# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Number, size and location of what a mask shows, in words.

``parity=True`` computes them as the authors of VLSM-Adapter did for their published prompts. The default differs in
five points:

========================  ====================================  =========================================
what                      default                               ``parity=True``
========================  ====================================  =========================================
columns of the location   thirds of the width                   thirds of the *height*, when the nine
                                                                fields do not decide (wide images: too
                                                                often "right")
specks (at most 0.01 %)   do not count, unless there is         have no size, but count in number and
                          nothing else; then they are "tiny"    location
mask that fills the       "one", "large", "center"              ValueError (the authors' code stops)
image
foreground                all that is not background            components above 127.5, but only pixels
                                                                of exactly 255 count for the size
values                    bool, 0/1 or 0/255                    0/255
========================  ====================================  =========================================

Checked against the authors' function on 42 masks, and against their published words for 647 masks of BUSI.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from monai_vlsm.prompts.words import number_word

__all__ = ["Component", "find_components", "location_words", "mask_words", "number_words", "size_words"]

LOCATIONS = (("top left", "top", "top right"), ("left", "center", "right"), ("bottom left", "bottom", "bottom right"))
SIZES = ("tiny", "small", "medium", "large")  # in the order in which several are named
LARGE, MEDIUM, SMALL = 0.30, 0.08, 0.001  # shares of the image
SPECK = 1e-4  # share of the image up to which a component has no size
NOTABLE = 0.10  # share of a component from which on a field of the 3 x 3 grid counts


@dataclass(frozen=True)
class Component:
    """One connected part of a mask.

    Args:
        pixels: ``(h, w)`` bool, the part within its box.
        box: rows and columns of the box in the image.
        shape: rows H and columns W of the image.
        coverage: share of the image.
    """

    pixels: np.ndarray
    box: tuple[slice, slice]
    shape: tuple[int, int]
    coverage: float


def mask_words(mask: np.ndarray, parity: bool = False) -> dict[str, str]:
    """``number``, ``size`` and ``location`` of a mask.

    Args:
        mask: ``(H, W)``; bool, 0/1 or 0/255.
        parity: compute them as the authors did, see above.

    Returns:
        words by field, for example ``{"number": "two", "size": "tiny, small", "location": "top left, center"}``; for an
        empty mask ``"zero"`` and two empty texts.

    Raises:
        ValueError: a mask of another shape; with ``parity``, a mask that fills the image.
    """
    components = find_components(mask, parity)
    return {
        "number": number_words(components),
        "size": size_words(components, parity),
        "location": location_words(components, parity),
    }


def find_components(mask: np.ndarray, parity: bool = False) -> list[Component]:
    """The connected parts of a mask in reading order; pixels that only touch at a corner are apart.

    Raises:
        ValueError: as in :func:`mask_words`.
    """
    if mask.ndim != 2 or not mask.size:
        raise ValueError(f"mask must be (H, W), got {mask.shape}")
    top = 127.5 if parity or mask.max() > 1 else 0.5
    foreground = mask > top if mask.dtype != bool else mask
    if parity and foreground.all():
        raise ValueError("the mask fills the image, which the authors' rules cannot describe; use parity=False")
    counted = mask == 255 if parity and mask.dtype != bool else foreground
    labels, _ = ndimage.label(foreground)
    found = []
    for index, box in enumerate(ndimage.find_objects(labels), 1):
        pixels = labels[box] == index
        coverage = float((pixels & counted[box]).sum()) / mask.size
        found.append(Component(pixels, box, mask.shape, coverage))
    sized = [component for component in found if component.coverage > SPECK]
    return found if parity or not sized else sized


def number_words(components: Sequence[Component]) -> str:
    """How many components there are: ``"zero"``, ``"one"``, ``"two"``."""
    return number_word(len(components))


def size_words(components: Sequence[Component], parity: bool = False) -> str:
    """The sizes that occur, each once: above 30 % of the image large, 8 % medium, below 0.1 % tiny, else small."""
    sizes = {_size(one.coverage) for one in components if one.coverage > SPECK or not parity}
    return ", ".join(size for size in SIZES if size in sizes)


def _size(coverage: float) -> str:
    if coverage > LARGE:
        return "large"
    if coverage > MEDIUM:
        return "medium"
    return "tiny" if coverage < SMALL else "small"


def location_words(components: Sequence[Component], parity: bool = False) -> str:
    """Where each component lies, one of nine places each, with commas.

    The place is the only field of a 3 x 3 grid that holds part of the component, or the only one that holds at least
    10 % of it; else the one in which the centre of its box lies.
    """
    return ", ".join(_location(component, parity) for component in components)


def _location(component: Component, parity: bool) -> str:
    shares = _grid_shares(component)
    for fields in (shares > 0, shares >= NOTABLE):
        if fields.sum() == 1:
            row, column = np.argwhere(fields)[0]
            return LOCATIONS[row][column]
    rows, columns = component.box
    height, width = component.shape
    # the authors compare the column with thirds of the height
    return LOCATIONS[_third(rows, height)][_third(columns, height if parity else width)]


def _grid_shares(component: Component) -> np.ndarray:
    """Share of the component in each field of the 3 x 3 grid, ``(3, 3)``."""
    rows, columns = (_fields(side, length) for side, length in zip(component.box, component.shape, strict=True))
    return rows @ component.pixels @ columns.T / component.pixels.sum()


def _fields(side: slice, length: int) -> np.ndarray:
    """Which third of an axis each pixel of a box is in, ``(3, pixels)`` of 0 and 1; the last one takes the rest."""
    inner = [int(length / 3), int(2 * length / 3)]
    fields = np.digitize(np.arange(side.start, side.stop), inner)
    return np.equal.outer(np.arange(3), fields).astype(float)


def _third(side: slice, length: int) -> int:
    centre = (side.start + side.stop - 1) / 2
    return 0 if centre < length / 3 else 2 if centre > 2 * length / 3 else 1
