# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The rule for binary masks."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from monai_vlsm.data import ImageFileReader, binary_fault, mask_channel
from monai_vlsm.transforms import BinarizeMask
from tests.data.files import save, save_nifti, square

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
        *(pytest.param(MASK // 255 * value, id=f"0-{value}") for value in (2, 5, 20, 21, 100)),
        *(pytest.param(jpeg(MASK, q), id=f"former-jpeg-{q}") for q in (10, 50, 95)),
        *(pytest.param(jpeg(coloured(MASK, (200, 30, 60)), q), id=f"jpeg-colour-{q}") for q in (10, 50, 95)),
        *(pytest.param(smooth(m, 2), id=f"smooth-{n}") for n, m in (("area", MASK), ("line", LINE))),
        pytest.param(np.asarray(Image.fromarray(MASK).resize((240, 160), Image.Resampling.BILINEAR)), id="enlarged"),
    ],
)
def test_binary(mask: np.ndarray) -> None:
    assert binary_fault(mask) is None


@pytest.mark.parametrize("quality", [10, 50, 95])
@pytest.mark.parametrize("mask", [MASK, LINE, coloured(MASK, (200, 30, 60))], ids=["area", "line", "colour"])
def test_binary_after_lossy_compression(mask: np.ndarray, quality: int) -> None:
    assert binary_fault(jpeg(mask, quality), lossy=True) is None


@pytest.mark.parametrize(
    ("mask", "fault"),
    [
        pytest.param(STRUCTURES, r"a label map, 3 values: 0 \(84.4%\), 2 \(9.4%\), 1 \(6.2%\)", id="label-map"),
        pytest.param(STRUCTURES * 127, "a label map, 3 values: 0 .* 254 .* 127", id="label-map-bright"),
        pytest.param(STRUCTURES * 80, "a label map, .*; write one mask for each value", id="label-map-thirds"),
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
    image = np.array([[[1, 2, 3], [9, 0, 0]]], np.uint8)
    np.testing.assert_array_equal(mask_channel(image), [[3, 9]])
    np.testing.assert_array_equal(mask_channel(MASK), MASK)
    np.testing.assert_array_equal(mask_channel(np.full((2, 2, 3), 7, np.uint8)), [[7, 7], [7, 7]])


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 10])
def test_real_masks_pass_and_real_images_do_not(step: int, shared: Path) -> None:
    busi = shared / "data" / "busi"
    masks, images = sorted((busi / "masks").iterdir()), sorted((busi / "images").iterdir())
    assert len(masks) == 780
    assert [file.name for file in masks[::step] if binary_fault(np.asarray(Image.open(file)))] == []
    assert [file.name for file in images[:: 20 * step] if not binary_fault(np.asarray(Image.open(file)))] == []


