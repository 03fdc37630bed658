# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Which files are compressed so that values change, and what that means for an empty mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGBaseline8Bit, JPEGLSLossless

from monai_vlsm.data import ImageFileReader
from monai_vlsm.data.lossy import is_lossy
from tests.data.files import save, save_dicom, save_nifti, square

IMAGES: list[tuple[str, dict[str, Any], bool]] = [
    ("m.png", {}, False),
    ("m.bmp", {}, False),
    ("m.gif", {}, False),
    ("m.jpg", {}, True),
    ("m.jpg", {"quality": 100}, True),
    ("m.webp", {}, True),
    ("m.webp", {"lossless": True}, False),
    ("m.jp2", {}, False),
    ("m.jp2", {"irreversible": True}, True),
    ("m.tif", {}, False),
    ("m.tif", {"compression": "tiff_lzw"}, False),
    ("m.tif", {"compression": "jpeg"}, True),
]


@pytest.mark.parametrize(("name", "options", "lossy"), IMAGES)
def test_images(name: str, options: dict[str, Any], lossy: bool, tmp_path: Path) -> None:
    path = save(square(), tmp_path / name, **options)
    assert is_lossy(path) is lossy
    assert is_lossy(path.rename(tmp_path / "without_suffix")) is lossy


@pytest.mark.parametrize(
    ("changes", "lossy"),
    [
        ({}, False),
        ({"LossyImageCompression": "00"}, False),
        ({"LossyImageCompression": "01"}, True),
        ({"syntax": JPEGBaseline8Bit}, True),
        ({"syntax": JPEGLSLossless}, False),
    ],
)
def test_dicom(changes: dict[str, Any], lossy: bool, tmp_path: Path) -> None:
    path = save_dicom(square(), tmp_path / "m.dcm")
    data = pydicom.dcmread(path)
    for name, value in changes.items():
        setattr(data.file_meta if name == "syntax" else data, "TransferSyntaxUID" if name == "syntax" else name, value)
    if "syntax" in changes:
        data.PixelData = pydicom.encaps.encapsulate([b"\0\0"])
        data["PixelData"].is_undefined_length = True
    data.save_as(path)
    assert is_lossy(path) is lossy


def test_others(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    assert not is_lossy(tmp_path / "text.jpg")
    assert not is_lossy(tmp_path / "nothing.jpg")
    assert not is_lossy(save_nifti(square(), tmp_path / "m.nii.gz"))


@pytest.mark.parametrize(("name", "left"), [("m.jpg", 0), ("m.png", 1)])
def test_noise_of_an_empty_mask(name: str, left: int, tmp_path: Path) -> None:
    """A bright pixel in a JPEG is noise; the same pixel in a PNG was meant."""
    mask = np.zeros((96, 96), np.uint8)
    mask[40, 40] = 15
    path = save(mask, tmp_path / name, **({"quality": 100} if name == "m.jpg" else {}))
    for files in (path, [path, path]):
        reader = ImageFileReader("mask")
        array, _ = reader.get_data(reader.read(files))
        assert np.count_nonzero(array) == left * (1 if files is path else 2)
