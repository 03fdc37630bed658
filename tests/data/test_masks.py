# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The rule for binary masks."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from monai_vlsm.data import binary_fault, mask_channel, masks
from monai_vlsm.transforms import mask as mask_transform
from tests.data.files import square

MASK = square()
LINE = np.zeros_like(MASK)
LINE[20, 5:50] = 255
STRUCTURES = np.zeros((80, 80), np.uint8)
STRUCTURES[10:30, 10:30], STRUCTURES[50:70, 40:70] = 1, 2


def jpeg(array: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def smooth(array: np.ndarray, radius: float) -> np.ndarray:
    return np.asarray(Image.fromarray(array).filter(ImageFilter.GaussianBlur(radius)))


def coloured(mask: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return ((mask > 0)[..., None] * np.array(colour)).astype(np.uint8)


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(MASK, id="0-255"),
        pytest.param(MASK // 255, id="0-1"),
        pytest.param(MASK > 0, id="bool"),
        pytest.param(MASK * np.uint16(257), id="16-bit"),
        pytest.param(MASK / np.float32(255), id="float"),
        pytest.param(MASK * 0, id="empty"),
        pytest.param(MASK * 0 + 255, id="full"),
        pytest.param(np.where(MASK, 253, 60).astype(np.uint8), id="dark-not-black"),
        pytest.param(np.dstack([MASK] * 3), id="grey-as-rgb"),
        pytest.param(coloured(MASK, (200, 30, 60)), id="colour"),
        pytest.param(np.eye(40, 60, 58) * 3, id="empty-jpeg-noise"),
        *(
            pytest.param(jpeg(m, q), id=f"jpeg-{q}-{n}")
            for q in (10, 50, 95)
            for n, m in (("area", MASK), ("line", LINE))
        ),
        *(pytest.param(jpeg(coloured(MASK, (200, 30, 60)), q), id=f"jpeg-colour-{q}") for q in (10, 50, 95)),
        *(pytest.param(smooth(m, 2), id=f"smooth-{n}") for n, m in (("area", MASK), ("line", LINE))),
        pytest.param(np.asarray(Image.fromarray(MASK).resize((240, 160), Image.Resampling.BILINEAR)), id="enlarged"),
    ],
)
def test_binary(mask: np.ndarray) -> None:
    assert binary_fault(mask) is None


@pytest.mark.parametrize(
    ("mask", "fault"),
    [
        pytest.param(STRUCTURES, r"a label map, 3 values: 0 \(84.4%\), 2 \(9.4%\), 1 \(6.2%\)", id="label-map"),
        pytest.param(STRUCTURES * 127, "more than two values, 3 values: 0 .* 254 .* 127", id="label-map-bright"),
        pytest.param(STRUCTURES * 80, "more than two values", id="label-map-thirds"),
        pytest.param(STRUCTURES // 2 * 5, "a label map, 2 values", id="one-label-5"),
        pytest.param(np.tile(np.arange(256, dtype=np.uint8), (40, 1)), "more than two values, 256 values", id="ramp"),
        pytest.param(np.random.default_rng(0).integers(0, 256, (40, 60)), "more than two values", id="noise"),
        pytest.param(np.where(MASK, 255, 200), "no dark background: values from 200 to 255", id="bright-background"),
        pytest.param(MASK.astype(np.int16) - 1, "negative values", id="negative"),
        pytest.param(np.where(MASK, np.nan, 0), "not numbers", id="nan"),
        pytest.param(
            coloured(STRUCTURES == 1, (255, 0, 0)) + coloured(STRUCTURES == 2, (0, 255, 0)),
            "several colours",
            id="two-colours",
        ),
        pytest.param(255 - coloured(MASK, (0, 255, 255)), "equally bright", id="red-on-white"),
    ],
)
def test_not_binary(mask: np.ndarray, fault: str) -> None:
    assert re.search(fault, binary_fault(mask) or "binary")


def test_channel_is_the_brightest() -> None:
    picture = np.array([[[1, 2, 3], [9, 0, 0]]], np.uint8)
    np.testing.assert_array_equal(mask_channel(picture), [[3, 9]])
    np.testing.assert_array_equal(mask_channel(MASK), MASK)
    np.testing.assert_array_equal(mask_channel(np.full((2, 2, 3), 7, np.uint8)), [[7, 7], [7, 7]])


def test_real_masks_pass_and_real_images_do_not(shared: Path) -> None:
    busi = shared / "data" / "busi"
    masks, images = sorted((busi / "masks").iterdir()), sorted((busi / "images").iterdir())
    assert len(masks) == 780
    assert [file.name for file in masks if binary_fault(np.asarray(Image.open(file)))] == []
    assert [file.name for file in images[::20] if not binary_fault(np.asarray(Image.open(file)))] == []


def test_noise_is_what_the_transform_takes_for_noise() -> None:
    assert (masks.NOISE_MIN, masks.NOISE_MAX) == (mask_transform.NOISE_MIN, mask_transform.NOISE_MAX)


@pytest.mark.parametrize("top", [1, 21, 200, 255, 65535])
def test_accepted_masks_binarize_to_their_structure(top: int) -> None:
    mask = np.where(MASK, top, top // 5)
    assert binary_fault(mask) is None
    np.testing.assert_array_equal(mask_transform.BinarizeMask()(mask[None])[0].numpy(), MASK > 0)


@pytest.mark.parametrize("high", [1, 2, 20, 21, 90, 254, 255])
@pytest.mark.parametrize("colour", [False, True])
def test_the_count_of_values_decides_as_the_whole_rule_does(
    high: int, colour: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every value beside 0 and the highest, once as a large flat area."""
    arrays = []
    for value in range(high + 1):
        array = np.zeros((20, 20), np.uint8)
        array[:, 5:10], array[:, 14:] = value, high
        arrays.append(np.stack([array] * 3, axis=-1) if colour else array)
    quick = [binary_fault(array) for array in arrays]
    monkeypatch.setattr(masks, "_black_and_white", lambda channel: False)
    assert quick == [binary_fault(array) for array in arrays]
    assert (None in quick) == (high not in range(2, 21))
