# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The shape of what a mask shows, in one word, by three measures.

========================================================  ===============
measures, asked in this order                             word
========================================================  ===============
solidity below 0.85                                       irregular
fill below 0.66                                           triangular
fill above 0.88, aspect at least 0.80                     square
fill above 0.88, aspect below 0.80                        rectangular
aspect at least 0.80                                      round
aspect below 0.80                                         oval
========================================================  ===============

*Solidity* is the share of its convex hull that the structure fills. *Fill* is the share that the hull fills of the
smallest rectangle, at any angle, around it (a disc 0.79, a triangle 0.5, a rectangle 1). *Aspect* is the ratio of the
short to the long axis of the ellipse with the same second moments (its eccentricity is ``sqrt(1 - aspect ** 2)``). Of
several components the largest counts. Below 200 pixels the outline says little and only aspect is asked. Circularity is
left out: it needs the length of the outline, which on pixels depends on size and angle.

The authors asked a model about an image with a green box instead, and published its answers ("circle", "thumb").
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull

from monai_vlsm.prompts.rules import find_components

__all__ = ["outline_word", "shape_measures", "shape_word"]

SOLID, THIN, BOXY, EVEN = 0.85, 0.66, 0.88, 0.80
REGULAR = 0.90  # solidity
FEWEST = 200  # pixels


def shape_word(mask: np.ndarray) -> str:
    """``round``, ``oval``, ``square``, ``rectangular``, ``triangular`` or ``irregular``; empty for an empty mask.

    Args:
        mask: ``(H, W)``; bool, 0/1 or 0/255.
    """
    part = _largest(mask)
    if part is None:
        return ""
    solidity, fill, aspect = shape_measures(part)
    if part.sum() >= FEWEST:
        if solidity < SOLID:
            return "irregular"
        if fill < THIN:
            return "triangular"
        if fill > BOXY:
            return "square" if aspect >= EVEN else "rectangular"
    return "round" if aspect >= EVEN else "oval"


def outline_word(mask: np.ndarray) -> str:
    """``regular`` or, with a solidity below 0.9, ``irregular``; empty for an empty mask.

    The authors wrote regular for every benign and irregular for every malignant tumour instead.
    """
    part = _largest(mask)
    if part is None:
        return ""
    return "regular" if part.sum() < FEWEST or shape_measures(part)[0] >= REGULAR else "irregular"


def shape_measures(part: np.ndarray) -> tuple[float, float, float]:
    """Solidity, fill and aspect of one component, each within 0..1.

    Args:
        part: ``(h, w)`` bool with at least one pixel.
    """
    area = float(part.sum())
    outline = _corners(part)
    hull = ConvexHull(outline)
    return area / hull.volume, hull.volume / _smallest_rectangle(outline[hull.vertices]), _aspect(part)


def _aspect(part: np.ndarray) -> float:
    """Ratio of the axes of the ellipse with the same second moments; a pixel is a square, not a point."""
    moments = np.cov(np.argwhere(part).T, ddof=0) + np.eye(2) / 12
    short, long = np.linalg.eigvalsh(moments)
    return float(np.sqrt(short / long))


def _largest(mask: np.ndarray) -> np.ndarray | None:
    components = find_components(mask)
    return max(components, key=lambda one: one.coverage).pixels if components else None


def _corners(part: np.ndarray) -> np.ndarray:
    """Corners of the first and the last pixel of each row, ``(N, 2)``; the hull needs no others."""
    rows = np.flatnonzero(part.any(axis=1))
    first, last = part[rows].argmax(axis=1), part.shape[1] - part[rows, ::-1].argmax(axis=1)
    return np.array(
        [(r + below, c) for r, a, b in zip(rows, first, last, strict=True) for c in (a, b) for below in (0, 1)], float
    )


def _smallest_rectangle(hull: np.ndarray) -> float:
    """The least area of a rectangle around a convex polygon ``(N, 2)``; one of its sides lies on an edge."""
    edges = np.roll(hull, -1, axis=0) - hull
    along = edges / np.linalg.norm(edges, axis=1, keepdims=True)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    return float(min(np.ptp(hull @ along.T, axis=0) * np.ptp(hull @ across.T, axis=0)))
