# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What the values of a DICOM mean: windows, functional groups, padding, rescaling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import (
    CTImageStorage,
)

from tests.data.dicom_files import COLUMNS, ROWS, X, dataset, grey, read
from tests.data.files import save_dicom, square, write_dicom


def item(**tags: Any) -> Dataset:
    data = Dataset()
    for name, value in tags.items():
        setattr(data, name, value)
    return data


@pytest.mark.parametrize("shared", [True, False])
def test_functional_groups(shared: bool, tmp_path: Path) -> None:
    group = item(
        PixelMeasuresSequence=[item(PixelSpacing=[0.5, 0.25], SliceThickness=3)],
        PlanePositionSequence=[item(ImagePositionPatient=[10, 20, 30])],
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        PixelValueTransformationSequence=[item(RescaleSlope=2, RescaleIntercept=-1000, RescaleType="HU")],
        FrameVOILUTSequence=[item(WindowCenter=40, WindowWidth=401)],
    )
    where = "SharedFunctionalGroupsSequence" if shared else "PerFrameFunctionalGroupsSequence"
    array = grey("u2", 12)
    file = write_dicom(dataset(array, "MONOCHROME2", 12, NumberOfFrames=1, **{where: [group]}), tmp_path / "a.dcm")
    found, meta = read(file)
    np.testing.assert_array_equal(found, array * 2.0 - 1000)
    np.testing.assert_array_equal(meta["pixel_spacing"], [0.5, 0.25])
    np.testing.assert_array_equal(meta["window"], [-160.5, 239.5])
    np.testing.assert_allclose(meta["affine"], [[0, -0.25, 0, -10], [-0.5, 0, 0, -20], [0, 0, 1, 30], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("tags", "window"),
    [
        ({"WindowCenter": 40, "WindowWidth": 401}, (-160.5, 239.5)),
        ({"WindowCenter": [40, 500], "WindowWidth": [401, 2000]}, (-160.5, 239.5)),
        ({"WindowCenter": 40, "WindowWidth": 400, "VOILUTFunction": "LINEAR_EXACT"}, (-160, 240)),
        ({"WindowCenter": 40}, None),
        ({"WindowCenter": 9000, "WindowWidth": 100}, None),  # beside all values
        ({"WindowCenter": -9000, "WindowWidth": 100}, None),
        ({"WindowCenter": 40, "WindowWidth": 0}, None),
        ({"WindowCenter": 40, "WindowWidth": 1}, None),
        ({"WindowCenter": "", "WindowWidth": ""}, None),
        ({}, None),
    ],
)
def test_window(tags: dict[str, Any], window: tuple[float, float] | None, tmp_path: Path) -> None:
    found, meta = read(write_dicom(dataset(grey("i2", 12), "MONOCHROME2", 12, **tags), tmp_path / "a.dcm"))
    if window is None:
        assert "window" not in meta
        return
    np.testing.assert_array_equal(meta["window"], window)
    turned, turned_meta = read(write_dicom(dataset(grey("i2", 12), "MONOCHROME1", 12, **tags), tmp_path / "b.dcm"))
    # what was in the window still is
    np.testing.assert_array_equal(turned_meta["window"], [-1 - window[1], -1 - window[0]])
    np.testing.assert_array_equal(turned, -1 - found.astype(int))


CT = np.full((ROWS, COLUMNS), -1000, np.int16)
CT[5:15, 10:30] = 0
CT[8:12, 15:20] = 400
OUTSIDE = X < 6


def padded(values: np.ndarray, value: int, path: Path, photometric: str = "MONOCHROME2", **tags: Any) -> Path:
    data = dataset(np.where(OUTSIDE, value, values).astype(values.dtype), photometric, **tags)
    return write_dicom(data, path)


@pytest.mark.parametrize("value", [-2000, -3024, -32768, 32767])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_has_the_lowest_value(value: int, photometric: str, tmp_path: Path) -> None:
    found, _ = read(padded(CT, value, tmp_path / "a.dcm", photometric, PixelPaddingValue=value))
    body = CT if photometric == "MONOCHROME2" else -1 - CT
    np.testing.assert_array_equal(found, np.where(OUTSIDE, body.min(), body))


def test_padding_range_and_sign(tmp_path: Path) -> None:
    values = np.where(X < 3, 65000, CT.astype(int) + 1024).astype(np.uint16)
    tags = {"PixelPaddingValue": 63536, "PixelPaddingRangeLimit": 65535, "RescaleIntercept": -1024, "RescaleSlope": 1}
    found, _ = read(padded(values, 63536, tmp_path / "a.dcm", **tags))
    np.testing.assert_array_equal(found, np.where(OUTSIDE, -1000, CT))
    data = pydicom.dcmread(padded(CT, -2000, tmp_path / "b.dcm"))
    data.add_new("PixelPaddingValue", "US", 63536)  # -2000 in 16 bits
    write_dicom(data, tmp_path / "b.dcm")
    np.testing.assert_array_equal(read(tmp_path / "b.dcm")[0], np.where(OUTSIDE, -1000, CT))


@pytest.mark.parametrize("value", [7, 0])
def test_padding_stays_where_the_rest_is_of_one_value(value: int, tmp_path: Path) -> None:
    found, _ = read(padded(np.full_like(CT, 7), value, tmp_path / "a.dcm", PixelPaddingValue=value))
    np.testing.assert_array_equal(found, np.where(OUTSIDE, value, 7))


@pytest.mark.parametrize("tags", [{"RescaleSlope": None, "RescaleIntercept": None}, {"RescaleSlope": 2}])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_rescaling_without_numbers_is_none(tags: dict[str, Any], photometric: str, tmp_path: Path) -> None:
    array = grey("u1", 8)
    found, _ = read(write_dicom(dataset(array, photometric, **tags), tmp_path / "a.dcm"))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, array if photometric == "MONOCHROME2" else 255 - array)


@pytest.mark.parametrize(("value", "limits"), [(-2000, (-1024, 400)), (30000, (-1000, 3071)), (-1000, ())])
@pytest.mark.parametrize("tags", [{"Modality": "CT"}, {"SOPClassUID": CTImageStorage}])
def test_what_no_tissue_has_does_not_set_the_range_of_ct(
    tags: dict[str, Any], value: int, limits: tuple[float, ...], tmp_path: Path
) -> None:
    found, meta = read(padded(CT, value, tmp_path / "a.dcm", **tags))
    assert found.min() == min(-1000, value)  # the values themselves stay
    assert tuple(meta.get("range", ())) == limits
    assert "window" not in meta


def test_mask(tmp_path: Path) -> None:
    found, _ = read(save_dicom(255 - square(), tmp_path / "a.dcm", "MONOCHROME1"), "mask")
    np.testing.assert_array_equal(found > found.min(), square() > 0)
