# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from monai_vlsm.prompts import colour_word
from monai_vlsm.prompts.colour import colour_of

WORDS = [
    ((250, 250, 245), "white"),
    ((128, 128, 128), "gray"),
    ((20, 20, 20), "black"),
    ((60, 10, 10), "brown"),
    ((200, 20, 20), "red"),
    ((200, 20, 40), "red"),  # hue 353
    ((240, 160, 160), "pink"),
    ((120, 70, 40), "brown"),
    ((210, 180, 140), "tan"),
    ((250, 140, 20), "orange"),
    ((240, 220, 60), "yellow"),
    ((90, 85, 30), "brown"),
    ((40, 160, 60), "green"),
    ((30, 60, 200), "blue"),
    ((140, 40, 180), "purple"),
]


@pytest.mark.parametrize(("rgb", "word"), WORDS)
def test_words(rgb: tuple[int, int, int], word: str) -> None:
    image = np.zeros((6, 8, 3), np.uint8)
    mask = np.zeros((6, 8), bool)
    mask[1:4, 2:7] = True
    image[mask] = rgb
    assert colour_word(image, mask) == word


def test_every_colour_has_a_word() -> None:
    steps = np.linspace(0, 1, 12)
    assert {colour_of(*rgb) for rgb in product(steps, repeat=3)} == {word for _, word in WORDS}


def test_single_pixels_do_not_count() -> None:
    image = np.full((10, 10, 3), (200, 20, 20), np.uint8)
    image[::5, ::5] = (20, 200, 20)
    assert colour_word(image, np.ones((10, 10))) == "red"


@pytest.mark.parametrize(
    ("image", "word"),
    [
        (np.full((4, 4), 230, np.uint8), "white"),
        (np.full((4, 4, 1), 100, np.uint8), "gray"),
        (np.array([[1000, 1000], [4000, 1000]], np.uint16), "gray"),
        (np.zeros((4, 4), np.float32), "black"),
    ],
)
def test_other_images(image: np.ndarray, word: str) -> None:
    assert colour_word(image, np.ones(image.shape[:2])) == word


def test_empty_mask() -> None:
    assert colour_word(np.zeros((4, 4)), np.zeros((4, 4))) == ""


@pytest.mark.parametrize("shape", [(4, 5), (4, 4, 2), (4,)])
def test_wrong_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"image must be \(H, W\) or \(H, W, 3\).*got \(4"):
        colour_word(np.zeros(shape), np.zeros((4, 4)))
