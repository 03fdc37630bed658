# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Masks drawn for the tests of this folder."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw


def boxes(*corners: tuple[int, int, int, int], shape: tuple[int, int] = (90, 180)) -> np.ndarray:
    """``shape`` bool with rectangles (top, left, bottom, right), the last two just outside."""
    mask = np.zeros(shape, bool)
    for top, left, bottom, right in corners:
        mask[top:bottom, left:right] = True
    return mask


def polygon(points: np.ndarray, angle: float = 0, side: int = 200) -> np.ndarray:
    """``(side, side)`` bool with a polygon ``(N, 2)`` around the middle, turned by degrees."""
    turn = np.deg2rad(angle)
    turned = points @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + side / 2
    image = Image.new("1", (side, side))
    ImageDraw.Draw(image).polygon([tuple(point) for point in turned.tolist()], fill=1)
    return np.array(image)


def ellipse(a: float, b: float) -> np.ndarray:
    """Points of an ellipse with these half axes, ``(120, 2)``."""
    turns = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    return np.stack([a * np.cos(turns), b * np.sin(turns)], axis=1)


def star(outer: float, inner: float) -> np.ndarray:
    """Points of a star with five tips, ``(10, 2)``."""
    turns = np.arange(10) * np.pi / 5
    radius = np.where(np.arange(10) % 2, inner, outer)
    return np.stack([radius * np.cos(turns), radius * np.sin(turns)], axis=1)
