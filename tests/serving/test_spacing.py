# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from monai.data import MetaTensor
from monai.transforms import LoadImage

from monai_vlsm.data import ImageFileReader
from monai_vlsm.serving.spacing import file_spacing
from tests.data.files import ramp, save, save_dicom
from tests.serving.images import write_nifti

OBLIQUE = np.array([[0.0, -3, 0, 9], [1.6, 0, 1.2, 1], [-1.2, 0, 1.6, 2], [0, 0, 0, 1]])  # columns of 2, 3 and 2


def load(file: Path) -> MetaTensor:
    return LoadImage(reader=ImageFileReader(), ensure_channel_first=True, dtype=None)(file)


@pytest.mark.parametrize(("unit", "factor"), [(None, 1), ("mm", 1), ("meter", 1000), ("micron", 0.001)])
def test_nifti(unit: str | None, factor: float, tmp_path: Path) -> None:
    file = write_nifti((4, 5, 6), OBLIQUE, tmp_path / "v.nii.gz", unit)
    assert file_spacing(load(file)) == pytest.approx((2 * factor, 3 * factor, 2 * factor))


def test_flat_nifti(tmp_path: Path) -> None:
    assert file_spacing(load(write_nifti((4, 5), np.diag([2.0, 3, 4, 1]), tmp_path / "v.nii"))) == pytest.approx((2, 3))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_images_have_none(suffix: str, tmp_path: Path) -> None:
    assert file_spacing(load(save(ramp(), tmp_path / f"a.{suffix}", dpi=(254, 254)))) is None


@pytest.mark.parametrize(
    ("tags", "spacing"),
    [
        ({"PixelSpacing": [0.5, 0.25]}, (0.5, 0.25)),  # distance of rows, then of columns
        ({"ImagerPixelSpacing": [0.5, 0.25]}, None),
        ({}, None),
        ({"PixelSpacing": [0, 0]}, None),
        ({"PixelSpacing": [0.5]}, None),
    ],
)
def test_dicom(tags: dict[str, list[float]], spacing: tuple[float, float] | None, tmp_path: Path) -> None:
    file = save_dicom(ramp(), tmp_path / "a.dcm")
    data = pydicom.dcmread(file)
    del data.PixelSpacing
    for name, value in tags.items():
        setattr(data, name, value)
    data.save_as(file)
    assert file_spacing(load(file)) == spacing
