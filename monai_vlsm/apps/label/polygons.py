# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Masks as polygons, for CVAT."""

from __future__ import annotations

import numpy as np
from contourpy import contour_generator
from scipy.ndimage import binary_fill_holes

__all__ = ["polygons"]

LEAST_AREA = 4.0  # square pixels; smaller ones are specks


def polygons(mask: np.ndarray, least_area: float = LEAST_AREA) -> list[list[list[int]]]:
    """The outer outline of each region of a mask; holes are filled, since CVAT's polygons have none.

    Args:
        mask: ``(rows, columns)``, foreground above 0.
        least_area: regions of fewer square pixels are left out.

    Returns:
        polygons ``[[x, y], ...]`` of at least 3 points, the largest first; x to the right and y down, and as in CVAT
        the first pixel goes from 0 to 1.
    """
    filled = np.pad(binary_fill_holes(mask > 0), 1).astype(np.float32)  # the rim closes outlines at the border
    found = [np.asarray(line)[:-1] - 1 for line in contour_generator(z=filled).lines(0.5)]
    large = sorted((line for line in found if _area(line) >= least_area), key=_area, reverse=True)
    outlines = [_corners(line, mask.shape) for line in large]
    return [outline for outline in outlines if len(outline) >= 3]


def _area(line: np.ndarray) -> float:
    """Area inside a closed line ``(N, 2)``."""
    x, y = line.T
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)


def _corners(line: np.ndarray, shape: tuple[int, ...]) -> list[list[int]]:
    """Corners of pixels (pixel 0 goes from 0 to 1), without repetitions and without points on straight lines."""
    points = np.clip(np.floor(line + 0.75), 0, [shape[1], shape[0]]).astype(int)
    points = points[(points != np.roll(points, 1, axis=0)).any(axis=1)]
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    corners: list[list[int]] = points[turns].tolist()
    return corners
