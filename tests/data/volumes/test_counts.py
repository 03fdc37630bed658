# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Pixels of each class in each slice, and what a volume is."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_vlsm.data import DatasetProblems, ImageFileReader
from monai_vlsm.data.volumes import label_counts, to_stack, volume_facts
from tests.data.files import save_nifti

AFFINE = np.diag([-2.0, 3.0, 4.0, 1.0])  # of save_nifti


def label_map(dtype: str = "uint8") -> np.ndarray:
    array = np.zeros((5, 6, 7), dtype)
    array[1:3, 2:4, 3] = 2
    array[4, 5, 6] = 1
    array[0, :, 1:3] = 300 if np.dtype(dtype).itemsize > 1 else 7
    return array


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_counts(plane: str, dtype: str, tmp_path: Path) -> None:
    array = label_map(dtype)
    counts = label_counts(str(save_nifti(array, tmp_path / "a.nii.gz")), plane)
    stack = to_stack(array, AFFINE, plane)
    assert list(counts) == [1, 2, 7 if dtype == "uint8" else 300]
    for label, pixels in counts.items():
        np.testing.assert_array_equal(pixels, (stack == label).sum(axis=(1, 2)))


def test_numbers_beyond_all_counting(tmp_path: Path) -> None:
    array = label_map("int32")
    array[array == 2] = 3_000_000
    counts = label_counts(save_nifti(array, tmp_path / "a.nii"), "axial")
    assert {label: int(pixels.sum()) for label, pixels in counts.items()} == {1: 1, 300: 12, 3_000_000: 4}


def test_labels_that_were_scaled_into_16_bits(tmp_path: Path) -> None:
    """nibabel scales floats into the integers of a header, so that 1 comes back as nearly 1."""
    image = nib.Nifti1Image(label_map("float32") * (label_map("float32") < 5), AFFINE)
    image.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "a.nii.gz")
    assert 0 < np.abs(nib.load(tmp_path / "a.nii.gz").get_fdata() - image.get_fdata()).max() < 1e-4
    counts = label_counts(tmp_path / "a.nii.gz", "axial")
    assert {label: int(pixels.sum()) for label, pixels in counts.items()} == {1: 1, 2: 4}
    reader = ImageFileReader("mask")
    for label, pixels in counts.items():
        masks = [reader.get_data(reader.read(f"{tmp_path}/a.nii.gz::axial={i}::label={label}"))[0] for i in range(7)]
        assert [int(mask.sum()) for mask in masks] == pixels.tolist()


@pytest.mark.parametrize(("value", "found"), [(0.5, "0.5"), (-1, "-1"), (float("nan"), "nan"), (float("inf"), "inf")])
def test_values_that_are_no_labels(value: float, found: str, tmp_path: Path) -> None:
    array = label_map("float32")
    array[0, 0, 0] = value
    with pytest.raises(DatasetProblems, match=rf"a\.nii: expected a label map of whole numbers.*found {found}$"):
        label_counts(save_nifti(array, tmp_path / "a.nii"), "axial")
    assert not volume_facts(tmp_path / "a.nii").whole


def test_facts(tmp_path: Path) -> None:
    """NaN and what a scanner cannot see do not count."""
    values = np.arange(1000, dtype=np.float32).reshape(10, 10, 10)
    values[0, 0, 0], values[9, 9] = np.nan, -3024
    facts = volume_facts(save_nifti(values, tmp_path / "a.nii.gz"))
    assert facts.shape == (10, 10, 10) and facts.oriented and facts.problem is None and facts.channels == 1
    assert facts.affine is not None and np.array_equal(facts.affine, AFFINE)
    assert (facts.low, facts.high, facts.dtype, facts.whole) == (1, 989, "float32", False)
    assert np.allclose(facts.percentiles, np.percentile(np.arange(1, 990), (0.5, 99.5)))
    assert volume_facts(save_nifti(label_map(), tmp_path / "b.nii.gz")).whole


def test_facts_of_nothing(tmp_path: Path) -> None:
    problem = volume_facts(save_nifti(np.full((3, 3, 3), np.nan, np.float32), tmp_path / "a.nii")).problem
    assert problem and "all are NaN" in problem.found
    problem = volume_facts(tmp_path / "b.nii").problem
    assert problem and problem.file == str(tmp_path / "b.nii") and "nothing at" in problem.found