@pytest.mark.parametrize("top", [1, 5, 20, 21, 200, 255, 65535])
def test_accepted_masks_binarize_to_their_structure(top: int) -> None:
    mask = np.where(MASK, top, top // 5)
    assert binary_fault(mask) is None
    np.testing.assert_array_equal(BinarizeMask()(mask[None])[0].numpy(), MASK > 0)


@pytest.mark.parametrize("high", [1, 2, 20, 21, 90, 254, 255])
@pytest.mark.parametrize("colour", [False, True])
def test_the_count_of_values_decides_as_the_whole_rule_does(high: int, colour: bool) -> None:
    """Every value beside 0 and the highest, once as a large flat area."""
    arrays = []
    for value in range(high + 1):
        array = np.zeros((20, 20), np.uint8)
        array[:, 5:10], array[:, 14:] = value, high
        arrays.append(np.stack([array] * 3, axis=-1) if colour else array)
    quick = [binary_fault(array) for array in arrays]
    assert quick == [binary_fault(array.astype(np.uint16)) for array in arrays]  # whose values are not counted
    same = sum(value > 0.99 * high for value in range(high))
    assert [fault is None for fault in quick] == [value == 0 or value >= high - same for value in range(high + 1)]


ORGAN = np.zeros((80, 80), np.uint8)
ORGAN[20:60, 20:60] = 1


def with_class(value: float, size: int, organ: float, inside: bool = True, dtype: str = "uint8") -> np.ndarray:
    """An organ and a square of another value, within it or beside it."""
    array = (ORGAN * np.float64(organ)).astype(dtype)
    start = 35 if inside else 4
    array[start : start + size, start : start + size] = value
    return array


@pytest.mark.parametrize("inside", [True, False], ids=["inside", "beside"])
@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize(
    ("organ", "other", "dtype"),
    [
        (1, 2, "uint8"),
        (2, 1, "uint8"),
        (1, 2, "float32"),
        (1, 5, "uint8"),
        (5, 7, "uint8"),
        (255, 1, "uint8"),
        (255, 100, "uint8"),
        (254, 127, "uint8"),
        (255, 200, "uint8"),
        (100, 200, "uint8"),
        (1, 0.5, "float32"),
        (1000, 2000, "uint16"),
        (65535, 300, "uint16"),
    ],
)
def test_a_second_class_of_any_size_is_told(organ: float, other: float, dtype: str, size: int, inside: bool) -> None:
    fault = binary_fault(with_class(other, size, organ, inside, dtype)) or "binary"
    assert fault.startswith("a label map, 3 values: 0 (") and "; write one mask for each value" in fault


@pytest.mark.parametrize("values", [(1, 2), (1, 2, 3, 4), (200, 1), (100, 101)])
@pytest.mark.parametrize("size", [1, 3])
def test_several_small_classes_are_told(values: tuple[int, ...], size: int) -> None:
    array = ORGAN * np.uint8(255)
    for k, value in enumerate(values):
        array[2 : 2 + size, 4 * k + 2 : 4 * k + 2 + size] = value
    assert (binary_fault(array) or "binary").startswith("a label map, ")


@pytest.mark.parametrize("value", [30, 60, 120])
@pytest.mark.parametrize("size", [1, 4])
def test_a_small_class_beside_smooth_edges_is_told(value: int, size: int) -> None:
    organ = np.pad(ORGAN * np.uint8(255), 20)
    array = np.asarray(Image.fromarray(organ).rotate(20, Image.Resampling.BICUBIC)).copy()
    assert binary_fault(array) is None
    array[3 : 3 + size, 3 : 3 + size] = value
    assert "nowhere brighter than half" in (binary_fault(array) or "binary")


@pytest.mark.parametrize("width", [1, 4])
def test_thin_parts_that_would_be_lost_are_told(width: int) -> None:
    """A line of a quarter of a pixel that touches an organ, and one of a whole pixel."""
    drawing = Image.new("L", (640, 640))
    ImageDraw.Draw(drawing).ellipse((200, 180, 450, 400), fill=255)
    ImageDraw.Draw(drawing).line((10, 5, 620, 601), fill=255, width=width)
    fault = binary_fault(np.asarray(drawing.resize((160, 160), Image.Resampling.BOX)))
    assert (fault is None) == (width == 4)
    assert fault is None or "nowhere brighter than half" in fault


@pytest.mark.parametrize("quality", [50, 75, 90])
def test_a_former_jpeg_has_dim_values_around_its_structures(quality: int) -> None:
    disk = Image.new("L", (200, 160))
    ImageDraw.Draw(disk).ellipse((40, 30, 140, 120), fill=255)
    array = jpeg(np.asarray(disk), quality)
    assert binary_fault(array) is None
    array = array.copy()
    array[150:154, 190:194] = 40
    assert "1 of " in (binary_fault(array) or "")


def test_many_labels_are_a_label_map() -> None:
    labels = np.kron(np.arange(36).reshape(6, 6), np.ones((10, 10))).astype(np.uint8)
    assert (binary_fault(labels) or "").startswith("a label map, 36 values: ")
    assert (binary_fault(labels.astype(np.int16) * 7) or "").startswith("a label map, 36 values: ")


@pytest.mark.parametrize("other", [253, 254])
def test_values_next_to_the_highest_are_the_highest(other: int) -> None:
    mask = with_class(other, 5, 255)
    assert binary_fault(mask) is None
    assert BinarizeMask()(mask[None]).sum() == ORGAN.sum()


@pytest.mark.parametrize("value", [1, 2, 5, 20, 77, 255])
@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "gif", "webp", "jp2", "ppm", "nii"])
def test_one_pixel_of_any_value_is_one_pixel(value: int, suffix: str, tmp_path: Path) -> None:
    mask = np.zeros((90, 70), np.uint8)
    mask[30, 20] = value
    path = tmp_path / f"mask.{suffix}"
    if suffix == "nii":
        save_nifti(mask, path)
    else:
        save(mask, path, **({"lossless": True} if suffix == "webp" else {}))
    reader = ImageFileReader("mask", flat=True)
    array, _ = reader.get_data(reader.read(path))
    assert BinarizeMask()(array[None]).sum() == 1


