# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What the rules of masks count, and tables."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_vlsm.data.foreground import STRAY_SHARE, Extent, foreground, measure
from monai_vlsm.tables import markdown_table, text_table
from monai_vlsm.transforms import BinarizeMask
from tests.data.files import square


def jpeg_noise() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 12, (40, 60)).astype(np.uint8)
    return np.maximum(noise, square() - noise)


@pytest.mark.parametrize(
    "mask",
    [
        square(),
        square(value=1),
        square(value=254),
        square(value=0),
        np.full((4, 5), 255, np.uint8),
        np.full((4, 5), 1, np.uint8),
        jpeg_noise(),
        square(value=5),
        square(value=12),
        (square() / 255).astype(np.float32),
        square().astype(np.uint16) * 257,
    ],
)
def test_the_same_rule_as_in_training(mask: np.ndarray) -> None:
    expected = BinarizeMask()(torch.as_tensor(mask.astype(np.float64))[None])[0] > 0
    np.testing.assert_array_equal(foreground(mask), np.asarray(expected))


def test_extent() -> None:
    mask = square() > 0
    assert measure(mask) == Extent(16 * 30, 0, (10, 8, 40, 24))
    assert measure(np.zeros((4, 5), bool)) == Extent(0, 0, None)
    assert measure(np.ones((4, 5), bool)) == Extent(20, 0, (0, 0, 5, 4))


@pytest.mark.parametrize(
    ("pixels", "stray"),
    [(1, 1), (10, 1), (11, 0)],  # 0.01 % of 100,000 pixels are 10
)
def test_stray_components(pixels: int, stray: int) -> None:
    mask = np.zeros((250, 400), bool)
    mask[50:80, 50:90] = True
    mask[200, 10 : 10 + pixels] = True
    assert mask.size * STRAY_SHARE == 10
    assert measure(mask).stray == stray


def test_a_tiny_structure_alone_is_not_stray_and_corners_do_not_connect() -> None:
    mask = np.zeros((250, 400), bool)
    mask[10, 10] = mask[11, 11] = True
    assert measure(mask).stray == 0
    mask[50:80, 50:90] = True
    assert measure(mask).stray == 2


def test_tables() -> None:
    rows = [("a", 5, "x|y"), ("long", 10, "")]
    assert text_table(("name", "n", "what"), rows) == "name   n  what\na      5  x|y\nlong  10"
    assert markdown_table(("name", "n", "what"), rows).splitlines()[2] == "| a | 5 | x\\|y |"
    aligned = "| name | n   |\n| ---- | --- |\n| long | 5   |"
    assert markdown_table(("name", "n"), [("long", 5)], aligned=True) == aligned
    assert text_table(("name", "n"), []) == "name  n"
