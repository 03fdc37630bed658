# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Every format that Pillow reads: upright, bright is high, one image in a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import LoadImage
from PIL import Image

from monai_vlsm.data import DatasetProblems, ImageFileReader, check_records
from monai_vlsm.data.reader import verify_image
from monai_vlsm.transforms import ToRGB
from tests.data.files import save, save_dicom, save_nifti

ROWS, COLUMNS = 60, 90
UP = (np.arange(ROWS)[:, None] * 2 + np.arange(COLUMNS)).astype(np.uint8)
COLOUR = np.stack([UP, 255 - UP, np.full_like(UP, 7)], axis=-1)
# how an image lies in the file (EXIF and TIFF 6.0): the first row is its top, top, bottom, bottom, left, right, ...
STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[:, ::-1],
}


def read(path: Path, mode: str = "image") -> np.ndarray:
    reader = ImageFileReader(mode)
    return reader.get_data(reader.read(path))[0]


TIFFS: list[tuple[str, np.ndarray]] = [
    *((compression, UP) for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits")),
    *((compression, COLOUR) for compression in ("raw", "tiff_lzw")),
    *((compression, UP.astype(np.uint16) * 250) for compression in ("raw", "tiff_lzw")),
    *((compression, UP.astype(np.float32) / 3) for compression in ("raw", "tiff_lzw")),
    *((compression, UP > 100) for compression in ("raw", "group4")),
]


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(("compression", "array"), TIFFS, ids=lambda one: getattr(one, "dtype", one))
def test_tiff_is_upright(compression: str, array: np.ndarray, orientation: int, tmp_path: Path) -> None:
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](array)))
    stored.save(
        tmp_path / "a.tif", tiffinfo={274: orientation}, compression=None if compression == "raw" else compression
    )
    expected = array * np.uint8(255) if array.dtype == bool else array
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), expected)
    assert verify_image(tmp_path / "a.tif") == ((ROWS, COLUMNS), 3 if array.ndim == 3 else 1)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("name", ["a.png", "deep.png", "a.jpg", "a.webp"])
