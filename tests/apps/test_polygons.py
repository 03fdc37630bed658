# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Polygons cover what their masks cover."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from monai_vlsm.apps.label import polygons


def square(rows: slice, columns: slice, shape: tuple[int, int] = (20, 30)) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    mask[rows, columns] = 1
    return mask


def filled(found: list[list[list[int]]], shape: tuple[int, int]) -> np.ndarray:
    """Pixels whose middle lies in a polygon, drawn 8 times as large."""
    image = Image.new("1", (shape[1] * 8, shape[0] * 8))
    for outline in found:
        ImageDraw.Draw(image).polygon([(x * 8, y * 8) for x, y in outline], fill=1)
    return np.asarray(image)[4::8, 4::8]


@pytest.mark.parametrize(
    "mask",
    [
        square(slice(3, 9), slice(4, 20)),
        square(slice(0, 20), slice(0, 30)),
        square(slice(0, 5), slice(25, 30)),
        square(slice(2, 6), slice(2, 6)) | square(slice(10, 18), slice(8, 28)),
    ],
    ids=["inside", "whole image", "corner", "two"],
)
def test_rectangles_are_exact(mask: np.ndarray) -> None:
    found = polygons(mask)
    assert np.abs(filled(found, mask.shape).astype(int) - mask).sum() <= 2  # cut corners
    assert all(0 <= x <= 30 and 0 <= y <= 20 for outline in found for x, y in outline)


def test_disc_is_covered() -> None:
    y, x = np.mgrid[:60, :60]
    mask = ((x - 30) ** 2 + (y - 28) ** 2 < 400).astype(np.uint8)
    overlap = filled(polygons(mask), mask.shape)
    assert (overlap & (mask > 0)).sum() / (overlap | (mask > 0)).sum() > 0.95


def test_holes_are_filled_and_the_largest_is_first() -> None:
    ring = square(slice(4, 16), slice(4, 16))
    ring[8:11, 8:11] = 0
    assert len(polygons(ring)) == 1
    found = polygons(ring | square(slice(4, 8), slice(20, 24)))
    assert [len(found), found[0][0][0] < 17] == [2, True]


def test_specks_and_empty_masks() -> None:
    assert polygons(square(slice(0, 0), slice(0, 0))) == []
    assert polygons(square(slice(3, 4), slice(3, 5))) == []
    assert len(polygons(square(slice(3, 4), slice(3, 5)), least_area=0.5)) == 1
