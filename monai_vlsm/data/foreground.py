# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The structure in a mask as the training transforms see it, and what it is like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

__all__ = ["STRAY_SHARE", "Extent", "foreground", "measure"]

STRAY_SHARE = 1e-4
"""Share of the image up to which a component is stray: below it the authors' prompts give no size."""


@dataclass(frozen=True)
class Extent:
    """What a mask covers.

    Args:
        pixels: of the structure; 0 for an empty mask.
        stray: components of at most 0.01 % of the image beside a larger one (4-connected, as the authors count).
        box: left, top, right, bottom of the structure, the last two just outside; None for an empty mask.
    """

    pixels: int
    stray: int
    box: tuple[int, int, int, int] | None


def foreground(channel: np.ndarray) -> np.ndarray:
    """The structure by the rule of :class:`monai_vlsm.transforms.BinarizeMask`, for NumPy.

    Args:
        channel: ``(rows, columns)``, finite and not negative; of a lossy file, without what the compression left in an
            empty mask (:func:`monai_vlsm.data.masks.without_noise`).

    Returns:
        bool of the same shape.
    """
    low, high = float(channel.min()), float(channel.max())
    return np.full(channel.shape, high > 0) if low == high else channel > high / 2


def measure(structure: np.ndarray) -> Extent:
    """Count the pixels and stray components of a bool mask, ``(rows, columns)``, and find its box."""
    pixels = int(structure.sum())
    if not pixels:
        return Extent(0, 0, None)
    labels, _ = ndimage.label(structure)
    sizes = np.bincount(labels.ravel())[1:]
    tiny = sizes <= STRAY_SHARE * structure.size
    stray = 0 if tiny.all() else int(tiny.sum())
    rows, columns = np.flatnonzero(structure.any(axis=1)), np.flatnonzero(structure.any(axis=0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return Extent(pixels, stray, box)