def test_a_soft_lesion_that_would_be_lost_is_told() -> None:
    soft = smooth(MASK, 2).copy()
    soft[30:38, 45:55] = np.maximum(
        soft[30:38, 45:55], smooth(np.pad(np.full((2, 2), 255, np.uint8), ((3, 3), (4, 4))), 1)
    )
    assert (binary_fault(soft) or "").startswith("1 of 2 structures that are nowhere brighter than half")


COLOURS = {"red": (255, 0, 0), "blue": (0, 0, 255), "green": (0, 128, 0), "yellow": (128, 128, 0), "white": (255,) * 3}


def vessels(width: int, *colours: tuple[int, int, int]) -> np.ndarray:
    image = np.zeros((256, 256, 3), np.uint8)
    for k, row in enumerate(range(20, 240, 20)):
        image[row : row + width, 10:246] = colours[k % len(colours)]
    return image


@pytest.mark.parametrize("pair", [("red", "blue"), ("green", "yellow"), ("red", "white")], ids="-".join)
@pytest.mark.parametrize("width", [1, 2, 3, 4, 6, 8])
def test_structures_of_two_colours_at_any_width(width: int, pair: tuple[str, str]) -> None:
    image = vessels(width, *(COLOURS[name] for name in pair))
    fault = binary_fault(image) or "binary"
    assert (
        fault.startswith("structures of several colours, ")
        and "; write one mask for each, or name the colours" in fault
    )
    for name in pair:
        assert f"{name} ({', '.join(map(str, COLOURS[name]))}) " in fault
        assert binary_fault(vessels(width, COLOURS[name])) is None


@pytest.mark.parametrize("width", [1, 2, 8])
def test_colours_of_unequal_brightness_are_named(width: int) -> None:
    fault = binary_fault(vessels(width, COLOURS["red"], (0, 0, 90))) or "binary"
    assert re.search(r"several colours, .*red \(255, 0, 0\)", fault) and "blue (0, 0, 90)" in fault


def test_one_pixel_of_another_colour() -> None:
    image = vessels(2, COLOURS["red"])
    image[130, 130] = COLOURS["blue"]
    assert "blue (0, 0, 255) " in (binary_fault(image) or "binary")


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("width", [2, 4, 8])
def test_structures_of_two_colours_in_a_jpeg(width: int, quality: int) -> None:
    fault = binary_fault(jpeg(vessels(width, COLOURS["red"], COLOURS["blue"]), quality), lossy=True) or "binary"
    assert re.search(r"several colours, .*red .*blue|several colours, .*blue .*red", fault)
    for colour in COLOURS.values():
        assert binary_fault(jpeg(vessels(width, colour), quality), lossy=True) is None


def test_smooth_edges_of_one_colour() -> None:
    large = Image.fromarray(vessels(8, (200, 30, 60))).rotate(20, Image.Resampling.BICUBIC)
    assert binary_fault(np.asarray(large.resize((128, 128), Image.Resampling.LANCZOS))) is None
