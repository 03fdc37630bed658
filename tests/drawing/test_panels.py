# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Panels: of a bounded size, with nothing lost, and in colours that the legend has."""

from __future__ import annotations

import numpy as np
import pytest

from monai_vlsm import drawing
from monai_vlsm.drawing.colours import rgb

ORANGE, BLUE = drawing.prompt_colours(2)


@pytest.mark.parametrize(
    ("shape", "aspect", "size"),
    [
        ((100, 200), 1.0, (50, 100)),
        ((200, 100), 1.0, (100, 50)),
        ((8, 8), 1.0, (100, 100)),
        ((1, 300), 1.0, (12, 100)),
        ((300, 1), 1.0, (100, 12)),
        ((20000, 20), 1.0, (100, 12)),
        ((20, 480091), 1.0, (12, 100)),
        ((100, 100), 2.0, (100, 50)),
        ((100, 100), 0.25, (25, 100)),
    ],
)
def test_size(shape: tuple[int, int], aspect: float, size: tuple[int, int]) -> None:
    assert drawing.fit_size(*shape, 100, aspect) == size


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (700, 9), (20, 3000)])
def test_image_of_one_colour_keeps_it(shape: tuple[int, int]) -> None:
    image = np.broadcast_to(np.array([0.9, 0.5, 0.1], np.float32), (*shape, 3))
    fitted = drawing.fit_image(image, (40, 60))
    assert fitted.shape == (40, 60, 3)
    assert (fitted == [230, 128, 26]).all()


def test_image_keeps_its_places() -> None:
    image = np.zeros((600, 900, 3), np.float32)
    image[:300, :450] = 1
    fitted = drawing.fit_image(image, (40, 60))
    assert fitted[5, 5].min() == 255
    assert fitted[35, 5].max() == fitted[5, 55].max() == 0


@pytest.mark.parametrize("place", [(0, 0), (299, 899), (150, 451)])
def test_one_pixel_of_a_large_mask_is_seen(place: tuple[int, int]) -> None:
    mask = np.zeros((1, 300, 900), bool)
    mask[0][place] = True
    fitted = drawing.fit_masks(mask, (20, 60))
    assert np.argwhere(fitted[0]).tolist() == [[place[0] // 15, place[1] // 15]]


def test_masks_are_enlarged() -> None:
    fitted = drawing.fit_masks(np.array([[[True, False], [False, True]]]), (4, 6))
    assert fitted.shape == (1, 4, 6)
    assert fitted[0].astype(int).tolist() == [[1, 1, 1, 0, 0, 0]] * 2 + [[0, 0, 0, 1, 1, 1]] * 2


def test_no_masks() -> None:
    assert drawing.fit_masks(np.zeros((0, 5, 5), bool), (4, 6)).shape == (0, 4, 6)


def square(low: int, high: int, size: int = 40) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[low:high, low:high] = True
    return mask


def test_outline_lies_within_the_mask_and_closes_at_the_border() -> None:
    expected = square(5, 15) & ~square(7, 13)
    assert np.array_equal(drawing.outline(square(5, 15)), expected)
    assert drawing.outline(square(0, 40))[0].all()
    assert np.array_equal(drawing.outline(square(5, 6)), square(5, 6))


def colours(painted: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(colour) for colour in painted.reshape(-1, 3).tolist()}


def filled(colour: str, grey: int = 100) -> tuple[int, ...]:
    return tuple(round(0.7 * grey + 0.3 * value) for value in rgb(colour))


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_masks_in_each_other_do_not_mix(order: list[int]) -> None:
    masks, names = np.stack([square(2, 38), square(10, 20)])[order], [[ORANGE, BLUE][index] for index in order]
    painted = drawing.paint(np.full((40, 40, 3), 100, np.uint8), masks, masks, names)
    assert colours(painted) == {(100, 100, 100), rgb(ORANGE), rgb(BLUE), filled(ORANGE), filled(BLUE)}
    assert tuple(painted[15, 15]) == filled(BLUE)
    assert tuple(painted[30, 30]) == filled(ORANGE)


def test_outlines_that_meet_take_turns() -> None:
    masks = np.stack([square(5, 35)] * 2)
    painted = drawing.paint(np.full((40, 40, 3), 100, np.uint8), masks, masks, [ORANGE, BLUE])
    line = painted[5, 5:35]
    assert colours(line) == {rgb(ORANGE), rgb(BLUE)}
    assert 10 <= (line == rgb(ORANGE)).all(axis=-1).sum() <= 20


def test_outlines_only() -> None:
    mask = square(5, 35)[None]
    painted = drawing.paint(np.full((40, 40, 3), 100, np.uint8), mask[:0], mask, [ORANGE])
    assert colours(painted) == {(100, 100, 100), rgb(ORANGE)}


def test_nothing_to_draw() -> None:
    image = np.random.default_rng(0).integers(0, 255, (9, 8, 3), dtype=np.uint8)
    nothing = np.zeros((0, 9, 8), bool)
    assert np.array_equal(drawing.paint(image, nothing, nothing, []), image)
    empty = np.zeros((1, 9, 8), bool)
    assert np.array_equal(drawing.paint(image, empty, empty, [ORANGE]), image)


@pytest.mark.parametrize("count", [1, 7, 8, 30, 200])
def test_colours_differ_and_none_is_dark(count: int) -> None:
    found = drawing.prompt_colours(count)
    assert len(set(found)) == count
    assert min(max(rgb(colour)) for colour in found) > 120
