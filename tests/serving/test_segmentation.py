# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from monai_vlsm.drawing import prompt_colours
from monai_vlsm.drawing.colours import rgb
from monai_vlsm.serving import Segmentation, draw_segmentation, save_overlay
from monai_vlsm.serving.overlays import caption
from monai_vlsm.serving.segmentation import COLUMNS, View, best_view
from tests.folders import visible

AXIAL = np.diag([-2.0, -3, 4, 1])  # to the left, the back and the head, as a screen shows it transposed


def segmentation(masks: np.ndarray, prompts: list[str], spacing: tuple[float, ...] | None = None) -> Segmentation:
    flat = masks if masks.ndim == 3 else masks[..., 0]
    return Segmentation(
        name="scan",
        prompts=prompts,
        masks=masks,
        probabilities=masks.astype(np.float32),
        existence=[0.75] * len(prompts),
        spacing=spacing,
        view=View(np.full((*flat.shape[1:], 3), 0.5, np.float32), flat > 0),
        threshold=0.5,
        meta={"filename_or_obj": "scan.png"},
    )


def squares(*sides: int, depth: int | None = None) -> np.ndarray:
    masks = np.zeros((len(sides), 20, 30), np.uint8)
    for mask, side in zip(masks, sides, strict=True):
        mask[2 : 2 + side, 3 : 3 + side] = 1
    return masks if depth is None else np.repeat(masks[..., None], depth, axis=-1)


@pytest.mark.parametrize(
    ("masks", "spacing", "area", "volume"),
    [
        (squares(5, 0), None, ["", ""], ["", ""]),
        (squares(5, 0), (0.5, 0.2), [2.5, 0.0], ["", ""]),
        (squares(5, 0, depth=2), (0.5, 0.2, 3.0), ["", ""], [15.0, 0.0]),
        (squares(5, 0, depth=2), None, ["", ""], ["", ""]),
    ],
)
def test_rows(masks: np.ndarray, spacing: Any, area: list[Any], volume: list[Any]) -> None:
    rows = segmentation(masks, ["polyp", "ulcer"], spacing).rows()
    assert all(tuple(row) == COLUMNS for row in rows)
    assert [row["area_mm2"] for row in rows] == area
    assert [row["volume_mm3"] for row in rows] == volume
    assert [row["share"] for row in rows] == [round(25 / 600, 6), 0]
    assert [row["prompt"] for row in rows] == ["polyp", "ulcer"]


def test_masks_as_the_bundle_writes_them(tmp_path: Path) -> None:
    segmentation(squares(5, 3), ["polyp", "ulcer"]).save_masks(tmp_path)
    assert visible(tmp_path) == {"scan_polyp.png", "scan_ulcer.png", "scan_labels.png"}
    assert np.asarray(Image.open(tmp_path / "scan_polyp.png")).sum() == 25 * 255


def volume(array: torch.Tensor) -> MetaTensor:
    return MetaTensor(array, affine=AXIAL, meta={"filename_or_obj": "v.nii", "original_affine": AXIAL, "space": "RAS"})


def test_view_of_a_volume_is_its_fullest_slice() -> None:
    masks = torch.zeros(2, 6, 8, 5)
    masks[0, 1:3, 1:3, 1], masks[1, 0, 1:7, 3], masks[0, 1, 1, 3] = 1, 1, 1  # 4 pixels, then 7
    image = MetaTensor(torch.rand(3, 8, 6, 5))
    view = best_view(image, volume(masks))
    assert view.slice == 4
    assert view.masks.shape == (2, 8, 6)
    assert view.masks.sum() == 7
    assert view.masks[1, 1:7, 0].all() or view.masks[1, 1:7, 5].all()
    assert np.allclose(view.image, image[..., 3].permute(1, 2, 0).numpy())
    assert view.aspect == pytest.approx(1.5)


def test_view_of_an_empty_volume_is_the_middle() -> None:
    assert best_view(MetaTensor(torch.rand(3, 8, 6, 5)), volume(torch.zeros(1, 6, 8, 5))).slice == 3


def test_view_of_an_image() -> None:
    view = best_view(MetaTensor(torch.rand(3, 4, 6)), MetaTensor(torch.ones(1, 4, 6)))
    assert (view.slice, view.aspect, view.masks.shape) == (None, 1.0, (1, 4, 6))


@pytest.mark.parametrize("prompt", ["$", "two\nlines", "x" * 5000, "größe"])
def test_line_of_a_prompt(prompt: str, tmp_path: Path) -> None:
    result = segmentation(squares(5, 7), [prompt, "polyp"], (1.0, 1.0))
    save_overlay(result, tmp_path / "new" / "a.png")
    first, second = (caption(result, index) for index in (0, 1))
    assert first.startswith(" ".join(prompt.split())[:20])
    assert first.endswith(": 4.2% of the image, 25 mm², existence 0.75")
    assert len(first) < 250
    assert second == "polyp: 8.2% of the image, 49 mm², existence 0.75"


def test_image_shows_each_prompt_in_its_colour() -> None:
    result = segmentation(squares(12, 4, 0), ["large", "small", "none"])
    panel = np.asarray(draw_segmentation(result))[:-80]  # without the legend
    left, right = panel[:, : panel.shape[1] // 2], panel[:, panel.shape[1] // 2 :]
    large, small, none = (rgb(colour) for colour in prompt_colours(3))
    assert [bool((right == colour).all(axis=-1).any()) for colour in (large, small, none)] == [True, True, False]
    assert not any((left == colour).all(axis=-1).any() for colour in (large, small, none))
    assert caption(result, 2) == "none: empty, existence 0.75"


@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (8, 8), (20000, 20), (20, 50000), (2000, 3000)])
def test_image_of_any_size_is_small(shape: tuple[int, int]) -> None:
    masks = np.zeros((1, *shape), np.uint8)
    masks[0, shape[0] // 2, shape[1] // 2] = 1
    image = draw_segmentation(segmentation(masks, ["polyp"]))
    assert max(image.size) <= 1100
    assert (np.asarray(image)[:-30] == rgb(prompt_colours(1)[0])).all(axis=-1).any()  # one pixel is seen


def test_with_many_prompts_nothing_is_filled() -> None:
    few, many = (draw_segmentation(segmentation(squares(*[12] * n), ["a"] * n)) for n in (4, 5))
    middle = [np.asarray(image)[250, 512 + 18 + 10 + 130].tolist() for image in (few, many)]
    assert middle[0] != [128] * 3
    assert middle[1] == [128] * 3


def test_repr_is_short() -> None:
    masks = np.zeros((2, 20, 30), np.uint8)
    masks[0, 0, 0] = 1
    assert repr(segmentation(masks, ["brain", "left lung"])) == (
        "Segmentation('scan', 20 x 30, 'brain': 1 pixel, 'left lung': 0 pixels)"
    )
    volume = segmentation(np.ones((1, 4, 5, 6), np.uint8), ["brain"])
    assert repr(volume) == "Segmentation('scan', 4 x 5 x 6, 'brain': 120 voxels)"
