# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What of NIfTI is one volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from monai_vlsm.data import DatasetProblems, ImageFileReader, check_records

VALUES = np.arange(24, dtype=np.int16).reshape(4, 3, 2)


def read(array: np.ndarray, path: Path, kind: Any = nib.Nifti1Image, intent: str = "none") -> np.ndarray:
    image = kind(array, np.diag([-2.0, 3, 4, 1]))
    image.header.set_intent(intent)
    nib.save(image, path)
    reader = ImageFileReader()
    return reader.get_data(reader.read(path))[0]


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("shape", [(4, 3, 2), (4, 3, 2, 1), (4, 3, 2, 1, 1)])
def test_axes_of_one_entry_do_not_count(shape: tuple[int, ...], kind: Any, tmp_path: Path) -> None:
    found = read(VALUES.reshape(shape), tmp_path / "a.nii.gz", kind)
    np.testing.assert_array_equal(found.reshape(4, 3, 2), VALUES)
    assert check_records([{"image": str(tmp_path / "a.nii.gz")}]) == []


@pytest.mark.parametrize("count", [2, 3, 4, 30])
@pytest.mark.parametrize("slices", [1, 5])
def test_several_volumes_are_refused_whatever_their_number(count: int, slices: int, tmp_path: Path) -> None:
    with pytest.raises(DatasetProblems, match=rf"a\.nii: expected a readable image, found {count} volumes; give FILE"):
        read(np.zeros((4, 3, slices, count), np.int16), tmp_path / "a.nii")
    problems = check_records([{"image": str(tmp_path / "a.nii")}])
    assert [problem.found for problem in problems] == [
        f"{count} volumes; give FILE::channel=0 .. {count - 1}, or --channel"
    ]


def test_displacements_are_no_colour(tmp_path: Path) -> None:
    assert read(np.zeros((4, 3, 2, 1, 3), np.uint8), tmp_path / "a.nii", intent="vector").shape == (4, 3, 2, 3)
    with pytest.raises(DatasetProblems, match="no image or volume"):
        read(np.zeros((4, 3, 2, 1, 3), np.float32), tmp_path / "a.nii", intent="displacement vector")


@pytest.mark.parametrize("names", ["RGB", "RGBA"])
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 1), (4, 3, 2)])
def test_colours_by_type(shape: tuple[int, ...], names: str, tmp_path: Path) -> None:
    array = np.zeros(shape, [(name, "u1") for name in names])
    for index, name in enumerate("RGB"):
        array[name] = np.arange(array.size).reshape(shape) + 50 * index
    found = read(array, tmp_path / "a.nii.gz")
    assert found.shape == (*shape, 3)
    for index, name in enumerate("RGB"):
        np.testing.assert_array_equal(found[..., index], array[name])
    assert check_records([{"image": str(tmp_path / "a.nii.gz")}]) == []