def test_exif_is_applied(name: str, orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    array = UP.astype(np.uint16) * 250 if name == "deep.png" else UP
    options: dict[str, Any] = {"a.jpg": {"quality": 100}, "a.webp": {"lossless": True}}.get(name, {})
    save(np.ascontiguousarray(STORED[orientation](array)), tmp_path / name, exif=exif, **options)
    found = read(tmp_path / name)
    found = found[..., 0] if name == "a.webp" else found  # WebP is always colour
    assert found.shape == (ROWS, COLUMNS)
    assert np.abs(found.astype(int) - array).max() <= (2 if name == "a.jpg" else 0)
    assert verify_image(tmp_path / name) == ((ROWS, COLUMNS), 3 if name == "a.webp" else 1)


def tiff(array: np.ndarray, photometric: int) -> Callable[[Path], Path]:
    """A TIFF of which zero is white (0) or black (1)."""

    def write(folder: Path) -> Path:
        top = 1 if array.dtype == bool else np.iinfo(array.dtype).max
        stored = array if photometric else top - array.astype(int)
        # Pillow turns 8 bits round by itself when it is told to write 0, and not 16 bits: the tag is set afterwards
        path = save(stored.astype(array.dtype), folder / "a.tif")
        content = bytearray(path.read_bytes())
        entry = bytes.fromhex("0601030001000000")
        assert content.count(entry) == 1
        content[content.index(entry) + len(entry)] = photometric
        path.write_bytes(content)
        return path

    return write


def dicom(array: np.ndarray, photometric: str) -> Callable[[Path], Path]:
    turned = array if photometric == "MONOCHROME2" else np.iinfo(array.dtype).max - array
    return lambda folder: save_dicom(turned.astype(array.dtype), folder / "a.dcm", photometric)


def plain(array: np.ndarray, suffix: str) -> Callable[[Path], Path]:
    return lambda folder: save(array, folder / f"a.{suffix}")


DEEP, WIDE, TRIPLE = UP.astype(np.uint16) * 256, UP.astype(np.int32) * 1000, np.dstack([UP] * 3)
BRIGHT: dict[str, Callable[[Path], Path]] = {
    **{f"{suffix}-8": plain(UP, suffix) for suffix in ("png", "bmp", "gif", "pgm", "jp2", "jpg")},
    **{f"{suffix}-16": plain(DEEP, suffix) for suffix in ("png", "tif", "jp2")},
    **{f"{suffix}-1": plain(UP > 100, suffix) for suffix in ("png", "bmp", "tif", "pbm")},
    **{f"{suffix}-colour": plain(TRIPLE, suffix) for suffix in ("png", "bmp", "tif", "ppm", "jp2")},
    "webp": lambda d: save(np.dstack([UP] * 3), d / "a.webp", lossless=True),
    "pgm-16": lambda d: save(UP.astype(np.int32) * 256, d / "a.pgm"),
    "tif-float": lambda d: save(UP.astype(np.float32), d / "a.tif"),
    "tif-32": lambda d: save(WIDE, d / "a.tif"),
    "tif-8-black": tiff(UP, 1),
    "tif-8-white": tiff(UP, 0),
    "tif-16-black": tiff(DEEP, 1),
    "tif-16-white": tiff(DEEP, 0),
    "dicom-8-2": dicom(UP, "MONOCHROME2"),
    "dicom-8-1": dicom(UP, "MONOCHROME1"),
    "dicom-16-2": dicom(DEEP, "MONOCHROME2"),
    "dicom-16-1": dicom(DEEP, "MONOCHROME1"),
    "nifti-8": lambda d: save_nifti(UP, d / "a.nii.gz"),
    "nifti-16": lambda d: save_nifti(UP.astype(np.int16), d / "a.nii.gz"),
    "nifti-float": lambda d: save_nifti(UP.astype(np.float32), d / "a.nii.gz"),
}


@pytest.mark.parametrize("name", BRIGHT)
def test_bright_is_high_in_every_format(name: str, tmp_path: Path) -> None:
    path = BRIGHT[name](tmp_path)
    load = LoadImage(reader=ImageFileReader(), ensure_channel_first=True, dtype=None)
    shown = ToRGB()(load(path)).as_tensor()
    truth = torch.as_tensor((UP > 100) * 255 if name.endswith("-1") and "dicom" not in name else UP) / 255.0
    # where the file says nothing of its range, the values have their own
    own = (truth - truth.min()) / (truth.max() - truth.min())
    off = min((shown - truth).abs().max(), (shown - own).abs().max())
    assert off < (0.02 if name == "jpg-8" else 0.005)
    assert shown[0, 0, 0] < shown[0, -1, -1]


def animated(name: str, frames: int = 3, **options: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        first, *more = (Image.fromarray(np.roll(COLOUR, 9 * index, 0)) for index in range(frames))
        first.save(folder / name, save_all=True, append_images=more, **options)
        return folder / name

    return write


@pytest.mark.parametrize(
    ("write", "found"),
    [
        (animated("a.gif"), "3 frames; split the file into single images"),
        (animated("a.webp", lossless=True), "3 frames; split"),
        (animated("a.png"), "3 frames; split"),
        (animated("a.tif"), "3 pages; split"),
    ],
    ids=["gif", "webp", "apng", "tiff"],
)
def test_several_images_in_a_file_are_refused(write: Callable[[Path], Path], found: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    for look in (verify_image, read):
        with pytest.raises(DatasetProblems, match=rf"a\.\w+: expected a readable image, found {found}"):
            look(path)


def test_of_a_camera_s_jpeg_with_a_preview_the_first_counts(tmp_path: Path) -> None:
    first, second = Image.fromarray(COLOUR), Image.fromarray(COLOUR[::2, ::2])
    first.save(tmp_path / "a.mpo", format="MPO", save_all=True, append_images=[second], quality=95)
    (tmp_path / "a.mpo").rename(tmp_path / "a.jpg")
    assert read(tmp_path / "a.jpg").shape == (ROWS, COLUMNS, 3)
    assert verify_image(tmp_path / "a.jpg") == ((ROWS, COLUMNS), 3)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_the_limit_of_pillow_is_told(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(UP, tmp_path / f"a.{suffix}")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", UP.size // 2 - 100)
    for look in (verify_image, read):
        with pytest.raises(
            DatasetProblems, match=r"found more than 5,200 pixels, the limit of Pillow; .*docs/data\.md"
        ):
            look(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # the way round it
    assert read(path).shape == UP.shape


CLEAR, SOLID = np.zeros_like(UP), np.full_like(UP, 255)
SPOT = np.where(UP > 150, 255, 0).astype(np.uint8)
BLACK = np.zeros((ROWS, COLUMNS, 3), np.uint8)
GREY = np.dstack([UP] * 3)


def rgba(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.dstack([colours, alpha])


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
@pytest.mark.parametrize(
    ("pixels", "mode", "expected"),
    [
        pytest.param(rgba(COLOUR, SOLID), "image", COLOUR, id="opaque"),
        pytest.param(rgba(COLOUR, SPOT), "image", COLOUR * (SPOT > 0)[..., None], id="partly"),
        pytest.param(rgba(COLOUR, CLEAR), "image", COLOUR, id="all-hidden"),
        pytest.param(rgba(GREY, CLEAR), "mask", UP, id="mask-all-hidden"),
        pytest.param(rgba(BLACK, CLEAR), "image", BLACK, id="nothing"),
        pytest.param(rgba(BLACK, SOLID), "image", BLACK, id="black"),
        pytest.param(rgba(BLACK, CLEAR), "mask", CLEAR, id="empty-mask"),
        pytest.param(rgba(BLACK, SOLID), "mask", CLEAR, id="black-mask"),
        pytest.param(rgba(BLACK, SPOT), "mask", SPOT, id="mask-in-alpha"),
        pytest.param(rgba(BLACK + 255, SPOT), "mask", SPOT, id="white-mask-in-alpha"),
        pytest.param(rgba(BLACK, SPOT), "image", "black all over, only transparency differs", id="image-in-alpha"),
        pytest.param(rgba(COLOUR * (SPOT == 0)[..., None], SPOT), "image", "all transparent", id="colours-hidden"),
        pytest.param(rgba(BLACK + 255, CLEAR), "mask", "one colour that is transparent all over", id="which-mask"),
    ],
)
def test_transparency(pixels: np.ndarray, mode: str, expected: np.ndarray | str, suffix: str, tmp_path: Path) -> None:
    path = save(pixels, tmp_path / f"a.{suffix}", **({"lossless": True, "exact": True} if suffix == "webp" else {}))
    if isinstance(expected, str):
        with pytest.raises(DatasetProblems, match=rf"expected a readable {mode}, found .*{expected}"):
            read(path, mode)
        if mode == "image":
            with pytest.raises(DatasetProblems, match=expected):
                verify_image(path)
        return
    np.testing.assert_array_equal(read(path, mode), expected)


def test_the_check_reads_masks_as_training_does(tmp_path: Path) -> None:
    record = {"image": str(save(GREY, tmp_path / "i.png")), "label": str(save(rgba(BLACK, SPOT), tmp_path / "m.png"))}
    assert check_records([record]) == []
    colours = save(rgba(COLOUR, SOLID), tmp_path / "c.png")
    assert read(colours, "colours").shape == (ROWS, COLUMNS, 3)
    problems = check_records([{**record, "image": str(tmp_path / "m.png"), "label": str(tmp_path / "i.png")}])
    assert "only transparency differs" in problems[0].found


def test_transparency_in_palettes_and_grey(tmp_path: Path) -> None:
    image = Image.fromarray((SPOT > 0).astype(np.uint8)).convert("P")
    image.putpalette([200, 100, 50, 10, 20, 30])
    for suffix in ("png", "gif"):
        image.save(tmp_path / f"a.{suffix}", transparency=0)
        np.testing.assert_array_equal(read(tmp_path / f"a.{suffix}"), (SPOT > 0)[..., None] * np.uint8([10, 20, 30]))
    save(UP, tmp_path / "b.png", transparency=0)
    np.testing.assert_array_equal(read(tmp_path / "b.png"), UP)
    save(np.dstack([UP, CLEAR]), tmp_path / "c.png")
    np.testing.assert_array_equal(read(tmp_path / "c.png"), UP)
