# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from monai_vlsm.prompts import outline_word, shape_word
from monai_vlsm.prompts.shape import shape_measures
from tests.prompts.shapes import ellipse, polygon, star


def box(width: float, height: float) -> np.ndarray:
    return np.array([(-width, -height), (width, -height), (width, height), (-width, height)]) / 2


CASES = [  # points, shape, outline
    (ellipse(40, 40), "round", "regular"),
    (ellipse(40, 35), "round", "regular"),
    (ellipse(40, 29), "oval", "regular"),
    (ellipse(70, 20), "oval", "regular"),
    (box(60, 60), "square", "regular"),
    (box(60, 52), "square", "regular"),
    (box(90, 40), "rectangular", "regular"),
    (np.array([(0, -40), (45, 30), (-45, 30)]), "triangular", "regular"),
    (np.array([(0, -20), (60, 30), (-50, 30)]), "triangular", "regular"),
    (star(60, 25), "irregular", "irregular"),
    (np.array([(-40, -40), (-10, -40), (-10, 10), (40, 10), (40, 40), (-40, 40)]), "irregular", "irregular"),
]
ANGLES = [0, 20, 45, 77]


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("scale", [0.5, 1.0])
@pytest.mark.parametrize(("points", "shape", "outline"), CASES)
def test_words(points: np.ndarray, shape: str, outline: str, scale: float, angle: float) -> None:
    mask = polygon(points * scale, angle)
    assert shape_word(mask) == shape
    assert outline_word(mask) == outline


@pytest.mark.parametrize("angle", ANGLES)
def test_measures(angle: float) -> None:
    solidity, fill, aspect = shape_measures(polygon(ellipse(60, 30), angle))
    assert solidity > 0.97
    assert fill == pytest.approx(np.pi / 4, abs=0.03)
    assert aspect == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("shape", "word"),
    [((1, 1), "round"), ((1, 9), "oval"), ((5, 5), "round"), ((14, 14), "round"), ((15, 15), "square")],
)
def test_few_pixels(shape: tuple[int, int], word: str) -> None:
    mask = np.pad(np.ones(shape, bool), 3)
    assert shape_word(mask) == word
    assert outline_word(mask) == "regular"


def test_the_largest_component_counts() -> None:
    mask = np.hstack([polygon(star(20, 8), side=60), polygon(ellipse(25, 25), side=60)])
    assert (shape_word(mask), outline_word(mask)) == ("round", "regular")


def test_empty_mask() -> None:
    assert (shape_word(np.zeros((5, 5))), outline_word(np.zeros((5, 5)))) == ("", "")
